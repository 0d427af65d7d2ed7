//! Rules of operations on one number.

use sandbpf_isa::Width;

use super::super::Walk;
use super::Answer;
use crate::plan::graph::{BinOp, Op, UnOp, Value};
use Answer::{Is, Now, Same};

impl Walk<'_> {
    pub(super) fn unary(&mut self, op: UnOp, a: Value) -> Answer {
        if let Some(number) = self.constant(a) {
            return self.is(op.eval(number));
        }
        let mask = self.bits.get(a);
        match op {
            UnOp::Neg64 => self.negation(Width::W64, a),
            UnOp::Neg32 => self.negation(Width::W32, a),
            UnOp::Swap16 => self.swap(op, 16, a),
            UnOp::Swap32 => self.swap(op, 32, a),
            UnOp::Swap64 => self.swap(op, 64, a),
            // Nothing but zeros is replaced by zeros, or by copies of one.
            UnOp::Zext8 if mask <= 0xff => Is(a),
            UnOp::Zext16 if mask <= 0xffff => Is(a),
            UnOp::Zext32 if mask <= 0xffff_ffff => Is(a),
            UnOp::Sext8 if mask <= 0x7f => Is(a),
            UnOp::Sext16 if mask <= 0x7fff => Is(a),
            UnOp::Sext32 if mask <= 0x7fff_ffff => Is(a),
            UnOp::Zext8 | UnOp::Sext8 => self.extension(op, 8, a),
            UnOp::Zext16 | UnOp::Sext16 => self.extension(op, 16, a),
            UnOp::Zext32 | UnOp::Sext32 => self.extension(op, 32, a),
        }
    }

    fn negation(&mut self, width: Width, a: Value) -> Answer {
        if width == Width::W32 {
            let low = self.low(a, 32);
            if low != a {
                return Now(Op::Un { op: UnOp::Neg32, a: low });
            }
        }
        match (self.as_unary(a), self.as_binary(a)) {
            (Some((UnOp::Neg64, x)), _) if width == Width::W64 => Is(x),
            (Some((UnOp::Neg32 | UnOp::Neg64, x)), _) if width == Width::W32 => {
                Now(Op::Un { op: UnOp::Zext32, a: x })
            }
            (_, Some((BinOp::Sub, inner, x, y))) if inner == width => {
                Now(Op::Bin { op: BinOp::Sub, width, a: y, b: x })
            }
            _ => Same,
        }
    }

    fn swap(&mut self, op: UnOp, bits: u32, a: Value) -> Answer {
        let low = self.low(a, bits);
        if low != a {
            return Now(Op::Un { op, a: low });
        }
        match (op, self.as_unary(a)) {
            (UnOp::Swap64, Some((UnOp::Swap64, x))) => Is(x),
            (UnOp::Swap32, Some((UnOp::Swap32, x))) => Now(Op::Un { op: UnOp::Zext32, a: x }),
            (UnOp::Swap16, Some((UnOp::Swap16, x))) => Now(Op::Un { op: UnOp::Zext16, a: x }),
            _ => Same,
        }
    }

    fn extension(&mut self, op: UnOp, bits: u32, a: Value) -> Answer {
        let low = self.low(a, bits);
        if low != a {
            return Now(Op::Un { op, a: low });
        }
        // What is extended with signs, and further with signs, has signs there already.
        if let (true, Some((inner, _))) = (op.is_sext(), self.as_unary(a)) {
            if inner.is_sext() && inner.kept() < op.kept() {
                return Is(a);
            }
        }
        // If the whole is needed anyway, its low half is at hand, and its operands may not be.
        if op != UnOp::Zext32 || !self.single(a) {
            return Same;
        }
        let width = Width::W32;
        match (self.as_binary(a), self.as_unary(a)) {
            (Some((op, Width::W64, a, b)), _) => match op {
                BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::And | BinOp::Or | BinOp::Xor => {
                    Now(Op::Bin { op, width, a, b })
                }
                BinOp::Lsh if self.constant(b).is_some_and(|count| count < 32) => {
                    Now(Op::Bin { op, width, a, b })
                }
                _ => Same,
            },
            (_, Some((UnOp::Neg64, a))) => Now(Op::Un { op: UnOp::Neg32, a }),
            _ => Same,
        }
    }
}
