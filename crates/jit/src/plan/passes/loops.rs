//! Loops: which blocks run again and again, what counts in them, and how often.
//!
//! A loop is all blocks from which its head is reached again without leaving it, where the head stands on every way into
//! them. Ways back to blocks that do not dominate (nobody writes such programs by hand in C) make no loop here.

use sandbpf_isa::{Cond, Width};

use crate::plan::dominators::Dominators;
use crate::plan::graph::{BinOp, Block, Edge, End, Graph, Op, Test, Value};
use crate::plan::passes::incoming::Incoming;

/// How control flows through a graph as it was.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) dominators: Dominators,
    pub(crate) incoming: Incoming,
    /// For every block, its place in reverse postorder; of blocks that nobody comes to, the largest number.
    pub(crate) place: Vec<u32>,
    /// Those inside before those around them.
    pub(crate) loops: Vec<Loop>,
    /// For every block, the innermost loop that it is in.
    innermost: Vec<u32>,
    /// Whether there are ways back that make no loop.
    pub(crate) is_irregular: bool,
}

/// A loop.
#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) number: usize,
    pub(crate) head: Block,
    /// Its blocks in reverse postorder but for those of loops in it: the head is the first.
    pub(crate) blocks: Vec<Block>,
    /// The blocks that lead back to the head.
    pub(crate) latches: Vec<Block>,
    /// The loop around it.
    pub(crate) parent: Option<u32>,
    /// The loops in it, but for those in these.
    pub(crate) inner: Vec<u32>,
    /// How many loops there are around it, itself included.
    pub(crate) depth: u32,
}

const NONE: u32 = u32::MAX;

impl Flow {
    pub(crate) fn of(graph: &Graph) -> Flow {
        let dominators = Dominators::of(graph);
        let incoming = Incoming::of(graph, &dominators.order);
        let mut place = vec![NONE; graph.blocks.len()];
        for (at, block) in dominators.order.iter().enumerate() {
            place[block.index()] = at as u32;
        }
        let innermost = vec![NONE; graph.blocks.len()];
        let mut flow =
            Flow { dominators, incoming, place, loops: Vec::new(), innermost, is_irregular: false };
        flow.find();
        flow
    }

    /// The flow, if there are loops, and nothing else that goes round.
    pub(crate) fn of_loops(graph: &Graph) -> Option<Flow> {
        let order = graph.order();
        let mut place = vec![NONE; graph.blocks.len()];
        for (at, block) in order.iter().enumerate() {
            place[block.index()] = at as u32;
        }
        let back = |from: &Block| {
            let mut edges = graph.code(*from).end.edges();
            edges.any(|edge| place[edge.to.index()] <= place[from.index()])
        };
        if !order.iter().any(back) {
            return None;
        }
        Some(Flow::of(graph)).filter(|flow| !flow.is_irregular)
    }

    /// Whether an edge leads back (or to its own block).
    pub(crate) fn leads_back(&self, from: Block, to: Block) -> bool {
        self.place[from.index()] >= self.place[to.index()]
    }

    fn find(&mut self) {
        // The outermost loop of those found around a loop so far; ways to it grow shorter as they are gone.
        let mut outermost: Vec<u32> = Vec::new();
        // A head after the heads that it dominates.
        for at in (0..self.dominators.order.len()).rev() {
            let head = self.dominators.order[at];
            let mut latches: Vec<Block> = Vec::new();
            for from in self.incoming.to(head).iter().map(|way| way.from) {
                if !self.leads_back(from, head) || latches.last() == Some(&from) {
                    continue;
                }
                if self.dominators.dominates(head, from) {
                    latches.push(from);
                } else {
                    self.is_irregular = true;
                }
            }
            if !latches.is_empty() {
                self.gather(head, latches, &mut outermost);
            }
        }
        for number in (0..self.loops.len()).rev() {
            let parent = self.loops[number].parent;
            self.loops[number].depth = 1 + parent.map_or(0, |parent| self.loops[parent as usize].depth);
        }
    }

