//! An instruction as relocations see it: eight bytes with four fields. What an instruction means is no concern of a
//! linker; it knows calls and the instruction that loads 64 bits.

use sandbpf_isa::opcode::{CALL_IMM, LOAD_IMM64};
use sandbpf_isa::pseudo;

/// Bytes of an instruction.
pub(crate) const SIZE: usize = 8;

/// The four fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) code: u8,
    pub(crate) dst: u8,
    pub(crate) src: u8,
    pub(crate) off: i16,
    pub(crate) imm: i32,
}

impl Slot {
    /// The instruction in this slot of the code; none behind its end.
    pub(crate) fn read(code: &[u8], slot: usize) -> Option<Self> {
        let at = slot.checked_mul(SIZE)?;
        let &[code, registers, off0, off1, imm0, imm1, imm2, imm3] = code.get(at..)?.first_chunk::<8>()?;
        Some(Self {
            code,
            dst: registers & 0xf,
            src: registers >> 4,
            off: i16::from_le_bytes([off0, off1]),
            imm: i32::from_le_bytes([imm0, imm1, imm2, imm3]),
        })
    }

    /// Puts the instruction into this slot; a slot behind the end stays unwritten.
    pub(crate) fn write(self, code: &mut [u8], slot: usize) {
        let at = slot.saturating_mul(SIZE);
        let Some(bytes) = code.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<8>()) else { return };
        bytes[0] = self.code;
        bytes[1] = self.dst & 0xf | self.src << 4;
        bytes[2..4].copy_from_slice(&self.off.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.imm.to_le_bytes());
    }

    /// A call that no helper answers to: what libbpf puts where an instruction could not be resolved, so that the
    /// verifier names it if it is ever reached.
    pub(crate) fn poison(imm: i32) -> Self {
        Self { code: CALL_IMM, dst: 0, src: 0, off: 0, imm }
    }

    pub(crate) fn is_load_imm64(&self) -> bool {
        self.code == LOAD_IMM64
    }

    /// A call, but not through a register.
    pub(crate) fn is_call(&self) -> bool {
        self.code == CALL_IMM
    }

    /// A call of a function of the program.
    pub(crate) fn is_local_call(&self) -> bool {
        self.is_call() && self.src == pseudo::CALL
    }
}
