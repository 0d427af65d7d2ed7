//! Tests: how they end if that is known, and what is known below them.

use sandbpf_isa::{Cond, Width};

use super::Walk;
use super::fact::{Fact, best};
use super::range::{MAX32, Range, decide, turned};
use crate::plan::graph::{BinOp, Entry, Op, Test, UnOp, Value};

impl Walk<'_> {
    /// How a test ends, if that is known.
    pub(super) fn decided(&self, test: &Test) -> Option<bool> {
        let (a, b) = (self.fact(test.lhs), self.fact(test.rhs));
        let by_range = decide(test.cond, test.width, a.range, b.range);
        if by_range.is_some() {
            return by_range;
        }
        match test.cond {
            Cond::Set => {
                let width = if test.width == Width::W64 { u64::MAX } else { MAX32 };
                return (!a.zeros & !b.zeros & width == 0).then_some(false);
            }
            Cond::Eq | Cond::Ne => return None,
            _ => {}
        }
        if !self.compares(test, a, b) {
            return None;
        }
        // `a` against an end of the packet: `a + slack <= length`, and `b` is `length + more`.
        if let (Some(more), Some(slack)) = (self.end(test.rhs), self.slack(a)) {
            let least = more.checked_add(slack)?;
            match test.cond {
                Cond::Le | Cond::Sle if least >= 0 => return Some(true),
                Cond::Lt | Cond::Slt if least > 0 => return Some(true),
                Cond::Gt | Cond::Sgt if least >= 0 => return Some(false),
                Cond::Ge | Cond::Sge if least > 0 => return Some(false),
                _ => {}
            }
        }
        if let (Some(more), Some(slack)) = (self.end(test.lhs), self.slack(b)) {
            let least = more.checked_add(slack)?;
            match test.cond {
                Cond::Ge | Cond::Sge if least >= 0 => return Some(true),
                Cond::Gt | Cond::Sgt if least > 0 => return Some(true),
                Cond::Lt | Cond::Slt if least >= 0 => return Some(false),
                Cond::Le | Cond::Sle if least > 0 => return Some(false),
                _ => {}
            }
        }
        None
    }

    /// Whether a test compares these as numbers without sign, all of them.
    fn compares(&self, test: &Test, a: Fact, b: Fact) -> bool {
        let signed = matches!(test.cond, Cond::Slt | Cond::Sle | Cond::Sgt | Cond::Sge);
        let most = match test.width {
            Width::W64 => u64::MAX,
            Width::W32 => MAX32,
        };
        let most = if signed { most >> 1 } else { most };
        a.range.largest() <= most && b.range.largest() <= most
    }

    /// If a value is the length of the packet and a constant, that: it does not go around.
    fn end(&self, value: Value) -> Option<i64> {
        let is_length = |value: Value| matches!(self.graph.op(value), Op::Entry(Entry::Length));
        if is_length(value) {
            return Some(0);
        }
        let Op::Bin { op: BinOp::Add, width: Width::W64, a, b } = *self.graph.op(value) else { return None };
        let more = match (self.graph.constant(a), self.graph.constant(b)) {
            (Some(more), None) if is_length(b) => more,
            (None, Some(more)) if is_length(a) => more,
            _ => return None,
        };
        let length = self.fact(self.length?).range;
        let fits = more >> 62 == 0 || length.smallest() >= more.wrapping_neg();
        fits.then_some(more as i64)
    }

    /// Takes a test to be so, or not; whether that can be.
    pub(super) fn assume(&mut self, test: &Test, so: bool) -> bool {
        let Test { width, lhs, rhs, .. } = *test;
        let cond = if so { Some(test.cond) } else { test.cond.opposite() };
        let (a, b) = (self.fact(lhs), self.fact(rhs));
        let Some(cond) = cond else {
            // None of these bits is there.
            if let Some(bits) = self.graph.constant(rhs) {
                let bits = if width == Width::W64 { bits } else { bits & MAX32 };
                self.narrow(lhs, Fact { zeros: bits, ..Fact::NONE });
            }
            return true;
        };
        if width == Width::W32 && !(a.is_low() && b.is_low()) {
            let (low_a, low_b) = (a.range.low_half(), b.range.low_half());
            return Range::that(cond, width, low_b).is_some_and(|range| range.meet(low_a).is_some());
        }
        let (Some(for_a), Some(for_b)) =
            (Range::that(cond, width, b.range), Range::that(turned(cond), width, a.range))
        else {
            return false;
        };
        let (mut slack_a, mut slack_b) = (None, None);
        if self.compares(test, a, b) {
            let above = |fact: Fact, more: i64| self.slack(fact).and_then(|slack| slack.checked_add(more));
            match cond {
                Cond::Le | Cond::Sle => slack_a = above(b, 0),
                Cond::Lt | Cond::Slt => slack_a = above(b, 1),
                Cond::Ge | Cond::Sge => slack_b = above(a, 0),
                Cond::Gt | Cond::Sgt => slack_b = above(a, 1),
                Cond::Eq => (slack_a, slack_b) = (b.slack, a.slack),
                Cond::Ne | Cond::Set => {}
            }
        }
        let zeros = |other: Fact| if cond == Cond::Eq { other.zeros } else { 0 };
        let for_a = Fact { range: for_a, slack: slack_a, zeros: zeros(b) };
        let for_b = Fact { range: for_b, slack: slack_b, zeros: zeros(a) };
        self.narrow(lhs, for_a) && self.narrow(rhs, for_b)
    }

    /// Knows more of a value from here on, and of what it was computed from; whether there can be such a one.
    pub(super) fn narrow(&mut self, value: Value, more: Fact) -> bool {
        let (mut value, mut more) = (value, more);
        for _ in 0..4 {
            let before = self.facts[value.index()];
            let Some(range) = before.range.meet(more.range) else { return false };
            let mut now =
                Fact { range, slack: best(before.slack, more.slack), zeros: before.zeros | more.zeros };
            now.zeros |= Fact::of(range).zeros;
            if self.graph.constant(value).is_some() || now == before {
                return true;
            }
            self.undo.push((value, before));
            self.facts[value.index()] = now;
            // What follows of that from which it was computed.
            let (from, by) = match *self.graph.op(value) {
                Op::Bin { op: BinOp::Add, width: Width::W64, a, b } => {
                    match (self.graph.constant(a), self.graph.constant(b)) {
                        (None, Some(by)) => (a, by),
                        (Some(by), None) => (b, by),
                        _ => return true,
                    }
                }
                Op::Bin { op: BinOp::Sub, width: Width::W64, a, b } => match self.graph.constant(b) {
                    Some(by) => (a, by.wrapping_neg()),
                    None => return true,
                },
                // In 32 bits the same, as long as that does not go around.
                Op::Bin { op: BinOp::Add, width: Width::W32, a, b } => {
                    let Some(by) = self.graph.constant(b) else { return true };
                    let by = by as i32 as u64;
                    let most = self.fact(a).range;
                    if !most.shift(by).is_within(Range::LOW) {
                        return true;
                    }
                    (a, by)
                }
                Op::Un { op: UnOp::Zext32, a } if self.fact(a).is_low() => (a, 0),
                _ => return true,
            };
            let range = now.range.shift(by.wrapping_neg());
            // `from + by` does not go around: what is less than the length by so much is so by that much more.
            let plain = self.fact(from).range.meet(range).unwrap_or(range);
            let slack = now.slack.and_then(|slack| {
                let fits = plain.is_plain()
                    && now.range.is_plain()
                    && match by >> 63 {
                        0 => plain.hi.checked_add(by).is_some(),
                        _ => plain.lo >= by.wrapping_neg(),
                    };
                if fits { slack.checked_add(by as i64) } else { None }
            });
            value = from;
            more = Fact { range, slack, zeros: 0 };
        }
        true
    }
}