    fn gather(&mut self, head: Block, latches: Vec<Block>, outermost: &mut Vec<u32>) {
        let number = self.loops.len() as u32;
        outermost.push(number);
        let (mut blocks, mut inner) = (vec![head], Vec::new());
        self.innermost[head.index()] = number;
        let mut ahead = latches.clone();
        while let Some(block) = ahead.pop() {
            let inside = self.innermost[block.index()];
            let entered = if inside == NONE {
                self.innermost[block.index()] = number;
                blocks.push(block);
                block
            } else {
                // A block of a loop inside stands for all of that loop.
                let mut top = inside;
                while outermost[top as usize] != top {
                    let above = outermost[top as usize];
                    outermost[top as usize] = outermost[above as usize];
                    top = above;
                }
                if top == number {
                    continue;
                }
                outermost[top as usize] = number;
                self.loops[top as usize].parent = Some(number);
                inner.push(top);
                self.loops[top as usize].head
            };
            ahead.extend(self.incoming.to(entered).iter().map(|way| way.from));
        }
        blocks.sort_unstable_by_key(|block| self.place[block.index()]);
        self.loops.push(Loop {
            number: number as usize,
            head,
            blocks,
            latches,
            parent: None,
            inner,
            depth: 0,
        });
    }

    /// The innermost loop that a block is in.
    pub(crate) fn innermost(&self, block: Block) -> Option<&Loop> {
        self.innermost.get(block.index()).and_then(|&number| self.loops.get(number as usize))
    }

    /// Whether a block is in a loop, or in a loop in it.
    pub(crate) fn is_in(&self, block: Block, inside: &Loop) -> bool {
        let mut around = self.innermost(block);
        while let Some(one) = around {
            if one.number == inside.number {
                return true;
            }
            around = one.parent.map(|parent| &self.loops[parent as usize]);
        }
        false
    }

    /// The argument for a parameter of the head on all edges into the loop (or on all edges back), if it is one value.
    pub(crate) fn argument(&self, graph: &Graph, inside: &Loop, param: usize, back: bool) -> Option<Value> {
        let mut found = None;
        for way in self.incoming.to(inside.head) {
            if self.is_in(way.from, inside) != back {
                continue;
            }
            let value = way.edge(graph).arguments[param];
            if found.is_some_and(|found| found != value) {
                return None;
            }
            found = Some(value);
        }
        found
    }

    /// What counts in a loop.
    pub(crate) fn counters(&self, graph: &Graph, inside: &Loop) -> Vec<Counter> {
        let params = &graph.code(inside.head).params;
        let counter = |(place, &param): (usize, &Value)| {
            let next = self.argument(graph, inside, place, true)?;
            let (step, width) = step_from(graph, next, param)?;
            let start = self.argument(graph, inside, place, false)?;
            Some(Counter { param, place, start, step, width, next })
        };
        params.iter().enumerate().filter_map(counter).collect()
    }

    /// The ways out of a loop from its own blocks.
    pub(crate) fn exits(&self, graph: &Graph, inside: &Loop) -> Vec<Exit> {
        let mut exits = Vec::new();
        for &block in &inside.blocks {
            if let End::Branch { yes, no, .. } = &graph.code(block).end {
                for (edge, yes) in [(yes, true), (no, false)] {
                    if !self.is_in(edge.to, inside) {
                        exits.push(Exit { block, yes });
                    }
                }
            }
        }
        exits
    }

    /// Whether a block runs exactly once each time round.
    pub(crate) fn is_always_passed(&self, block: Block, inside: &Loop) -> bool {
        !self.is_irregular
            && self.innermost(block).is_some_and(|innermost| innermost.number == inside.number)
            && inside.latches.iter().all(|&latch| self.dominators.dominates(block, latch))
    }
}

/// A parameter of a head that each time round grows by the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counter {
    pub(crate) param: Value,
    /// Which parameter of the head it is.
    pub(crate) place: usize,
    /// What it is when the loop is entered.
    pub(crate) start: Value,
    /// By how much it grows.
    pub(crate) step: i64,
    pub(crate) width: Width,
    /// What it will be next.
    pub(crate) next: Value,
}

/// A way out of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) block: Block,
    /// Whether the `yes` of its branch leaves the loop.
    pub(crate) yes: bool,
}

/// By how much `next` is more than `value`, if that is a constant.
pub(crate) fn step_from(graph: &Graph, next: Value, value: Value) -> Option<(i64, Width)> {
    let Op::Bin { op, width, a, b } = *graph.op(next) else { return None };
    let step = match op {
        BinOp::Add if a == value => graph.constant(b)?,
        BinOp::Add if b == value => graph.constant(a)?,
        BinOp::Sub if a == value => graph.constant(b)?.wrapping_neg(),
        _ => return None,
    };
    Some(match width {
        Width::W64 => (step as i64, width),
        Width::W32 => (i64::from(step as i32), width),
    })
}

