//! Which loops are led on, and that nobody sees it but in time.

use crate::plan::graph::{Bulk, Graph, Lane, Op};
use crate::plan::passes::Pass;
use crate::plan::passes::trial::{Trial, built};

/// What is done at once in a program that was looked at.
fn found(text: &str) -> Vec<Bulk> {
    let before = built(text);
    let mut after = before.clone();
    all(&mut after);
    let trial = Trial {
        lengths: vec![0, 1, 100, 199, 200, 256, 300, 1000],
        budgets: vec![1_000_000, 2000, 500, 100, 3],
    };
    trial.hold(&before, &after);
    let codes = after.order().into_iter().map(|block| after.code(block));
    let values = codes.flat_map(|code| &code.body);
    let bulks = values.filter_map(|&value| match after.op(value) {
        Op::Bulk { what, .. } => Some(*what),
        _ => None,
    });
    bulks.collect()
}

fn all(graph: &mut Graph) {
    for pass in
        [Pass::Sweep, Pass::Simplify, Pass::Share, Pass::Bounds, Pass::Bulk, Pass::Simplify, Pass::Sweep]
    {
        pass.run(graph);
    }
}

/// A loop over so many bytes with this body, in which `r4` is the element's address, and what is counted in `r3` is bytes.
fn over(step: i32, body: &str) -> Vec<Bulk> {
    found(&format!(
        "r0 = 0\nr5 = 0x1234567890abcdef ll\nif r2 < 256 goto L2\nr3 = 0\nL1:\nr4 = r1\nr4 += r3\n{body}\nr3 += {step}\nif r3 != 128 goto L1\nL2:\nexit"
    ))
}

#[test]
fn sums() {
    for (size, step) in [("u8", 1), ("u16", 2), ("u32", 4), ("u64", 8)] {
        let sum = |add: &str| over(step, &format!("r4 = *({size} *)(r4 + 0)\n{add}"));
        assert!(matches!(sum("r0 += r4")[..], [Bulk::Sum { swap: false, .. }]));
        assert!(matches!(sum("w0 += w4")[..], [Bulk::Sum { .. }]));
        assert!(sum("r0 -= r4").is_empty());
        assert!(sum("r0 += r4\nr0 += r4").is_empty());
    }
    let swapped = over(2, "r4 = *(u16 *)(r4 + 0)\nr4 = be16 r4\nr0 += r4");
    assert!(matches!(swapped[..], [Bulk::Sum { swap: true, .. }]));
    // Elements that overlap, or lie apart.
    assert!(over(1, "r4 = *(u16 *)(r4 + 0)\nr0 += r4").is_empty());
    assert!(over(4, "r4 = *(u16 *)(r4 + 0)\nr0 += r4").is_empty());
}

#[test]
fn several_elements_each_time_round() {
    let four =
        "r6 = *(u32 *)(r4 + 0)\nr7 = *(u32 *)(r4 + 4)\nr8 = *(u32 *)(r4 + 8)\nr9 = *(u32 *)(r4 + 12)\n";
    let sum = |tail: &str| over(16, &format!("{four}{tail}"));
    assert!(matches!(sum("r0 += r6\nr0 += r7\nr0 += r8\nr0 += r9")[..], [Bulk::Sum { .. }]));
    assert!(matches!(sum("w6 += w9\nw0 += w8\nw6 += w7\nw0 += w6")[..], [Bulk::Sum { .. }]));
    assert!(sum("r0 += r6\nr0 += r7\nr0 += r8").is_empty());
    assert!(sum("r0 += r6\nr0 += r7\nr0 += r8\nr0 += r8").is_empty());
    assert!(sum("w6 += w7\nr0 += r6\nr0 += r8\nr0 += r9").is_empty());
    let two = |ahead: i32, first: &str, second: &str| {
        let put = |at: i32, from: &str| format!("*(u64 *)(r4 + {}) = {from}\n", at + ahead);
        let get = "r6 = *(u64 *)(r4 + 32)\nr7 = *(u64 *)(r4 + 40)\n";
        over(16, &format!("{get}{}{}", put(32, first), put(40, second)))
    };
    assert!(matches!(two(96, "r6", "r7")[..], [Bulk::Copy { .. }]));
    assert!(matches!(two(-16, "r6", "r7")[..], [Bulk::Copy { .. }]));
    assert!(matches!(two(16, "r6", "r7")[..], [Bulk::Copy { .. }]));
    assert!(matches!(two(16, "r5", "r5")[..], [Bulk::Fill { .. }]));
    // What overlaps within a round, is exchanged, or is not all alike.
    for ahead in [8, -8, 4, -4] {
        assert!(two(ahead, "r6", "r7").is_empty(), "{ahead}");
    }
    assert!(two(96, "r7", "r6").is_empty());
    assert!(two(96, "r6", "r5").is_empty());
    assert!(over(16, "*(u64 *)(r4 + 0) = r5\n*(u64 *)(r4 + 0) = r5").is_empty());
    let mask = "r6 = *(u64 *)(r4 + 0)\nr6 ^= r5\n*(u64 *)(r4 + 0) = r6\nr7 = *(u64 *)(r4 + 8)\nr7 ^= r5\n*(u64 *)(r4 + 8) = r7";
    assert!(matches!(over(16, mask)[..], [Bulk::Apply { .. }]));
    let late = "r7 = *(u64 *)(r4 + 16)\n*(u64 *)(r4 + 8) = r7\nr6 = *(u64 *)(r4 + 8)\n*(u64 *)(r4 + 0) = r6";
    assert!(over(16, late).is_empty());
}

