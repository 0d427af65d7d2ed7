//! The machine's numbers: its registers, its operands in memory, and the operations that encodings number.

use sandbpf_isa::Size;

/// Where an operand in memory is: `base + (index << scale) + disp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mem {
    pub(crate) base: Option<u8>,
    /// Never `rsp`.
    pub(crate) index: Option<(u8, u8)>,
    pub(crate) disp: i32,
}

/// An operand that may be in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rm {
    Reg(u8),
    Mem(Mem),
}

/// Operations with two operands, by their number in the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alu {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// Shifts, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shift {
    Rol = 0,
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

/// Operations on one operand, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unary {
    Not = 2,
    Neg = 3,
    Mul = 4,
    Div = 6,
    Idiv = 7,
}

/// Conditions, likewise: after `cmp a, b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// `a < b`, without sign: carry.
    Below = 2,
    AboveEqual = 3,
    Equal = 4,
    NotEqual = 5,
    BelowEqual = 6,
    Above = 7,
    /// Negative.
    Sign = 8,
    NotSign = 9,
    /// `a < b`, with sign.
    Less = 12,
    GreaterEqual = 13,
    LessEqual = 14,
    Greater = 15,
}

impl Flag {
    /// The opposite.
    pub(crate) fn inverse(self) -> Flag {
        use Flag::*;
        match self {
            Below => AboveEqual,
            AboveEqual => Below,
            Equal => NotEqual,
            NotEqual => Equal,
            BelowEqual => Above,
            Above => BelowEqual,
            Sign => NotSign,
            NotSign => Sign,
            Less => GreaterEqual,
            GreaterEqual => Less,
            LessEqual => Greater,
            Greater => LessEqual,
        }
    }

    /// The same of the operands in the other order. Nothing that looks at the sign alone.
    pub(crate) fn swapped(self) -> Flag {
        use Flag::*;
        match self {
            Below => Above,
            Above => Below,
            BelowEqual => AboveEqual,
            AboveEqual => BelowEqual,
            Less => Greater,
            Greater => Less,
            LessEqual => GreaterEqual,
            GreaterEqual => LessEqual,
            Equal | NotEqual | Sign | NotSign => self,
        }
    }
}

/// How a narrow number becomes one of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Widen {
    Zero(Size),
    Sign(Size),
}

/// The registers that have names.
pub(crate) mod reg {
    pub(crate) const RAX: u8 = 0;
    pub(crate) const RCX: u8 = 1;
    pub(crate) const RDX: u8 = 2;
    pub(crate) const RBX: u8 = 3;
    pub(crate) const RSP: u8 = 4;
    pub(crate) const RBP: u8 = 5;
    pub(crate) const RSI: u8 = 6;
    pub(crate) const RDI: u8 = 7;
    pub(crate) const R8: u8 = 8;
    pub(crate) const R9: u8 = 9;
    /// Where functions find what they are given.
    pub(crate) const PLAIN_ARGUMENTS: [u8; 5] = [RDI, RSI, RDX, RCX, R8];
    /// The same behind the first.
    pub(crate) const ARGUMENTS: [u8; 5] = [RSI, RDX, RCX, R8, R9];
    /// Those that functions may change.
    pub(crate) const CHANGED: [u8; 9] = [RAX, RCX, RDX, RSI, RDI, R8, R9, 10, 11];
    /// Those that functions keep.
    pub(crate) const KEPT: [u8; 6] = [RBX, RBP, 12, 13, 14, 15];
}

impl Rm {
    /// The upper bits of its registers: of the base (or the register), and of the index.
    #[inline]
    pub(crate) fn upper(self) -> (u8, u8) {
        match self {
            Rm::Reg(number) => (number >> 3, 0),
            Rm::Mem(Mem { base, index, .. }) => {
                (base.map_or(0, |base| base >> 3), index.map_or(0, |(index, _)| index >> 3))
            }
        }
    }

    /// An index that costs less as the base becomes it.
    #[inline]
    pub(crate) fn tidy(self) -> Rm {
        match self {
            Rm::Mem(Mem { base: Some(base), index: Some((index, 0)), disp: 0 })
                if base & 7 == reg::RBP && index & 7 != reg::RBP =>
            {
                Rm::Mem(Mem { base: Some(index), index: Some((base, 0)), disp: 0 })
            }
            other => other,
        }
    }
}
