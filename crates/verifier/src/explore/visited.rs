//! Whether a state was seen before, and whether it is kept for those that come later (`is_state_visited`).

use sandbpf_isa::{Insn, Pc};

use super::covers::Exact;
use super::lists::Listed;
use super::traced::Stretch;
use super::{Kept, Verifier};
use crate::error::{Check, refuse};
use crate::print::Shown;
use crate::state::{IterState, Kind, StateId, Touched, cost, slot_of};

/// A path's history does not grow beyond this without a state being kept.
const LONG_HISTORY: usize = 40;

enum Found {
    No,
    /// A state that covers the current one; `true` if it is part of a loop that is not done.
    Covered(bool),
}

impl Verifier<'_> {
    /// Whether a state that was kept here covers the current one; if not, the current one may be kept.
    pub(super) fn is_visited(&mut self) -> Check<bool> {
        let pc = self.pc;
        let marks = self.graph.marks[pc.index()];
        let force = self.rights.test_state_freq || marks.checkpoint || self.cur.history.len() > LONG_HISTORY;
        let processed = self.statistics.processed;
        let jumps_since = self.jumps - self.last_jumps;
        let insns_since = processed - self.last_processed;
        let mut keep = force || (jumps_since >= 2 && insns_since >= 8);
        let bucket = self.bucket(pc);
        self.clean_states(pc, bucket);
        let mut seen = 0;
        cost::work(self.buckets[bucket].len());
        // A state that is given up leaves those that are still to be looked at where they are.
        for at in (0..self.buckets[bucket].len()).rev() {
            seen += 1;
            let listed = &self.buckets[bucket][at];
            if listed.pc != pc {
                continue;
            }
            let id = listed.id;
            if listed.cleaned && !self.still_covers(bucket, at) {
                self.missed(bucket, at, keep, marks.checkpoint);
                continue;
            }
            let found =
                if self.came_alike(&self.buckets[bucket][at]) { self.compare(id, pc)? } else { Found::No };
            if let Found::Covered(in_loop) = found {
                self.buckets[bucket][at].hits += 1;
                self.covered_by(id, pc, in_loop)?;
                return Ok(true);
            }
            if let Some(place) = self.differed.take().filter(|_| self.buckets[bucket][at].cleaned) {
                self.buckets[bucket][at].differed = self.held_at(id, place).map(|held| (place, held));
            }
            let open = self.kept_ref(id).state.branches > 0;
            if open && !force && jumps_since < 20 && insns_since < 100 {
                keep = false;
            }
            self.missed(bucket, at, keep, marks.checkpoint);
        }
        self.statistics.max_states_per_insn = self.statistics.max_states_per_insn.max(seen);
        if (!self.rights.bpf && seen > self.env.limits.states_per_insn) || !keep {
            return Ok(false);
        }
        self.keep(pc);
        Ok(false)
    }

    /// Whether a state came by the same calls as the current one.
    fn came_alike(&self, listed: &Listed) -> bool {
        let cur = &self.cur;
        listed.callsite == cur.current().callsite
            && usize::from(listed.frames) == cur.frames.len()
            && (listed.frames == 1 || self.kept_ref(listed.id).state.same_callsites(cur))
    }

    /// Compares the current state with one that was kept and came by the same calls.
    fn compare(&mut self, id: StateId, pc: Pc) -> Check<Found> {
        if self.kept_ref(id).state.branches == 0 {
            let incomplete = self.is_incomplete(&self.kept_ref(id).state);
            let exact = if incomplete { Exact::RangeWithin } else { Exact::No };
            return Ok(if self.covers(id, exact) { Found::Covered(incomplete) } else { Found::No });
        }
        let marks = self.graph.marks[pc.index()];
        let old = &self.kept_ref(id).state;
        let entered_anew = {
            let (frame, cur) = (old.current(), self.cur.current());
            frame.in_async && frame.async_entry != cur.async_entry
        };
        if entered_anew {
            return Ok(Found::No);
        }
        if marks.iter_next {
            if self.covers(id, Exact::RangeWithin) && self.iterator_is_active() {
                return Ok(Found::Covered(true));
            }
            return Ok(Found::No);
        }
        let old_depth = old.may_goto_depth;
        let old_unroll = old.callback_unroll;
        if matches!(self.program.insns()[pc.index()], Insn::MayGoto { .. })
            && old_depth != self.cur.may_goto_depth
            && self.covers(id, Exact::RangeWithin)
        {
            return Ok(Found::Covered(true));
        }
        if marks.calls_callback {
            return Ok(if self.covers(id, Exact::RangeWithin) { Found::Covered(false) } else { Found::No });
        }
        if self.may_be_looping(id)
            && self.covers(id, Exact::Same)
            && !self.iterators_advanced(id)
            && old_depth == self.cur.may_goto_depth
            && old_unroll == self.cur.callback_unroll
        {
            let old = &self.kept_ref(id).state;
            let shown = |state| crate::print::state(self.env, state, self.cur.depth(), Shown::ALL);
            refuse!(
                Inval,
                "infinite loop detected at insn {}\ncur state:{}\nold state:{}",
                self.slot(pc),
                shown(&self.cur),
                shown(old)
            );
        }
        Ok(Found::No)
    }

    /// Whether the iterator behind `r1` may give more.
    fn iterator_is_active(&self) -> bool {
        let reg = &self.cur.current().regs[1];
        let off = reg.off.wrapping_add(reg.num.var_off.value as i32);
        let Some(frame) = self.cur.frames.get(usize::from(reg.frame)) else { return false };
        if reg.kind != Kind::Stack || off >= 0 {
            return false;
        }
        let slot = frame.stack.get(slot_of(off));
        matches!(slot, Some(slot) if matches!(slot.reg.kind, Kind::Iter { state: IterState::Active, .. }))
    }

    /// Whether an active iterator was advanced since a state was kept.
    fn iterators_advanced(&self, id: StateId) -> bool {
        let old = &self.kept_ref(id).state;
        old.frames.iter().zip(&self.cur.frames).any(|(old, cur)| {
            old.stack.iter().enumerate().any(|(at, slot)| match slot.reg.kind {
                Kind::Iter { state: IterState::Active, depth, .. } => {
                    match cur.stack.get(at).map(|slot| slot.reg.kind) {
                        Some(Kind::Iter { depth: now, .. }) => now != depth,
                        _ => true,
                    }
                }
                _ => false,
            })
        })
    }

    /// Whether all registers of the frame are the same (`states_maybe_looping`).
    fn may_be_looping(&mut self, id: StateId) -> bool {
        let kept = self.kept_ref(id);
        if kept.state.frames.len() != self.cur.frames.len() {
            return false;
        }
        let (old, cur) = (&kept.state.current().regs, &self.cur.current().regs);
        let differs = |at: &u8| {
            let (a, b) = (&old[usize::from(*at)], &cur[usize::from(*at)]);
            a.id != b.id || a.ref_id != b.ref_id || !a.same_but_ids(b)
        };
        // What differed last time differs most often again.
        if kept.differed.as_ref().is_some_and(differs) {
            return false;
        }
        let Some(at) = (0..old.len() as u8).find(differs) else { return true };
        self.kept_mut(id).differed = Some(at);
        false
    }

    /// The current state is covered: what is precise in the other must be so here.
    fn covered_by(&mut self, id: StateId, pc: Pc, in_loop: bool) -> Check {
        if self.graph.marks[pc.index()].jump {
            self.write_step(Touched::default(), 0);
        }
        let history = std::mem::take(&mut self.cur.history);
        let (depth, parent) = (self.cur.depth(), self.cur.parent);
        let propagated = self.propagate_precision(id, depth, Stretch::behind(&self.cur, &history), parent);
        self.cur.history = history;
        propagated?;
        if in_loop {
            self.add_backedge(id, pc);
        }
        Ok(())
    }

    /// A state did not help; if it does so too often it is given up.
    fn missed(&mut self, bucket: usize, at: usize, keep: bool, checkpoint: bool) {
        let listed = &mut self.buckets[bucket][at];
        if keep {
            listed.misses += 1;
        }
        let (id, hits, misses) = (listed.id, listed.hits, listed.misses);
        if misses <= hits * 3 + 3 {
            return;
        }
        if checkpoint && self.kept_ref(id).state.branches > 0 && misses <= hits * 64 + 64 {
            return;
        }
        self.kept_mut(id).retired = true;
        self.buckets[bucket].remove(at);
        self.kept_now -= 1;
        self.retired_now += 1;
        self.drop_retired(id);
    }

    /// Keeps the current state.
    fn keep(&mut self, pc: Pc) {
        self.statistics.total_states += 1;
        self.kept_now += 1;
        self.update_peak();
        self.last_jumps = self.jumps;
        self.last_processed = self.statistics.processed;
        if self.rights.bpf {
            // Precision that was inherited is asked for again where it matters.
            self.cur.forget_precise();
        }
        let history = std::mem::take(&mut self.cur.history);
        let mut state = self.cur.clone();
        state.history = history;
        state.pc = pc;
        state.weigh();
        self.traced.forget();
        let id = StateId(self.kept.len() as u32);
        self.kept.push(Some(Box::new(Kept {
            state,
            marks: 0,
            differed: None,
            all_precise: false,
            retired: false,
        })));
        self.enter_loop(id);
        self.cur.parent = Some(id);
        self.cur.first = pc;
        self.cur.dfs += 1;
        let callsite = self.cur.current().callsite;
        let frames = self.cur.frames.len() as u8;
        let place = self.bucket_place(pc);
        self.buckets.of(place).push(Listed {
            pc,
            id,
            callsite,
            frames,
            hits: 0,
            misses: 0,
            cleaned: false,
            differed: None,
        });
    }

    /// Takes out of final states what nobody can read any more (`clean_live_states`).
    fn clean_states(&mut self, pc: Pc, bucket: usize) {
        for at in 0..self.buckets[bucket].len() {
            let listed = &self.buckets[bucket][at];
            if listed.pc != pc || listed.cleaned {
                continue;
            }
            cost::work(1);
            let id = listed.id;
            let state = &self.kept_ref(id).state;
            if state.branches > 0 || !self.came_alike(listed) || self.is_incomplete(state) {
                continue;
            }
            let Some(mut kept) = self.kept[id.0 as usize].take() else { continue };
            self.clean(&mut kept.state);
            self.kept[id.0 as usize] = Some(kept);
            self.buckets[bucket][at].cleaned = true;
        }
    }
}
