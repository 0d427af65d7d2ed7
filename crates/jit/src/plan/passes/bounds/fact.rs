//! Facts: what is known of a value, and of what an operation computes from values of which something is known.

use sandbpf_isa::{Extend, Size, Width};

use super::range::{MAX32, Range};
use crate::plan::graph::{BinOp, Op, UnOp, Value};

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) range: Range,
    /// The packet has at least so many bytes more than the value says: `value + slack <= length`, not modulo anything.
    pub(crate) slack: Option<i64>,
    /// Bits that are zero.
    pub(crate) zeros: u64,
}

impl Fact {
    /// Nothing is known.
    pub(crate) const NONE: Fact = Fact { range: Range::FULL, slack: None, zeros: 0 };

    pub(crate) fn of(range: Range) -> Fact {
        Fact { range, slack: None, zeros: zeros_above(range.largest()) }
    }

    pub(crate) fn constant(number: u64) -> Fact {
        Fact { range: Range::one(number), slack: None, zeros: !number }
    }

    /// Of a range of plain numbers, with some bits zero besides.
    fn with(range: Range, zeros: u64) -> Fact {
        let mut fact = Fact::of(range);
        fact.zeros |= zeros;
        if range.is_plain() && fact.range.hi > !fact.zeros {
            fact.range.hi = (!fact.zeros).max(fact.range.lo);
        }
        fact
    }

    fn slack(self, slack: Option<i64>) -> Fact {
        Fact { slack, ..self }
    }

    /// Whether it has 32 bits.
    pub(crate) fn is_low(self) -> bool {
        self.range.largest() <= MAX32
    }

    /// What is so of both.
    pub(crate) fn join(self, other: Fact) -> Fact {
        Fact {
            range: self.range.join(other.range),
            slack: self.slack.zip(other.slack).map(|(a, b)| a.min(b)),
            zeros: self.zeros & other.zeros,
        }
    }

    /// What is so of a value of which both are known.
    pub(crate) fn meet(self, other: Fact) -> Fact {
        Fact {
            // A value that cannot be is in no run: whatever is said of it is true.
            range: self.range.meet(other.range).unwrap_or(self.range),
            slack: best(self.slack, other.slack),
            zeros: self.zeros | other.zeros,
        }
    }
}

/// The larger one, of those that there are.
pub(super) fn best(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    a.max(b)
}

/// The bits that numbers up to this one do not have.
fn zeros_above(hi: u64) -> u64 {
    match hi {
        0 => u64::MAX,
        _ => !(u64::MAX >> hi.leading_zeros()),
    }
}

/// How much more than `less` slack is, where `less` is a number that does not go around.
fn reduced(slack: Option<i64>, less: u64) -> Option<i64> {
    slack?.checked_sub(i64::try_from(less).ok()?)
}

/// What is known of the result of an operation.
#[inline]
pub(crate) fn result(op: &Op, fact: &mut impl FnMut(Value) -> Fact) -> Fact {
    match *op {
        Op::Const(number) => Fact::constant(number),
        Op::Bin { op, width, a, b } => {
            let (a, b) = (fact(a), fact(b));
            match width {
                Width::W64 => wide(op, a, b),
                Width::W32 => narrow(op, a, b),
            }
        }
        Op::Un { op, a } => unary(op, fact(a)),
        Op::Compare(_) => Fact::of(Range::up_to(1)),
        Op::Select { yes, no, .. } => fact(yes).join(fact(no)),
        Op::Load { size, extend, .. } => loaded(size, extend),
        _ => Fact::NONE,
    }
}

fn loaded(size: Size, extend: Extend) -> Fact {
    let bits = size.bytes() * 8;
    match extend {
        Extend::Zero => Fact::of(Range::up_to(u64::MAX >> (64 - bits))),
        Extend::Sign => Fact::of(signed(bits)),
    }
}

/// Numbers of so many bits with their sign.
fn signed(bits: u8) -> Range {
    Range::new((1u64 << (bits - 1)).wrapping_neg(), (1 << (bits - 1)) - 1)
}

