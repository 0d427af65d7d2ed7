//! Code in memory, and the call into it.
//!
//! # Contract
//!
//! The bytes come from [`compile`](crate::compile) and nowhere else. They are copied into memory that is then made
//! executable and is never writable again. They follow the `sysv64` convention with one argument, the address of a
//! [`State`]; they touch that state, the regions whose pointers and lengths stand in it, and their own stack, and
//! nothing else: every access is checked against those lengths, or proved to lie within them ([`proved`](crate::proved)).

use std::fmt;
use std::mem::transmute;
use std::sync::{Arc, OnceLock};

use dynasmrt::AssemblyOffset;
use dynasmrt::mmap::{ExecutableBuffer, MutableBuffer};
use sandbpf_isa::{MAY_GOTO_LIMIT, Pc, Program, Reg};
use sandbpf_runtime::address::CONTEXT;
use sandbpf_runtime::memory::view::{REGIONS, RegionView};
use sandbpf_runtime::{Execute, Machine, Trap};
use sandbpf_verifier::Facts;

use crate::callbacks::STACK_REGION;
use crate::compile::{self, Compiled};
use crate::layout::{State, status};
use crate::proved::{Needs, Proved};
use crate::{MAX_INSNS, Maps, Options, Unsupported};

/// A program as machine code.
///
/// Immutable once made: share it between threads.
pub struct Code {
    program: Arc<Program>,
    memory: ExecutableBuffer,
    /// Where it is.
    base: u64,
    len: usize,
    /// Where every instruction's code starts.
    starts: Box<[u32]>,
    /// For every function: where its code is, and its cost.
    functions: Box<[[u64; 2]]>,
    options: Options,
    /// What must be so when a run starts, for code that leaves checks out.
    needs: Option<Needs>,
    /// The maps that the code goes to by itself. It has addresses in them, so they stay as long as it does.
    maps: Option<Maps>,
    /// Whether it looks at values of its processor.
    asks_cpu: bool,
    /// Code with all checks, where it is not so.
    checked: OnceLock<Option<Box<Code>>>,
}

type Entry = unsafe extern "sysv64" fn(*mut State) -> u64;

impl Code {
    /// Compiles a program. Takes time and space in proportion to its length.
    pub fn compile(program: impl Into<Arc<Program>>) -> Result<Self, Unsupported> {
        Code::compile_with(program, Options::default())
    }

    /// Compiles a program, with options.
    pub fn compile_with(program: impl Into<Arc<Program>>, options: Options) -> Result<Self, Unsupported> {
        Code::make(program.into(), options, None, None)
    }

    /// Compiles a program of which something was proved: the code leaves out what the facts say is not needed. Facts about
    /// another program say nothing.
    ///
    /// ```
    /// use sandbpf_abi::{Program, ProgramType};
    /// use sandbpf_verifier::{Environment, verify};
    /// # if !sandbpf_jit::SUPPORTED { return Ok(()) }
    /// let program = sandbpf_isa::parse("*(u64 *)(r10 - 8) = 7\nr0 = *(u64 *)(r10 - 8)\nexit")?;
    /// let proof = verify(&program, &Environment::new(Program::new(ProgramType::Xdp)))?;
    /// let code = sandbpf_jit::Code::compile_proved(program, Default::default(), &proof.facts)?;
    /// assert!(!code.machine_code().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compile_proved(
        program: impl Into<Arc<Program>>,
        options: Options,
        facts: &Facts,
    ) -> Result<Self, Unsupported> {
        let program = program.into();
        Code::compile_for(program, options, Some(facts), None)
    }

    /// Compiles a program for the world that it will run in: the code goes to these maps by itself. In another world it runs
    /// as well, but slower.
    pub fn compile_for(
        program: impl Into<Arc<Program>>,
        options: Options,
        facts: Option<&Facts>,
        maps: Option<Maps>,
    ) -> Result<Self, Unsupported> {
        let program = program.into();
        let proved = facts.and_then(|facts| Proved::new(&program, facts));
        Code::make(program, options, proved, maps)
    }

    fn make(
        program: Arc<Program>,
        options: Options,
        proved: Option<Proved>,
        maps: Option<Maps>,
    ) -> Result<Self, Unsupported> {
        if program.len() > MAX_INSNS {
            return Err(Unsupported::TooLarge { insns: program.len() });
        }
        let Compiled { bytes, starts, asks_cpu } =
            compile::compile(&program, options, proved.as_ref(), maps.as_ref());
        let mut buffer = MutableBuffer::new(bytes.len())?;
        buffer.set_len(bytes.len());
        buffer.copy_from_slice(&bytes);
        let memory = buffer.make_exec()?;
        let base = memory.ptr(AssemblyOffset(0)) as u64;
        let function =
            |f: &sandbpf_isa::Function| [base + u64::from(starts[f.entry.index()]), u64::from(f.cost)];
        let functions = program.functions().iter().map(function).collect();
        Ok(Code {
            memory,
            base,
            len: bytes.len(),
            starts,
            functions,
            options,
            program,
            needs: proved.map(|proved| proved.needs()),
            maps,
            asks_cpu,
            checked: OnceLock::new(),
        })
    }

    /// The code.
    pub fn machine_code(&self) -> &[u8] {
        &self.memory[..self.len]
    }

    /// The instruction whose code contains this offset.
    pub fn pc_of(&self, offset: usize) -> Pc {
        let after = self.starts.partition_point(|&start| start as usize <= offset);
        Pc(after.saturating_sub(1) as u32)
    }
}

