//! What lies in memory, as far as the program put it there or looked: forwarded to those who load it.
//!
//! Facts go along a block, into blocks to which only one edge leads, and into others as far as all edges agree.

use sandbpf_isa::{Extend, Size, Width};

use super::super::super::incoming::Way;
use super::super::Walk;
use super::pieces;
use super::place::Place;
use super::stores::Stores;
use crate::plan::graph::{Address, BinOp, Block, Graph, Key, Op, Region, UnOp, Value};

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
    /// What was put over some of the bytes since: the low bytes of another value.
    patch: Option<Patch>,
}

/// Bytes of a place, and what they are.
#[derive(Clone, Copy, Debug)]
struct Patch {
    offset: i64,
    bytes: i64,
    value: Value,
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

/// What is known of memory where the walk is.
#[derive(Default)]
pub(in super::super) struct Known {
    /// For every load, where it stood.
    loads: Vec<Option<Stood>>,
    facts: Vec<Fact>,
    pub(super) stores: Stores,
    /// The last writes of this block, and how many there were: no place if it may be anywhere.
    writes: Vec<Option<Place>>,
    written: u32,
    /// How many facts there were.
    number: u32,
    /// The facts at the ends of blocks, one behind the other, and where those of each are.
    kept: Vec<Fact>,
    ends: Vec<Option<(u32, u32)>>,
}

/// What is to become of an operation.
pub(in super::super) enum Answer {
    Keep,
    /// Nobody needs it.
    Drop,
    /// That value is the same.
    Is(Value),
}

use Answer::{Drop, Is, Keep};

impl Known {
    pub(in super::super) fn new(graph: &Graph, wanted: bool) -> Known {
        let (values, blocks) = if wanted { (graph.values.len(), graph.blocks.len()) } else { (0, 0) };
        Known { loads: vec![None; values], ends: vec![None; blocks], ..Known::default() }
    }

    /// Starts a block to which these edges lead; what is behind them is known if they are complete.
    pub(in super::super) fn enter(&mut self, ways: &[Way], complete: bool) {
        self.writes.clear();
        self.written = 0;
        self.stores.clear();
        self.facts.clear();
        if !complete {
            return;
        }
        let mut ways = ways.iter();
        let Some((from, to)) = ways.next().and_then(|way| self.ends[way.from.index()]) else { return };
        self.facts.extend_from_slice(&self.kept[from as usize..to as usize]);
        for way in ways {
            match self.ends[way.from.index()] {
                Some((from, to)) => agree(&mut self.facts, &self.kept[from as usize..to as usize]),
                None => self.facts.clear(),
            }
        }
    }
}

impl Walk<'_> {
    /// Ends a block. `done` are those that need nothing more.
    pub(in super::super) fn leave(&mut self, done: &[bool]) {
        let Known { stores, facts, kept, ends, .. } = &mut self.known;
        // Of those that were joined to later ones nothing is left.
        if std::mem::take(&mut stores.joined) {
            let (values, body) = (&self.graph.values, &mut self.graph.blocks[self.block.index()].body);
            body.retain(|value| !matches!(values[value.index()], Op::Gone));
        }
        if self.graph.code(self.block).end.edges().any(|edge| !done[edge.to.index()]) {
            ends[self.block.index()] = Some((kept.len() as u32, (kept.len() + facts.len()) as u32));
            kept.extend_from_slice(facts);
        }
    }

