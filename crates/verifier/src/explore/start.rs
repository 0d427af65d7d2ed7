//! Where paths start: at the program's entry, and at that of each global function.

use sandbpf_isa::Pc;

use super::{Verifier, entry_state};
use crate::check::known::TailMap;
use crate::check::parameters::Takes;
use crate::error::{Check, Refusal, Rejection, refuse};
use crate::state::{Flags, Kind, Reg};

impl Verifier<'_> {
    /// Verifies the program, then its global functions that are called, then what all of them need of the stack.
    pub(crate) fn verify_all(&mut self) -> Result<(), Box<Rejection>> {
        for (at, function) in self.program.functions().iter().enumerate() {
            self.known.global[at] =
                at > 0 && self.signature(function.entry).is_some_and(|signature| signature.global);
        }
        if let Some(catches) = self.exception_callback() {
            // It is called when something is thrown, whoever throws it.
            self.known.global[catches] = true;
            self.known.called[catches] = true;
            self.known.is_callback[catches] = true;
            self.known.runs_later[catches] = true;
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
        let several = |(pc, map): (&Pc, &TailMap)| self.known.reached[pc.index()] && *map == TailMap::Several;
        if self.known.tail_maps.iter().any(several) {
            refuse!(Inval, "tail_call abusing map_ptr");
        }
        Ok(())
    }

    fn explore_function(&mut self, function: usize) -> Result<(), Box<Rejection>> {
        let entry = self.program.functions()[function].entry;
        self.pc = entry;
        let mut state = entry_state(entry, function as u32);
        state.in_sleepable = self.env.program.sleepable;
        let arguments = match self.arguments(function) {
            Ok(arguments) => arguments,
            Err(refusal) => return Err(self.refused_at(entry, *refusal)),
        };
        let frame = state.frames[0].make_mut();
        frame.in_exception = self.exception_callback() == Some(function);
        frame.regs[1..=arguments.len()].copy_from_slice(&arguments);
        self.cur = state;
        self.explore(entry)?;
        if function > 0 {
            let name = self.function_name(function);
            let line = format!("Func#{function} ('{name}') is safe for any args that match its prototype\n");
            self.log.write(&line);
        }
        Ok(())
    }

    fn refused_at(&self, entry: sandbpf_isa::Pc, refusal: Refusal) -> Box<Rejection> {
        Box::new(Rejection {
            errno: refusal.errno,
            pc: Some(entry),
            message: refusal.message,
            path: Vec::new(),
        })
    }

    fn function_name(&self, function: usize) -> String {
        let entry = self.program.functions()[function].entry;
        self.signature(entry).map(|signature| signature.name.clone()).unwrap_or_default()
    }

    /// What a function that is verified for itself finds in its registers (`do_check_common`).
    fn arguments(&mut self, function: usize) -> Check<Vec<Reg>> {
        if function == 0 {
            // The signature of the program itself means nothing, but is looked at.
            if let Err(refusal) = self.takes(0)
                && self.is_declared_global(0)
            {
                self.log.write(&format!("{}\n", refusal.message));
            }
            return Ok(vec![Reg::pointer(Kind::Context, Flags::NONE)]);
        }
        let name = self.function_name(function);
        self.log.write(&format!("Validating {name}() func#{function}...\n"));
        let catches = self.exception_callback() == Some(function);
        // Without a type it must be the one that catches, which takes what was thrown.
        let takes = self.takes(function)?.unwrap_or(vec![Takes::Number]);
        if catches && takes != [Takes::Number] {
            refuse!(Inval, "exception cb only supports single integer argument");
        }
        Ok(takes.into_iter().map(|takes| self.assumed(takes)).collect())
    }
}
