//! What many instructions want in a register and any could make: numbers, and fields of the environment. They are made where
//! they are first needed in a block, or before the loop in which they are needed.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use sandbpf_isa::{Size, Width};

use super::super::inst::{Inst, Kind, Op, Place, Var};
use super::super::layout::Layout;
use super::super::machine::Widen;
use super::super::nest::{NONE, Nest};
use super::Lower;
use super::entry::field;
use crate::plan::graph::{Block, Graph, Op as GraphOp};

/// A loop of more blocks shares nothing.
const LARGEST: u32 = 64;

/// So much is made before a loop at most.
const MOST: u32 = 12;

/// A block makes something again if it made so many others since.
const RECENT: usize = 8;

/// What is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Shared {
    Number(u64),
    /// The field of the environment at this offset.
    Field(i32),
}

impl Shared {
    /// Whether calls may change it. The stack stays where it is, and the run on its processor.
    fn changes(self) -> bool {
        !matches!(self, Shared::Number(_) | Shared::Field(field::STACK | field::CPU))
    }
}

/// A loop, as far as it matters here.
#[derive(Clone, Copy, Debug)]
struct Around {
    /// The segment at whose end things are made for it, or [`NONE`].
    gate: u32,
    /// How many.
    count: u32,
    /// Whether something is called in it.
    calls: bool,
}

/// Something that is made in the block at hand.
#[derive(Clone, Copy, Debug)]
struct Local {
    /// Before which instruction.
    place: usize,
    var: Var,
    what: Shared,
    /// How many calls come behind it.
    calls: u32,
}

/// What is made, and where.
#[derive(Debug)]
pub(crate) struct Pool {
    loops: Vec<Around>,
    /// The variables of what is made at the end of a segment.
    known: HashMap<(u32, Shared), Var, BuildHasherDefault<Multiply>>,
    local: Vec<Local>,
    /// How many of them have a place behind everything that is there.
    settled: usize,
    /// How many calls of the block at hand were seen.
    calls: u32,
    /// What is made at the ends of segments.
    early: HashMap<u32, Vec<(Var, Shared)>, BuildHasherDefault<Multiply>>,
}

impl Pool {
    pub(crate) fn of(graph: &Graph, nest: &Nest, layout: &Layout) -> Pool {
        let mut sizes = vec![(0u32, false); nest.loops.len()];
        if !sizes.is_empty() {
            for &block in &nest.order {
                let calls = graph.machine && calls(graph, block);
                let mut around = nest.inside[block.index()];
                while around != NONE && sizes[around as usize].0 <= LARGEST {
                    sizes[around as usize].0 += 1;
                    sizes[around as usize].1 |= calls;
                    around = nest.loops[around as usize].parent;
                }
            }
        }
        let around = |(at, &(size, calls)): (usize, &(u32, bool))| {
            let head = nest.loops[at].head;
            let inside = |block: Block| nest.contains(at as u32, block);
            let mut outside = nest.predecessors(head).iter().filter(|&&from| !inside(from));
            let first = layout.spans[at].0;
            let gate = match (outside.next(), outside.next()) {
                _ if size > LARGEST || !nest.loops[at].one_way => NONE,
                // Before the first block is the beginning.
                (None, None) if head == Block::ENTRY => 0,
                (Some(from), None) if head != Block::ENTRY && layout.place[from.index()] < first => {
                    layout.place[from.index()] + 1
                }
                _ => NONE,
            };
            Around { gate, count: 0, calls }
        };
        Pool {
            loops: sizes.iter().enumerate().map(around).collect(),
            known: HashMap::default(),
            local: Vec::new(),
            settled: 0,
            calls: 0,
            early: HashMap::default(),
        }
    }

    /// What was wanted since the last time is made before the instructions that are there.
    pub(super) fn settle(&mut self, place: usize) {
        for local in &mut self.local[self.settled..] {
            local.place = place;
        }
        self.settled = self.local.len();
    }

    /// Something is called here: what is wanted before it is not what is wanted behind it.
    pub(super) fn call(&mut self) {
        self.calls += 1;
    }
}