fn wide(op: BinOp, a: Fact, b: Fact) -> Fact {
    let (x, y) = (a.range.plain(), b.range.plain());
    // The largest number with a one where one of them can have one.
    let all = !(a.zeros & b.zeros);
    let positive = x.hi >> 63 == 0 && y.hi >> 63 == 0;
    match op {
        BinOp::Add => {
            let range = a.range.sum(b.range);
            // Zeros at the low end stay if both have them.
            let low = (!(a.zeros & b.zeros)).trailing_zeros().min(63);
            let fact = Fact::with(range, (1 << low) - 1);
            let by = |slack: Option<i64>, value: Range, more: Fact| match more.range.as_one() {
                // Adding a large number takes away a small one.
                Some(number) if number >> 63 == 1 => {
                    let less = number.wrapping_neg();
                    let fits = value.is_plain() && value.lo >= less;
                    fits.then(|| slack?.checked_add(i64::try_from(less).ok()?))?
                }
                _ => {
                    let fits = value.is_plain() && value.hi.checked_add(more.range.largest()).is_some();
                    fits.then(|| reduced(slack, more.range.largest()))?
                }
            };
            fact.slack(best(by(a.slack, a.range, b), by(b.slack, b.range, a)))
        }
        BinOp::Sub => {
            let range = a.range.sum(b.range.negated());
            let low = (!(a.zeros & b.zeros)).trailing_zeros().min(63);
            let fact = Fact::with(range, (1 << low) - 1);
            let fits = x.lo >= y.hi;
            fact.slack(if fits { a.slack.and_then(|slack| slack.checked_add(y.lo as i64)) } else { None })
        }
        BinOp::Mul => {
            let low = (!a.zeros).trailing_zeros().min(64) + (!b.zeros).trailing_zeros().min(64);
            let zeros = if low >= 64 { u64::MAX } else { (1 << low) - 1 };
            match (x.lo.checked_mul(y.lo), x.hi.checked_mul(y.hi)) {
                (Some(lo), Some(hi)) => Fact::with(Range::new(lo, hi), zeros),
                _ => Fact::with(Range::FULL, zeros),
            }
        }
        BinOp::MulHigh => {
            let high = |a: u64, b: u64| BinOp::MulHigh.eval(Width::W64, a, b);
            Fact::of(Range::new(high(x.lo, y.lo), high(x.hi, y.hi)))
        }
        BinOp::Div => {
            let hi = x.hi / y.lo.max(1);
            let lo = if y.lo == 0 { 0 } else { x.lo / y.hi };
            Fact::of(Range::new(lo, hi)).slack(a.slack)
        }
        BinOp::Sdiv if positive => wide(BinOp::Div, a, b),
        BinOp::Mod if x.hi < y.lo => a,
        BinOp::Mod => {
            let hi = if y.lo == 0 { x.hi } else { x.hi.min(y.hi - 1) };
            let less = if y.lo == 0 { None } else { b.slack.and_then(|slack| slack.checked_add(1)) };
            Fact::of(Range::up_to(hi)).slack(best(a.slack, less))
        }
        BinOp::Smod if positive => wide(BinOp::Mod, a, b),
        BinOp::Sdiv | BinOp::Smod => Fact::NONE,
        BinOp::And => {
            let fact = Fact::with(Range::up_to(x.hi.min(y.hi)), a.zeros | b.zeros);
            fact.slack(best(a.slack, b.slack))
        }
        BinOp::Or => Fact::with(Range::new(x.lo.max(y.lo), all), !all),
        BinOp::Xor => Fact::with(Range::up_to(all), !all),
        BinOp::Lsh => match y.as_one() {
            Some(by) => {
                let by = by & 63;
                let zeros = a.zeros << by | ((1 << by) - 1);
                let fits = x.hi.leading_zeros() >= by as u32;
                let range = if fits { Range::new(x.lo << by, x.hi << by) } else { Range::FULL };
                Fact::with(range, zeros)
            }
            None if y.hi < 64 && u64::from(x.hi.leading_zeros()) >= y.hi => {
                Fact::of(Range::new(x.lo << y.lo, x.hi << y.hi))
            }
            None => Fact::NONE,
        },
        BinOp::Rsh => match y.as_one() {
            Some(by) => {
                let by = by & 63;
                let zeros = a.zeros >> by | !(u64::MAX >> by);
                Fact::with(Range::new(x.lo >> by, x.hi >> by), zeros).slack(a.slack)
            }
            None if y.hi < 64 => Fact::of(Range::new(x.lo >> y.hi, x.hi >> y.lo)).slack(a.slack),
            None => Fact::of(Range::up_to(x.hi)).slack(a.slack),
        },
        BinOp::Arsh if x.hi >> 63 == 0 => wide(BinOp::Rsh, a, b),
        BinOp::Arsh => match y.as_one() {
            // The order of numbers with sign stays.
            Some(by) => {
                let by = by & 63;
                let (lo, hi) = (a.range.lo as i64, a.range.hi as i64);
                let (lo, hi) = if lo <= hi { (lo, hi) } else { (i64::MIN, i64::MAX) };
                Fact::of(Range::new((lo >> by) as u64, (hi >> by) as u64))
            }
            None => Fact::NONE,
        },
        BinOp::Rol => Fact::NONE,
    }
}