#[test]
fn whichever_end_comes_first() {
    let up = |body: &str| {
        found(&format!(
            "r0 = 0\nr5 = 150\nr3 = r1\nr4 = r1\nr4 += r2\nr3 += 2\nif r3 > r4 goto L9\nL1:\n{body}\nr3 += 2\nr5 -= 1\nif r5 == 0 goto L9\nif r3 <= r4 goto L1\nL9:\nexit"
        ))
    };
    assert!(matches!(up("r6 = *(u16 *)(r3 - 2)\nr0 += r6")[..], [Bulk::Sum { .. }]));
    assert!(matches!(up("*(u16 *)(r3 - 2) = 9")[..], [Bulk::Fill { .. }]));
    // The packet's end is asked for before it is read.
    let first = "r0 = 0\nr3 = 0\nr5 = r1\nr5 += r2\nL1:\nr4 = r1\nr4 += r3\nr6 = r4\nr6 += 4\nif r6 > r5 goto L9\nr4 = *(u32 *)(r4 + 0)\nr0 += r4\nr3 += 4\nif r3 != 800 goto L1\nL9:\nexit";
    assert!(matches!(found(first)[..], [Bulk::Sum { .. }]));
    let three = "r0 = 0\nr3 = 0\nL1:\nif r3 >= r2 goto L9\nif r3 == 700 goto L9\nr4 = r1\nr4 += r3\nr4 = *(u8 *)(r4 + 0)\nr0 += r4\nr3 += 1\nif r3 != 800 goto L1\nL9:\nr0 += r3\nexit";
    assert!(matches!(found(three)[..], [Bulk::Sum { .. }]));
    // What is read may end it.
    let sought = "r0 = 0\nr3 = 0\nL1:\nif r3 >= r2 goto L9\nr4 = r1\nr4 += r3\nr4 = *(u8 *)(r4 + 0)\nif r4 == 0 goto L9\nr0 += r4\nr3 += 1\nif r3 != 800 goto L1\nL9:\nexit";
    assert!(found(sought).is_empty());
}

#[test]
fn sums_of_sums() {
    let ramp = |body: &str| over(1, &format!("r4 = *(u8 *)(r4 + 0)\n{body}"));
    for wide in ["r", "w"] {
        let after = ramp(&format!("{wide}5 += {wide}4\n{wide}0 += {wide}5"));
        assert!(matches!(after[..], [Bulk::Sum { .. }, Bulk::Ramp { .. }]), "{after:?}");
        let before = ramp(&format!("{wide}0 += {wide}5\n{wide}5 += {wide}4"));
        assert!(matches!(before[..], [Bulk::Sum { .. }, Bulk::Ramp { .. }]), "{before:?}");
    }
    assert!(ramp("w5 += w4\nr0 += r5").is_empty());
    assert!(over(2, "r4 = *(u16 *)(r4 + 0)\nr5 += r4\nr0 += r5").is_empty());
}

#[test]
fn copies_and_fills() {
    assert!(matches!(over(8, "r6 = *(u64 *)(r4 + 0)\n*(u64 *)(r4 + 128) = r6")[..], [Bulk::Copy { .. }]));
    assert!(matches!(over(1, "r6 = *(u8 *)(r4 + 128)\n*(u8 *)(r4 + 0) = r6")[..], [Bulk::Copy { .. }]));
    // What overlaps repeats itself.
    assert!(matches!(over(1, "r6 = *(u8 *)(r4 + 0)\n*(u8 *)(r4 + 3) = r6")[..], [Bulk::Copy { .. }]));
    assert!(matches!(over(2, "*(u16 *)(r4 + 0) = r5")[..], [Bulk::Fill { .. }]));
    assert!(matches!(over(8, "*(u64 *)(r4 + 0) = 7")[..], [Bulk::Fill { .. }]));
    assert!(over(8, "*(u64 *)(r4 + 0) = r3").is_empty());
}