/// How often a test is made until it leaves the loop, where each time round it is made once: of a loop that counts from a
/// constant with a constant step to a constant, or does something else with constants that ends soon.
pub(crate) fn trips(graph: &Graph, flow: &Flow, inside: &Loop, exit: Exit) -> Option<u64> {
    let End::Branch { test, .. } = &graph.code(exit.block).end else { return None };
    let linear = |value: Value| -> Option<Linear> {
        if let Some(constant) = graph.constant(value) {
            return Some(Linear { start: constant, step: 0, wide: true });
        }
        let params = &graph.code(inside.head).params;
        let found = params.iter().enumerate().find_map(|(place, &param)| {
            let more = if param == value { 0 } else { step_from(graph, value, param)?.0 };
            Some((place, param, more))
        });
        let (place, param, more) = found?;
        let next = flow.argument(graph, inside, place, true)?;
        let start = graph.constant(flow.argument(graph, inside, place, false)?)?;
        let (step, width) = if next == param { (0, Width::W64) } else { step_from(graph, next, param)? };
        let narrow = |value: Value| matches!(graph.op(value), Op::Bin { width: Width::W32, .. });
        let wide = width == Width::W64 && !narrow(value);
        if !wide && start > u64::from(u32::MAX) {
            return None;
        }
        Some(Linear { start: start.wrapping_add(more as u64), step, wide })
    };
    let counted = linear(test.lhs).zip(linear(test.rhs)).and_then(|(lhs, rhs)| {
        let stays = if exit.yes { test.cond.opposite()? } else { test.cond };
        let wide = lhs.wide && rhs.wide;
        let (cond, counter, bound) = if rhs.step == 0 {
            (stays, lhs, rhs.start)
        } else if lhs.step == 0 {
            (super::bounds::range::turned(stays), rhs, lhs.start)
        } else {
            return None;
        };
        let width = match (test.width, wide) {
            (Width::W64, true) => Width::W64,
            // A counter of 32 bits meets no bound of more.
            (Width::W64, false) if bound > u64::from(u32::MAX) || cond_is_signed(cond) => return None,
            _ => Width::W32,
        };
        rounds(cond, width, counter.start, counter.step, bound)
    });
    counted.or_else(|| simulated(graph, flow, inside, test, exit.yes))
}

/// `start + step * k`
struct Linear {
    start: u64,
    step: i64,
    /// Whether it is so modulo 2⁶⁴, not only modulo 2³².
    wide: bool,
}

fn cond_is_signed(cond: Cond) -> bool {
    matches!(cond, Cond::Slt | Cond::Sle | Cond::Sgt | Cond::Sge)
}

/// How many of `start`, `start + step`, … are tested until one is not `cond bound`, that one included.
pub(crate) fn rounds(cond: Cond, width: Width, start: u64, step: i64, bound: u64) -> Option<u64> {
    let (end, sign) = match width {
        Width::W64 => (u64::MAX, 1 << 63),
        Width::W32 => (u64::from(u32::MAX), 1 << 31),
    };
    let (mut start, mut step, mut bound, mut cond) = (start & end, step, bound & end, cond);
    if cond_is_signed(cond) {
        // Moved by half of all numbers, they compare without sign as they did with it.
        (start, bound) = (start ^ sign, bound ^ sign);
        cond = match cond {
            Cond::Slt => Cond::Lt,
            Cond::Sle => Cond::Le,
            Cond::Sgt => Cond::Gt,
            _ => Cond::Ge,
        };
    }
    if step < 0 {
        // Counting down is counting up what is missing to the end.
        (start, bound, step) = (end - start, end - bound, step.checked_neg()?);
        cond = super::bounds::range::turned(cond);
    }
    let step = step as u64;
    match cond {
        Cond::Ne if start == bound => Some(1),
        Cond::Ne => {
            let way = bound.wrapping_sub(start) & end;
            (step != 0 && way % step == 0).then(|| (way / step).checked_add(1))?
        }
        Cond::Lt if start >= bound => Some(1),
        Cond::Lt => {
            // The last one must not go around the end.
            let past = (bound - 1).checked_add(step).filter(|&past| past <= end);
            (step != 0 && past.is_some()).then(|| (bound - start).div_ceil(step).checked_add(1))?
        }
        Cond::Le if bound == end => None,
        Cond::Le => rounds(Cond::Lt, width, start, step as i64, bound + 1),
        Cond::Gt if start <= bound => Some(1),
        Cond::Ge if start < bound => Some(1),
        Cond::Eq if start != bound => Some(1),
        Cond::Eq => (step & end != 0).then_some(2),
        _ => None,
    }
}