impl Execute for Code {
    fn machine_code(&self) -> Option<&[u8]> {
        Some(Code::machine_code(self))
    }

    fn execute(&self, machine: &mut Machine<'_>) -> Result<u64, Trap> {
        machine.enter(&self.program);
        self.from(machine, Pc(0))
    }

    fn call(&self, machine: &mut Machine<'_>, entry: Pc) -> Result<u64, Trap> {
        machine.enter_function(&self.program, entry)?;
        self.from(machine, entry)
    }
}

impl Code {
    /// Runs from an instruction where a function starts.
    fn from(&self, machine: &mut Machine<'_>, first: Pc) -> Result<u64, Trap> {
        machine.memory.take_moved();
        let base = self.base;
        let mut state = State {
            regions: [RegionView::ABSENT; REGIONS],
            biases: [0; 3],
            packet: std::ptr::null(),
            packet_len: 0,
            budget: machine.budget,
            may_goto: MAY_GOTO_LIMIT,
            depth: machine.frame as u64,
            first: base + u64::from(self.starts[first.index()]),
            host_stack: 0,
            callback_stack: 0,
            functions: self.functions.as_ptr(),
            answer: 0,
            call_id: 0,
            call_pc: 0,
            cpu: 0,
            near: 0,
            near_bias: 0,
            near_readable: 0,
            near_writable: 0,
            entry: &raw const machine.registers,
            registers: [0; Reg::COUNT],
            status: status::RETURNED,
            trap_pc: 0,
            fault_at: 0,
            fault_address: 0,
            fault_size: 0,
            fault_write: 0,
            needs: self.needs,
            machine: (&raw mut *machine).cast(),
            program: Arc::as_ptr(&self.program),
            trap: None,
            panic: None,
        };
        state.look(machine);
        if let Some(maps) = &self.maps {
            if !maps.fit(machine) {
                return self.checked(machine, first);
            }
            if self.asks_cpu {
                state.cpu = machine.cpu();
            }
        }
        if let Some(needs) = &self.needs {
            let field = |off: u32| machine.memory.read::<4>(CONTEXT + u64::from(off)).unwrap_or_default();
            let argument = (first == Pc(0)).then(|| machine.registers[Reg::R1.index()]);
            if !needs.met(argument, &state.regions, field) {
                return self.checked(machine, first);
            }
        }
        // SAFETY: the buffer starts with the entry, which has this type (the contract above).
        let entry = unsafe { transmute::<*const u8, Entry>(self.memory.ptr(AssemblyOffset(0))) };
        // SAFETY: the state is whole, its pointers hold until this function returns, and nobody else uses them.
        let r0 = unsafe { entry(&raw mut state) };
        machine.budget = state.budget;
        machine.memory.settle();
        machine.memory.set_active_stack(state.regions[STACK_REGION].readable as usize);
        if let Some(panic) = state.panic.take() {
            std::panic::resume_unwind(panic);
        }
        if state.status != status::RETURNED {
            // A return address points behind its call: one byte back is inside.
            return Err(state.trap(|at| self.pc_of((at - base) as usize - 1)));
        }
        if self.options.export_registers {
            machine.registers = state.registers;
        }
        Ok(r0)
    }
}

impl Code {
    /// The same with all checks: memory is not what the proof takes it to be.
    #[cold]
    fn checked(&self, machine: &mut Machine<'_>, first: Pc) -> Result<u64, Trap> {
        let make = || Code::make(Arc::clone(&self.program), self.options, None, None).ok().map(Box::new);
        match self.checked.get_or_init(make) {
            Some(code) => code.from(machine, first),
            None => Err(Trap::NoMemory { pc: first }),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("instructions", &self.program.len()).field("bytes", &self.len).finish()
    }
}
