//! Graphs and worlds that look random and are the same in every run, for tests of whatever takes graphs.
//!
//! They end, and touch only memory that is there. They use few numbers and few values, and the patterns that compilers
//! write, so that what passes look for is found.

mod memory;
mod worlds;

use std::ops::Range;

use sandbpf_isa::{Cond, Extend, Pc, Size, Width};

use super::check::check;
use super::graph::{
    Address, BinOp, Block, Edge, End, Entry, Graph, Op, Region, Site, Test, Trapping, UnOp, Value,
};
use super::run::{Trapped, World, run};

pub(crate) use worlds::*;

/// SplitMix64.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn chance(&mut self, of: u64, among: u64) -> bool {
        self.below(among) < of
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// A number near the ends of something, or any.
pub(crate) fn number(rng: &mut Rng) -> u64 {
    let power = 1u64 << rng.below(64);
    match rng.below(12) {
        0 => 0,
        1 => rng.below(16),
        2 => power,
        3 => power - 1,
        4 => power.wrapping_neg(),
        5 => power + 1,
        6 => u64::MAX - rng.below(4),
        7 => *rng.pick(&[0xff, 0xffff, 0xffff_ffff, 0xff00, 0x7fff_ffff, 0x8000_0000, 31, 32, 63]),
        8 => (rng.next() as i32) as u64,
        9 => rng.next() & (power - 1),
        10 => rng.below(300),
        _ => rng.next(),
    }
}

const STACK_BYTES: u32 = 64;
const CONTEXT: u32 = 32;
/// What every packet has at least.
const PACKET: u32 = 64;

/// What graphs may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tastes {
    /// How many steps there are, about.
    pub(crate) steps: u32,
    /// Whether memory is touched.
    pub(crate) memory: bool,
    /// Whether the stack is touched in places only that nobody computes.
    pub(crate) slots: bool,
    /// Whether something is called.
    pub(crate) calls: bool,
}

struct Generator<'r> {
    rng: &'r mut Rng,
    graph: Graph,
    block: Block,
    /// Values that may be used.
    scope: Vec<Value>,
    left: u32,
    tastes: Tastes,
    length: Value,
}

/// A graph.
pub(crate) fn graph(rng: &mut Rng, tastes: Tastes) -> Graph {
    let mut graph = Graph::new(0x4000_0000, STACK_BYTES, CONTEXT);
    let length = graph.add(Op::Entry(Entry::Length));
    let left = tastes.steps;
    let mut generator =
        Generator { rng, graph, block: Block::ENTRY, scope: vec![length], left, tastes, length };
    if tastes.memory {
        generator.append(Op::Clear { from: 0x2000_0000, bytes: STACK_BYTES });
        for _ in 0..2 {
            generator.load();
        }
    }
    if generator.sequence(0) {
        let result = generator.result();
        generator.end(End::Return(result));
    }
    let graph = generator.graph;
    if let Err(wrong) = check(&graph) {
        panic!("{wrong}\n{graph}");
    }
    graph
}

