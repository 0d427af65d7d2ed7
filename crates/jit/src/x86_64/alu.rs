//! Arithmetic but for multiplication and division: one instruction each, shifts by a register some more.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::{AddressSpace, AluOp, Imm64, Operand, Pc, Reg, UnaryOp, Width};
use sandbpf_runtime::{address, arena};

use super::{Emitter, RCX};
use crate::layout::status;

/// `op dst, src` on both widths and operands.
macro_rules! two_operand {
    ($e:ident, $op:tt, $width:ident, $dst:ident, $src:ident) => {
        match ($width, $src) {
            (Width::W64, Operand::Reg(src)) => {
                let src = $e.host(src);
                dynasm!($e.asm ; .arch x64 ; $op Rq($dst), Rq(src))
            }
            (Width::W64, Operand::Imm(imm)) => match i8::try_from(imm) {
                Ok(imm) => dynasm!($e.asm ; .arch x64 ; $op Rq($dst), BYTE imm),
                Err(_) => dynasm!($e.asm ; .arch x64 ; $op Rq($dst), DWORD imm),
            },
            (Width::W32, Operand::Reg(src)) => {
                let src = $e.host(src);
                dynasm!($e.asm ; .arch x64 ; $op Rd($dst), Rd(src))
            }
            (Width::W32, Operand::Imm(imm)) => match i8::try_from(imm) {
                Ok(imm) => dynasm!($e.asm ; .arch x64 ; $op Rd($dst), BYTE imm),
                Err(_) => dynasm!($e.asm ; .arch x64 ; $op Rd($dst), DWORD imm),
            },
        }
    };
}

/// `op dst, src` where the count is an immediate or `cl`.
macro_rules! shift {
    ($e:ident, $op:tt, $width:ident, $dst:ident, $src:ident) => {
        match ($width, $src) {
            (Width::W64, Operand::Imm(imm)) => {
                let count = (imm & 63) as i8;
                dynasm!($e.asm ; .arch x64 ; $op Rq($dst), count)
            }
            (Width::W32, Operand::Imm(imm)) => {
                let count = (imm & 31) as i8;
                // A shift by zero need not write the register: the move does.
                dynasm!($e.asm ; .arch x64 ; mov Rd($dst), Rd($dst) ; $op Rd($dst), count)
            }
            (width, Operand::Reg(src)) => {
                let src = $e.host(src);
                // The value in r9, the count in cl; rcx, which may be either's home, goes to r10 meanwhile.
                dynasm!($e.asm ; .arch x64 ; mov r9, Rq($dst) ; mov r10, rcx);
                if src != RCX {
                    dynasm!($e.asm ; .arch x64 ; mov ecx, Rd(src));
                }
                match width {
                    Width::W64 => dynasm!($e.asm ; .arch x64 ; $op r9, cl),
                    Width::W32 => dynasm!($e.asm ; .arch x64 ; mov r9d, r9d ; $op r9d, cl),
                }
                dynasm!($e.asm ; .arch x64 ; mov rcx, r10 ; mov Rq($dst), r9)
            }
        }
    };
}

/// `dst = dst op src`
pub(crate) fn emit(e: &mut Emitter<'_>, op: AluOp, width: Width, dst: Reg, src: Operand) {
    let dst = e.host(dst);
    match op {
        AluOp::Add => two_operand!(e, add, width, dst, src),
        AluOp::Sub => two_operand!(e, sub, width, dst, src),
        AluOp::Or => two_operand!(e, or, width, dst, src),
        AluOp::And => two_operand!(e, and, width, dst, src),
        AluOp::Xor => two_operand!(e, xor, width, dst, src),
        AluOp::Lsh => shift!(e, shl, width, dst, src),
        AluOp::Rsh => shift!(e, shr, width, dst, src),
        AluOp::Arsh => shift!(e, sar, width, dst, src),
        AluOp::Mov => mov(e, width, dst, src),
        AluOp::Movs8 | AluOp::Movs16 | AluOp::Movs32 => {
            let Operand::Reg(src) = src else {
                unreachable!("`Program` has sign extension of registers only")
            };
            sign_extend(e, op, width, dst, src);
        }
        AluOp::Mul | AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod => {
            unreachable!("`muldiv` emits these")
        }
    }
}

fn mov(e: &mut Emitter<'_>, width: Width, dst: u8, src: Operand) {
    match (width, src) {
        (Width::W64, Operand::Reg(src)) => {
            let src = e.host(src);
            dynasm!(e.asm ; .arch x64 ; mov Rq(dst), Rq(src));
        }
        (Width::W32, Operand::Reg(src)) => {
            let src = e.host(src);
            dynasm!(e.asm ; .arch x64 ; mov Rd(dst), Rd(src));
        }
        (Width::W64, Operand::Imm(imm)) => number(e, dst, imm as u64),
        (Width::W32, Operand::Imm(imm)) => number(e, dst, u64::from(imm as u32)),
    }
}

