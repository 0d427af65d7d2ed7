//! The way back along a path: its stretches between states that were kept, what of them matters to what is wanted, and
//! what was traced back through them before.

use std::collections::HashMap;

use sandbpf_isa::{Insn, Operand, Pc, Program, Reg as R};

use super::wanted::Wanted;
use crate::state::{State, Step};

/// The part of a path between two states that were kept.
pub(super) struct Stretch<'s> {
    pub(super) history: &'s [Step],
    pub(super) first: Pc,
    pub(super) last: Option<Pc>,
    /// Whether it is the one that the path at hand is in.
    pub(super) current: bool,
}

impl<'s> Stretch<'s> {
    /// What a path did since a state was kept.
    pub(super) fn behind(state: &State, history: &'s [Step]) -> Stretch<'s> {
        Stretch { history, first: state.first, last: Some(state.pc), current: false }
    }

    /// What was written down of this instruction, if it is the one the history stands at.
    #[inline]
    pub(super) fn step(&self, end: usize, pc: Pc) -> Option<&'s Step> {
        let step = self.history[..end].last()?;
        (step.pc == pc).then_some(step)
    }

    /// The instruction before one that has this step or none (`get_prev_insn_idx`).
    #[inline]
    pub(super) fn before(&self, end: &mut usize, pc: Pc, step: Option<&Step>) -> Option<Pc> {
        if pc == self.first && (*end == 0 || (*end == 1 && self.history[0].pc == pc)) {
            return None;
        }
        if let Some(step) = step {
            *end -= 1;
            return Some(step.prev);
        }
        Some(Pc(pc.0.wrapping_sub(1)))
    }
}

/// An instruction that is looked at whatever is wanted.
const ALWAYS: u16 = 1 << 15;

/// The registers that must be wanted for an instruction to matter that touched no slot and linked nothing. This may be too many.
fn concerns(insn: &Insn) -> u16 {
    let bit = |reg: R| 1 << reg.number();
    match *insn {
        Insn::Alu { dst, .. } | Insn::Unary { dst, .. } | Insn::Cast { dst, .. } => bit(dst),
        Insn::LoadImm { dst, .. } | Insn::Load { dst, .. } => bit(dst),
        Insn::Store { base, .. } => bit(base),
        Insn::Branch { lhs, rhs: Operand::Reg(rhs), .. } => bit(lhs) | bit(rhs),
        Insn::Branch { .. } | Insn::Jump { .. } | Insn::MayGoto { .. } => 0,
        Insn::Atomic { .. } | Insn::Call { .. } | Insn::Exit | Insn::LoadPacket { .. } => ALWAYS,
    }
}

/// What tracing knows of a program, and of the stretch at hand: what was traced back through it before, at some of its
/// instructions. What is wanted there again need not be followed again. Without it a long stretch without branches would be
/// walked for each of its instructions.
#[derive(Debug)]
pub(super) struct Traced {
    concerns: Box<[u16]>,
    /// By instruction, where many follow each other without a step of the history.
    by_insn: HashMap<(usize, Pc), Wanted>,
    /// By every so many steps of the history.
    by_step: Vec<Wanted>,
}

impl Traced {
    /// After so many instructions it is looked at.
    const INSNS: u32 = 64;
    /// After so many steps.
    const STEPS: usize = 4;

    pub(super) fn new(program: &Program) -> Traced {
        let concerns = program.insns().iter().map(concerns).collect();
        Traced { concerns, by_insn: HashMap::new(), by_step: Vec::new() }
    }

    /// The path goes on in another stretch.
    pub(super) fn forget(&mut self) {
        self.by_insn.clear();
        self.by_step.clear();
    }

    /// Whether an instruction may change what is wanted, of which these registers are of its frame.
    #[inline]
    pub(super) fn matters(&self, pc: Pc, regs: u16, step: Option<&Step>) -> bool {
        (regs | ALWAYS) & self.concerns[pc.index()] != 0
            || step.is_some_and(|step| step.linked != 0 || step.touched.slot.is_some())
    }

    /// Takes away what was wanted here before, at an instruction that has this step or none, and remembers the rest; whether
    /// there is none.
    #[inline]
    pub(super) fn take_known(&mut self, end: usize, pc: Pc, has_step: bool, wanted: &mut Wanted) -> bool {
        match has_step {
            true => end.is_multiple_of(Traced::STEPS) && self.take_known_at_step(end / Traced::STEPS, wanted),
            false => pc.0.is_multiple_of(Traced::INSNS) && self.take_known_at_insn(end, pc, wanted),
        }
    }

    fn take_known_at_step(&mut self, number: usize, wanted: &mut Wanted) -> bool {
        if self.by_step.len() <= number {
            self.by_step.resize(number + 1, Wanted { frame: wanted.frame, ..Wanted::default() });
        }
        let known = &mut self.by_step[number];
        if known.is_empty() {
            known.frame = wanted.frame;
        }
        take_away(known, wanted)
    }

    fn take_known_at_insn(&mut self, end: usize, pc: Pc, wanted: &mut Wanted) -> bool {
        let none = Wanted { frame: wanted.frame, ..Wanted::default() };
        take_away(self.by_insn.entry((end, pc)).or_insert(none), wanted)
    }
}

fn take_away(known: &mut Wanted, wanted: &mut Wanted) -> bool {
    if known.frame != wanted.frame {
        return false;
    }
    wanted.take_away(known);
    wanted.is_empty()
}
