//! Atomic operations: locked instructions, or loops where the old value is wanted and the processor has none.
//!
//! ```text
//! lea  r9, [base + off]           (the same)
//! call check                      mov  r11, rax             rax waits in r11
//! test r9, size - 1               mov  rax, [r9]
//! jnz  misaligned                 again:
//! lock add [r9], reg              mov  r10, rax
//!                                 or   r10, reg
//!                                 lock cmpxchg [r9], r10
//!                                 jne  again
//! ```

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::{AtomicOp, Extend, Operand, Pc, Reg, Size};

use super::memory::{Access, load, locate, store};
use super::{Emitter, RAX};
use crate::callbacks;

/// `op` on the bytes at `base + off`.
pub(crate) fn emit(e: &mut Emitter<'_>, pc: Pc, op: AtomicOp, size: Size, base: Reg, off: i16, reg: Reg) {
    // Loads and stores are in order on this processor.
    match op {
        // In an arena, the register may keep what it held, or its upper half.
        AtomicOp::LoadAcquire | AtomicOp::Cmpxchg if e.program.arena().is_some() => return elsewhere(e, pc),
        AtomicOp::LoadAcquire => return load(e, size, Extend::Zero, reg, base, off),
        AtomicOp::StoreRelease => return store(e, size, base, off, Operand::Reg(reg)),
        _ => {}
    }
    let (misaligned, done) = (e.asm.new_dynamic_label(), e.asm.new_dynamic_label());
    let disp = locate(e, Access::Write, size, base, off);
    if disp != 0 {
        dynasm!(e.asm ; .arch x64 ; lea r9, [r9 + disp]);
    }
    // It is the host's address that must not straddle two lines: a locked instruction there can end the process.
    dynasm!(e.asm ; .arch x64 ; test r9d, i32::from(size.bytes()) - 1 ; jnz =>misaligned);
    match size {
        Size::DW => wide(e, op, reg),
        _ => narrow(e, op, reg),
    }
    dynasm!(e.asm ; .arch x64 ; jmp =>done ; =>misaligned);
    elsewhere(e, pc);
    dynasm!(e.asm ; .arch x64 ; =>done);
}

/// Leaves the operation to Rust.
fn elsewhere(e: &mut Emitter<'_>, pc: Pc) {
    e.spill();
    dynasm!(e.asm ; .arch x64 ; mov esi, pc.0 as i32 ; xor edx, edx);
    e.callback(callbacks::atomic as *const () as usize);
    e.reload();
}

/// The same for both sizes: `$R` names a register of the size.
macro_rules! operations {
    ($name:ident, $R:ident, $r10:tt, $rax:tt) => {
        fn $name(e: &mut Emitter<'_>, op: AtomicOp, reg: Reg) {
            let (reg, r0) = (e.host(reg), e.host(Reg::R0));
            match op {
                AtomicOp::Add => dynasm!(e.asm ; .arch x64 ; lock add [r9], $R(reg)),
                AtomicOp::Or => dynasm!(e.asm ; .arch x64 ; lock or [r9], $R(reg)),
                AtomicOp::And => dynasm!(e.asm ; .arch x64 ; lock and [r9], $R(reg)),
                AtomicOp::Xor => dynasm!(e.asm ; .arch x64 ; lock xor [r9], $R(reg)),
                // What is moved is as wide as memory, so the upper half becomes zero.
                AtomicOp::FetchAdd => {
                    dynasm!(e.asm ; .arch x64 ; mov $r10, $R(reg) ; lock xadd [r9], $r10 ; mov Rq(reg), r10);
                }
                AtomicOp::Xchg => {
                    dynasm!(e.asm ; .arch x64 ; mov $r10, $R(reg) ; xchg [r9], $r10 ; mov Rq(reg), r10);
                }
                AtomicOp::Cmpxchg => dynasm!(e.asm
                    ; .arch x64
                    ; mov $r10, $R(reg)
                    ; mov r11, rax
                    ; mov $rax, $R(r0)
                    ; lock cmpxchg [r9], $r10
                    ; mov $r10, $rax
                    ; mov rax, r11
                    ; mov Rq(r0), r10
                ),
                AtomicOp::FetchOr | AtomicOp::FetchAnd | AtomicOp::FetchXor => {
                    // The operand may live in rax, which waits in r11.
                    let operand = if reg == RAX { R11 } else { reg };
                    let again = e.asm.new_dynamic_label();
                    dynasm!(e.asm
                        ; .arch x64
                        ; mov r11, rax
                        ; mov $rax, [r9]
                        ; =>again
                        ; mov $r10, $rax
                    );
                    match op {
                        AtomicOp::FetchOr => dynasm!(e.asm ; .arch x64 ; or $r10, $R(operand)),
                        AtomicOp::FetchAnd => dynasm!(e.asm ; .arch x64 ; and $r10, $R(operand)),
                        _ => dynasm!(e.asm ; .arch x64 ; xor $r10, $R(operand)),
                    }
                    dynasm!(e.asm
                        ; .arch x64
                        ; lock cmpxchg [r9], $r10
                        ; jne =>again
                        ; mov $r10, $rax
                        ; mov rax, r11
                        ; mov Rq(reg), r10
                    );
                }
                AtomicOp::LoadAcquire | AtomicOp::StoreRelease => unreachable!("emitted as load and store"),
            }
        }
    };
}
operations!(wide, Rq, r10, rax);
operations!(narrow, Rd, r10d, eax);

const R11: u8 = 11;
