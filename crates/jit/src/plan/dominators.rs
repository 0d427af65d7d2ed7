//! Which block stands on every way to which (Cooper, Harvey, Kennedy: a simple, fast dominance algorithm).

use super::graph::{Block, Graph};
use super::passes::incoming::Incoming;

/// The dominators of a graph as it was.
#[derive(Debug)]
pub(crate) struct Dominators {
    /// For every block, the last that stands on all ways to it; of the first, itself.
    immediate: Vec<Option<Block>>,
    /// For every block, the interval of a walk through the tree in which its own are.
    interval: Vec<(u32, u32)>,
    /// The blocks in reverse postorder.
    pub(crate) order: Vec<Block>,
}

impl Dominators {
    pub(crate) fn of(graph: &Graph) -> Dominators {
        let order = graph.order();
        let incoming = Incoming::of(graph, &order);
        Dominators::new(order, &incoming)
    }

    /// The same, of these blocks in reverse postorder, and their edges.
    pub(crate) fn new(order: Vec<Block>, incoming: &Incoming) -> Dominators {
        // Blocks by their places in the order: what dominates stands before.
        const NONE: u32 = u32::MAX;
        let mut place = vec![NONE; incoming.blocks()];
        for (at, block) in order.iter().enumerate() {
            place[block.index()] = at as u32;
        }
        let mut above = vec![NONE; order.len()];
        above[0] = 0;
        loop {
            let (mut changed, mut back) = (false, false);
            for (at, &block) in order.iter().enumerate().skip(1) {
                let mut common = NONE;
                for way in incoming.to(block) {
                    let mut from = place[way.from.index()];
                    back |= from >= at as u32;
                    if above[from as usize] == NONE {
                        continue;
                    }
                    if common == NONE {
                        common = from;
                    }
                    while common != from {
                        if common > from {
                            common = above[common as usize];
                        } else {
                            from = above[from as usize];
                        }
                    }
                }
                changed |= above[at] != common;
                above[at] = common;
            }
            // Without ways back, all that counts was there before.
            if !changed || !back {
                break;
            }
        }
        let mut immediate = vec![None; incoming.blocks()];
        for (&block, &above) in order.iter().zip(&above) {
            immediate[block.index()] = Some(order[above as usize]);
        }
        let interval = intervals(&order, &immediate);
        Dominators { immediate, interval, order }
    }

    /// The last block that stands on all ways to this one; none of the first.
    pub(crate) fn immediate(&self, block: Block) -> Option<Block> {
        self.immediate[block.index()].filter(|&above| above != block)
    }

    /// The blocks in the order of a walk through the tree: all below a block stand right behind it.
    pub(crate) fn tree(&self) -> Vec<Block> {
        let mut tree = vec![Block::ENTRY; self.order.len()];
        for &block in &self.order {
            tree[self.interval[block.index()].0 as usize] = block;
        }
        tree
    }

    /// Whether `above` stands on all ways to `block`, or is it.
    pub(crate) fn dominates(&self, above: Block, block: Block) -> bool {
        let (from, to) = self.interval[above.index()];
        let (at, _) = self.interval[block.index()];
        from <= at && at < to
    }
}

/// Numbers the tree so that everything below a block lies in its interval.
fn intervals(order: &[Block], immediate: &[Option<Block>]) -> Vec<(u32, u32)> {
    // How many stand below each, itself included: children come after their parents in the order.
    let mut size = vec![1u32; immediate.len()];
    for &block in order.iter().skip(1).rev() {
        if let Some(above) = immediate[block.index()] {
            size[above.index()] += size[block.index()];
        }
    }
    let mut interval = vec![(u32::MAX, 0); immediate.len()];
    let mut free = vec![0u32; immediate.len()];
    for &block in order {
        let above = immediate[block.index()].filter(|&above| above != block);
        let start = above.map_or(0, |above| free[above.index()]);
        if let Some(above) = above {
            free[above.index()] += size[block.index()];
        }
        interval[block.index()] = (start, start + size[block.index()]);
        free[block.index()] = start + 1;
    }
    interval
}
