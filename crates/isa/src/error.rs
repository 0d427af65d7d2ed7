//! What can be wrong with bytes, with instructions, and with text.

use crate::{Pc, Size};

/// Why instructions are no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {pc}: {kind}")]
pub struct ProgramError {
    pub(crate) pc: Pc,
    pub(crate) kind: ProgramErrorKind,
}

impl ProgramError {
    /// The instruction at fault.
    pub fn pc(&self) -> Pc {
        self.pc
    }

    /// What is wrong with it.
    pub fn kind(&self) -> &ProgramErrorKind {
        &self.kind
    }
}

/// What is wrong with an instruction in its program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramErrorKind {
    /// There is no instruction.
    #[error("a program needs at least one instruction")]
    Empty,
    /// There are more than [`MAX_INSNS`](crate::MAX_INSNS).
    #[error("a program has at most {} instructions", crate::MAX_INSNS)]
    TooLong,
    /// A jump, call or function address goes outside.
    #[error("instruction {to} is outside the program")]
    TargetOutside {
        /// Where it goes.
        to: Pc,
    },
    /// The operation has no form with this operand, width or size.
    #[error("the operation has no such width, size or operand")]
    NoSuchForm,
}

/// Why bytes are no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at slot {slot}: {kind}")]
pub struct DecodeError {
    pub(crate) slot: u32,
    pub(crate) kind: DecodeErrorKind,
}

impl DecodeError {
    /// The 8-byte slot at fault.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// What is wrong with it.
    pub fn kind(&self) -> &DecodeErrorKind {
        &self.kind
    }
}

/// What is wrong with a slot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The length is no multiple of 8 bytes.
    #[error("{0} bytes left; an instruction has 8")]
    PartialSlot(usize),
    /// No instruction has this opcode.
    #[error("unknown opcode {0:#04x}")]
    Opcode(u8),
    /// The register does not exist.
    #[error("the {field} register is r{number}; the last one is r10")]
    Register {
        /// `destination` or `source`.
        field: &'static str,
        /// The number found.
        number: u8,
    },
    /// A field that the instruction does not use is not zero.
    #[error("opcode {opcode:#04x} uses a reserved field: {field} is {value}, expected 0")]
    Reserved {
        /// The instruction's opcode.
        opcode: u8,
        /// The field.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
    /// A field selects a variant that does not exist.
    #[error("opcode {opcode:#04x} has no variant with {field} {value}")]
    Variant {
        /// The instruction's opcode.
        opcode: u8,
        /// The field.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
    /// The atomic operation does not exist at this size.
    #[error("there is no atomic operation {imm:#x} on {} bytes", size.bytes())]
    AtomicSize {
        /// The operation.
        imm: i32,
        /// The size.
        size: Size,
    },
    /// A 64-bit immediate lacks its second slot, or that is not empty but for the immediate.
    #[error("a 64-bit immediate needs a second slot that is zero but for its immediate")]
    WideImmediate,
    /// A jump goes outside the program.
    #[error("jump to slot {0}, outside the program")]
    JumpOutside(i64),
    /// A jump goes into the second slot of a 64-bit immediate.
    #[error("jump to slot {0}, the middle of a 64-bit immediate")]
    JumpInside(i64),
    /// The program as a whole is not sound.
    #[error(transparent)]
    Program(#[from] ProgramErrorKind),
}
