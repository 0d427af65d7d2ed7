//! Checks: which of them cannot fail, and what those that were passed say.

use sandbpf_runtime::address::{self, REGION_SIZE};

use super::fact::Fact;
use super::range::Range;
use super::{NONE, Walk};
use crate::plan::graph::{Address, Graph, Op, Region, Value};
use crate::plan::passes::renames::Renames;

/// What the last walk changes.
pub(super) struct Changes {
    pub(super) renames: Renames,
    /// For every value, the number of the place that it became, if it was a check.
    places: Vec<u32>,
    moved: Vec<Place>,
    /// Checks whose values are used for more than addresses.
    pinned: Vec<bool>,
    /// The last check of every value that is in force here, and what was so before.
    pub(super) checked: Vec<Option<Value>>,
    pub(super) undo: Vec<(Value, Option<Value>)>,
    bases: [Option<Value>; 3],
    calls: bool,
}

/// What a check became: `base + index + disp`.
#[derive(Clone, Copy, Debug)]
struct Place {
    base: Value,
    index: Option<Value>,
    disp: i32,
    region: Option<Region>,
}

/// How far an access may lie from what was checked: so far that sums of displacements have 32 bits.
const NEAR: u32 = 1 << 20;

impl Changes {
    pub(super) fn new(graph: &Graph) -> Changes {
        let values = graph.values.len();
        let mut pinned = Vec::new();
        let mut bases = [None; 3];
        let (mut checks, mut calls) = (false, false);
        for (at, op) in graph.values.iter().enumerate() {
            match op {
                Op::Host { .. } => checks = true,
                Op::Call { .. } => calls = true,
                Op::Base(region) => {
                    if let Some(slot) = slot(*region) {
                        bases[slot] = Some(Value(at as u32));
                    }
                }
                _ => {}
            }
        }
        let sized = |size: bool| if size { values } else { 0 };
        if checks {
            pinned = vec![false; values];
            for code in &graph.blocks {
                for &value in &code.body {
                    uses_but_bases(graph.op(value), &mut |used| pinned[used.index()] = true);
                }
                code.end.uses(|used| pinned[used.index()] = true);
            }
        }
        Changes {
            renames: Renames::new(graph),
            places: vec![NONE; sized(checks)],
            moved: Vec::new(),
            pinned,
            checked: vec![None; sized(checks)],
            undo: Vec::new(),
            bases,
            calls,
        }
    }

    fn base(&mut self, graph: &mut Graph, region: Region) -> Option<Value> {
        let slot = &mut self.bases[slot(region)?];
        Some(*slot.get_or_insert_with(|| graph.add(Op::Base(region))))
    }
}

/// All operands but the bases of addresses that have nothing besides.
fn uses_but_bases(op: &Op, each: &mut impl FnMut(Value)) {
    let index = |at: &Address, each: &mut dyn FnMut(Value)| {
        if let Some((index, _)) = at.index {
            each(index);
        }
        if at.index.is_some() || at.disp.unsigned_abs() > NEAR {
            each(at.base);
        }
    };
    match op {
        Op::Load { at, .. } => index(at, each),
        Op::Store { at, value, .. } => {
            index(at, each);
            each(*value);
        }
        // Nobody makes these of checks that are still there.
        op => op.uses(each),
    }
}

