//! Which states to visit, and when one is covered by another that was seen before.
//!
//! Exploring knows paths, not values: what an instruction asks and does is the business of [`check`](crate::check),
//! when one value covers another that of [`covers`].

pub(crate) mod covers;
pub(crate) mod linked;
mod lists;
mod loops;
pub(crate) mod precision;
pub(crate) mod stack_life;
mod start;
mod traced;
mod visited;
mod wanted;

use std::collections::HashMap;

use sandbpf_isa::{Pc, Program};

use crate::cfg::Graph;
use crate::check::known::Known;
use crate::environment::{Environment, Rights};
use crate::error::{Check, Errno, Refusal, Rejection, refuse};
use crate::log::Log;
use crate::state::cost::{self, Charge};
use crate::state::{Frame, Refs, Shared, State, StateId, Step, Touched};
use crate::states::States;
use lists::Lists;
use loops::{Callchain, Visit};
use stack_life::StackLife;

/// How much work it was (`log_level` 4 of Linux).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Instructions processed, over all paths.
    pub processed: u32,
    /// The most states seen at one instruction.
    pub max_states_per_insn: u32,
    /// States that were kept.
    pub total_states: u32,
    /// The most that were kept at a time.
    pub peak_states: u32,
}

/// A state that was kept.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) state: State,
    /// How often more of its numbers became precise.
    marks: u32,
    /// The register in which the state differed that it was compared with last, as long as it was not final.
    differed: Option<u8>,
    /// All of them are, and those of all states that it came from.
    all_precise: bool,
    /// Taken out of the list of its instruction, alive only because paths from it are.
    retired: bool,
}

/// A path that waits to be explored.
struct Pending {
    state: State,
    pc: Pc,
    prev: Option<Pc>,
    log_mark: usize,
}

/// What an instruction does with the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Go {
    /// On to the next instruction.
    Next,
    /// On to this one.
    To(Pc),
    /// The path ends.
    End,
}

/// The verifier at work.
pub(crate) struct Verifier<'v> {
    pub(crate) program: &'v Program,
    pub(crate) env: &'v Environment<'v>,
    pub(crate) rights: Rights,
    pub(crate) graph: Graph,
    pub(crate) cur: State,
    pub(crate) pc: Pc,
    pub(crate) prev: Option<Pc>,
    pub(crate) next_id: u32,
    pub(crate) known: Known,
    pub(crate) life: StackLife,
    pub(crate) log: Log,
    pub(crate) statistics: Statistics,
    pub(crate) states: Option<States>,
    /// Whether the instruction at hand has an entry in the history.
    step_written: bool,
    pending: Vec<Pending>,
    pub(crate) kept: Vec<Option<Box<Kept>>>,
    /// The states that were kept, by instruction and caller: in so many buckets, each with the newest last.
    buckets: Lists,
    kept_now: u32,
    retired_now: u32,
    backedges_now: u32,
    jumps: u32,
    last_jumps: u32,
    last_processed: u32,
    visits: HashMap<Callchain, Visit>,
    ids: covers::IdMap,
    /// Where the states differed that were compared last, if it was in one place.
    differed: Option<linked::Place>,
    traced: traced::Traced,
    /// What this thread held and had done before.
    held_before: usize,
    done_before: u64,
}

impl<'v> Verifier<'v> {
    pub(crate) fn new(program: &'v Program, env: &'v Environment<'v>, graph: Graph) -> Self {
        let functions = program.functions().len();
        let insns = program.len();
        Verifier {
            program,
            env,
            rights: env.rights(),
            graph,
            cur: entry_state(Pc(0), 0),
            pc: Pc(0),
            prev: None,
            next_id: 0,
            known: Known::new(insns, functions),
            life: StackLife::default(),
            log: Log::new(env.log_level),
            statistics: Statistics::default(),
            states: env.keeps_states.then(|| States::new(insns)),
            step_written: false,
            pending: Vec::new(),
            kept: Vec::new(),
            buckets: Lists::new(program.slot_count() as usize),
            kept_now: 0,
            retired_now: 0,
            backedges_now: 0,
            jumps: 0,
            last_jumps: 0,
            last_processed: 0,
            visits: HashMap::new(),
            ids: covers::IdMap::default(),
            differed: None,
            traced: traced::Traced::new(program),
            held_before: cost::held(),
            done_before: cost::done(),
        }
    }

