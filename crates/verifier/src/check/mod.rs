//! What each instruction asks of the state, and what it does to it.

pub(crate) mod alu;
pub(crate) mod arguments;
pub(crate) mod branch;
pub(crate) mod call;
pub(crate) mod callback;
pub(crate) mod context;
pub(crate) mod ctype;
pub(crate) mod exit;
pub(crate) mod expected;
pub(crate) mod function;
pub(crate) mod graph;
pub(crate) mod immediate;
pub(crate) mod kfunc;
pub(crate) mod kfunc_args;
pub(crate) mod known;
pub(crate) mod memory;
pub(crate) mod names;
pub(crate) mod null;
pub(crate) mod objects;
pub(crate) mod packet_load;
pub(crate) mod parameters;
pub(crate) mod pointer;
pub(crate) mod range;
pub(crate) mod references;
pub(crate) mod special;
pub(crate) mod speculation;
pub(crate) mod stack;
pub(crate) mod trust;

use sandbpf_isa::{Insn, Reg as R};

use crate::error::{Check, refuse};
use crate::explore::{Go, Verifier};
use crate::state::{Kind, Reg};

impl Verifier<'_> {
    /// Looks at the current instruction: refuses it, or changes the current state as it does (`do_check_insn`).
    pub(crate) fn check_insn(&mut self) -> Check<Go> {
        if !self.cur.speculative {
            // What only guesses reach stays dead: it is never run for good.
            self.known.reached[self.pc.index()] = true;
        }
        if !self.env.faults.is_empty() {
            self.check_fault()?;
        }
        match self.program.insns()[self.pc.index()] {
            Insn::Alu { op, width, dst, src } => self.check_alu(op, width, dst, src)?,
            Insn::Unary { op, dst } => self.check_unary(op, dst)?,
            Insn::Cast { dst, src, to } => self.check_cast(dst, src, to)?,
            Insn::LoadImm { dst, value } => self.check_load_imm(dst, value)?,
            Insn::Load { size, extend, dst, base, off } => self.check_load(size, extend, dst, base, off)?,
            Insn::Store { size, base, off, src } => self.check_store(size, base, off, src)?,
            Insn::Atomic { op, size, base, off, reg } => self.check_atomic(op, size, base, off, reg)?,
            Insn::LoadPacket { index, .. } => return self.check_packet_load(index),
            Insn::Jump { to, .. } => {
                self.count_jump();
                return Ok(Go::To(to));
            }
            Insn::MayGoto { to } => {
                self.count_jump();
                return self.check_may_goto(to);
            }
            Insn::Branch { cond, width, lhs, rhs, to } => {
                self.count_jump();
                return self.check_branch(cond, width, lhs, rhs, to);
            }
            Insn::Call { callee } => {
                self.count_jump();
                return self.check_call(callee);
            }
            Insn::Exit => {
                self.count_jump();
                return self.check_exit();
            }
        }
        Ok(Go::Next)
    }

    /// Refuses an instruction that could not be decoded.
    fn check_fault(&self) -> Check {
        let Ok(at) = self.env.faults.binary_search_by_key(&self.pc, |fault| fault.0) else { return Ok(()) };
        if matches!(self.program.insns()[self.pc.index()], Insn::LoadPacket { .. }) {
            self.may_load_packet()?;
        }
        let fault = &self.env.faults[at].1;
        for &reg in &fault.reads {
            self.readable(reg)?;
        }
        refuse!(Inval, "{}", fault.message)
    }

    /// A register of the current frame.
    #[inline]
    pub(crate) fn reg(&self, reg: R) -> &Reg {
        &self.cur.current().regs[reg.index()]
    }

    /// The same, to change it.
    #[inline]
    pub(crate) fn reg_mut(&mut self, reg: R) -> &mut Reg {
        &mut self.cur.current_mut().regs[reg.index()]
    }

    #[inline]
    pub(crate) fn set(&mut self, reg: R, to: Reg) {
        *self.reg_mut(reg) = to;
    }

    /// A number of which nothing is known; without `CAP_BPF` every number is precise.
    #[inline]
    pub(crate) fn unknown(&self) -> Reg {
        Reg::unknown(!self.rights.bpf)
    }

    /// This number, precise like all others without `CAP_BPF`.
    #[inline]
    pub(crate) fn constant(&self, value: u64) -> Reg {
        Reg { precise: !self.rights.bpf, ..Reg::known(value) }
    }

    /// Asks that a register was written (`check_reg_arg`, `SRC_OP`).
    #[inline]
    pub(crate) fn readable(&self, reg: R) -> Check {
        if self.reg(reg).kind == Kind::Uninit {
            refuse!(Acces, "{reg} !read_ok", reg = Name(reg));
        }
        Ok(())
    }

    /// Asks that a register may be written (`DST_OP`).
    #[inline]
    pub(crate) fn writable(&self, reg: R) -> Check {
        if reg == R::R10 {
            refuse!(Acces, "frame pointer is read only");
        }
        Ok(())
    }

    /// Whether it is a pointer that this loader must not see (`is_pointer_value`).
    pub(crate) fn is_secret(&self, reg: R) -> bool {
        !self.rights.ptr_leaks && !self.reg(reg).is_scalar()
    }

    pub(crate) fn in_sleepable(&self) -> bool {
        self.cur.in_sleepable
            || (self.env.program.sleepable && !self.cur.frames.iter().any(|frame| frame.in_async))
    }
}

/// A register as messages name it.
pub(crate) struct Name(pub(crate) R);

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "R{}", self.0.number())
    }
}
