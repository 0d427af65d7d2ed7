//! The instructions: thirteen shapes, each with its formula.

use crate::{AluOp, AtomicOp, Cond, Reg, Size, UnaryOp, Width};

/// One decoded instruction.
///
/// Branch targets are instruction indices ([`Pc`]), resolved once by the decoder, so nobody else
/// counts slots. Registers, sizes and operations are valid by type; [`Program`](crate::Program)
/// adds what a single instruction cannot know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Insn {
    /// `dst = dst op src` on `width` bits; a 32-bit result clears the upper half.
    Alu {
        /// What to compute.
        op: AluOp,
        /// On how many bits.
        width: Width,
        /// The left operand and the destination.
        dst: Reg,
        /// The right operand; an immediate is sign-extended to 64 bits.
        src: Operand,
    },
    /// `dst = op dst`.
    Unary {
        /// What to compute.
        op: UnaryOp,
        /// Operand and destination.
        dst: Reg,
    },
    /// `dst = src`, seen from the other address space of an arena.
    Cast {
        /// The destination.
        dst: Reg,
        /// The pointer to convert.
        src: Reg,
        /// Which side `dst` can be used on.
        to: AddressSpace,
    },
    /// `dst = value`: the instruction of two slots.
    LoadImm {
        /// The destination.
        dst: Reg,
        /// A number, or what the loader turns into one.
        value: Imm64,
    },
    /// `dst = extend(*(size *)(base + off))`.
    Load {
        /// How many bytes.
        size: Size,
        /// What becomes of the bits above them.
        extend: Extend,
        /// The destination.
        dst: Reg,
        /// The address …
        base: Reg,
        /// … and the offset from it, in bytes.
        off: i16,
    },
    /// `*(size *)(base + off) = src`.
    Store {
        /// How many bytes.
        size: Size,
        /// The address …
        base: Reg,
        /// … and the offset from it, in bytes.
        off: i16,
        /// What to store; an immediate is sign-extended to 64 bits first.
        src: Operand,
    },
    /// `*(size *)(base + off) = op(*(size *)(base + off), reg)` in one step.
    Atomic {
        /// What to do.
        op: AtomicOp,
        /// On how many bytes.
        size: Size,
        /// The address …
        base: Reg,
        /// … and the offset from it, in bytes.
        off: i16,
        /// The operand; [`AtomicOp::fetches`] says when it is also the destination.
        reg: Reg,
    },
    /// `r0 = ntoh(*(size *)(packet + index + off))`, or the function returns 0 when those bytes
    /// are not all there: the load of classic BPF, for programs of socket filters.
    ///
    /// `index + off` is computed modulo 2³² and read as signed; negative offsets address the
    /// network and link headers (`SKF_NET_OFF`, `SKF_LL_OFF`). Linux promises nothing about
    /// `r1`…`r5` afterwards; here they keep their values.
    LoadPacket {
        /// How many bytes: 1, 2 or 4.
        size: Size,
        /// The register part of the offset.
        index: Option<Reg>,
        /// The constant part of the offset.
        off: i32,
    },
    /// `goto to`.
    Jump {
        /// Where to.
        to: Pc,
        /// How far the encoding reaches.
        reach: Reach,
    },
    /// `goto to` once this frame has passed here too often, the next instruction otherwise:
    /// Linux's `may_goto`, which makes any loop finite.
    MayGoto {
        /// Where to when the count is used up.
        to: Pc,
    },
    /// `if lhs cond rhs goto to`, comparing `width` bits.
    Branch {
        /// The condition.
        cond: Cond,
        /// On how many bits.
        width: Width,
        /// The left operand.
        lhs: Reg,
        /// The right operand; an immediate is sign-extended to 64 bits.
        rhs: Operand,
        /// Where to.
        to: Pc,
    },
    /// `r0 = callee(r1, r2, r3, r4, r5)`.
    Call {
        /// What to call.
        callee: Callee,
    },
    /// Returns `r0` to the caller, or ends the program.
    Exit,
}

/// An instruction's index in its program. A 16-byte load counts once; see
/// [`Program::slot`](crate::Program::slot) for the way back to 8-byte slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pc(pub u32);

impl Pc {
    /// For indexing.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl core::fmt::Display for Pc {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// The right-hand side of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A register.
    Reg(Reg),
    /// A constant, sign-extended when the operation is 64 bits wide.
    Imm(i32),
}

impl Operand {
    /// The register, if it is one.
    pub const fn reg(self) -> Option<Reg> {
        match self {
            Operand::Reg(reg) => Some(reg),
            Operand::Imm(_) => None,
        }
    }
}

impl From<Reg> for Operand {
    fn from(reg: Reg) -> Self {
        Operand::Reg(reg)
    }
}

impl From<i32> for Operand {
    fn from(imm: i32) -> Self {
        Operand::Imm(imm)
    }
}

/// What becomes of the bits above a narrow load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extend {
    /// Zeros.
    Zero,
    /// Copies of the sign bit.
    Sign,
}

impl Extend {
    /// The low `size` bytes of `value`, extended to 64 bits.
    #[inline(always)]
    pub const fn apply(self, size: Size, value: u64) -> u64 {
        match self {
            Extend::Zero => size.truncate(value),
            Extend::Sign => size.sign_extend(value),
        }
    }
}

/// The value of a 64-bit immediate load (RFC 9669 §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Imm64 {
    /// A plain number.
    Number(u64),
    /// A map.
    Map(MapRef),
    /// An address in the value of a map that has one entry: data sections.
    MapValue(MapRef, u32),
    /// A kernel variable by BTF type, in the kernel (module 0) or a module's BTF.
    Variable {
        /// Its BTF id.
        id: i32,
        /// The file descriptor of the module's BTF, or 0.
        module: i32,
    },
    /// A function of this program, for callbacks.
    Function(Pc),
}

/// How an instruction names a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapRef {
    /// By file descriptor.
    Fd(i32),
    /// By index into the array of descriptors given at load time.
    Index(i32),
}

/// The two address spaces of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressSpace {
    /// As the program dereferences it (`cast_kern`).
    Kernel,
    /// As user space sees it (`cast_user`).
    User,
}

/// Which field of a jump holds its distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// The 16-bit offset (`goto`).
    Near,
    /// The 32-bit immediate (`gotol`).
    Far,
}

/// What a call calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Callee {
    /// A helper, by number.
    Helper(i32),
    /// A function of this program.
    Local(Pc),
    /// A kernel function, by BTF id.
    Kfunc {
        /// Its BTF id.
        id: i32,
        /// Which BTF: 0 for the kernel's, otherwise an index into the loader's array.
        module: i16,
    },
    /// The function whose address is in a register. Linux refuses it.
    Register(Reg),
}
