//! Functions of the program: calls of them, and returning (`check_func_call`, `prepare_func_exit`).

use std::rc::Rc;

use sandbpf_isa::{Pc, Reg as R};

use super::Name;
use crate::environment::Signature;
use crate::error::{Check, refuse};
use crate::explore::{Go, Verifier};
use crate::state::{Frame, Kind, Reg};
use crate::types::{Prototype, Shape};

impl Verifier<'_> {
    /// The function that starts there, by index.
    pub(super) fn function_at(&self, entry: Pc) -> Option<u32> {
        let at = self.program.functions().binary_search_by_key(&entry, |function| function.entry);
        at.ok().map(|at| at as u32)
    }

    pub(crate) fn signature(&self, entry: Pc) -> Option<&Signature> {
        self.env.signatures.iter().find(|signature| signature.entry == entry)
    }

    pub(super) fn check_function_call(&mut self, to: Pc) -> Check<Go> {
        let Some(function) = self.function_at(to) else {
            refuse!(Fault, "verifier bug. No program starts at insn {}", self.slot(to));
        };
        if self.known.global[function as usize] {
            return self.check_global_call(function, to);
        }
        let frames = self.cur.frames.len();
        if frames >= self.env.limits.frames {
            refuse!(TooBig, "the call stack of {} frames is too deep", frames + 1);
        }
        let mut callee = Frame::new(Some(self.pc), function, frames);
        callee.regs[1..6].copy_from_slice(&self.cur.current().regs[1..6]);
        let caller = self.cur.current_mut();
        caller.regs[..6].fill(Reg::UNINIT);
        self.cur.frames.push(Rc::new(callee));
        self.life.forget_current();
        self.log_call();
        Ok(Go::To(to))
    }

    /// A function that is verified by itself is taken at its signature's word.
    fn check_global_call(&mut self, function: u32, to: Pc) -> Check<Go> {
        let name = self.signature(to).map(|signature| signature.name.clone()).unwrap_or_default();
        if self.cur.locks > 0 {
            refuse!(
                Inval,
                "global function calls are not allowed while holding a lock,\nuse static function instead"
            );
        }
        let sleeps = self.graph.functions[function as usize].might_sleep;
        if sleeps
            && (self.cur.rcu > 0 || self.cur.preempt > 0 || self.cur.irq_id != 0 || !self.in_sleepable())
        {
            refuse!(
                Inval,
                "global functions that may sleep are not allowed in non-sleepable context,\ni.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context"
            );
        }
        if let Err(refusal) = self.check_global_arguments(to) {
            refuse!(Inval, "{}\nCaller passes invalid args into func#{function} ('{name}')", refusal.message);
        }
        if self.graph.functions[function as usize].changes_packet {
            self.forget_packet();
        }
        self.known.called[function as usize] = true;
        let unknown = self.unknown();
        let caller = self.cur.current_mut();
        caller.regs[..6].fill(Reg::UNINIT);
        caller.regs[0] = unknown;
        Ok(Go::Next)
    }

    fn check_global_arguments(&mut self, to: Pc) -> Check {
        let Some(prototype) = self.prototype_of(to) else { return Ok(()) };
        for (at, param) in prototype.params.iter().enumerate().take(5) {
            let number = super::arguments::register(at);
            let reg = *self.reg(number);
            self.check_global_argument(&reg, number, at, param)?;
        }
        Ok(())
    }

    pub(crate) fn prototype_of(&self, entry: Pc) -> Option<Prototype> {
        let signature = self.signature(entry)?;
        self.env.types?.prototype(crate::environment::TypeRef::program(signature.type_id))
    }

    pub(super) fn check_callback_signature(&self, function: u32) -> Check {
        let _ = self.entry_of(function);
        Ok(())
    }

    /// The function that runs has ended: back to its caller, or to the call that calls back.
    pub(super) fn return_to_caller(&mut self) -> Check<Go> {
        let callee = self.cur.current();
        let result = callee.regs[0];
        let Some(callsite) = callee.callsite else { return Ok(Go::End) };
        if result.kind == Kind::Stack {
            refuse!(Inval, "cannot return stack pointer to the caller");
        }
        let in_callback = callee.in_callback;
        if in_callback {
            if !result.is_scalar() {
                refuse!(Acces, "R0 not a scalar value");
            }
            self.needs_precise(R::R0)?;
            if let Some(range) = self.cur.current().returns {
                self.check_range(R::R0, range, false, "At callback return")?;
            }
        }
        self.cur.pc = self.pc;
        self.life.update(self.program, &self.graph, &self.cur);
        self.log_return();
        self.cur.frames.pop();
        if !in_callback {
            self.cur.current_mut().regs[0] = result;
            self.log_returned(Pc(callsite.0 + 1));
            return Ok(Go::To(Pc(callsite.0 + 1)));
        }
        self.log_returned(callsite);
        if let Some(before) = self.previous_entry(callsite) {
            let mut state = std::mem::replace(&mut self.cur, crate::explore::entry_state(callsite, 0));
            self.widen(before, &mut state);
            self.cur = state;
        }
        Ok(Go::To(callsite))
    }

    /// What a global function's parameter asks of an argument.
    fn check_global_argument(
        &mut self,
        reg: &Reg,
        number: R,
        at: usize,
        param: &crate::types::Parameter,
    ) -> Check {
        let tagged = |tag: &str| param.tags.iter().any(|known| known == tag);
        let offset = |this: &Self| this.check_offset(reg, number, sandbpf_abi::ArgSpec::Anything);
        if tagged("ctx") || matches!(&param.shape, Shape::Struct { name, .. } if self.is_context_name(name)) {
            offset(self)?;
            if reg.kind != Kind::Context {
                refuse!(Inval, "arg#{at} expects pointer to ctx");
            }
            return Ok(());
        }
        if tagged("arena") {
            if !matches!(reg.kind, Kind::Arena | Kind::Scalar) {
                refuse!(Inval, "{} is not a pointer to arena or scalar.", Name(number));
            }
            return Ok(());
        }
        let size = match &param.shape {
            Shape::Number { .. } => {
                if !reg.is_scalar() {
                    refuse!(Inval, "{} is not a scalar", Name(number));
                }
                return Ok(());
            }
            Shape::Struct { name, .. } if name == "bpf_dynptr" => {
                self.check_offset(reg, number, sandbpf_abi::ArgSpec::Dynptr)?;
                return self.check_dynptr_argument(number);
            }
            Shape::Struct { target, .. } if tagged("trusted") => {
                return self.check_trusted_argument(reg, number, *target, tagged("nullable"));
            }
            Shape::Struct { size, .. } | Shape::NumberPointer { size } => *size,
            _ if tagged("untrusted") => return Ok(()),
            _ => return Ok(()),
        };
        if tagged("untrusted") {
            return Ok(());
        }
        offset(self)?;
        self.check_whole_memory(number, size)?;
        if tagged("nonnull") && reg.may_be_null() {
            refuse!(Inval, "arg#{at} is expected to be non-NULL");
        }
        Ok(())
    }

    /// So many bytes that may be read and written, or null (`check_mem_reg`).
    pub(super) fn check_whole_memory(&mut self, number: R, size: u32) -> Check {
        let reg = *self.reg(number);
        if reg.is_zero() {
            return Ok(());
        }
        if reg.may_be_null() {
            let mut not_null = reg;
            super::null::mark_not_null(self.env, &mut not_null);
            self.set(number, not_null);
        }
        let checked = self
            .check_memory(number, size as i32, false, true, None)
            .and_then(|()| self.check_memory(number, size as i32, true, true, None));
        self.set(number, reg);
        checked
    }
}
