//! Bytes of the packet in code: made sure of, loaded, compared.
//!
//! ```text
//! cmp  rsi, 24              lea  r9, [rcx + 18]          mov  r9d, ecx
//! jb   zero                 cmp  r9, rsi                 add  r9d, 16
//! cmp  byte [rdi + 23], 6   ja   zero                    js   decline
//!                           movzx eax, word [rdi + rcx + 16]   …
//! ```

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::{Cond, Reg, Size};

use super::blocks::{Check, Place};
use super::emit::Out;
use super::fuse::Fused;

/// Bytes of the packet, as an operand names them.
#[derive(Clone, Copy)]
pub(super) enum Bytes {
    At(i32),
    /// Behind this register.
    Behind(u8, i32),
}

/// An instruction with bytes of the packet among its operands, in the place of `@`.
macro_rules! packet {
    ($asm:expr, $bytes:expr, $op:ident $size:ident @, $imm:expr) => {
        match $bytes {
            Bytes::At(off) => dynasm!($asm ; .arch x64 ; $op $size [rdi + off], $imm),
            Bytes::Behind(index, off) => dynasm!($asm ; .arch x64 ; $op $size [rdi + Rq(index) + off], $imm),
        }
    };
    ($asm:expr, $bytes:expr, $op:ident $reg:ident($dst:expr), $size:ident @) => {
        match $bytes {
            Bytes::At(off) => dynasm!($asm ; .arch x64 ; $op $reg($dst), $size [rdi + off]),
            Bytes::Behind(index, off) => {
                dynasm!($asm ; .arch x64 ; $op $reg($dst), $size [rdi + Rq(index) + off])
            }
        }
    };
}

impl Out<'_> {
    /// Compares the packet's length with so many bytes, or those behind an index with it.
    pub(super) fn compare_length(&mut self, index: Option<Reg>, bytes: u32) {
        let bytes = bytes as i32;
        match index.map(|index| self.e.host(index)) {
            None => dynasm!(self.e.asm ; .arch x64 ; cmp rsi, DWORD bytes),
            Some(index) => dynasm!(self.e.asm ; .arch x64 ; lea r9, [Rq(index) + bytes] ; cmp r9, rsi),
        }
    }

    /// Makes sure that bytes are there.
    pub(super) fn bytes(&mut self, place: Place, check: Check) -> Bytes {
        let Place { size, index, off } = place;
        let (zero, decline) = (self.zero, self.decline);
        let host = index.map(|index| self.e.host(index));
        match (check, host) {
            (Check::Known, _) => {}
            // No packet is that long.
            (Check::Length(bytes), _) if i32::try_from(bytes).is_err() => {
                dynasm!(self.e.asm ; .arch x64 ; jmp =>zero);
            }
            (Check::Length(bytes), _) => {
                self.compare_length(index, bytes);
                match index {
                    None => dynasm!(self.e.asm ; .arch x64 ; jb =>zero),
                    Some(_) => dynasm!(self.e.asm ; .arch x64 ; ja =>zero),
                }
            }
            (Check::Sum, None) => dynasm!(self.e.asm ; .arch x64 ; jmp =>decline),
            (Check::Sum, Some(index)) => {
                let bytes = i32::from(size.bytes());
                dynasm!(self.e.asm
                    ; .arch x64
                    ; mov r9d, Rd(index)
                    ; add r9d, off
                    ; js =>decline
                    ; lea r10, [r9 + bytes]
                    ; cmp r10, rsi
                    ; ja =>zero
                );
                return Bytes::Behind(9, 0);
            }
        }
        host.map_or(Bytes::At(off), |index| Bytes::Behind(index, off))
    }

    /// Loads bytes as they lie.
    pub(super) fn load(&mut self, dst: u8, size: Size, bytes: Bytes) {
        match size {
            Size::B => packet!(self.e.asm, bytes, movzx Rd(dst), BYTE @),
            Size::H => packet!(self.e.asm, bytes, movzx Rd(dst), WORD @),
            Size::W => packet!(self.e.asm, bytes, mov Rd(dst), DWORD @),
            Size::DW => packet!(self.e.asm, bytes, mov Rq(dst), QWORD @),
        }
    }

    /// Compares bytes where they lie, or as they lie.
    pub(super) fn compare_bytes(&mut self, fused: &Fused) {
        let Fused { reg, place: Place { size, .. }, mask, number, cond, .. } = *fused;
        let bytes = self.bytes(fused.place, fused.check);
        // What is compared with zero need not leave the packet, and what has no mask neither.
        let bits = match mask {
            None => (cond == Cond::Set).then_some(number),
            Some(mask) => (number == 0).then_some(mask),
        };
        match (bits, mask, size) {
            (Some(bits), _, Size::B) => packet!(self.e.asm, bytes, test BYTE @, bits as i8),
            (Some(bits), _, Size::H) => packet!(self.e.asm, bytes, test WORD @, bits as i16),
            (Some(bits), _, Size::W | Size::DW) => packet!(self.e.asm, bytes, test DWORD @, bits as i32),
            (None, None, Size::B) => packet!(self.e.asm, bytes, cmp BYTE @, number as i8),
            (None, None, Size::H) => packet!(self.e.asm, bytes, cmp WORD @, number as i16),
            (None, None, Size::W | Size::DW) => packet!(self.e.asm, bytes, cmp DWORD @, number as i32),
            (None, Some(mask), size) => {
                let host = self.e.host(reg);
                self.load(host, size, bytes);
                dynasm!(self.e.asm ; .arch x64 ; and Rd(host), mask as i32);
                self.compare_number(host, number as i32);
            }
        }
    }
}
