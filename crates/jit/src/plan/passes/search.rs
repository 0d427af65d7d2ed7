//! Searches: trees and chains of tests of one value become short ways to where the value leads.
//!
//! ```text
//! b1: if eq64 v3, 22 then b9() else b2()        b1:  if gt64 v3, 63 then b8() else b20()
//! b2: if eq64 v3, 25 then b9() else b3()        b20: v30 = rsh64 0x8000000002400000…, v3
//! b3: if eq64 v3, 53 then b9() else b4()             if set64 v30, 1 then b9() else b8()
//! …
//! ```
//!
//! All tests of a value that follow each other without anything in between say together which numbers lead where: ranges, in
//! order. Where many of them lie within 64 numbers and lead to few places, a bit of a constant says it; the rest is found by
//! halves. Programs come with searches that a compiler made without either, and with chains that were generated.

use std::collections::BTreeMap;

use sandbpf_isa::{Cond, Extend, Width};

use crate::plan::graph::{BinOp, Block, Edge, End, Graph, Op, Test, Value};

/// Fewer tests than these are left as they are.
const LEAST: usize = 4;
/// So many numbers, one beside the other, are as many bits.
const BITS: u64 = 64;

/// Makes searches of many tests of one value.
pub(crate) fn search(graph: &mut Graph) {
    let order = graph.order();
    let mut ways = vec![0u32; graph.blocks.len()];
    for &block in &order {
        graph.code(block).end.edges().for_each(|edge| ways[edge.to.index()] += 1);
    }
    let mut done = vec![false; graph.blocks.len()];
    for &block in &order {
        if !done[block.index()] {
            tree(graph, &ways, &mut done, block);
        }
    }
}

/// A test of the value against a constant, as one would write it.
#[derive(Clone, Copy)]
struct Question {
    value: Value,
    cond: Cond,
    width: Width,
    number: u64,
}

impl Question {
    /// The question at the end of a block; about a certain value, if there is one already.
    fn of(graph: &Graph, block: Block, about: Option<Value>) -> Option<(Question, &Edge, &Edge)> {
        let End::Branch { test, yes, no } = &graph.code(block).end else { return None };
        let number = graph.constant(test.rhs)?;
        if test.cond == Cond::Set {
            // Whether some of the bits are there that make the value.
            let value = about?;
            let Op::Bin { op: BinOp::And, a, b, .. } = *graph.op(value) else { return None };
            let same = a == test.lhs && graph.constant(b) == Some(number) && number <= u64::from(u32::MAX);
            let question = Question { value, cond: Cond::Ne, width: test.width, number: 0 };
            return same.then_some((question, yes, no));
        }
        if graph.constant(test.lhs).is_some() {
            return None;
        }
        let number = if test.width == Width::W32 { number & u64::from(u32::MAX) } else { number };
        Some((Question { value: test.lhs, cond: test.cond, width: test.width, number }, yes, no))
    }
}

/// What is known of a tree of tests of one value.
struct Tree<'g> {
    graph: &'g Graph,
    ways: &'g [u32],
    value: Value,
    width: Width,
    /// The blocks of the tree, the first of them first.
    blocks: Vec<Block>,
    /// Where one can come to.
    leaves: Vec<Edge>,
    /// From which number on one comes where.
    ranges: Vec<(u64, usize)>,
    /// Numbers that lead elsewhere than those around them.
    points: BTreeMap<u64, usize>,
    /// The leaves of each block.
    places: BTreeMap<Block, Vec<usize>>,
    tests: usize,
    depth: usize,
}

