//! Differences.

use sandbpf_isa::{Cond, Width};

use super::super::super::bits::ones;
use super::super::Walk;
use super::Answer::{self, Now, Same};
use crate::plan::graph::{BinOp, Op, Test, UnOp, Value};

impl Walk<'_> {
    pub(super) fn subtract(&mut self, width: Width, a: Value, b: Value) -> Answer {
        let all = ones(width);
        if a == b {
            return self.is(0);
        }
        if self.constant(a) == Some(0) {
            return self.negated(width, b);
        }
        let (left, right) = (self.as_binary(a), self.as_binary(b));
        let (left, right) = (
            left.filter(|&(_, inner, ..)| Self::reaches(inner, width)),
            right.filter(|&(_, inner, ..)| Self::reaches(inner, width)),
        );
        match left {
            Some((BinOp::Add, _, x, y)) if y == b => return self.itself(width, x),
            Some((BinOp::Add, _, x, y)) if x == b => return self.itself(width, y),
            Some((BinOp::Sub, _, x, y)) if x == b => return self.negated(width, y),
            _ => {}
        }
        match right {
            Some((BinOp::Add, _, x, y)) if x == a => return self.negated(width, y),
            Some((BinOp::Add, _, x, y)) if y == a => return self.negated(width, x),
            Some((BinOp::Sub, _, x, y)) if x == a => return self.itself(width, y),
            _ => {}
        }
        if let Some(size) = self.without_sign(width, left, b) {
            return size;
        }
        match (self.constant(a), right) {
            (Some(c), Some((BinOp::Add, _, x, d))) => {
                if let Some(d) = self.constant(d) {
                    let a = self.number(c.wrapping_sub(d) & all);
                    return Now(Op::Bin { op: BinOp::Sub, width, a, b: x });
                }
            }
            (Some(c), Some((BinOp::Sub, _, d, x))) => {
                if let Some(d) = self.constant(d) {
                    return Now(self.with(BinOp::Add, width, x, c.wrapping_sub(d) & all));
                }
            }
            _ => {}
        }
        if let (Some((BinOp::Add, _, x, c)), Some((BinOp::Add, _, y, d))) = (left, right) {
            if let (Some(c), Some(d)) = (self.constant(c), self.constant(d)) {
                let difference = self.put(Op::Bin { op: BinOp::Sub, width, a: x, b: y });
                return Now(self.with(BinOp::Add, width, difference, c.wrapping_sub(d) & all));
            }
        }
        match self.as_unary(b) {
            Some((UnOp::Neg64, y)) => Now(Op::Bin { op: BinOp::Add, width, a, b: y }),
            Some((UnOp::Neg32, y)) if width == Width::W32 => Now(Op::Bin { op: BinOp::Add, width, a, b: y }),
            _ => Same,
        }
    }

    /// `(x ^ s) - s`, where `s` is the sign of `x` in all bits: `x` without its sign.
    fn without_sign(
        &mut self,
        width: Width,
        left: Option<(BinOp, Width, Value, Value)>,
        signs: Value,
    ) -> Option<Answer> {
        let (BinOp::Xor, inner, a, b) = left? else { return None };
        let (BinOp::Arsh, deeper, x, last) = self.as_with(signs)? else { return None };
        let all = inner == width && deeper == width && last == u64::from(width.bits()) - 1;
        if !all || (a, b) != (x, signs) && (a, b) != (signs, x) {
            return None;
        }
        let rhs = self.number(0);
        let test = Test { cond: Cond::Slt, width, lhs: x, rhs };
        let op = if width == Width::W32 { UnOp::Neg32 } else { UnOp::Neg64 };
        let yes = self.put(Op::Un { op, a: x });
        let narrow = width == Width::W64 || self.bits.get(x) <= 0xffff_ffff;
        let no = if narrow { x } else { self.put(Op::Un { op: UnOp::Zext32, a: x }) };
        Some(Now(Op::Select { test, yes, no }))
    }
}
