//! The lists in which states that were kept are looked for.

use std::ops::{Index, IndexMut};

use sandbpf_isa::Pc;

use super::linked::Place;
use crate::state::{Slot, StateId};

/// A state that was kept, as it stands in the list where it is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub(super) pc: Pc,
    pub(super) id: StateId,
    /// The call that its innermost frame is from, and how many there are: others are not compared with it.
    pub(super) callsite: Option<Pc>,
    pub(super) frames: u8,
    pub(super) hits: u32,
    pub(super) misses: u32,
    /// It is final, and what can no longer be read was taken out.
    pub(super) cleaned: bool,
    /// Where the state that it was compared with last differed from it, once it was cleaned, and what is there: most others that
    /// come differ there as well, and it need not be touched to say so. That a number is precise by now may be missing.
    pub(super) differed: Option<(Place, Slot)>,
}

/// The list that nobody is in.
pub(super) const EMPTY: usize = 0;

/// Lists by their places, of which few have one.
#[derive(Debug)]
pub(super) struct Lists {
    places: Vec<u32>,
    lists: Vec<Vec<Listed>>,
}

impl Lists {
    pub(super) fn new(places: usize) -> Lists {
        Lists { places: vec![0; places], lists: vec![Vec::new()] }
    }

    /// The list of a place; the empty one if it has none.
    pub(super) fn find(&self, place: usize) -> usize {
        self.places[place] as usize
    }

    /// The list of a place, to be put into.
    pub(super) fn of(&mut self, place: usize) -> &mut Vec<Listed> {
        if self.find(place) == EMPTY {
            self.places[place] = self.lists.len() as u32;
            self.lists.push(Vec::new());
        }
        &mut self.lists[self.places[place] as usize]
    }

    pub(super) fn clear(&mut self) {
        self.places.fill(0);
        self.lists.truncate(1);
    }
}

impl Index<usize> for Lists {
    type Output = Vec<Listed>;

    fn index(&self, number: usize) -> &Vec<Listed> {
        &self.lists[number]
    }
}

impl IndexMut<usize> for Lists {
    fn index_mut(&mut self, number: usize) -> &mut Vec<Listed> {
        &mut self.lists[number]
    }
}
