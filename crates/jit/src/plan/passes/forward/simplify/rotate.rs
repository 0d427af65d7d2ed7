//! Rules of rotations: BPF has none, so that compilers write two shifts and join what they leave.

use sandbpf_isa::Width;

use super::super::super::bits::ones;
use super::super::Walk;
use super::Answer;
use crate::plan::graph::{BinOp, Op, UnOp, Value};
use Answer::{Now, Same};

impl Walk<'_> {
    /// `(x << k) | (x >> (bits - k))`, or joined by addition or exclusive or: the parts have no bits in common.
    pub(super) fn rotation(&mut self, op: BinOp, width: Width, a: Value, b: Value) -> Answer {
        let (Some(a), Some(b)) = (self.as_binary(a), self.as_binary(b)) else { return Same };
        match (a, b) {
            ((BinOp::Lsh, ..), (BinOp::Rsh, ..)) => self.rotated(op, width, a, b),
            ((BinOp::Rsh, ..), (BinOp::Lsh, ..)) => self.rotated(op, width, b, a),
            ((BinOp::Mul, ..), (BinOp::Rsh, ..)) => self.rotated_product(width, a, b),
            ((BinOp::Rsh, ..), (BinOp::Mul, ..)) => self.rotated_product(width, b, a),
            _ => Same,
        }
    }

    /// `(x * (c << k)) | (x * c >> (bits - k))`: the shift to the left went into the factor.
    fn rotated_product(
        &mut self,
        outer: Width,
        (_, width, x, factor): (BinOp, Width, Value, Value),
        (_, other, product, right): (BinOp, Width, Value, Value),
    ) -> Answer {
        let (Some(factor), Some(right)) = (self.constant(factor), self.constant(right)) else { return Same };
        let Some((BinOp::Mul, inner, y, c)) = self.as_with(product) else { return Same };
        if x != y || width != other || inner != width || (width, outer) == (Width::W64, Width::W32) {
            return Same;
        }
        let Some(left) = u64::from(width.bits()).checked_sub(right).filter(|left| (1..64).contains(left))
        else {
            return Same;
        };
        if c << left & ones(width) != factor & ones(width) {
            return Same;
        }
        Now(self.with(BinOp::Rol, width, product, left))
    }

    fn rotated(
        &mut self,
        op: BinOp,
        outer: Width,
        (_, width, x, left): (BinOp, Width, Value, Value),
        (_, other, y, right): (BinOp, Width, Value, Value),
    ) -> Answer {
        let (left_count, right_count) = (self.constant(left), self.constant(right));
        if let (Some(left), Some(right)) = (left_count, right_count) {
            // The low half of a rotation of 64 bits.
            if outer == Width::W32 && other == Width::W64 && left < 32 && left + right == 64 {
                let Some(x) = self.same_but_for(Width::W64, x, y, left, right) else { return Same };
                let rotated = self.with(BinOp::Rol, Width::W64, x, left);
                let rotated = self.put(rotated);
                return Now(Op::Un { op: UnOp::Zext32, a: rotated });
            }
        }
        // Parts of 32 bits have zeros above, and so has what they are joined to.
        if width != other || (width, outer) == (Width::W64, Width::W32) {
            return Same;
        }
        let (x, count) = match (left_count, right_count) {
            (Some(left), Some(right)) if left + right == width.bits().into() => {
                let Some(x) = self.same_but_for(width, x, y, left, right) else { return Same };
                (x, left)
            }
            (None, None) if op == BinOp::Or && x == y => {
                // By a count of zero, both parts are all of `x`.
                let opposite = |a, b| self.as_unary(a) == Some((UnOp::Neg32, b));
                if !opposite(left, right) && !opposite(right, left) {
                    return Same;
                }
                return Now(Op::Bin { op: BinOp::Rol, width, a: x, b: left });
            }
            _ => return Same,
        };
        Now(self.with(BinOp::Rol, width, x, count))
    }

    /// The value that `x << left` and `y >> right` are both parts of, if there is one: either may have been changed where its
    /// shift throws bits away.
    fn same_but_for(&self, width: Width, x: Value, y: Value, left: u64, right: u64) -> Option<Value> {
        if x == y {
            return Some(x);
        }
        let reaches = |inner| inner == Width::W64 || width == Width::W32;
        match self.as_with(y) {
            Some((BinOp::Xor | BinOp::Or, inner, base, c))
                if reaches(inner) && base == x && c << left == 0 =>
            {
                return Some(y);
            }
            _ => {}
        }
        match self.as_with(x) {
            Some((BinOp::Xor | BinOp::Or, inner, base, c))
                if reaches(inner) && base == y && c >> right == 0 =>
            {
                Some(x)
            }
            _ => None,
        }
    }

    /// A rotation by a constant that is not zero.
    pub(super) fn rotate(&mut self, width: Width, a: Value, count: u32) -> Answer {
        match self.as_with(a) {
            Some((BinOp::Rol, inner, x, d)) if inner == width => {
                let sum = (d + u64::from(count)) & u64::from(width.bits() - 1);
                Now(self.with(BinOp::Rol, width, x, sum))
            }
            _ => Same,
        }
    }
}
