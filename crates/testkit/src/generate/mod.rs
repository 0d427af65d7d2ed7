//! Programs and inputs from arbitrary bytes, for fuzzing.
//!
//! Bytes that are a program rarely do anything: the first load faults. What is made here is plausible:
//! registers that point somewhere, accesses near the edges of regions, loops, calls. Equal bytes give
//! equal programs, and bytes that run out are zero, so that a fuzzer can shorten what it found.

pub mod classic;
pub mod extended;
mod source;

pub use source::Source;
