//! Tests whose outcome was kept as a number, to be asked for later, are asked again where the number is.
//!
//! ```text
//! b1: v2 = add64 v1, 1                           b1: v2 = add64 v1, 1
//!     if eq64 v2, 0 then b2() else b3()              v9 = select eq64 v2, 0 ? 1 : 0
//! b2(): charge 7 … b4(1)                             if eq64 v2, 0 then b2() else b3()
//! b3(): charge 9 … b4(0)                         b2(): charge 7 … b4()
//! b4(v3):                                        b3(): charge 9 … b4()
//!     …                                          b4():
//!     if ne64 v3, 0 then b5() else b1(v2)            …
//!                                                    if ne64 v9, 0 then b5() else b1(v2)
//! ```
//!
//! A compiler that computes a loop's condition before its body makes this where a machine has no instruction that puts a
//! condition into a register. What is left is simplified to the test itself; otherwise nobody would see that such a loop counts.

use super::renames::Renames;
use crate::plan::graph::{BinOp, Block, Edge, End, Graph, Op, UnOp};

/// Makes choices by a test of numbers that its two ways bring where they meet, if they are asked for.
pub(crate) fn recall(graph: &mut Graph) {
    let asked = asked(graph);
    if asked.is_empty() {
        return;
    }
    let mut ways = vec![0u32; graph.blocks.len()];
    let order = graph.order();
    for &block in &order {
        graph.code(block).end.edges().for_each(|edge| ways[edge.to.index()] += 1);
    }
    let mut renames = Renames::new(graph);
    for &block in &order {
        let End::Branch { test, yes, no } = &graph.code(block).end else { continue };
        let (test, ends) = (*test, [meeting(graph, &ways, block, yes), meeting(graph, &ways, block, no)]);
        let [(yes, middle), (no, other)] = ends;
        let to = yes.to;
        if to != no.to || ways[to.index()] != 2 || to == block {
            continue;
        }
        let (yes, no) = (yes.arguments.clone(), no.arguments.clone());
        for place in (0..yes.len()).rev() {
            let param = graph.code(to).params[place];
            let (a, b) = (graph.constant(yes[place]), graph.constant(no[place]));
            if !asked[param.index()] || a.is_none() || b.is_none() || a == b {
                continue;
            }
            let known = graph.append(block, Op::Select { test, yes: yes[place], no: no[place] });
            renames.rename(param, known);
            graph.blocks[to.index()].params.remove(place);
            let mut without = |from: Block| {
                for edge in graph.blocks[from.index()].end.edges_mut().filter(|edge| edge.to == to) {
                    edge.arguments.remove(place);
                }
            };
            without(middle);
            if other != middle {
                without(other);
            }
        }
    }
    renames.apply(graph);
}

/// For every value, whether it is a parameter that a test compares with a number; none if the list is empty.
fn asked(graph: &Graph) -> Vec<bool> {
    let mut asked = Vec::new();
    for code in &graph.blocks {
        let End::Branch { test, .. } = &code.end else { continue };
        if graph.constant(test.rhs).is_none() {
            continue;
        }
        let mut value = test.lhs;
        loop {
            match *graph.op(value) {
                Op::Bin { op: BinOp::And, a, b, .. } if graph.constant(b).is_some() => value = a,
                Op::Un { op: UnOp::Zext32, a } => value = a,
                _ => break,
            }
        }
        if matches!(graph.op(value), Op::Param(_)) {
            asked.resize(graph.values.len(), false);
            asked[value.index()] = true;
        }
    }
    asked
}

/// Where an edge leads, by one block at most that nobody else comes to, and the block that the last step is from.
fn meeting<'g>(graph: &'g Graph, ways: &[u32], from: Block, edge: &'g Edge) -> (&'g Edge, Block) {
    let middle = edge.to;
    match &graph.code(middle).end {
        End::Jump(onwards) if ways[middle.index()] == 1 && middle != Block::ENTRY && middle != from => {
            (onwards, middle)
        }
        _ => (edge, from),
    }
}

#[cfg(test)]
mod tests {
    use super::recall;
    use crate::plan::graph::{Graph, Op};
    use crate::plan::passes::Pass;
    use crate::plan::passes::trial::{Trial, built};
    use crate::plan::random::{EVERYTHING, MEMORY, NUMBERS, agree};

    fn all(graph: &mut Graph) {
        for pass in [Pass::Sweep, Pass::Recall, Pass::Simplify, Pass::Free, Pass::Sweep] {
            pass.run(graph);
        }
    }

    /// How many payments of jumps back stay in a program.
    fn charges(text: &str) -> usize {
        let before = built(text);
        let mut after = before.clone();
        all(&mut after);
        Trial { lengths: vec![64, 100], budgets: vec![100_000, 400, 61, 17, 8, 5, 0] }.hold(&before, &after);
        let bodies = after.order().into_iter().filter(|&block| !after.code(block).cold);
        bodies
            .flat_map(|block| after.code(block).body.clone())
            .filter(|&value| matches!(after.op(value), Op::Charge { .. }))
            .count()
    }

    #[test]
    fn conditions_that_were_computed_before_the_body() {
        // A loop over 16 bytes that goes on if `r8` is 0, which is known long before.
        let text = |set: &str| {
            format!(
                "r0 = 0\nr3 = 0\nL1:\nr5 = r1\nr5 += r3\nr3 += 1\n{set}\nr4 = *(u8 *)(r5 + 0)\nr0 += r4\nif r8 == 0 goto L1\nexit"
            )
        };
        let wanted = charges(&text("r8 = 0\nif r3 != 16 goto L2\nr8 = 1\nL2:"));
        assert_eq!(
            wanted,
            charges(
                "r0 = 0\nr3 = 0\nL1:\nr5 = r1\nr5 += r3\nr3 += 1\nr4 = *(u8 *)(r5 + 0)\nr0 += r4\nif r3 != 16 goto L1\nexit"
            )
        );
        assert_eq!(wanted, charges(&text("r8 = 1\nif r3 == 16 goto L2\nr8 = 0\nL2:")));
        assert_eq!(wanted, charges(&text("if r3 == 16 goto L2\nr8 = 0\ngoto L3\nL2:\nr8 = 7\nL3:")));
    }

    #[test]
    fn random_graphs_keep_their_meaning() {
        for tastes in [NUMBERS, MEMORY, EVERYTHING] {
            agree(tastes, 0..4000, recall);
        }
        Trial::default().programs(2000, all);
    }
}
