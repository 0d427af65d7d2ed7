//! What a BPF instruction is, means and looks like.
//!
//! The whole of RFC 9669, and what Linux 6.18 accepts beyond it: packet loads, acquire and release,
//! `may_goto`, casts between address spaces, kernel functions, calls through a register.
//!
//! ```text
//!            decode                 print
//!   bytes ────────────► Program ────────────► text
//!         ◄────────────  Insn…  ◄────────────
//!            encode                 parse
//! ```
//!
//! There are thirteen shapes of instruction ([`Insn`]) and one [table of operations](ops). Nobody
//! else spells opcodes.
//!
//! ```
//! use sandbpf_isa::{Insn, Program, Reg};
//! let bytes = [0xb7, 0, 0, 0, 7, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
//! let program = sandbpf_isa::decode(&bytes)?;
//! assert!(program.insns()[0].writes().contains(Reg::R0));
//! assert_eq!(program.insns()[1], Insn::Exit);
//! assert_eq!(program.to_bytes(), bytes);
//! # Ok::<(), sandbpf_isa::DecodeError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "proptest")]
pub mod arbitrary;
mod arena;
mod decode;
pub mod effects;
mod encode;
mod error;
mod insn;
pub mod ops;
mod program;
mod reference;
mod reg;
mod text;

pub use arena::Arena;
pub use decode::{Reserved, decode, decode_with};
pub use error::{DecodeError, DecodeErrorKind, ProgramError, ProgramErrorKind};
pub use insn::{AddressSpace, Callee, Extend, Imm64, Insn, MapRef, Operand, Pc, Reach};
pub use ops::{AluOp, AtomicOp, Class, Cond, Size, Source, UnaryOp, Width, opcode, pseudo};
pub use program::{Function, MAX_INSNS, Program, StackUse};
pub use reference::reference;
pub use reg::{Reg, RegSet};
pub use text::{Names, TextError, parse, print, print_insn, print_kernel};

/// Bytes of a stack frame (`MAX_BPF_STACK`).
pub const FRAME_SIZE: usize = 512;

/// Frames of nested calls, the first included (`MAX_CALL_FRAMES`).
pub const MAX_FRAMES: usize = 8;

/// How often a frame may pass its `may_goto`s (`BPF_MAX_LOOPS`).
pub const MAY_GOTO_LIMIT: u64 = 8 * 1024 * 1024;
