//! What stands for machine code where there is none.

use std::sync::Arc;

use sandbpf_isa::{Pc, Program};
use sandbpf_runtime::{Execute, Machine, Trap};
use sandbpf_verifier::Facts;

use crate::{Maps, Options, Unsupported};

/// Machine code; on this target there is none.
#[derive(Debug)]
pub enum Code {}

impl Code {
    /// Compiles a program.
    pub fn compile(_program: impl Into<Arc<Program>>) -> Result<Self, Unsupported> {
        Err(Unsupported::Target)
    }

    /// Compiles a program, with options.
    pub fn compile_with(_program: impl Into<Arc<Program>>, _options: Options) -> Result<Self, Unsupported> {
        Err(Unsupported::Target)
    }

    /// Compiles a program of which something was proved.
    pub fn compile_proved(
        _program: impl Into<Arc<Program>>,
        _options: Options,
        _facts: &Facts,
    ) -> Result<Self, Unsupported> {
        Err(Unsupported::Target)
    }

    /// Compiles a program for the world that it will run in.
    pub fn compile_for(
        _program: impl Into<Arc<Program>>,
        _options: Options,
        _facts: Option<&Facts>,
        _maps: Option<Maps>,
    ) -> Result<Self, Unsupported> {
        Err(Unsupported::Target)
    }

    /// The code.
    pub fn machine_code(&self) -> &[u8] {
        match *self {}
    }
}

impl Execute for Code {
    fn execute(&self, _machine: &mut Machine<'_>) -> Result<u64, Trap> {
        match *self {}
    }

    fn call(&self, _machine: &mut Machine<'_>, _entry: Pc) -> Result<u64, Trap> {
        match *self {}
    }
}

/// Machine code of a program that only reads; on this target there is none.
#[derive(Debug)]
pub enum Pure {}

impl Pure {
    /// Compiles a program that only reads.
    pub fn compile(_program: &Program, _options: Options) -> Option<Pure> {
        None
    }

    /// How many bytes of the context it reads.
    pub fn context(&self) -> usize {
        match *self {}
    }

    /// What the program answers.
    pub fn run(&self, _packet: &[u8], _context: &[u8], _budget: u64) -> Option<u64> {
        match *self {}
    }

    /// The code.
    pub fn machine_code(&self) -> &[u8] {
        match *self {}
    }
}
