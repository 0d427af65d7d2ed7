//! Which slots of the stack may still be read.
//!
//! While paths are explored, every instruction's reads and certain writes of stack slots are collected, for each chain
//! of calls by which it is reached: `may_read` only grows, `must_write` only shrinks. When a path ends, the usual
//! equations of live variables are solved over what was collected, and slots that nobody can read any more need not be
//! compared between states. What a function does to its callers' stacks is handed on to the call.

use std::collections::HashMap;
use std::rc::Rc;

use sandbpf_isa::{Pc, Program};

use crate::cfg::{Graph, successors};
use crate::state::State;
use crate::state::cost::{self, Charge};

/// The calls that lead to a function, and where it starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Chain {
    calls: Vec<Pc>,
    entry: Pc,
}

impl Chain {
    /// That of a state's frame.
    pub(crate) fn of(program: &Program, state: &State, frame: usize) -> Chain {
        let calls = (0..frame).map(|outer| state.frame_pc(outer)).collect();
        Chain { calls, entry: program.functions()[state.frames[frame].function as usize].entry }
    }
}

/// What is known of one frame's slots at an instruction.
#[derive(Clone, Copy, Debug, Default)]
struct Masks {
    may_read: u64,
    must_write: u64,
    /// Written here or by whatever follows.
    written_after: u64,
    live: u64,
}

/// Whether an instruction was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    No,
    /// It overwrites nothing for certain.
    Idle,
    /// It overwrote something, whenever it was looked at so far.
    Writes,
}

/// What was collected of a function that is reached by one chain of calls.
#[derive(Debug)]
struct Instance {
    chain: Chain,
    function: usize,
    len: usize,
    frames: Vec<Option<Box<[Masks]>>>,
    seen: Vec<Seen>,
    changed: bool,
    /// Where something was collected since it was solved.
    dirty: Vec<Pc>,
    /// What is not certain to be written any more, by frame and instruction.
    dropped: Vec<(usize, Pc, u64)>,
    charge: Charge,
    charged: usize,
}

/// The order in which a function is solved, and the way back.
#[derive(Debug, Default)]
struct Order {
    /// By instruction, counted from the function's start: its place, or the largest number if none leads to it.
    place: Vec<u32>,
    /// The instructions before each, by place: those from `starts[i]` to `starts[i + 1]`.
    starts: Vec<u32>,
    before: Vec<u32>,
}

impl Order {
    fn new(program: &Program, postorder: &[Pc], entry: usize, len: usize) -> Order {
        let mut place = vec![u32::MAX; len];
        for (number, pc) in postorder.iter().enumerate() {
            place[pc.index() - entry] = number as u32;
        }
        let mut edges = Vec::new();
        for (number, &pc) in postorder.iter().enumerate() {
            for to in successors(&program.insns()[pc.index()], pc).into_iter().flatten() {
                let after = place.get(to.index().wrapping_sub(entry)).copied().unwrap_or(u32::MAX);
                if after != u32::MAX {
                    edges.push((after, number as u32));
                }
            }
        }
        let mut starts = vec![0u32; postorder.len() + 1];
        for &(after, _) in &edges {
            starts[after as usize + 1] += 1;
        }
        for number in 0..postorder.len() {
            starts[number + 1] += starts[number];
        }
        let mut free = starts.clone();
        let mut before = vec![0; edges.len()];
        for (after, number) in edges {
            before[free[after as usize] as usize] = number;
            free[after as usize] += 1;
        }
        Order { place, starts, before }
    }

