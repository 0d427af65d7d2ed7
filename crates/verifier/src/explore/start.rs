//! Where paths start: at the program's entry, and at that of each global function.

use std::rc::Rc;

use super::{Verifier, entry_state};
use crate::check::known::TailMap;
use crate::environment::TypeRef;
use crate::error::{Check, Rejection, refuse};
use crate::state::{Dynptr, Flags, Kind, Reg};
use crate::types::{Parameter, Shape};

impl Verifier<'_> {
    /// Verifies the program, then its global functions that are called, then what all of them need of the stack.
    pub(crate) fn verify_all(&mut self) -> Result<(), Box<Rejection>> {
        for (at, function) in self.program.functions().iter().enumerate() {
            self.known.global[at] =
                at > 0 && self.signature(function.entry).is_some_and(|signature| signature.global);
        }
        self.explore_function(0)?;
        // A function that is called by another that is called is called.
        loop {
            let next = (0..self.known.global.len())
                .find(|&at| self.known.global[at] && self.known.called[at] && !self.known.verified[at]);
            let Some(function) = next else { break };
            self.known.verified[function] = true;
            self.restart();
            self.explore_function(function)?;
        }
        crate::stack_depth::check(self).and_then(|()| self.check_tail_calls()).map_err(|refusal| {
            Box::new(Rejection { errno: refusal.errno, pc: None, message: refusal.message, path: Vec::new() })
        })
    }

    /// The index of a tail call is masked by the length of its map, where it may be guessed wrong: that must be one map
    /// (`do_misc_fixups`).
    fn check_tail_calls(&self) -> Check {
        if self.rights.spec_v1 {
            return Ok(());
        }
        let several =
            |at: usize| self.known.reached[at] && self.known.tail_maps[at] == Some(TailMap::Several);
        if (0..self.known.reached.len()).any(several) {
            refuse!(Inval, "tail_call abusing map_ptr");
        }
        Ok(())
    }

    fn explore_function(&mut self, function: usize) -> Result<(), Box<Rejection>> {
        let entry = self.program.functions()[function].entry;
        self.pc = entry;
        let mut state = entry_state(entry, function as u32);
        state.in_sleepable = self.env.program.sleepable;
        let prototype = self.prototype_of(entry);
        let frame = Rc::make_mut(&mut state.frames[0]);
        match prototype.filter(|_| function > 0) {
            Some(prototype) => {
                for (at, param) in prototype.params.iter().enumerate().take(5) {
                    let reg = self.parameter(param, at);
                    match reg {
                        Ok(reg) => frame.regs[at + 1] = reg,
                        Err(message) => {
                            return Err(Box::new(Rejection {
                                errno: crate::Errno::Inval,
                                pc: Some(entry),
                                message,
                                path: Vec::new(),
                            }));
                        }
                    }
                }
            }
            None => frame.regs[1] = Reg::pointer(Kind::Context, Flags::NONE),
        }
        self.cur = state;
        self.explore(entry)
    }

    /// What a global function may assume of a parameter (`btf_prepare_func_args`).
    fn parameter(&mut self, param: &Parameter, at: usize) -> Result<Reg, String> {
        let tagged = |tag: &str| param.tags.iter().any(|known| known == tag);
        if tagged("ctx") {
            return Ok(Reg::pointer(Kind::Context, Flags::NONE));
        }
        if tagged("arena") {
            return Ok(Reg { kind: Kind::Arena, ..self.unknown() });
        }
        let nullable = if tagged("nonnull") { Flags::NONE } else { Flags::MAYBE_NULL };
        let memory = |this: &mut Self, size: u32| {
            let id = if nullable == Flags::NONE { 0 } else { this.fresh_id() };
            Reg { id, ..Reg::pointer(Kind::Mem(size), nullable) }
        };
        match &param.shape {
            Shape::Number { .. } => Ok(self.unknown()),
            Shape::Struct { name, .. } if self.is_context_name(name) => {
                Ok(Reg::pointer(Kind::Context, Flags::NONE))
            }
            Shape::Struct { name, .. } if name == "bpf_dynptr" => {
                let id = self.fresh_id();
                Ok(Reg { id, ..Reg::pointer(Kind::Dynptr { of: Dynptr::Local, first: true }, Flags::NONE) })
            }
            Shape::Struct { target, .. } if tagged("trusted") => {
                let mut flags = Flags::TRUSTED;
                let mut id = 0;
                if tagged("nullable") {
                    flags = flags.and(Flags::MAYBE_NULL);
                    id = self.fresh_id();
                }
                Ok(Reg { id, ..Reg::pointer(Kind::Btf(*target), flags) })
            }
            Shape::Struct { target, .. } if tagged("untrusted") => {
                let kernel = self.env.types.and_then(|types| types.kernel_struct(types.name(*target)));
                Ok(Reg::pointer(Kind::Btf(kernel.unwrap_or(TypeRef::kernel(0))), Flags::UNTRUSTED))
            }
            _ if tagged("untrusted") => Ok(Reg::pointer(Kind::Mem(0), Flags::UNTRUSTED.and(Flags::RDONLY))),
            Shape::Struct { size: 0, name, .. } => {
                Err(format!("arg#{at} reference type('UNKNOWN {name}') size cannot be determined: -22"))
            }
            Shape::Struct { size, .. } | Shape::NumberPointer { size } => Ok(memory(self, *size)),
            other => Err(format!("Arg#{at} type {other:?} in function is not supported yet.")),
        }
    }
}
