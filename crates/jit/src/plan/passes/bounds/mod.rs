//! Bounds: how large values can be, and what need not be asked because of it.
//!
//! A walk down the dominator tree knows what the tests and checks said that everyone passes who comes there. Checks of
//! addresses that cannot fail become addresses, tests that can end in one way only become jumps, and divisions of small
//! numbers become small.
//!
//! ```text
//! b1:  if lt64 length, 1500 then b9() else b2(0)
//! b2(v7):                                        ; v7 counts to 1496 by 4, so it is at most 1496
//!     v8 = add64 v7, 0x40000000
//!     v9 = host 4 at v8 + 0                      ; goes
//!     v10 = load u32 [v9]                        ; becomes load u32 [packet + v8 - 0x40000000]
//! ```
//!
//! Where a way leads back, the first walk takes the parameters to be anything, unless they count; what arrives on the ways back
//! then is what the next walk starts with. Every walk is right by itself, so their number is a matter of taste.

mod assume;
mod checks;
pub(crate) mod fact;
pub(crate) mod range;
mod shrink;
#[cfg(test)]
mod tests;

use sandbpf_isa::Width;
use sandbpf_runtime::address::{self, REGION_SIZE};

use self::checks::Changes;
use self::fact::{Fact, best};
use self::range::{MAX32, Range};
use super::loops::{Flow, Loop, trips};
use crate::plan::graph::{Block, Edge, End, Entry, Graph, Op, Value};

/// Removes checks and tests whose end is known, and makes divisions small.
pub(crate) fn bounds(graph: &mut Graph) {
    let is_length = |op: &Op| matches!(op, Op::Entry(Entry::Length));
    if graph.values.iter().any(|op| matches!(op, Op::Host { .. })) && !graph.values.iter().any(is_length) {
        // What checks say of it is known of this value.
        graph.add(Op::Entry(Entry::Length));
    }
    let flow = Flow::of(graph);
    if flow.is_irregular {
        // Blocks may be reached by ways back alone, which nobody writes.
        return;
    }
    let mut walk = Walk::new(graph, &flow);
    // What loops carry is better known each time; nests deeper than this keep a few checks too many.
    let rounds = walk.flow.loops.iter().map(|inside| inside.depth).max().unwrap_or_default().min(2);
    for _ in 0..rounds {
        walk.down(None);
        walk.restart();
    }
    let mut changes = Changes::new(walk.graph);
    walk.down(Some(&mut changes));
}

/// What is known where the walk stands.
struct Walk<'g> {
    graph: &'g mut Graph,
    flow: &'g Flow,
    /// What is known of every value here; of parameters of blocks that are still ahead, what arrived so far.
    facts: Vec<Fact>,
    /// What was known of values before this block said more.
    undo: Vec<(Value, Fact)>,
    /// Blocks to which some way leads that can be gone.
    reached: Vec<bool>,
    /// The children of every block in the dominator tree: the first of them, and the next of its parent's.
    children: Vec<(u32, u32)>,
    /// Of heads of loops, the number of their first parameter in `arriving`.
    heads: Vec<u32>,
    /// What the walk before saw arrive on ways back.
    carried: Vec<Option<Fact>>,
    /// What this one saw.
    arriving: Vec<Option<Fact>>,
    /// Counters of heads: what the first is, and how far the last lies from it.
    counts: Vec<Option<Count>>,
    /// How long the packet is.
    length: Option<Value>,
    /// Whether the ends of the packet may move, or did before the run.
    moves: bool,
}

/// How a parameter of a head grows.
#[derive(Clone, Copy, Debug)]
struct Count {
    step: i64,
    width: Width,
    /// How often the head is entered at most.
    rounds: Option<u64>,
}

const NONE: u32 = u32::MAX;

