//! What is known of a number: pure values with laws, which know nothing of programs.

mod arithmetic;
mod branch;
mod scalar;
mod tnum;

pub use branch::{branch_taken, refine, refine_itself};
pub use scalar::Scalar;
pub use tnum::Tnum;
