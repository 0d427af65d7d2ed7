//! Classic BPF, the language of `tcpdump`, socket filters and seccomp: checked, lowered, printed, parsed.
//!
//! ```text
//!            parse                check               lower
//!   text ────────────► insns ────────────► Filter ────────────► isa::Program
//!        ◄────────────
//!            print
//! ```
//!
//! libpcap, Linux sockets and seccomp disagree about what a filter may be and what it means; a
//! [`Dialect`] says whose rules hold. A [`Filter`] has passed the check of its dialect, and that check
//! is its proof: jumps stay inside, `M[]` stays inside, division by a constant zero does not occur.
//! [`lower()`] turns it into a program that every engine runs.
//!
//! ```
//! use sandbpf_classic::{Dialect, Filter, Form, lower, parse, print};
//!
//! let insns = parse("ldh [12]\n jeq #0x800, ip, other\n ip: ret #96\n other: ret #0")?;
//! let filter = Filter::check(&insns, Dialect::Libpcap)?;
//! assert_eq!(lower(&filter).program.len(), 6);
//! assert_eq!(print(&insns, Form::Bytecode), "4,40 0 0 12,21 0 1 2048,6 0 0 96,6 0 0 0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod ancillary;
mod check;
mod dialect;
mod flow;
mod insn;
mod lower;
pub mod reference;
pub mod shape;
pub mod text;

pub use check::{CheckError, Filter, Rule};
pub use dialect::Dialect;
pub use insn::{BytesError, ClassicInsn, from_bytes, to_bytes};
pub use lower::{Lowered, lower};
pub use text::{Form, TextError, parse, parse_as, print};
