//! Says the same with less: folds constants, drops operations that change nothing, and gives what is left one form, so that
//! others find it.
//!
//! One walk from operands to users. What an operation becomes is decided by rules that look a step or two down: those of
//! [`binary`], [`unary`] and [`compare`]. They know which bits their operands may have ([`Possible`]).

mod binary;
mod compare;
mod rotate;
mod unary;

use sandbpf_isa::Width;

use super::bits::{Possible, ones, possible};
use super::renames::Renames;
use crate::plan::graph::{BinOp, Block, End, Graph, Op, UnOp, Value};
use compare::Answer as Tested;

/// Simplifies every operation by what is known of those before it.
pub(crate) fn simplify(graph: &mut Graph) {
    let order = graph.order();
    let known = Possible::new(graph);
    Simplifier::new(graph, known).run(&order, true);
}

/// The same, knowing what loops leave of possible bits.
pub(crate) fn simplify_by_bits(graph: &mut Graph) {
    let order = graph.order();
    let known = Possible::of(graph, &order);
    Simplifier::new(graph, known).run(&order, false);
}

/// What is to become of an operation.
enum Answer {
    /// It stays.
    Same,
    /// That value is the same.
    Is(Value),
    /// That operation is the same, and simpler or more usual.
    Now(Op),
}

/// How often an operation may change its form, and how deep rules may put new operations: rules that ran in a circle would not
/// take down the host.
const STEPS: u32 = 24;
const DEPTH: u32 = 4;

/// How often each value is used, up to many times.
fn uses(graph: &Graph) -> Vec<u8> {
    let mut uses = vec![0u8; graph.values.len()];
    for code in &graph.blocks {
        for &value in &code.body {
            graph.op(value).uses(|used| uses[used.index()] = uses[used.index()].saturating_add(1));
        }
        code.end.uses(|used| uses[used.index()] = uses[used.index()].saturating_add(1));
    }
    uses
}

struct Simplifier<'g> {
    graph: &'g mut Graph,
    renames: Renames,
    bits: Possible,
    /// How often values are used, as it was before; of new ones, nothing is known.
    uses: Vec<u8>,
    /// The block that is being filled again.
    block: Block,
    depth: u32,
    /// Constants by their numbers, as many as fit.
    numbers: [Option<(u64, Value)>; 64],
}

