//! Which programs only read.

use sandbpf_isa::effects::Flow;
use sandbpf_isa::{AluOp, Imm64, Insn, Operand, Pc, Program, Reg, RegSet, Width};

/// What a program that only reads needs to know of the world, and what its instructions need.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// How many bytes of the context it reads.
    pub(crate) context: u32,
    /// How many bytes of its frame it uses.
    pub(crate) frame: u32,
    /// The registers that hold the address of the context all the time.
    pub(crate) pointers: RegSet,
    /// Whether control can reach each instruction.
    pub(crate) reached: Box<[bool]>,
    /// How many ways lead to each instruction.
    pub(crate) ways: Box<[u32]>,
    /// Whether one of them leads back to it.
    pub(crate) heads: Box<[bool]>,
    /// The registers whose values matter before each instruction.
    pub(crate) live: Box<[RegSet]>,
}

/// Whether the program only reads; `None` if it may do anything else.
pub(crate) fn admit(program: &Program) -> Option<Admitted> {
    let insns = program.insns();
    if program.functions().len() != 1 {
        return None;
    }
    let mut admitted = Admitted {
        context: 0,
        frame: 0,
        pointers: pointers(insns),
        reached: vec![false; insns.len()].into(),
        ways: vec![0; insns.len()].into(),
        heads: vec![false; insns.len()].into(),
        live: vec![RegSet::EMPTY; insns.len()].into(),
    };
    admitted.reached[0] = true;
    admitted.ways[0] = 1;
    let mut waiting = vec![0];
    while let Some(index) = waiting.pop() {
        let insn = &insns[index];
        admitted.take(index, insn)?;
        for to in next(Pc(index as u32), insn).map(Pc::index) {
            if to >= insns.len() {
                return None;
            }
            admitted.ways[to] += 1;
            admitted.heads[to] |= to <= index;
            if !admitted.reached[to] {
                admitted.reached[to] = true;
                waiting.push(to);
            }
        }
    }
    while admitted.flow_back(insns) {}
    Some(admitted)
}

/// The registers that an instruction reads as values. A packet load needs no register for the packet.
fn values(insn: &Insn) -> RegSet {
    match *insn {
        Insn::LoadPacket { index, .. } => index.map_or(RegSet::EMPTY, RegSet::of),
        _ => insn.reads(),
    }
}

/// Where control goes after an instruction.
pub(crate) fn next(pc: Pc, insn: &Insn) -> impl Iterator<Item = Pc> {
    let after = matches!(insn.flow(), Flow::Next | Flow::Fork).then_some(Pc(pc.0 + 1));
    after.into_iter().chain(insn.target())
}

/// `r1`, and `r6` if it is a copy that stays.
fn pointers(insns: &[Insn]) -> RegSet {
    let context = RegSet::of(Reg::R1);
    let r6 = Operand::Reg(Reg::R1);
    match insns[0] {
        Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R6, src } if src == r6 => {
            context.union(RegSet::of(Reg::R6))
        }
        _ => context,
    }
}

impl Admitted {
    /// Whether the program has a loop.
    pub(crate) fn loops(&self) -> bool {
        self.heads.contains(&true)
    }

    /// Finds what is live from the end to the start; whether that must be done again, for a loop had not known its end.
    fn flow_back(&mut self, insns: &[Insn]) -> bool {
        let mut again = false;
        for (index, insn) in insns.iter().enumerate().rev() {
            let after = next(Pc(index as u32), insn).filter_map(|to| self.live.get(to.index()));
            let after = after.fold(RegSet::EMPTY, |live, &more| live.union(more));
            let live = after.without(insn.writes()).union(values(insn));
            again |= self.heads[index] && live != self.live[index];
            self.live[index] = live;
        }
        again
    }

    /// Looks at one instruction; `None` if it does what is not for such programs.
    fn take(&mut self, index: usize, insn: &Insn) -> Option<()> {
        let addresses = self.pointers.union(RegSet::of(Reg::R10));
        let copies = index == 0 && self.pointers.contains(Reg::R6);
        if !copies && insn.writes().iter().any(|reg| addresses.contains(reg)) {
            return None;
        }
        let base = match *insn {
            Insn::Load { size, base, off, .. } => {
                self.access(base, off, size.bytes(), false)?;
                RegSet::of(base)
            }
            Insn::Store { size, base, off, src } => {
                self.access(base, off, size.bytes(), true)?;
                if src.reg().is_some_and(|src| addresses.contains(src)) {
                    return None;
                }
                RegSet::of(base)
            }
            Insn::LoadImm { value: Imm64::Number(_), .. }
            | Insn::Alu { .. }
            | Insn::Unary { .. }
            | Insn::LoadPacket { .. }
            | Insn::Jump { .. }
            | Insn::Branch { .. }
            | Insn::Exit => RegSet::EMPTY,
            Insn::LoadImm { .. }
            | Insn::Cast { .. }
            | Insn::Atomic { .. }
            | Insn::MayGoto { .. }
            | Insn::Call { .. } => return None,
        };
        let used = values(insn).without(base);
        let strange = used.iter().any(|reg| addresses.contains(reg));
        (copies || !strange).then_some(())
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
        Some(())
    }
}
