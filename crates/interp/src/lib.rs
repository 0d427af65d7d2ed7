//! The interpreters: any program, every access checked, all safe Rust.
//!
//! There are two, and one meaning. [`Step`] is the readable definition, one arm for each shape of
//! instruction, and can be [observed](Observer); [`Code`] is the fast loop over flat operations
//! that are generated from the same tables. Neither knows of proofs: they are the judge of the
//! machine code and of the verifier.
//!
//! ```
//! use sandbpf_runtime::{Execute, FrozenHost, Machine, helpers::HelperSet, memory::Stack};
//! let program = sandbpf_isa::decode(&[0xb7, 0, 0, 0, 7, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])?;
//! let (mut stack, helpers) = (Stack::default(), HelperSet::linux());
//! let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, 1000);
//! assert_eq!(sandbpf_interp::Code::new(program).execute(&mut machine), Ok(7));
//! # Ok::<(), sandbpf_isa::DecodeError>(())
//! ```
#![forbid(unsafe_code)]

mod brief;
mod code;
mod flatten;
mod fused;
mod handlers;
mod meaning;
mod observe;
mod op;
mod reader;
mod rest;
mod step;

pub use brief::{Brief, Lent, Reach};
pub use code::Code;
pub use observe::{Observer, Unobserved};
pub use reader::Reader;
pub use step::Step;