fn sign_extend(e: &mut Emitter<'_>, op: AluOp, width: Width, dst: u8, src: Reg) {
    let src = e.host(src);
    match (op, width) {
        (AluOp::Movs8, Width::W64) => dynasm!(e.asm ; .arch x64 ; movsx Rq(dst), Rb(src)),
        (AluOp::Movs8, Width::W32) => dynasm!(e.asm ; .arch x64 ; movsx Rd(dst), Rb(src)),
        (AluOp::Movs16, Width::W64) => dynasm!(e.asm ; .arch x64 ; movsx Rq(dst), Rw(src)),
        (AluOp::Movs16, Width::W32) => dynasm!(e.asm ; .arch x64 ; movsx Rd(dst), Rw(src)),
        _ => dynasm!(e.asm ; .arch x64 ; movsxd Rq(dst), Rd(src)),
    }
}

/// `dst = value`, in the shortest encoding.
pub(crate) fn number(e: &mut Emitter<'_>, dst: u8, value: u64) {
    if value == 0 {
        dynasm!(e.asm ; .arch x64 ; xor Rd(dst), Rd(dst));
    } else if let Ok(value) = u32::try_from(value) {
        dynasm!(e.asm ; .arch x64 ; mov Rd(dst), DWORD value as i32);
    } else if let Ok(value) = i32::try_from(value as i64) {
        dynasm!(e.asm ; .arch x64 ; mov Rq(dst), DWORD value);
    } else {
        dynasm!(e.asm ; .arch x64 ; mov Rq(dst), QWORD value as i64);
    }
}

/// `dst = src` as the other address space of an arena has it: the lower half, and what else it needs.
///
/// ```text
/// mov  dst, src                    to the user: mov  dst, src
/// lea  r10d, [dst - taken]                      test dst, dst
/// cmp  r10d, taken bytes                        jz   null
/// jae  free                                     mov  r10, upper
/// mov  r10, alias                               or   dst, r10
/// or   dst, r10
/// ```
pub(crate) fn cast(e: &mut Emitter<'_>, dst: Reg, src: Reg, to: AddressSpace) {
    let (dst, src) = (e.host(dst), e.host(src));
    dynasm!(e.asm ; .arch x64 ; mov Rd(dst), Rd(src));
    match (e.program.arena(), to) {
        (Some(_), AddressSpace::Kernel) => {
            let (first, bytes) =
                (arena::FIRST_TAKEN as i32, (arena::END_OF_TAKEN - arena::FIRST_TAKEN) as i32);
            dynasm!(e.asm
                ; .arch x64
                ; lea r10d, [Rq(dst) - first]
                ; cmp r10d, bytes
                ; jae >free
                ; mov r10, QWORD arena::ALIAS as i64
                ; or Rq(dst), r10
                ; free:
            );
        }
        (Some(arena), AddressSpace::User) if arena.converts => {
            let upper = arena::upper(arena) as i64;
            dynasm!(e.asm
                ; .arch x64
                ; test Rd(dst), Rd(dst)
                ; jz >null
                ; mov r10, QWORD upper
                ; or Rq(dst), r10
                ; null:
            );
        }
        _ => {}
    }
}

/// `dst = value`
pub(crate) fn load_imm(e: &mut Emitter<'_>, pc: Pc, dst: Reg, value: Imm64) {
    let dst = e.host(dst);
    match value {
        Imm64::Number(value) => number(e, dst, value),
        Imm64::Function(entry) => number(e, dst, address::function(entry)),
        Imm64::Map(_) | Imm64::MapValue(..) | Imm64::Variable { .. } => e.trap(status::UNRESOLVED, pc),
    }
}

/// `dst = op dst`
pub(crate) fn unary(e: &mut Emitter<'_>, op: UnaryOp, dst: Reg) {
    let dst = e.host(dst);
    match op {
        UnaryOp::Neg64 => dynasm!(e.asm ; .arch x64 ; neg Rq(dst)),
        UnaryOp::Neg32 => dynasm!(e.asm ; .arch x64 ; neg Rd(dst)),
        UnaryOp::Le16 => dynasm!(e.asm ; .arch x64 ; movzx Rd(dst), Rw(dst)),
        UnaryOp::Le32 => dynasm!(e.asm ; .arch x64 ; mov Rd(dst), Rd(dst)),
        UnaryOp::Le64 => {}
        UnaryOp::Be16 | UnaryOp::Swap16 => {
            dynasm!(e.asm ; .arch x64 ; rol Rw(dst), 8 ; movzx Rd(dst), Rw(dst));
        }
        UnaryOp::Be32 | UnaryOp::Swap32 => dynasm!(e.asm ; .arch x64 ; bswap Rd(dst)),
        UnaryOp::Be64 | UnaryOp::Swap64 => dynasm!(e.asm ; .arch x64 ; bswap Rq(dst)),
    }
}
