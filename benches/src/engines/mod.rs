//! The engines of the table.
//!
//! Every engine is used as its documentation shows, with its default configuration, in the way that makes repeated runs
//! cheapest: what can be kept between runs is kept.

pub mod helper;
#[cfg(feature = "kernel")]
mod kernel;
mod native;
mod rbpf;
mod sandbpf;
mod solana;

#[cfg(feature = "kernel")]
pub use kernel::Empty as KernelEmpty;
pub use native::Native;
pub use sandbpf::helpers;

use std::hint::black_box;
use std::panic::{set_hook, take_hook};

use crate::case::{Case, Form, Isa};
use crate::input;
use crate::rounds::Subject;

/// Whose engine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Project {
    /// This one.
    Sandbpf,
    /// `rbpf`.
    Rbpf,
    /// `solana-sbpf`.
    Solana,
    /// The kernel that runs here.
    Kernel,
}

/// How it runs programs: engines are compared with those of their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As machine code.
    Jit,
    /// Instruction by instruction.
    Interpreter,
    /// Instruction by instruction, and readable.
    Step,
}

/// Why an engine cannot run a program.
pub type Refusal = String;

/// A loaded program on its memory, or why there is none.
pub type Prepared = Result<Box<dyn Subject>, Refusal>;

/// One engine.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    /// Its column.
    pub name: &'static str,
    /// Whose it is.
    pub project: Project,
    /// How it runs programs.
    pub how: How,
    /// How it hands data to a program.
    pub form: Form,
    /// Which instructions it takes.
    pub isa: Isa,
    /// Loads an encoded program, to run on this memory.
    pub prepare: fn(&[u8], Vec<u8>) -> Prepared,
    /// Loads an encoded program and forgets it.
    pub load: fn(&[u8]) -> Result<(), Refusal>,
    /// How many bytes of machine code a program becomes, where the engine tells.
    pub code_size: fn(&[u8]) -> Option<usize>,
}

/// Every engine, in the order of the columns.
pub const ENGINES: &[Engine] = &[
    sandbpf::XDP,
    sandbpf::XDP_BYTES,
    sandbpf::JIT,
    sandbpf::INTERPRETER,
    sandbpf::STEP,
    rbpf::JIT,
    rbpf::INTERPRETER,
    solana::JIT,
    solana::INTERPRETER,
    #[cfg(feature = "kernel")]
    kernel::JIT,
];

impl Engine {
    /// The engine of this name.
    pub fn named(name: &str) -> Option<&'static Engine> {
        ENGINES.iter().find(|engine| engine.name == name)
    }

    /// Loads the program of a case, to run on its data.
    pub fn prepare_case(&self, case: &dyn Case) -> Prepared {
        let program = case.program(self.form, self.isa).ok_or("there is no such program")?;
        quietly(|| (self.prepare)(&program, self.memory(case)))
    }

    /// The data of a case as the engine takes it.
    pub fn memory(&self, case: &dyn Case) -> Vec<u8> {
        match self.form {
            Form::Prefixed => input::prefixed(&case.memory()),
            Form::Memory | Form::Frame => case.memory(),
        }
    }

    /// The answer that the engine must give to a case.
    pub fn expected(&self, case: &dyn Case) -> u64 {
        match self.form {
            Form::Frame => case.expected() & u64::from(u32::MAX),
            Form::Memory | Form::Prefixed => case.expected(),
        }
    }

    /// Loading as something to time.
    pub fn loading(&self, program: &[u8]) -> Prepared {
        (self.load)(program)?;
        Ok(Box::new(Loading { load: self.load, program: program.to_vec() }))
    }
}

struct Loading {
    load: fn(&[u8]) -> Result<(), Refusal>,
    program: Vec<u8>,
}

impl Subject for Loading {
    fn batch(&mut self, count: u32) -> u64 {
        for _ in 0..count {
            (self.load)(black_box(&self.program)).expect("it loaded before");
        }
        0
    }
}

fn no_machine_code(_program: &[u8]) -> Option<usize> {
    None
}

/// Runs `body` without the messages of the panics it catches.
pub fn quietly<R>(body: impl FnOnce() -> R) -> R {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let result = body();
    set_hook(hook);
    result
}
