//! How many rounds of a loop are done at once: all but the last, which leaves it by whichever of its ways out comes first.

use sandbpf_isa::{Cond, Width};

use super::Ahead;
use super::idiom::Idiom;
use crate::plan::graph::{BinOp, Edge, End, Graph, Op, Test, UnOp, Value};
use crate::plan::passes::bounds::range::turned;
use crate::plan::passes::loops::Exit;

/// Fewer bytes are not worth the way around.
const LEAST_BYTES: u64 = 64;
/// More than there can be elements in a region; counts up to this one, times costs, have 64 bits.
const MOST: u64 = 1 << 28;

/// How many rounds a loop has besides the last.
pub(super) struct Rounds(Vec<Stay>);

/// How many rounds go by before a test leaves the loop.
enum Stay {
    /// So many.
    Known(u64),
    /// As long as a value that steps up by a power of two stays unequal to, or below, another.
    Until { tested: Value, bound: Value, shift: u32, cond: Cond, width: Width, down: bool },
}

/// Fewer rounds are not worth the way around.
fn least(idiom: &Idiom) -> u64 {
    LEAST_BYTES.div_ceil(idiom.bytes)
}

impl Rounds {
    /// How it is with a loop, if it is worth the way around.
    pub(super) fn of(graph: &Graph, idiom: &Idiom) -> Option<Rounds> {
        let mut stays = Vec::new();
        if let Some(trips) = idiom.trips {
            let rounds = trips - 1;
            if !(least(idiom)..=MOST).contains(&rounds) {
                return None;
            }
            stays.push(Stay::Known(rounds));
        }
        for &(exit, _) in idiom.exits.iter().filter(|(_, trips)| trips.is_none()) {
            stays.push(Stay::of(graph, idiom, exit)?);
        }
        Some(Rounds(stays))
    }

    /// The number of rounds, with tests whether it is one that can be relied on.
    pub(super) fn count(&self, at: &mut Ahead<'_>, enter: &Edge) -> Value {
        let counts: Vec<Value> = self.0.iter().map(|stay| stay.count(at, enter)).collect();
        let count = counts.into_iter().reduce(|a, b| at.less(a, b));
        let count = count.unwrap_or_else(|| at.number(0));
        if at.graph.constant(count).is_some() {
            return count;
        }
        // There are enough rounds, and not more than there can be.
        let least = least(at.idiom);
        let above = at.with(BinOp::Add, Width::W64, count, least.wrapping_neg());
        let most = at.number(MOST - least);
        at.go_on_if(Cond::Le, above, most, enter);
        count
    }
}

impl Stay {
    /// How it is with a test that is not known to leave at a certain time.
    fn of(graph: &Graph, idiom: &Idiom, exit: Exit) -> Option<Stay> {
        let End::Branch { test, .. } = &graph.code(exit.block).end else { return None };
        let Test { cond, width, lhs, rhs } = *test;
        let stays = if exit.yes { cond.opposite()? } else { cond };
        let (step, cond, tested, bound) = match idiom.tested(graph, exit)? {
            (step, 0) => (step, stays, lhs, rhs),
            (0, step) => (step, turned(stays), rhs, lhs),
            _ => return None,
        };
        let by = step.unsigned_abs();
        if !by.is_power_of_two() || by > 1 << 16 {
            return None;
        }
        let down = step < 0;
        let fits = match cond {
            Cond::Ne => true,
            Cond::Lt | Cond::Le | Cond::Slt | Cond::Sle => !down,
            Cond::Gt | Cond::Sgt => down && by == 1,
            _ => false,
        };
        fits.then_some(Stay::Until { tested, bound, shift: by.trailing_zeros(), cond, width, down })
    }

    /// The number of rounds, with tests whether it is one that can be relied on.
    fn count(&self, at: &mut Ahead<'_>, enter: &Edge) -> Value {
        let (tested, bound, shift, cond, width, down) = match *self {
            Stay::Known(rounds) => return at.number(rounds),
            Stay::Until { tested, bound, shift, cond, width, down } => {
                (tested, bound, shift, cond, width, down)
            }
        };
        let step = 1u64 << shift;
        let (tested, bound) = (at.value(tested), at.value(bound));
        let half = |at: &mut Ahead<'_>, value: Value| match (width, at.graph.constant(value)) {
            (Width::W64, _) => value,
            (Width::W32, Some(number)) => at.number(number & u64::from(u32::MAX)),
            (Width::W32, None) => at.put(Op::Un { op: UnOp::Zext32, a: value }),
        };
        let (tested, mut bound) = (half(at, tested), half(at, bound));
        if at.idiom.narrow {
            // Counters of 32 bits, from which addresses are computed, must not go around.
            let counters = at.idiom.counters.iter().filter(|counter| counter.width == Width::W32);
            let starts: Vec<Value> = counters.map(|counter| counter.start).collect();
            let limit = at.number(u64::from(i32::MAX as u32) - step - 1);
            for start in starts {
                at.go_on_if(Cond::Le, start, limit, enter);
            }
            at.go_on_if(Cond::Le, tested, bound, enter);
        }
        // Numbers up to here are the same with and without sign, and one step further they still are.
        let most = (u64::MAX >> (65 - width.bits())) - step - 1;
        match cond {
            Cond::Ne => {
                let (from, to) = if down { (bound, tested) } else { (tested, bound) };
                let way = at.binary(BinOp::Sub, width, to, from);
                if step > 1 {
                    let rest = at.with(BinOp::And, Width::W64, way, step - 1);
                    let zero = at.number(0);
                    at.go_on_if(Cond::Eq, rest, zero, enter);
                }
                at.with(BinOp::Rsh, Width::W64, way, shift.into())
            }
            Cond::Gt | Cond::Sgt => {
                // What is above the other, and not far above: neither has a sign, and it steps by one.
                let limit = at.number(most);
                at.go_on_if(Cond::Le, tested, limit, enter);
                at.go_on_if(Cond::Gt, tested, bound, enter);
                at.binary(BinOp::Sub, Width::W64, tested, bound)
            }
            _ => {
                let limit = at.number(most);
                at.go_on_if(Cond::Le, bound, limit, enter);
                if matches!(cond, Cond::Le | Cond::Sle) {
                    bound = at.with(BinOp::Add, Width::W64, bound, 1);
                }
                at.go_on_if(Cond::Lt, tested, bound, enter);
                let way = at.binary(BinOp::Sub, Width::W64, bound, tested);
                let way = at.with(BinOp::Add, Width::W64, way, step - 1);
                at.with(BinOp::Rsh, Width::W64, way, shift.into())
            }
        }
    }
}
