//! `solana-sbpf`: checks every access and counts every instruction, as we do.
//!
//! Programs run as SBPF version 3, which is eBPF whose 32-bit additions and multiplications extend their sign, in the default
//! configuration: metered, immediates hidden from attackers, now and then an instruction that does nothing. Helpers are
//! known by a hash of their name there, which is put in the place of their number.

use std::convert::Infallible;
use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::Arc;

use solana_sbpf::aligned_memory::AlignedMemory;
use solana_sbpf::declare_builtin_function;
use solana_sbpf::ebpf::{self, HOST_ALIGN, MM_INPUT_START, MM_STACK_START};
use solana_sbpf::elf::Executable;
use solana_sbpf::memory_region::{MemoryMapping, MemoryRegion};
use solana_sbpf::program::{BuiltinFunctionDefinition, BuiltinProgram, FunctionRegistry, SBPFVersion};
use solana_sbpf::verifier::RequisiteVerifier;
use solana_sbpf::vm::{CallFrame, Config, ContextObject, EbpfVm, ExecutionMode};

use super::{Engine, How, Project, Refusal, helper, no_machine_code};
use crate::case::{Form, Isa};
use crate::rounds::Subject;

pub(super) const JIT: Engine = Engine {
    name: "solana jit",
    project: Project::Solana,
    how: How::Jit,
    form: Form::Prefixed,
    isa: Isa::V2,
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
    form: Form::Prefixed,
    isa: Isa::V2,
    prepare: |program, memory| Ok(Box::new(Solana::new(verified(program)?, memory, How::Interpreter)?)),
    load: |program| verified(program).map(|executable| drop(black_box(executable))),
    code_size: no_machine_code,
};

const VERSION: SBPFVersion = SBPFVersion::V3;

/// What a run may use: as much as ours may.
const BUDGET: u64 = 1_000_000_000;

const NAME: &str = "mix";

declare_builtin_function!(
    /// The helper of the workloads.
    Mix,
    fn rust(_context: &mut Context, a: u64, b: u64, c: u64, _d: u64, _e: u64,) -> Result<u64, Infallible> {
        Ok(helper::mix(a, b, c))
    }
);

/// The program with the hash of its name where it calls the helper by number.
fn with_names(program: &[u8]) -> Vec<u8> {
    let mut program = program.to_vec();
    let (slots, _) = program.as_chunks_mut::<8>();
    let mut wide = false;
    for slot in slots {
        let [opcode, registers, .., a, b, c, d] = slot;
        // The second half of a wide load is no instruction.
        let call = !wide && *opcode == ebpf::CALL_IMM && *registers == 0;
        if call && u32::from_le_bytes([*a, *b, *c, *d]) == helper::NUMBER {
            [*a, *b, *c, *d] = ebpf::hash_symbol_name(NAME.as_bytes()).to_le_bytes();
        }
        wide = !wide && *opcode == ebpf::LD_DW_IMM;
    }
    program
}

fn verified(program: &[u8]) -> Result<Executable<Context>, Refusal> {
    let mut loader = BuiltinProgram::new_loader(Config::default());
    Mix::register(&mut loader, NAME).map_err(|error| error.to_string())?;
    let program = with_names(program);
    let executable =
        Executable::from_text_bytes(&program, Arc::new(loader), VERSION, FunctionRegistry::default());
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
