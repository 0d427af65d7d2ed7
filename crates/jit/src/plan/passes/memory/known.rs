//! What lies in memory, as far as the program put it there or looked: forwarded to those who load it.
//!
//! Facts go along a block, into blocks to which only one edge leads, and into others as far as all edges agree.

use sandbpf_isa::{Extend, Size, Width};

use super::super::incoming::Incoming;
use super::super::renames::Renames;
use super::pieces;
use super::place::Place;
use super::stores::Stores;
use crate::plan::graph::{Address, BinOp, Block, Edge, End, Graph, Op, Region, UnOp, Value};

/// How many facts are kept: what was learned last is asked for most.
const FACTS: usize = 16;

/// How many writes of a block are remembered.
const WRITES: usize = 16;

/// What lies at a place.
#[derive(Clone, Copy, Debug)]
struct Fact {
    /// Facts are numbered in the order in which they are learned.
    number: u32,
    place: Place,
    /// The low bytes of this value lie there, reversed if `swap` says so.
    value: Value,
    swap: bool,
    /// How the value was extended if it was loaded; if it was stored, it has its own upper bits.
    loaded: Option<Extend>,
}

/// Loads what is known from where it is known.
pub(super) fn forward(graph: &mut Graph) {
    let touches = |op: &Op| matches!(op, Op::Load { .. } | Op::Store { .. });
    if !graph.blocks.iter().flat_map(|code| &code.body).any(|&value| touches(graph.op(value))) {
        return;
    }
    let order = graph.order();
    let incoming = Incoming::of(graph, &order);
    let mut uses = vec![0u8; graph.values.len()];
    for &block in &order {
        let mut count = |used: Value| uses[used.index()] = uses[used.index()].saturating_add(1);
        graph.code(block).body.iter().for_each(|&value| graph.op(value).uses(&mut count));
        graph.code(block).end.uses(&mut count);
    }
    let mut walk = Walk {
        renames: Renames::new(graph),
        loads: vec![None; graph.values.len()],
        uses,
        graph,
        facts: Vec::new(),
        stores: Stores::default(),
        writes: Vec::new(),
        written: 0,
        block: Block::ENTRY,
        number: 0,
    };
    // The facts at the ends of blocks, one behind the other.
    let mut kept: Vec<Fact> = Vec::new();
    let mut ends: Vec<Option<(u32, u32)>> = vec![None; walk.graph.blocks.len()];
    let mut old = Vec::new();
    for &block in &order {
        walk.facts.clear();
        let mut ways = incoming.to(block).iter();
        if let Some((from, to)) = ways.next().and_then(|way| ends[way.from.index()]) {
            walk.facts.extend_from_slice(&kept[from as usize..to as usize]);
            for way in ways {
                match ends[way.from.index()] {
                    Some((from, to)) => agree(&mut walk.facts, &kept[from as usize..to as usize]),
                    None => walk.facts.clear(),
                }
            }
        }
        walk.block(block, &mut old);
        let needed = walk.graph.code(block).end.edges().any(|Edge { to, .. }| !ends[to.index()].is_some());
        if needed {
            ends[block.index()] = Some((kept.len() as u32, (kept.len() + walk.facts.len()) as u32));
            kept.extend_from_slice(&walk.facts);
        }
    }
    walk.renames.apply_to_edges(walk.graph);
}

/// Keeps what others know as well. Both are in the order of their numbers.
fn agree(facts: &mut Vec<Fact>, others: &[Fact]) {
    let mut others = others.iter().peekable();
    facts.retain(|fact| {
        while others.next_if(|other| other.number < fact.number).is_some() {}
        others.peek().is_some_and(|other| other.number == fact.number)
    });
}

/// Where a load stood: which writes of its block came before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stood {
    block: Block,
    written: u32,
}

pub(super) struct Walk<'g> {
    pub(super) graph: &'g mut Graph,
    renames: Renames,
    loads: Vec<Option<Stood>>,
    uses: Vec<u8>,
    facts: Vec<Fact>,
    stores: Stores,
    /// The last writes of this block, and how many there were: no place if it may be anywhere.
    writes: Vec<Option<Place>>,
    written: u32,
    block: Block,
    number: u32,
}