    fn before(&self, number: u32) -> &[u32] {
        let at = number as usize;
        &self.before[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

impl Instance {
    fn masks(&mut self, frame: usize, pc: Pc) -> &mut Masks {
        let at = pc.index() - self.chain.entry.index();
        let len = self.len;
        let frame = self.frames[frame].get_or_insert_with(|| {
            self.charged += len * size_of::<Masks>();
            self.charge.set(self.charged);
            vec![Masks::default(); len].into()
        });
        &mut frame[at]
    }

    fn get(&self, frame: usize, pc: Pc) -> Option<&Masks> {
        self.frames.get(frame)?.as_ref()?.get(pc.index().wrapping_sub(self.chain.entry.index()))
    }
}

/// What is known of the stack's life so far.
#[derive(Debug, Default)]
pub(crate) struct StackLife {
    instances: Vec<Instance>,
    by_chain: HashMap<Chain, usize>,
    /// By function, once it was needed.
    orders: HashMap<usize, Rc<Order>>,
    /// Empty between two solutions.
    waiting: Waiting,
    /// The instance of the path that is walked, once it was looked up.
    current: Option<usize>,
    pc: Pc,
    written: [u64; 8],
    /// What the instruction looked at or changed a part of, for the log.
    touched: u64,
}

impl StackLife {
    fn instance(&mut self, program: &Program, chain: Chain) -> usize {
        if let Some(&found) = self.by_chain.get(&chain) {
            return found;
        }
        let function =
            program.functions().partition_point(|function| function.entry <= chain.entry).saturating_sub(1);
        let span = &program.functions()[function];
        let len = (span.end.0 - span.entry.0) as usize;
        // It is kept in the list, and its chain once more to be found by.
        let charged = len + 2 * size_of::<Instance>() + 4 * size_of_val(chain.calls.as_slice());
        self.instances.push(Instance {
            frames: vec![None; chain.calls.len() + 1],
            chain: chain.clone(),
            function,
            len,
            seen: vec![Seen::No; len],
            changed: false,
            dirty: Vec::new(),
            dropped: Vec::new(),
            charge: Charge::new(charged),
            charged,
        });
        self.by_chain.insert(chain, self.instances.len() - 1);
        self.instances.len() - 1
    }

    /// That of a state's frame, which remembers it.
    fn instance_of(&mut self, program: &Program, state: &State, frame: usize) -> usize {
        let known = &state.frames[frame].life;
        if let Some(at) = known.get() {
            return at as usize;
        }
        let at = self.instance(program, Chain::of(program, state, frame));
        known.set(Some(at as u32));
        at
    }

    /// The same, if something was collected of it.
    fn known_instance_of(&self, program: &Program, state: &State, frame: usize) -> Option<&Instance> {
        let known = state.frames[frame].life.get().map(|at| at as usize);
        let at = known.or_else(|| self.by_chain.get(&Chain::of(program, state, frame)).copied())?;
        Some(&self.instances[at])
    }

    /// Which slots of a state's frame may still be read.
    pub(crate) fn alive(&self, program: &Program, graph: &Graph, state: &State, frame: usize) -> u64 {
        let live = |of: usize, pc: Pc| {
            let instance = self.known_instance_of(program, state, of);
            instance.and_then(|instance| instance.get(frame, pc)).map_or(0, |masks| masks.live)
        };
        let depth = state.depth();
        (frame..depth).fold(live(depth, state.pc), |alive, outer| {
            let call = state.frame_pc(outer);
            // A callback may be called again.
            let from = if graph.marks[call.index()].calls_callback { call } else { Pc(call.0 + 1) };
            alive | live(outer, from)
        })
    }

    /// The path went into another function or came back from one.
    pub(crate) fn forget_current(&mut self) {
        self.current = None;
    }

    /// An instruction is about to be looked at.
    pub(crate) fn start(&mut self, program: &Program, state: &State, pc: Pc) {
        if self.current.is_none() {
            self.current = Some(self.instance_of(program, state, state.depth()));
        }
        self.pc = pc;
        self.written = [0; 8];
        self.touched = 0;
    }

    /// It reads slots of this frame.
    pub(crate) fn read(&mut self, frame: usize, slots: u64) {
        if let Some(current) = self.current {
            mark_read(&mut self.instances[current], frame, self.pc, slots);
        }
    }

    /// It overwrites slots of this frame.
    pub(crate) fn write(&mut self, frame: usize, slots: u64) {
        self.written[frame] |= slots;
    }

    /// It looks at a slot, or changes a part of it.
    pub(crate) fn touch(&mut self, at: usize) {
        self.touched |= 1 << at.min(63);
    }

    /// What the instruction read or changed a part of, and what it overwrote, in any frame.
    pub(crate) fn touched(&self) -> (u64, u64) {
        (self.touched, self.written.iter().fold(0, |all, mask| all | mask))
    }

    /// It was looked at.
    pub(crate) fn commit(&mut self) {
        if let Some(current) = self.current {
            commit(&mut self.instances[current], self.pc, &self.written);
        }
    }

    /// Solves the equations for the functions that a state is in.
    pub(crate) fn update(&mut self, program: &Program, graph: &Graph, state: &State) {
        self.current = None;
        for frame in (0..state.frames.len()).rev() {
            let at = self.instance_of(program, state, frame);
            if self.instances[at].changed {
                self.solve(program, graph, at);
                self.instances[at].changed = false;
            }
        }
    }

    fn solve(&mut self, program: &Program, graph: &Graph, at: usize) {
        let (instance, waiting) = (&mut self.instances[at], &mut self.waiting);
        let postorder = &graph.functions[instance.function].postorder;
        let (entry, len) = (instance.chain.entry.index(), instance.len);
        let make = || Rc::new(Order::new(program, postorder, entry, len));
        let order = Rc::clone(self.orders.entry(instance.function).or_insert_with(make));
        let mut dirty = std::mem::take(&mut instance.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        let dropped = std::mem::take(&mut instance.dropped);
        for (number, masks) in instance.frames.iter_mut().enumerate() {
            let Some(masks) = masks else { continue };
            let mut equations = Equations { program, masks, entry, postorder, order: &order, waiting };
            let mut unsettled = dirty.clone();
            let dropped = dropped.iter().filter(|(frame, ..)| *frame == number);
            equations.forget(dropped.map(|&(_, pc, slots)| (pc, slots)).collect(), &mut unsettled);
            equations.solve(&unsettled);
        }
        let chain = instance.chain.clone();
        let Some((&call, outer)) = chain.calls.split_last() else { return };
        let mut written = [0; 8];
        let mut read = [0; 8];
        for frame in 0..chain.calls.len() {
            if let Some(masks) = instance.get(frame, chain.entry) {
                written[frame] = masks.written_after;
                read[frame] = masks.live;
            }
        }
        let caller = program.function_of(call).entry;
        let outer = self.instance(program, Chain { calls: outer.to_vec(), entry: caller });
        let outer = &mut self.instances[outer];
        for (frame, &slots) in read.iter().enumerate().take(outer.frames.len()) {
            if slots != 0 {
                mark_read(outer, frame, call, slots);
            }
        }
        commit(outer, call, &written);
    }
}

/// The instructions that wait for this sweep and for the next, by place.
#[derive(Debug, Default)]
struct Waiting {
    sweep: Places,
    next: Places,
}

/// A set of places that is emptied from its lowest on.
#[derive(Debug, Default)]
struct Places {
    words: Vec<u64>,
    /// There is none in words before, nor behind.
    from: usize,
    to: usize,
}

impl Places {
    fn add(&mut self, place: usize) {
        let word = place / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        if self.to == 0 {
            self.from = word;
        }
        self.words[word] |= 1 << (place % 64);
        self.from = self.from.min(word);
        self.to = self.to.max(word + 1);
    }

    fn take(&mut self) -> Option<usize> {
        while self.from < self.to {
            let word = &mut self.words[self.from];
            if *word != 0 {
                let bit = word.trailing_zeros() as usize;
                *word &= *word - 1;
                return Some(self.from * 64 + bit);
            }
            self.from += 1;
        }
        (self.from, self.to) = (0, 0);
        None
    }
}

/// So often all instructions of a function are looked at in their order.
const SWEEPS: usize = 4;

/// The equations of one function's instructions for one frame's slots.
struct Equations<'e> {
    program: &'e Program,
    masks: &'e mut [Masks],
    entry: usize,
    postorder: &'e [Pc],
    order: &'e Order,
    waiting: &'e mut Waiting,
}

impl Equations<'_> {
    /// Takes back what followed from slots being written for certain that are no longer: they are thought not to be written
    /// until the equations, solved again, say otherwise.
    fn forget(&mut self, mut dropped: Vec<(Pc, u64)>, unsettled: &mut Vec<Pc>) {
        while let Some((pc, slots)) = dropped.pop() {
            cost::work(1);
            let masks = &mut self.masks[pc.index() - self.entry];
            let gone = masks.written_after & slots & !masks.must_write;
            let place = self.order.place[pc.index() - self.entry];
            if gone == 0 || place == u32::MAX {
                continue;
            }
            masks.written_after &= !gone;
            unsettled.push(pc);
            let before = self.order.before(place).iter();
            dropped.extend(before.map(|&before| (self.postorder[before as usize], gone)));
        }
    }

    /// Solves them where something is not settled and wherever that leads, in the order of the function.
    fn solve(&mut self, unsettled: &[Pc]) {
        // Where much is not settled, all of it in turn is faster.
        if unsettled.len() > self.postorder.len() / 8 {
            for _ in 0..SWEEPS {
                let postorder = self.postorder;
                cost::work(postorder.len());
                let solve = |changed, &pc| solve_insn(self.program, self.masks, self.entry, pc) | changed;
                if !postorder.iter().fold(false, solve) {
                    return;
                }
            }
            return self.solve_from(self.postorder);
        }
        self.solve_from(unsettled);
    }

    fn solve_from(&mut self, unsettled: &[Pc]) {
        let Waiting { sweep, next } = &mut *self.waiting;
        for pc in unsettled {
            let place = self.order.place[pc.index() - self.entry];
            if place != u32::MAX {
                sweep.add(place as usize);
            }
        }
        loop {
            let Some(place) = sweep.take() else {
                if next.to == 0 {
                    return;
                }
                std::mem::swap(sweep, next);
                continue;
            };
            cost::work(4);
            if solve_insn(self.program, self.masks, self.entry, self.postorder[place]) {
                for &before in self.order.before(place as u32) {
                    let before = before as usize;
                    if before <= place { next.add(before) } else { sweep.add(before) }
                }
            }
        }
    }
}

/// Solves the equation of one instruction; whether that was news.
fn solve_insn(program: &Program, all: &mut [Masks], entry: usize, pc: Pc) -> bool {
    let next = successors(&program.insns()[pc.index()], pc);
    if next[0].is_none() {
        return false;
    }
    let (mut live, mut written) = (0, u64::MAX);
    for to in next.iter().flatten() {
        let Some(after) = all.get(to.index().wrapping_sub(entry)) else { continue };
        live |= after.live;
        written &= after.written_after;
    }
    let masks = &mut all[pc.index() - entry];
    written |= masks.must_write;
    live = (live & !masks.must_write) | masks.may_read;
    let changed = live != masks.live || written != masks.written_after;
    masks.live = live;
    masks.written_after = written;
    changed
}

fn mark_read(instance: &mut Instance, frame: usize, pc: Pc, slots: u64) {
    let masks = instance.masks(frame, pc);
    let read = masks.may_read | slots;
    let more = read != masks.may_read;
    let news = more && (read | masks.live) != masks.live;
    masks.may_read = read;
    instance.changed |= news;
    if more {
        instance.dirty.push(pc);
    }
}

fn commit(instance: &mut Instance, pc: Pc, written: &[u64; 8]) {
    let at = pc.index() - instance.chain.entry.index();
    if instance.seen[at] == Seen::Idle {
        // It is not certain to be overwritten, whatever was this time.
        return;
    }
    let seen = instance.seen[at] != Seen::No;
    let mut writes = false;
    for (frame, &written) in written.iter().enumerate().take(instance.frames.len()) {
        let mut slots = written;
        if slots == 0 && !seen {
            continue;
        }
        if slots == 0 && instance.frames[frame].is_none() {
            continue;
        }
        let masks = instance.masks(frame, pc);
        let old = masks.must_write;
        if seen {
            slots &= old;
        }
        masks.must_write = slots;
        writes |= slots != 0;
        instance.changed |= old != slots;
        if old != slots {
            instance.dirty.push(pc);
        }
        if old & !slots != 0 {
            instance.dropped.push((frame, pc, old & !slots));
        }
    }
    instance.seen[at] = if writes { Seen::Writes } else { Seen::Idle };
}
