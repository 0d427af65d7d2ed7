//! Computes once what is computed twice: global value numbering, down the tree of dominators.

use std::hash::{Hash, Hasher};

use super::super::renames::Renames;
use crate::plan::dominators::Dominators;
use crate::plan::graph::{Block, Graph, Op, Value};

/// What was computed so far.
pub(super) struct Sharing {
    places: Places,
    /// The blocks that values stand in, of those that are in `places`.
    home: Vec<Block>,
    dominators: Dominators,
}

impl Sharing {
    /// Constants, and what else stands in no block, are there already.
    pub(super) fn new(graph: &Graph, renames: &mut Renames, dominators: Dominators) -> Sharing {
        let places = Places::new(graph.values.len());
        let home = vec![Block::ENTRY; graph.values.len()];
        let mut sharing = Sharing { places, home, dominators };
        for (at, op) in graph.values.iter().enumerate() {
            if op.is_everywhere() {
                let value = Value(at as u32);
                if let Some(other) = sharing.find(graph, value, Block::ENTRY) {
                    renames.rename(value, other);
                }
            }
        }
        sharing
    }

    /// A value that was computed above this one of this block, and is the same.
    pub(super) fn find(&mut self, graph: &Graph, value: Value, block: Block) -> Option<Value> {
        let op = graph.op(value);
        let hash = hash(op);
        let place = self.places.find(hash, |other| same(graph.op(other), op));
        match *place {
            // Blocks come in the order of the tree: what is not above now will never be again.
            Some((_, other)) if self.dominators.dominates(self.home[other.index()], block) => Some(other),
            found => {
                *place = Some((hash, value));
                self.places.count += usize::from(found.is_none());
                if self.home.len() <= value.index() {
                    self.home.resize(value.index() + 1, Block::ENTRY);
                }
                self.home[value.index()] = block;
                None
            }
        }
    }
}

/// Whether two operations compute the same: operands may stand the other way around where that does not matter.
fn same(a: &Op, b: &Op) -> bool {
    match (a, b) {
        (Op::Bin { op, width, a, b }, Op::Bin { op: other, width: v, a: c, b: d }) => {
            op == other && width == v && ((a, b) == (c, d) || (op.commutes() && (a, b) == (d, c)))
        }
        _ => a == b,
    }
}

fn hash(op: &Op) -> u32 {
    let mut mix = Mix(0);
    match op {
        Op::Const(number) => number.hash(&mut mix),
        Op::Bin { op, width, a, b } if op.commutes() => (op, width, a.max(b), a.min(b)).hash(&mut mix),
        Op::Bin { op, width, a, b } => (op, width, a, b).hash(&mut mix),
        Op::Un { op, a } => (op, a).hash(&mut mix),
        Op::Compare(test) => test.hash(&mut mix),
        Op::Select { test, yes, no } => (test, yes, no).hash(&mut mix),
        Op::Base(region) => (1, region).hash(&mut mix),
        op => op.uses(|used| used.hash(&mut mix)),
    }
    (mix.0 >> 32) as u32
}

/// A hash of few multiplications, for small keys of our own making.
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }
}

/// Values by what they compute: a table with open addresses that is never full.
struct Places {
    table: Vec<Option<(u32, Value)>>,
    count: usize,
}

impl Places {
    /// Room for so many values.
    fn new(values: usize) -> Places {
        Places { table: vec![None; (values * 2).next_power_of_two()], count: 0 }
    }

    /// Where a value is, or is to be put.
    fn find(&mut self, hash: u32, same: impl Fn(Value) -> bool) -> &mut Option<(u32, Value)> {
        if self.count * 8 > self.table.len() * 7 {
            self.grow();
        }
        let mask = self.table.len() - 1;
        let mut place = hash as usize & mask;
        while let Some((other, value)) = self.table[place] {
            if other == hash && same(value) {
                break;
            }
            place = (place + 1) & mask;
        }
        &mut self.table[place]
    }
}

impl Places {
    /// Values may be added on the way.
    fn grow(&mut self) {
        let larger = vec![None; self.table.len() * 2];
        let mask = larger.len() - 1;
        for (hash, value) in std::mem::replace(&mut self.table, larger).into_iter().flatten() {
            let mut place = hash as usize & mask;
            while self.table[place].is_some() {
                place = (place + 1) & mask;
            }
            self.table[place] = Some((hash, value));
        }
    }
}

/// Joins parameters of a block for which all edges carry the same.
pub(super) fn same_params(graph: &mut Graph) {
    if graph.blocks.iter().all(|code| code.params.len() < 2) {
        return;
    }
    let order = graph.order();
    let mut renames = Renames::new(graph);
    // For each parameter, the first of its block that was the same on all edges so far.
    let mut first = vec![Value(u32::MAX); graph.values.len()];
    for &block in &order {
        if let Some(&all) = graph.code(block).params.first() {
            graph.code(block).params.iter().for_each(|param| first[param.index()] = all);
        }
    }
    // A parameter may stay with those before it only as long as it carries what they do.
    let mut carried: Vec<(Value, Value, Value)> = Vec::new();
    for &block in &order {
        for edge in graph.code(block).end.edges() {
            let params = &graph.code(edge.to).params;
            if params.len() < 2 {
                continue;
            }
            // Parts every class of parameters by what the edge carries; the first of a part stands for it.
            carried.clear();
            carried.extend(params.iter().zip(&edge.arguments).map(|(&p, &a)| (first[p.index()], a, p)));
            carried.sort_unstable();
            let mut leader = carried[0];
            for &(class, argument, param) in &carried {
                if (class, argument) != (leader.0, leader.1) {
                    leader = (class, argument, param);
                }
                first[param.index()] = leader.2;
            }
        }
    }
    for &block in &order {
        for &param in &graph.code(block).params {
            renames.rename(param, first[param.index()]);
        }
    }
    renames.apply(graph);
}
