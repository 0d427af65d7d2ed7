//! Ranges: what is known of how large a number can be.
//!
//! A range goes from `lo` upwards to `hi`, around the end of 64 bits if `hi` is the smaller one: so one kind of range
//! serves numbers with and without sign, and adding a constant never loses anything.

use sandbpf_isa::{Cond, Width};

/// All numbers from `lo` to `hi`, modulo 2⁶⁴.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) lo: u64,
    pub(crate) hi: u64,
}

/// The largest number of 32 bits.
pub(crate) const MAX32: u64 = u32::MAX as u64;

const SIGN64: u64 = 1 << 63;
const SIGN32: u64 = 1 << 31;

impl Range {
    /// Any number of 64 bits.
    pub(crate) const FULL: Range = Range { lo: 0, hi: u64::MAX };
    /// Any number of 32 bits.
    pub(crate) const LOW: Range = Range { lo: 0, hi: MAX32 };

    pub(crate) const fn new(lo: u64, hi: u64) -> Range {
        Range { lo, hi }
    }

    /// This number and no other.
    pub(crate) const fn one(number: u64) -> Range {
        Range { lo: number, hi: number }
    }

    /// Numbers up to this one.
    pub(crate) const fn up_to(hi: u64) -> Range {
        Range { lo: 0, hi }
    }

    /// How far it goes: one less than the numbers that it has.
    pub(crate) const fn span(self) -> u64 {
        self.hi.wrapping_sub(self.lo)
    }

    pub(crate) const fn is_full(self) -> bool {
        self.span() == u64::MAX
    }

    /// The number, if it is one.
    pub(crate) fn as_one(self) -> Option<u64> {
        (self.lo == self.hi).then_some(self.lo)
    }

    /// Whether `lo` is the smallest number without sign, and `hi` the largest.
    pub(crate) const fn is_plain(self) -> bool {
        self.lo <= self.hi
    }

    pub(crate) const fn contains(self, number: u64) -> bool {
        number.wrapping_sub(self.lo) <= self.span()
    }

    /// Whether all its numbers are of that one, too.
    pub(crate) const fn is_within(self, other: Range) -> bool {
        if other.is_full() {
            return true;
        }
        let start = self.lo.wrapping_sub(other.lo);
        start <= other.span() && self.span() <= other.span() - start
    }

    /// The smallest range without a way around the end that has all of it.
    pub(crate) const fn plain(self) -> Range {
        if self.is_plain() { self } else { Range::FULL }
    }

    /// The largest number.
    pub(crate) const fn largest(self) -> u64 {
        self.plain().hi
    }

    /// The smallest number.
    pub(crate) const fn smallest(self) -> u64 {
        self.plain().lo
    }

    /// Every number moved by one constant.
    pub(crate) const fn shift(self, by: u64) -> Range {
        Range { lo: self.lo.wrapping_add(by), hi: self.hi.wrapping_add(by) }
    }

    /// The numbers of both, or a few more where what they share is in two pieces; nothing if they share nothing.
    pub(crate) fn meet(self, other: Range) -> Option<Range> {
        let (a, b) = (self, other);
        let start = b.lo.wrapping_sub(a.lo);
        if start <= a.span() {
            if b.span() <= a.span() - start {
                return Some(b);
            }
            // It ends within `a` if it goes around as far as there.
            let piece = Range { lo: b.lo, hi: a.hi };
            if b.contains(a.lo) && start != 0 {
                return Some(if a.span() <= b.span() { a } else { b });
            }
            return Some(piece);
        }
        if !b.contains(a.lo) {
            return None;
        }
        if a.is_within(b) { Some(a) } else { Some(Range { lo: a.lo, hi: b.hi }) }
    }

    /// A range that has both: the smaller of the two ways around.
    pub(crate) fn join(self, other: Range) -> Range {
        let (a, b) = (self, other);
        if a.is_within(b) {
            return b;
        }
        if b.is_within(a) {
            return a;
        }
        let (up, down) = (Range { lo: a.lo, hi: b.hi }, Range { lo: b.lo, hi: a.hi });
        let fits = |range: Range| a.is_within(range) && b.is_within(range);
        match (fits(up), fits(down)) {
            (true, true) if up.span() == down.span() => {
                if up.is_plain() {
                    up
                } else {
                    down
                }
            }
            (true, true) => {
                if up.span() < down.span() {
                    up
                } else {
                    down
                }
            }
            (true, false) => up,
            (false, true) => down,
            (false, false) => Range::FULL,
        }
    }

