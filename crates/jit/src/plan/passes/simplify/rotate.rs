//! Rules of rotations: BPF has none, so that compilers write two shifts and join what they leave.

use sandbpf_isa::Width;

use super::{Answer, Simplifier};
use crate::plan::graph::{BinOp, Op, UnOp, Value};
use Answer::{Now, Same};

impl Simplifier<'_> {
    /// `(x << k) | (x >> (bits - k))`, or joined by addition or exclusive or: the parts have no bits in common.
    pub(super) fn rotation(&mut self, op: BinOp, width: Width, a: Value, b: Value) -> Answer {
        let (Some(a), Some(b)) = (self.as_binary(a), self.as_binary(b)) else { return Same };
        let ((BinOp::Lsh, ..), (BinOp::Rsh, ..)) = (a, b) else {
            return match (a, b) {
                ((BinOp::Rsh, ..), (BinOp::Lsh, ..)) => self.rotated(op, width, b, a),
                _ => Same,
            };
        };
        self.rotated(op, width, a, b)
    }

    fn rotated(
        &mut self,
        op: BinOp,
        outer: Width,
        (_, width, x, left): (BinOp, Width, Value, Value),
        (_, other, y, right): (BinOp, Width, Value, Value),
    ) -> Answer {
        // Parts of 32 bits have zeros above, and so has what they are joined to.
        if x != y || width != other || (width, outer) == (Width::W64, Width::W32) {
            return Same;
        }
        let count = match (self.constant(left), self.constant(right)) {
            (Some(left), Some(right)) if left + right == width.bits().into() => left,
            (None, None) if op == BinOp::Or => {
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