impl Walk<'_> {
    /// Where a check of these bytes can find them.
    fn regions(&self, stack: u32) -> [(Region, u64, u64); 3] {
        let length = match self.length {
            Some(length) if !self.moves => self.facts[length.index()].range.largest(),
            _ => REGION_SIZE,
        };
        let context = (Region::Context, address::CONTEXT, u64::from(self.graph.context));
        [
            context,
            (Region::Stack, address::STACK, u64::from(stack)),
            (Region::Packet, self.graph.packet, length),
        ]
    }

    /// Whether nothing but our regions can be there.
    fn is_here(&self, place: Range) -> bool {
        let region = |start: u64| place.is_within(Range::new(start, start + REGION_SIZE - 1));
        place.is_plain() && [address::CONTEXT, address::STACK, self.graph.packet].into_iter().any(region)
    }

    /// Knows that a check was passed.
    pub(super) fn passed(&mut self, at: Value, off: i32, size: u32, stack: u32) {
        let fact = self.look(at, 3);
        let place = fact.range.shift(off as u64);
        let mut found: Option<Range> = None;
        let mut packet = false;
        for (region, start, bytes) in self.regions(stack) {
            let Some(last) = bytes.checked_sub(size.into()) else { continue };
            if let Some(there) = place.meet(Range::new(start, start + last)) {
                packet = region == Region::Packet && found.is_none();
                found = Some(found.map_or(there, |found| found.join(there)));
            }
        }
        // With a machine there is memory elsewhere, too.
        let elsewhere = self.graph.machine && !self.is_here(place);
        let Some(found) = found.filter(|_| !elsewhere) else { return };
        let mut more = Fact { range: found.shift((off as u64).wrapping_neg()), ..Fact::NONE };
        if packet && !self.moves && found.is_plain() && more.range.is_plain() {
            // The bytes end before the packet does.
            more.slack = Some(i64::from(off) + i64::from(size) - self.graph.packet as i64);
            if let Some(length) = self.length {
                let least = found.lo - self.graph.packet + u64::from(size);
                self.narrow(length, Fact { range: Range::new(least, REGION_SIZE), ..Fact::NONE });
            }
        }
        self.narrow(at, more);
    }

    /// The region in which the bytes that a check is about always lie.
    pub(super) fn proved(&self, at: Value, off: i32, size: u32, stack: u32) -> Option<Region> {
        let fact = self.look(at, 3);
        let place = fact.range.shift(off as u64);
        if !place.is_plain() || !fact.range.is_plain() {
            return None;
        }
        for (region, start, bytes) in self.regions(stack) {
            if place.lo < start || place.lo - start >= REGION_SIZE {
                continue;
            }
            let fits = match region {
                Region::Packet if self.moves => false,
                Region::Packet => {
                    let needed = i64::from(off) + i64::from(size) - start as i64;
                    self.slack(fact).is_some_and(|slack| slack >= needed)
                }
                Region::Context | Region::Stack | Region::Far(_) => {
                    place.hi.checked_add(size.into()).is_some_and(|end| end <= start + bytes)
                }
            };
            return fits.then_some(region);
        }
        None
    }

    /// Removes a check that cannot fail, or that was passed before.
    pub(super) fn check(
        &mut self,
        value: Value,
        check: (Value, i32, u32, u32),
        changes: &mut Changes,
    ) -> bool {
        let (at, off, size, stack) = check;
        // Numbers that were added on the way are not addresses.
        if changes.pinned[value.index()] || at.index() >= changes.checked.len() {
            return false;
        }
        let place = match self.proved(at, off, size, stack) {
            Some(region) => {
                let (mut index, mut disp) = (Some(at), i64::from(off) - self.graph.start(region) as i64);
                if let Some(number) = self.graph.constant(at) {
                    (index, disp) = (None, disp.wrapping_add(number as i64));
                }
                let most = i32::MAX - NEAR as i32;
                let Some(disp) = i32::try_from(disp).ok().filter(|disp| (-most..=most).contains(disp)) else {
                    return false;
                };
                let Some(base) = changes.base(self.graph, region) else { return false };
                Place { base, index, disp, region: Some(region) }
            }
            None => {
                // Helpers may move what checks found.
                let before = if changes.calls { None } else { changes.checked[at.index()] };
                let covers = before.and_then(|before| match *self.graph.op(before) {
                    Op::Host { off: first, size: bytes, stack: least, .. } => {
                        let from = off.checked_sub(first).filter(|&from| (0..NEAR as i32).contains(&from))?;
                        let fits = i64::from(from) + i64::from(size) <= i64::from(bytes) && least <= stack;
                        fits.then_some(Place { base: before, index: None, disp: from, region: None })
                    }
                    _ => None,
                });
                let Some(place) = covers else {
                    changes.undo.push((at, before));
                    changes.checked[at.index()] = Some(value);
                    return false;
                };
                place
            }
        };
        self.facts.resize(self.graph.values.len(), Fact::NONE);
        changes.places[value.index()] = changes.moved.len() as u32;
        changes.moved.push(place);
        self.graph.values[value.index()] = Op::Gone;
        true
    }

    pub(super) fn move_addresses(&mut self, value: Value, changes: &mut Changes) {
        let mut op = std::mem::replace(&mut self.graph.values[value.index()], Op::Gone);
        let moved = |at: &mut Address| {
            let number = changes.places.get(at.base.index()).copied().unwrap_or(NONE);
            let Some(place) = changes.moved.get(number as usize) else { return };
            // There was neither an index nor a large displacement, or the check would be pinned.
            at.disp += place.disp;
            at.base = place.base;
            at.index = place.index.map(|index| (index, 0));
            at.region = place.region;
        };
        match &mut op {
            Op::Load { at, .. } | Op::Store { at, .. } => moved(at),
            Op::Bulk { what, .. } => what.addresses_mut().for_each(moved),
            _ => {}
        }
        self.graph.values[value.index()] = op;
    }
}

/// The number of a region that is the run's own.
fn slot(region: Region) -> Option<usize> {
    match region {
        Region::Stack => Some(0),
        Region::Context => Some(1),
        Region::Packet => Some(2),
        Region::Far(_) => None,
    }
}