    /// `a + b` of any of them.
    pub(crate) fn sum(self, other: Range) -> Range {
        match self.span().checked_add(other.span()) {
            Some(span) => {
                let lo = self.lo.wrapping_add(other.lo);
                Range { lo, hi: lo.wrapping_add(span) }
            }
            None => Range::FULL,
        }
    }

    /// `-a` of any of them.
    pub(crate) const fn negated(self) -> Range {
        Range { lo: self.hi.wrapping_neg(), hi: self.lo.wrapping_neg() }
    }

    /// The low halves of its numbers.
    pub(crate) fn low_half(self) -> Range {
        let (lo, hi) = (self.lo & MAX32, self.hi & MAX32);
        if self.span() <= MAX32 && lo <= hi { Range { lo, hi } } else { Range::LOW }
    }

    /// What a number is for which `number cond other` is so, of some number in `other`: nothing if none is.
    pub(crate) fn that(cond: Cond, width: Width, other: Range) -> Option<Range> {
        let (end, sign) = match width {
            Width::W64 => (u64::MAX, SIGN64),
            Width::W32 => (MAX32, SIGN32),
        };
        let other = match width {
            Width::W64 => other,
            Width::W32 => other.low_half(),
        };
        let plain = other.plain();
        // The smallest and the largest with sign, moved so that they compare without.
        let signed = |range: Range| {
            let moved = Range { lo: range.lo ^ sign, hi: range.hi ^ sign };
            if moved.is_plain() { moved } else { Range::up_to(end) }
        };
        let back = |lo: u64, hi: u64| match width {
            Width::W64 => Range { lo: lo ^ sign, hi: hi ^ sign },
            // Ways around the end of 32 bits are none around the end of 64.
            Width::W32 if (lo ^ sign) > (hi ^ sign) => Range::LOW,
            Width::W32 => Range { lo: lo ^ sign, hi: hi ^ sign },
        };
        Some(match cond {
            Cond::Eq => other,
            Cond::Ne => match other.as_one() {
                Some(0) => Range { lo: 1, hi: end },
                Some(number) if number == end => Range { lo: 0, hi: end - 1 },
                // All but one number, around the end.
                Some(number) if width == Width::W64 => Range { lo: number + 1, hi: number - 1 },
                _ => Range::up_to(end),
            },
            Cond::Lt => Range::up_to(plain.hi.checked_sub(1)?),
            Cond::Le => Range::up_to(plain.hi),
            Cond::Gt if plain.lo == end => return None,
            Cond::Gt => Range { lo: plain.lo + 1, hi: end },
            Cond::Ge => Range { lo: plain.lo, hi: end },
            Cond::Slt => back(0, signed(other).hi.checked_sub(1)?),
            Cond::Sle => back(0, signed(other).hi),
            Cond::Sgt if signed(other).lo == end => return None,
            Cond::Sgt => back(signed(other).lo + 1, end),
            Cond::Sge => back(signed(other).lo, end),
            // Some bit that can be there is: it is not 0.
            Cond::Set => Range { lo: 1, hi: end },
        })
    }
}

/// The same with its sides exchanged.
pub(crate) fn turned(cond: Cond) -> Cond {
    match cond {
        Cond::Eq | Cond::Ne | Cond::Set => cond,
        Cond::Lt => Cond::Gt,
        Cond::Gt => Cond::Lt,
        Cond::Le => Cond::Ge,
        Cond::Ge => Cond::Le,
        Cond::Slt => Cond::Sgt,
        Cond::Sgt => Cond::Slt,
        Cond::Sle => Cond::Sge,
        Cond::Sge => Cond::Sle,
    }
}