    /// Learns what an operation says of memory, and answers it from that.
    pub(in super::super) fn remember(&mut self, value: Value) -> Answer {
        match *self.graph.op(value) {
            Op::Load { at, size, extend, swap } => return self.load(value, at, size, extend, swap),
            Op::Store { at, size, value: stored, swap } => return self.store(value, at, size, stored, swap),
            Op::Bin { op: BinOp::Or | BinOp::Add | BinOp::Xor, .. } => {
                if let Some(wide) = pieces::joined(self, value) {
                    self.graph.values[value.index()] = wide;
                    // It is as long since memory was looked at as for its pieces, or as if it had been.
                    return self.remember(value);
                }
            }
            Op::Clear { from, bytes } => {
                let from = from.wrapping_sub(self.graph.start(Region::Stack)) as i64;
                let place = Place::stack(from, bytes.into());
                self.known.write(Some(place), None);
                let zero = self.number(0);
                self.known.learn(place, zero, false, None);
            }
            Op::Bulk { ref what, .. } => {
                let to = what.to();
                self.known.stores.clear();
                if let Some(to) = to {
                    // Somewhere in the region, nobody knows how many bytes.
                    self.known.write(to.region.map(|_| Place::anywhere(self.graph, &to)), None);
                }
            }
            Op::Lookup { map, key: Key::At(at), .. } => {
                let key = Place::new(self.graph, &at, self.graph.key_size(map).into());
                self.known.stores.read(&key);
            }
            Op::Call { .. } | Op::Atomic { .. } => {
                self.known.stores.clear();
                self.known.write(None, None);
            }
            Op::Host { .. } | Op::Charge { .. } | Op::Budget | Op::Spend { .. } => {
                self.known.stores.order(self.graph);
            }
            _ => {}
        }
        Keep
    }

    fn load(&mut self, value: Value, at: Address, size: Size, extend: Extend, swap: bool) -> Answer {
        let place = Place::of(self.graph, &at, size);
        if !place.is_ours(self.graph) {
            self.known.stores.read(&place);
            return Keep;
        }
        if let Some(mut fact) = self.known.facts.iter().rev().find(|fact| fact.place.covers(&place)).copied()
        {
            self.patch(&mut fact, &place);
            // Before somebody takes the first new user for the only one.
            self.use_more(fact.value);
            if let Some(known) = self.part_of(&fact, &place, size, extend, swap) {
                self.use_more(known);
                return Is(known);
            }
        }
        self.known.stores.read(&place);
        self.known.learn(place, value, swap && size != Size::B, Some(extend));
        self.stood(value);
        Keep
    }

    /// A value has more users than were counted.
    fn use_more(&mut self, value: Value) {
        if let Some(uses) = self.uses.get_mut(value.index()) {
            *uses = u8::MAX;
        }
    }

    fn stood(&mut self, value: Value) {
        let loads = &mut self.known.loads;
        if loads.len() <= value.index() {
            loads.resize(value.index() + 1, None);
        }
        loads[value.index()] = Some(Stood { block: self.block, written: self.known.written });
    }

    /// Puts a patch into a fact, if these bytes are of both.
    fn patch(&mut self, fact: &mut Fact, place: &Place) {
        let Some(Patch { offset, bytes, value }) = fact.patch else { return };
        let from = place.from - fact.place.from;
        if fact.swap || from + place.bytes <= offset || offset + bytes <= from {
            return;
        }
        self.use_more(fact.value);
        self.use_more(value);
        let mask = u64::MAX >> (64 - bytes * 8);
        let rest = self.with(BinOp::And, Width::W64, fact.value, !(mask << (offset * 8)));
        let rest = self.put(rest);
        let new = self.with(BinOp::And, Width::W64, value, mask);
        let new = self.put(new);
        let new = self.with(BinOp::Lsh, Width::W64, new, offset as u64 * 8);
        let new = self.put(new);
        fact.value = self.put(Op::Bin { op: BinOp::Or, width: Width::W64, a: rest, b: new });
        (fact.loaded, fact.patch) = (None, None);
    }

    /// What a fact says of some of its bytes; `None` if it is cheaper to look.
    fn part_of(
        &mut self,
        fact: &Fact,
        place: &Place,
        size: Size,
        extend: Extend,
        swap: bool,
    ) -> Option<Value> {
        let swap = swap && size != Size::B;
        let (mut value, whole) = (fact.value, fact.place.bytes == place.bytes);
        if fact.patch.is_some() && (fact.swap || whole) {
            return None;
        }
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
                let count = self.number(offset as u64 * 8);
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
        let Some(op) = UnOp::extension(size, extend) else { return Some(value) };
        Some(self.put(Op::Un { op, a: value }))
    }

