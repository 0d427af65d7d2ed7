//! Loops that are being explored: their states' marks are not final before all paths through the loop are.
//!
//! A path that comes back to a state of the same loop and is covered by it ends there, but what the rest of the loop
//! asks of that state is not known yet. Such paths are kept as back edges until the loop is left, and then precision
//! travels along them until nothing changes.

use sandbpf_isa::Pc;

use super::Verifier;
use super::traced::Stretch;
use crate::error::Check;
use crate::state::{State, StateId};

/// The calls that lead to a loop, and its number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Callchain {
    calls: Vec<Pc>,
    scc: u32,
}

/// A loop that is being explored.
#[derive(Debug, Default)]
pub(super) struct Visit {
    entry: Option<StateId>,
    backedges: Vec<Backedge>,
    counted: u32,
}

/// A path that came back.
#[derive(Debug)]
struct Backedge {
    state: State,
    equal: StateId,
    /// What was asked of the state that covers it when that was handed on last.
    marks: Option<u32>,
}

/// How often precision travels around before all is taken for precise.
const MAX_ROUNDS: u32 = 64;

impl Verifier<'_> {
    /// The outermost loop that a state is in.
    fn callchain(&self, state: &State) -> Option<Callchain> {
        let scc = |frame: usize| self.graph.marks[state.frame_pc(frame).index()].scc;
        let frame = (0..state.frames.len()).find(|&frame| scc(frame) != 0)?;
        let calls = (0..frame).map(|outer| state.frame_pc(outer)).collect();
        Some(Callchain { calls, scc: scc(frame) })
    }

    /// A state is kept: it may be the first of a loop.
    pub(super) fn enter_loop(&mut self, id: StateId) {
        let Some(chain) = self.callchain(&self.kept_ref(id).state) else { return };
        self.visits.entry(chain).or_default().entry.get_or_insert(id);
    }

    /// No path leaves this state any more: if it was the first of a loop, the loop is done.
    pub(super) fn leave_loop(&mut self, id: StateId) -> Check {
        let Some(chain) = self.callchain(&self.kept_ref(id).state) else { return Ok(()) };
        let Some(visit) = self.visits.get_mut(&chain) else { return Ok(()) };
        if visit.entry != Some(id) {
            return Ok(());
        }
        visit.entry = None;
        let counted = std::mem::take(&mut visit.counted);
        let mut backedges = std::mem::take(&mut visit.backedges);
        // The marks are incomplete until this is through.
        self.backedges_now -= counted;
        self.update_peak();
        for round in 0.. {
            if round > MAX_ROUNDS {
                for backedge in &mut backedges {
                    self.all_precise_from(backedge.state.parent);
                }
                break;
            }
            self.is_affordable()?;
            let mut changed = false;
            for backedge in &mut backedges {
                let marks = Some(self.kept_ref(backedge.equal).marks);
                if backedge.marks == marks && !self.log.shows_traces() {
                    continue;
                }
                backedge.marks = marks;
                let state = &backedge.state;
                let stretch = Stretch::behind(state, &state.history);
                changed |= self.propagate_precision(backedge.equal, state.depth(), stretch, state.parent)?;
            }
            if !changed {
                break;
            }
        }
        Ok(())
    }

    /// A path came back to a state of a loop that is not done.
    pub(super) fn add_backedge(&mut self, equal: StateId, pc: Pc) {
        let Some(chain) = self.callchain(&self.kept_ref(equal).state) else { return };
        let mut state = self.cur.clone();
        state.pc = pc;
        state.weigh();
        let visit = self.visits.entry(chain).or_default();
        visit.backedges.push(Backedge { state, equal, marks: None });
        visit.counted += 1;
        self.backedges_now += 1;
        self.update_peak();
    }

    /// Whether more may come to be asked of a state.
    pub(super) fn is_incomplete(&self, state: &State) -> bool {
        if self.backedges_now == 0 {
            return false;
        }
        let Some(chain) = self.callchain(state) else { return false };
        self.visits.get(&chain).is_some_and(|visit| !visit.backedges.is_empty())
    }
}