fn narrow(op: BinOp, a: Fact, b: Fact) -> Fact {
    let half = |fact: Fact| Fact {
        range: fact.range.low_half(),
        // The low half is not more than all of it.
        slack: if fact.range.is_plain() { fact.slack } else { None },
        zeros: fact.zeros | !MAX32,
    };
    let (a, b) = (half(a), half(b));
    let positive = a.range.hi >> 31 == 0 && b.range.hi >> 31 == 0;
    let result = match op {
        BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Div | BinOp::Mod => wide(op, a, b),
        BinOp::And | BinOp::Or | BinOp::Xor => wide(op, a, b),
        BinOp::Sdiv if positive => wide(BinOp::Div, a, b),
        BinOp::Smod if positive => wide(BinOp::Mod, a, b),
        BinOp::Lsh | BinOp::Rsh => match b.range.as_one() {
            Some(by) => wide(op, a, Fact::constant(by & 31)),
            None if b.range.hi < 32 => wide(op, a, b),
            None if op == BinOp::Rsh => Fact::of(Range::up_to(a.range.hi)).slack(a.slack),
            None => Fact::NONE,
        },
        BinOp::Arsh if positive || a.range.hi >> 31 == 0 => narrow(BinOp::Rsh, a, b),
        _ => Fact::NONE,
    };
    // Slack that was computed without going around 64 bits may have gone around 32.
    let fits = result.range.largest() <= MAX32;
    let half = half(result);
    Fact { slack: if fits { half.slack } else { None }, ..half }
}

fn unary(op: UnOp, a: Fact) -> Fact {
    let largest = a.range.largest();
    let cut = |bits: u32| {
        let most = u64::MAX >> (64 - bits);
        if largest <= most {
            return a;
        }
        let range = if bits == 32 { a.range.low_half() } else { Range::up_to(most) };
        let slack = if a.range.is_plain() { a.slack } else { None };
        Fact::with(range, a.zeros).slack(slack)
    };
    let sign = |bits: u8| if largest >> (bits - 1) == 0 { a } else { Fact::of(signed(bits)) };
    match op {
        UnOp::Neg64 => Fact::of(a.range.negated()),
        UnOp::Neg32 => Fact::of(a.range.negated().low_half()),
        UnOp::Swap16 => Fact::of(Range::up_to(0xffff)),
        UnOp::Swap32 => Fact::of(Range::LOW),
        UnOp::Swap64 => Fact::NONE,
        UnOp::Zext8 => cut(8),
        UnOp::Zext16 => cut(16),
        UnOp::Zext32 => cut(32),
        UnOp::Sext8 => sign(8),
        UnOp::Sext16 => sign(16),
        UnOp::Sext32 => sign(32),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Some numbers, what is known of all of them, and how long the packet is.
    fn known(length: u64) -> impl Strategy<Value = (Vec<u64>, Fact)> {
        let start =
            prop::sample::select(vec![0u64, 3, 60, 1 << 16, 1 << 31, MAX32, 1 << 32, 1 << 63, u64::MAX - 2]);
        let numbers = (start, prop::collection::vec(0..40u64, 1..4), 0..4u32, prop::bool::ANY);
        numbers.prop_map(move |(start, more, scale, slack)| {
            let numbers: Vec<u64> = more.iter().map(|more| start.wrapping_add(more << scale)).collect();
            let range =
                numbers.iter().fold(Range::one(numbers[0]), |range, &number| range.join(Range::one(number)));
            let zeros = numbers.iter().fold(u64::MAX, |zeros, number| zeros & !number);
            let largest = numbers.iter().max().map_or(0, |&number| number);
            let exact = length as i128 - i128::from(largest);
            let slack = i64::try_from(exact).ok().filter(|_| slack);
            (numbers, Fact { range, slack, zeros })
        })
    }

    fn holds(fact: Fact, number: u64, length: u64) -> bool {
        fact.range.contains(number)
            && number & fact.zeros == 0
            && fact.slack.is_none_or(|slack| i128::from(number) + i128::from(slack) <= i128::from(length))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn what_is_known_of_a_result_is_so(
            (xs, a) in known(1500), (ys, b) in known(1500),
            op in prop::sample::select(BinOp::ALL), un in prop::sample::select(UnOp::ALL),
        ) {
            for &x in &xs {
                for &y in &ys {
                    for (width, fact) in [(Width::W64, wide(op, a, b)), (Width::W32, narrow(op, a, b))] {
                        if op == BinOp::MulHigh && width == Width::W32 {
                            continue;
                        }
                        let result = op.eval(width, x, y);
                        prop_assert!(holds(fact, result, 1500), "{op:?} {width:?} {x:#x} {y:#x} {result:#x} {fact:?} of {a:?} {b:?}");
                    }
                    let joined = a.join(b);
                    prop_assert!(holds(joined, x, 1500) && holds(joined, y, 1500));
                }
                let result = un.eval(x);
                prop_assert!(holds(unary(un, a), result, 1500), "{un:?} {x:#x} {result:#x} {:?}", unary(un, a));
            }
        }
    }
}
