//! What is being traced back: registers and slots of the stack, frame by frame.

use sandbpf_isa::Reg as R;

use super::linked::Linked;
use crate::error::{Check, refuse};
use crate::state::Step;

/// The registers that arguments are passed in.
pub(super) const ARGUMENTS: u16 = 0b11_1110;

/// What is being traced: a set of registers and slots for each frame.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) frame: usize,
    pub(super) regs: [u16; 9],
    pub(super) slots: [u64; 9],
}

impl Wanted {
    /// What a function that was called leaves in registers of arguments is nothing that its caller may use.
    pub(super) fn no_arguments(&self) -> Check {
        let regs = self.regs[self.frame];
        if regs & ARGUMENTS != 0 {
            refuse!(Fault, "BUG regs {regs:x}");
        }
        Ok(())
    }

    /// Takes away what is in the other, which learns the rest.
    pub(super) fn take_away(&mut self, known: &mut Wanted) {
        for frame in 0..=self.frame {
            self.regs[frame] &= !known.regs[frame];
            self.slots[frame] &= !known.slots[frame];
            known.regs[frame] |= self.regs[frame];
            known.slots[frame] |= self.slots[frame];
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        (0..=self.frame).all(|frame| self.regs[frame] == 0 && self.slots[frame] == 0)
    }

    pub(super) fn has(&self, reg: R) -> bool {
        self.regs[self.frame] & (1 << reg.number()) != 0
    }

    pub(super) fn add(&mut self, reg: R) {
        self.regs[self.frame] |= 1 << reg.number();
    }

    pub(super) fn remove(&mut self, reg: R) {
        self.regs[self.frame] &= !(1 << reg.number());
    }

    pub(super) fn enter(&mut self) -> Check {
        if self.frame + 1 >= self.regs.len() {
            refuse!(Fault, "BUG subprog enter from frame {}", self.frame);
        }
        self.frame += 1;
        Ok(())
    }

    pub(super) fn leave(&mut self) -> Check {
        if self.frame == 0 {
            refuse!(Fault, "BUG subprog exit from frame 0");
        }
        self.frame -= 1;
        Ok(())
    }

    /// If one of the linked numbers is wanted all are (`bt_sync_linked_regs`).
    #[inline]
    pub(super) fn sync(&mut self, step: Option<&Step>) {
        let Some(step) = step.filter(|step| step.linked != 0) else { return };
        let linked = Linked::unpack(step.linked);
        let is_wanted = linked.iter().any(|place| {
            let frame = usize::from(place.frame);
            match place.is_reg {
                true => self.regs[frame] & (1 << place.index) != 0,
                false => self.slots[frame] & (1 << place.index) != 0,
            }
        });
        if !is_wanted {
            return;
        }
        for place in linked.iter() {
            let frame = usize::from(place.frame);
            match place.is_reg {
                true => self.regs[frame] |= 1 << place.index,
                false => self.slots[frame] |= 1 << place.index,
            }
        }
    }
}