impl Walk<'_> {
    fn block(&mut self, block: Block, old: &mut Vec<Value>) {
        self.block = block;
        self.writes.clear();
        self.written = 0;
        self.stores.clear();
        old.clear();
        old.append(&mut self.graph.blocks[block.index()].body);
        for &value in &*old {
            let mut op = std::mem::replace(&mut self.graph.values[value.index()], Op::Gone);
            self.renames.apply_to(&mut op);
            if let Some(op) = self.operation(value, op) {
                self.graph.values[value.index()] = op;
                self.graph.blocks[block.index()].body.push(value);
            }
        }
        // Of those that were joined to later ones nothing is left.
        let graph = &mut *self.graph;
        if self.stores.joined {
            let (values, body) = (&graph.values, &mut graph.blocks[block.index()].body);
            body.retain(|value| values[value.index()] != Op::Gone);
        }
        let mut end = std::mem::replace(&mut graph.blocks[block.index()].end, End::Unreachable);
        end.uses_mut(|used| *used = self.renames.of(*used));
        graph.blocks[block.index()].end = end;
    }

    /// What is to be done instead of an operation, if something is.
    fn operation(&mut self, value: Value, op: Op) -> Option<Op> {
        match op {
            Op::Load { at, size, extend, swap } => return self.load(value, at, size, extend, swap),
            Op::Store { at, size, value: stored, swap } => return self.store(value, at, size, stored, swap),
            Op::Bin { .. } => {
                if let Some(wide) = pieces::joined(self, &op) {
                    // It is as long since memory was looked at as for its pieces, or as if it had been.
                    return self.operation(value, wide);
                }
            }
            Op::Un { op: UnOp::Swap16 | UnOp::Swap32 | UnOp::Swap64, a } => {
                if self.swap_at(a, &op) {
                    self.renames.rename(value, a);
                    return None;
                }
            }
            Op::Clear { from, bytes } => {
                let from = from.wrapping_sub(self.graph.start(Region::Stack)) as i64;
                let place = Place::stack(from, bytes.into());
                self.write(Some(place));
                let zero = self.graph.add(Op::Const(0));
                self.learn(place, zero, false, None);
            }
            Op::Bulk { what, .. } => {
                self.stores.clear();
                if let Some(to) = what.to() {
                    // Somewhere in the region, nobody knows how many bytes.
                    self.write(to.region.map(|_| Place::anywhere(self.graph, &to)));
                }
            }
            Op::Call { .. } | Op::Atomic { .. } => {
                self.stores.clear();
                self.write(None);
            }
            Op::Host { .. } | Op::Charge { .. } | Op::Budget | Op::Spend { .. } => {
                self.stores.order(self.graph);
            }
            _ => {}
        }
        Some(op)
    }

    fn load(&mut self, value: Value, at: Address, size: Size, extend: Extend, swap: bool) -> Option<Op> {
        let place = Place::of(self.graph, &at, size);
        let op = Op::Load { at, size, extend, swap };
        if !place.is_ours(self.graph) {
            self.stores.read(&place);
            return Some(op);
        }
        if let Some(fact) = self.facts.iter().rev().find(|fact| fact.place.covers(&place)).copied() {
            if let Some(known) = self.known(&fact, &place, size, extend, swap) {
                self.renames.rename(value, known);
                // More users than were counted.
                for known in [known, fact.value] {
                    if let Some(uses) = self.uses.get_mut(known.index()) {
                        *uses = u8::MAX;
                    }
                }
                return None;
            }
        }
        self.stores.read(&place);
        self.learn(place, value, swap && size != Size::B, Some(extend));
        self.stood(value);
        Some(op)
    }

    fn stood(&mut self, value: Value) {
        if self.loads.len() <= value.index() {
            self.loads.resize(value.index() + 1, None);
        }
        self.loads[value.index()] = Some(Stood { block: self.block, written: self.written });
    }

    /// What a fact says of some of its bytes; `None` if it is cheaper to look.
    fn known(&mut self, fact: &Fact, place: &Place, size: Size, extend: Extend, swap: bool) -> Option<Value> {
        let swap = swap && size != Size::B;
        let (mut value, whole) = (fact.value, fact.place.bytes == place.bytes);
        if self.graph.constant(value) == Some(0) {
            return Some(value);
        }
        if whole && fact.swap == swap && fact.loaded == Some(extend) {
            return Some(value);
        }
        if !whole {
            let offset = place.from - fact.place.from;
            if fact.swap || offset > 0 && fact.loaded.is_some() {
                return None;
            }
            if offset > 0 {
                let count = self.graph.add(Op::Const(offset as u64 * 8));
                value = self.put(Op::Bin { op: BinOp::Rsh, width: Width::W64, a: value, b: count });
            }
        }
        if fact.swap != swap {
            let op = match size {
                Size::B => return None,
                Size::H => UnOp::Swap16,
                Size::W => UnOp::Swap32,
                Size::DW => UnOp::Swap64,
            };
            value = self.put(Op::Un { op, a: value });
        }
        let op = match (size, extend) {
            (Size::B, Extend::Zero) => UnOp::Zext8,
            (Size::H, Extend::Zero) => UnOp::Zext16,
            (Size::W, Extend::Zero) => UnOp::Zext32,
            (Size::B, Extend::Sign) => UnOp::Sext8,
            (Size::H, Extend::Sign) => UnOp::Sext16,
            (Size::W, Extend::Sign) => UnOp::Sext32,
            (Size::DW, _) => return Some(value),
        };
        Some(self.put(Op::Un { op, a: value }))
    }

    pub(super) fn put(&mut self, op: Op) -> Value {
        self.graph.append(self.block, op)
    }

    /// A load before the operation that is being looked at.
    pub(super) fn read(&mut self, load: Op) -> Value {
        let value = self.graph.add(Op::Gone);
        if let Some(op) = self.operation(value, load) {
            self.graph.values[value.index()] = op;
            self.graph.blocks[self.block.index()].body.push(value);
        }
        self.renames.of(value)
    }

    fn store(&mut self, value: Value, at: Address, size: Size, stored: Value, swap: bool) -> Option<Op> {
        let place = Place::of(self.graph, &at, size);
        // Where others write as well, every store is one.
        if !place.is_ours(self.graph) {
            self.stores.clear();
            self.write(Some(place));
            return Some(Op::Store { at, size, value: stored, swap });
        }
        let zero = self.graph.constant(stored) == Some(0);
        if let Some(fact) = self.facts.iter().rev().find(|fact| fact.place.covers(&place)) {
            let same = fact.place == place && fact.value == stored && (fact.swap == swap || size == Size::B);
            if same || zero && self.graph.constant(fact.value) == Some(0) {
                return None;
            }
        }
        let (mut stored, mut swap) = (stored, swap && size != Size::B);
        if let Some(inner) = self.swapped(stored, size) {
            (stored, swap) = (inner, !swap);
        }
        self.write(Some(place));
        self.learn(place, stored, swap, None);
        let (op, joined) = self.stores.add(self.graph, value, at, size, stored, swap);
        if let (true, Op::Store { at, size, value, swap }) = (joined, &op) {
            let place = Place::of(self.graph, at, *size);
            self.learn(place, *value, *swap, None);
        }
        Some(op)
    }

    /// What a value is the reverse of, if nobody else needs it.
    fn swapped(&self, value: Value, size: Size) -> Option<Value> {
        let Op::Un { op, a } = *self.graph.op(value) else { return None };
        let fits = matches!(
            (op, size),
            (UnOp::Swap16, Size::H) | (UnOp::Swap32, Size::W) | (UnOp::Swap64, Size::DW)
        );
        (fits && self.uses.get(value.index()) == Some(&1)).then_some(a)
    }

    /// Lets a load reverse its bytes, if that is all that is done with it.
    fn swap_at(&mut self, loaded: Value, swap: &Op) -> bool {
        let Op::Un { op: swapping, .. } = swap else { return false };
        // What was learned of it elsewhere would have to be changed as well.
        let here =
            self.loads.get(loaded.index()).copied().flatten().is_some_and(|stood| stood.block == self.block);
        if !here || self.uses.get(loaded.index()) != Some(&1) {
            return false;
        }
        let Op::Load { size, extend, swap, .. } = &mut self.graph.values[loaded.index()] else {
            return false;
        };
        let fits = matches!(
            (swapping, *size),
            (UnOp::Swap16, Size::H) | (UnOp::Swap32, Size::W) | (UnOp::Swap64, Size::DW)
        );
        if !fits {
            return false;
        }
        (*swap, *extend) = (!*swap, Extend::Zero);
        let swap = *swap;
        for fact in self.facts.iter_mut().filter(|fact| fact.value == loaded && fact.loaded.is_some()) {
            (fact.swap, fact.loaded) = (swap, Some(Extend::Zero));
        }
        true
    }

    /// Whether a load of this block would load the same here.
    pub(super) fn still(&self, load: Value) -> bool {
        let (Some(Some(stood)), Op::Load { at, size, .. }) =
            (self.loads.get(load.index()), self.graph.op(load))
        else {
            return false;
        };
        if stood.block != self.block {
            return false;
        }
        let place = Place::of(self.graph, at, *size);
        // In a block the count only grows.
        let since = (self.written - stood.written) as usize;
        since <= self.writes.len()
            && self.writes[self.writes.len() - since..]
                .iter()
                .all(|write| write.is_some_and(|write| !write.overlaps(&place)))
    }

    /// Forgets what may have been overwritten.
    fn write(&mut self, place: Option<Place>) {
        self.written += 1;
        if self.writes.len() == WRITES {
            self.writes.remove(0);
        }
        self.writes.push(place);
        match place {
            None => self.facts.clear(),
            Some(place) => {
                let mut parts = [None; 2];
                self.facts.retain(|fact| {
                    if !fact.place.overlaps(&place) {
                        return true;
                    }
                    // Of zeros, the rest are still zeros.
                    if fact.place.near(&place) && fact.loaded.is_none() && fact.place.bytes > 8 {
                        for (part, rest) in parts.iter_mut().zip(fact.place.without(&place)) {
                            *part = rest.map(|rest| (rest, fact.value));
                        }
                    }
                    false
                });
                for (place, value) in parts.into_iter().flatten() {
                    self.learn(place, value, false, None);
                }
            }
        }
    }

    fn learn(&mut self, place: Place, value: Value, swap: bool, loaded: Option<Extend>) {
        if self.facts.len() == FACTS {
            // Zeros of whole frames are worth more than a load.
            let last = usize::from(self.facts[0].place.bytes > 8);
            self.facts.remove(last);
        }
        self.facts.push(Fact { number: self.number, place, value, swap, loaded });
        self.number += 1;
    }
}
