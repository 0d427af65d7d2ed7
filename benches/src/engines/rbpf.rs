//! `rbpf`: a JIT without checks, and an interpreter that knows which memory it may touch.
//!
//! Its machine lives as long as every piece of memory it is given, so program and memory are leaked: a table has a
//! few dozen of them.

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rbpf::EbpfVmRaw;

use super::{Engine, How, Project, Refusal, helper, no_machine_code};
use crate::case::{Form, Isa};
use crate::rounds::Subject;

pub(super) const JIT: Engine = Engine {
    name: "rbpf jit",
    project: Project::Rbpf,
    how: How::Jit,
    form: Form::Prefixed,
    isa: Isa::V3,
    prepare: |program, memory| {
        let mut rbpf = Rbpf::new(program, memory)?;
        compile(&mut rbpf.machine)?;
        Ok(Box::new(Jit(rbpf)))
    },
    load: |program| {
        let mut machine = machine(program)?;
        compile(&mut machine)?;
        black_box(machine);
        Ok(())
    },
    code_size: no_machine_code,
};

pub(super) const INTERPRETER: Engine = Engine {
    name: "rbpf interp",
    project: Project::Rbpf,
    how: How::Interpreter,
    form: Form::Prefixed,
    isa: Isa::V3,
    prepare: |program, memory| Ok(Box::new(Interpreter(Rbpf::new(program, memory)?))),
    load: |program| {
        black_box(machine(program)?);
        Ok(())
    },
    code_size: no_machine_code,
};

fn machine(program: &[u8]) -> Result<EbpfVmRaw<'_>, Refusal> {
    let mut machine = EbpfVmRaw::new(Some(program)).map_err(|error| error.to_string())?;
    let mix = |a, b, c, _, _| helper::mix(a, b, c);
    machine.register_helper(helper::NUMBER, mix).map_err(|error| error.to_string())?;
    Ok(machine)
}

/// Compiles. The code buffer of 0.4.1 is one page, and a program that needs more panics.
fn compile(machine: &mut EbpfVmRaw<'_>) -> Result<(), Refusal> {
    match catch_unwind(AssertUnwindSafe(|| machine.jit_compile())) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its compiler panics".into()),
    }
}

struct Rbpf {
    machine: EbpfVmRaw<'static>,
    memory: *mut [u8],
}

struct Jit(Rbpf);
struct Interpreter(Rbpf);

impl Rbpf {
    fn new(program: &[u8], memory: Vec<u8>) -> Result<Self, Refusal> {
        let program = Box::leak(program.to_vec().into_boxed_slice());
        Ok(Rbpf { machine: machine(program)?, memory: Box::into_raw(memory.into_boxed_slice()) })
    }

    /// The memory, for one run.
    fn memory(&mut self) -> &'static mut [u8] {
        // SAFETY: `memory` came from `Box::into_raw` and is never freed, and the machine keeps no reference to what
        // an earlier run was lent.
        unsafe { &mut *self.memory }
    }
}

impl Subject for Jit {
    fn batch(&mut self, count: u32) -> u64 {
        let mut result = 0;
        for _ in 0..count {
            let memory = self.0.memory();
            // SAFETY: the code has no checks; the programs here stay in the memory they are given, as the checked
            // engines of the same table show before anything is timed.
            let run = unsafe { self.0.machine.execute_program_jit(memory) };
            result = black_box(run.expect("the program ends"));
        }
        result
    }
}

impl Subject for Interpreter {
    fn batch(&mut self, count: u32) -> u64 {
        let mut result = 0;
        for _ in 0..count {
            let memory = self.0.memory();
            result = black_box(self.0.machine.execute_program(memory).expect("the program ends"));
        }
        result
    }
}
