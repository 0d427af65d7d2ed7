//! Jumps, branches, the end of a function.
//!
//! ```text
//! cmp  lhs, rhs             a branch back pays before it is taken:
//! jcc  target               cmp  lhs, rhs
//!                           jncc over
//!                           (charge)
//!                           jmp  target
//!                     over:
//! ```

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::{Cond, Operand, Pc, Reg, Width};

use super::{Emitter, field, frame, reach};

/// `goto to`
pub(crate) fn jump(e: &mut Emitter<'_>, pc: Pc, to: Pc) {
    pay(e, pc, to);
    let target = e.label(to);
    match to > pc && reach::is_near(e, pc, to) {
        true => dynasm!(e.asm ; .arch x64 ; jmp BYTE =>target),
        false => dynasm!(e.asm ; .arch x64 ; jmp =>target),
    }
}

fn pay(e: &mut Emitter<'_>, pc: Pc, to: Pc) {
    if to <= pc {
        e.charge(pc.0 - to.0 + 1, pc);
    }
}

/// `may_goto to`
pub(crate) fn may_goto(e: &mut Emitter<'_>, pc: Pc, to: Pc) {
    let (left, go_on) = (field!(may_goto), e.asm.new_dynamic_label());
    dynasm!(e.asm ; .arch x64 ; sub QWORD [r12 + left], 1 ; jnc =>go_on ; add QWORD [r12 + left], 1);
    jump(e, pc, to);
    dynasm!(e.asm ; .arch x64 ; =>go_on);
}

/// `if lhs cond rhs goto to`
pub(crate) fn branch(e: &mut Emitter<'_>, pc: Pc, cond: Cond, width: Width, lhs: Reg, rhs: Operand, to: Pc) {
    compare(e, cond, width, lhs, rhs);
    if to > pc {
        let target = e.label(to);
        return match reach::is_near(e, pc, to) {
            true => jump_near_if(e, cond, target),
            false => jump_if(e, cond, target),
        };
    }
    let (taken, over) = (e.asm.new_dynamic_label(), e.asm.new_dynamic_label());
    jump_if(e, cond, taken);
    dynasm!(e.asm ; .arch x64 ; jmp =>over ; =>taken);
    jump(e, pc, to);
    dynasm!(e.asm ; .arch x64 ; =>over);
}

/// Sets the flags by which [`jump_if`] decides.
pub(crate) fn compare(e: &mut Emitter<'_>, cond: Cond, width: Width, lhs: Reg, rhs: Operand) {
    let lhs = e.host(lhs);
    let test = cond == Cond::Set;
    match (width, rhs) {
        (Width::W64, Operand::Reg(rhs)) => {
            let rhs = e.host(rhs);
            match test {
                true => dynasm!(e.asm ; .arch x64 ; test Rq(lhs), Rq(rhs)),
                false => dynasm!(e.asm ; .arch x64 ; cmp Rq(lhs), Rq(rhs)),
            }
        }
        (Width::W32, Operand::Reg(rhs)) => {
            let rhs = e.host(rhs);
            match test {
                true => dynasm!(e.asm ; .arch x64 ; test Rd(lhs), Rd(rhs)),
                false => dynasm!(e.asm ; .arch x64 ; cmp Rd(lhs), Rd(rhs)),
            }
        }
        (Width::W64, Operand::Imm(imm)) => match test {
            true => dynasm!(e.asm ; .arch x64 ; test Rq(lhs), DWORD imm),
            false => match i8::try_from(imm) {
                Ok(imm) => compare_small(e, width, lhs, imm),
                Err(_) => dynasm!(e.asm ; .arch x64 ; cmp Rq(lhs), DWORD imm),
            },
        },
        (Width::W32, Operand::Imm(imm)) => match test {
            true => dynasm!(e.asm ; .arch x64 ; test Rd(lhs), DWORD imm),
            false => match i8::try_from(imm) {
                Ok(imm) => compare_small(e, width, lhs, imm),
                Err(_) => dynasm!(e.asm ; .arch x64 ; cmp Rd(lhs), DWORD imm),
            },
        },
    }
}

/// `cmp lhs, imm`, of a byte: the assembler has no such form.
fn compare_small(e: &mut Emitter<'_>, width: Width, lhs: u8, imm: i8) {
    let rex = if width == Width::W64 { 0x48 } else { 0x40 } | lhs >> 3;
    if rex != 0x40 {
        e.asm.push(rex);
    }
    e.asm.extend(&[0x83, 0xf8 | lhs & 7, imm as u8]);
}

/// Jumps if what was compared is so.
pub(crate) fn jump_if(e: &mut Emitter<'_>, cond: Cond, target: DynamicLabel) {
    match cond {
        Cond::Eq => dynasm!(e.asm ; .arch x64 ; je =>target),
        Cond::Ne | Cond::Set => dynasm!(e.asm ; .arch x64 ; jne =>target),
        Cond::Gt => dynasm!(e.asm ; .arch x64 ; ja =>target),
        Cond::Ge => dynasm!(e.asm ; .arch x64 ; jae =>target),
        Cond::Lt => dynasm!(e.asm ; .arch x64 ; jb =>target),
        Cond::Le => dynasm!(e.asm ; .arch x64 ; jbe =>target),
        Cond::Sgt => dynasm!(e.asm ; .arch x64 ; jg =>target),
        Cond::Sge => dynasm!(e.asm ; .arch x64 ; jge =>target),
        Cond::Slt => dynasm!(e.asm ; .arch x64 ; jl =>target),
        Cond::Sle => dynasm!(e.asm ; .arch x64 ; jle =>target),
    }
}

/// The same where the target is known to be near.
fn jump_near_if(e: &mut Emitter<'_>, cond: Cond, target: DynamicLabel) {
    match cond {
        Cond::Eq => dynasm!(e.asm ; .arch x64 ; je BYTE =>target),
        Cond::Ne | Cond::Set => dynasm!(e.asm ; .arch x64 ; jne BYTE =>target),
        Cond::Gt => dynasm!(e.asm ; .arch x64 ; ja BYTE =>target),
        Cond::Ge => dynasm!(e.asm ; .arch x64 ; jae BYTE =>target),
        Cond::Lt => dynasm!(e.asm ; .arch x64 ; jb BYTE =>target),
        Cond::Le => dynasm!(e.asm ; .arch x64 ; jbe BYTE =>target),
        Cond::Sgt => dynasm!(e.asm ; .arch x64 ; jg BYTE =>target),
        Cond::Sge => dynasm!(e.asm ; .arch x64 ; jge BYTE =>target),
        Cond::Slt => dynasm!(e.asm ; .arch x64 ; jl BYTE =>target),
        Cond::Sle => dynasm!(e.asm ; .arch x64 ; jle BYTE =>target),
    }
}

/// Returns to the caller, or to the end of the run.
pub(crate) fn exit(e: &mut Emitter<'_>) {
    match frame::calls_first(e) {
        true => dynasm!(e.asm ; .arch x64 ; ret),
        false => dynasm!(e.asm ; .arch x64 ; jmp ->exit),
    }
}