    fn store(&mut self, value: Value, at: Address, size: Size, stored: Value, swap: bool) -> Answer {
        let place = Place::of(self.graph, &at, size);
        // Where others write as well, every store is one.
        if !place.is_ours(self.graph) {
            self.known.stores.clear();
            self.known.write(Some(place), None);
            return Keep;
        }
        let zero = self.graph.constant(stored) == Some(0);
        if let Some(fact) = self.known.facts.iter().rev().find(|fact| fact.place.covers(&place)) {
            let same = fact.place == place
                && fact.value == stored
                && fact.patch.is_none()
                && (fact.swap == swap || size == Size::B);
            if same || zero && fact.patch.is_none() && self.graph.constant(fact.value) == Some(0) {
                return Drop;
            }
        }
        let (mut stored, mut swap) = (stored, swap && size != Size::B);
        if let Some(inner) = self.swapped(stored, size) {
            (stored, swap) = (inner, !swap);
        }
        let plain = (!swap).then_some(stored);
        self.known.write(Some(place), plain);
        self.known.learn(place, stored, swap, None);
        let (op, joined) = self.join_stores(value, at, size, stored, swap);
        if let (true, Op::Store { at, size, value, swap }) = (joined, &op) {
            let place = Place::of(self.graph, at, *size);
            self.known.learn(place, *value, *swap, None);
        }
        self.graph.values[value.index()] = op;
        Keep
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

    /// Whether a load of this block would load the same here.
    pub(super) fn still(&self, load: Value) -> bool {
        let (Some(Some(stood)), Op::Load { at, size, .. }) =
            (self.known.loads.get(load.index()), self.graph.op(load))
        else {
            return false;
        };
        if stood.block != self.block {
            return false;
        }
        let place = Place::of(self.graph, at, *size);
        // In a block the count only grows.
        let Known { writes, written, .. } = &self.known;
        let since = (written - stood.written) as usize;
        since <= writes.len()
            && writes[writes.len() - since..]
                .iter()
                .all(|write| write.is_some_and(|write| !write.overlaps(&place)))
    }
}

impl Known {
    /// Forgets what may have been overwritten.
    fn write(&mut self, place: Option<Place>, stored: Option<Value>) {
        self.written += 1;
        if self.writes.len() == WRITES {
            self.writes.remove(0);
        }
        self.writes.push(place);
        match place {
            None => self.facts.clear(),
            Some(place) => {
                let mut parts = [None; 2];
                let mut patched = None;
                self.facts.retain(|fact| {
                    if !fact.place.overlaps(&place) {
                        return true;
                    }
                    if let (Some(value), None, false) = (stored, fact.patch, fact.swap) {
                        if fact.place.bytes <= 8
                            && fact.place.bytes > place.bytes
                            && fact.place.covers(&place)
                        {
                            let (offset, bytes) = (place.from - fact.place.from, place.bytes);
                            patched = Some(Fact { patch: Some(Patch { offset, bytes, value }), ..*fact });
                        }
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
                if let Some(fact) = patched {
                    self.add(fact);
                }
            }
        }
    }

    fn learn(&mut self, place: Place, value: Value, swap: bool, loaded: Option<Extend>) {
        self.add(Fact { number: 0, place, value, swap, loaded, patch: None });
    }

    fn add(&mut self, fact: Fact) {
        if self.facts.len() == FACTS {
            // Zeros of whole frames are worth more than a load.
            let last = usize::from(self.facts[0].place.bytes > 8);
            self.facts.remove(last);
        }
        self.facts.push(Fact { number: self.number, ..fact });
        self.number += 1;
    }
}
