//! What is removed, and what has to stay.

use super::bounds;
use crate::plan::graph::{End, Graph, Op};
use crate::plan::passes::sweep::sweep;
use crate::plan::passes::trial::{Trial, built};
use crate::plan::random::{EVERYTHING, MEMORY, NUMBERS, agree};

/// How many checks and branches a program has that was looked at.
fn left(text: &str) -> (usize, usize) {
    let before = built(text);
    let mut after = before.clone();
    bounds(&mut after);
    sweep(&mut after);
    Trial::default().hold(&before, &after);
    count(&after)
}

fn count(graph: &Graph) -> (usize, usize) {
    let codes = graph.order().into_iter().map(|block| graph.code(block));
    codes.fold((0, 0), |(checks, branches), code| {
        let found = code.body.iter().filter(|&&value| matches!(graph.op(value), Op::Host { .. })).count();
        (checks + found, branches + usize::from(matches!(code.end, End::Branch { .. })))
    })
}

#[test]
fn a_length_that_was_tested_covers_what_is_below() {
    assert_eq!(left("r0 = 0\nif r2 < 20 goto L1\nr0 = *(u64 *)(r1 + 12)\nL1:\nexit"), (0, 1));
    assert_eq!(left("r0 = 0\nif r2 < 20 goto L1\nr0 = *(u64 *)(r1 + 13)\nL1:\nexit"), (1, 1));
    assert_eq!(left("r0 = 0\nif r2 s< 20 goto L1\nr0 = *(u64 *)(r1 + 12)\nL1:\nexit"), (0, 1));
    // The end of the packet, as programs of packets write it, either way around.
    let end = |test: &str| {
        left(&format!(
            "r0 = 0\nr3 = r1\nr3 += r2\nr4 = r1\nr4 += 20\n{test} goto L1\nr0 = *(u32 *)(r1 + 16)\nL1:\nexit"
        ))
    };
    assert_eq!(end("if r4 > r3"), (0, 1));
    assert_eq!(end("if r3 < r4"), (0, 1));
    // No length is as large as an address.
    assert_eq!(end("if r4 > r2"), (0, 0));
}

#[test]
fn what_was_checked_is_not_checked_again() {
    assert_eq!(left("r0 = *(u64 *)(r1 + 8)\nr3 = *(u64 *)(r1 + 0)\nr0 += r3\nexit"), (1, 0));
    // Nor beside an index that is not known.
    let text = "r3 = *(u8 *)(r1 + 0)\nr3 += r1\nr0 = *(u64 *)(r3 + 4)\nr4 = *(u16 *)(r3 + 6)\nr0 += r4\nexit";
    assert_eq!(left(text), (2, 0));
    assert_eq!(
        left("r3 = *(u64 *)(r1 + 0)\nr0 = *(u64 *)(r3 + 4)\nr4 = *(u16 *)(r3 + 6)\nr0 += r4\nexit"),
        (2, 0)
    );
}

#[test]
fn indices_stay_below_what_was_tested() {
    let text = "r0 = 0\nr3 = *(u8 *)(r1 + 0)\nif r3 >= r2 goto L1\nr1 += r3\nr0 = *(u8 *)(r1 + 0)\nL1:\nexit";
    assert_eq!(left(text), (1, 1));
    let text = "r0 = 0\nif r2 < 64 goto L1\nr3 = *(u64 *)(r1 + 0)\nr3 &= 56\nr1 += r3\nr0 = *(u64 *)(r1 + 0)\nL1:\nexit";
    assert_eq!(left(text), (0, 1));
    // Of a frame there are 512 bytes.
    let text = "r3 = *(u8 *)(r1 + 0)\nr3 &= 15\nr3 <<= 2\nr4 = r10\nr4 += -64\nr4 += r3\n*(u32 *)(r4 + 0) = r2\nr0 = *(u32 *)(r10 - 12)\nexit";
    assert_eq!(left(text), (1, 0));
    let text = "r3 = *(u8 *)(r1 + 0)\nr3 &= 15\nr3 <<= 2\nr4 = r10\nr4 += -60\nr4 += r3\n*(u32 *)(r4 + 0) = r2\nr0 = *(u32 *)(r10 - 12)\nexit";
    assert_eq!(left(text), (2, 0));
}