impl<'g> Walk<'g> {
    fn new(graph: &'g mut Graph, flow: &'g Flow) -> Walk<'g> {
        let mut facts = Vec::with_capacity(graph.values.len());
        let mut length = None;
        for (at, op) in graph.values.iter().enumerate() {
            facts.push(match op {
                Op::Const(number) => Fact::constant(*number),
                Op::Entry(Entry::Length) => {
                    length = length.or(Some(Value(at as u32)));
                    Fact { slack: Some(0), ..Fact::of(Range::up_to(REGION_SIZE)) }
                }
                _ => Fact::NONE,
            });
        }
        let blocks = graph.blocks.len();
        let mut children = vec![(NONE, NONE); blocks];
        for &block in flow.dominators.order.iter().rev() {
            if let Some(above) = flow.dominators.immediate(block) {
                let next = std::mem::replace(&mut children[above.index()].0, block.0);
                children[block.index()].1 = next;
            }
        }
        let (mut heads, mut counts, mut params) = (Vec::new(), Vec::new(), 0);
        if !flow.loops.is_empty() {
            heads = vec![NONE; blocks];
            for &block in &flow.dominators.order {
                if flow.incoming.to(block).iter().any(|way| flow.leads_back(way.from, block)) {
                    heads[block.index()] = params;
                    params += graph.code(block).params.len() as u32;
                }
            }
            counts = vec![None; params as usize];
            for inside in &flow.loops {
                count(graph, flow, inside, &mut counts[heads[inside.head.index()] as usize..]);
            }
        }
        let (carried, arriving) = (vec![None; params as usize], vec![None; params as usize]);
        let reached = vec![false; blocks];
        let undo = Vec::new();
        let calls = graph.values.iter().any(|op| matches!(op, Op::Call { .. }));
        // Nobody moves plain memory.
        let moves = (graph.machine || calls) && graph.packet != address::BUFFER;
        Walk { graph, flow, facts, undo, reached, children, heads, carried, arriving, counts, length, moves }
    }

    /// Forgets what the walk found, but for what loops carry.
    fn restart(&mut self) {
        std::mem::swap(&mut self.carried, &mut self.arriving);
        self.arriving.fill(None);
        self.reached.fill(false);
    }

    fn is_head(&self, block: Block) -> bool {
        self.heads.get(block.index()).is_some_and(|&head| head != NONE)
    }

    /// Walks down the dominator tree: a block comes after all that lead to it, but for ways back.
    fn down(&mut self, mut changes: Option<&mut Changes>) {
        self.reached[Block::ENTRY.index()] = true;
        // Blocks in which the walk is, and how much was known above them.
        let mut path: Vec<(Block, usize, usize)> = Vec::new();
        let mut next = Some(Block::ENTRY);
        loop {
            if let Some(block) = next {
                path.push((block, self.undo.len(), changes.as_ref().map_or(0, |changes| changes.undo.len())));
                if self.reached[block.index()] {
                    self.block(block, changes.as_deref_mut());
                    next = self.child(block);
                    continue;
                }
            }
            let Some((block, known, checked)) = path.pop() else { break };
            self.forget(known);
            if let Some(changes) = changes.as_deref_mut() {
                while changes.undo.len() > checked {
                    if let Some((value, check)) = changes.undo.pop() {
                        changes.checked[value.index()] = check;
                    }
                }
            }
            next = self.sibling(block);
        }
    }

    fn child(&self, block: Block) -> Option<Block> {
        Some(self.children[block.index()].0).filter(|&child| child != NONE).map(Block)
    }

    fn sibling(&self, block: Block) -> Option<Block> {
        Some(self.children[block.index()].1).filter(|&child| child != NONE).map(Block)
    }

    fn block(&mut self, block: Block, mut changes: Option<&mut Changes>) {
        // Values do not change while a loop runs: what is known on the only way into it is known all the time.
        let mut ways =
            self.flow.incoming.to(block).iter().filter(|way| !self.flow.leads_back(way.from, block));
        if let (Some(way), None) = (ways.next(), ways.next())
            && let End::Branch { test, yes, no } = &self.graph.code(way.from).end
            && yes.to != no.to
        {
            let (test, yes) = (*test, yes.to == block);
            self.assume(&test, yes);
        }
        if self.is_head(block) {
            self.enter(block);
        }
        let body = std::mem::take(&mut self.graph.blocks[block.index()].body);
        let mut gone = false;
        for &value in &body {
            if let Some(changes) = changes.as_deref_mut() {
                if changes.renames.any() {
                    self.graph.values[value.index()].uses_mut(|used| *used = changes.renames.of(*used));
                }
                gone |= self.change(value, changes);
            }
            match *self.graph.op(value) {
                Op::Host { at, off, size, stack, .. } => self.passed(at, off, size, stack),
                ref op => {
                    let facts = &self.facts;
                    self.facts[value.index()] = fact::result(op, &mut |used| facts[used.index()]);
                }
            }
        }
        self.graph.blocks[block.index()].body = body;
        if gone {
            let Graph { blocks, values, .. } = &mut *self.graph;
            blocks[block.index()].body.retain(|value| values[value.index()] != Op::Gone);
        }
        if let Some(changes) = changes.as_deref_mut()
            && changes.renames.any()
        {
            self.graph.blocks[block.index()].end.uses_mut(|used| *used = changes.renames.of(*used));
        }
        self.leave(block, changes.is_some());
    }

    fn fact(&self, value: Value) -> Fact {
        self.facts[value.index()]
    }

    /// What is known of a value if one looks at what it was computed from again.
    fn look(&self, value: Value, depth: u32) -> Fact {
        let known = self.fact(value);
        match self.graph.op(value) {
            Op::Bin { .. } | Op::Un { .. } if depth > 0 => {
                known.meet(fact::result(self.graph.op(value), &mut |used| self.look(used, depth - 1)))
            }
            _ => known,
        }
    }

    /// Slack that is known of a value, or follows from its range.
    fn slack(&self, fact: Fact) -> Option<i64> {
        let length = self.length.map_or(0, |length| self.facts[length.index()].range.smallest());
        // Neither is more than what an address can be, but for numbers that say nothing.
        let hi = i64::try_from(fact.range.largest()).ok();
        best(fact.slack, hi.and_then(|hi| (length as i64).checked_sub(hi)))
    }

    /// Begins with the parameters of a block to which ways lead back.
    fn enter(&mut self, block: Block) {
        let first = self.heads[block.index()] as usize;
        let places = self.graph.code(block).params.len();
        // How often the head is entered at most, by what is known of any counter.
        let mut rounds: Option<u64> = None;
        let mut starts = Vec::with_capacity(places);
        for place in 0..places {
            let param = self.graph.code(block).params[place];
            let start = self.facts[param.index()];
            let mut fact = match self.carried[first + place] {
                Some(carried) => self.join(start, carried),
                None => Fact::NONE,
            };
            if let Some(count) = self.counts[first + place] {
                fact = fact.meet(counted(start, fact, count));
                let known = [rounds, count.rounds, passed(start, fact, count)];
                rounds = known.into_iter().flatten().min();
            }
            self.facts[param.index()] = fact;
            starts.push(start);
        }
        let Some(rounds) = rounds else { return };
        for (place, start) in starts.into_iter().enumerate() {
            if let Some(count) = self.counts[first + place] {
                let param = self.graph.code(block).params[place];
                let fact = self.facts[param.index()];
                let count = Count { rounds: Some(rounds), ..count };
                self.facts[param.index()] = fact.meet(counted(start, fact, count));
            }
        }
    }

    /// What is so of either, which both are known of where the walk stands.
    fn join(&self, a: Fact, b: Fact) -> Fact {
        let mut joined = a.join(b);
        if a.slack.is_some() != b.slack.is_some() {
            joined.slack = self.slack(a).zip(self.slack(b)).map(|(a, b)| a.min(b));
        }
        joined
    }

    /// Gives what is known of arguments to the blocks that this one leads to.
    fn leave(&mut self, block: Block, change: bool) {
        let mut end = std::mem::replace(&mut self.graph.blocks[block.index()].end, End::Unreachable);
        match &end {
            End::Jump(edge) => self.follow(block, edge),
            End::Branch { test, yes, no } => {
                let decided = self.decided(test);
                let mut open = [false; 2];
                for (way, so, edge) in [(0, true, yes), (1, false, no)] {
                    let known = self.undo.len();
                    open[way] = decided != Some(!so) && self.assume(test, so);
                    if open[way] {
                        self.follow(block, edge);
                    }
                    self.forget(known);
                }
                match open {
                    _ if !change => {}
                    [true, true] => {}
                    [true, false] => end = End::Jump(yes.clone()),
                    [false, true] => end = End::Jump(no.clone()),
                    // What is known contradicts itself: no run comes here.
                    [false, false] => end = End::Unreachable,
                }
            }
            End::Return(_) | End::Unreachable => {}
        }
        self.graph.blocks[block.index()].end = end;
    }

    fn forget(&mut self, known: usize) {
        while self.undo.len() > known {
            if let Some((value, fact)) = self.undo.pop() {
                self.facts[value.index()] = fact;
            }
        }
    }

    fn follow(&mut self, from: Block, edge: &Edge) {
        let to = edge.to;
        if self.is_head(to) && self.flow.leads_back(from, to) {
            let first = self.heads[to.index()] as usize;
            for (place, &argument) in edge.arguments.iter().enumerate() {
                let fact = self.arrives(argument);
                let before = &mut self.arriving[first + place];
                *before = Some(before.map_or(fact, |before| before.join(fact)));
            }
            return;
        }
        let first = !std::mem::replace(&mut self.reached[to.index()], true);
        for (place, &argument) in edge.arguments.iter().enumerate() {
            let fact = self.arrives(argument);
            let param = self.graph.code(to).params[place];
            let before = self.facts[param.index()];
            self.facts[param.index()] = if first { fact } else { before.join(fact) };
        }
    }

    /// What is known of an argument. What follows from the packet's length follows now: who comes another way knows another one.
    fn arrives(&self, argument: Value) -> Fact {
        let fact = self.look(argument, 1);
        Fact { slack: self.slack(fact), ..fact }
    }

    /// Makes a value simpler if what is known here allows it. Whether it is gone.
    fn change(&mut self, value: Value, changes: &mut Changes) -> bool {
        match *self.graph.op(value) {
            Op::Host { at, off, size, stack, .. } => self.check(value, (at, off, size, stack), changes),
            Op::Load { .. } | Op::Store { .. } | Op::Bulk { .. } => {
                self.move_addresses(value, changes);
                false
            }
            Op::Compare(test) => {
                if let Some(so) = self.decided(&test) {
                    let number = self.graph.add(Op::Const(so.into()));
                    self.facts.push(Fact::constant(so.into()));
                    changes.renames.rename(value, number);
                }
                false
            }
            Op::Select { test, yes, no } => {
                if let Some(so) = self.decided(&test) {
                    changes.renames.rename(value, if so { yes } else { no });
                }
                false
            }
            Op::Bin { .. } | Op::Un { .. } => {
                self.shrink(value, &mut changes.renames);
                false
            }
            _ => false,
        }
    }
}