    /// A new id.
    pub(crate) fn fresh_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// An instruction's number in the kernel's counting.
    pub(crate) fn slot(&self, pc: Pc) -> u32 {
        self.program.slot(pc)
    }

    /// Explores all paths from the state that is current (`do_check`).
    pub(crate) fn explore(&mut self, start: Pc) -> Result<(), Box<Rejection>> {
        self.pc = start;
        self.prev = None;
        self.log.all_changed();
        let mut print_state = false;
        loop {
            let ended = match self.step(&mut print_state) {
                Ok(ended) => ended,
                Err(refusal) => return Err(self.rejection(*refusal)),
            };
            if !ended {
                continue;
            }
            self.log.all_changed();
            let finished = self.end_path().map(|()| {
                self.life.update(self.program, &self.graph, &self.cur);
                self.pop()
            });
            match finished {
                Ok(true) => print_state = true,
                Ok(false) => return Ok(()),
                Err(refusal) => return Err(self.rejection(*refusal)),
            }
        }
    }

    fn rejection(&self, refusal: Refusal) -> Box<Rejection> {
        Box::new(Rejection {
            errno: refusal.errno,
            pc: Some(self.pc),
            message: refusal.message,
            path: self.path(),
        })
    }

    /// The jumps by which the current state was reached, the first first.
    fn path(&self) -> Vec<(Pc, Pc)> {
        let mut path = Vec::new();
        let mut state = Some(&self.cur);
        while let Some(at) = state {
            path.extend(
                at.history
                    .iter()
                    .rev()
                    // The first instruction has none before it.
                    .filter(|step| step.prev.index() < self.program.len() && step.prev.0 + 1 != step.pc.0)
                    .map(|step| (step.prev, step.pc)),
            );
            state =
                at.parent.and_then(|parent| self.kept[parent.0 as usize].as_deref()).map(|kept| &kept.state);
        }
        path.reverse();
        path
    }

    /// One instruction; whether the path ended.
    fn step(&mut self, print_state: &mut bool) -> Check<bool> {
        self.step_written = false;
        self.statistics.processed += 1;
        if self.statistics.processed > self.env.limits.processed {
            refuse!(TooBig, "BPF program is too large. Processed {} insn", self.statistics.processed);
        }
        // Few instructions take little: not every one is asked.
        if self.statistics.processed.is_multiple_of(8) {
            self.is_affordable()?;
        }
        self.cur.last = self.prev;
        self.cur.pc = self.pc;
        let marks = self.graph.marks[self.pc.index()];
        if marks.prune && self.is_visited()? {
            if self.log.shows_insns() {
                self.log_safe(*print_state);
            }
            return Ok(true);
        }
        if marks.jump {
            self.write_step(Touched::default(), 0);
        }
        if self.log.shows_insns() {
            self.log_insn(print_state);
        }
        let pc = self.pc;
        if self.cur.speculative && self.known.stops_speculation[pc.index()] {
            return Ok(true);
        }
        self.life.start(self.program, &self.cur, pc);
        if let Some(states) = self.states.as_mut().filter(|_| !self.cur.speculative) {
            states.add(pc, &self.cur.current().regs, self.graph.marks[pc.index()].live);
        }
        let done = self.check_insn();
        if done.is_ok() && self.log.shows_insns() {
            self.log_touched();
        }
        let recoverable = matches!(&done, Err(refusal) if is_recoverable(refusal.errno));
        if done.is_ok() || recoverable {
            self.life.commit();
        }
        self.prev = Some(pc);
        match done {
            Err(_) if recoverable && self.cur.speculative => {
                // The guess is never made: a barrier stands before the instruction.
                self.known.stops_speculation[pc.index()] = true;
                self.known.masked.remove(&pc);
                Ok(true)
            }
            Err(refusal) => {
                self.prev = None;
                Err(refusal)
            }
            Ok(Go::End) => Ok(true),
            Ok(go) => {
                self.pc = match go {
                    Go::To(to) => to,
                    _ => Pc(pc.0 + 1),
                };
                if self.pc.index() >= self.program.len() {
                    let slots = self.program.slot_count();
                    refuse!(Fault, "invalid insn idx {slots} insn_cnt {slots}");
                }
                Ok(self.cur.speculative && self.known.stops_after[pc.index()])
            }
        }
    }

