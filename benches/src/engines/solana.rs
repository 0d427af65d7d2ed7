//! `solana-sbpf`: checks every access and counts every instruction, as we do.
//!
//! Programs run as SBPF version 0, which is eBPF with 64-bit branches, in the default configuration: metered, immediates
//! hidden from attackers, now and then an instruction that does nothing.

use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::Arc;

use solana_sbpf::aligned_memory::AlignedMemory;
use solana_sbpf::ebpf::{self, HOST_ALIGN, MM_INPUT_START, MM_STACK_START};
use solana_sbpf::elf::Executable;
use solana_sbpf::memory_region::{MemoryMapping, MemoryRegion};
use solana_sbpf::program::{BuiltinProgram, FunctionRegistry, SBPFVersion};
use solana_sbpf::verifier::RequisiteVerifier;
use solana_sbpf::vm::{CallFrame, Config, ContextObject, EbpfVm, ExecutionMode};

use super::{Engine, How, Project, Refusal, no_machine_code};
use crate::rounds::Subject;

pub(super) const JIT: Engine = Engine {
    name: "solana jit",
    project: Project::Solana,
    how: How::Jit,
    prepare: |program, memory| Ok(Box::new(Solana::new(compiled(program)?, memory, How::Jit)?)),
    load: |program| compiled(program).map(|executable| drop(black_box(executable))),
    code_size: |program| {
        let executable = compiled(program).ok()?;
        Some(executable.get_compiled_program()?.machine_code_length())
    },
};

pub(super) const INTERPRETER: Engine = Engine {
    name: "solana interp",
    project: Project::Solana,
    how: How::Interpreter,
    prepare: |program, memory| Ok(Box::new(Solana::new(verified(program)?, memory, How::Interpreter)?)),
    load: |program| verified(program).map(|executable| drop(black_box(executable))),
    code_size: no_machine_code,
};

const VERSION: SBPFVersion = SBPFVersion::V0;

/// What a run may use: as much as ours may.
const BUDGET: u64 = 1_000_000_000;

fn verified(program: &[u8]) -> Result<Executable<Context>, Refusal> {
    let loader = Arc::new(BuiltinProgram::new_loader(Config::default()));
    let executable = Executable::from_text_bytes(program, loader, VERSION, FunctionRegistry::default());
    let executable = executable.map_err(|error| error.to_string())?;
    executable.verify::<RequisiteVerifier>().map_err(|error| error.to_string())?;
    Ok(executable)
}

#[cfg(all(target_arch = "x86_64", not(windows)))]
fn compiled(program: &[u8]) -> Result<Executable<Context>, Refusal> {
    let executable = verified(program)?;
    executable.jit_compile().map_err(|error| error.to_string())?;
    Ok(executable)
}

#[cfg(not(all(target_arch = "x86_64", not(windows))))]
fn compiled(_program: &[u8]) -> Result<Executable<Context>, Refusal> {
    Err("it compiles for x86-64 only".into())
}

/// What a machine shares with its program.
struct Context {
    left: u64,
    mapping: MemoryMapping,
}

impl ContextObject for Context {
    fn consume(&mut self, amount: u64) {
        self.left = self.left.saturating_sub(amount);
    }

    fn get_remaining(&self) -> u64 {
        self.left
    }

    fn active_mapping_ptr(&mut self) -> NonNull<MemoryMapping> {
        NonNull::from(&mut self.mapping)
    }
}

struct Solana {
    executable: Executable<Context>,
    context: Context,
    stack: AlignedMemory<HOST_ALIGN>,
    frames: Vec<CallFrame>,
    how: How,
    // What the mapping points to.
    _memory: Vec<u8>,
}

impl Solana {
    fn new(executable: Executable<Context>, mut memory: Vec<u8>, how: How) -> Result<Self, Refusal> {
        let config = executable.get_config();
        let mut stack = AlignedMemory::<HOST_ALIGN>::zero_filled(config.stack_size());
        let gap = if config.enable_stack_frame_gaps { config.stack_frame_size as u64 } else { 0 };
        let regions = vec![
            executable.get_ro_region(),
            MemoryRegion::new_gapped(&raw mut *stack.as_slice_mut(), MM_STACK_START, gap),
            MemoryRegion::new(&raw mut *memory.as_mut_slice(), MM_INPUT_START),
        ];
        // SAFETY: the regions point into `executable`, `stack` and `memory`, which live beside the mapping and are
        // touched by nobody else; all bytes are good bytes.
        let mapping = unsafe { MemoryMapping::new(regions, config, VERSION) };
        let mapping = mapping.map_err(|error| error.to_string())?;
        let frames = vec![CallFrame::default(); config.max_call_depth];
        Ok(Solana { context: Context { left: 0, mapping }, executable, stack, frames, how, _memory: memory })
    }
}

impl Subject for Solana {
    fn batch(&mut self, count: u32) -> u64 {
        let loader = Arc::clone(self.executable.get_loader());
        let mut machine = EbpfVm::new(loader, VERSION, &mut self.context, self.stack.len());
        let mut entry = machine.registers;
        entry[1] = ebpf::MM_INPUT_START;
        let mut result = 0;
        for _ in 0..count {
            machine.registers = entry;
            machine.context().left = BUDGET;
            let mut mode = match self.how {
                How::Jit => ExecutionMode::Jit,
                How::Interpreter | How::Step => ExecutionMode::Interpreted,
            };
            let (_, run) = machine.execute_program(&self.executable, &mut mode, &mut self.frames);
            let run: Result<u64, _> = run.into();
            result = black_box(run.expect("the program ends"));
        }
        result
    }
}
