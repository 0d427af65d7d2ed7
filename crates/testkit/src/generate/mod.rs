//! Programs and inputs from arbitrary bytes, for fuzzing.
//!
//! Bytes that are a program rarely do anything: the first load faults. What is made here is plausible:
//! registers that point somewhere, accesses near the edges of regions, loops, calls. Equal bytes give
//! equal programs, and bytes that run out are zero, so that a fuzzer can shorten what it found.

pub mod classic;
pub mod extended;
mod lists;
mod source;
pub mod verifiable;

pub use source::Source;

/// Bytes that look random and are the same in every run (xorshift64*), for tests without a fuzzer.
///
/// ```
/// use sandbpf_testkit::generate::random;
/// assert_eq!(random(1), random(1));
/// assert_ne!(random(1), random(2));
/// ```
pub fn random(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    next();
    let words = 8 + next() as usize % 100;
    (0..words).flat_map(|_| next().to_le_bytes()).collect()
}
