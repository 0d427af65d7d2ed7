//! Look-ups in maps that are known, as values, and accesses to what they find.
//!
//! An element of an array is an index that is small enough, and a sum. Where a key is in another map, [`Op::Lookup`] tells. Both
//! give an address on the host; the guest's, which programs see, is computed for those who want it: mostly it is compared
//! with 0, and then something is accessed behind it, and neither needs it.
//!
//! ```text
//!     v4 = load u32 [stack + 0x1fc]               v4 = load u64 [packet + 0xe]
//!     v5 = lsh64 v4, 3                            v5 = look up v4, v4 in 0
//!     if ge64 v4, entries then b2() else b1()     if eq64 v5, 0 then b2() else b1()
//! b1():                                       b1():
//!     v6 = load u64 [values + v5]                 v6 = load u64 [v5]
//! ```

use sandbpf_isa::{Cond, Extend, Pc, Reg, Size, Width};
use sandbpf_runtime::maps::Flat;

use super::graph::{Address, BinOp, Entry, Key, Op, Region, Test, Value};
use super::translate::Translator;
use crate::maps::Known;

/// What a look-up found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Whether it found something.
    is_there: Test,
    /// Where that is on the host.
    at: Address,
}

/// How many sums an address is followed through to where it was found.
const STEPS: usize = 4;

