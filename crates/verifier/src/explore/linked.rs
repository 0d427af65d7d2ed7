//! Numbers that are linked: copies of one number, or the number plus a constant. What a branch says of one it says
//! of all.

use sandbpf_isa::Width;

use super::Verifier;
use crate::state::{ADD_CONST, ADD_CONST32, Kind, Reg, State};

/// Where a linked number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) frame: u8,
    pub(crate) is_reg: bool,
    pub(crate) index: u8,
}

/// How many are followed; others lose their link.
const MOST: usize = 6;
const PLACE_BITS: u32 = 10;

/// Linked numbers, few enough to be written into a history's step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Linked {
    places: [Option<Place>; MOST],
    count: usize,
}

impl Linked {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Place> + '_ {
        self.places.iter().flatten().copied()
    }

    fn add(&mut self, place: Place) -> bool {
        let Some(free) = self.places.get_mut(self.count) else { return false };
        *free = Some(place);
        self.count += 1;
        true
    }

    pub(crate) fn pack(&self) -> u64 {
        let packed = self.iter().enumerate().fold(0, |packed, (at, place)| {
            let bits = u64::from(place.frame) | u64::from(place.index) << 3 | u64::from(place.is_reg) << 9;
            packed | bits << (4 + PLACE_BITS * at as u32)
        });
        packed | self.count as u64
    }

    pub(crate) fn unpack(packed: u64) -> Linked {
        let mut linked = Linked::default();
        for at in 0..(packed & 15) as u32 {
            let bits = packed >> (4 + PLACE_BITS * at);
            linked.add(Place {
                frame: (bits & 7) as u8,
                index: (bits >> 3 & 63) as u8,
                is_reg: bits >> 9 & 1 != 0,
            });
        }
        linked
    }
}

impl Verifier<'_> {
    /// Adds all numbers with this id, but for registers that nobody will read; those for which there is no room lose
    /// it (`collect_linked_regs`).
    pub(crate) fn collect_linked(&mut self, id: u32, linked: &mut Linked) {
        let id = id & !ADD_CONST;
        let is_linked = |reg: &Reg| reg.kind == Kind::Scalar && reg.id & !ADD_CONST == id;
        for number in (0..self.cur.frames.len()).rev() {
            let frame = &self.cur.frames[number];
            let pc = if number + 1 == self.cur.frames.len() { self.pc } else { self.cur.frame_pc(number) };
            let live = self.graph.marks[pc.index()].live;
            let is_live = |at: usize| live & (1 << at) != 0;
            let regs = (0..10).filter(|&at| is_live(at) && is_linked(&frame.regs[at])).map(|at| (true, at));
            let slots = frame.stack.iter().enumerate();
            let slots =
                slots.filter(|(_, slot)| slot.is_spill() && is_linked(&slot.reg)).map(|(at, _)| (false, at));
            let found: Vec<_> = regs.chain(slots).collect();
            for (is_reg, index) in found {
                if linked.add(Place { frame: number as u8, is_reg, index: index as u8 }) {
                    continue;
                }
                let frame = self.cur.frame_mut(number);
                let reg = if is_reg { &mut frame.regs[index] } else { &mut frame.stack[index].reg };
                reg.id = 0;
            }
        }
    }
}

/// Tells all linked numbers what is now known of one (`sync_linked_regs`).
pub(crate) fn sync(state: &mut State, known: &Reg, linked: &Linked) {
    for place in linked.iter() {
        let Some(frame) = state.frames.get_mut(usize::from(place.frame)) else { continue };
        let frame = frame.make_mut();
        let index = usize::from(place.index);
        let reg = if place.is_reg { &mut frame.regs[index] } else { &mut frame.stack[index].reg };
        if reg.kind != Kind::Scalar || reg.id & !ADD_CONST != known.id & !ADD_CONST {
            continue;
        }
        if (reg.id ^ known.id) & ADD_CONST == ADD_CONST {
            // One was moved as a 32-bit number, the other as a 64-bit one: they are not always as far from each other.
            continue;
        }
        let apart = (reg.id | known.id) & ADD_CONST != 0 && reg.off != known.off;
        if !apart {
            *reg = *known;
            continue;
        }
        let distance = i64::from(reg.off) - i64::from(known.off);
        let width = if (reg.id | known.id) & ADD_CONST32 != 0 { Width::W32 } else { Width::W64 };
        let num = known.num.moved(distance, width);
        *reg = Reg { num, off: reg.off, id: reg.id, ..*known };
    }
}
