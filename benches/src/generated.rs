//! Long programs made by rule, to time loading: all that engines have in common, in even measure.

use std::fmt::Write;

use sandbpf::isa;

use crate::input;

/// Whether a program has branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One way through.
    Straight,
    /// Branches over what follows.
    Branching,
}

/// A program of `length` instructions: arithmetic, loads, stores, and branches where its shape has them.
///
/// It reads four bytes at `r1 + 16`, which a context of XDP has as well, and always ends.
///
/// # Panics
///
/// If `length` is less than 24.
pub fn program(length: usize, shape: Shape) -> isa::Program {
    isa::parse(&text(length, shape)).expect("the generator writes assembly")
}

fn text(length: usize, shape: Shape) -> String {
    let mut text = String::from("r2 = *(u32 *)(r1 + 16)\nr3 = r2\nr4 = 7\nr5 = 11\nr6 = 13\nr0 = 0\n");
    for slot in 1..=8 {
        writeln!(text, "*(u64 *)(r10 - {}) = r2", 8 * slot).expect("a string takes all");
    }
    const TAIL: &str = "r0 ^= r2\nr0 ^= r3\nr0 ^= r4\nr0 ^= r5\nr0 ^= r6\nexit\n";
    let frame = text.lines().count() + TAIL.lines().count();
    let body = length.checked_sub(frame).expect("longer than its frame");
    for (at, word) in input::words(length as u64).take(body).enumerate() {
        let (dst, src) = (2 + word % 5, 2 + (word >> 8) % 5);
        let number = (word >> 32) as i32;
        let shift = (word >> 16) % 63 + 1;
        let slot = (word >> 24) % 8 * 8 + 8;
        // A branch skips up to three instructions, never past the tail.
        let to = (at as u64 + 1 + (word >> 40) % 4).min(body as u64);
        let line = match ((word >> 56) % 16, shape) {
            (0 | 1, _) => format!("r{dst} += r{src}"),
            (2, _) => format!("r{dst} -= {number}"),
            (3, _) => format!("r{dst} = r{src}"),
            (4, _) => format!("r{dst} ^= r{src}"),
            (5, _) => format!("r{dst} &= {number}"),
            (6, _) => format!("r{dst} |= {number}"),
            (7, _) => format!("r{dst} <<= {shift}"),
            (8, _) => format!("r{dst} >>= {shift}"),
            (9, _) => format!("r{dst} *= r{src}"),
            (10, _) => format!("r{dst} = *(u32 *)(r1 + 16)"),
            (11, _) => format!("r{dst} = *(u64 *)(r10 - {slot})"),
            (12, _) => format!("*(u64 *)(r10 - {slot}) = r{dst}"),
            (13, _) => format!("*(u32 *)(r10 - {slot}) = r{dst}"),
            (14, Shape::Branching) => format!("if r{dst} > r{src} goto at{to}"),
            (_, Shape::Branching) => format!("if r{dst} != {number} goto at{to}"),
            (14, Shape::Straight) => format!("r{dst} += {number}"),
            (_, Shape::Straight) => format!("r{dst} s>>= {shift}"),
        };
        writeln!(text, "at{at}:\n{line}").expect("a string takes all");
    }
    writeln!(text, "at{body}:\n{TAIL}").expect("a string takes all");
    text
}
