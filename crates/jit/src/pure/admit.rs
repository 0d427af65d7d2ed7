//! Which programs only read.

use sandbpf_isa::effects::Flow;
use sandbpf_isa::{AluOp, Imm64, Insn, Operand, Pc, Program, Reg, RegSet, Width};

/// What a program that only reads needs to know of the world.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// How many bytes of the context it reads.
    pub(crate) context: u32,
    /// Whether all that it reads of the context is the first word, as a word.
    pub(crate) word: bool,
    /// How many bytes of its frame it uses.
    pub(crate) frame: u32,
    /// The registers that hold the address of the context all the time.
    pub(crate) pointers: RegSet,
    /// Whether control can reach each instruction.
    pub(crate) reached: Box<[bool]>,
}

/// Whether the program only reads; `None` if it may do anything else.
pub(crate) fn admit(program: &Program) -> Option<Admitted> {
    let insns = program.insns();
    if program.functions().len() != 1 {
        return None;
    }
    let mut admitted = Admitted {
        context: 0,
        word: true,
        frame: 0,
        pointers: pointers(insns),
        reached: vec![false; insns.len()].into(),
    };
    let mut waiting = vec![0];
    while let Some(start) = waiting.pop() {
        // Straight on, until it was here or control leaves.
        for index in start.. {
            let insn = insns.get(index)?;
            if std::mem::replace(&mut admitted.reached[index], true) {
                break;
            }
            admitted.take(index, insn)?;
            if let Some(to) = insn.target() {
                waiting.push(to.index());
            }
            if !matches!(insn.flow(), Flow::Next | Flow::Fork) {
                break;
            }
        }
    }
    Some(admitted)
}

/// `r1`, and `r6` if it is a copy that stays.
fn pointers(insns: &[Insn]) -> RegSet {
    let context = RegSet::of(Reg::R1);
    let r1 = Operand::Reg(Reg::R1);
    match insns[0] {
        Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R6, src } if src == r1 => {
            context.union(RegSet::of(Reg::R6))
        }
        _ => context,
    }
}

impl Admitted {
    /// Whether an instruction makes the copy of the context's address, which stays where it came.
    pub(crate) fn copies(&self, pc: Pc) -> bool {
        pc.0 == 0 && self.pointers.contains(Reg::R6)
    }

    /// Looks at one instruction; `None` if it does what is not for such programs.
    fn take(&mut self, index: usize, insn: &Insn) -> Option<()> {
        if self.copies(Pc(index as u32)) {
            return Some(());
        }
        let addresses = self.pointers.union(RegSet::of(Reg::R10));
        let number = |reg: Reg| (!addresses.contains(reg)).then_some(());
        let operand = |src: Operand| src.reg().map_or(Some(()), number);
        match *insn {
            Insn::Alu { dst, src, .. } => number(dst).and(operand(src)),
            Insn::Unary { dst, .. } | Insn::LoadImm { dst, value: Imm64::Number(_) } => number(dst),
            Insn::Load { size, dst, base, off, .. } => {
                number(dst)?;
                self.access(base, off, size.bytes(), false)
            }
            Insn::Store { size, base, off, src } => {
                operand(src)?;
                self.access(base, off, size.bytes(), true)
            }
            // A packet load needs no register for the packet.
            Insn::LoadPacket { index, .. } => index.map_or(Some(()), number),
            Insn::Branch { lhs, rhs, .. } => number(lhs).and(operand(rhs)),
            Insn::Jump { .. } | Insn::Exit => Some(()),
            Insn::LoadImm { .. }
            | Insn::Cast { .. }
            | Insn::Atomic { .. }
            | Insn::MayGoto { .. }
            | Insn::Call { .. } => None,
        }
    }

    fn access(&mut self, base: Reg, off: i16, size: u8, write: bool) -> Option<()> {
        let (off, size) = (i32::from(off), i32::from(size));
        if base == Reg::R10 {
            let inside = off >= -(sandbpf_isa::FRAME_SIZE as i32) && off + size <= 0;
            self.frame = self.frame.max(off.unsigned_abs());
            return inside.then_some(());
        }
        if write || !self.pointers.contains(base) || off < 0 {
            return None;
        }
        self.context = self.context.max((off + size) as u32);
        self.word &= off == 0 && size == 4;
        Some(())
    }
}