impl Tree<'_> {
    /// The largest number that the width has.
    fn last(&self) -> u64 {
        u64::MAX >> (64 - self.width.bits())
    }

    /// The largest number that the value can be, as far as one can see.
    fn end(&self) -> u64 {
        let most = match *self.graph.op(self.value) {
            Op::Bin { op: BinOp::And, b, .. } => self.graph.constant(b).unwrap_or(u64::MAX),
            Op::Load { size, extend: Extend::Zero, .. } => size.truncate(u64::MAX),
            _ => u64::MAX,
        };
        most.min(self.last())
    }

    fn leaf(&mut self, edge: &Edge) -> usize {
        let places = self.places.entry(edge.to).or_default();
        if let Some(&place) = places.iter().find(|&&place| self.leaves[place] == *edge) {
            return place;
        }
        places.push(self.leaves.len());
        self.leaves.push(edge.clone());
        self.leaves.len() - 1
    }

    /// The next test, if an edge leads to one that belongs to the tree.
    fn next(&self, edge: &Edge) -> Option<Block> {
        let code = self.graph.code(edge.to);
        let inside = self.ways[edge.to.index()] == 1 && edge.to != Block::ENTRY;
        if !inside || !code.body.is_empty() || !code.params.is_empty() || self.blocks.len() > 4096 {
            return None;
        }
        let (question, ..) = Question::of(self.graph, edge.to, Some(self.value))?;
        (question.value == self.value && question.width == self.width).then_some(edge.to)
    }

    /// Follows an edge with the numbers from `lo` to `hi`.
    fn follow(&mut self, edge: &Edge, lo: u64, hi: u64, depth: usize) {
        // What waits: an edge, and the numbers that come along it.
        let mut waiting = vec![(edge.clone(), lo, hi, depth)];
        while let Some((edge, lo, hi, depth)) = waiting.pop() {
            let Some(block) = self.next(&edge) else {
                let leaf = self.leaf(&edge);
                self.ranges.push((lo, leaf));
                continue;
            };
            self.blocks.push(block);
            self.ask(block, lo, hi, depth, &mut waiting);
        }
    }

    /// Asks a question of the numbers from `lo` to `hi`.
    fn ask(
        &mut self,
        block: Block,
        lo: u64,
        hi: u64,
        depth: usize,
        waiting: &mut Vec<(Edge, u64, u64, usize)>,
    ) {
        let Some((question, yes, no)) = Question::of(self.graph, block, Some(self.value)) else { return };
        let (yes, no) = (yes.clone(), no.clone());
        self.tests += 1;
        self.depth = self.depth.max(depth);
        let sign = self.last() / 2 + 1;
        let c = question.number;
        let (cond, yes, no) = match question.cond {
            Cond::Ne => (Cond::Eq, no, yes),
            Cond::Gt => (Cond::Le, no, yes),
            Cond::Ge => (Cond::Lt, no, yes),
            Cond::Sgt => (Cond::Sle, no, yes),
            Cond::Sge => (Cond::Slt, no, yes),
            cond => (cond, yes, no),
        };
        // The numbers that are less, or not more, without sign.
        let below = |limit: Option<u64>, from: u64, to: u64, waiting: &mut Vec<(Edge, u64, u64, usize)>| {
            match limit {
                Some(limit) if limit >= to => waiting.push((yes.clone(), from, to, depth + 1)),
                Some(limit) if limit >= from => {
                    waiting.push((yes.clone(), from, limit, depth + 1));
                    waiting.push((no.clone(), limit + 1, to, depth + 1));
                }
                _ => waiting.push((no.clone(), from, to, depth + 1)),
            }
        };
        match cond {
            Cond::Eq => {
                if lo <= c && c <= hi && !self.points.contains_key(&c) {
                    // Nobody asks again of one number.
                    let mut edge = yes;
                    while let Some(next) = self.next(&edge) {
                        let Some((other, yes, no)) = Question::of(self.graph, next, Some(self.value)) else {
                            break;
                        };
                        let so = other.cond.eval(other.width, c, other.number);
                        let further = if so { yes.clone() } else { no.clone() };
                        self.blocks.push(next);
                        self.tests += 1;
                        edge = further;
                    }
                    let leaf = self.leaf(&edge);
                    self.points.insert(c, leaf);
                }
                waiting.push((no, lo, hi, depth + 1));
            }
            Cond::Lt => below(c.checked_sub(1), lo, hi, waiting),
            Cond::Le => below(Some(c), lo, hi, waiting),
            // Numbers with a sign are less than those without, and among themselves in the same order.
            _ => {
                let limit = if cond == Cond::Sle { Some(c) } else { c.checked_sub(1).filter(|_| c != sign) };
                let (plain, negative) = ((lo, hi.min(sign - 1)), (lo.max(sign), hi));
                if plain.0 <= plain.1 {
                    let limit = if c < sign { limit } else { None };
                    below(limit, plain.0, plain.1, waiting);
                }
                if negative.0 <= negative.1 {
                    let limit = if c < sign { Some(hi) } else { limit };
                    below(limit, negative.0, negative.1, waiting);
                }
            }
        }
    }

    /// From which number on one comes where, points and all.
    fn segments(&mut self) -> Vec<(u64, usize)> {
        let end = self.end();
        self.ranges.sort_unstable();
        let mut segments: Vec<(u64, usize)> = Vec::new();
        let put = |segments: &mut Vec<(u64, usize)>, from: u64, leaf: usize| {
            if segments.last().is_none_or(|&(_, last)| last != leaf) {
                segments.push((from, leaf));
            }
        };
        let mut points = self.points.iter().peekable();
        for (place, &(from, leaf)) in self.ranges.iter().enumerate() {
            let to = self.ranges.get(place + 1).map_or(end, |(next, _)| next - 1);
            put(&mut segments, from, leaf);
            while let Some(&(&point, &other)) = points.peek().filter(|(point, _)| **point <= to) {
                points.next();
                // What stood there so far does not begin after all.
                if segments.last().is_some_and(|&(start, _)| start == point) {
                    segments.pop();
                }
                put(&mut segments, point, other);
                if point < to {
                    put(&mut segments, point + 1, leaf);
                }
            }
        }
        segments
    }
}

