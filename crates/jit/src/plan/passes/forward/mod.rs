//! One walk from operands to users, on which several passes work side by side: what one makes of an operation, the others see
//! at once, and a program is gone through once instead of many times.
//!
//! For every operation, [`simplify`] decides what it becomes, [`memory`] whether it is known already what lies there,
//! [`share`] whether it was computed before, and [`address`] what addresses add up.

pub(crate) mod address;
pub(crate) mod memory;
pub(crate) mod share;
pub(crate) mod simplify;

use super::bits::{Possible, possible};
use super::incoming::Incoming;
use super::renames::Renames;
use crate::plan::dominators::Dominators;
use crate::plan::graph::{Block, End, Graph, Op, Value};
use address::Folding;
use memory::known::Known;
use share::Sharing;

/// Which passes work on a walk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tasks {
    pub(crate) simplify: bool,
    pub(crate) share: bool,
    pub(crate) memory: bool,
    pub(crate) address: bool,
}

impl Tasks {
    /// Whether there is something to do.
    pub(crate) fn any(self) -> bool {
        self.simplify || self.share || self.memory || self.address
    }
}

/// Goes through a graph once.
pub(crate) fn forward(graph: &mut Graph, tasks: Tasks) {
    let order = graph.order();
    let incoming = Incoming::of(graph, &order);
    let mut walk = Walk::new(graph, tasks);
    if tasks.share {
        let dominators = Dominators::new(order, &incoming);
        let tree = dominators.tree();
        walk.sharing = Some(Sharing::new(walk.graph, &mut walk.renames, dominators));
        walk.run(&tree, &incoming);
    } else {
        walk.run(&order, &incoming);
    }
    let mut renames = walk.renames;
    renames.apply_to_edges(graph);
    if tasks.share {
        share::same_params(graph);
    }
    if tasks.memory {
        memory::dead::remove(graph);
        memory::reverse::loads(graph);
    }
}

/// How deep rules may put new operations: rules that ran in a circle would not take down the host.
const DEPTH: u32 = 4;

struct Walk<'g> {
    graph: &'g mut Graph,
    tasks: Tasks,
    renames: Renames,
    bits: Possible,
    /// How often values are used, as it was before, up to many times; of new ones, nothing is known.
    uses: Vec<u8>,
    /// The block that is being filled again.
    block: Block,
    depth: u32,
    /// Constants by their numbers, as many as fit.
    numbers: [Option<(u64, Value)>; 64],
    sharing: Option<Sharing>,
    known: Known,
    folding: Folding,
}

impl<'g> Walk<'g> {
    fn new(graph: &'g mut Graph, tasks: Tasks) -> Walk<'g> {
        let mut uses = vec![0u8; graph.values.len()];
        let mut count = |used: Value| uses[used.index()] = uses[used.index()].saturating_add(1);
        for code in &graph.blocks {
            code.body.iter().for_each(|&value| graph.values[value.index()].uses(&mut count));
            code.end.uses(&mut count);
        }
        Walk {
            tasks,
            renames: Renames::new(graph),
            bits: Possible::new(graph),
            uses,
            block: Block::ENTRY,
            depth: 0,
            numbers: [None; 64],
            sharing: None,
            known: Known::new(graph, tasks.memory),
            folding: Folding::new(graph, tasks.address),
            graph,
        }
    }

    fn run(&mut self, order: &[Block], incoming: &Incoming) {
        let mut done = vec![false; self.graph.blocks.len()];
        let mut old = Vec::new();
        for &block in order {
            self.graph.code(block).params.iter().for_each(|&param| self.bits.set(param, 0));
        }
        for &block in order {
            self.block = block;
            let ways = incoming.to(block);
            // Around loops nothing is known yet.
            let complete = ways.iter().all(|way| done[way.from.index()]);
            if !complete {
                self.graph.code(block).params.iter().for_each(|&param| self.bits.set(param, u64::MAX));
            }
            if self.tasks.memory {
                self.known.enter(ways, complete);
            }
            old.clear();
            old.append(&mut self.graph.blocks[block.index()].body);
            for &value in &old {
                self.value(value);
            }
            self.end();
            self.carry();
            if self.tasks.memory {
                self.leave(&done);
            }
            done[block.index()] = true;
        }
    }

    /// Says of parameters what edges carry.
    fn carry(&mut self) {
        for edge in self.graph.blocks[self.block.index()].end.edges() {
            for (&param, &argument) in self.graph.blocks[edge.to.index()].params.iter().zip(&edge.arguments) {
                let mask = self.bits.get(param) | self.bits.get(argument);
                self.bits.set(param, mask);
            }
        }
    }

    /// What becomes of a value of the block that is being filled.
    fn value(&mut self, value: Value) {
        self.renames.apply_to(&mut self.graph.values[value.index()]);
        if let Some(other) = self.visit(value) {
            self.renames.rename(value, other);
        }
    }

    /// Another value that is the same, or none: then this one is put into its block again, if it is still needed.
    fn visit(&mut self, value: Value) -> Option<Value> {
        let pure =
            |op: &Op| matches!(op, Op::Bin { .. } | Op::Un { .. } | Op::Compare(_) | Op::Select { .. });
        if self.tasks.simplify && pure(self.graph.op(value)) {
            if let Some(other) = self.settle(value) {
                return Some(other);
            }
        }
        self.remainder(value);
        if self.tasks.address {
            self.fold(value);
        }
        if self.tasks.memory {
            match self.remember(value) {
                memory::known::Answer::Keep => {}
                memory::known::Answer::Drop => return None,
                memory::known::Answer::Is(other) => return Some(other),
            }
        }
        if let Some(sharing) = &mut self.sharing {
            if pure(&self.graph.values[value.index()]) {
                if let Some(other) = sharing.find(self.graph, value, self.block) {
                    return Some(other);
                }
            }
        }
        let op = &self.graph.values[value.index()];
        let mask = possible(self.graph, op, |used| self.bits.get(used));
        self.bits.set(value, mask);
        self.graph.blocks[self.block.index()].body.push(value);
        if self.tasks.address {
            self.split(value);
        }
        None
    }

    /// A value that is computed here, before the one that is being looked at.
    fn put(&mut self, op: Op) -> Value {
        let value = self.graph.add(op);
        if self.depth == DEPTH {
            let mask = possible(self.graph, self.graph.op(value), |used| self.bits.get(used));
            self.bits.set(value, mask);
            self.graph.blocks[self.block.index()].body.push(value);
            return value;
        }
        self.depth += 1;
        let other = self.visit(value);
        self.depth -= 1;
        match other {
            Some(other) => {
                self.graph.values[value.index()] = Op::Gone;
                other
            }
            None => value,
        }
    }

    /// Simplifies how the block ends.
    fn end(&mut self) {
        let end = &mut self.graph.blocks[self.block.index()].end;
        end.uses_mut(|used| *used = self.renames.of(*used));
        if let (End::Branch { test, .. }, true) = (&*end, self.tasks.simplify) {
            let test = *test;
            self.branch(test);
        }
    }

    /// A constant.
    fn number(&mut self, number: u64) -> Value {
        let place = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize;
        match self.numbers[place] {
            Some((there, value)) if there == number => value,
            _ => {
                let value = self.graph.add(Op::Const(number));
                self.bits.set(value, number);
                self.numbers[place] = Some((number, value));
                value
            }
        }
    }

    fn constant(&self, value: Value) -> Option<u64> {
        self.graph.constant(value)
    }

    /// Whether nobody else uses a value.
    fn single(&self, value: Value) -> bool {
        self.uses.get(value.index()).is_none_or(|&uses| uses < 2)
    }
}
