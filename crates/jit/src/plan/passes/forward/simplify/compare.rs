//! Rules of comparisons, where they are computed, chosen by, or branched on.

use sandbpf_isa::{Cond, Extend, Size, Width};

use super::super::super::bits::{filled, ones};
use super::super::Walk;
use super::Answer as Computed;
use crate::plan::graph::{BinOp, Op, Test, UnOp, Value};
use Answer::{Known, Not, Now, Same};

/// What is to become of a test.
pub(super) enum Answer {
    Same,
    /// It always is so, or never.
    Known(bool),
    /// That test says the same.
    Now(Test),
    /// That test says the opposite.
    Not(Test),
}

/// The condition that holds of the operands the other way around.
fn mirrored(cond: Cond) -> Cond {
    match cond {
        Cond::Eq | Cond::Ne | Cond::Set => cond,
        Cond::Gt => Cond::Lt,
        Cond::Lt => Cond::Gt,
        Cond::Ge => Cond::Le,
        Cond::Le => Cond::Ge,
        Cond::Sgt => Cond::Slt,
        Cond::Slt => Cond::Sgt,
        Cond::Sge => Cond::Sle,
        Cond::Sle => Cond::Sge,
    }
}

/// The condition without regard to signs.
fn unsigned(cond: Cond) -> Option<Cond> {
    Some(match cond {
        Cond::Sgt => Cond::Gt,
        Cond::Sge => Cond::Ge,
        Cond::Slt => Cond::Lt,
        Cond::Sle => Cond::Le,
        _ => return None,
    })
}

