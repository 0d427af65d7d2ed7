//! The loops of a graph, and which is in which (Havlak: nesting of reducible and irreducible loops).
//!
//! A loop is a block, its head, and all that lead back to it without passing outside. Of a graph in which some loop can be entered
//! by two ways the loops found are too few or too small; nothing but speed depends on them.

use super::super::graph::{Block, End, Graph};

/// None: of a loop's parent, of a block that is not reached.
pub(crate) const NONE: u32 = u32::MAX;

/// A loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loop {
    pub(crate) head: Block,
    /// The loop around it.
    pub(crate) parent: u32,
    /// How many loops are around it, itself included.
    pub(crate) depth: u8,
    /// Whether all ways into it go through its head.
    pub(crate) one_way: bool,
}

/// The blocks of a graph in reverse postorder, who leads to whom, and the loops.
#[derive(Debug)]
pub(crate) struct Nest {
    pub(crate) order: Vec<Block>,
    /// For every block, its place in the order.
    pub(crate) number: Vec<u32>,
    pub(crate) loops: Vec<Loop>,
    /// For every block, the innermost loop that it is in.
    pub(crate) inside: Vec<u32>,
    /// For every block, where its predecessors start in `sources`.
    first: Vec<u32>,
    sources: Vec<Block>,
}

impl Nest {
    pub(crate) fn of(graph: &Graph) -> Nest {
        let (order, last) = walk(graph);
        let mut number = vec![NONE; graph.blocks.len()];
        for (place, block) in order.iter().enumerate() {
            number[block.index()] = place as u32;
        }
        let (first, sources) = predecessors(graph, &order);
        let inside = vec![NONE; graph.blocks.len()];
        let mut nest = Nest { order, number, loops: Vec::new(), inside, first, sources };
        nest.find(&last);
        nest
    }

    /// The blocks that lead to this one, one for each edge.
    pub(crate) fn predecessors(&self, block: Block) -> &[Block] {
        let at = block.index();
        &self.sources[self.first[at] as usize..self.first[at + 1] as usize]
    }

    /// How many loops are around a block.
    pub(crate) fn depth(&self, block: Block) -> u8 {
        self.loop_of(block).map_or(0, |found| self.loops[found as usize].depth)
    }

    /// The innermost loop around a block.
    pub(crate) fn loop_of(&self, block: Block) -> Option<u32> {
        Some(self.inside[block.index()]).filter(|&found| found != NONE)
    }

    /// Whether a block is in a loop.
    pub(crate) fn contains(&self, outer: u32, block: Block) -> bool {
        let mut at = self.inside[block.index()];
        while at != NONE && at != outer {
            at = self.loops[at as usize].parent;
        }
        at == outer
    }

    fn find(&mut self, last: &[u32]) {
        // For every block, the head of the largest loop found so far that it is in, or itself.
        let mut leader: Vec<u32> = (0..self.number.len() as u32).collect();
        let mut headed = vec![NONE; self.number.len()];
        let mut work: Vec<Block> = Vec::new();
        // Whether `block` comes after `head` in a way of the walk.
        let number = &self.number;
        let below = |head: Block, block: Block| {
            let at = number[block.index()];
            number[head.index()] <= at && at <= last[head.index()]
        };
        for place in (0..self.order.len()).rev() {
            let head = self.order[place];
            let range = self.first[head.index()] as usize..self.first[head.index() + 1] as usize;
            let mut back = false;
            for &from in &self.sources[range] {
                if below(head, from) {
                    back = true;
                    if from != head {
                        work.push(leading(&mut leader, from));
                    }
                }
            }
            if !back {
                continue;
            }
            let found = self.loops.len() as u32;
            self.loops.push(Loop { head, parent: NONE, depth: 0, one_way: true });
            headed[head.index()] = found;
            self.inside[head.index()] = found;
            while let Some(block) = work.pop() {
                if block == head || leader[block.index()] != block.0 {
                    continue;
                }
                leader[block.index()] = head.0;
                match headed[block.index()] {
                    NONE => self.inside[block.index()] = found,
                    inner => {
                        self.loops[inner as usize].parent = found;
                        // Ways into it past its head were not followed.
                        self.loops[found as usize].one_way &= self.loops[inner as usize].one_way;
                    }
                }
                let range = self.first[block.index()] as usize..self.first[block.index() + 1] as usize;
                for &from in &self.sources[range] {
                    if below(head, from) {
                        work.push(leading(&mut leader, from));
                    } else {
                        self.loops[found as usize].one_way = false;
                    }
                }
            }
        }
        // Loops around others were found after them.
        for at in (0..self.loops.len()).rev() {
            let above = match self.loops[at].parent {
                NONE => 0,
                parent => self.loops[parent as usize].depth,
            };
            self.loops[at].depth = above.saturating_add(1);
        }
    }
}

/// The head of the largest loop that a block is in.
fn leading(leader: &mut [u32], block: Block) -> Block {
    let mut at = block.0;
    while leader[at as usize] != at {
        let above = leader[at as usize];
        leader[at as usize] = leader[above as usize];
        at = above;
    }
    Block(at)
}

/// The blocks in reverse postorder, and for each the last place of the order that a walk went to from there.
fn walk(graph: &Graph) -> (Vec<Block>, Vec<u32>) {
    let count = graph.blocks.len();
    let mut seen = vec![false; count];
    let mut order = Vec::with_capacity(count);
    // How many blocks were done when the walk came to a block.
    let mut before = vec![0u32; count];
    let mut path: Vec<(Block, u8)> = vec![(Block::ENTRY, 0)];
    seen[0] = true;
    while let Some((block, followed)) = path.last_mut() {
        // The last that is followed comes first in the order: not what ends the run.
        let end = &graph.code(*block).end;
        let edge = match end {
            End::Branch { yes, no, .. } if returns(graph, no.to) && !returns(graph, yes.to) => {
                [no, yes].get(usize::from(*followed)).copied()
            }
            _ => end.edges().nth(usize::from(*followed)),
        };
        *followed += 1;
        match edge.map(|edge| edge.to) {
            Some(to) if !seen[to.index()] => {
                seen[to.index()] = true;
                before[to.index()] = order.len() as u32;
                path.push((to, 0));
            }
            Some(_) => {}
            None => {
                order.push(*block);
                path.pop();
            }
        }
    }
    let done = order.len() as u32;
    order.reverse();
    let mut last = before;
    for block in &order {
        last[block.index()] = done - 1 - last[block.index()];
    }
    (order, last)
}

/// Whether a block does little else than end the run.
fn returns(graph: &Graph, block: Block) -> bool {
    let code = graph.code(block);
    match &code.end {
        End::Return(_) => true,
        End::Jump(edge) => {
            let next = graph.code(edge.to);
            matches!(next.end, End::Return(_)) && next.body.is_empty()
        }
        End::Branch { .. } | End::Unreachable => false,
    }
}

fn predecessors(graph: &Graph, order: &[Block]) -> (Vec<u32>, Vec<Block>) {
    let mut first = vec![0u32; graph.blocks.len() + 1];
    for block in order {
        for edge in graph.code(*block).end.edges() {
            first[edge.to.index() + 1] += 1;
        }
    }
    for at in 1..first.len() {
        first[at] += first[at - 1];
    }
    let mut free = first.clone();
    let mut sources = vec![Block::ENTRY; first[first.len() - 1] as usize];
    for block in order {
        for edge in graph.code(*block).end.edges() {
            let at = &mut free[edge.to.index()];
            sources[*at as usize] = *block;
            *at += 1;
        }
    }
    (first, sources)
}