#[test]
fn counters_stay_within_their_loops() {
    let sum = |length: u32, test: &str, step: &str| {
        left(&format!(
            "r0 = 0\nif r2 < {length} goto L2\nr3 = 0\nL1:\nr4 = r1\nr4 += r3\nr4 = *(u32 *)(r4 + 0)\nr0 += r4\n{step}\n{test} goto L1\nL2:\nexit"
        ))
    };
    assert_eq!(sum(40, "if r3 != 40", "r3 += 4"), (0, 2));
    assert_eq!(sum(39, "if r3 != 40", "r3 += 4"), (1, 2));
    assert_eq!(sum(40, "if r3 < 37", "r3 += 4"), (0, 2));
    assert_eq!(sum(40, "if w3 s< 40", "w3 += 4"), (0, 2));
    // It goes around before it meets the end.
    assert_eq!(sum(40, "if r3 != 42", "r3 += 4"), (1, 2));
    // Down.
    let down = "r0 = 0\nif r2 < 64 goto L2\nr3 = 60\nL1:\nr4 = r1\nr4 += r3\nr4 = *(u32 *)(r4 + 0)\nr0 += r4\nr3 += -4\nif r3 s>= 0 goto L1\nL2:\nexit";
    assert_eq!(left(down), (0, 2));
    // A pointer beside a counter that ends at a number that is not constant.
    let triangle = "r0 = 0\nif r2 < 96 goto L9\nr3 = 0\nL1:\nr4 = 23\nr4 -= r3\nr5 = 0\nr6 = r1\nL2:\nr7 = *(u32 *)(r6 + 0)\nr0 += r7\nr6 += 4\nr5 += 1\nif r5 < r4 goto L2\nr3 += 1\nif r3 != 23 goto L1\nL9:\nexit";
    assert_eq!(left(triangle), (0, 3));
    // As long as the packet is.
    let all = "r0 = 0\nr3 = 0\nL1:\nif r3 >= r2 goto L2\nr4 = r1\nr4 += r3\nr4 = *(u8 *)(r4 + 0)\nr0 += r4\nr3 += 1\ngoto L1\nL2:\nexit";
    assert_eq!(left(all), (0, 1));
    let pointer = "r0 = 0\nr5 = r1\nr5 += r2\ngoto L3\nL1:\nr4 = *(u32 *)(r1 + 0)\nr0 += r4\nr1 += 4\nL3:\nr4 = r1\nr4 += 4\nif r4 <= r5 goto L1\nexit";
    assert_eq!(left(pointer), (0, 1));
}

#[test]
fn tests_that_were_made_are_not_made_again() {
    let text =
        "r0 = 0\nr3 = *(u8 *)(r1 + 0)\nif r3 > 9 goto L1\nr0 = 1\nif r3 s< 10 goto L1\nr0 = 2\nL1:\nexit";
    assert_eq!(left(text), (1, 1));
    let end = "r0 = 0\nr3 = r1\nr3 += r2\nr4 = r1\nr4 += 20\nif r4 > r3 goto L1\nr5 = r1\nr5 += 14\nif r5 > r3 goto L1\nr0 = *(u8 *)(r1 + 3)\nL1:\nexit";
    assert_eq!(left(end), (0, 1));
}

#[test]
fn random_graphs_keep_their_meaning() {
    for tastes in [NUMBERS, MEMORY, EVERYTHING] {
        agree(tastes, 0..4000, bounds);
    }
}

#[test]
fn random_loops_keep_their_meaning() {
    Trial::default().programs(4000, |graph| {
        bounds(graph);
        sweep(graph);
    });
}
