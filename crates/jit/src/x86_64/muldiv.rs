//! Multiplication, division, remainder.
//!
//! ```text
//! mov  r9, divisor          division by zero gives 0, remainder by zero the dividend;
//! test r9, r9               MIN / -1, which the processor traps on, is a negation
//! jz   zero
//! mov  r10, rax             rax and rdx, homes of other registers, wait in r10 and r11
//! mov  r11, rdx
//! mov  rax, dst
//! xor  edx, edx
//! div  r9
//! ```

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::{AluOp, Operand, Reg, Width};

use super::{Emitter, RAX};

/// Whether this file emits it.
pub(crate) fn is(op: AluOp) -> bool {
    matches!(op, AluOp::Mul | AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod)
}

/// `dst = dst op src`
pub(crate) fn emit(e: &mut Emitter<'_>, op: AluOp, width: Width, dst: Reg, src: Operand) {
    let dst = e.host(dst);
    if op == AluOp::Mul {
        return multiply(e, width, dst, src);
    }
    let (signed, remainder) =
        (matches!(op, AluOp::Sdiv | AluOp::Smod), matches!(op, AluOp::Mod | AluOp::Smod));
    match src {
        Operand::Reg(src) => {
            let src = e.host(src);
            dynasm!(e.asm ; .arch x64 ; mov r9, Rq(src));
        }
        Operand::Imm(imm) => dynasm!(e.asm ; .arch x64 ; mov r9, DWORD imm),
    }
    let (zero, minus_one, done) =
        (e.asm.new_dynamic_label(), e.asm.new_dynamic_label(), e.asm.new_dynamic_label());
    match width {
        _ if e.divides => {}
        Width::W64 => dynasm!(e.asm ; .arch x64 ; test r9, r9 ; jz =>zero),
        Width::W32 => dynasm!(e.asm ; .arch x64 ; test r9d, r9d ; jz =>zero),
    }
    if signed {
        match width {
            Width::W64 => dynasm!(e.asm ; .arch x64 ; cmp r9, -1 ; je =>minus_one),
            Width::W32 => dynasm!(e.asm ; .arch x64 ; cmp r9d, -1 ; je =>minus_one),
        }
    }
    dynasm!(e.asm ; .arch x64 ; mov r10, rax ; mov r11, rdx);
    if dst != RAX {
        dynasm!(e.asm ; .arch x64 ; mov rax, Rq(dst));
    }
    match (width, signed) {
        (Width::W64, false) => dynasm!(e.asm ; .arch x64 ; xor edx, edx ; div r9),
        (Width::W32, false) => dynasm!(e.asm ; .arch x64 ; xor edx, edx ; div r9d),
        (Width::W64, true) => dynasm!(e.asm ; .arch x64 ; cqo ; idiv r9),
        (Width::W32, true) => dynasm!(e.asm ; .arch x64 ; cdq ; idiv r9d),
    }
    // A 32-bit division clears the upper halves of both results.
    match remainder {
        true => dynasm!(e.asm ; .arch x64 ; mov r9, rdx),
        false => dynasm!(e.asm ; .arch x64 ; mov r9, rax),
    }
    dynasm!(e.asm ; .arch x64 ; mov rax, r10 ; mov rdx, r11 ; mov Rq(dst), r9 ; jmp =>done);
    if signed {
        dynasm!(e.asm ; .arch x64 ; =>minus_one);
        match (remainder, width) {
            (true, _) => dynasm!(e.asm ; .arch x64 ; xor Rd(dst), Rd(dst)),
            (false, Width::W64) => dynasm!(e.asm ; .arch x64 ; neg Rq(dst)),
            (false, Width::W32) => dynasm!(e.asm ; .arch x64 ; neg Rd(dst)),
        }
        dynasm!(e.asm ; .arch x64 ; jmp =>done);
    } else {
        dynasm!(e.asm ; .arch x64 ; =>minus_one);
    }
    dynasm!(e.asm ; .arch x64 ; =>zero);
    match (remainder, width) {
        (false, _) => dynasm!(e.asm ; .arch x64 ; xor Rd(dst), Rd(dst)),
        (true, Width::W64) => {}
        (true, Width::W32) => dynasm!(e.asm ; .arch x64 ; mov Rd(dst), Rd(dst)),
    }
    dynasm!(e.asm ; .arch x64 ; =>done);
}

/// `imul dst, src`
fn multiply(e: &mut Emitter<'_>, width: Width, dst: u8, src: Operand) {
    match (width, src) {
        (Width::W64, Operand::Reg(src)) => {
            let src = e.host(src);
            dynasm!(e.asm ; .arch x64 ; imul Rq(dst), Rq(src));
        }
        (Width::W32, Operand::Reg(src)) => {
            let src = e.host(src);
            dynasm!(e.asm ; .arch x64 ; imul Rd(dst), Rd(src));
        }
        (Width::W64, Operand::Imm(imm)) => dynasm!(e.asm ; .arch x64 ; imul Rq(dst), Rq(dst), DWORD imm),
        (Width::W32, Operand::Imm(imm)) => dynasm!(e.asm ; .arch x64 ; imul Rd(dst), Rd(dst), DWORD imm),
    }
}
