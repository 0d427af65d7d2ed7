//! A frame's stack: what its bytes hold, in slots of eight.

use super::reg::{Kind, Reg};

/// What a byte of the stack is (`enum bpf_stack_slot_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Byte {
    /// Never written.
    Invalid,
    /// Part of a register that was spilled.
    Spill,
    /// Something.
    Misc,
    /// Zero.
    Zero,
    /// Part of a dynamic pointer.
    Dynptr,
    /// Part of an iterator.
    Iter,
    /// Part of saved interrupt flags.
    Irq,
}

/// Eight bytes of the stack.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// What they are, counted down as in Linux: `bytes[0]` has the highest address, `bytes[7]` the lowest.
    pub bytes: [Byte; 8],
    /// What was spilled.
    pub reg: Reg,
}

impl Slot {
    /// Never written.
    pub const INVALID: Slot = Slot { bytes: [Byte::Invalid; 8], reg: Reg::UNINIT };

    /// Whether a register was spilled here, whole or in part.
    pub fn is_spill(&self) -> bool {
        self.bytes[7] == Byte::Spill
    }

    /// Whether a number was.
    pub fn is_scalar_spill(&self) -> bool {
        self.is_spill() && self.reg.kind == Kind::Scalar
    }

    /// Whether all eight bytes are of a number that was spilled.
    pub fn is_scalar_spill64(&self) -> bool {
        self.bytes[0] == Byte::Spill && self.reg.kind == Kind::Scalar
    }

    /// Whether something else than data is here.
    pub fn is_special(&self) -> bool {
        matches!(self.bytes[7], Byte::Spill | Byte::Dynptr | Byte::Iter | Byte::Irq)
    }
}

/// The index of the slot that holds the byte at this offset from the frame's end.
pub fn slot_of(off: i32) -> usize {
    ((-off - 1) / 8) as usize
}