impl<'g> Simplifier<'g> {
    fn new(graph: &'g mut Graph, bits: Possible) -> Simplifier<'g> {
        let renames = Renames::new(graph);
        let uses = uses(graph);
        Simplifier { graph, renames, bits, uses, block: Block::ENTRY, depth: 0, numbers: [None; 64] }
    }

    /// Goes through all blocks. `learn`: what parameters may be is learned on the way.
    fn run(mut self, order: &[Block], learn: bool) {
        // Edges that a block still waits for: around loops nothing is known.
        let mut waiting = vec![0u32; if learn { self.graph.blocks.len() } else { 0 }];
        if learn {
            for &block in order {
                for edge in self.graph.code(block).end.edges() {
                    waiting[edge.to.index()] += 1;
                }
                for &param in &self.graph.code(block).params {
                    self.bits.set(param, 0);
                }
            }
        }
        let mut old = Vec::new();
        for &block in order {
            self.block = block;
            if learn && waiting[block.index()] != 0 {
                self.graph.code(block).params.iter().for_each(|&param| self.bits.set(param, u64::MAX));
            }
            let body = &mut self.graph.blocks[block.index()].body;
            old.clear();
            old.append(body);
            for &value in &old {
                self.value(value);
            }
            self.end();
            if learn {
                for edge in self.graph.code(block).end.edges() {
                    waiting[edge.to.index()] -= 1;
                    for (&param, &argument) in self.graph.code(edge.to).params.iter().zip(&edge.arguments) {
                        let mask = self.bits.get(param) | self.bits.get(argument);
                        self.bits.set(param, mask);
                    }
                }
            }
        }
        self.renames.apply_to_edges(self.graph);
    }

    /// Simplifies a value of the block that is being filled, and puts it there again if it is still needed.
    fn value(&mut self, value: Value) {
        let mut op = std::mem::replace(&mut self.graph.values[value.index()], Op::Gone);
        self.renames.apply_to(&mut op);
        match self.settle(op) {
            Ok(other) => {
                self.renames.rename(value, other);
            }
            Err(op) => self.place(value, op),
        }
    }

    fn place(&mut self, value: Value, op: Op) {
        let mask = possible(self.graph, &op, |used| self.bits.get(used));
        self.bits.set(value, mask);
        self.graph.values[value.index()] = op;
        self.graph.blocks[self.block.index()].body.push(value);
    }

    /// Applies rules until none applies: a value that is the same already, or what has to be computed.
    fn settle(&mut self, mut op: Op) -> Result<Value, Op> {
        for _ in 0..STEPS {
            let answer = match &op {
                Op::Bin { op, width, a, b } => self.binary(*op, *width, *a, *b),
                Op::Un { op, a } => self.unary(*op, *a),
                Op::Compare(test) => self.comparison(test),
                Op::Select { test, yes, no } => self.selection(test, *yes, *no),
                _ => return Err(op),
            };
            match answer {
                Answer::Same => break,
                Answer::Is(value) => return Ok(value),
                Answer::Now(new) => op = new,
            }
        }
        if possible(self.graph, &op, |used| self.bits.get(used)) == 0 {
            return Ok(self.number(0));
        }
        Err(op)
    }

    /// A value that is computed here, before the one that is being looked at.
    fn put(&mut self, op: Op) -> Value {
        let op = if self.depth < DEPTH {
            self.depth += 1;
            let settled = self.settle(op);
            self.depth -= 1;
            match settled {
                Ok(value) => return value,
                Err(op) => op,
            }
        } else {
            op
        };
        let value = self.graph.add(Op::Gone);
        self.place(value, op);
        value
    }

    /// Simplifies how the block ends.
    fn end(&mut self) {
        let mut end = std::mem::replace(&mut self.graph.blocks[self.block.index()].end, End::Unreachable);
        end.uses_mut(|used| *used = self.renames.of(*used));
        for _ in 0..STEPS {
            let End::Branch { test, yes, no } = &mut end else { break };
            match self.test(test) {
                Tested::Same => break,
                Tested::Known(so) => end = End::Jump(if so { yes.clone() } else { no.clone() }),
                Tested::Now(new) => *test = new,
                Tested::Not(new) => {
                    *test = new;
                    std::mem::swap(yes, no);
                }
            }
        }
        self.graph.blocks[self.block.index()].end = end;
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

    fn is(&mut self, number: u64) -> Answer {
        Answer::Is(self.number(number))
    }

    fn constant(&self, value: Value) -> Option<u64> {
        self.graph.constant(value)
    }

    /// An operation with a constant on the right.
    fn with(&mut self, op: BinOp, width: Width, a: Value, number: u64) -> Op {
        let b = self.number(number);
        Op::Bin { op, width, a, b }
    }

    fn as_binary(&self, value: Value) -> Option<(BinOp, Width, Value, Value)> {
        match *self.graph.op(value) {
            Op::Bin { op, width, a, b } => Some((op, width, a, b)),
            _ => None,
        }
    }

    /// An operation whose right side is a constant.
    fn as_with(&self, value: Value) -> Option<(BinOp, Width, Value, u64)> {
        let (op, width, a, b) = self.as_binary(value)?;
        Some((op, width, a, self.constant(b)? & ones(width)))
    }

    fn as_unary(&self, value: Value) -> Option<(UnOp, Value)> {
        match *self.graph.op(value) {
            Op::Un { op, a } => Some((op, a)),
            _ => None,
        }
    }

    /// Whether nobody else uses a value.
    fn single(&self, value: Value) -> bool {
        self.uses.get(value.index()).is_none_or(|&uses| uses < 2)
    }

    /// What a value is without operations that leave its low bits, so many, as they are.
    fn low(&self, value: Value, bits: u32) -> Value {
        let mask = u64::MAX >> (64 - bits);
        let mut value = value;
        loop {
            value = match *self.graph.op(value) {
                Op::Un { op, a } if op.kept().is_some_and(|kept| kept & mask == mask) => a,
                Op::Bin { op: BinOp::And, a, b, .. } => match self.constant(b) {
                    Some(kept) if kept & mask == mask => a,
                    _ => return value,
                },
                _ => return value,
            }
        }
    }
}

impl UnOp {
    /// Of an extension, the bits that it leaves as they are.
    pub(crate) fn kept(self) -> Option<u64> {
        match self {
            UnOp::Zext8 | UnOp::Sext8 => Some(0xff),
            UnOp::Zext16 | UnOp::Sext16 => Some(0xffff),
            UnOp::Zext32 | UnOp::Sext32 => Some(0xffff_ffff),
            UnOp::Neg64 | UnOp::Neg32 | UnOp::Swap16 | UnOp::Swap32 | UnOp::Swap64 => None,
        }
    }

    /// Whether it is an extension with zeros.
    pub(crate) fn is_zext(self) -> bool {
        matches!(self, UnOp::Zext8 | UnOp::Zext16 | UnOp::Zext32)
    }

    /// Whether it is an extension with signs.
    pub(crate) fn is_sext(self) -> bool {
        matches!(self, UnOp::Sext8 | UnOp::Sext16 | UnOp::Sext32)
    }
}