    /// Whether there is memory and time for more. Linux takes what it gets of both.
    pub(crate) fn is_affordable(&self) -> Check {
        if cost::held().wrapping_sub(self.held_before) > self.env.limits.memory {
            refuse!(NoMem, "the states of the program take too much memory");
        }
        if cost::done().wrapping_sub(self.done_before) > self.env.limits.work {
            refuse!(TooBig, "the states of the program take too much work");
        }
        Ok(())
    }

    /// Counts a jump, which the heuristics for keeping states look at.
    pub(crate) fn count_jump(&mut self) {
        self.jumps += 1;
    }

    /// Puts a path aside, to be explored later (`push_stack`).
    pub(crate) fn push(&mut self, pc: Pc, prev: Pc, speculative: bool) -> Check<&mut State> {
        let mut state = self.cur.clone();
        state.speculative |= speculative;
        self.push_state(state, pc, prev)
    }

    /// Puts this state aside.
    pub(crate) fn push_state(&mut self, state: State, pc: Pc, prev: Pc) -> Check<&mut State> {
        self.push_state_or(Errno::Fault, state, pc, prev)
    }

    /// Puts this state aside; Linux has not one error number for what is one too many.
    pub(crate) fn push_state_or(
        &mut self,
        errno: Errno,
        state: State,
        pc: Pc,
        prev: Pc,
    ) -> Check<&mut State> {
        if let Some(parent) = state.parent {
            self.kept_mut(parent).state.branches += 1;
        }
        let mut state = state;
        state.weigh();
        self.pending.push(Pending { state, pc, prev: Some(prev), log_mark: self.log.mark() });
        if self.pending.len() > self.env.limits.pending {
            let message = format!("The sequence of {} jumps is too complex.", self.pending.len());
            return Err(Box::new(Refusal { errno, message }));
        }
        let last = self.pending.len() - 1;
        Ok(&mut self.pending[last].state)
    }

    /// Takes up the path that was put aside last; false when there is none.
    fn pop(&mut self) -> bool {
        let Some(next) = self.pending.pop() else { return false };
        self.cur = next.state;
        self.traced.forget();
        self.pc = next.pc;
        self.prev = next.prev;
        self.log.back_to(next.log_mark);
        true
    }

    pub(crate) fn kept_mut(&mut self, id: StateId) -> &mut Kept {
        match self.kept[id.0 as usize].as_deref_mut() {
            Some(kept) => kept,
            // A state lives as long as paths from it do.
            None => unreachable!("a state that others came from was dropped"),
        }
    }

    pub(crate) fn kept_ref(&self, id: StateId) -> &Kept {
        match self.kept[id.0 as usize].as_deref() {
            Some(kept) => kept,
            None => unreachable!("a state that others came from was dropped"),
        }
    }

