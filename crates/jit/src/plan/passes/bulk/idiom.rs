//! What a loop does to memory, if it is the same for every element.

use sandbpf_isa::{Extend, Size, Width};

use super::sums::{Ramp, Sum};
use super::writes::Write;
use crate::plan::graph::{Address, BinOp, Block, End, Graph, Op, Region, UnOp, Value};
use crate::plan::passes::loops::{Counter, Exit, Flow, Loop, step_from, trips};

/// How many values a loop may have for us to look at it.
const LARGEST: usize = 48;

/// A loop that goes straight through its blocks.
#[derive(Debug)]
pub(super) struct Idiom {
    pub(super) head: Block,
    /// All that is computed in it.
    values: Vec<Value>,
    /// Parameters of blocks behind the head, and what they are.
    renames: Vec<(Value, Value)>,
    pub(super) counters: Vec<Counter>,
    /// The ways out, and how often the test of each is made until it leaves, if that is known.
    pub(super) exits: Vec<(Exit, Option<u64>)>,
    /// How often tests are made at most, if that is known.
    pub(super) trips: Option<u64>,
    /// What a round costs that does not leave the loop.
    pub(super) cost: u32,
    pub(super) sums: Vec<Sum>,
    pub(super) ramps: Vec<Ramp>,
    pub(super) write: Option<Write>,
    /// How many bytes of a range a round goes through at least.
    pub(super) bytes: u64,
    /// Whether some range is gone through downwards.
    pub(super) down: bool,
    /// Whether addresses are computed from counters of 32 bits that may go around, as far as is known.
    pub(super) narrow: bool,
}

impl Idiom {
    /// What a loop does, if that can be done at once.
    pub(super) fn of(graph: &Graph, flow: &Flow, inside: &Loop) -> Option<Idiom> {
        let mut idiom = Idiom {
            head: inside.head,
            values: Vec::new(),
            renames: Vec::new(),
            counters: Vec::new(),
            exits: Vec::new(),
            trips: None,
            cost: 0,
            sums: Vec::new(),
            ramps: Vec::new(),
            write: None,
            bytes: u64::MAX,
            down: false,
            narrow: false,
        };
        let path = idiom.path(graph, flow, inside)?;
        idiom.counters = flow.counters(graph, inside);
        for (exit, rounds) in &mut idiom.exits {
            *rounds = trips(graph, flow, inside, *exit);
        }
        idiom.trips = idiom.exits.iter().filter_map(|(_, rounds)| *rounds).min();
        let back = graph.code(*path.last()?).end.edges().find(|edge| edge.to == inside.head)?;
        idiom.accumulate(graph, back)?;
        let body = || path.iter().flat_map(|&block| &graph.code(block).body).copied();
        let mut stored = Vec::new();
        for value in body() {
            match graph.op(value) {
                // What others share is accessed as the program says.
                Op::Load { at, .. } | Op::Store { at, .. } if matches!(at.region, Some(Region::Far(_))) => {
                    return None;
                }
                Op::Bin { .. } | Op::Un { .. } | Op::Compare(_) | Op::Select { .. } | Op::Load { .. } => {}
                Op::Charge { cost, .. } => idiom.cost = idiom.cost.checked_add(*cost)?,
                Op::Store { .. } => stored.push(value),
                _ => return None,
            }
        }
        if let Some(&first) = stored.first() {
            idiom.write = Some(idiom.all_written(graph, &stored)?);
            // What is added up must not be what was written before, nor what will have been when sums come first.
            let (to, element) = idiom.write.and_then(|write| Some((write.what.to()?, write.element)))?;
            for sum in idiom.sums.iter().filter(|sum| sum.from.region == to.region) {
                let before = body().find(|&value| value == first || value == sum.load);
                let alike = idiom.same(&sum.from, &to) && sum.element == element;
                if before == Some(first) || !alike || sum.several > 1 || stored.len() > 1 {
                    return None;
                }
            }
        }
        idiom.narrow =
            idiom.trips.is_none() && idiom.counters.iter().any(|counter| counter.width == Width::W32);
        let known = idiom.exits.iter().all(|(_, trips)| trips.is_some());
        if idiom.sums.is_empty() && idiom.write.is_none() || idiom.down && !known {
            return None;
        }
        Some(idiom)
    }

