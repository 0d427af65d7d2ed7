//! What is known of a number: pure values with laws, which know nothing of programs.
//!
//! A [`Scalar`] is a set of 64-bit numbers, given by what its members have in common: known bits (a [`Tnum`]) and
//! bounds, signed and unsigned, of the whole and of the low half. Arithmetic maps sets to sets that hold every result;
//! branches cut sets down. Which set it is matters as much as that it holds every number: what is known decides which
//! paths there are and which states cover others, so everything here knows as much as Linux 6.18 does and no more.
//!
//! ```
//! use sandbpf_isa::{AluOp, Cond, Width};
//! use sandbpf_verifier::domain::{Scalar, branch_taken, refine};
//!
//! // Any number, masked, is less than 256; after `if r > 15` was not taken it is less than 16.
//! let byte = Scalar::UNKNOWN.alu(AluOp::And, Width::W64, &Scalar::known(0xff));
//! assert_eq!((byte.umin, byte.umax), (0, 255));
//! let mut index = byte;
//! refine(Cond::Gt, Width::W64, false, &mut index, &mut Scalar::known(15));
//! assert_eq!(index.var_off.to_string(), "(0x0; 0xf)");
//! assert_eq!(branch_taken(Cond::Lt, Width::W64, &index, &Scalar::known(16)), Some(true));
//! ```

mod arithmetic;
mod branch;
mod scalar;
mod tnum;

pub use branch::{branch_taken, refine, refine_itself};
pub use scalar::Scalar;
pub use tnum::Tnum;
