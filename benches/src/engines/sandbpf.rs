//! Ours, through the public door: a loader and a runner.

use std::hint::black_box;

use sandbpf::{Buffer, Loader, Runner};

use super::{Engine, How, Prepared, Project, Refusal, no_machine_code};
use crate::rounds::Subject;

pub(super) const JIT: Engine = Engine {
    name: "sandbpf jit",
    project: Project::Sandbpf,
    how: How::Jit,
    prepare: |program, memory| prepare(sandbpf::Engine::Jit, program, memory),
    load: |program| load(sandbpf::Engine::Jit, program),
    code_size: |program| {
        let program = Loader::new().engine(sandbpf::Engine::Jit).load::<Buffer>(program).ok()?;
        program.machine_code().map(<[u8]>::len)
    },
};

pub(super) const INTERPRETER: Engine = Engine {
    name: "sandbpf interp",
    project: Project::Sandbpf,
    how: How::Interpreter,
    prepare: |program, memory| prepare(sandbpf::Engine::Interpreter, program, memory),
    load: |program| load(sandbpf::Engine::Interpreter, program),
    code_size: no_machine_code,
};

pub(super) const STEP: Engine = Engine {
    name: "sandbpf step",
    project: Project::Sandbpf,
    how: How::Step,
    prepare: |program, memory| prepare(sandbpf::Engine::Step, program, memory),
    load: |program| load(sandbpf::Engine::Step, program),
    code_size: no_machine_code,
};

struct Sandbpf {
    runner: Runner<Buffer>,
    memory: Vec<u8>,
}

fn prepare(engine: sandbpf::Engine, program: &[u8], memory: Vec<u8>) -> Prepared {
    let program = Loader::new().engine(engine).load::<Buffer>(program).map_err(|error| error.to_string())?;
    Ok(Box::new(Sandbpf { runner: program.runner(), memory }))
}

fn load(engine: sandbpf::Engine, program: &[u8]) -> Result<(), Refusal> {
    let loaded = Loader::new().engine(engine).load::<Buffer>(program).map_err(|error| error.to_string())?;
    black_box(loaded);
    Ok(())
}

impl Subject for Sandbpf {
    fn batch(&mut self, count: u32) -> u64 {
        let mut result = 0;
        for _ in 0..count {
            result = black_box(self.runner.run(&mut self.memory).expect("the program ends"));
        }
        result
    }
}
