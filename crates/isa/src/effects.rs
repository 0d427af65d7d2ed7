//! What an instruction reads, writes and touches, and where it goes.
//!
//! Control-flow graphs, liveness, register allocation, listings and the checks of
//! [`Program::new`](crate::Program::new) all ask here.

use crate::{AtomicOp, Callee, Imm64, Insn, Operand, Pc, Reg, RegSet};

/// Where control can go after an instruction, besides its [target](Insn::target).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the next instruction only.
    Next,
    /// To the next instruction or to the target.
    Fork,
    /// To the target only.
    Jump,
    /// Nowhere: the function ends.
    Stop,
}

impl Insn {
    /// The registers whose values matter. A call is taken to read all its arguments.
    pub fn reads(&self) -> RegSet {
        let operand = |op: Operand| op.reg().map_or(RegSet::EMPTY, RegSet::of);
        match *self {
            Insn::Alu { op, dst, src, .. } if op.reads_dst() => RegSet::of(dst).union(operand(src)),
            Insn::Alu { src, .. } => operand(src),
            Insn::Unary { dst, .. } => RegSet::of(dst),
            Insn::Cast { src, .. } => RegSet::of(src),
            Insn::LoadImm { .. } | Insn::Jump { .. } | Insn::MayGoto { .. } => RegSet::EMPTY,
            Insn::Load { base, .. } => RegSet::of(base),
            Insn::Store { base, src, .. } => RegSet::of(base).union(operand(src)),
            Insn::Atomic { op: AtomicOp::LoadAcquire, base, .. } => RegSet::of(base),
            Insn::Atomic { op: AtomicOp::Cmpxchg, base, reg, .. } => {
                RegSet::of(base).union(RegSet::of(reg)).union(RegSet::RESULT)
            }
            Insn::Atomic { base, reg, .. } => RegSet::of(base).union(RegSet::of(reg)),
            Insn::LoadPacket { index, .. } => {
                index.map_or(RegSet::of(Reg::R6), |reg| RegSet::of(Reg::R6).union(RegSet::of(reg)))
            }
            Insn::Branch { lhs, rhs, .. } => RegSet::of(lhs).union(operand(rhs)),
            Insn::Call { callee: Callee::Register(reg) } => RegSet::ARGUMENTS.union(RegSet::of(reg)),
            Insn::Call { .. } => RegSet::ARGUMENTS,
            Insn::Exit => RegSet::RESULT,
        }
    }

    /// The registers that may have another value afterwards.
    pub fn writes(&self) -> RegSet {
        match *self {
            Insn::Alu { dst, .. }
            | Insn::Unary { dst, .. }
            | Insn::Cast { dst, .. }
            | Insn::LoadImm { dst, .. }
            | Insn::Load { dst, .. } => RegSet::of(dst),
            Insn::Atomic { op, reg, .. } => op.fetches(reg).map_or(RegSet::EMPTY, RegSet::of),
            Insn::LoadPacket { .. } => RegSet::RESULT,
            Insn::Call { callee: Callee::Local(_) | Callee::Register(_) } => {
                RegSet::RESULT.union(RegSet::ARGUMENTS)
            }
            Insn::Call { .. } => RegSet::RESULT,
            Insn::Store { .. }
            | Insn::Jump { .. }
            | Insn::MayGoto { .. }
            | Insn::Branch { .. }
            | Insn::Exit => RegSet::EMPTY,
        }
    }

    /// Where a jump or branch may go instead of to the next instruction. Calls have a callee, not a
    /// target.
    pub fn target(&self) -> Option<Pc> {
        match *self {
            Insn::Jump { to, .. } | Insn::MayGoto { to } | Insn::Branch { to, .. } => Some(to),
            _ => None,
        }
    }

    /// How control leaves the instruction.
    pub fn flow(&self) -> Flow {
        match self {
            Insn::Jump { .. } => Flow::Jump,
            Insn::MayGoto { .. } | Insn::Branch { .. } => Flow::Fork,
            Insn::Exit => Flow::Stop,
            _ => Flow::Next,
        }
    }

    /// How many 8-byte slots its encoding takes: 2 for a 64-bit immediate, 1 otherwise.
    pub fn slots(&self) -> u32 {
        if matches!(self, Insn::LoadImm { .. }) { 2 } else { 1 }
    }

    /// The function whose address the instruction names, by calling it or by loading it.
    pub fn function(&self) -> Option<Pc> {
        match *self {
            Insn::Call { callee: Callee::Local(to) } | Insn::LoadImm { value: Imm64::Function(to), .. } => {
                Some(to)
            }
            _ => None,
        }
    }
}
