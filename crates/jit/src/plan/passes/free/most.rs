//! How often loops go round at most, and what a run costs at most because of it.

use sandbpf_isa::{Cond, Width};
use sandbpf_runtime::address::REGION_SIZE;

use crate::plan::graph::{BinOp, Block, End, Entry, Graph, Op, Value};
use crate::plan::passes::bounds::fact::{self, Fact};
use crate::plan::passes::bounds::range::{MAX32, Range, turned};
use crate::plan::passes::loops::{Exit, Flow, Loop, step_from, trips};

/// A number, and another one for every byte that the packet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Most {
    pub(super) fixed: u64,
    pub(super) each: u64,
}

/// No sum of what is smaller than these, for any packet, is larger than 64 bits, or than budgets are.
const FIXED: u64 = 1 << 40;
const EACH: u64 = 1 << 20;

impl Most {
    const ZERO: Most = Most::of(0);
    const ONE: Most = Most::of(1);

    const fn of(fixed: u64) -> Most {
        Most { fixed, each: 0 }
    }

    fn checked(self) -> Option<Most> {
        (self.fixed < FIXED && self.each < EACH).then_some(self)
    }

    fn plus(self, other: Most) -> Option<Most> {
        Most { fixed: self.fixed + other.fixed, each: self.each + other.each }.checked()
    }

    fn times(self, other: Most) -> Option<Most> {
        let (fixed, crossed) = (self.fixed.checked_mul(other.fixed)?, (self.each, other.each));
        let each = match crossed {
            (each, 0) => each.checked_mul(other.fixed)?,
            (0, each) => each.checked_mul(self.fixed)?,
            _ => return None,
        };
        Most { fixed, each }.checked()
    }

    /// What it is for the longest packet.
    fn largest(self) -> u64 {
        self.fixed + self.each * REGION_SIZE
    }
}

/// What all charges of a graph come to at most, and the blocks that have some; nothing if that is not known, or if somebody looks
/// at the budget.
pub(super) fn most(graph: &Graph, flow: &Flow) -> Option<(Most, Vec<Block>)> {
    let mut rounds = vec![Most::ONE; flow.loops.len()];
    let mut extents = Extents { graph, flow, known: Vec::new() };
    // Loops around others come first: what counts in them is known when those are looked at.
    for inside in flow.loops.iter().rev() {
        let around = inside.parent.map_or(Most::ONE, |parent| rounds[parent as usize]);
        let trips = extents.trips(inside)?;
        extents.learn(inside, trips);
        rounds[inside.number] = around.times(trips)?;
    }
    let (mut total, mut blocks) = (Most::ZERO, Vec::new());
    for &block in &flow.dominators.order {
        let mut sum = Most::ZERO;
        for &value in &graph.code(block).body {
            match graph.op(value) {
                Op::Charge { cost, .. } => sum = sum.plus(Most::of((*cost).into()))?,
                Op::Budget | Op::Spend { .. } | Op::Call { .. } => return None,
                _ => {}
            }
        }
        if sum != Most::ZERO {
            let times = flow.innermost(block).map_or(Most::ONE, |inside| rounds[inside.number]);
            total = total.plus(sum.times(times)?)?;
            blocks.push(block);
        }
    }
    Some((total, blocks))
}

/// How large values are.
struct Extents<'g> {
    graph: &'g Graph,
    flow: &'g Flow,
    /// Parameters that count.
    known: Vec<(Value, Fact)>,
}

/// How far operands are followed.
const DEPTH: u32 = 5;
/// How many ways are looked at where they meet.
const WAYS: usize = 4;