/// How often a loop that computes with nothing but constants goes round, by doing it.
fn simulated(graph: &Graph, flow: &Flow, inside: &Loop, test: &Test, yes: bool) -> Option<u64> {
    const ROUNDS: u64 = 256;
    // What the test needs, operands first; what it needs of the round before makes more.
    let mut slice = Slice { graph, head: inside.head, ops: Vec::new(), params: Vec::new() };
    let (lhs, rhs) = (slice.add(test.lhs, 0)?, slice.add(test.rhs, 0)?);
    let (mut now, mut nexts) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < slice.params.len() {
        let param = slice.params[at];
        let place = graph.code(inside.head).params.iter().position(|&other| other == param)?;
        now.push(graph.constant(flow.argument(graph, inside, place, false)?)?);
        nexts.push(slice.add(flow.argument(graph, inside, place, true)?, 0)?);
        at += 1;
    }
    let mut values = vec![0; slice.ops.len()];
    for round in 1..=ROUNDS {
        for (at, step) in slice.ops.iter().enumerate() {
            values[at] = match *step {
                Step::Constant(number) => number,
                Step::Param(place) => now[place],
                Step::Bin(op, width, a, b) => op.eval(width, values[a], values[b]),
                Step::Un(op, a) => op.eval(values[a]),
            };
        }
        if test.eval(values[lhs], values[rhs]) == yes {
            return Some(round);
        }
        now.clear();
        now.extend(nexts.iter().map(|&next| values[next]));
    }
    None
}

enum Step {
    Constant(u64),
    Param(usize),
    Bin(BinOp, Width, usize, usize),
    Un(crate::plan::graph::UnOp, usize),
}

struct Slice<'g> {
    graph: &'g Graph,
    head: Block,
    ops: Vec<Step>,
    params: Vec<Value>,
}

impl Slice<'_> {
    fn add(&mut self, value: Value, depth: u32) -> Option<usize> {
        if depth > 6 || self.ops.len() > 16 {
            return None;
        }
        let step = match *self.graph.op(value) {
            Op::Const(number) => Step::Constant(number),
            Op::Param(block) if block == self.head => {
                let known = self.params.iter().position(|&param| param == value);
                Step::Param(known.unwrap_or_else(|| {
                    self.params.push(value);
                    self.params.len() - 1
                }))
            }
            Op::Bin { op, width, a, b } => {
                Step::Bin(op, width, self.add(a, depth + 1)?, self.add(b, depth + 1)?)
            }
            Op::Un { op, a } => Step::Un(op, self.add(a, depth + 1)?),
            _ => return None,
        };
        self.ops.push(step);
        Some(self.ops.len() - 1)
    }
}

/// Gives a loop one block that leads into it and nowhere else, and says which: what is put at its end runs once before the
/// loop. Where there was none, the flow does not know of it.
pub(crate) fn entrance(graph: &mut Graph, flow: &Flow, inside: &Loop) -> Block {
    let head = inside.head;
    let outside = || flow.incoming.to(head).iter().filter(|way| !flow.is_in(way.from, inside));
    let mut from = outside().map(|way| way.from);
    if let (Some(only), None) = (from.next(), from.next())
        && matches!(graph.code(only).end, End::Jump(_))
    {
        return only;
    }
    let before = graph.block();
    graph.blocks[before.index()].cold = graph.code(head).cold;
    // What all bring along is known here; the rest are parameters.
    let mut params = Vec::new();
    let mut arguments = Vec::new();
    for place in 0..graph.code(head).params.len() {
        let argument = flow.argument(graph, inside, place, false);
        params.push(argument.is_none());
        arguments.push(argument.unwrap_or_else(|| graph.param(before)));
    }
    graph.blocks[before.index()].end = End::Jump(Edge { to: head, arguments });
    for way in outside() {
        for edge in graph.blocks[way.from.index()].end.edges_mut().filter(|edge| edge.to == head) {
            edge.to = before;
            let mut keep = params.iter();
            edge.arguments.retain(|_| keep.next().copied().unwrap_or(false));
        }
    }
    before
}
