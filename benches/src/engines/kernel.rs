//! The kernel that runs here: its verifier and its machine code, through `BPF_PROG_TEST_RUN`.
//!
//! The kernel runs a program many times in a row for one system call. What such a call and such a row cost besides the
//! program shows the [empty](Empty) one, to be subtracted.

use sandbpf_testkit::kernel_maps::{KernelProgram, ProgramType};

use super::{Engine, How, Project, Refusal, no_machine_code};
use crate::case::{Form, Isa};
use crate::rounds::Subject;

pub(super) const JIT: Engine = Engine {
    name: "kernel jit",
    project: Project::Kernel,
    how: How::Jit,
    form: Form::Frame,
    isa: Isa::V3,
    prepare: |program, memory| Ok(Box::new(Kernel { program: load(program)?, frame: memory })),
    load: |program| load(program).map(drop),
    code_size: no_machine_code,
};

fn load(program: &[u8]) -> Result<KernelProgram, Refusal> {
    KernelProgram::load_as(ProgramType::Xdp, program).map_err(|errno| format!("bpf(2) answers {errno}"))
}

struct Kernel {
    program: KernelProgram,
    frame: Vec<u8>,
}

impl Subject for Kernel {
    fn batch(&mut self, count: u32) -> u64 {
        self.program.run_repeatedly(&self.frame, count).expect("it ran before").into()
    }
}

/// A program that returns at once.
#[derive(Debug)]
pub struct Empty(KernelProgram);

impl Empty {
    /// Loads it.
    pub fn new() -> Result<Self, Refusal> {
        KernelProgram::trivial_as(ProgramType::Xdp)
            .map(Empty)
            .map_err(|errno| format!("bpf(2) answers {errno}"))
    }
}

impl Subject for Empty {
    fn batch(&mut self, count: u32) -> u64 {
        self.0.run_repeatedly(&[0; 64], count).expect("it ran before").into()
    }
}