impl Translator<'_> {
    /// `r0 = map_lookup_elem(map, key)`, if it is known which map that is, and where the key.
    pub(super) fn look_up(&mut self, pc: Pc) -> Option<Value> {
        let maps = self.maps?;
        let (pointer, base) = (self.get(Reg::R1), self.get(Reg::R2));
        let named = self.graph.constant(pointer).and_then(|pointer| maps.at(pointer));
        let number = named.or_else(|| self.proved?.map(pc, maps))?;
        let known = maps.get(number);
        if !known.has_values() || known.is_per_cpu() && !self.graph.machine {
            return None;
        }
        let size = known.key_size();
        let region = match self.proved.and_then(|proved| proved.key(pc, Some(maps))) {
            Some(region) => region.of_graph(),
            None => self.known(base, 0, size)?,
        };
        let key = self.address(region, base, 0);
        match (known.array(), known.flat) {
            (Some((entries, flat)), _) => Some(self.element(number, known, entries, &flat, key)),
            (None, Some(flat)) => Some(self.entry(number, known, &flat, key)),
            (None, None) => None,
        }
    }

    /// An element of an array.
    fn element(&mut self, map: usize, known: &Known, entries: u32, flat: &Flat, key: Address) -> Value {
        let index = self.append(Op::Load { at: key, size: Size::W, extend: Extend::Zero, swap: false });
        let (end, stride) = (self.number(entries.into()), flat.stride);
        let is_there = Test { cond: Cond::Lt, width: Width::W64, lhs: index, rhs: end };
        let off = if stride.is_power_of_two() {
            let count = self.number(stride.trailing_zeros().into());
            self.sum(BinOp::Lsh, index, count)
        } else {
            let stride = self.number(stride);
            self.sum(BinOp::Mul, index, stride)
        };
        let off = match self.copy_of(known, flat) {
            Some(copy) => self.sum(BinOp::Add, off, copy),
            None => off,
        };
        let (first, values) =
            (self.number(flat.start + flat.first), self.number(known.values.wrapping_add(flat.first)));
        let guest = self.sum(BinOp::Add, off, values);
        let at =
            Address { base: first, index: Some((off, 0)), disp: 0, region: Some(Region::Far(map as u16)) };
        self.found(Found { is_there, at }, guest)
    }

    /// What another map has under a key.
    fn entry(&mut self, map: usize, known: &Known, flat: &Flat, key: Address) -> Value {
        let mut word = |off: i32, size: Size| {
            let at = Address { disp: key.disp.wrapping_add(off), ..key };
            self.append(Op::Load { at, size, extend: Extend::Zero, swap: false })
        };
        let key = match known.key_size() {
            _ if !known.is_looked_up() => Key::At(key),
            size @ (1 | 2 | 4 | 8) => {
                let word = word(0, Size::of_bytes(size.into()).unwrap_or(Size::DW));
                Key::Words([word, word])
            }
            12 => Key::Words([word(0, Size::DW), word(8, Size::W)]),
            16 => Key::Words([word(0, Size::DW), word(8, Size::DW)]),
            _ => Key::At(key),
        };
        let marks = known.homes.is_some_and(|homes| homes.marks.is_some());
        let host = self.append(Op::Lookup { map: map as u16, key, marks });
        let zero = self.number(0);
        let is_there = Test { cond: Cond::Ne, width: Width::W64, lhs: host, rhs: zero };
        let host = match self.copy_of(known, flat) {
            Some(copy) => self.sum(BinOp::Add, host, copy),
            None => host,
        };
        let bias = self.number(known.values.wrapping_sub(flat.start));
        let guest = self.sum(BinOp::Add, host, bias);
        let at = Address { base: host, index: None, disp: 0, region: Some(Region::Far(map as u16)) };
        self.found(Found { is_there, at }, guest)
    }

    /// How far this processor's copy of a value is from the first, if there are several.
    fn copy_of(&mut self, known: &Known, flat: &Flat) -> Option<Value> {
        if !known.is_per_cpu() || flat.copies == 1 {
            return None;
        }
        let cpu = match self.cpu {
            Some(cpu) => cpu,
            None => *self.cpu.insert(self.graph.add(Op::Entry(Entry::Cpu))),
        };
        let (copies, bytes) = (self.number(flat.copies.into()), self.number(flat.copy));
        let copy = self.sum(BinOp::Mod, cpu, copies);
        Some(self.sum(BinOp::Mul, copy, bytes))
    }

    fn sum(&mut self, op: BinOp, a: Value, b: Value) -> Value {
        self.append(Op::Bin { op, width: Width::W64, a, b })
    }

    /// The guest's address of what was found, or 0.
    fn found(&mut self, found: Found, guest: Value) -> Value {
        let no = self.number(0);
        let value = self.append(Op::Select { test: found.is_there, yes: guest, no });
        self.found.push((value, found));
        value
    }

    /// What a value is that a look-up found, and what was added since.
    fn as_found(&self, value: Value) -> Option<(Found, i64)> {
        let (mut value, mut off) = (value, 0i64);
        for _ in 0..STEPS {
            if let Ok(place) = self.found.binary_search_by_key(&value, |&(found, _)| found) {
                return Some((self.found[place].1, off));
            }
            let Op::Bin { op: BinOp::Add, width: Width::W64, a, b } = *self.graph.op(value) else { break };
            off = off.wrapping_add(self.graph.constant(b)? as i64);
            value = a;
        }
        None
    }

    /// What is to be tested to know how a value compares with another one: of what was found, where that is on the host.
    pub(super) fn tested(&self, test: Test) -> Test {
        let null = test.width == Width::W64 && self.graph.constant(test.rhs) == Some(0);
        match (test.cond, self.as_found(test.lhs)) {
            (Cond::Ne, Some((Found { is_there, .. }, 0))) if null => is_there,
            (Cond::Eq, Some((Found { is_there, .. }, 0))) if null => {
                let cond = if is_there.cond == Cond::Lt { Cond::Ge } else { Cond::Eq };
                Test { cond, ..is_there }
            }
            _ => test,
        }
    }

    /// Where an access to a value of a map goes that is there.
    pub(super) fn in_map(&mut self, map: usize, bias: u64, base: Value, off: i16) -> Address {
        let region = Region::Far(map as u16);
        if let Some((found, added)) = self.as_found(base)
            && found.at.region == Some(region)
            && let Ok(disp) = i32::try_from(added.wrapping_add(off.into()))
        {
            return Address { disp, ..found.at };
        }
        if let (Some(address), Some(maps)) = (self.graph.constant(base), self.maps) {
            let first = maps.get(map).values;
            if let Ok(disp) = i32::try_from(address.wrapping_add(off as u64).wrapping_sub(first) as i64) {
                let base = self.number(first.wrapping_add(bias));
                return Address { base, index: None, disp, region: Some(region) };
            }
        }
        Address { base: self.base(region), index: Some((base, 0)), disp: off.into(), region: Some(region) }
    }

    /// Whether an address of a value of a map is known to be a multiple of a size: where values begin is one.
    pub(super) fn is_aligned(&self, at: &Address, size: Size) -> bool {
        let begins = at.index.is_none() || !matches!(self.graph.op(at.base), Op::Base(_));
        begins && at.disp % i32::from(size.bytes()) == 0
    }
}
