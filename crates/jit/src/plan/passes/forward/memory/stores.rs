//! Stores side by side: bytes of one number, or constants, become one store where the last of them stood.

use sandbpf_isa::{Extend, Size};

use super::super::Walk;
use super::place::Place;
use crate::plan::graph::{Address, BinOp, Graph, Op, Value};

/// How many stores are remembered.
const PENDING: usize = 8;

/// A store that may still be put off.
#[derive(Clone, Copy, Debug)]
struct Pending {
    store: Value,
    at: Address,
    place: Place,
    size: Size,
    value: Value,
    swap: bool,
}

/// The stores of a block that nobody saw yet.
#[derive(Debug, Default)]
pub(super) struct Stores {
    pending: Vec<Pending>,
    /// Whether some are gone.
    pub(super) joined: bool,
}

impl Stores {
    /// Nothing may be put off any more.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    /// Somebody looks there.
    pub(super) fn read(&mut self, place: &Place) {
        self.pending.retain(|pending| !pending.place.overlaps(place));
    }

    /// Somebody may stop here, and show all memory but the stack of programs without a machine.
    pub(super) fn order(&mut self, graph: &Graph) {
        self.pending.retain(|pending| pending.place.is_stack() && !graph.machine);
    }

    fn push(&mut self, store: Pending) {
        if self.pending.len() == PENDING {
            self.pending.remove(0);
        }
        self.pending.push(store);
    }
}

impl Walk<'_> {
    /// Adds a store: what is to be stored instead, and whether that is more.
    pub(super) fn join_stores(
        &mut self,
        store: Value,
        at: Address,
        size: Size,
        value: Value,
        swap: bool,
    ) -> (Op, bool) {
        let mut new = Pending { store, at, place: Place::of(self.graph, &at, size), size, value, swap };
        self.known.stores.pending.retain(|pending| !pending.place.overlaps(&new.place));
        let mut joined = false;
        while let Some((gone, wide)) = self.wider(&new) {
            let stores = &mut self.known.stores;
            stores.pending.retain(|pending| pending.store != gone);
            self.graph.values[gone.index()] = Op::Gone;
            (new, joined, stores.joined) = (wide, true, true);
        }
        self.known.stores.push(new);
        (Op::Store { at: new.at, size: new.size, value: new.value, swap: new.swap }, joined)
    }

    /// The store before it with which this one is a wider one, and that.
    fn wider(&mut self, new: &Pending) -> Option<(Value, Pending)> {
        for place in (0..self.known.stores.pending.len()).rev() {
            let first = self.known.stores.pending[place];
            if let Some(wide) = self.join(&first, new) {
                return Some((first.store, wide));
            }
        }
        None
    }

    /// Both stores as one that is twice as wide, in the place of the second.
    fn join(&mut self, first: &Pending, second: &Pending) -> Option<Pending> {
        if first.size != second.size || !first.place.near(&second.place) {
            return None;
        }
        let (low, high) =
            if first.place.from < second.place.from { (first, second) } else { (second, first) };
        if low.place.from + low.place.bytes != high.place.from {
            return None;
        }
        let size = twice(low.size)?;
        let place = Place::of(self.graph, &low.at, size);
        let (value, swap) = match (number(self.graph, low, high), joined(self.graph, low, high)) {
            (Some(number), _) => (self.number(number), false),
            (None, Some(joined)) => joined,
            (None, None) => (self.copied(low, high, &place)?, false),
        };
        Some(Pending { store: second.store, at: low.at, place, size, value, swap })
    }

    /// What both stores copy from somewhere, in one load: nobody else needs what they loaded.
    fn copied(&mut self, low: &Pending, high: &Pending, to: &Place) -> Option<Value> {
        let loaded = |pending: &Pending| match *self.graph.op(pending.value) {
            Op::Load { at, size, swap: false, .. } if size == pending.size && !pending.swap => Some(at),
            _ => None,
        };
        let (from, behind) = (loaded(low)?, loaded(high)?);
        let (first, second) =
            (Place::of(self.graph, &from, low.size), Place::of(self.graph, &behind, high.size));
        let beside = first.near(&second) && first.from + first.bytes == second.from;
        let whole = Place::of(self.graph, &from, twice(low.size)?);
        let alone = self.single(low.value) && self.single(high.value);
        // Where the second load stands, the first store was there already; where both are, it is not.
        if !beside || !alone || whole.overlaps(to) || !self.still(low.value) || !self.still(high.value) {
            return None;
        }
        let load = Op::Load { at: from, size: twice(low.size)?, extend: Extend::Zero, swap: false };
        Some(self.put(load))
    }
}

fn twice(size: Size) -> Option<Size> {
    match size {
        Size::B => Some(Size::H),
        Size::H => Some(Size::W),
        Size::W => Some(Size::DW),
        Size::DW => None,
    }
}

/// The constant whose halves these are.
fn number(graph: &Graph, low: &Pending, high: &Pending) -> Option<u64> {
    let bits = low.size.bits();
    let stored = |pending: &Pending| {
        let number = graph.constant(pending.value)?;
        let number = if pending.swap { number.swap_bytes() >> (64 - bits) } else { number };
        Some(low.size.truncate(number))
    };
    let number = stored(low)? | stored(high)? << bits;
    // An instruction has room for 32 bits.
    (bits < 32 || number as i32 as u64 == number).then_some(number)
}

/// The number whose halves these are, and whether it is stored with its bytes reversed.
fn joined(graph: &Graph, low: &Pending, high: &Pending) -> Option<(Value, bool)> {
    let bits = low.size.bits();
    let (a, b) = (piece(graph, low.value, bits), piece(graph, high.value, bits));
    if a.0 != b.0 {
        return None;
    }
    // Single bytes have no order.
    let byte = low.size == Size::B;
    if a.1 + bits == b.1 && (byte || !low.swap && !high.swap) {
        return Some((low.value, false)).filter(|_| holds(graph, low.value, a, bits));
    }
    if b.1 + bits == a.1 && (byte || low.swap && high.swap) {
        return Some((high.value, true)).filter(|_| holds(graph, high.value, b, bits));
    }
    None
}

/// What the low bits of a value, so many, are of, and from which bit on.
fn piece(graph: &Graph, value: Value, bits: u32) -> (Value, u32) {
    let mut value = value;
    let mut from = 0;
    loop {
        value = match *graph.op(value) {
            Op::Un { op, a } if op.kept().is_some_and(|kept| kept >> from >> (bits - 1) & 1 != 0) => a,
            Op::Bin { op: BinOp::Rsh | BinOp::Arsh, width, a, b } => match graph.constant(b) {
                Some(count) if count < 64 && from + bits + count as u32 <= width.bits() => {
                    from += count as u32;
                    a
                }
                _ => return (value, from),
            },
            Op::Bin { op: BinOp::And, width, a, b } => match graph.constant(b) {
                Some(mask)
                    if from + bits <= width.bits()
                        && mask >> from | !(u64::MAX >> (64 - bits)) == u64::MAX =>
                {
                    a
                }
                _ => return (value, from),
            },
            _ => return (value, from),
        };
    }
}

/// Whether a value has twice as many bits of the whole as it was looked at for.
fn holds(graph: &Graph, value: Value, whole: (Value, u32), bits: u32) -> bool {
    piece(graph, value, 2 * bits) == whole
}