/// Whether something is called in a block that may move memory.
fn calls(graph: &Graph, block: Block) -> bool {
    graph.code(block).body.iter().any(|&value| matches!(graph.op(value), GraphOp::Call { .. }))
}

impl Lower<'_> {
    /// A variable that holds a number. It is not to be changed.
    pub(super) fn constant(&mut self, number: u64) -> Var {
        self.shared(Shared::Number(number))
    }

    /// A variable that holds what is shared. It is not to be changed.
    pub(super) fn shared(&mut self, what: Shared) -> Var {
        // The outermost loop before which there is a place.
        let block = self.layout.order[self.here as usize];
        let mut found = NONE;
        let mut around = self.nest.inside[block.index()];
        while around != NONE {
            let Around { gate, count, calls } = self.pool.loops[around as usize];
            let possible = gate != NONE && !(calls && what.changes());
            if possible && (count < MOST || self.pool.known.contains_key(&(gate, what))) {
                found = around;
            }
            around = self.nest.loops[around as usize].parent;
        }
        if found == NONE {
            return self.local(what);
        }
        let segment = self.pool.loops[found as usize].gate;
        if let Some(&var) = self.pool.known.get(&(segment, what)) {
            return var;
        }
        let var = self.holder(what);
        self.pool.known.insert((segment, what), var);
        self.pool.loops[found as usize].count += 1;
        self.pool.early.entry(segment).or_default().push((var, what));
        var
    }

    /// The same, made in the block at hand.
    fn local(&mut self, what: Shared) -> Var {
        let pool = &mut self.pool;
        let recent = pool.local.len().saturating_sub(RECENT);
        let calls = pool.calls;
        let same = |local: &Local| local.what == what && (local.calls == calls || !what.changes());
        let var = match pool.local[recent..].iter().position(same) {
            Some(place) => {
                // It is wanted earlier.
                let known = pool.local.remove(recent + place);
                pool.settled -= usize::from(recent + place < pool.settled);
                known.var
            }
            None => self.holder(what),
        };
        self.pool.local.push(Local { place: 0, var, what, calls });
        var
    }

    fn holder(&mut self, what: Shared) -> Var {
        match what {
            Shared::Number(number) => self.fresh(Kind::Number(number)),
            Shared::Field(_) => {
                // It is read as long as something of it is.
                self.env();
                self.fresh(Kind::Plain)
            }
        }
    }

    fn made(&mut self, var: Var, what: Shared, clobbers: bool) -> Inst {
        match what {
            Shared::Number(number) => Inst::number(var, number, clobbers),
            Shared::Field(off) => {
                let load = Inst::new(Op::Load(Widen::Zero(Size::DW)), Width::W64);
                load.dst(var).at(Place::off(self.env(), off))
            }
        }
    }

    /// Makes what loops behind this segment want. Flags may be in use.
    pub(super) fn gate(&mut self, segment: u32) {
        if self.pool.early.is_empty() {
            return;
        }
        for (var, what) in self.pool.early.remove(&segment).unwrap_or_default() {
            let inst = self.made(var, what, false);
            self.push(inst);
        }
    }

    /// Makes what the block wants whose instructions start at `start`.
    pub(super) fn make_local(&mut self, start: usize) {
        self.pool.calls = 0;
        let mut local = std::mem::take(&mut self.pool.local);
        if local.is_empty() {
            return;
        }
        local.sort_by_key(|local| local.place);
        let mut from = self.body.insts.len();
        let filler = Inst::number(Var::NONE, 0, false);
        self.body.insts.resize(from + local.len(), filler);
        let mut to = self.body.insts.len();
        for &Local { place, var, what, .. } in local.iter().rev() {
            debug_assert!(place >= start);
            let moved = from - place;
            self.body.insts.copy_within(place..from, to - moved);
            (from, to) = (place, to - moved - 1);
            self.body.insts[to] = self.made(var, what, true);
        }
        local.clear();
        self.pool.local = local;
        self.pool.settled = 0;
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
