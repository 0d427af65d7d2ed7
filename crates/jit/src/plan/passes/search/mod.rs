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

mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use sandbpf_isa::{Cond, Extend, Width};

use crate::plan::graph::{BinOp, Block, Edge, End, Graph, Op, Value};
use plan::{Maker, Plan};

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
