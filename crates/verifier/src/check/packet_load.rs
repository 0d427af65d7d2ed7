//! The classic loads of the packet (`check_ld_abs`).

use sandbpf_abi::ProgramType;
use sandbpf_isa::{Pc, Reg as R};

use crate::error::{Check, refuse};
use crate::explore::{Go, Verifier};
use crate::state::{Kind, Reg};

impl Verifier<'_> {
    /// Asks that the program is of a type that has such loads (`may_access_skb`).
    pub(super) fn may_load_packet(&self) -> Check {
        let types = [ProgramType::SocketFilter, ProgramType::SchedCls, ProgramType::SchedAct];
        if !types.contains(&self.env.program.program_type) {
            refuse!(Inval, "BPF_LD_[ABS|IND] instructions not allowed for this program type");
        }
        Ok(())
    }

    pub(super) fn check_packet_load(&mut self, index: Option<R>) -> Check<Go> {
        self.may_load_packet()?;
        if self.cur.frames.iter().skip(1).any(|frame| frame.in_callback) {
            refuse!(Inval, "cannot use BPF_LD_[ABS|IND] within callback");
        }
        self.readable(R::R6)?;
        // It may end the program: nothing must be held.
        self.check_leaks(false, true, "BPF_LD_[ABS|IND]")?;
        if self.reg(R::R6).kind != Kind::Context {
            refuse!(Inval, "at the time of BPF_LD_ABS|IND R6 != pointer to skb");
        }
        if let Some(index) = index {
            self.readable(index)?;
        }
        let context = *self.reg(R::R6);
        self.check_unmoved(&context, R::R6, false)?;
        for number in 0..6 {
            self.cur.current_mut().regs[number] = Reg::UNINIT;
        }
        let unknown = self.unknown();
        self.set(R::R0, unknown);
        if self.cur.depth() == 0 {
            return Ok(Go::Next);
        }
        // A load that fails returns from the function, with 0 in r0.
        self.push(Pc(self.pc.0 + 1), self.pc, false)?;
        let zero = Reg { precise: unknown.precise, ..Reg::known(0) };
        self.set(R::R0, zero);
        self.return_to_caller()
    }
}