/// Makes a search of a tree that begins at a block.
fn tree(graph: &mut Graph, ways: &[u32], done: &mut [bool], first: Block) {
    let Some((question, ..)) = Question::of(graph, first, None) else { return };
    let (value, width) = (question.value, question.width);
    let mut tree = Tree {
        graph,
        ways,
        value,
        width,
        blocks: Vec::new(),
        leaves: Vec::new(),
        ranges: Vec::new(),
        points: BTreeMap::new(),
        places: BTreeMap::new(),
        tests: 0,
        depth: 0,
    };
    let end = tree.end();
    let mut waiting = Vec::new();
    tree.ask(first, 0, end, 1, &mut waiting);
    for (edge, lo, hi, depth) in waiting {
        tree.follow(&edge, lo, hi, depth);
    }
    tree.blocks.iter().for_each(|block| done[block.index()] = true);
    if tree.tests < LEAST {
        return;
    }
    let segments = tree.segments();
    let Tree { blocks, leaves, tests, depth, .. } = tree;
    let plan = Plan::of(&segments, end);
    let (found, most) = (plan.tests(), plan.depth());
    if most >= depth && found >= tests {
        return;
    }
    for block in blocks {
        graph.blocks[block.index()].end = End::Unreachable;
    }
    let mut maker = Maker { graph, value, width, leaves: &leaves };
    maker.make(first, &plan);
}

/// How numbers are told apart.
enum Plan {
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
    fn of(segments: &[(u64, usize)], end: u64) -> Plan {
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

    fn tests(&self) -> usize {
        match self {
            Plan::Leaf(_) => 0,
            Plan::Below(_, a, b) | Plan::Equal(_, a, b) => 1 + a.tests() + b.tests(),
            Plan::Bits { set, clear, outside, .. } => {
                1 + set.tests() + clear.tests() + outside.as_ref().map_or(0, |outside| 1 + outside.tests())
            }
        }
    }

    fn depth(&self) -> usize {
        match self {
            Plan::Leaf(_) => 0,
            Plan::Below(_, a, b) | Plan::Equal(_, a, b) => 1 + a.depth().max(b.depth()),
            Plan::Bits { set, clear, outside, .. } => {
                1 + usize::from(outside.is_some()) + set.depth().max(clear.depth())
            }
        }
    }
}

struct Maker<'g> {
    graph: &'g mut Graph,
    value: Value,
    width: Width,
    leaves: &'g [Edge],
}

