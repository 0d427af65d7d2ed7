//! What operations on numbers mean, as far as possible by the tables of `isa::ops`: for folding constants, and for judging
//! everything else.

use sandbpf_isa::{AluOp, Extend, Size, UnaryOp, Width};

use super::graph::{BinOp, Test, UnOp};

impl BinOp {
    /// The operation of the table that it is, if there is one.
    pub(crate) fn as_alu(self) -> Option<AluOp> {
        Some(match self {
            BinOp::Add => AluOp::Add,
            BinOp::Sub => AluOp::Sub,
            BinOp::Mul => AluOp::Mul,
            BinOp::Div => AluOp::Div,
            BinOp::Sdiv => AluOp::Sdiv,
            BinOp::Mod => AluOp::Mod,
            BinOp::Smod => AluOp::Smod,
            BinOp::And => AluOp::And,
            BinOp::Or => AluOp::Or,
            BinOp::Xor => AluOp::Xor,
            BinOp::Lsh => AluOp::Lsh,
            BinOp::Rsh => AluOp::Rsh,
            BinOp::Arsh => AluOp::Arsh,
            BinOp::MulHigh | BinOp::Rol => return None,
        })
    }

    /// Its operation here, of an operation that computes something from two numbers.
    pub(crate) fn of_alu(op: AluOp) -> Option<BinOp> {
        Some(match op {
            AluOp::Add => BinOp::Add,
            AluOp::Sub => BinOp::Sub,
            AluOp::Mul => BinOp::Mul,
            AluOp::Div => BinOp::Div,
            AluOp::Sdiv => BinOp::Sdiv,
            AluOp::Mod => BinOp::Mod,
            AluOp::Smod => BinOp::Smod,
            AluOp::And => BinOp::And,
            AluOp::Or => BinOp::Or,
            AluOp::Xor => BinOp::Xor,
            AluOp::Lsh => BinOp::Lsh,
            AluOp::Rsh => BinOp::Rsh,
            AluOp::Arsh => BinOp::Arsh,
            AluOp::Mov | AluOp::Movs8 | AluOp::Movs16 | AluOp::Movs32 => return None,
        })
    }

    /// The result, on a width.
    pub(crate) fn eval(self, width: Width, a: u64, b: u64) -> u64 {
        match (self, width) {
            (BinOp::MulHigh, _) => ((u128::from(a) * u128::from(b)) >> 64) as u64,
            (BinOp::Rol, Width::W64) => a.rotate_left(b as u32 & 63),
            (BinOp::Rol, Width::W32) => u64::from((a as u32).rotate_left(b as u32 & 31)),
            (op, width) => match op.as_alu() {
                Some(op) => op.eval(width, a, b),
                None => unreachable!("all others stand in the table"),
            },
        }
    }

    /// Whether `op(a, b) == op(b, a)`.
    pub(crate) fn commutes(self) -> bool {
        use BinOp::*;
        matches!(self, Add | Mul | MulHigh | And | Or | Xor)
    }
}

impl UnOp {
    /// What makes 64 bits of so many; all of them are that already.
    pub(crate) fn extension(size: Size, extend: Extend) -> Option<UnOp> {
        Some(match (size, extend) {
            (Size::B, Extend::Zero) => UnOp::Zext8,
            (Size::H, Extend::Zero) => UnOp::Zext16,
            (Size::W, Extend::Zero) => UnOp::Zext32,
            (Size::B, Extend::Sign) => UnOp::Sext8,
            (Size::H, Extend::Sign) => UnOp::Sext16,
            (Size::W, Extend::Sign) => UnOp::Sext32,
            (Size::DW, _) => return None,
        })
    }

    /// The result.
    pub(crate) fn eval(self, a: u64) -> u64 {
        match self {
            UnOp::Neg64 => UnaryOp::Neg64.eval(a),
            UnOp::Neg32 => UnaryOp::Neg32.eval(a),
            UnOp::Swap16 => UnaryOp::Swap16.eval(a),
            UnOp::Swap32 => UnaryOp::Swap32.eval(a),
            UnOp::Swap64 => UnaryOp::Swap64.eval(a),
            UnOp::Zext8 => a & 0xff,
            UnOp::Zext16 => a & 0xffff,
            UnOp::Zext32 => a & 0xffff_ffff,
            UnOp::Sext8 => a as i8 as u64,
            UnOp::Sext16 => a as i16 as u64,
            UnOp::Sext32 => a as i32 as u64,
        }
    }
}

impl Test {
    /// Whether it is so of these numbers.
    pub(crate) fn eval(&self, lhs: u64, rhs: u64) -> bool {
        self.cond.eval(self.width, lhs, rhs)
    }
}

#[cfg(test)]
impl BinOp {
    /// Every operation.
    pub(crate) const ALL: &'static [BinOp] = {
        use BinOp::*;
        &[Add, Sub, Mul, MulHigh, Div, Sdiv, Mod, Smod, And, Or, Xor, Lsh, Rsh, Arsh, Rol]
    };
}

#[cfg(test)]
impl UnOp {
    /// Every operation.
    pub(crate) const ALL: &'static [UnOp] = {
        use UnOp::*;
        &[Neg64, Neg32, Swap16, Swap32, Swap64, Zext8, Zext16, Zext32, Sext8, Sext16, Sext32]
    };
}
