//! What stands for machine code where there is none.

use std::sync::Arc;

use sandbpf_abi::SeccompData;
use sandbpf_isa::{Pc, Program};
use sandbpf_runtime::helpers::HelperSet;
use sandbpf_runtime::{Execute, Machine, Trap};
use sandbpf_verifier::Facts;

use crate::{Form, Input, Maps, Options, PlanOptions, Unsupported};

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

/// Machine code of a program that only reads; on this target there is that of no program alone.
#[derive(Debug)]
pub struct Pure(());

impl Pure {
    /// Compiles a program that only reads.
    pub fn compile(_program: &Program, _options: Options) -> Option<Pure> {
        None
    }

    /// The code of no program, which never knows the answer.
    pub fn none() -> Pure {
        Pure(())
    }

    /// Whether it is a program's.
    pub fn exists(&self) -> bool {
        false
    }

    /// What it wants to know.
    pub fn form(&self) -> Form {
        Form::Everything
    }

    /// How many bytes of the context it reads.
    pub fn context(&self) -> usize {
        usize::MAX
    }

    /// The answer on this packet, with this first word of the context.
    pub fn at_once(&self, _packet: &[u8], _word: u32) -> Option<u64> {
        None
    }

    /// The answer on no packet, with this system call as the context.
    pub fn of_call(&self, _call: &SeccompData) -> Option<u64> {
        None
    }

    /// What the program answers.
    pub fn run(&self, _packet: &[u8], _context: &[u8], _budget: u64) -> Option<u64> {
        None
    }

    /// The code.
    pub fn machine_code(&self) -> &[u8] {
        &[]
    }
}

/// What a plan answers; on this target there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {}

impl Answer {
    /// What a run returned.
    pub fn returned(self) -> Option<u64> {
        match self {}
    }
}

/// A plan; on this target there is that of no program alone.
#[derive(Debug)]
pub struct Plan(());

impl Plan {
    /// Plans and compiles a program.
    pub fn compile(
        _program: &Program,
        _input: Input,
        _facts: Option<&Facts>,
        _helpers: Option<&HelperSet>,
        _maps: Option<&Maps>,
        _options: PlanOptions,
    ) -> Option<Plan> {
        None
    }

    /// A plan of no program, which runs nothing.
    pub fn none() -> Plan {
        Plan(())
    }

    /// Whether it is a program's.
    pub fn exists(&self) -> bool {
        false
    }

    /// How many bytes of the context it needs.
    pub fn context(&self) -> usize {
        usize::MAX
    }

    /// Whether it may write to its packet or memory.
    pub fn writes(&self) -> bool {
        true
    }

    /// Runs the program.
    pub fn run(&self, _packet: &mut [u8], _context: &mut [u8], _budget: u64) -> Option<Answer> {
        None
    }

    /// Runs the program without a context.
    pub fn run_alone(&self, _packet: &mut [u8], _budget: u64) -> Option<Answer> {
        None
    }

    /// Runs the program without a context on a packet that is not to be written to.
    pub fn read_alone(&self, _packet: &[u8], _budget: u64) -> Option<Answer> {
        None
    }

    /// What an answer of this plan says.
    pub fn outcome(&self, answer: Answer) -> Result<u64, Trap> {
        match answer {}
    }

    /// Runs the program on a packet that is not to be written to.
    pub fn read(&self, _packet: &[u8], _context: &mut [u8], _budget: u64) -> Option<Answer> {
        None
    }

    /// The code.
    pub fn machine_code(&self) -> &[u8] {
        &[]
    }
}

/// A plan for runs with a machine; on this target there is none.
#[derive(Debug)]
pub enum Running {}

impl Running {
    /// Plans and compiles a program.
    pub fn compile(
        _program: &Arc<Program>,
        _input: Input,
        _facts: Option<&Facts>,
        _helpers: Option<&HelperSet>,
        _maps: Option<&Maps>,
        _options: PlanOptions,
    ) -> Option<Running> {
        None
    }

    /// The code.
    pub fn machine_code(&self) -> &[u8] {
        match *self {}
    }
}

impl Execute for Running {
    fn execute(&self, _machine: &mut Machine<'_>) -> Result<u64, Trap> {
        match *self {}
    }

    fn call(&self, _machine: &mut Machine<'_>, _entry: Pc) -> Result<u64, Trap> {
        match *self {}
    }
}