/// How the parameters of a loop's head grow, and how often it is entered.
fn count(graph: &Graph, flow: &Flow, inside: &Loop, counts: &mut [Option<Count>]) {
    let counters = flow.counters(graph, inside);
    if counters.is_empty() {
        return;
    }
    let exits = flow.exits(graph, inside);
    let passed = exits.into_iter().filter(|exit| flow.is_always_passed(exit.block, inside));
    let rounds = passed.filter_map(|exit| trips(graph, flow, inside, exit)).min();
    for counter in counters {
        counts[counter.place] = Some(Count { step: counter.step, width: counter.width, rounds });
    }
}

/// How many steps a parameter can have taken, and one, if it does not go around.
fn passed(start: Fact, fact: Fact, count: Count) -> Option<u64> {
    let most = match count.width {
        Width::W64 => u64::MAX,
        Width::W32 => MAX32,
    };
    let by = count.step.unsigned_abs();
    let (from, to) = (start.range, fact.range);
    if by == 0 || !from.is_plain() || !to.is_plain() || from.hi > most {
        return None;
    }
    let way = if count.step > 0 {
        to.hi.checked_add(by).filter(|&past| past <= most)?;
        to.hi.checked_sub(from.lo)?
    } else {
        to.lo.checked_sub(by)?;
        from.hi.checked_sub(to.lo)?
    };
    (way / by).checked_add(1)
}

