//! Stores side by side: bytes of one number, or constants, become one store where the last of them stood.

use sandbpf_isa::Size;

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

    /// Adds a store: what is to be stored instead, and whether that is more.
    pub(super) fn add(
        &mut self,
        graph: &mut Graph,
        store: Value,
        at: Address,
        size: Size,
        value: Value,
        swap: bool,
    ) -> (Op, bool) {
        let mut new = Pending { store, at, place: Place::of(graph, &at, size), size, value, swap };
        self.pending.retain(|pending| !pending.place.overlaps(&new.place));
        let mut joined = false;
        while let Some((place, wide)) = self
            .pending
            .iter()
            .enumerate()
            .rev()
            .find_map(|(place, pending)| Some((place, join(graph, pending, &new)?)))
        {
            let gone = self.pending.remove(place);
            graph.values[gone.store.index()] = Op::Gone;
            (new, joined, self.joined) = (wide, true, true);
        }
        if self.pending.len() == PENDING {
            self.pending.remove(0);
        }
        self.pending.push(new);
        (Op::Store { at: new.at, size: new.size, value: new.value, swap: new.swap }, joined)
    }
}

/// Both stores as one that is twice as wide, in the place of the second.
fn join(graph: &mut Graph, first: &Pending, second: &Pending) -> Option<Pending> {
    if first.size != second.size || !first.place.near(&second.place) {
        return None;
    }
    let (low, high) = if first.place.from < second.place.from { (first, second) } else { (second, first) };
    if low.place.from + low.place.bytes != high.place.from {
        return None;
    }
    let size = match low.size {
        Size::B => Size::H,
        Size::H => Size::W,
        Size::W => Size::DW,
        Size::DW => return None,
    };
    let (value, swap) = joined(graph, low, high)?;
    Some(Pending {
        store: second.store,
        at: low.at,
        place: Place::of(graph, &low.at, size),
        size,
        value,
        swap,
    })
}

/// The number whose halves these are, and whether it is stored with its bytes reversed.
fn joined(graph: &mut Graph, low: &Pending, high: &Pending) -> Option<(Value, bool)> {
    let bits = low.size.bits();
    let stored = |pending: &Pending| {
        let number = graph.constant(pending.value)?;
        let number = if pending.swap { number.swap_bytes() >> (64 - bits) } else { number };
        Some(low.size.truncate(number))
    };
    if let (Some(low), Some(high)) = (stored(low), stored(high)) {
        let number = low | high << bits;
        // An instruction has room for 32 bits.
        let fits = bits < 32 || number as i32 as u64 == number;
        return fits.then(|| (graph.add(Op::Const(number)), false));
    }
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
