//! Returning: what must be true when a function or the program ends (`check_return_code`).

use sandbpf_abi::{AttachType, ProgramType, Returns};
use sandbpf_isa::Reg as R;

use super::{Name, names};
use crate::error::{Check, refuse};
use crate::explore::{Go, Verifier};
use crate::state::Kind;
use crate::types::Shape;

impl Verifier<'_> {
    pub(super) fn check_exit(&mut self) -> Check<Go> {
        let outermost = self.cur.depth() == 0;
        self.check_leaks(false, outermost, "BPF_EXIT instruction in main prog")?;
        if !outermost {
            return self.return_to_caller();
        }
        self.check_return(R::R0)?;
        Ok(Go::End)
    }

    /// What is thrown is returned where nobody catches it.
    pub(super) fn check_thrown(&mut self) -> Check {
        self.check_return(R::R1)
    }

    fn check_return(&mut self, number: R) -> Check {
        let frame = &self.cur.frames[0];
        let (later, exceptional, range) = (frame.in_async, frame.in_exception, frame.returns);
        let is_program = frame.function == 0 || exceptional;
        let program = &self.env.program;
        let of = program.program_type;
        if is_program && !later {
            let decides = of != ProgramType::Lsm || program.attach_type != AttachType::LSM_CGROUP;
            if matches!(of, ProgramType::Lsm | ProgramType::StructOps) && decides && self.target_is_void() {
                return Ok(());
            }
            if of == ProgramType::StructOps && !exceptional && self.returns_object(number)? {
                return Ok(());
            }
        }
        self.readable(number)?;
        if self.is_secret(number) {
            refuse!(Acces, "{} leaks addr as return value", Name(number));
        }
        if later {
            return self.enforce(number, range.unwrap_or((0, 0)), false, "At async callback return");
        }
        if !is_program {
            let reg = self.reg(number);
            if !reg.is_scalar() {
                let (number, name) = (Name(number), names::of(reg));
                refuse!(Inval, "At subprogram exit the register {number} is not a scalar value ({name})");
            }
            return Ok(());
        }
        match self.returns() {
            Some((range, narrow)) => self.enforce(number, range, narrow, "At program exit"),
            None => Ok(()),
        }
    }

    /// Whether a program that stands for a function of the kernel hands over the object that the function returns.
    fn returns_object(&self, number: R) -> Check<bool> {
        let Some(Shape::Struct { target: wanted, .. }) = self.target_result() else { return Ok(false) };
        let reg = self.reg(number);
        if reg.kind != Kind::Btf(*wanted) || reg.ref_id == 0 {
            return Ok(false);
        }
        self.check_unmoved(reg, number, false)?;
        Ok(true)
    }

    /// What the program may return, and whether only 32 bits count.
    fn returns(&self) -> Option<((i64, i64), bool)> {
        let program = &self.env.program;
        let is_pointer = |shape: &Shape| !matches!(shape, Shape::Void | Shape::Number { .. });
        if program.program_type == ProgramType::StructOps {
            // Of pointers, what is no object is null.
            let pointer = self.target_result().is_some_and(is_pointer);
            return (pointer && !self.cur.frames[0].in_exception).then_some(((0, 0), false));
        }
        if program.attach_type == AttachType::LSM_CGROUP && self.target_is_void() {
            // Nothing can be refused there.
            return Some(((1, 1), false));
        }
        match self.env.program.returns() {
            Returns::Any => None,
            Returns::Range(low, high) => Some(((low, high), false)),
            Returns::Target => self.hook_returns().map(|range| (range, true)),
        }
    }

    fn enforce(&mut self, number: R, range: (i64, i64), narrow: bool, when: &str) -> Check {
        let reg = self.reg(number);
        if !reg.is_scalar() {
            let (number, name) = (Name(number), names::of(reg));
            refuse!(Inval, "{when} the register {number} is not a known value ({name})");
        }
        self.needs_precise(number)?;
        self.check_range(number, range, narrow, when)
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
