//! Functions of the program: calls of them, and returning (`check_func_call`, `prepare_func_exit`).

use sandbpf_isa::{Pc, Reg as R};

use crate::environment::Signature;
use crate::error::{Check, refuse};
use crate::explore::{Go, Verifier};
use crate::state::{Frame, Kind, Reg, Shared};
use crate::types::Prototype;

impl Verifier<'_> {
    /// The function that starts there, by index.
    pub(crate) fn function_at(&self, entry: Pc) -> Option<u32> {
        let at = self.program.functions().binary_search_by_key(&entry, |function| function.entry);
        at.ok().map(|at| at as u32)
    }

    /// The function that catches what is thrown, by index.
    pub(crate) fn exception_callback(&self) -> Option<usize> {
        self.function_at(self.env.exception_callback?).filter(|&at| at > 0).map(|at| at as usize)
    }

    pub(crate) fn signature(&self, entry: Pc) -> Option<&Signature> {
        self.env.signatures.iter().find(|signature| signature.entry == entry)
    }

    pub(super) fn check_function_call(&mut self, to: Pc) -> Check<Go> {
        let Some(function) = self.function_at(to) else {
            refuse!(Fault, "verifier bug. No program starts at insn {}", self.slot(to));
        };
        let arguments = self.check_call_arguments(function as usize);
        if self.known.global[function as usize] {
            return self.check_global_call(function, to, arguments);
        }
        let frames = self.cur.frames.len();
        if frames >= self.env.limits.frames {
            refuse!(TooBig, "the call stack of {} frames is too deep", frames + 1);
        }
        let mut callee = Frame::new(Some(self.pc), function, frames);
        callee.regs[1..6].copy_from_slice(&self.cur.current().regs[1..6]);
        let caller = self.cur.current_mut();
        caller.regs[..6].fill(Reg::UNINIT);
        self.cur.frames.push(Shared::new(callee));
        self.life.forget_current();
        self.log_call();
        Ok(Go::To(to))
    }

    /// A function that is verified by itself is taken at its signature's word.
    fn check_global_call(&mut self, function: u32, to: Pc, arguments: Check) -> Check<Go> {
        let name = self.signature(to).map(|signature| signature.name.clone()).unwrap_or_default();
        // What is wrong with the arguments is said first, whatever else is.
        let said =
            arguments.as_ref().err().map(|refusal| format!("{}\n", refusal.message)).unwrap_or_default();
        if self.cur.locks > 0 {
            refuse!(
                Inval,
                "{said}global function calls are not allowed while holding a lock,\nuse static function instead"
            );
        }
        let sleeps = self.graph.functions[function as usize].might_sleep;
        if sleeps
            && (self.cur.rcu > 0 || self.cur.preempt > 0 || self.cur.irq_id != 0 || !self.in_sleepable())
        {
            refuse!(
                Inval,
                "{said}global functions that may sleep are not allowed in non-sleepable context,\ni.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context"
            );
        }
        if let Err(mut refusal) = arguments {
            refusal.message = format!("{said}Caller passes invalid args into func#{function} ('{name}')");
            return Err(refusal);
        }
        self.log.write(&format!("Func#{function} ('{name}') is global and assumed valid.\n"));
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
        if let Some(before) = self.entry_before(callsite, &self.cur) {
            let mut state = std::mem::replace(&mut self.cur, crate::explore::entry_state(callsite, 0));
            self.widen(before, &mut state);
            self.cur = state;
        }
        Ok(Go::To(callsite))
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
