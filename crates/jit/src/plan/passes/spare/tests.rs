//! Which loops are spared, and that nobody sees it but in time.

use super::spare;
use crate::plan::graph::{Graph, Op};
use crate::plan::passes::Pass;
use crate::plan::passes::loops::Flow;
use crate::plan::passes::trial::{Trial, built};
use crate::plan::random::{EVERYTHING, MEMORY, NUMBERS, agree};

fn all(graph: &mut Graph) {
    for pass in
        [Pass::Sweep, Pass::Simplify, Pass::Share, Pass::Bounds, Pass::Spare, Pass::Simplify, Pass::Sweep]
    {
        pass.run(graph);
    }
}

/// In a program that was looked at, how many loops there are that pay nothing, and how many that do.
fn loops(text: &str) -> (usize, usize) {
    let mut before = built(text);
    before.machine = true;
    let mut after = before.clone();
    all(&mut after);
    let budgets = vec![1_000_000, 3000, 700, 500, 495, 494, 200, 60, 59, 10, 0];
    Trial { lengths: vec![0, 64, 100], budgets }.hold(&before, &after);
    let Some(flow) = Flow::of_loops(&after) else { return (0, 0) };
    let pays = |block: &crate::plan::graph::Block| {
        after.code(*block).body.iter().any(|&value| matches!(after.op(value), Op::Charge { .. }))
    };
    let paying = flow.loops.iter().filter(|inside| inside.blocks.iter().any(pays)).count();
    (flow.loops.len() - paying, paying)
}

#[test]
fn counted_loops_pay_at_once() {
    let text = "r0 = 1\nr3 = 1\nr4 = 0\nL1:\nr5 = r0\nr5 += r3\nr0 = r3\nr3 = r5\nr4 += 1\nif r4 != 100 goto L1\nexit";
    assert_eq!(loops(text), (1, 1));
    // As long as the packet is.
    let text = "r0 = 1\nr4 = 0\nL1:\nr0 *= 3\nr4 += 1\nif r4 < r2 goto L1\nexit";
    assert_eq!(loops(text), (0, 1));
}

#[test]
fn a_few_rounds_need_no_loop() {
    let text = "r0 = 1\nr4 = 32\nL1:\nr0 *= 3\nr0 ^= r4\nr4 >>= 1\nif r4 != 0 goto L1\nexit";
    assert_eq!(loops(text), (0, 1));
}

#[test]
fn nests_pay_at_once() {
    let text = "r0 = 1\nr4 = 0\nL1:\nr5 = 0\nL2:\nr0 *= 3\nr0 ^= r5\nr5 += 1\nif r5 != 11 goto L2\nr4 += 1\nif r4 != 10 goto L1\nexit";
    assert_eq!(loops(text), (2, 2));
}

#[test]
fn ways_that_cost_differently_are_added_up() {
    let text = "r0 = 1\nr4 = 0\ngoto L1\nL3:\nr4 += 1\nif r4 == 20 goto L9\nL1:\nr0 *= 3\nr5 = r0\nr5 ^= r2\nif r5 & 4 goto L3\nr0 += 5\ngoto L3\nL9:\nr0 += r4\nexit";
    assert_eq!(loops(text), (1, 1));
}

#[test]
fn what_is_used_behind_is_found_there() {
    let text = "r0 = 1\nr4 = 0\nr6 = 0\nL1:\nr6 = r0\nr0 *= 3\nr0 ^= r4\nr7 = r0\nr7 >>= 3\nr4 += 1\nif r4 != 12 goto L1\nr0 ^= r6\nr0 += r7\nr0 += r4\nexit";
    assert_eq!(loops(text), (1, 1));
}

#[test]
fn loops_with_two_ends_stay() {
    let text = "r0 = 1\nr4 = 0\nL1:\nr0 *= 3\nif r0 == r2 goto L9\nr4 += 1\nif r4 != 12 goto L1\nL9:\nexit";
    assert_eq!(loops(text), (0, 1));
}

#[test]
fn random_graphs_keep_their_meaning() {
    for tastes in [NUMBERS, MEMORY, EVERYTHING] {
        agree(tastes, 0..4000, spare);
    }
    let spared = std::cell::Cell::new(0);
    Trial::default().programs(4000, |graph| {
        all(graph);
        spared.set(spared.get() + i32::from(graph.values.iter().any(|op| matches!(op, Op::Spend { .. }))));
    });
    assert!(spared.get() > 200, "only {} programs had something for us", spared.get());
}