    /// The blocks from the head on, if there is but one way round.
    fn path(&mut self, graph: &Graph, flow: &Flow, inside: &Loop) -> Option<Vec<Block>> {
        let mut path = vec![inside.head];
        self.values.extend(&graph.code(inside.head).params);
        loop {
            let block = *path.last()?;
            let code = graph.code(block);
            self.values.extend(&code.body);
            if self.values.len() > LARGEST || path.len() > inside.blocks.len() {
                return None;
            }
            let edge = match &code.end {
                End::Jump(edge) => edge,
                End::Branch { yes, no, .. } => {
                    let (stays, yes) = match (flow.is_in(yes.to, inside), flow.is_in(no.to, inside)) {
                        (true, false) => (yes, false),
                        (false, true) => (no, true),
                        _ => return None,
                    };
                    self.exits.push((Exit { block, yes }, None));
                    stays
                }
                End::Return(_) | End::Unreachable => return None,
            };
            if edge.to == inside.head {
                break;
            }
            let params = &graph.code(edge.to).params;
            self.values.extend(params);
            for (&param, &argument) in params.iter().zip(&edge.arguments) {
                let argument = self.resolve(argument);
                self.renames.push((param, argument));
            }
            path.push(edge.to);
        }
        (path.len() == inside.blocks.len() && !self.exits.is_empty()).then_some(path)
    }

    /// What a value is: arguments for parameters behind the head.
    pub(super) fn resolve(&self, value: Value) -> Value {
        self.renames.iter().find(|(param, _)| *param == value).map_or(value, |&(_, argument)| argument)
    }

    /// Whether a value is computed in the loop.
    pub(super) fn is_inside(&self, value: Value) -> bool {
        self.values.contains(&value)
    }

    /// By how much a value grows each time round.
    pub(super) fn stride(&self, graph: &Graph, value: Value) -> Option<i64> {
        self.grows(graph, value, 0)
    }

    fn grows(&self, graph: &Graph, value: Value, depth: u32) -> Option<i64> {
        let value = self.resolve(value);
        if !self.is_inside(value) {
            return Some(0);
        }
        if let Some(counter) = self.counters.iter().find(|counter| counter.param == value) {
            return self.is_low(graph, counter).then_some(counter.step);
        }
        if depth == 6 {
            return None;
        }
        let grows = |value: Value| self.grows(graph, value, depth + 1);
        match *graph.op(value) {
            Op::Bin { op: BinOp::Add, width: Width::W64, a, b } => grows(a)?.checked_add(grows(b)?),
            Op::Bin { op: BinOp::Sub, width: Width::W64, a, b } => grows(a)?.checked_sub(grows(b)?),
            Op::Bin { op: BinOp::Lsh, width: Width::W64, a, b } => {
                let by = graph.constant(b).filter(|&by| by < 32)?;
                grows(a)?.checked_mul(1 << by)
            }
            Op::Bin { op: BinOp::Mul, width: Width::W64, a, b } => {
                grows(a)?.checked_mul(i64::try_from(graph.constant(b)?).ok()?)
            }
            // The next of a counter of 32 bits, where that does not go around.
            Op::Bin { op: BinOp::Add, width: Width::W32, .. } => {
                let next = |counter: &&Counter| self.resolve(counter.next) == value;
                let counter = self.counters.iter().find(next)?;
                self.is_low(graph, counter).then_some(counter.step)
            }
            // Where the counter itself has 32 bits.
            Op::Un { op: UnOp::Zext32, a } => {
                let a = self.resolve(a);
                let counter = self.counters.iter().find(|counter| counter.param == a || counter.next == a)?;
                (counter.width == Width::W32 && self.is_low(graph, counter)).then_some(counter.step)
            }
            _ => None,
        }
    }

    /// Whether a counter does not go around, or that can be seen to before the loop.
    fn is_low(&self, graph: &Graph, counter: &Counter) -> bool {
        if counter.width == Width::W64 {
            return true;
        }
        let Some(trips) = self.trips else { return is_narrow(graph, counter.start) };
        let ends = || {
            let start = i64::try_from(graph.constant(counter.start)?).ok()?;
            let rounds = i64::try_from(trips).ok()?;
            Some((start, start.checked_add(counter.step.checked_mul(rounds)?)?))
        };
        let low = |number: i64| u32::try_from(number).is_ok();
        ends().is_some_and(|(first, last)| low(first) && low(last))
    }