impl Extents<'_> {
    fn fact(&self, value: Value, depth: u32) -> Fact {
        match self.graph.op(value) {
            Op::Const(number) => Fact::constant(*number),
            Op::Entry(Entry::Length) => Fact::of(Range::up_to(REGION_SIZE)),
            Op::Param(block) => self.carried(value, *block, depth),
            op if depth > 0 => fact::result(op, &mut |used| self.fact(used, depth - 1)),
            _ => Fact::NONE,
        }
    }

    /// What is known of a parameter: of all that arrives, or, if it counts, of how far.
    fn carried(&self, param: Value, block: Block, depth: u32) -> Fact {
        if let Some((_, fact)) = self.known.iter().find(|(known, _)| *known == param) {
            return *fact;
        }
        let ways = self.flow.incoming.to(block);
        let is_head = self.flow.innermost(block).is_some_and(|inside| inside.head == block);
        let place = self.graph.code(block).params.iter().position(|&other| other == param);
        match place {
            Some(place) if depth > 0 && !is_head && (1..=WAYS).contains(&ways.len()) => ways
                .iter()
                .map(|way| self.fact(way.edge(self.graph).arguments[place], depth - 1))
                .reduce(Fact::join)
                .unwrap_or(Fact::NONE),
            _ => Fact::NONE,
        }
    }

    /// What a number is at most.
    fn largest(&self, value: Value) -> Option<Most> {
        if let Op::Entry(Entry::Length) = self.graph.op(value) {
            return Some(Most { fixed: 0, each: 1 });
        }
        if let Op::Bin { op: BinOp::Add, width: Width::W64, a, b } = *self.graph.op(value)
            && let (Op::Entry(Entry::Length), Some(more)) = (self.graph.op(a), self.graph.constant(b))
        {
            return Most { fixed: more, each: 1 }.checked();
        }
        Most::of(self.fact(value, DEPTH).range.largest()).checked()
    }

    /// How often a loop's head is entered at most, each time that the loop is.
    fn trips(&self, inside: &Loop) -> Option<Most> {
        let (graph, flow) = (self.graph, self.flow);
        let exits = flow.exits(graph, inside);
        let always = exits.into_iter().filter(|exit| flow.is_always_passed(exit.block, inside));
        let known = |exit: Exit| match trips(graph, flow, inside, exit) {
            Some(trips) => Most::of(trips).checked(),
            None => self.tested(inside, exit),
        };
        always.filter_map(known).min_by_key(|most| (most.each, most.fixed))
    }

    /// How often a test lets a loop go on, and once more.
    fn tested(&self, inside: &Loop, exit: Exit) -> Option<Most> {
        let End::Branch { test, .. } = &self.graph.code(exit.block).end else { return None };
        if test.cond == Cond::Set {
            let both = [(test.lhs, test.rhs), (test.rhs, test.lhs)];
            let loses =
                |(value, less): (Value, Value)| self.is_less(less, value) && self.shrinks(inside, value);
            return (!exit.yes && both.into_iter().any(loses)).then_some(Most::of(66));
        }
        let stays = if exit.yes { test.cond.opposite()? } else { test.cond };
        let counted = self.counted(inside, stays, test.width, test.lhs, test.rhs);
        let counted = counted.or_else(|| self.counted(inside, turned(stays), test.width, test.rhs, test.lhs));
        counted.or_else(|| {
            let more = match (stays, self.graph.constant(test.rhs)?) {
                (Cond::Ne, number) => number == 0,
                (Cond::Ge, number) => number > 0,
                (cond, _) => cond == Cond::Gt,
            };
            (more && self.shrinks(inside, test.lhs)).then_some(Most::of(66))
        })
    }

    /// The parameter of the head that a value is, or will be, and its place.
    fn param(&self, inside: &Loop, value: Value) -> Option<(usize, Value, Value)> {
        let params = self.graph.code(inside.head).params.iter().enumerate();
        params
            .filter_map(|(place, &param)| {
                Some((place, param, self.flow.argument(self.graph, inside, place, true)?))
            })
            .find(|&(_, param, next)| value == param || value == next)
    }

    /// The same for what goes on while `value cond bound`, where `value` counts.
    fn counted(&self, inside: &Loop, cond: Cond, width: Width, value: Value, bound: Value) -> Option<Most> {
        let (place, param, next) = self.param(inside, value)?;
        let (step, counts) = step_from(self.graph, next, param)?;
        let start = self.start(inside, place).range;
        let first = if value == next && next != param { start.shift(step as u64) } else { start };
        let end = if width == Width::W64 && counts == Width::W64 { u64::MAX } else { MAX32 };
        let limit = self.fact(bound, DEPTH).range;
        let by = step.unsigned_abs();
        // The first number that is tested, if nothing is cut off.
        let first = Some(first).filter(|first| first.is_plain() && first.hi <= end);
        let limit_fits = limit.is_plain() && limit.hi <= end;
        let signed = matches!(cond, Cond::Slt | Cond::Sle | Cond::Sgt | Cond::Sge);
        if signed && (first?.hi > end / 2) {
            return None;
        }
        // So far it is, and one round more for what is left over, and the last one.
        let rounds = |way: u64| Most::of((way / by).saturating_add(2)).checked();
        match cond {
            Cond::Lt | Cond::Le | Cond::Slt | Cond::Sle if step > 0 && limit_fits => {
                let bound = self.largest(bound)?.plus(Most::ONE)?;
                // Nobody goes around the end.
                let end = if signed { end / 2 } else { end };
                if limit.hi > end || bound.largest().checked_add(by)? > end {
                    return None;
                }
                let most = rounds(bound.fixed.saturating_sub(first.map_or(0, |first| first.lo)))?;
                Most { each: bound.each.div_ceil(by), ..most }.checked()
            }
            Cond::Ne if step == 1 && limit_fits => {
                let (first, bound) = (first?, limit.as_one()?);
                if first.hi <= bound { rounds(bound - first.lo) } else { None }
            }
            Cond::Ne if step == -1 && limit_fits => {
                let (first, bound) = (first?, limit.as_one()?);
                if first.lo >= bound { rounds(first.hi - bound) } else { None }
            }
            Cond::Gt | Cond::Ge if step < 0 && limit_fits => {
                let least = limit.lo.saturating_add(u64::from(cond == Cond::Gt));
                if least >= by { rounds(first?.hi.saturating_sub(limit.lo)) } else { None }
            }
            Cond::Sgt | Cond::Sge if step < 0 => {
                let bound = self.graph.constant(bound)?;
                let bound = if width == Width::W64 { bound as i64 } else { i64::from(bound as i32) };
                let way = i64::try_from(first?.hi).ok()?.checked_sub(bound)?.max(0) as u64;
                let fits = bound.unsigned_abs() < 1 << 30 && by < 1 << 30;
                if fits { rounds(way) } else { None }
            }
            _ => None,
        }
    }

    /// What is known of a parameter of the head when the loop is entered.
    fn start(&self, inside: &Loop, place: usize) -> Fact {
        let ways = self.flow.incoming.to(inside.head).iter();
        ways.filter(|way| !self.flow.is_in(way.from, inside))
            .map(|way| self.fact(way.edge(self.graph).arguments[place], DEPTH))
            .reduce(Fact::join)
            .unwrap_or(Fact::NONE)
    }

    /// Whether a value loses a bit each time round: there are no more than 64.
    fn shrinks(&self, inside: &Loop, value: Value) -> bool {
        let Some((_, param, next)) = self.param(inside, value) else { return false };
        let Op::Bin { op, width, a, b } = *self.graph.op(next) else { return false };
        let constant = self.graph.constant(b);
        match op {
            BinOp::Rsh => a == param && constant.is_some_and(|by| by % u64::from(width.bits()) != 0),
            BinOp::Div => a == param && constant.is_some_and(|by| by > 1 && by <= MAX32),
            BinOp::And => {
                [(a, b), (b, a)].into_iter().any(|(a, less)| a == param && self.is_less(less, param))
            }
            _ => false,
        }
    }

    /// Whether a value is less than another by one.
    fn is_less(&self, value: Value, than: Value) -> bool {
        step_from(self.graph, value, than).is_some_and(|(step, _)| step == -1)
    }

    /// Knows how far a loop's counters go.
    fn learn(&mut self, inside: &Loop, trips: Most) {
        if trips.each != 0 || trips.fixed == 0 {
            return;
        }
        for counter in self.flow.counters(self.graph, inside) {
            let start = self.start(inside, counter.place).range;
            let end = if counter.width == Width::W64 { u64::MAX } else { MAX32 };
            let Some(way) = counter.step.unsigned_abs().checked_mul(trips.fixed - 1) else { continue };
            if !start.is_plain() || start.hi > end {
                continue;
            }
            let range = match counter.step >= 0 {
                true => start.hi.checked_add(way).filter(|&hi| hi <= end).map(|hi| Range::new(start.lo, hi)),
                false => start.lo.checked_sub(way).map(|lo| Range::new(lo, start.hi)),
            };
            self.known.extend(range.map(|range| (counter.param, Fact::of(range))));
        }
    }
}
