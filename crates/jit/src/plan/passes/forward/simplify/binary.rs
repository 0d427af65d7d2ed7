//! Rules of operations on two numbers.

use sandbpf_isa::Width;

use super::super::super::bits::{filled, ones};
use super::super::Walk;
use super::Answer;
use crate::plan::graph::{BinOp, Op, UnOp, Value};
use Answer::{Is, Now, Same};

/// Whether an instruction has room for a number.
fn is_immediate(width: Width, number: u64) -> bool {
    width == Width::W32 || number as i32 as u64 == number
}

impl Walk<'_> {
    pub(super) fn binary(&mut self, op: BinOp, width: Width, a: Value, b: Value) -> Answer {
        let (left, right) = (self.constant(a), self.constant(b));
        if let (Some(left), Some(right)) = (left, right) {
            return self.is(op.eval(width, left, right));
        }
        if left.is_some() && op.commutes() {
            return Now(Op::Bin { op, width, a: b, b: a });
        }
        if width == Width::W32 {
            let (low_a, low_b) = (self.low(a, 32), self.low(b, 32));
            if (low_a, low_b) != (a, b) {
                return Now(Op::Bin { op, width, a: low_a, b: low_b });
            }
        }
        match right {
            Some(right) if right > ones(width) => Now(self.with(op, width, a, right & ones(width))),
            Some(right) => self.with_constant(op, width, a, right),
            None => self.of_values(op, width, a, b),
        }
    }

    /// The value itself, on this width.
    pub(super) fn itself(&self, width: Width, value: Value) -> Answer {
        match width {
            Width::W32 if self.bits.get(value) > ones(width) => Now(Op::Un { op: UnOp::Zext32, a: value }),
            Width::W32 | Width::W64 => Is(value),
        }
    }

    pub(super) fn negated(&self, width: Width, a: Value) -> Answer {
        Now(Op::Un { op: if width == Width::W32 { UnOp::Neg32 } else { UnOp::Neg64 }, a })
    }

    /// Whether an operation of the width `inner` says what one of the width `outer` needs, where only low bits matter.
    pub(super) fn reaches(inner: Width, outer: Width) -> bool {
        inner == outer || outer == Width::W32
    }

    fn with_constant(&mut self, op: BinOp, width: Width, a: Value, c: u64) -> Answer {
        let all = ones(width);
        let sign = all ^ (all >> 1);
        let mask = self.bits.get(a) & all;
        match (op, c) {
            (BinOp::Add | BinOp::Or | BinOp::Xor | BinOp::Sub, 0) => return self.itself(width, a),
            (BinOp::Mul | BinOp::Div | BinOp::Sdiv, 1) => return self.itself(width, a),
            (BinOp::Mod | BinOp::Smod, 0) => return self.itself(width, a),
            (BinOp::Mod | BinOp::Smod, 1) => return self.is(0),
            (BinOp::Mul | BinOp::MulHigh | BinOp::Div | BinOp::Sdiv, 0) => return self.is(0),
            _ => {}
        }
        match op {
            BinOp::Add => self.add_constant(width, a, c),
            BinOp::Sub => Now(self.with(BinOp::Add, width, a, c.wrapping_neg() & all)),
            BinOp::Mul if c.is_power_of_two() => {
                Now(self.with(BinOp::Lsh, width, a, c.trailing_zeros().into()))
            }
            BinOp::Mul if c == all => self.negated(width, a),
            BinOp::Mul => match self.as_with(a) {
                Some((BinOp::Mul, inner, x, d)) if Self::reaches(inner, width) => {
                    Now(self.with(BinOp::Mul, width, x, c.wrapping_mul(d) & all))
                }
                Some((BinOp::Lsh, inner, x, k)) if Self::reaches(inner, width) && k < width.bits().into() => {
                    Now(self.with(BinOp::Mul, width, x, c << k & all))
                }
                _ => Same,
            },
            BinOp::Sdiv | BinOp::Smod if (mask | c) & sign == 0 => {
                let op = if op == BinOp::Sdiv { BinOp::Div } else { BinOp::Mod };
                Now(self.with(op, width, a, c))
            }
            BinOp::Sdiv if c == all => self.negated(width, a),
            BinOp::Smod if c == all => self.is(0),
            BinOp::Sdiv | BinOp::Smod | BinOp::MulHigh => Same,
            BinOp::Div if filled(mask) < c => self.is(0),
            BinOp::Mod if filled(mask) < c => self.itself(width, a),
            BinOp::Div if c.is_power_of_two() => {
                Now(self.with(BinOp::Rsh, width, a, c.trailing_zeros().into()))
            }
            BinOp::Mod if c.is_power_of_two() => Now(self.with(BinOp::And, width, a, c - 1)),
            BinOp::Div | BinOp::Mod if width == Width::W64 && mask <= 0xffff_ffff => {
                Now(self.with(op, Width::W32, a, c))
            }
            BinOp::Mod => Same,
            BinOp::Div => self.divide_constant(width, a, c),
            BinOp::And => self.and_constant(width, a, c),
            BinOp::Or if c == all => self.is(all),
            BinOp::Or | BinOp::Xor => match self.as_with(a) {
                Some((inner_op, inner, x, d)) if inner_op == op && Self::reaches(inner, width) => {
                    let number = if op == BinOp::Or { c | d } else { c ^ d };
                    Now(self.with(op, width, x, number & all))
                }
                _ if op == BinOp::Xor && c == 1 => self.not(a),
                _ => Same,
            },
            BinOp::Lsh | BinOp::Rsh | BinOp::Arsh | BinOp::Rol => {
                let count = c & u64::from(width.bits() - 1);
                if count != c {
                    return Now(self.with(op, width, a, count));
                }
                if count == 0 {
                    return self.itself(width, a);
                }
                match op {
                    BinOp::Lsh => self.shift_left(width, a, count as u32),
                    BinOp::Rsh => self.shift_right(width, a, count as u32),
                    BinOp::Arsh if mask & sign == 0 => Now(self.with(BinOp::Rsh, width, a, count)),
                    BinOp::Arsh => self.shift_sign(width, a, count as u32),
                    _ => self.rotate(width, a, count as u32),
                }
            }
        }
    }

    fn add_constant(&mut self, width: Width, a: Value, c: u64) -> Answer {
        let all = ones(width);
        match self.as_with(a) {
            Some((BinOp::Add, inner, x, d)) if Self::reaches(inner, width) => {
                return Now(self.with(BinOp::Add, width, x, c.wrapping_add(d) & all));
            }
            Some((BinOp::Or, inner, x, d)) if Self::reaches(inner, width) && self.bits.get(x) & d == 0 => {
                return Now(self.with(BinOp::Add, width, x, c.wrapping_add(d) & all));
            }
            _ => {}
        }
        if let Some((BinOp::Sub, inner, d, x)) = self.as_binary(a) {
            if let (Some(d), true) = (self.constant(d), Self::reaches(inner, width)) {
                let a = self.number(c.wrapping_add(d) & all);
                return Now(Op::Bin { op: BinOp::Sub, width, a, b: x });
            }
        }
        Same
    }

    fn divide_constant(&mut self, width: Width, a: Value, c: u64) -> Answer {
        let product = match self.as_with(a) {
            Some((BinOp::Div, inner, x, d)) if inner == width => c.checked_mul(d).map(|c| (x, c)),
            Some((BinOp::Rsh, inner, x, k)) if inner == width && k < width.bits().into() => {
                c.checked_mul(1 << k).map(|c| (x, c))
            }
            _ => None,
        };
        match product {
            Some((x, c)) if c <= ones(width) => Now(self.with(BinOp::Div, width, x, c)),
            _ => Same,
        }
    }

    /// `c` is not above the width.
    fn and_constant(&mut self, width: Width, a: Value, c: u64) -> Answer {
        let mask = self.bits.get(a) & ones(width);
        if mask & c == 0 {
            return self.is(0);
        }
        if mask & !c == 0 {
            return self.itself(width, a);
        }
        for (op, kept) in [(UnOp::Zext8, 0xff), (UnOp::Zext16, 0xffff), (UnOp::Zext32, 0xffff_ffff)] {
            if mask & c == mask & kept {
                return Now(Op::Un { op, a });
            }
        }
        if width == Width::W64 && c <= 0xffff_ffff {
            return Now(self.with(BinOp::And, Width::W32, a, c));
        }
        match self.as_with(a) {
            Some((BinOp::And, _, x, d)) => return Now(self.with(BinOp::And, width, x, c & d)),
            // A sum with nothing in these bits or below.
            Some((BinOp::Add, inner, x, d)) if Self::reaches(inner, width) && d & filled(c) == 0 => {
                return Now(self.with(BinOp::And, width, x, c));
            }
            _ => {}
        }
        if let Some((op, x)) = self.as_unary(a) {
            match op.kept() {
                Some(kept) if op.is_zext() || c & !kept == 0 => {
                    return Now(self.with(BinOp::And, width, x, c & kept));
                }
                _ => {}
            }
        }
        if let Some((BinOp::Or | BinOp::Xor, inner, x, y)) = self.as_binary(a) {
            // The other one has nothing in these bits. An operation of 32 bits has nothing above, as the mask then has not.
            if Self::reaches(inner, width) || c <= 0xffff_ffff {
                if self.bits.get(y) & c == 0 {
                    return Now(self.with(BinOp::And, width, x, c));
                }
                if self.bits.get(x) & c == 0 {
                    return Now(self.with(BinOp::And, width, y, c));
                }
            }
        }
        Same
    }

    /// What a value is before bits were masked that a shift throws away anyway.
    fn unmasked(&self, value: Value, thrown: u64) -> Option<Value> {
        let (kept, x) = match *self.graph.op(value) {
            Op::Un { op, a } if op.is_zext() => (op.kept()?, a),
            Op::Un { op, a } if op.is_sext() && !op.kept()? & !thrown == 0 => (op.kept()?, a),
            Op::Bin { op: BinOp::And, width, a, b } => (self.constant(b)? & ones(width), a),
            _ => return None,
        };
        (self.bits.get(x) & !kept & !thrown == 0).then_some(x)
    }

    fn shift_left(&mut self, width: Width, a: Value, k: u32) -> Answer {
        let all = ones(width);
        if let Some(x) = self.unmasked(a, !(all >> k)) {
            return Now(self.with(BinOp::Lsh, width, x, k.into()));
        }
        match self.as_with(a) {
            Some((BinOp::Lsh, inner, x, d)) if Self::reaches(inner, width) && d < 64 => {
                if d + u64::from(k) >= width.bits().into() {
                    return self.is(0);
                }
                Now(self.with(BinOp::Lsh, width, x, d + u64::from(k)))
            }
            // If the product is needed anyway, a shift is cheaper than another one.
            Some((BinOp::Mul, inner, x, d))
                if Self::reaches(inner, width) && self.single(a) && is_immediate(width, d << k) =>
            {
                Now(self.with(BinOp::Mul, width, x, d << k & all))
            }
            Some((BinOp::Rsh, inner, x, d)) if inner == width && d == u64::from(k) => {
                Now(self.with(BinOp::And, width, x, all << k & all))
            }
            _ => Same,
        }
    }

    fn shift_right(&mut self, width: Width, a: Value, k: u32) -> Answer {
        let all = ones(width);
        let mask = self.bits.get(a) & all;
        if mask >> k == 0 {
            return self.is(0);
        }
        if width == Width::W64 && k < 32 && mask <= 0xffff_ffff {
            return Now(self.with(BinOp::Rsh, Width::W32, a, k.into()));
        }
        if let Some((BinOp::Or | BinOp::Xor, inner, x, y)) = self.as_binary(a) {
            // One of two that has nothing where the other is kept.
            if inner == width {
                if (self.bits.get(y) & all) >> k == 0 {
                    return Now(self.with(BinOp::Rsh, width, x, k.into()));
                }
                if (self.bits.get(x) & all) >> k == 0 {
                    return Now(self.with(BinOp::Rsh, width, y, k.into()));
                }
            }
        }
        // What is above the width is zero, and stays so, in both.
        if let Some(x) = self.unmasked(a, !all | !(all << k)) {
            return Now(self.with(BinOp::Rsh, width, x, k.into()));
        }
        match (self.as_with(a), self.as_unary(a)) {
            (Some((BinOp::Rsh, inner, x, d)), _) if inner == width && d < 64 => {
                if d + u64::from(k) >= width.bits().into() {
                    return self.is(0);
                }
                Now(self.with(BinOp::Rsh, width, x, d + u64::from(k)))
            }
            (Some((BinOp::Lsh, inner, x, d)), _) if inner == width && d < width.bits().into() => {
                self.field(width, x, d as u32, k)
            }
            (_, Some((UnOp::Swap64, x))) if k == 32 => Now(Op::Un { op: UnOp::Swap32, a: x }),
            (_, Some((UnOp::Swap64, x))) if k == 48 => Now(Op::Un { op: UnOp::Swap16, a: x }),
            (_, Some((UnOp::Swap32, x))) if k == 16 => Now(Op::Un { op: UnOp::Swap16, a: x }),
            _ => Same,
        }
    }

    /// `x << left >> right`
    fn field(&mut self, width: Width, x: Value, left: u32, right: u32) -> Answer {
        let mask = ones(width) >> right;
        if width == Width::W64 && left == 32 && right < 32 {
            let low = self.put(Op::Un { op: UnOp::Zext32, a: x });
            return Now(self.with(BinOp::Lsh, width, low, (32 - right).into()));
        }
        if width == Width::W64 && left == 32 && right > 32 {
            return Now(self.with(BinOp::Rsh, Width::W32, x, (right - 32).into()));
        }
        if mask > 0xffff_ffff {
            return Same;
        }
        let x = match left.cmp(&right) {
            std::cmp::Ordering::Equal => x,
            std::cmp::Ordering::Less => {
                let op = self.with(BinOp::Rsh, width, x, (right - left).into());
                self.put(op)
            }
            std::cmp::Ordering::Greater => {
                let op = self.with(BinOp::Lsh, width, x, (left - right).into());
                self.put(op)
            }
        };
        Now(self.with(BinOp::And, width, x, mask))
    }

    fn shift_sign(&mut self, width: Width, a: Value, k: u32) -> Answer {
        let bits = width.bits();
        match self.as_with(a) {
            Some((BinOp::Arsh, inner, x, d)) if inner == width && d < bits.into() => {
                let count = (d + u64::from(k)).min((bits - 1).into());
                Now(self.with(BinOp::Arsh, width, x, count))
            }
            Some((BinOp::Lsh, inner, x, d)) if inner == width => {
                let op = match (width, d) {
                    (Width::W64, 32) => UnOp::Sext32,
                    (Width::W64, 48) | (Width::W32, 16) => UnOp::Sext16,
                    (Width::W64, 56) | (Width::W32, 24) => UnOp::Sext8,
                    _ => return Same,
                };
                let x = self.put(Op::Un { op, a: x });
                match u64::from(k).cmp(&d) {
                    std::cmp::Ordering::Equal => self.itself(width, x),
                    std::cmp::Ordering::Greater => Now(self.with(BinOp::Arsh, width, x, u64::from(k) - d)),
                    std::cmp::Ordering::Less => Now(self.with(BinOp::Lsh, width, x, d - u64::from(k))),
                }
            }
            _ => Same,
        }
    }

    fn of_values(&mut self, op: BinOp, width: Width, a: Value, b: Value) -> Answer {
        let sign = ones(width) ^ (ones(width) >> 1);
        let (mask_a, mask_b) = (self.bits.get(a), self.bits.get(b));
        match op {
            BinOp::Add | BinOp::Or | BinOp::Xor => match self.rotation(op, width, a, b) {
                Same => match op {
                    BinOp::Add => self.add(width, a, b),
                    _ => self.or(op, width, a, b),
                },
                answer => answer,
            },
            BinOp::Sub => self.subtract(width, a, b),
            BinOp::And if a == b => self.itself(width, a),
            BinOp::And | BinOp::Mul | BinOp::MulHigh => Same,
            BinOp::Mod | BinOp::Smod if a == b => self.is(0),
            BinOp::Sdiv if (mask_a | mask_b) & sign == 0 => Now(Op::Bin { op: BinOp::Div, width, a, b }),
            BinOp::Smod if (mask_a | mask_b) & sign == 0 => Now(Op::Bin { op: BinOp::Mod, width, a, b }),
            BinOp::Div | BinOp::Mod if width == Width::W64 && (mask_a | mask_b) <= 0xffff_ffff => {
                Now(Op::Bin { op, width: Width::W32, a, b })
            }
            BinOp::Div | BinOp::Mod | BinOp::Sdiv | BinOp::Smod => Same,
            BinOp::Lsh | BinOp::Rsh | BinOp::Arsh | BinOp::Rol => self.shift_by(op, width, a, b),
        }
    }

    fn add(&mut self, width: Width, a: Value, b: Value) -> Answer {
        if a == b {
            return Now(self.with(BinOp::Lsh, width, a, 1));
        }
        for (a, b) in [(a, b), (b, a)] {
            match (self.as_binary(a), self.as_unary(a)) {
                (Some((BinOp::Sub, inner, x, y)), _) if y == b && Self::reaches(inner, width) => {
                    return self.itself(width, x);
                }
                (_, Some((UnOp::Neg64, y))) => return Now(Op::Bin { op: BinOp::Sub, width, a: b, b: y }),
                (_, Some((UnOp::Neg32, y))) if width == Width::W32 => {
                    return Now(Op::Bin { op: BinOp::Sub, width, a: b, b: y });
                }
                _ => {}
            }
        }
        Same
    }

    /// Or, and exclusive or.
    fn or(&mut self, op: BinOp, width: Width, a: Value, b: Value) -> Answer {
        if a == b {
            return if op == BinOp::Or { self.itself(width, a) } else { self.is(0) };
        }
        for (a, b) in [(a, b), (b, a)] {
            if let (Some((BinOp::Xor, inner, x, y)), BinOp::Xor) = (self.as_binary(a), op) {
                if Self::reaches(inner, width) && (x == b || y == b) {
                    return self.itself(width, if x == b { y } else { x });
                }
            }
        }
        match (self.masked(a), self.masked(b)) {
            (Some((x, c)), Some((y, d))) if x == y && (op == BinOp::Or || c & d == 0) => {
                Now(self.with(BinOp::And, width, x, (c | d) & ones(width)))
            }
            _ => Same,
        }
    }

    /// A value of which some bits are taken, and those.
    fn masked(&self, value: Value) -> Option<(Value, u64)> {
        match *self.graph.op(value) {
            Op::Un { op, a } if op.is_zext() => Some((a, op.kept()?)),
            Op::Bin { op: BinOp::And, width, a, b } => Some((a, self.constant(b)? & ones(width))),
            _ => None,
        }
    }

    /// Shifts and rotations by what is no constant: of that, only the lowest bits count.
    fn shift_by(&mut self, op: BinOp, width: Width, a: Value, b: Value) -> Answer {
        let bits = width.bits();
        let count = self.low(b, bits.ilog2());
        if count != b {
            return Now(Op::Bin { op, width, a, b: count });
        }
        match self.as_binary(b) {
            Some((BinOp::Add, _, x, c)) if self.constant(c).is_some_and(|c| c % u64::from(bits) == 0) => {
                Now(Op::Bin { op, width, a, b: x })
            }
            Some((BinOp::Sub, _, c, x)) if self.constant(c).is_some_and(|c| c % u64::from(bits) == 0) => {
                let b = self.put(Op::Un { op: UnOp::Neg32, a: x });
                Now(Op::Bin { op, width, a, b })
            }
            _ => match self.as_unary(b) {
                Some((UnOp::Neg64, x)) => {
                    let b = self.put(Op::Un { op: UnOp::Neg32, a: x });
                    Now(Op::Bin { op, width, a, b })
                }
                _ => Same,
            },
        }
    }
}
