//! Which slots of the stack may still be read.
//!
//! While paths are explored, every instruction's reads and certain writes of stack slots are collected, for each chain
//! of calls by which it is reached: `may_read` only grows, `must_write` only shrinks. When a path ends, the usual
//! equations of live variables are solved over what was collected, and slots that nobody can read any more need not be
//! compared between states. What a function does to its callers' stacks is handed on to the call.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use sandbpf_isa::{Pc, Program};

use crate::cfg::{Graph, successors};
use crate::state::State;

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

/// What was collected of a function that is reached by one chain of calls.
#[derive(Debug)]
struct Instance {
    chain: Chain,
    function: usize,
    len: usize,
    frames: Vec<Option<Box<[Masks]>>>,
    seen: Vec<bool>,
    changed: bool,
    shrank: bool,
    /// Whether all of it must be solved, and not only where something was collected.
    whole: bool,
    /// Where something was collected since it was solved.
    dirty: Vec<Pc>,
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
        edges.sort_unstable();
        let starts =
            (0..=postorder.len() as u32).map(|number| edges.partition_point(|edge| edge.0 < number) as u32);
        Order { place, starts: starts.collect(), before: edges.iter().map(|edge| edge.1).collect() }
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
        self.whole |= self.frames[frame].is_none();
        let frame = self.frames[frame].get_or_insert_with(|| vec![Masks::default(); len].into());
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
    orders: HashMap<usize, Order>,
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
        self.instances.push(Instance {
            frames: vec![None; chain.calls.len() + 1],
            chain: chain.clone(),
            function,
            len,
            seen: vec![false; len],
            changed: false,
            shrank: false,
            whole: true,
            dirty: Vec::new(),
        });
        self.by_chain.insert(chain, self.instances.len() - 1);
        self.instances.len() - 1
    }

    /// The path went into another function or came back from one.
    pub(crate) fn forget_current(&mut self) {
        self.current = None;
    }

    /// An instruction is about to be looked at.
    pub(crate) fn start(&mut self, program: &Program, state: &State, pc: Pc) {
        if self.current.is_none() {
            let chain = Chain::of(program, state, state.depth());
            self.current = Some(self.instance(program, chain));
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
            let chain = Chain::of(program, state, frame);
            let at = self.instance(program, chain);
            if self.instances[at].changed {
                self.solve(program, graph, at);
                self.instances[at].changed = false;
                self.instances[at].shrank = false;
            }
        }
    }

    fn solve(&mut self, program: &Program, graph: &Graph, at: usize) {
        let instance = &mut self.instances[at];
        if instance.shrank {
            for masks in instance.frames.iter_mut().flatten().flat_map(|frame| frame.iter_mut()) {
                masks.written_after = 0;
            }
        }
        let postorder = &graph.functions[instance.function].postorder;
        let (entry, len) = (instance.chain.entry.index(), instance.len);
        if instance.shrank || instance.whole {
            solve_whole(program, instance, postorder);
        } else {
            let make = || Order::new(program, postorder, entry, len);
            let order = self.orders.entry(instance.function).or_insert_with(make);
            instance.dirty.sort_unstable();
            instance.dirty.dedup();
            for masks in instance.frames.iter_mut().flatten() {
                solve_some(program, masks, entry, postorder, order, &instance.dirty);
            }
        }
        instance.whole = false;
        instance.dirty.clear();
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

/// Solves the equations of all instructions, again until nothing changes.
fn solve_whole(program: &Program, instance: &mut Instance, postorder: &[Pc]) {
    let entry = instance.chain.entry.index();
    loop {
        let mut changed = false;
        for masks in instance.frames.iter_mut().flatten() {
            for &pc in postorder {
                changed |= solve_insn(program, masks, entry, pc);
            }
        }
        if !changed {
            break;
        }
    }
}

/// The same where something was collected and wherever that leads: in the same order, leaving out what would not change.
fn solve_some(
    program: &Program,
    masks: &mut [Masks],
    entry: usize,
    postorder: &[Pc],
    order: &Order,
    dirty: &[Pc],
) {
    let place = |pc: &Pc| order.place[pc.index() - entry];
    let first = dirty.iter().map(place).filter(|&place| place != u32::MAX);
    // By sweep, and by place within it.
    let mut waiting: BinaryHeap<Reverse<(u32, u32)>> = first.map(|place| Reverse((0, place))).collect();
    let mut last = None;
    while let Some(Reverse((sweep, place))) = waiting.pop() {
        if last.replace((sweep, place)) == Some((sweep, place)) {
            continue;
        }
        if solve_insn(program, masks, entry, postorder[place as usize]) {
            let next = |&before: &u32| Reverse((sweep + u32::from(before <= place), before));
            waiting.extend(order.before(place).iter().map(next));
        }
    }
}

fn solve_insn(program: &Program, frame: &mut [Masks], entry: usize, pc: Pc) -> bool {
    let next = successors(&program.insns()[pc.index()], pc);
    if next[0].is_none() {
        return false;
    }
    let (mut live, mut written) = (0, u64::MAX);
    for to in next.iter().flatten() {
        let Some(after) = frame.get(to.index().wrapping_sub(entry)) else { continue };
        live |= after.live;
        written &= after.written_after;
    }
    let masks = &mut frame[pc.index() - entry];
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
    let seen = instance.seen[at];
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
        instance.changed |= old != slots;
        if old != slots {
            instance.dirty.push(pc);
        }
        instance.shrank |= old & !slots != 0;
    }
    instance.seen[at] = true;
}

/// Asks for the life of a state's slots.
pub(crate) struct Query {
    instances: Vec<Option<usize>>,
    calls: Vec<Pc>,
    pc: Pc,
}

impl Query {
    pub(crate) fn new(life: &StackLife, program: &Program, state: &State) -> Query {
        let frames = 0..state.frames.len();
        let instances =
            frames.map(|frame| life.by_chain.get(&Chain::of(program, state, frame)).copied()).collect();
        let calls = (0..state.depth()).map(|frame| state.frame_pc(frame)).collect();
        Query { instances, calls, pc: state.pc }
    }

    /// Whether a slot may still be read.
    pub(crate) fn is_alive(&self, life: &StackLife, graph: &Graph, frame: usize, slot: usize) -> bool {
        let live = |at: Option<usize>, pc: Pc| {
            at.and_then(|at| life.instances[at].get(frame, pc))
                .is_some_and(|masks| masks.live & (1 << slot) != 0)
        };
        if live(self.instances.last().copied().flatten(), self.pc) {
            return true;
        }
        (frame..self.calls.len()).any(|outer| {
            let call = self.calls[outer];
            // A callback may be called again.
            let from = if graph.marks[call.index()].calls_callback { call } else { Pc(call.0 + 1) };
            live(self.instances[outer], from)
        })
    }
}
