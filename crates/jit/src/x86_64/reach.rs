//! Which jumps ahead are near: the processor has a form of them that takes two bytes.
//!
//! How long the code between will be is known only when it is there. But of the usual instructions it is known how long it is
//! at most, and where a jump leads over few of them, that is enough.

use sandbpf_isa::{AluOp, Insn, Operand, Pc, Reg, Width};

use super::{Emitter, frame};

/// How far a near jump reaches.
const NEAR: u32 = i8::MAX as u32;

/// How long a far jump is: what was proved not to be run may be one to a trap, whatever it is.
const TRAP: u32 = 5;

/// Whether the code between a jump and its target ahead is so short that a near jump reaches.
pub(super) fn is_near(e: &Emitter<'_>, from: Pc, to: Pc) -> bool {
    // Instructions that are left out take no bytes, but looking at them takes time.
    if to.index() - from.index() > NEAR as usize {
        return false;
    }
    let mut between = 0;
    for index in from.index() + 1..to.index() {
        match longest(e, Pc(index as u32)) {
            Some(bytes) if between + bytes <= NEAR => between += bytes,
            _ => return false,
        }
    }
    true
}

/// How many bytes of code an instruction takes at most, of those of which somebody looked.
pub(crate) fn longest(e: &Emitter<'_>, pc: Pc) -> Option<u32> {
    if e.is_idle(pc) && !e.is_proved {
        return Some(0);
    }
    let insn = e.program.get(pc)?;
    // Writing to the frame pointer is another matter.
    if insn.writes().contains(Reg::R10) {
        return None;
    }
    match *insn {
        Insn::Alu { op, width, src, .. } => match op {
            AluOp::Add | AluOp::Sub | AluOp::Or | AluOp::And | AluOp::Xor | AluOp::Mov | AluOp::Mul => {
                Some(7)
            }
            AluOp::Movs8 | AluOp::Movs16 | AluOp::Movs32 => Some(TRAP),
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh if matches!(src, Operand::Imm(_)) => {
                Some(if width == Width::W64 { TRAP } else { 7 })
            }
            _ => None,
        },
        Insn::Unary { .. } | Insn::LoadImm { .. } => Some(10),
        // A call of a check, and four or eight bytes more than that for where it is.
        Insn::Load { .. } => Some(24),
        Insn::Store { .. } => Some(28),
        Insn::Branch { to, .. } if to > pc => Some(13),
        Insn::Jump { to, .. } if to > pc => Some(TRAP),
        Insn::Exit if !frame::calls_first(e) => Some(TRAP),
        _ => None,
    }
}
