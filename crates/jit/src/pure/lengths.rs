//! One test of the packet's length for several loads.
//!
//! A load beyond the packet's end ends the program with 0. If every way from a load on either needs more of the packet
//! or answers 0 anyway, the packet may be asked for all of that at once; and what was asked for need not be asked again.
//! That holds of lengths from the packet's start, and of lengths behind an index as long as it does not change.

use sandbpf_isa::{Reg, RegSet};

use super::blocks::{Block, BlockId, Blocks, Check, End, Flow, Step};

/// No packet is this long: from here on the answer is 0.
const NEVER: u32 = u32::MAX;
/// Behind how many registers lengths are remembered.
const INDICES: usize = 3;

/// Lengths of the packet from its start, and behind each index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths([u32; 1 + INDICES]);

impl Lengths {
    const NONE: Lengths = Lengths([0; 1 + INDICES]);
    const NEVER: Lengths = Lengths([NEVER; 1 + INDICES]);

    fn min(self, other: Lengths) -> Lengths {
        Lengths(std::array::from_fn(|at| self.0[at].min(other.0[at])))
    }
}

/// The indices whose lengths are remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Indices([Option<Reg>; INDICES]);

impl Indices {
    pub(crate) fn of(blocks: &Blocks) -> Indices {
        let mut indices = Indices([None; INDICES]);
        let mut seen = RegSet::EMPTY;
        for step in &blocks.steps {
            if let Step::Packet { place, .. } = step
                && let Some(index) = place.index
                && !seen.contains(index)
            {
                seen = seen.union(RegSet::of(index));
                match indices.0.iter_mut().find(|place| place.is_none()) {
                    Some(place) => *place = Some(index),
                    None => break,
                }
            }
        }
        indices
    }

    /// Where lengths behind this index stand, or those from the packet's start.
    fn at(&self, index: Option<Reg>) -> Option<usize> {
        match index {
            None => Some(0),
            Some(_) => self.0.iter().position(|&known| known == index).map(|at| at + 1),
        }
    }

    /// What is left when registers change.
    fn forget(&self, writes: RegSet, lengths: &mut Lengths) {
        for (length, reg) in lengths.0[1..].iter_mut().zip(self.0) {
            if *length != NEVER && reg.is_some_and(|reg| writes.contains(reg)) {
                *length = 0;
            }
        }
    }
}

/// How long the packet is known to be before each block.
pub(crate) struct Known {
    indices: Indices,
    before: Vec<Lengths>,
}

impl Known {
    /// How long it is behind an index, or from its start, before a block.
    pub(crate) fn before(&self, id: BlockId, index: Option<Reg>) -> u32 {
        self.indices.at(index).map_or(0, |at| self.before[id.index()].0[at])
    }

    /// The same behind so many of a block's steps.
    pub(crate) fn behind(&self, blocks: &Blocks, id: BlockId, steps: usize, index: Option<Reg>) -> u32 {
        blocks.steps(id)[..steps].iter().fold(self.before(id, index), |known, step| match *step {
            _ if index.is_some_and(|index| step.writes().contains(index)) => 0,
            Step::Packet { place, check: Check::Length(end), .. } if place.index == index => known.max(end),
            _ => known,
        })
    }

    /// What is known if every load asks for what it needs.
    pub(crate) fn of(blocks: &Blocks, flow: &Flow) -> Known {
        let indices = Indices::of(blocks);
        let mut before = start(flow);
        for &id in &flow.order {
            let mut here = before[id.index()];
            for step in blocks.steps(id) {
                if let Step::Packet { place, check: Check::Length(end), .. } = *step
                    && let Some(at) = indices.at(place.index)
                {
                    here.0[at] = here.0[at].max(end);
                }
                indices.forget(step.writes(), &mut here);
            }
            leave(blocks, &indices, blocks.end(id), here, &mut before);
        }
        Known { indices, before }
    }
}

/// Of a way back nothing is known.
fn start(flow: &Flow) -> Vec<Lengths> {
    let start = |&head: &bool| if head { Lengths::NONE } else { Lengths::NEVER };
    let mut before: Vec<Lengths> = flow.heads.iter().map(start).collect();
    before[0] = Lengths::NONE;
    before
}

/// Takes along what is known to where a block leads.
fn leave(blocks: &Blocks, indices: &Indices, end: &End, here: Lengths, before: &mut [Lengths]) {
    let mut meet = |to: usize, there: Lengths| before[to] = before[to].min(there);
    match *end {
        End::Enough { index, bytes, taken, otherwise } => {
            let mut enough = here;
            if let Some(at) = indices.at(index) {
                enough.0[at] = enough.0[at].max(bytes);
            }
            meet(taken.index(), enough);
            meet(otherwise.index(), here);
        }
        ref end => blocks.each_edge(end, |edge| meet(edge.to.index(), here)),
    }
}

/// Has each load ask for all that is needed from there on, or for nothing.
pub(crate) fn run(blocks: &mut Blocks, flow: &Flow) {
    let indices = Indices::of(blocks);
    let needed = needed(blocks, flow, &indices);
    let mut before = start(flow);
    for &id in &flow.order {
        let Block { first, last, end } = blocks.blocks[id.index()];
        let mut here = before[id.index()];
        let range = first as usize..last as usize;
        for (step, needed) in blocks.steps[range.clone()].iter_mut().zip(&needed[range]) {
            if let Step::Packet { place, check: check @ Check::Length(_), .. } = step
                && let Check::Length(end) = *check
                && let Some(at) = indices.at(place.index)
            {
                let need = needed.0[at];
                if here.0[at] >= end {
                    *check = Check::Known;
                } else {
                    // Beyond all packets nothing is gained by asking for more.
                    let ask = if need == NEVER { end } else { need };
                    here.0[at] = ask;
                    *check = Check::Length(ask);
                }
            }
            indices.forget(step.writes(), &mut here);
        }
        leave(blocks, &indices, &end, here, &mut before);
    }
}

/// The largest lengths of which it is true that any shorter packet is answered with 0, from each step on.
fn needed(blocks: &Blocks, flow: &Flow, indices: &Indices) -> Vec<Lengths> {
    let mut before = vec![Lengths::NONE; blocks.blocks.len()];
    let mut needed = vec![Lengths::NONE; blocks.steps.len()];
    for &id in flow.order.iter().rev() {
        let Block { first, last, end } = blocks.blocks[id.index()];
        let mut need = match end {
            End::Answer(0) => Lengths::NEVER,
            End::Answer(_) | End::Exit => Lengths::NONE,
            end => {
                let mut need = Lengths::NEVER;
                blocks.each_edge(&end, |edge| {
                    let there = if edge.cost == 0 { before[edge.to.index()] } else { Lengths::NONE };
                    need = need.min(there);
                });
                need
            }
        };
        for number in (first as usize..last as usize).rev() {
            let step = &blocks.steps[number];
            indices.forget(step.writes(), &mut need);
            if let Step::Packet { place, check: Check::Length(end), .. } = *step
                && let Some(at) = indices.at(place.index)
            {
                need.0[at] = need.0[at].max(end);
            }
            needed[number] = need;
        }
        before[id.index()] = need;
    }
    needed
}
