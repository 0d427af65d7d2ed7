//! What becomes simpler when numbers are small.

use sandbpf_isa::Width;

use super::Walk;
use super::range::MAX32;
use crate::plan::graph::{BinOp, Op, UnOp, Value};
use crate::plan::passes::renames::Renames;

impl Walk<'_> {
    /// Makes an operation simpler, or uses one of its operands instead.
    pub(super) fn shrink(&mut self, value: Value, renames: &mut Renames) {
        match *self.graph.op(value) {
            Op::Bin { op, width, a, b } => {
                let (x, y) = (self.fact(a), self.fact(b));
                let most = x.range.largest().max(y.range.largest());
                let constant = self.graph.constant(b);
                let bits = u64::MAX >> (64 - width.bits());
                match (op, width) {
                    // Masks of bits that are all there is.
                    (BinOp::And, _) if constant.is_some_and(|mask| !(mask & bits) & !x.zeros == 0) => {
                        renames.rename(value, a);
                    }
                    (BinOp::Or, _)
                        if x.zeros | y.zeros == u64::MAX && self.is_index(a) && self.is_index(b) =>
                    {
                        self.put(value, Op::Bin { op: BinOp::Add, width, a, b });
                    }
                    (BinOp::Div | BinOp::Mod | BinOp::Sdiv | BinOp::Smod, Width::W64) if most <= MAX32 => {
                        let op = unsigned(op);
                        self.put(value, Op::Bin { op, width: Width::W32, a, b });
                    }
                    (BinOp::Sdiv | BinOp::Smod, _) if most >> (width.bits() - 1) == 0 => {
                        self.put(value, Op::Bin { op: unsigned(op), width, a, b });
                    }
                    (BinOp::Arsh, _) if x.range.largest() >> (width.bits() - 1) == 0 => {
                        self.put(value, Op::Bin { op: BinOp::Rsh, width, a, b });
                    }
                    (BinOp::Mod, Width::W64) if x.range.largest() < y.range.smallest() => {
                        renames.rename(value, a);
                    }
                    (BinOp::Mod, Width::W32) if x.range.largest() < y.range.smallest() && most <= MAX32 => {
                        renames.rename(value, a);
                    }
                    _ => {}
                }
            }
            Op::Un { op, a } => {
                let most = self.fact(a).range.largest();
                let same = match op {
                    UnOp::Zext8 => most <= 0xff,
                    UnOp::Zext16 => most <= 0xffff,
                    UnOp::Zext32 => most <= MAX32,
                    UnOp::Sext8 => most <= 0x7f,
                    UnOp::Sext16 => most <= 0x7fff,
                    UnOp::Sext32 => most <= MAX32 >> 1,
                    UnOp::Neg64 | UnOp::Neg32 | UnOp::Swap16 | UnOp::Swap32 | UnOp::Swap64 => false,
                };
                if same {
                    renames.rename(value, a);
                }
            }
            _ => {}
        }
    }

    /// Whether a sum of this and something else may be better than what is put together of their bits: it can be part of an
    /// address, but it is neither a rotation nor what lies beside one another in memory.
    fn is_index(&self, value: Value) -> bool {
        let is_piece = |op: &Op| match op {
            Op::Load { .. } | Op::Un { .. } => true,
            Op::Bin { op, .. } => matches!(op, BinOp::Rsh | BinOp::Arsh | BinOp::Or),
            _ => false,
        };
        match self.graph.op(value) {
            Op::Bin { op: BinOp::Lsh, a, .. } => !is_piece(self.graph.op(*a)),
            op => !is_piece(op),
        }
    }

    fn put(&mut self, value: Value, op: Op) {
        self.graph.values[value.index()] = op;
    }
}

/// The division that does not look at signs.
fn unsigned(op: BinOp) -> BinOp {
    match op {
        BinOp::Sdiv => BinOp::Div,
        BinOp::Smod => BinOp::Mod,
        op => op,
    }
}