    /// A path has ended: states that no path leaves any more are final (`update_branch_counts`).
    fn end_path(&mut self) -> Check {
        self.cur.branches -= 1;
        if self.cur.branches > 0 {
            return Ok(());
        }
        let mut next = self.cur.parent;
        let mut child: Option<StateId> = None;
        // The current state itself is no checkpoint, but may be the last that leaves a loop.
        while let Some(id) = next {
            let kept = self.kept_mut(id);
            kept.state.branches -= 1;
            if kept.state.branches > 0 {
                break;
            }
            self.leave_loop(id)?;
            next = self.kept_ref(id).state.parent;
            if let Some(child) = child {
                self.drop_retired(child);
            }
            child = Some(id);
        }
        Ok(())
    }

    /// Drops a state that is in no list any more and that no path leaves.
    fn drop_retired(&mut self, id: StateId) {
        let kept = self.kept_ref(id);
        if kept.retired && kept.state.branches == 0 && !self.is_incomplete(&kept.state) {
            self.kept[id.0 as usize] = None;
            self.retired_now -= 1;
        }
    }

    /// The states that were kept at an instruction, the newest first.
    pub(crate) fn states_at(&self, pc: Pc) -> impl Iterator<Item = StateId> + '_ {
        let bucket = self.buckets[self.bucket(pc)].iter().rev();
        bucket.filter(move |listed| listed.pc == pc).map(|listed| listed.id)
    }

    /// The list of states at this instruction, if there is one.
    fn bucket(&self, pc: Pc) -> usize {
        self.buckets.find(self.bucket_place(pc))
    }

    /// Where states at this instruction are kept (`explored_state`): calls from elsewhere do not meet each other, but
    /// others may.
    fn bucket_place(&self, pc: Pc) -> usize {
        let at = match self.cur.current().callsite {
            None => self.slot(pc) ^ u32::MAX,
            Some(call) => self.slot(pc) ^ self.slot(call),
        };
        (at % self.program.slot_count()) as usize
    }

    fn update_peak(&mut self) {
        let now = self.kept_now + self.retired_now + self.backedges_now;
        self.statistics.peak_states = self.statistics.peak_states.max(now);
    }

    /// Writes down what the instruction did, for those who trace a value back (`push_jmp_history`).
    pub(crate) fn write_step(&mut self, touched: Touched, linked: u64) {
        if self.step_written
            && let Some(step) = self.cur.history.last_mut()
        {
            step.touched.slot = touched.slot.or(step.touched.slot);
            step.touched.dst_stack |= touched.dst_stack;
            step.touched.src_stack |= touched.src_stack;
            if linked != 0 {
                step.linked = linked;
            }
            return;
        }
        let prev = self.prev.unwrap_or(Pc(u32::MAX));
        if self.cur.history.capacity() == 0 {
            self.cur.history.reserve(16);
        }
        self.cur.history.push(Step { pc: self.pc, prev, touched, linked });
        self.step_written = true;
    }

    /// Makes ready for another function that is verified by itself.
    pub(crate) fn restart(&mut self) {
        self.kept.clear();
        self.traced.forget();
        self.buckets.clear();
        self.pending.clear();
        self.visits.clear();
        self.kept_now = 0;
        self.retired_now = 0;
        self.backedges_now = 0;
        self.life.forget_current();
    }
}

/// What guessing may run into and be stopped at.
fn is_recoverable(errno: Errno) -> bool {
    matches!(errno, Errno::Perm | Errno::Acces | Errno::Inval)
}

/// The state at the entry of a function that is verified by itself.
pub(crate) fn entry_state(pc: Pc, function: u32) -> State {
    State {
        frames: vec![Shared::new(Frame::new(None, function, 0))],
        refs: Refs::none(),
        locks: 0,
        preempt: 0,
        rcu: 0,
        irq_id: 0,
        lock_id: 0,
        lock_owner: 0,
        speculative: false,
        in_sleepable: false,
        may_goto_depth: 0,
        callback_unroll: 0,
        history: Vec::new(),
        parent: None,
        branches: 1,
        dfs: 0,
        pc,
        first: pc,
        last: None,
        charge: Charge::new(size_of::<State>()),
    }
}
