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
        let mut number = vec![u32::MAX; graph.blocks.len()];
        for (place, block) in order.iter().enumerate() {
            number[block.index()] = place as u32;
        }
        let incoming = Incoming::of(graph, &order);
        let mut immediate: Vec<Option<Block>> = vec![None; graph.blocks.len()];
        immediate[Block::ENTRY.index()] = Some(Block::ENTRY);
        let mut changed = true;
        while changed {
            changed = false;
            for &block in order.iter().skip(1) {
                let mut common: Option<Block> = None;
                for from in incoming.to(block).iter().map(|way| way.from) {
                    if immediate[from.index()].is_none() {
                        continue;
                    }
                    common = Some(match common {
                        None => from,
                        Some(mut a) => {
                            let mut b = from;
                            while a != b {
                                while number[a.index()] > number[b.index()] {
                                    a = immediate[a.index()].unwrap_or(Block::ENTRY);
                                }
                                while number[b.index()] > number[a.index()] {
                                    b = immediate[b.index()].unwrap_or(Block::ENTRY);
                                }
                            }
                            a
                        }
                    });
                }
                if immediate[block.index()] != common {
                    immediate[block.index()] = common;
                    changed = true;
                }
            }
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
