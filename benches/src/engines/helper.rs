//! The one helper of the workloads, for every engine that has helpers: number 1, `(a ^ (b << 1)) + c`.
//!
//! It does next to nothing, so what a program pays for is the call.

/// Its number.
pub const NUMBER: u32 = 1;

/// What it computes of its first three arguments.
#[inline]
pub fn mix(a: u64, b: u64, c: u64) -> u64 {
    (a ^ (b << 1)).wrapping_add(c)
}
