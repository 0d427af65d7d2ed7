//! Which programs are freed, and that nobody sees it but in time.

use super::free;
use crate::plan::graph::{Block, Graph, Op};
use crate::plan::passes::Pass;
use crate::plan::passes::loops::Flow;
use crate::plan::passes::trial::{Trial, built};
use crate::plan::random::{EVERYTHING, MEMORY, NUMBERS, agree};

fn all(graph: &mut Graph) {
    for pass in
        [Pass::Sweep, Pass::Simplify, Pass::Share, Pass::Bounds, Pass::Free, Pass::Simplify, Pass::Sweep]
    {
        pass.run(graph);
    }
}

/// In a program that was looked at, how many loops there are that pay nothing, and how many that do.
fn loops(text: &str) -> (usize, usize) {
    let before = built(text);
    let mut after = before.clone();
    all(&mut after);
    let budgets = vec![1_000_000, 3000, 700, 500, 495, 494, 200, 60, 59, 10, 0];
    Trial { lengths: vec![0, 64, 100], budgets }.hold(&before, &after);
    let Some(flow) = Flow::of_loops(&after) else { return (0, 0) };
    let pays = |block: &Block| {
        after.code(*block).body.iter().any(|&value| matches!(after.op(value), Op::Charge { .. }))
    };
    let paying = flow.loops.iter().filter(|inside| inside.blocks.iter().any(pays)).count();
    (flow.loops.len() - paying, paying)
}

#[test]
fn many_ends_and_ways_cost_nothing() {
    let text = "r0 = 1\nr4 = 0\nL1:\nr0 *= 3\nif r0 == r2 goto L9\nr4 += 1\nif r4 != 12 goto L1\nL9:\nexit";
    assert_eq!(loops(text), (1, 1));
    // As long as the packet is.
    let text = "r0 = 1\nr4 = 0\nL1:\nr0 *= 3\nr4 += 2\nif r4 < r2 goto L1\nexit";
    assert_eq!(loops(text), (1, 1));
    let text = "r0 = 1\nr4 = 0\nr5 = r2\nr5 &= 63\nL1:\nr0 *= 3\nr4 += 1\nif r4 s<= r5 goto L1\nexit";
    assert_eq!(loops(text), (1, 1));
    // The loop inside begins where the one around it is.
    let text = "r0 = 1\nr4 = 0\nL1:\nr5 = r4\nL2:\nr0 *= 3\nr5 += 1\nif r5 != 13 goto L2\nr4 += 1\nif r4 != 10 goto L1\nexit";
    assert_eq!(loops(text), (2, 2));
    let text = "r0 = 1\nr4 = 11\nL1:\nr5 = r4\nL2:\nr0 *= 3\nr5 += -1\nif r5 s> -1 goto L2\nr4 += -1\nif r4 != 3 goto L1\nexit";
    assert_eq!(loops(text), (2, 2));
    // A number that loses bits.
    let text =
        "r0 = 1\nr5 = r2\nr5 *= r2\nL1:\nr0 *= 3\nr4 = r5\nr4 += -1\nr5 &= r4\nif r5 != 0 goto L1\nexit";
    assert_eq!(loops(text), (1, 1));
}

#[test]
fn what_nobody_knows_the_end_of_pays() {
    let text = "r0 = 1\nr4 = r2\nL1:\nr0 *= 3\nr4 += 1\nif r4 != 12 goto L1\nexit";
    assert_eq!(loops(text), (0, 1));
    let text = "r0 = 1\nr4 = r2\nr4 *= r4\nr4 += r2\nL1:\nr0 *= 3\nr4 += 3\nif r4 < -2 goto L1\nexit";
    assert_eq!(loops(text), (0, 1));
    let text = "r0 = 1\nr4 = r2\nL1:\nr0 *= 3\nr4 += -2\nif r4 > 0 goto L1\nexit";
    assert_eq!(loops(text), (0, 1));
}

#[test]
fn who_is_looked_at_pays() {
    let mut before = built("r0 = 1\nr4 = 0\nL1:\nr0 *= 3\nr4 += 1\nif r4 != 12 goto L1\nexit");
    before.machine = true;
    let mut after = before.clone();
    free(&mut after);
    assert_eq!(after.to_string(), before.to_string());
}

#[test]
fn random_graphs_keep_their_meaning() {
    for tastes in [NUMBERS, MEMORY, EVERYTHING] {
        agree(tastes, 0..4000, free);
    }
    let freed = std::cell::Cell::new(0);
    Trial::default().programs(4000, |graph| {
        all(graph);
        freed.set(freed.get() + i32::from(graph.values.iter().any(|op| matches!(op, Op::Budget))));
    });
    assert!(freed.get() > 200, "only {} programs had something for us", freed.get());
}