    /// By how much an address grows.
    pub(super) fn walks(&self, graph: &Graph, at: &Address) -> Option<i64> {
        let index = match at.index {
            Some((index, scale)) => self.stride(graph, index)?.checked_mul(1 << scale)?,
            None => 0,
        };
        self.stride(graph, at.base)?.checked_add(index)
    }

    /// Whether an address goes from one element to the next, or over several upwards, and whether downwards.
    pub(super) fn range(&mut self, graph: &Graph, at: &Address, size: Size, several: usize) -> Option<bool> {
        // Memory of others may change between elements.
        if !matches!(at.region, Some(Region::Stack | Region::Context | Region::Packet)) {
            return None;
        }
        let (step, bytes) = (self.walks(graph, at)?, i64::from(size.bytes()) * several as i64);
        let down = step < 0;
        if step != bytes && step != -bytes || down && several > 1 {
            return None;
        }
        // Downwards the range starts so many bytes before its first element.
        let near = self.trips.is_some_and(|trips| trips < 1 << 24) && at.disp.checked_sub(1 << 27).is_some();
        if down && !near {
            return None;
        }
        self.down |= down;
        self.bytes = self.bytes.min(step.unsigned_abs());
        Some(down)
    }

    /// Whether two addresses are the same each time round.
    pub(super) fn same(&self, a: &Address, b: &Address) -> bool {
        self.is_beside(a, b) && a.disp == b.disp
    }

    /// Whether two addresses are always as far apart as their displacements.
    pub(super) fn is_beside(&self, a: &Address, b: &Address) -> bool {
        let index = |at: &Address| at.index.map(|(index, scale)| (self.resolve(index), scale));
        self.resolve(a.base) == self.resolve(b.base) && index(a) == index(b)
    }

    /// The load that a value is the low bytes of, so many at least.
    pub(super) fn loaded(&self, graph: &Graph, value: Value, bytes: u8) -> Option<(Address, Size, bool)> {
        let value = self.resolve(value);
        if !self.is_inside(value) {
            return None;
        }
        match *graph.op(value) {
            Op::Load { at, size, swap, .. } if size.bytes() == bytes => Some((at, size, swap)),
            Op::Un { op: UnOp::Zext32 | UnOp::Sext32, a } if bytes <= 4 => self.loaded(graph, a, bytes),
            Op::Un { op: UnOp::Zext16 | UnOp::Sext16, a } if bytes <= 2 => self.loaded(graph, a, bytes),
            Op::Un { op: UnOp::Zext8 | UnOp::Sext8, a } if bytes == 1 => self.loaded(graph, a, bytes),
            _ => None,
        }
    }

    /// By how much the tested value grows, and what it is tested against, both sides as the test has them.
    pub(super) fn tested(&self, graph: &Graph, exit: Exit) -> Option<(i64, i64)> {
        let End::Branch { test, .. } = &graph.code(exit.block).end else { return None };
        let step = |value: Value| match (test.width, self.narrow_step(graph, value)) {
            (Width::W32, Some(step)) => Some(step),
            _ => self.stride(graph, value),
        };
        Some((step(test.lhs)?, step(test.rhs)?))
    }

    /// By how much the low half of a value grows.
    fn narrow_step(&self, graph: &Graph, value: Value) -> Option<i64> {
        let value = self.resolve(value);
        let of = |counter: &Counter| {
            let (param, next) = (counter.param, self.resolve(counter.next));
            value == param || value == next || step_from(graph, value, param).is_some()
        };
        self.counters.iter().find(|counter| of(counter)).map(|counter| counter.step)
    }
}

/// Whether a value has 32 bits, as far as one can see.
fn is_narrow(graph: &Graph, value: Value) -> bool {
    match graph.op(value) {
        Op::Const(number) => *number <= u64::from(u32::MAX),
        Op::Bin { width: Width::W32, .. } | Op::Un { op: UnOp::Zext32 | UnOp::Zext16 | UnOp::Zext8, .. } => {
            true
        }
        Op::Load { size, extend: Extend::Zero, .. } => size.bytes() <= 4,
        _ => false,
    }
}