impl Maker<'_> {
    /// Ends a block with what a plan says.
    fn make(&mut self, block: Block, plan: &Plan) {
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

#[cfg(test)]
mod tests {
    use super::search;
    use crate::plan::graph::{End, Graph};
    use crate::plan::passes::Pass;
    use crate::plan::passes::trial::{Trial, built};
    use crate::plan::random::{EVERYTHING, MEMORY, NUMBERS, Rng, agree};

    fn branches(graph: &Graph) -> usize {
        let ends = graph.order().into_iter().map(|block| &graph.code(block).end);
        ends.filter(|end| matches!(end, End::Branch { .. })).count()
    }

    /// The most branches on a way through a graph without loops.
    fn depth(graph: &Graph) -> usize {
        let mut depths = vec![0; graph.blocks.len()];
        for &block in graph.order().iter().rev() {
            let end = &graph.code(block).end;
            let further = end.edges().map(|edge| depths[edge.to.index()]).max().unwrap_or(0);
            depths[block.index()] = further + usize::from(matches!(end, End::Branch { .. }));
        }
        depths[0]
    }

    /// The branches, and the most of them on a way, of a program that was looked at.
    fn left(text: &str) -> (usize, usize) {
        let mut before = built(text);
        Pass::Sweep.run(&mut before);
        Pass::Simplify.run(&mut before);
        Pass::Sweep.run(&mut before);
        let mut after = before.clone();
        search(&mut after);
        Pass::Sweep.run(&mut after);
        Trial::default().hold(&before, &after);
        (branches(&after), depth(&after))
    }

    /// A chain of tests of the length, as numbers and where they lead.
    fn chain(pairs: &[(u64, u32)]) -> (usize, usize) {
        let tests: Vec<String> =
            pairs.iter().map(|(number, to)| format!("if r2 == {number} goto L{to}")).collect();
        let ends: Vec<String> = (1..9).map(|to| format!("L{to}:\nr0 = {to}\nexit")).collect();
        left(&format!("r0 = 0\n{}\nexit\n{}", tests.join("\n"), ends.join("\n")))
    }

    #[test]
    fn numbers_that_lie_near_are_bits() {
        assert_eq!(chain(&[(0, 1), (7, 1), (15, 1), (20, 1), (39, 1), (41, 1)]), (2, 2));
        assert_eq!(chain(&[(15, 1), (20, 2), (39, 1), (41, 2), (63, 1), (64, 1)]), (3, 3));
    }

    #[test]
    fn numbers_that_lie_apart_are_searched() {
        let pairs = [(1, 1), (100, 2), (7, 3), (300, 4), (1000, 5), (20_000, 6), (333, 7), (41, 8)];
        let (_, most) = chain(&pairs);
        assert!(most <= 5, "{most}");
        let hosts: Vec<(u64, u32)> = (0..60).map(|place| (place * 1_000_003 % 999_983, 1)).collect();
        let (_, most) = chain(&hosts);
        assert!(most <= 9, "{most}");
    }

    #[test]
    fn few_tests_stay() {
        assert_eq!(chain(&[(1, 1), (100, 2), (7, 3)]), (3, 3));
    }

    #[test]
    fn random_trees_lead_where_they_did() {
        for seed in 0..3000 {
            let mut rng = Rng::new(seed);
            let mut lines = vec!["r0 = 0".to_string()];
            let tests = rng.below(14) + 2;
            for place in 0..tests {
                let number = *rng.pick(&[0, 1, 7, 15, 20, 21, 39, 40, 41, 63, 64, 72, 100, 300, -1, -20]);
                let cond =
                    *rng.pick(&["==", "==", "==", "!=", "<", ">=", "s<", "s>=", ">", "<=", "s>", "s<="]);
                let wide = if rng.chance(1, 8) { "w" } else { "r" };
                // Mostly out of the chain, sometimes over a few tests.
                let to = match rng.below(4) {
                    0 => format!("T{}", (place + 1 + rng.below(3)).min(tests)),
                    _ => format!("L{}", rng.below(4)),
                };
                lines.push(format!("T{place}:\nif {wide}2 {cond} {number} goto {to}"));
            }
            lines.push(format!("T{tests}:\nexit"));
            lines.extend((0..4).map(|to| format!("L{to}:\nr0 = {}\nr0 += r2\nexit", to + 1)));
            left(&lines.join("\n"));
        }
    }

    #[test]
    fn random_graphs_keep_their_meaning() {
        for tastes in [NUMBERS, MEMORY, EVERYTHING] {
            agree(tastes, 0..4000, search);
        }
    }
}