impl Walk<'_> {
    pub(super) fn comparison(&mut self, test: &Test) -> Computed {
        match self.test(test) {
            Same => Computed::Same,
            Known(so) => self.is(so.into()),
            Now(test) => Computed::Now(Op::Compare(test)),
            Not(Test { cond, .. }) if cond.opposite().is_none() => Computed::Same,
            Not(test) => Computed::Now(Op::Compare(negated(test))),
        }
    }

    /// 1 for 0, and 0 for 1: of a comparison.
    pub(super) fn not(&mut self, value: Value) -> Computed {
        match *self.graph.op(value) {
            Op::Compare(test) if test.cond.opposite().is_some() => Computed::Now(Op::Compare(negated(test))),
            _ => Computed::Same,
        }
    }

    pub(super) fn selection(&mut self, test: &Test, yes: Value, no: Value) -> Computed {
        if yes == no {
            return Computed::Is(yes);
        }
        match self.test(test) {
            Same => {}
            Known(so) => return Computed::Is(if so { yes } else { no }),
            Now(test) => return Computed::Now(Op::Select { test, yes, no }),
            Not(test) => return Computed::Now(Op::Select { test, yes: no, no: yes }),
        }
        let whole =
            test.width == Width::W64 || (self.bits.get(test.lhs) | self.bits.get(test.rhs)) <= 0xffff_ffff;
        let same = (yes, no) == (test.lhs, test.rhs) || (yes, no) == (test.rhs, test.lhs);
        match test.cond {
            Cond::Eq if whole && same => return Computed::Is(no),
            Cond::Ne if whole && same => return Computed::Is(yes),
            _ => {}
        }
        match (self.constant(yes), self.constant(no)) {
            (Some(1), Some(0)) => Computed::Now(Op::Compare(*test)),
            (Some(0), Some(1)) if test.cond.opposite().is_some() => {
                Computed::Now(Op::Compare(negated(*test)))
            }
            _ => Computed::Same,
        }
    }

    pub(super) fn test(&mut self, test: &Test) -> Answer {
        let &Test { cond, width, lhs, rhs } = test;
        let (left, right) = (self.constant(lhs), self.constant(rhs));
        if let (Some(left), Some(right)) = (left, right) {
            return Known(test.eval(left, right));
        }
        if left.is_some() {
            return Now(Test { cond: mirrored(cond), width, lhs: rhs, rhs: lhs });
        }
        if lhs == rhs {
            match cond {
                Cond::Eq | Cond::Ge | Cond::Le | Cond::Sge | Cond::Sle => return Known(true),
                Cond::Ne | Cond::Gt | Cond::Lt | Cond::Sgt | Cond::Slt => return Known(false),
                Cond::Set => {
                    let rhs = self.number(0);
                    return Now(Test { cond: Cond::Ne, width, lhs, rhs });
                }
            }
        }
        let all = ones(width);
        let (mask_l, mask_r) = (self.bits.get(lhs), self.bits.get(rhs));
        if width == Width::W32 {
            let (low_l, low_r) = (self.low(lhs, 32), self.low(rhs, 32));
            if (low_l, low_r) != (lhs, rhs) {
                return Now(Test { lhs: low_l, rhs: low_r, ..*test });
            }
            if let Some(number) = right.filter(|&number| number > all) {
                let rhs = self.number(number & all);
                return Now(Test { rhs, ..*test });
            }
        }
        // Without signs, they compare as without regard to signs.
        if (mask_l | mask_r) & all & !(all >> 1) == 0 {
            if let Some(cond) = unsigned(cond) {
                return Now(Test { cond, ..*test });
            }
        }
        if width == Width::W64 {
            if let Some(narrow) = self.narrow_test(test, mask_l, mask_r) {
                return Now(narrow);
            }
        }
        match right {
            Some(right) => self.test_constant(test, mask_l & all, right),
            None => self.test_values(test),
        }
    }

    /// A test of 64 bits as one of 32.
    fn narrow_test(&mut self, test: &Test, mask_l: u64, mask_r: u64) -> Option<Test> {
        let narrow = Test { width: Width::W32, ..*test };
        let low = 0xffff_ffff;
        match test.cond {
            Cond::Set if mask_l & mask_r <= low => return Some(narrow),
            Cond::Set => return None,
            _ => {}
        }
        if mask_l | mask_r <= low && unsigned(test.cond).is_none() {
            return Some(narrow);
        }
        // With the signs of 32 bits above, order is that of 32 bits, with signs and without.
        let of = |value| match *self.graph.op(value) {
            Op::Un { op: UnOp::Sext32, a } => Some(a),
            Op::Un { op, .. } if op.is_sext() => Some(value),
            Op::Load { extend: Extend::Sign, size: Size::B | Size::H | Size::W, .. } => Some(value),
            Op::Const(number) if number as i32 as u64 == number => Some(value),
            _ if self.bits.get(value) <= low >> 1 => Some(value),
            _ => None,
        };
        Some(Test { lhs: of(test.lhs)?, rhs: of(test.rhs)?, ..narrow })
    }

    fn test_values(&mut self, test: &Test) -> Answer {
        let (left, right) = (self.as_binary(test.lhs), self.as_binary(test.rhs));
        let (Cond::Eq | Cond::Ne, Some(left), Some(right)) = (test.cond, left, right) else { return Same };
        let fits = |width| width == test.width || test.width == Width::W32;
        match (left, right) {
            // The same was added to both, or taken from them.
            ((BinOp::Add | BinOp::Xor, w, x, c), (_, v, y, d))
                if fits(w) && fits(v) && c == d && left.0 == right.0 =>
            {
                Now(Test { lhs: x, rhs: y, ..*test })
            }
            _ => Same,
        }
    }

    /// `mask` has the bits of the left side, on this width; the right side has none above it.
    fn test_constant(&mut self, test: &Test, mask: u64, right: u64) -> Answer {
        let &Test { cond, width, lhs, .. } = test;
        let all = ones(width);
        let sign = all ^ (all >> 1);
        let most = filled(mask);
        let against = |this: &mut Self, cond, number| {
            let rhs = this.number(number);
            Now(Test { cond, width, lhs, rhs })
        };
        match cond {
            Cond::Eq | Cond::Ne if right & !mask != 0 => Known(cond == Cond::Ne),
            Cond::Eq | Cond::Ne => self.equality(test, mask, right),
            Cond::Gt | Cond::Lt | Cond::Ge | Cond::Le if self.sum(test, right).is_some() => {
                self.sum(test, right).map_or(Same, Now)
            }
            Cond::Gt if right >= most => Known(false),
            Cond::Lt if right > most => Known(true),
            Cond::Lt if right == 0 => Known(false),
            Cond::Lt if right == 1 => against(self, Cond::Eq, 0),
            Cond::Gt if right == 0 => against(self, Cond::Ne, 0),
            Cond::Ge if right == 0 => Known(true),
            Cond::Ge => against(self, Cond::Gt, right - 1),
            Cond::Le if right == all => Known(true),
            Cond::Le => against(self, Cond::Lt, right + 1),
            Cond::Gt | Cond::Lt => Same,
            Cond::Sgt if right == all >> 1 => Known(false),
            Cond::Slt if right == sign => Known(false),
            Cond::Sge if right == sign => Known(true),
            Cond::Sle if right == all >> 1 => Known(true),
            Cond::Sge => against(self, Cond::Sgt, right.wrapping_sub(1) & all),
            Cond::Sle => against(self, Cond::Slt, right.wrapping_add(1) & all),
            // Something without sign is above, or is not below, what has one.
            Cond::Sgt if mask & sign == 0 && right & sign != 0 => Known(true),
            Cond::Slt if mask & sign == 0 && right & sign != 0 => Known(false),
            Cond::Sgt | Cond::Slt => Same,
            Cond::Set if mask & right == 0 => Known(false),
            Cond::Set if right & mask == mask => against(self, Cond::Ne, 0),
            Cond::Set => self.bits_set(test, right),
        }
    }

    /// Without signs: a sum that does not wrap around, against a constant, as what it is the sum of.
    fn sum(&mut self, test: &Test, right: u64) -> Option<Test> {
        let (BinOp::Add, width, x, c) = self.as_with(test.lhs)? else { return None };
        let most = filled(self.bits.get(x)).checked_add(c)?;
        // Where the sum fits into 32 bits, one of 64 is the same.
        if most > ones(width) || most > ones(test.width) || right < c {
            return None;
        }
        let rhs = self.number(right - c);
        Some(Test { lhs: x, rhs, ..*test })
    }

    fn bits_set(&mut self, test: &Test, right: u64) -> Answer {
        let tested = |this: &mut Self, lhs, number| {
            let rhs = this.number(number);
            let width = if number <= 0xffff_ffff { Width::W32 } else { Width::W64 };
            Now(Test { cond: Cond::Set, width, lhs, rhs })
        };
        if test.width == Width::W64 && right <= 0xffff_ffff {
            return tested(self, test.lhs, right);
        }
        match *self.graph.op(test.lhs) {
            Op::Bin { op: BinOp::And, width, a, b } => match self.constant(b) {
                Some(kept) => tested(self, a, right & kept & ones(width)),
                None => Same,
            },
            Op::Un { op, a } => match op {
                _ if op.is_zext() => tested(self, a, right & op.kept().unwrap_or(0)),
                UnOp::Swap16 | UnOp::Swap32 | UnOp::Swap64 => tested(self, a, op.eval(right)),
                _ => Same,
            },
            Op::Bin { op: BinOp::Lsh, width, a, b } => match self.constant(b) {
                Some(count) if count < width.bits().into() => tested(self, a, (right & ones(width)) >> count),
                _ => Same,
            },
            Op::Bin { op: BinOp::Rsh, width, a, b } => match self.constant(b) {
                Some(count) if count < width.bits().into() && right <= ones(width) >> count => {
                    let number = right << count;
                    let rhs = self.number(number);
                    // A constant of 64 bits costs more than the shift.
                    if number > 0x7fff_ffff && width == Width::W64 {
                        return Same;
                    }
                    Now(Test { cond: Cond::Set, width, lhs: a, rhs })
                }
                _ => Same,
            },
            _ => Same,
        }
    }

    fn equality(&mut self, test: &Test, mask: u64, right: u64) -> Answer {
        let &Test { cond, width, lhs, .. } = test;
        let all = ones(width);
        let reaches = |inner: Width| inner == width || width == Width::W32;
        // Whether it is so of 1; of 0 it is not.
        if mask == 1 && right <= 1 {
            if let Op::Compare(inner) = *self.graph.op(lhs) {
                return if (cond == Cond::Eq) == (right == 1) { Now(inner) } else { self.opposite(inner) };
            }
        }
        match *self.graph.op(lhs) {
            Op::Bin { op, width: inner, a, b } => match (op, self.constant(b)) {
                // What others look at, too, is compared as it is: one of them may be the next test.
                (BinOp::And, bits)
                    if right == 0 && (self.single(lhs) || bits.is_none_or(u64::is_power_of_two)) =>
                {
                    let set = Test {
                        cond: Cond::Set,
                        width: if inner == Width::W32 { inner } else { width },
                        lhs: a,
                        rhs: b,
                    };
                    return if cond == Cond::Ne { Now(set) } else { Not(set) };
                }
                // All of one bit is some of it.
                (BinOp::And, Some(bit)) if bit & ones(inner) & all == right && right.is_power_of_two() => {
                    let rhs = self.number(right);
                    let set = Test { cond: Cond::Set, width, lhs: a, rhs };
                    return if cond == Cond::Eq { Now(set) } else { Not(set) };
                }
                // A sum that is needed anyway is at hand when what it was made of is not.
                (BinOp::Add | BinOp::Xor, Some(c)) if reaches(inner) && self.single(lhs) => {
                    let number = if op == BinOp::Add { right.wrapping_sub(c) } else { right ^ c };
                    let rhs = self.number(number & all);
                    return Now(Test { cond, width, lhs: a, rhs });
                }
                (BinOp::Sub | BinOp::Xor, _) if reaches(inner) && right == 0 && self.single(lhs) => {
                    return Now(Test { cond, width, lhs: a, rhs: b });
                }
                (BinOp::Lsh, Some(k)) if inner == width && right == 0 && k < width.bits().into() => {
                    let number = all >> k;
                    if number <= 0xffff_ffff {
                        let rhs = self.number(number);
                        let set = Test { cond: Cond::Set, width, lhs: a, rhs };
                        return if cond == Cond::Ne { Now(set) } else { Not(set) };
                    }
                }
                (BinOp::Rsh, Some(k)) if inner == width && right == 0 && k < 31 => {
                    let rhs = self.number((1 << k) - 1);
                    return Now(Test {
                        cond: if cond == Cond::Ne { Cond::Gt } else { Cond::Le },
                        width,
                        lhs: a,
                        rhs,
                    });
                }
                _ => {}
            },
            Op::Un { op, a } => match op {
                UnOp::Swap16 | UnOp::Swap32 | UnOp::Swap64 if op != UnOp::Swap64 || width == Width::W64 => {
                    let low = match op {
                        UnOp::Swap16 => self.put(Op::Un { op: UnOp::Zext16, a }),
                        UnOp::Swap32 => self.put(Op::Un { op: UnOp::Zext32, a }),
                        _ => a,
                    };
                    let rhs = self.number(op.eval(right));
                    return Now(Test { cond, width, lhs: low, rhs });
                }
                UnOp::Neg64 | UnOp::Neg32 if op == UnOp::Neg64 || width == Width::W32 => {
                    let rhs = self.number(right.wrapping_neg() & all);
                    return Now(Test { cond, width, lhs: a, rhs });
                }
                _ => {}
            },
            Op::Select { test: inner, yes, no } => {
                if let (Some(yes), Some(no)) = (self.constant(yes), self.constant(no)) {
                    let (yes, no) = (yes & all == right, no & all == right);
                    let wanted = cond == Cond::Eq;
                    return match (yes == wanted, no == wanted) {
                        (true, false) => Now(inner),
                        (false, true) => self.opposite(inner),
                        (so, _) => Known(so),
                    };
                }
            }
            _ => {}
        }
        Same
    }

    fn opposite(&self, test: Test) -> Answer {
        match test.cond.opposite() {
            Some(cond) => Now(Test { cond, ..test }),
            None => Not(test),
        }
    }
}

/// The opposite test, where there is one.
fn negated(test: Test) -> Test {
    Test { cond: test.cond.opposite().unwrap_or(test.cond), ..test }
}