/// What a parameter is that starts as something and grows.
fn counted(start: Fact, fact: Fact, count: Count) -> Fact {
    let most = match count.width {
        Width::W64 => u64::MAX,
        Width::W32 => MAX32,
    };
    let by = count.step.unsigned_abs();
    let from = start.range;
    if !from.is_plain() || from.hi > most {
        return Fact::NONE;
    }
    // So far it gets, if that does not lead around the end.
    let way = count.rounds.and_then(|rounds| by.checked_mul(rounds - 1));
    let low = (by.trailing_zeros().min((!start.zeros).trailing_zeros())).min(63);
    let zeros = (1 << low) - 1;
    let known = |range: Range| Fact { zeros: zeros | Fact::of(range).zeros, ..Fact::of(range) };
    if count.step >= 0 {
        if let Some(hi) = way.and_then(|way| from.hi.checked_add(way)).filter(|&hi| hi <= most) {
            return known(Range::new(from.lo, hi));
        }
        // Nobody goes around who is always small enough before the next step.
        let grows = fact.range.is_plain() && fact.range.hi.checked_add(by).is_some_and(|hi| hi <= most);
        return if grows { known(Range::new(from.lo, u64::MAX)) } else { Fact::NONE };
    }
    if let Some(lo) = way.and_then(|way| from.lo.checked_sub(way)) {
        return known(Range::new(lo, from.hi));
    }
    let falls = fact.range.is_plain() && fact.range.lo >= by;
    if falls { known(Range::up_to(from.hi)) } else { Fact::NONE }
}