#[test]
fn operations_on_elements() {
    for (op, lane) in [("^=", Lane::Xor), ("&=", Lane::And), ("|=", Lane::Or), ("+=", Lane::Add)] {
        let apply = over(4, &format!("r6 = *(u32 *)(r4 + 0)\nr6 {op} r5\n*(u32 *)(r4 + 0) = r6"));
        assert!(matches!(apply[..], [Bulk::Apply { op, .. }] if op == lane), "{apply:?}");
        let two = "r6 = *(u64 *)(r4 + 0)\nr7 = *(u64 *)(r4 + 128)";
        let combine = over(8, &format!("{two}\nr6 {op} r7\n*(u64 *)(r4 + 0) = r6"));
        assert!(matches!(combine[..], [Bulk::Combine { op, .. }] if op == lane), "{combine:?}");
    }
    // To a third place.
    assert!(
        over(8, "r6 = *(u64 *)(r4 + 0)\nr7 = *(u64 *)(r4 + 8)\nr6 ^= r7\n*(u64 *)(r4 + 64) = r6").is_empty()
    );
}

#[test]
fn a_range_is_summed_before_it_is_changed() {
    let before = "r6 = *(u64 *)(r4 + 0)\nr0 += r6\nr6 ^= r5\n*(u64 *)(r4 + 0) = r6";
    assert!(matches!(over(8, before)[..], [Bulk::Sum { .. }, Bulk::Apply { .. }]));
    let after = "r6 = *(u64 *)(r4 + 0)\nr6 ^= r5\n*(u64 *)(r4 + 0) = r6\nr6 = *(u64 *)(r4 + 0)\nr0 += r6";
    assert!(over(8, after).is_empty());
    assert!(over(8, "r6 = *(u64 *)(r4 + 8)\nr0 += r6\n*(u64 *)(r4 + 0) = r5").is_empty());
}

#[test]
fn downwards() {
    let down = |body: &str| {
        found(&format!(
            "r0 = 0\nr5 = 77\nif r2 < 256 goto L2\nr3 = 120\nL1:\nr4 = r1\nr4 += r3\n{body}\nr3 += -8\nif r3 s>= 0 goto L1\nL2:\nexit"
        ))
    };
    assert!(matches!(down("r4 = *(u64 *)(r4 + 0)\nr0 += r4")[..], [Bulk::Sum { .. }]));
    assert!(matches!(down("*(u64 *)(r4 + 0) = r5")[..], [Bulk::Fill { .. }]));
    assert!(down("r6 = *(u64 *)(r4 + 0)\n*(u64 *)(r4 + 64) = r6").is_empty());
}

#[test]
fn as_many_as_the_packet_has() {
    let up = "r0 = 0\nr3 = 0\nL1:\nif r3 >= r2 goto L2\nr4 = r1\nr4 += r3\nr4 = *(u8 *)(r4 + 0)\nr0 += r4\nr3 += 1\ngoto L1\nL2:\nexit";
    assert!(matches!(found(up)[..], [Bulk::Sum { .. }]));
    let pointer = "r0 = 0\nr5 = r1\nr5 += r2\ngoto L3\nL1:\nr4 = *(u32 *)(r1 + 0)\nr0 += r4\nr1 += 4\nL3:\nr4 = r1\nr4 += 4\nif r4 <= r5 goto L1\nexit";
    assert!(matches!(found(pointer)[..], [Bulk::Sum { .. }]));
    let narrow = "r0 = 0\nw3 = 0\nL1:\nif w3 >= w2 goto L2\nr4 = r1\nr4 += r3\nr4 = *(u8 *)(r4 + 0)\nr0 += r4\nw3 += 1\ngoto L1\nL2:\nexit";
    assert!(matches!(found(narrow)[..], [Bulk::Sum { .. }]));
}

#[test]
fn random_loops_keep_their_meaning() {
    let led = std::cell::Cell::new(0);
    Trial::default().programs(6000, |graph| {
        all(graph);
        led.set(led.get() + i32::from(graph.values.iter().any(|op| matches!(op, Op::Bulk { .. }))));
    });
    assert!(led.get() > 100, "only {} programs had something for us", led.get());
}
