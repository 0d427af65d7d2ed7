//! The fast interpreter: a program as operations, and the loop that they come back to.

use std::fmt;
use std::sync::Arc;

use sandbpf_isa::{Pc, Program};
use sandbpf_runtime::{Execute, Machine, TAIL_CALL, Trap, address};

use crate::handlers::control::{enter, leave, push};
use crate::op::{BEYOND, Next, Op, Run, WINDOW, go, read};
use crate::rest::{self, Rests};
use crate::{flatten, fused};

/// A program as operations, ready to run.
///
/// Accepts any [`Program`]; checks every access as it happens.
#[derive(Clone)]
pub struct Code {
    program: Arc<Program>,
    ops: Box<[Op]>,
    rests: Rests,
}

impl Code {
    /// Prepares a program.
    pub fn new(program: impl Into<Arc<Program>>) -> Self {
        let program = program.into();
        let places = rest::places(&program);
        let mut ops = flatten::flatten(&program, &places);
        fused::fuse(&program, &mut ops, &places);
        let rests = Rests::put(&mut ops, &places);
        Code { ops, rests, program }
    }
}

impl Execute for Code {
    #[inline]
    fn execute(&self, machine: &mut Machine<'_>) -> Result<u64, Trap> {
        machine.enter(&self.program);
        self.run(machine, 0)
    }

    fn call(&self, machine: &mut Machine<'_>, entry: Pc) -> Result<u64, Trap> {
        machine.enter_function(&self.program, entry)?;
        self.run(machine, entry.0)
    }
}

const R0: usize = 0;

impl Code {
    #[inline]
    fn run(&self, machine: &mut Machine<'_>, entry: u32) -> Result<u64, Trap> {
        let lowest = machine.frame;
        let mut run = Run::new(&self.ops, lowest);
        let result = match self.steps(machine, &mut run, entry, false) {
            Next::Exit => Ok(machine.registers[R0]),
            next => self.on(machine, &mut run, next),
        };
        machine.frame = lowest;
        result
    }

    /// Goes on from an operation that came back, to the end.
    #[inline(never)]
    fn on(&self, machine: &mut Machine<'_>, run: &mut Run<'_>, mut next: Next) -> Result<u64, Trap> {
        while let Some(at) = self.go_on(machine, run, next)? {
            next = self.steps(machine, run, at, next == Next::Rest);
        }
        Ok(machine.registers[R0])
    }

    /// Runs from `at` until an operation comes back.
    #[inline(always)]
    fn steps(&self, machine: &mut Machine<'_>, run: &mut Run<'_>, at: u32, rested: bool) -> Next {
        let window = machine.budget.min(WINDOW.into()) as u32;
        machine.budget -= u64::from(window);
        run.window = window;
        let next = match self.ops.get(at as usize..) {
            Some(ops) if rested => self.rests.behind(at)(machine, run, ops, 0),
            Some(ops) => go(machine, run, ops, 0),
            None => Next::Fell,
        };
        machine.budget += u64::from(run.window);
        next
    }

    /// Does what an operation came back for, and says where to go on; `None` where the run ends.
    fn go_on(&self, machine: &mut Machine<'_>, run: &mut Run<'_>, next: Next) -> Result<Option<u32>, Trap> {
        let (at, pc) = (run.at, Pc(run.at));
        let op = &self.ops[at as usize];
        match next {
            Next::Exit => Ok(None),
            Next::Rest => Ok(Some(at)),
            Next::Trap => Err(run.trap.take().unwrap_or(Trap::FellOff { pc })),
            Next::Fell => Err(Trap::FellOff { pc: Pc(self.program.len() as u32 - 1) }),
            Next::Spent => {
                if op.cost != BEYOND {
                    machine.charge(op.cost, pc)?;
                }
                Ok(Some(op.to))
            }
            Next::Call => {
                push(machine, run, pc)?;
                machine.charge(op.cost, pc)?;
                enter(machine, run);
                Ok(Some(op.to))
            }
            Next::CallRegister => {
                let address = read(machine, op.src);
                let function =
                    address::as_function(address).and_then(|entry| self.program.function_at(entry));
                let Some(function) = function else { return Err(Trap::BadCallTarget { pc, address }) };
                push(machine, run, pc)?;
                machine.charge(function.cost, pc)?;
                enter(machine, run);
                Ok(Some(function.entry.0))
            }
            Next::Helper => {
                let [_, r1, r2, r3, r4, r5, ..] = machine.registers;
                machine.registers[R0] = machine.call_helper(op.imm, [r1, r2, r3, r4, r5], pc)?;
                let ended = op.imm == TAIL_CALL && machine.take_ended();
                Ok(if ended { leave(machine, run) } else { Some(at + 1) })
            }
            Next::Kfunc => {
                let [_, r1, r2, r3, r4, r5, ..] = machine.registers;
                machine.registers[R0] = machine.call_kfunc(op.imm, [r1, r2, r3, r4, r5], pc)?;
                Ok(Some(at + 1))
            }
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("operations", &self.ops.len()).finish()
    }
}
