//! Which of the registers that calls do not preserve matter after a call.
//!
//! A call of a helper leaves `r1` … `r5` as they are, but hardly a program looks at them again. Those that nobody reads before
//! they are written need not be saved.

use sandbpf_isa::effects::Flow;
use sandbpf_isa::{Callee, Insn, Pc, Program, Reg, RegSet};

/// For each instruction, the registers among `r0` … `r5` whose values matter before it, a bit for each.
#[derive(Debug)]
pub(crate) struct Live(Box<[u8]>);

/// `r0` to `r5`, which functions share.
const SHARED: u8 = 0b11_1111;

/// A set of registers as bits.
fn bits(set: RegSet) -> u8 {
    set.iter().filter(|reg| reg.index() < 6).fold(0, |bits, reg| bits | 1 << reg.index())
}

impl Live {
    /// `reads` says which registers a call of a helper reads.
    pub(crate) fn new(program: &Program, reads: impl Fn(i32) -> RegSet) -> Live {
        let insns = program.insns();
        let several = program.functions().len() > 1;
        let mut live = vec![0u8; insns.len() + 1];
        let goes_back = |(index, insn): (usize, &Insn)| insn.target().is_some_and(|to| to.index() <= index);
        let loops = insns.iter().enumerate().any(goes_back);
        let mut again = true;
        while again {
            again = false;
            for (index, insn) in insns.iter().enumerate().rev() {
                let target = insn.target().map_or(0, |to| live[to.index()]);
                let after = match insn.flow() {
                    Flow::Next => live[index + 1],
                    Flow::Fork => live[index + 1] | target,
                    Flow::Jump => target,
                    Flow::Stop => 0,
                };
                let read = match *insn {
                    Insn::Call { callee: Callee::Helper(id) } => bits(reads(id)),
                    // A function finds these as its caller left them, and leaves them to its caller.
                    Insn::Call { callee: Callee::Local(_) | Callee::Register(_) } => SHARED,
                    Insn::Exit | Insn::LoadPacket { .. } if several => bits(insn.reads()) | SHARED,
                    _ => bits(insn.reads()),
                };
                let before = after & !bits(insn.writes()) | read;
                // Without loops nothing comes to an instruction from behind it.
                again |= loops && live[index] != before;
                live[index] = before;
            }
        }
        Live(live.into())
    }

    /// The registers among `r1` … `r5` that matter after an instruction that is followed by the next.
    pub(crate) fn after(&self, pc: Pc) -> impl Iterator<Item = Reg> {
        let live = self.0.get(pc.index() + 1).copied().unwrap_or(u8::MAX);
        RegSet::ARGUMENTS.iter().filter(move |reg| live >> reg.index() & 1 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_later_is_live() {
        let text =
            "again: r1 = 1\nr2 = 2\ncall 1\nr6 = r2\nr3 = 0\nif r0 == 0 goto again\ncall 5\nr0 = r4\nexit";
        let program = sandbpf_isa::parse(text).unwrap();
        let live = Live::new(&program, |id| if id == 1 { RegSet::of(Reg::R1) } else { RegSet::EMPTY });
        let after = |pc| live.after(Pc(pc)).collect::<Vec<Reg>>();
        assert_eq!(after(2), [Reg::R2, Reg::R4]);
        assert_eq!(after(6), [Reg::R4]);
        assert_eq!(after(0), [Reg::R1, Reg::R4], "r2 comes anew");
    }

    #[test]
    fn callers_find_what_callees_left() {
        let program = sandbpf_isa::parse("call f\nr0 = r1\nexit\nf:\ncall 1\nexit").unwrap();
        let live = Live::new(&program, |_| RegSet::EMPTY);
        assert_eq!(live.after(Pc(3)).collect::<Vec<Reg>>(), RegSet::ARGUMENTS.iter().collect::<Vec<Reg>>());
    }
}
