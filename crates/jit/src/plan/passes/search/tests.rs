//! What becomes of chains and trees.

use super::search;
use crate::plan::graph::{End, Graph};
use crate::plan::passes::Pass;
use crate::plan::passes::trial::{Trial, built};
use crate::plan::random::{EVERYTHING, MEMORY, NUMBERS, Rng, agree};

fn branches(graph: &Graph) -> usize {
    let ends = graph.order().into_iter().map(|block| &graph.code(block).end);
    ends.filter(|end| matches!(end, End::Branch { .. })).count()
}

/// The most branches on a way through a graph without loops.
fn depth(graph: &Graph) -> usize {
    let mut depths = vec![0; graph.blocks.len()];
    for &block in graph.order().iter().rev() {
        let end = &graph.code(block).end;
        let further = end.edges().map(|edge| depths[edge.to.index()]).max().unwrap_or(0);
        depths[block.index()] = further + usize::from(matches!(end, End::Branch { .. }));
    }
    depths[0]
}

/// The branches, and the most of them on a way, of a program that was looked at.
fn left(text: &str) -> (usize, usize) {
    let mut before = built(text);
    Pass::Sweep.run(&mut before);
    Pass::Simplify.run(&mut before);
    Pass::Sweep.run(&mut before);
    let mut after = before.clone();
    search(&mut after);
    Pass::Sweep.run(&mut after);
    Trial::default().hold(&before, &after);
    (branches(&after), depth(&after))
}

/// A chain of tests of the length, as numbers and where they lead.
fn chain(pairs: &[(u64, u32)]) -> (usize, usize) {
    let tests: Vec<String> =
        pairs.iter().map(|(number, to)| format!("if r2 == {number} goto L{to}")).collect();
    let ends: Vec<String> = (1..9).map(|to| format!("L{to}:\nr0 = {to}\nexit")).collect();
    left(&format!("r0 = 0\n{}\nexit\n{}", tests.join("\n"), ends.join("\n")))
}

#[test]
fn numbers_that_lie_near_are_bits() {
    assert_eq!(chain(&[(0, 1), (7, 1), (15, 1), (20, 1), (39, 1), (41, 1)]), (2, 2));
    assert_eq!(chain(&[(15, 1), (20, 2), (39, 1), (41, 2), (63, 1), (64, 1)]), (3, 3));
}

#[test]
fn numbers_that_lie_apart_are_searched() {
    let pairs = [(1, 1), (100, 2), (7, 3), (300, 4), (1000, 5), (20_000, 6), (333, 7), (41, 8)];
    let (_, most) = chain(&pairs);
    assert!(most <= 5, "{most}");
    let hosts: Vec<(u64, u32)> = (0..60).map(|place| (place * 1_000_003 % 999_983, 1)).collect();
    let (_, most) = chain(&hosts);
    assert!(most <= 9, "{most}");
}

#[test]
fn few_tests_stay() {
    assert_eq!(chain(&[(1, 1), (100, 2), (7, 3)]), (3, 3));
}

#[test]
fn random_trees_lead_where_they_did() {
    for seed in 0..3000 {
        let mut rng = Rng::new(seed);
        let mut lines = vec!["r0 = 0".to_string()];
        let tests = rng.below(14) + 2;
        for place in 0..tests {
            let number = *rng.pick(&[0, 1, 7, 15, 20, 21, 39, 40, 41, 63, 64, 72, 100, 300, -1, -20]);
            let cond = *rng.pick(&["==", "==", "==", "!=", "<", ">=", "s<", "s>=", ">", "<=", "s>", "s<="]);
            let wide = if rng.chance(1, 8) { "w" } else { "r" };
            // Mostly out of the chain, sometimes over a few tests.
            let to = match rng.below(4) {
                0 => format!("T{}", (place + 1 + rng.below(3)).min(tests)),
                _ => format!("L{}", rng.below(4)),
            };
            lines.push(format!("T{place}:\nif {wide}2 {cond} {number} goto {to}"));
        }
        lines.push(format!("T{tests}:\nexit"));
        lines.extend((0..4).map(|to| format!("L{to}:\nr0 = {}\nr0 += r2\nexit", to + 1)));
        left(&lines.join("\n"));
    }
}

#[test]
fn random_graphs_keep_their_meaning() {
    for tastes in [NUMBERS, MEMORY, EVERYTHING] {
        agree(tastes, 0..4000, search);
    }
}
