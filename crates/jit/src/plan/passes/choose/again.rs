//! Tests that were made just before: two choices by one test become one.
//!
//! ```text
//! b1: if lt32 v3, v4 then b2(v5) else b2(v6)     b1: v8 = add32 v5, 1
//! b2(v7):                                            if lt32 v3, v4 then b3(v8, v5) else b3(v9, v6)
//!     v8 = add32 v5, 1                           b3(v10, v11):
//!     if lt32 v3, v4 then b3(v8) else b3(v9)
//! b3(v10): … v7 …                                    … v11 …
//! ```
//!
//! A compiler whose machine has no conditional moves makes two branches of two choices.

use super::super::renames::Renames;
use crate::plan::graph::{Block, Edge, End, Graph, Op, Value};

/// Joins blocks whose test is that of the block before.
pub(super) fn again(graph: &mut Graph, order: &[Block], ways: &mut [u32]) {
    if !order.iter().any(|&block| second(graph, ways, block).is_some()) {
        return;
    }
    let seen = seen_elsewhere(graph, order);
    let mut renames = Renames::new(graph);
    for &block in order {
        while let Some(next) = second(graph, ways, block) {
            if !join(graph, ways, &seen, &mut renames, block, next) {
                break;
            }
        }
    }
    renames.apply(graph);
}

/// The block to which both ways lead, if it asks the same again.
fn second(graph: &Graph, ways: &[u32], block: Block) -> Option<Block> {
    let End::Branch { test, yes, no } = &graph.code(block).end else { return None };
    let next = yes.to;
    if next != no.to || next == block || next == Block::ENTRY || ways[next.index()] != 2 {
        return None;
    }
    let End::Branch { test: other, .. } = &graph.code(next).end else { return None };
    (test == other).then_some(next)
}

/// Parameters that are used in other blocks than their own.
fn seen_elsewhere(graph: &Graph, order: &[Block]) -> Vec<bool> {
    let mut seen = vec![false; graph.values.len()];
    for &block in order {
        let code = graph.code(block);
        let mut used = |value: Value| {
            if matches!(graph.op(value), Op::Param(home) if *home != block) {
                seen[value.index()] = true;
            }
        };
        code.body.iter().for_each(|&value| graph.op(value).uses(&mut used));
        code.end.uses(used);
    }
    seen
}

/// Joins a block with the next one; whether it could.
fn join(
    graph: &mut Graph,
    ways: &mut [u32],
    seen: &[bool],
    renames: &mut Renames,
    block: Block,
    next: Block,
) -> bool {
    let End::Branch { yes, no, .. } = graph.code(block).end.clone() else { return false };
    let code = graph.code(next);
    // What was renamed before has its new name at the end only.
    let is_param = |used: Value| code.params.contains(&renames.get(used));
    let mut reads = false;
    for &value in &code.body {
        graph.op(value).uses(|used| reads |= is_param(used));
    }
    let End::Branch { test, yes: mut further_yes, no: mut further_no } = code.end.clone() else {
        return false;
    };
    if reads || is_param(test.lhs) || is_param(test.rhs) {
        return false;
    }
    let params = code.params.clone();
    let many = params.iter().any(|param| seen.get(param.index()).is_none_or(|&seen| seen));
    let arms = [arm(graph, ways, &further_yes), arm(graph, ways, &further_no)];
    let meet = arms[0].as_ref().zip(arms[1].as_ref()).filter(|(a, b)| a.1 == b.1).map(|(a, _)| a.1);
    let meet = meet.filter(|&meet| ways[meet.index()] == 2 && meet != next && meet != block);
    if many && meet.is_none() {
        return false;
    }
    for (edge, given, arm) in [(&mut further_yes, &yes, &arms[0]), (&mut further_no, &no, &arms[1])] {
        let known = |value: Value| {
            let name = renames.get(value);
            let place = params.iter().position(|&param| param == name);
            place.map_or(value, |place| given.arguments[place])
        };
        edge.arguments.iter_mut().for_each(|value| *value = known(*value));
        if let (true, Some((middle, _))) = (many, arm) {
            if let Some(middle) = middle {
                for place in 0..graph.code(*middle).body.len() {
                    let value = graph.code(*middle).body[place];
                    graph.values[value.index()].uses_mut(|used| *used = known(*used));
                }
                let end = &mut graph.blocks[middle.index()].end;
                end.uses_mut(|used| *used = known(*used));
                end.edges_mut().for_each(|edge| edge.arguments.extend(&given.arguments));
            } else {
                edge.arguments.extend(&given.arguments);
            }
        }
    }
    if let (true, Some(meet)) = (many, meet) {
        for param in params {
            let other = graph.param(meet);
            renames.rename(param, other);
        }
    }
    let mut body = std::mem::take(&mut graph.blocks[next.index()].body);
    graph.blocks[next.index()].params.clear();
    graph.blocks[next.index()].end = End::Unreachable;
    ways[next.index()] = 0;
    let code = &mut graph.blocks[block.index()];
    code.body.append(&mut body);
    code.end = End::Branch { test, yes: further_yes, no: further_no };
    true
}

/// A block on the way, and where the way leads then.
fn arm(graph: &Graph, ways: &[u32], edge: &Edge) -> Option<(Option<Block>, Block)> {
    let code = graph.code(edge.to);
    if ways[edge.to.index()] != 1 {
        return Some((None, edge.to));
    }
    match &code.end {
        End::Jump(further) if code.params.is_empty() && edge.to != Block::ENTRY => {
            Some((Some(edge.to), further.to))
        }
        _ => None,
    }
}