impl Generator<'_> {
    fn append(&mut self, op: Op) -> Value {
        let has_value = op.has_value();
        let value = self.graph.append(self.block, op);
        if has_value {
            self.scope.push(value);
        }
        value
    }

    fn end(&mut self, end: End) {
        self.graph.blocks[self.block.index()].end = end;
    }

    fn number(&mut self, number: u64) -> Value {
        self.graph.add(Op::Const(number))
    }

    /// Some value, most likely one of the last.
    fn value(&mut self) -> Value {
        match self.rng.below(10) {
            0 | 1 => {
                let number = number(self.rng);
                self.number(number)
            }
            2..=5 => {
                let last = self.scope.len().saturating_sub(4);
                *self.rng.pick(&self.scope[last..])
            }
            _ => *self.rng.pick(&self.scope),
        }
    }

    fn width(&mut self) -> Width {
        *self.rng.pick(&[Width::W32, Width::W64])
    }

    fn test(&mut self) -> Test {
        let (cond, width) = (*self.rng.pick(Cond::ALL), self.width());
        Test { cond, width, lhs: self.value(), rhs: self.value() }
    }

    fn site(&mut self) -> Site {
        self.graph.sites.push(Trapping::Budget { pc: Pc(0) });
        Site(self.graph.sites.len() as u32 - 1)
    }

    /// What a run ends with: something of much that was computed.
    fn result(&mut self) -> Value {
        let mut result = self.value();
        for _ in 0..3 {
            let b = self.value();
            result = self.append(Op::Bin { op: BinOp::Xor, width: Width::W64, a: result, b });
        }
        result
    }

    /// Steps one after the other. Whether the last block is still open.
    fn sequence(&mut self, depth: u32) -> bool {
        let steps = self.rng.below(12) + 4;
        for _ in 0..steps {
            if self.left == 0 {
                return true;
            }
            self.left -= 1;
            match self.rng.below(24) {
                0..=8 => self.compute(),
                9..=12 => self.idiom(),
                13..=17 if self.tastes.memory => self.touch(),
                18 if self.tastes.calls => {
                    let arguments = [(); 5].map(|()| self.value());
                    let site = self.site();
                    self.append(Op::Call { arguments, site });
                }
                19..=21 if depth < 4 => {
                    if !self.fork(depth) {
                        return false;
                    }
                }
                22 if depth < 3 => self.repeat(depth),
                23 if depth > 0 && self.rng.chance(1, 3) => {
                    let result = self.result();
                    self.end(End::Return(result));
                    return false;
                }
                _ => self.compute(),
            }
        }
        true
    }

    fn compute(&mut self) {
        let op = match self.rng.below(10) {
            0..=5 => {
                let op = *self.rng.pick(BinOp::ALL);
                let width = if op == BinOp::MulHigh { Width::W64 } else { self.width() };
                Op::Bin { op, width, a: self.value(), b: self.value() }
            }
            6 | 7 => Op::Un { op: *self.rng.pick(UnOp::ALL), a: self.value() },
            8 => Op::Compare(self.test()),
            _ => Op::Select { test: self.test(), yes: self.value(), no: self.value() },
        };
        self.append(op);
    }

    fn binary(&mut self, op: BinOp, width: Width, a: Value, b: Value) -> Value {
        self.append(Op::Bin { op, width, a, b })
    }

    fn with(&mut self, op: BinOp, width: Width, a: Value, number: u64) -> Value {
        let b = self.number(number);
        self.binary(op, width, a, b)
    }

    /// What compilers write for something else.
    fn idiom(&mut self) {
        let (x, width) = (self.value(), self.width());
        let bits = u64::from(width.bits());
        let k = *self.rng.pick(&[1, 5, 8, 13, 16, 24, bits / 2, bits - 8, bits - 1]);
        match self.rng.below(9) {
            0 => {
                // A rotation.
                let (a, b) = (self.with(BinOp::Lsh, width, x, k), self.with(BinOp::Rsh, width, x, bits - k));
                let op = *self.rng.pick(&[BinOp::Or, BinOp::Add, BinOp::Xor]);
                let outer = self.width();
                self.binary(op, outer, b, a);
            }
            1 => {
                // One by a count that is not known.
                let count = self.value();
                let bits = self.number(bits);
                let opposite = self.binary(BinOp::Sub, width, bits, count);
                let (a, b) =
                    (self.binary(BinOp::Lsh, width, x, count), self.binary(BinOp::Rsh, width, x, opposite));
                self.binary(BinOp::Or, width, a, b);
            }
            2 | 3 => {
                // A field.
                let left = self.with(BinOp::Lsh, width, x, k);
                let right = *self.rng.pick(&[k, bits - k, 32, bits - 8]) % bits;
                let op = *self.rng.pick(&[BinOp::Rsh, BinOp::Arsh]);
                self.with(op, width, left, right);
            }
            4 => {
                // What becomes of something narrow.
                let narrow = Op::Un { op: *self.rng.pick(UnOp::ALL), a: x };
                let narrow = self.append(narrow);
                let op = *self.rng.pick(BinOp::ALL);
                let width = if op == BinOp::MulHigh { Width::W64 } else { width };
                let b = self.value();
                let value = self.binary(op, width, narrow, b);
                let again = Op::Un { op: *self.rng.pick(UnOp::ALL), a: value };
                self.append(again);
            }
            5 => {
                // Whether it is so, as a number that is compared.
                let inner = self.test();
                let lhs = match self.rng.below(3) {
                    0 => self.append(Op::Compare(inner)),
                    1 => {
                        let (yes, no) = (self.value(), self.value());
                        self.append(Op::Select { test: inner, yes, no })
                    }
                    _ => {
                        let (yes, no) = (self.number(1), self.number(0));
                        self.append(Op::Select { test: inner, yes, no })
                    }
                };
                let rhs = *self.rng.pick(&[0, 1, 2]);
                let rhs = self.number(rhs);
                let test = Test { lhs, rhs, ..self.test() };
                self.append(Op::Compare(test));
            }
            6 => {
                // Sums of constants.
                let (c, d) = (number(self.rng), number(self.rng));
                let ops = [BinOp::Add, BinOp::Sub, BinOp::Xor, BinOp::And, BinOp::Or, BinOp::Mul];
                let (op, other) = (*self.rng.pick(&ops), *self.rng.pick(&ops));
                let inner = self.with(op, width, x, c);
                let outer = self.width();
                self.with(other, outer, inner, d);
            }
            7 => {
                // Division by a constant, or quotient and remainder.
                let ops = [(BinOp::Div, BinOp::Mod), (BinOp::Sdiv, BinOp::Smod)];
                let (quotient, remainder) = *self.rng.pick(&ops);
                if self.rng.chance(1, 2) {
                    let b = self.value();
                    self.binary(quotient, width, x, b);
                    self.binary(remainder, width, x, b);
                } else {
                    let c = number(self.rng);
                    let op = *self.rng.pick(&[quotient, remainder]);
                    self.with(op, width, x, c);
                }
            }
            _ => {
                // A comparison of something computed.
                let op =
                    *self.rng.pick(&[BinOp::Add, BinOp::And, BinOp::Sub, BinOp::Xor, BinOp::Lsh, BinOp::Rsh]);
                let b = if self.rng.chance(1, 2) { self.value() } else { self.number(k) };
                let lhs = self.binary(op, width, x, b);
                let rhs = match self.rng.below(3) {
                    0 => self.number(0),
                    1 => b,
                    _ => self.value(),
                };
                let test = Test { lhs, rhs, ..self.test() };
                self.append(Op::Compare(test));
            }
        }
    }

    /// Two ways that meet again. Whether somebody comes there.
    fn fork(&mut self, depth: u32) -> bool {
        let test = self.test();
        let (yes, no, after) = (self.graph.block(), self.graph.block(), self.graph.block());
        let (before, carried) = (self.scope.len(), self.rng.below(4) as usize);
        // One way may be empty, or not even a block.
        let shape = self.rng.below(4);
        let mut arguments: Vec<Value> = (0..carried).map(|_| self.value()).collect();
        let around = Edge { to: after, arguments: arguments.clone() };
        let (direct, from) = (shape == 0, self.block);
        let no_edge = if direct { around } else { Edge { to: no, arguments: Vec::new() } };
        self.end(End::Branch { test, yes: Edge { to: yes, arguments: Vec::new() }, no: no_edge });
        let mut open = direct;
        for block in [Some(yes), (!direct).then_some(no)].into_iter().flatten() {
            self.block = block;
            self.scope.truncate(before);
            if shape == 1 && block == no || self.sequence(depth + 1) {
                for argument in &mut arguments {
                    if self.rng.chance(2, 3) {
                        *argument = self.value();
                    }
                    // What the other way computed is not known here.
                    if !self.known(*argument) {
                        *argument = self.length;
                    }
                }
                let arguments = arguments.clone();
                self.end(End::Jump(Edge { to: after, arguments }));
                open = true;
            }
        }
        let _ = from;
        self.scope.truncate(before);
        self.block = after;
        for _ in 0..carried {
            let param = self.graph.param(after);
            self.scope.push(param);
        }
        open
    }

    fn known(&self, value: Value) -> bool {
        self.graph.op(value).is_everywhere() || self.scope.contains(&value)
    }

    /// A loop that is run a few times.
    fn repeat(&mut self, depth: u32) {
        let (head, after) = (self.graph.block(), self.graph.block());
        let carried = self.rng.below(4) as usize;
        let times = self.rng.below(5) + 1;
        let mut arguments = vec![self.number(times)];
        arguments.extend((0..carried).map(|_| self.value()));
        self.end(End::Jump(Edge { to: head, arguments: arguments.clone() }));
        self.block = head;
        let before = self.scope.len();
        let counter = self.graph.param(head);
        for _ in 0..carried {
            let param = self.graph.param(head);
            self.scope.push(param);
        }
        let inside = self.scope.len();
        let open = self.sequence(depth + 1);
        if open {
            let minus = self.number(u64::MAX);
            let next = self
                .graph
                .append(self.block, Op::Bin { op: BinOp::Add, width: Width::W64, a: counter, b: minus });
            let site = self.site();
            let cost = self.rng.below(4) as u32;
            self.graph.append(self.block, Op::Charge { cost, site });
            let mut back = vec![next];
            for &first in &arguments[1..] {
                back.push(match self.rng.below(4) {
                    0 => first,
                    1 => *self.rng.pick(&self.scope[before..inside.max(before + 1).min(self.scope.len())]),
                    _ => self.value(),
                });
            }
            let zero = self.number(0);
            let test = Test { cond: Cond::Ne, width: Width::W64, lhs: next, rhs: zero };
            let leave = Edge { to: after, arguments: Vec::new() };
            self.end(End::Branch { test, yes: Edge { to: head, arguments: back }, no: leave });
        }
        // If nobody comes there, that is a block without a way to it.
        self.scope.truncate(if open { self.scope.len() } else { before });
        self.block = after;
    }
}
