//! How numbers are told apart with few tests, and the blocks that do it.

use sandbpf_isa::{Cond, Width};

use super::BITS;
use crate::plan::graph::{BinOp, Block, Edge, End, Graph, Op, Test, Value};

/// How numbers are told apart.
pub(super) enum Plan {
    Leaf(usize),
    /// Those below this one, and the others.
    Below(u64, Box<Plan>, Box<Plan>),
    /// This one, and the others.
    Equal(u64, Box<Plan>, Box<Plan>),
    /// Of the 64 numbers from this one on, those whose bit is set, and the others; then those that are none of the 64, if they can be.
    Bits {
        from: u64,
        bits: u64,
        set: Box<Plan>,
        clear: Box<Plan>,
        outside: Option<Box<Plan>>,
    },
}

impl Plan {
    /// Tells segments apart that end with `end`.
    pub(super) fn of(segments: &[(u64, usize)], end: u64) -> Plan {
        let (from, leaf) = segments[0];
        if segments.len() == 1 {
            return Plan::Leaf(leaf);
        }
        if let Some(plan) = Plan::bits(segments, from, end) {
            return plan;
        }
        // One number amid others.
        if let [(_, around), (point, leaf), (next, other)] = segments[..]
            && around == other
            && next == point + 1
        {
            return Plan::Equal(point, Box::new(Plan::Leaf(leaf)), Box::new(Plan::Leaf(around)));
        }
        // Two of them.
        if let [(_, around), (one, first), (after, between), (other, second), (last, behind)] = segments[..]
            && around == between
            && between == behind
            && after == one + 1
            && last == other + 1
        {
            let others = Plan::Equal(other, Box::new(Plan::Leaf(second)), Box::new(Plan::Leaf(around)));
            return Plan::Equal(one, Box::new(Plan::Leaf(first)), Box::new(others));
        }
        let middle = segments.len() / 2;
        let pivot = segments[middle].0;
        let (low, high) = (Plan::of(&segments[..middle], pivot - 1), Plan::of(&segments[middle..], end));
        Plan::Below(pivot, Box::new(low), Box::new(high))
    }

    /// Tells segments apart by bits, if many of them lie near to one another, and lead to few places.
    fn bits(segments: &[(u64, usize)], from: u64, end: u64) -> Option<Plan> {
        // What lies above leads elsewhere, unless nothing does; what lies below there, too, or does not come here.
        let (whole, count) = (end - from < BITS, segments.len());
        let beyond = segments[count - 1].1;
        let low = if !whole && segments[0].1 == beyond { segments[1].0 } else { from };
        let past = if whole { end } else { segments[count - 1].0 - 1 };
        if count < 5 || past - low >= BITS {
            return None;
        }
        let places = |leaf: usize| {
            let mut bits = 0u64;
            for (place, &(start, at)) in segments.iter().enumerate() {
                let stop = segments.get(place + 1).map_or(end, |(next, _)| next - 1);
                if at == leaf && stop >= low && start <= past {
                    let (start, stop) = (start.max(low) - low, stop.min(past) - low);
                    bits |= (u64::MAX >> (63 - (stop - start))) << start;
                }
            }
            bits
        };
        let mut leaves: Vec<usize> = segments.iter().map(|(_, leaf)| *leaf).collect();
        leaves.sort_unstable();
        leaves.dedup();
        // All but one have bits of their own.
        let (clear, mut others) = (beyond, leaves);
        others.retain(|&leaf| leaf != clear);
        if others.is_empty() || others.len() > 2 {
            return None;
        }
        let mut plan = Plan::Leaf(clear);
        for leaf in others {
            let (set, clear) = (Box::new(Plan::Leaf(leaf)), Box::new(plan));
            plan = Plan::Bits { from: low, bits: places(leaf), set, clear, outside: None };
        }
        if !whole && let Plan::Bits { outside, .. } = &mut plan {
            *outside = Some(Box::new(Plan::Leaf(beyond)));
        }
        Some(plan)
    }

    pub(super) fn tests(&self) -> usize {
        match self {
            Plan::Leaf(_) => 0,
            Plan::Below(_, a, b) | Plan::Equal(_, a, b) => 1 + a.tests() + b.tests(),
            Plan::Bits { set, clear, outside, .. } => {
                1 + set.tests() + clear.tests() + outside.as_ref().map_or(0, |outside| 1 + outside.tests())
            }
        }
    }

    pub(super) fn depth(&self) -> usize {
        match self {
            Plan::Leaf(_) => 0,
            Plan::Below(_, a, b) | Plan::Equal(_, a, b) => 1 + a.depth().max(b.depth()),
            Plan::Bits { set, clear, outside, .. } => {
                1 + usize::from(outside.is_some()) + set.depth().max(clear.depth())
            }
        }
    }
}

pub(super) struct Maker<'g> {
    pub(super) graph: &'g mut Graph,
    pub(super) value: Value,
    pub(super) width: Width,
    pub(super) leaves: &'g [Edge],
}

impl Maker<'_> {
    /// Ends a block with what a plan says.
    pub(super) fn make(&mut self, block: Block, plan: &Plan) {
        let end = match plan {
            Plan::Leaf(leaf) => End::Jump(self.leaves[*leaf].clone()),
            Plan::Below(pivot, low, high) => self.branch(Cond::Lt, self.value, *pivot, low, high),
            Plan::Equal(point, so, other) => self.branch(Cond::Eq, self.value, *point, so, other),
            Plan::Bits { from, bits, set, clear, outside } => {
                let mut block = block;
                let mut place = self.value;
                if *from > 0 {
                    let from = self.graph.add(Op::Const(*from));
                    let sub = Op::Bin { op: BinOp::Sub, width: self.width, a: place, b: from };
                    place = self.graph.append(block, sub);
                }
                if let Some(outside) = outside {
                    let near = self.graph.block();
                    let far = self.edge(outside);
                    let most = self.graph.add(Op::Const(BITS - 1));
                    let test = Test { cond: Cond::Gt, width: self.width, lhs: place, rhs: most };
                    let no = Edge { to: near, arguments: Vec::new() };
                    self.graph.blocks[block.index()].end = End::Branch { test, yes: far, no };
                    block = near;
                }
                let bits = self.graph.add(Op::Const(*bits));
                let shift = Op::Bin { op: BinOp::Rsh, width: Width::W64, a: bits, b: place };
                let shifted = self.graph.append(block, shift);
                let one = self.graph.add(Op::Const(1));
                let test = Test { cond: Cond::Set, width: Width::W64, lhs: shifted, rhs: one };
                let end = End::Branch { test, yes: self.edge(set), no: self.edge(clear) };
                self.graph.blocks[block.index()].end = end;
                return;
            }
        };
        self.graph.blocks[block.index()].end = end;
    }

    fn branch(&mut self, cond: Cond, lhs: Value, number: u64, yes: &Plan, no: &Plan) -> End {
        let rhs = self.graph.add(Op::Const(number));
        let test = Test { cond, width: self.width, lhs, rhs };
        End::Branch { test, yes: self.edge(yes), no: self.edge(no) }
    }

    /// An edge to where a plan is followed.
    fn edge(&mut self, plan: &Plan) -> Edge {
        if let Plan::Leaf(leaf) = plan {
            return self.leaves[*leaf].clone();
        }
        let block = self.graph.block();
        self.make(block, plan);
        Edge { to: block, arguments: Vec::new() }
    }
}
