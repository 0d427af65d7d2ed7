//! Numbers in registers: made where they are first needed in a block, or before the loop in which they are needed.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::super::inst::{Inst, Kind, Var};
use super::super::layout::Layout;
use super::super::nest::{NONE, Nest};
use super::Lower;
use crate::plan::graph::Block;

/// A loop of more blocks keeps no numbers in registers.
const LARGEST: u32 = 64;
/// So many numbers are made before a loop at most.
const MOST: u32 = 12;

/// A block makes a number again if it made so many others since.
const RECENT: usize = 8;

/// Numbers that somebody wanted in registers.
#[derive(Debug)]
pub(crate) struct Constants {
    /// For every loop, the segment at whose end its numbers are made, and how many they are.
    gates: Vec<(u32, u32)>,
    /// The variables of numbers, by the segment at whose end they are made.
    known: HashMap<(u32, u64), Var, BuildHasherDefault<Multiply>>,
    /// Numbers of the block at hand: before which of its instructions they are made.
    local: Vec<(usize, Var, u64)>,
    /// How many of them have a place behind everything that is there.
    settled: usize,
    /// Numbers that are made at the ends of segments.
    early: HashMap<u32, Vec<(Var, u64)>, BuildHasherDefault<Multiply>>,
}

impl Constants {
    pub(crate) fn of(nest: &Nest, layout: &Layout) -> Constants {
        let mut sizes = vec![0u32; nest.loops.len()];
        if !sizes.is_empty() {
            for &block in &nest.order {
                let mut around = nest.inside[block.index()];
                while around != NONE && sizes[around as usize] <= LARGEST {
                    sizes[around as usize] += 1;
                    around = nest.loops[around as usize].parent;
                }
            }
        }
        let gate = |(at, size): (usize, &u32)| {
            let head = nest.loops[at].head;
            let inside = |block: Block| nest.contains(at as u32, block);
            let mut outside = nest.predecessors(head).iter().filter(|&&from| !inside(from));
            let first = layout.spans[at].0;
            match (outside.next(), outside.next()) {
                _ if *size > LARGEST || !nest.loops[at].one_way => NONE,
                // Before the first block is the beginning.
                (None, None) if head == Block::ENTRY => 0,
                (Some(from), None) if head != Block::ENTRY && layout.place[from.index()] < first => {
                    layout.place[from.index()] + 1
                }
                _ => NONE,
            }
        };
        let gates = sizes.iter().enumerate().map(gate).map(|gate| (gate, 0)).collect();
        Constants {
            gates,
            known: HashMap::default(),
            local: Vec::new(),
            settled: 0,
            early: HashMap::default(),
        }
    }

    /// Numbers that were wanted since the last time are made before the instructions that are there.
    pub(crate) fn settle(&mut self, place: usize) {
        for (at, ..) in &mut self.local[self.settled..] {
            *at = place;
        }
        self.settled = self.local.len();
    }
}

impl Lower<'_> {
    /// A variable that holds a number. It is not to be changed.
    pub(crate) fn constant(&mut self, number: u64) -> Var {
        // The outermost loop before which there is a place.
        let block = self.layout.order[self.here as usize];
        let mut found = NONE;
        let mut around = self.nest.inside[block.index()];
        while around != NONE {
            let (gate, count) = self.constants.gates[around as usize];
            if gate != NONE && (count < MOST || self.constants.known.contains_key(&(gate, number))) {
                found = around;
            }
            around = self.nest.loops[around as usize].parent;
        }
        if found == NONE {
            return self.local_constant(number);
        }
        let segment = self.constants.gates[found as usize].0;
        if let Some(&var) = self.constants.known.get(&(segment, number)) {
            return var;
        }
        let var = self.fresh(Kind::Number(number));
        self.constants.known.insert((segment, number), var);
        self.constants.gates[found as usize].1 += 1;
        self.constants.early.entry(segment).or_default().push((var, number));
        var
    }

    /// The same, made in the block at hand.
    fn local_constant(&mut self, number: u64) -> Var {
        let local = &mut self.constants.local;
        let recent = local.len().saturating_sub(RECENT);
        let same = local[recent..].iter().position(|&(.., known)| known == number);
        let var = match same {
            Some(place) => {
                // It is wanted earlier.
                let (_, var, _) = local.remove(recent + place);
                self.constants.settled -= usize::from(recent + place < self.constants.settled);
                var
            }
            None => self.fresh(Kind::Number(number)),
        };
        self.constants.local.push((0, var, number));
        var
    }

    /// Makes the numbers that loops behind this segment want. Flags may be in use.
    pub(crate) fn gate(&mut self, segment: u32) {
        for (var, number) in self.constants.early.remove(&segment).unwrap_or_default() {
            self.push(Inst::number(var, number, false));
        }
    }

    /// Makes the numbers of the block whose instructions start at `start`.
    pub(crate) fn insert_constants(&mut self, start: usize) {
        let mut local = std::mem::take(&mut self.constants.local);
        if local.is_empty() {
            return;
        }
        local.sort_by_key(|&(place, ..)| place);
        let insts = &mut self.body.insts;
        let mut from = insts.len();
        let filler = Inst::number(Var::NONE, 0, false);
        insts.resize(from + local.len(), filler);
        let mut to = insts.len();
        for &(place, var, number) in local.iter().rev() {
            debug_assert!(place >= start);
            let moved = from - place;
            insts.copy_within(place..from, to - moved);
            (from, to) = (place, to - moved - 1);
            insts[to] = Inst::number(var, number, true);
        }
        local.clear();
        self.constants.local = local;
        self.constants.settled = 0;
    }
}

/// A hasher for small keys that nobody chooses to annoy us: numbers are the program's, but tables hold few of each segment.
#[derive(Default)]
pub(crate) struct Multiply(u64);

impl Hasher for Multiply {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hash;

    #[test]
    fn keys_differ() {
        let hash = |key: (u32, u64)| {
            let mut hasher = Multiply::default();
            key.hash(&mut hasher);
            hasher.finish()
        };
        let mut seen: Vec<u64> = (0..64).flat_map(|a| (0..64).map(move |b| hash((a, b << 32)))).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 64 * 64);
    }
}
