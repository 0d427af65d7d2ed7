//! Returning: what must be true when a function or the program ends (`check_return_code`).

use sandbpf_abi::{ProgramType, Returns};
use sandbpf_isa::Reg as R;

use super::{Name, names};
use crate::error::{Check, refuse};
use crate::explore::{Go, Verifier};

impl Verifier<'_> {
    pub(super) fn check_exit(&mut self) -> Check<Go> {
        let outermost = self.cur.depth() == 0;
        self.check_leaks(false, outermost, "BPF_EXIT instruction in main prog")?;
        if !outermost {
            return self.return_to_caller();
        }
        self.check_return()?;
        Ok(Go::End)
    }

    /// What is thrown is returned where nobody catches it.
    pub(super) fn check_thrown(&mut self) -> Check {
        self.readable(R::R1)?;
        if self.is_secret(R::R1) {
            refuse!(Acces, "R1 leaks addr as return value");
        }
        match self.returns() {
            Some((range, narrow)) => {
                let reg = self.reg(R::R1);
                if !reg.is_scalar() {
                    let name = names::of(reg);
                    refuse!(Inval, "At program exit the register R1 is not a known value ({name})");
                }
                self.needs_precise(R::R1)?;
                self.check_range(R::R1, range, narrow, "At program exit")
            }
            None => Ok(()),
        }
    }

    fn check_return(&mut self) -> Check {
        let frame = self.cur.current();
        let is_function = frame.function != 0;
        let (later, exceptional, range) = (frame.in_async, frame.in_exception, frame.returns);
        let program = &self.env.program;
        let void_hook = matches!(program.program_type, ProgramType::Lsm | ProgramType::StructOps)
            && self.target_is_void();
        if !is_function
            && void_hook
            && !later
            && (program.program_type == ProgramType::StructOps
                || program.attach_type != sandbpf_abi::AttachType::LSM_CGROUP)
        {
            return Ok(());
        }
        self.readable(R::R0)?;
        if self.is_secret(R::R0) {
            refuse!(Acces, "R0 leaks addr as return value");
        }
        if later {
            return self.enforce(range.unwrap_or((0, 0)), false, "At async callback return");
        }
        if is_function && !exceptional {
            let reg = self.reg(R::R0);
            if !reg.is_scalar() {
                let name = names::of(reg);
                refuse!(Inval, "At subprogram exit the register R0 is not a scalar value ({name})");
            }
            return Ok(());
        }
        match self.returns() {
            Some((range, narrow)) => self.enforce(range, narrow, "At program exit"),
            None => Ok(()),
        }
    }

    /// What the program may return, and whether only 32 bits count.
    fn returns(&self) -> Option<((i64, i64), bool)> {
        match self.env.program.returns() {
            Returns::Any => None,
            Returns::Range(low, high) => Some(((low, high), false)),
            Returns::Target => self.hook_returns().map(|range| (range, true)),
        }
    }

    fn enforce(&mut self, range: (i64, i64), narrow: bool, when: &str) -> Check {
        let reg = self.reg(R::R0);
        if !reg.is_scalar() {
            let name = names::of(reg);
            refuse!(Inval, "{when} the register R0 is not a known value ({name})");
        }
        self.needs_precise(R::R0)?;
        self.check_range(R::R0, range, narrow, when)
    }

    /// Asks that a number lies in a range (`retval_range_within`).
    pub(super) fn check_range(&self, number: R, range: (i64, i64), narrow: bool, when: &str) -> Check {
        let num = &self.reg(number).num;
        let (min, max) = match narrow {
            true => (i64::from(num.s32_min), i64::from(num.s32_max)),
            false => (num.smin, num.smax),
        };
        if range.0 <= min && max <= range.1 {
            return Ok(());
        }
        let mut known = String::new();
        let (smin, smax) = (num.smin, num.smax);
        if smin > i64::MIN {
            known.push_str(&format!(" smin={smin}"));
        }
        if smax < i64::MAX {
            known.push_str(&format!(" smax={smax}"));
        }
        if known.is_empty() {
            known.push_str(" unknown scalar value");
        }
        let (low, high) = range;
        refuse!(Inval, "{when} the register {} has{known} should have been in [{low}, {high}]", Name(number));
    }
}
