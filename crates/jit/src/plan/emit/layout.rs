//! Where blocks lie: in an order in which loops keep together and most ways on are the next block.
//!
//! Reverse postorder, but a loop's blocks stand together where its head is. A loop whose test is at the top and whose last
//! block jumps back has its head put last: the jump becomes the test. What seldom runs lies behind everything else.

use super::super::graph::{Block, End, Graph};
use super::nest::{NONE, Nest};

/// The order of blocks in code.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) order: Vec<Block>,
    /// For every block, its place.
    pub(crate) place: Vec<u32>,
    /// For every loop, the first and last place of its blocks that are not cold.
    pub(crate) spans: Vec<(u32, u32)>,
}

/// A part of the order: a block, or a loop.
#[derive(Clone, Copy)]
enum Part {
    Block(Block),
    Loop(u32),
}

impl Layout {
    pub(crate) fn of(graph: &Graph, nest: &Nest) -> Layout {
        let mut order = Vec::with_capacity(nest.order.len());
        if nest.loops.is_empty() {
            order.extend_from_slice(&nest.order);
        } else {
            gather(graph, nest, &mut order);
        }
        let cold = |block: &Block| {
            let code = graph.code(*block);
            (code.cold || code.end == End::Unreachable) && *block != Block::ENTRY
        };
        if order.iter().any(cold) {
            let behind: Vec<Block> = order.iter().copied().filter(cold).collect();
            order.retain(|block| !cold(block));
            order.extend(behind);
        }
        let mut place = vec![NONE; graph.blocks.len()];
        let mut spans = vec![(NONE, 0); nest.loops.len()];
        for (at, &block) in order.iter().enumerate() {
            place[block.index()] = at as u32;
            if cold(&block) {
                continue;
            }
            let mut around = nest.inside[block.index()];
            while around != NONE {
                let span = &mut spans[around as usize];
                *span = (span.0.min(at as u32), at as u32);
                around = nest.loops[around as usize].parent;
            }
        }
        Layout { order, place, spans }
    }
}

/// Puts loops together.
fn gather(graph: &Graph, nest: &Nest, order: &mut Vec<Block>) {
    // The parts of every loop, and of what is in none, as lists.
    let loops = nest.loops.len();
    let mut heads = vec![NONE; loops + 1];
    let mut tails = vec![NONE; loops + 1];
    let mut parts: Vec<(Part, u32)> = Vec::with_capacity(nest.order.len() + loops);
    let list = |found: u32| if found == NONE { loops } else { found as usize };
    let mut append = |list: usize, part: Part| {
        let at = parts.len() as u32;
        parts.push((part, NONE));
        match tails[list] {
            NONE => heads[list] = at,
            tail => parts[tail as usize].1 = at,
        }
        tails[list] = at;
    };
    for &block in &nest.order {
        let found = nest.inside[block.index()];
        if found != NONE && nest.loops[found as usize].head == block {
            append(list(nest.loops[found as usize].parent), Part::Loop(found));
        }
        append(list(found), Part::Block(block));
    }
    // Lists that were begun: the next part, and where the loop began.
    let mut open: Vec<(u32, u32, usize)> = vec![(heads[loops], NONE, 0)];
    while let Some((next, found, start)) = open.last_mut() {
        if *next == NONE {
            if *found != NONE {
                rotate(graph, nest, *found, &mut order[*start..]);
            }
            open.pop();
            continue;
        }
        let (part, after) = parts[*next as usize];
        *next = after;
        match part {
            Part::Block(block) => order.push(block),
            Part::Loop(inner) => open.push((heads[inner as usize], inner, order.len())),
        }
    }
}

/// Puts the head of a loop last, if it decides whether the loop goes on and the last block jumps to it; or first the blocks where
/// several ways of a round meet before they go back: then the head is next.
fn rotate(graph: &Graph, nest: &Nest, found: u32, blocks: &mut [Block]) {
    let head = nest.loops[found as usize].head;
    if let Some(count) = tail(graph, nest, head, blocks) {
        return blocks.rotate_right(count);
    }
    let (Some(&first), Some(&last)) = (blocks.first(), blocks.last()) else { return };
    let End::Branch { yes, no, .. } = &graph.code(head).end else { return };
    let leaves = |to: Block| !nest.contains(found, to);
    let jumps = matches!(&graph.code(last).end, End::Jump(edge) if edge.to == head);
    if first == head && last != head && head != Block::ENTRY && jumps && leaves(yes.to) != leaves(no.to) {
        blocks.rotate_left(1);
    }
}

/// How many blocks at the end of a loop follow one another, the first of them where ways meet, and the last before the head.
fn tail(graph: &Graph, nest: &Nest, head: Block, blocks: &[Block]) -> Option<usize> {
    const LONGEST: usize = 3;
    let (&first, &last) = (blocks.first()?, blocks.last()?);
    let leads = |from: Block, to: Block| graph.code(from).end.edges().any(|edge| edge.to == to);
    if first != head || head == Block::ENTRY || !leads(last, head) || graph.code(last).cold {
        return None;
    }
    for count in 1..=LONGEST.min(blocks.len() - 1) {
        let at = blocks.len() - count;
        match nest.predecessors(blocks[at]) {
            [only] if *only == blocks[at - 1] => {}
            [] | [_] => return None,
            _ => return Some(count).filter(|_| at > 1),
        }
    }
    None
}