/// Whether it is so of all numbers of two ranges, or of none.
pub(crate) fn decide(cond: Cond, width: Width, a: Range, b: Range) -> Option<bool> {
    let (a, b) = match width {
        Width::W64 => (a, b),
        Width::W32 => (a.low_half(), b.low_half()),
    };
    let holds = |cond: Cond| match Range::that(cond, width, b) {
        // Nothing is so of any of them.
        None => Some(false),
        Some(range) => a.meet(range).is_none().then_some(false),
    };
    if holds(cond) == Some(false) {
        return Some(false);
    }
    match cond.opposite() {
        Some(opposite) if holds(opposite) == Some(false) => Some(true),
        Some(_) => None,
        None => match (a.as_one(), b.as_one()) {
            (Some(a), Some(b)) => Some(cond.eval(width, a, b)),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers near the places where something happens.
    fn number() -> impl Strategy<Value = u64> {
        (prop::sample::select(vec![0, 1 << 31, 1 << 32, 1 << 63, 100]), -5i64..5)
            .prop_map(|(near, by): (u64, i64)| near.wrapping_add(by as u64))
    }

    fn range() -> impl Strategy<Value = Range> {
        prop_oneof![
            number().prop_map(Range::one),
            (number(), 0..12u64).prop_map(|(lo, span)| Range { lo, hi: lo.wrapping_add(span) }),
            (number(), number()).prop_map(|(lo, hi)| Range { lo, hi }),
        ]
    }

    /// Some numbers of a range: its ends, and what lies near to them.
    fn some(range: Range) -> Vec<u64> {
        let near = (0..12).flat_map(|by| [range.lo.wrapping_add(by), range.hi.wrapping_sub(by)]);
        near.chain((0..5).map(|by| 1 << 31 | by)).filter(|&number| range.contains(number)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_meeting_has_what_both_have(a in range(), b in range()) {
            let met = a.meet(b);
            for number in some(a).into_iter().filter(|&number| b.contains(number)) {
                prop_assert!(met.is_some_and(|met| met.contains(number)), "{a:?} {b:?} {met:?} {number:#x}");
            }
            if let Some(met) = met {
                prop_assert!(met.span() <= a.span().min(b.span()) || met == a || met == b);
                prop_assert!(some(met).into_iter().any(|number| a.contains(number)));
            }
        }

        #[test]
        fn a_join_has_both(a in range(), b in range()) {
            let joined = a.join(b);
            prop_assert!(a.is_within(joined) && b.is_within(joined), "{a:?} {b:?} {joined:?}");
            for number in some(a).into_iter().chain(some(b)) {
                prop_assert!(joined.contains(number));
            }
        }

        #[test]
        fn sums_and_halves_are_within(a in range(), b in range()) {
            for x in some(a) {
                prop_assert!(a.negated().contains(x.wrapping_neg()));
                prop_assert!(a.low_half().contains(x & MAX32));
                for y in some(b) {
                    prop_assert!(a.sum(b).contains(x.wrapping_add(y)));
                }
            }
        }

        #[test]
        fn what_is_decided_is_so(a in range(), b in range(), cond in prop::sample::select(Cond::ALL), wide in any::<bool>()) {
            let width = if wide { Width::W64 } else { Width::W32 };
            let decided = decide(cond, width, a, b);
            let that = Range::that(cond, width, b);
            for x in some(a) {
                for y in some(b) {
                    let so = cond.eval(width, x, y);
                    prop_assert!(decided.is_none_or(|decided| decided == so), "{cond:?} {x:#x} {y:#x}");
                    let x = if wide { x } else { x & MAX32 };
                    prop_assert!(!so || that.is_some_and(|that| that.contains(x)), "{cond:?} {x:#x} {y:#x} {that:?}");
                }
            }
        }
    }

    #[test]
    fn conditions_narrow_and_decide() {
        let length = Range::up_to(1 << 28);
        let long = Range::that(Cond::Sge, Width::W64, Range::one(1500)).and_then(|range| length.meet(range));
        assert_eq!(long, Some(Range::new(1500, 1 << 28)));
        assert_eq!(decide(Cond::Slt, Width::W64, Range::new(1500, 1600), Range::one(1500)), Some(false));
        assert_eq!(decide(Cond::Lt, Width::W32, Range::new(0, 3), Range::new(4, 5)), Some(true));
        assert_eq!(decide(Cond::Lt, Width::W64, Range::new(0, 4), Range::new(4, 5)), None);
    }
}
