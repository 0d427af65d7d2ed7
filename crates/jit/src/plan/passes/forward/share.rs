//! Computes once what is computed twice: global value numbering, down the tree of dominators.

use super::super::renames::Renames;
use super::Walk;
use crate::plan::dominators::Dominators;
use crate::plan::graph::{BinOp, Block, Graph, Op, Test, Value};

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

    /// A value that was computed above this block, and is what an operation would be.
    pub(super) fn known(&mut self, graph: &Graph, op: &Op, block: Block) -> Option<Value> {
        let (_, value) = *self.places.find(hash(op), |other| same(graph.op(other), op));
        (value != FREE.1 && self.dominators.dominates(self.home[value.index()], block)).then_some(value)
    }

    /// A value that was computed above this one of this block, and is the same.
    pub(super) fn find(&mut self, graph: &Graph, value: Value, block: Block) -> Option<Value> {
        let op = graph.op(value);
        let hash = hash(op);
        let place = self.places.find(hash, |other| same(graph.op(other), op));
        match place.1 {
            // Blocks come in the order of the tree: what is not above now will never be again.
            other if other != FREE.1 && self.dominators.dominates(self.home[other.index()], block) => {
                Some(other)
            }
            other => {
                *place = (hash, value);
                self.places.count += usize::from(other == FREE.1);
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
        (Op::Const(a), Op::Const(b)) => a == b,
        _ => a == b,
    }
}

fn hash(op: &Op) -> u32 {
    let test = |test: &Test| {
        let kind = test.cond as u64 * 4 + test.width as u64;
        mix(kind, pair(test.lhs, test.rhs))
    };
    let mixed = match op {
        Op::Const(number) => mix(1, *number),
        Op::Bin { op, width, a, b } => {
            let kind = 2 << 32 | (*op as u64 * 4 + *width as u64);
            let operands = if op.commutes() { pair(*a.max(b), *a.min(b)) } else { pair(*a, *b) };
            mix(kind, operands)
        }
        Op::Un { op, a } => mix(3 << 32 | *op as u64, a.0.into()),
        Op::Compare(compared) => mix(4 << 32, test(compared)),
        Op::Select { test: compared, yes, no } => mix(test(compared), pair(*yes, *no)),
        // What else there is is there only few times.
        _ => 0,
    };
    (mixed >> 32) as u32
}

fn pair(a: Value, b: Value) -> u64 {
    u64::from(a.0) << 32 | u64::from(b.0)
}

/// Two multiplications reach all bits, as far as small keys of our own making need it.
fn mix(a: u64, b: u64) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = b.wrapping_mul(ODD) ^ a;
    (mixed ^ mixed >> 32).wrapping_mul(ODD)
}

/// Values by what they compute: a table with open addresses that is never full.
struct Places {
    /// Hashes and values; none of the value's number means that the place is free.
    table: Vec<(u32, Value)>,
    count: usize,
}

const FREE: (u32, Value) = (0, Value(u32::MAX));

impl Places {
    /// Room for so many values.
    fn new(values: usize) -> Places {
        Places { table: vec![FREE; values.next_power_of_two().max(64)], count: 0 }
    }

    /// Where a value is, or is to be put.
    fn find(&mut self, hash: u32, same: impl Fn(Value) -> bool) -> &mut (u32, Value) {
        if self.count * 4 > self.table.len() * 3 {
            self.grow();
        }
        let mask = self.table.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            let (other, value) = self.table[place];
            if value == FREE.1 || other == hash && same(value) {
                return &mut self.table[place];
            }
            place = (place + 1) & mask;
        }
    }
}

impl Places {
    /// Values may be added on the way.
    fn grow(&mut self) {
        let larger = vec![FREE; self.table.len() * 2];
        let mask = larger.len() - 1;
        for (hash, value) in std::mem::replace(&mut self.table, larger) {
            let mut place = hash as usize & mask;
            while self.table[place].1 != FREE.1 {
                place = (place + 1) & mask;
            }
            if value != FREE.1 {
                self.table[place] = (hash, value);
            }
        }
    }
}

/// Joins parameters of a block for which all edges carry the same.
pub(super) fn same_params(graph: &mut Graph) {
    if graph.blocks.iter().all(|code| code.params.len() < 2) {
        return;
    }
    let mut renames = Renames::new(graph);
    // For each parameter, the first of its block that was the same on all edges so far.
    let mut first = vec![Value(u32::MAX); graph.values.len()];
    for code in &graph.blocks {
        if let Some(&all) = code.params.first() {
            code.params.iter().for_each(|param| first[param.index()] = all);
        }
    }
    // A parameter may stay with those before it only as long as it carries what they do.
    let mut carried: Vec<(Value, Value, Value)> = Vec::new();
    for code in &graph.blocks {
        for edge in code.end.edges() {
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
    for code in &graph.blocks {
        for &param in &code.params {
            renames.rename(param, first[param.index()]);
        }
    }
    renames.apply(graph);
}

impl Walk<'_> {
    /// Where the quotient is known, the remainder takes no division.
    pub(super) fn remainder(&mut self, value: Value) {
        let Op::Bin { op: op @ (BinOp::Mod | BinOp::Smod), width, a, b } = *self.graph.op(value) else {
            return;
        };
        let Some(sharing) = &mut self.sharing else { return };
        let op = if op == BinOp::Mod { BinOp::Div } else { BinOp::Sdiv };
        if let Some(quotient) = sharing.known(self.graph, &Op::Bin { op, width, a, b }, self.block) {
            // By zero as well: of a quotient that is zero, the remainder is all.
            let product = self.put(Op::Bin { op: BinOp::Mul, width, a: quotient, b });
            self.graph.values[value.index()] = Op::Bin { op: BinOp::Sub, width, a, b: product };
        }
    }
}
