//! Which registers matter where.

use sandbpf_isa::{Reg, RegSet};

use super::blocks::{BlockId, Blocks, Flow, Step};

/// The registers whose values matter before each block.
#[derive(Debug)]
pub(crate) struct Live {
    before: Vec<RegSet>,
}

impl Live {
    pub(crate) fn of(blocks: &Blocks, flow: &Flow) -> Live {
        let mut live = Live { before: vec![RegSet::EMPTY; blocks.blocks.len()] };
        while live.look(blocks, flow) {}
        live
    }

    /// Goes from the end to the start; whether that must be done again, for a loop had not known its end.
    fn look(&mut self, blocks: &Blocks, flow: &Flow) -> bool {
        let mut again = false;
        for &id in flow.order.iter().rev() {
            let mut live = self.at_end(blocks, id);
            for step in blocks.steps(id).iter().rev() {
                live = before(blocks, step, live);
            }
            again |= flow.heads[id.index()] && live != self.before[id.index()];
            self.before[id.index()] = live;
        }
        again
    }

    /// What matters before a block.
    pub(crate) fn before(&self, id: BlockId) -> RegSet {
        self.before[id.index()]
    }

    /// Corrects what matters before a block, which may not be more than it was.
    pub(crate) fn set(&mut self, id: BlockId, before: RegSet) {
        self.before[id.index()] = before;
    }

    /// What matters behind a block's decision, wherever it leads.
    pub(crate) fn behind(&self, blocks: &Blocks, id: BlockId) -> RegSet {
        let mut live = RegSet::EMPTY;
        blocks.each_edge(blocks.end(id), |edge| live = live.union(self.before[edge.to.index()]));
        live
    }

    /// What matters before a block's decision.
    pub(crate) fn at_end(&self, blocks: &Blocks, id: BlockId) -> RegSet {
        self.behind(blocks, id).union(blocks.read_at_end(blocks.end(id)))
    }
}

/// What matters before a step, if this does behind it.
pub(crate) fn before(blocks: &Blocks, step: &Step, live: RegSet) -> RegSet {
    let addresses = blocks.pointers.union(RegSet::of(Reg::R10));
    live.without(step.writes()).union(step.reads().without(addresses))
}
