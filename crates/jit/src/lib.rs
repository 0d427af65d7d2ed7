//! Programs to x86-64 machine code.
//!
//! Every instruction that the interpreter runs. On programs that nobody has verified every access is checked
//! against the regions of guest memory, every jump back pays from the budget, and what goes wrong unwinds to
//! where the run began and becomes the same [`Trap`](sandbpf_runtime::Trap) that the interpreter gives. Of programs
//! that were, the [facts](sandbpf_verifier::facts) leave checks out.
//!
//! ```text
//!   r12   the state of the run: regions, packet, budget, frames, the trap
//!   r9 r10 r11   for an instruction or two
//!   rax rdi rsi rdx rcx r8 rbx r13 r14 r15 rbp   r0 … r10 of the program
//! ```
//!
//! ```
//! use std::sync::Arc;
//! use sandbpf_runtime::{Execute, FrozenHost, Machine, helpers::HelperSet, memory::Stack};
//! # if !sandbpf_jit::SUPPORTED { return Ok(()) }
//! let program = sandbpf_isa::parse("r0 = 7\nexit")?;
//! let code = sandbpf_jit::Code::compile(program)?;
//! let (mut stack, helpers) = (Stack::default(), HelperSet::linux());
//! let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, 1000);
//! assert_eq!(code.execute(&mut machine), Ok(7));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Unsafe
//!
//! Three files have it: `exec` and `pure/code` map code and call it, `callbacks` is called by it. Emission is safe and pure: a
//! program in, bytes out.
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(all(target_arch = "x86_64", unix))]
mod callbacks;
#[cfg(all(target_arch = "x86_64", unix))]
mod compile;
#[cfg(all(target_arch = "x86_64", unix))]
mod exec;
#[cfg(all(target_arch = "x86_64", unix))]
mod layout;
#[cfg(all(target_arch = "x86_64", unix))]
mod live;
#[cfg(all(target_arch = "x86_64", unix))]
mod locals;
#[cfg_attr(not(all(target_arch = "x86_64", unix)), allow(dead_code))]
mod maps;
#[cfg(all(target_arch = "x86_64", unix))]
mod proved;
// The assembler's macro, as below.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
#[cfg(all(target_arch = "x86_64", unix))]
mod pure;
// The assembler's macro converts registers and numbers that need no conversion.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
#[cfg(all(target_arch = "x86_64", unix))]
mod x86_64;

pub use maps::Maps;

#[cfg(all(target_arch = "x86_64", unix))]
pub use exec::Code;
#[cfg(all(target_arch = "x86_64", unix))]
pub use pure::Pure;

#[cfg(not(all(target_arch = "x86_64", unix)))]
mod elsewhere;
#[cfg(not(all(target_arch = "x86_64", unix)))]
pub use elsewhere::{Code, Pure};

/// Whether there is machine code for this target.
pub const SUPPORTED: bool = cfg!(all(target_arch = "x86_64", unix));

/// How to compile. The default is for running; the rest is for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether the machine's registers hold the program's at its end. A run that traps leaves them as they
    /// were.
    pub export_registers: bool,
    /// How far the assignment of registers is rotated: another encoding of every instruction.
    pub rotation: u8,
}

/// Why there is no machine code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// The processor or the system is another.
    #[error("there is machine code for x86-64 only")]
    Target,
    /// The code does not fit the distance of a jump.
    #[error("a program of {insns} instructions is too large; the limit is {}", MAX_INSNS)]
    TooLarge {
        /// How many instructions it has.
        insns: usize,
    },
    /// No memory could be had for the code.
    #[error("no memory for code: {0}")]
    Memory(#[from] std::io::Error),
}

/// How many instructions a program may have: jumps reach 2 GiB, and no instruction takes 512 bytes.
pub const MAX_INSNS: usize = 1 << 22;
