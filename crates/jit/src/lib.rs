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
//!   rax rdi rsi rdx rcx r8 rbx r13 r14 r15 rbp   r0 … r10 of the program (of one that only loads from its frame and stores
//!         to it, rbp is where that is on the host)
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
//! Four files have it: `exec`, `direct` and `pure/code` map code and call it, `callbacks` is called by it. Emission is safe and pure: a
//! program in, bytes out.
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(all(target_arch = "x86_64", unix))]
mod callbacks;
#[cfg(all(target_arch = "x86_64", unix))]
mod compile;
#[cfg(all(target_arch = "x86_64", unix))]
mod direct;
#[cfg(all(target_arch = "x86_64", unix))]
mod exec;
#[cfg(all(target_arch = "x86_64", unix))]
mod idle;
#[cfg(all(target_arch = "x86_64", unix))]
mod layout;
#[cfg(all(target_arch = "x86_64", unix))]
mod live;
#[cfg(all(target_arch = "x86_64", unix))]
mod locals;
#[cfg_attr(not(all(target_arch = "x86_64", unix)), allow(dead_code))]
mod maps;
// Rules read as what they ask, one question inside the other.
#[allow(clippy::collapsible_if, clippy::collapsible_match)]
#[cfg_attr(not(all(target_arch = "x86_64", unix)), allow(dead_code))]
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
mod plan;
#[cfg(all(target_arch = "x86_64", unix))]
mod planned;
#[cfg_attr(not(all(target_arch = "x86_64", unix)), allow(dead_code))]
mod proved;
#[cfg(all(target_arch = "x86_64", unix))]
mod running;
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
pub use plan::emit::env::Answer;
#[cfg(all(target_arch = "x86_64", unix))]
pub use planned::Plan;
#[cfg(all(target_arch = "x86_64", unix))]
pub use pure::Pure;
#[cfg(all(target_arch = "x86_64", unix))]
pub use running::Running;

#[cfg(not(all(target_arch = "x86_64", unix)))]
mod elsewhere;
#[cfg(not(all(target_arch = "x86_64", unix)))]
pub use elsewhere::{Answer, Code, Plan, Pure, Running};

pub use plan::passes::{Pass, Without};

mod pure_pass;
pub use pure_pass::{Form, PurePass, WithoutPure};

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
    /// The passes that are left out where [`Pure`] code is made.
    pub without_pure: WithoutPure,
}

/// What a program is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// `r1` is the address of memory ([`address::BUFFER`](sandbpf_runtime::address::BUFFER)), `r2` how much there is.
    Memory,
    /// `r1` is the address of a context ([`address::CONTEXT`](sandbpf_runtime::address::CONTEXT)) of `bytes` bytes.
    /// The words at these offsets say where the packet is: `data` and `meta` that it starts `at` bytes behind
    /// [`address::PACKET`](sandbpf_runtime::address::PACKET), `end` that it ends behind all bytes that are given.
    Context {
        /// How long the context is.
        bytes: u32,
        /// How many bytes lie before the packet.
        at: u32,
        /// The offset of the field that says where the packet starts …
        data: u32,
        /// … where it ends …
        end: u32,
        /// … and where the metadata before it starts, which there is none of.
        meta: Option<u32>,
    },
}

/// How to plan. The default is for running; the rest is for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// The passes that are left out.
    pub without: Without,
    /// Whether only instructions are used that every x86-64 processor has.
    pub baseline: bool,
    /// Whether the program may find memory elsewhere: in maps, for example.
    pub elsewhere: bool,
    /// Whether whoever runs it has a context at hand, so that there may be a plan of a program with a context of which nothing was
    /// proved.
    pub unproved: bool,
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
