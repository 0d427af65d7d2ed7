//! Ours, through the public door: a loader and a runner.

use std::hint::black_box;
use std::sync::LazyLock;

use sandbpf::helpers::{HelperSet, Scalar};
use sandbpf::{Buffer, Loader, Runner, Xdp, XdpFrame};

use super::{Engine, How, Prepared, Project, Refusal, helper, no_machine_code};
use crate::case::{Form, Isa};
use crate::rounds::Subject;

pub(super) const JIT: Engine = Engine {
    name: "sandbpf jit",
    project: Project::Sandbpf,
    how: How::Jit,
    form: Form::Memory,
    isa: Isa::V3,
    prepare: |program, memory| prepare(sandbpf::Engine::Jit, program, memory),
    load: |program| load(sandbpf::Engine::Jit, program),
    code_size: |program| {
        let program = loader(sandbpf::Engine::Jit).load::<Buffer>(program).ok()?;
        program.machine_code().map(<[u8]>::len)
    },
};

pub(super) const INTERPRETER: Engine = Engine {
    name: "sandbpf interp",
    project: Project::Sandbpf,
    how: How::Interpreter,
    form: Form::Memory,
    isa: Isa::V3,
    prepare: |program, memory| prepare(sandbpf::Engine::Interpreter, program, memory),
    load: |program| load(sandbpf::Engine::Interpreter, program),
    code_size: no_machine_code,
};

pub(super) const STEP: Engine = Engine {
    name: "sandbpf step",
    project: Project::Sandbpf,
    how: How::Step,
    form: Form::Memory,
    isa: Isa::V3,
    prepare: |program, memory| prepare(sandbpf::Engine::Step, program, memory),
    load: |program| load(sandbpf::Engine::Step, program),
    code_size: no_machine_code,
};

/// Machine code of an XDP program that was verified, on a frame that stays where it is.
pub(super) const XDP: Engine = Engine {
    name: "sandbpf xdp",
    project: Project::Sandbpf,
    how: How::Jit,
    form: Form::Frame,
    isa: Isa::V3,
    prepare: |program, memory| {
        let program = LINUX.load::<Xdp>(program).map_err(|error| error.to_string())?;
        Ok(Box::new(Frame { runner: program.runner(), frame: XdpFrame::new(&memory) }))
    },
    load: |program| {
        black_box(LINUX.load::<Xdp>(program).map_err(|error| error.to_string())?);
        Ok(())
    },
    code_size: |program| LINUX.load::<Xdp>(program).ok()?.machine_code().map(<[u8]>::len),
};

/// The same on bytes that are lent for a run, and that it leaves as they are.
pub(super) const XDP_BYTES: Engine = Engine {
    name: "sandbpf xdp bytes",
    prepare: |program, memory| {
        let program = LINUX.load::<Xdp>(program).map_err(|error| error.to_string())?;
        Ok(Box::new(Bytes { runner: program.runner(), memory }))
    },
    ..XDP
};

/// Verifies, compiles.
static LINUX: LazyLock<Loader> = LazyLock::new(|| Loader::new().engine(sandbpf::Engine::Jit).verified(true));

/// Knows the helper of the workloads.
static OWN: LazyLock<Loader> = LazyLock::new(|| Loader::new().helpers(helpers()));

sandbpf::helpers! {
    static MIX;
    /// `(a ^ (b << 1)) + c`.
    1 fn mix(a: Scalar, b: Scalar, c: Scalar) -> u64 { helper::mix(a.0, b.0, c.0) }
}

/// What programs can call: the helper of the workloads alone.
pub fn helpers() -> HelperSet {
    HelperSet::empty().with(MIX)
}

fn loader(engine: sandbpf::Engine) -> Loader {
    OWN.clone().engine(engine)
}

struct Frame {
    runner: Runner<Xdp>,
    frame: XdpFrame,
}

struct Bytes {
    runner: Runner<Xdp>,
    memory: Vec<u8>,
}

struct Sandbpf {
    runner: Runner<Buffer>,
    memory: Vec<u8>,
}

fn prepare(engine: sandbpf::Engine, program: &[u8], memory: Vec<u8>) -> Prepared {
    let program = loader(engine).load::<Buffer>(program).map_err(|error| error.to_string())?;
    Ok(Box::new(Sandbpf { runner: program.runner(), memory }))
}

fn load(engine: sandbpf::Engine, program: &[u8]) -> Result<(), Refusal> {
    let loaded = loader(engine).load::<Buffer>(program).map_err(|error| error.to_string())?;
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

impl Subject for Frame {
    fn batch(&mut self, count: u32) -> u64 {
        let mut result = 0;
        for _ in 0..count {
            let action = self.runner.run(black_box(&mut self.frame)).expect("the program ends");
            result = black_box(action.to_u32());
        }
        result.into()
    }
}

impl Subject for Bytes {
    fn batch(&mut self, count: u32) -> u64 {
        let mut result = 0;
        for _ in 0..count {
            let action = self.runner.run(black_box(&self.memory)).expect("the program ends");
            result = black_box(action.to_u32());
        }
        result.into()
    }
}
