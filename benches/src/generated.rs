//! A long program made by rule, to time loading: all that engines have in common, in even measure.

use std::fmt::Write;

use sandbpf::isa;

use crate::input;

/// A program of `length` instructions: arithmetic, loads, stores, and branches over what follows.
///
/// It needs 64 bytes of data behind the length and always ends.
///
/// # Panics
///
/// If `length` is less than 16.
pub fn program(length: usize) -> isa::Program {
    isa::parse(&text(length)).expect("the generator writes assembly")
}

fn text(length: usize) -> String {
    const HEAD: &str = "r2 = 3\nr3 = 5\nr4 = 7\nr5 = 11\nr6 = 13\nr0 = 0\n*(u64 *)(r10 - 8) = r2\n";
    const TAIL: &str = "r0 ^= r2\nr0 ^= r3\nr0 ^= r4\nr0 ^= r5\nr0 ^= r6\nexit\n";
    let head = HEAD.lines().count();
    let body = length.checked_sub(head + TAIL.lines().count()).expect("longer than its frame");
    let mut text = String::from(HEAD);
    for (at, word) in input::words(length as u64).take(body).enumerate() {
        let (dst, src) = (2 + word % 5, 2 + (word >> 8) % 5);
        let number = (word >> 32) as i32;
        let shift = (word >> 16) % 63 + 1;
        let offset = (word >> 24) % 8 * 8;
        // A branch skips up to three instructions, never past the tail.
        let skip = (word >> 40) % 4;
        let line = match (word >> 56) % 16 {
            0 | 1 => format!("r{dst} += r{src}"),
            2 => format!("r{dst} -= {number}"),
            3 => format!("r{dst} = r{src}"),
            4 => format!("r{dst} ^= r{src}"),
            5 => format!("r{dst} &= {number}"),
            6 => format!("r{dst} |= {number}"),
            7 => format!("r{dst} <<= {shift}"),
            8 => format!("r{dst} >>= {shift}"),
            9 => format!("r{dst} *= r{src}"),
            10 => format!("r{dst} = *(u64 *)(r1 + {})", 8 + offset),
            11 => format!("r{dst} = *(u8 *)(r1 + {})", 8 + offset),
            12 => format!("*(u64 *)(r10 - {}) = r{dst}", 8 + offset),
            13 => format!("*(u32 *)(r10 - {}) = r{dst}", 8 + offset),
            14 => format!("if r{dst} > r{src} goto at{}", (at as u64 + 1 + skip).min(body as u64)),
            _ => format!("if r{dst} != {number} goto at{}", (at as u64 + 1 + skip).min(body as u64)),
        };
        writeln!(text, "at{at}:\n{line}").expect("a string takes all");
    }
    writeln!(text, "at{body}:\n{TAIL}").expect("a string takes all");
    text
}
