//! A frame's stack: what its bytes hold, in slots of eight.

use std::ops::{Index, IndexMut};
use std::rc::Rc;

use super::cost::Charge;
use super::reg::{Kind, Reg};

/// What a byte of the stack is (`enum bpf_stack_slot_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Byte {
    /// Never written.
    Invalid,
    /// Part of a register that was spilled.
    Spill,
    /// Something.
    Misc,
    /// Zero.
    Zero,
    /// Part of a dynamic pointer.
    Dynptr,
    /// Part of an iterator.
    Iter,
    /// Part of saved interrupt flags.
    Irq,
}

/// Eight bytes of the stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// What they are, counted down as in Linux: `bytes[0]` has the highest address, `bytes[7]` the lowest.
    pub bytes: [Byte; 8],
    /// What was spilled.
    pub reg: Reg,
}

impl Slot {
    /// Never written.
    pub const INVALID: Slot = Slot { bytes: [Byte::Invalid; 8], reg: Reg::UNINIT };

    /// Whether a register was spilled here, whole or in part.
    pub fn is_spill(&self) -> bool {
        self.bytes[7] == Byte::Spill
    }

    /// Whether a number was.
    pub fn is_scalar_spill(&self) -> bool {
        self.is_spill() && self.reg.kind == Kind::Scalar
    }

    /// Whether all eight bytes are of a number that was spilled.
    pub fn is_scalar_spill64(&self) -> bool {
        self.bytes[0] == Byte::Spill && self.reg.kind == Kind::Scalar
    }

    /// Whether something else than data is here.
    pub fn is_special(&self) -> bool {
        matches!(self.bytes[7], Byte::Spill | Byte::Dynptr | Byte::Iter | Byte::Irq)
    }
}

/// The index of the slot that holds the byte at this offset from the frame's end.
pub fn slot_of(off: i32) -> usize {
    ((-off - 1) / 8) as usize
}

/// Slots that are shared between states, and copied when one of them changes.
const PART: usize = 8;

#[derive(Clone, Debug)]
struct Part {
    slots: [Slot; PART],
    _charge: Charge,
}

/// The stack of a frame, as far down as it was touched; slot 0 ends at `r10`. Copies share what they have in common.
#[derive(Clone, Debug, Default)]
pub struct Stack {
    parts: Vec<Rc<Part>>,
    len: usize,
}

impl Stack {
    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none was touched.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A slot, if the stack reaches down to it.
    pub fn get(&self, at: usize) -> Option<&Slot> {
        (at < self.len).then(|| &self.parts[at / PART].slots[at % PART])
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut Slot> {
        (at < self.len).then(|| &mut Rc::make_mut(&mut self.parts[at / PART]).slots[at % PART])
    }

    /// All slots.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.parts.iter().flat_map(|part| &part.slots).take(self.len)
    }

    /// Makes the stack so long at least.
    pub fn grow(&mut self, slots: usize) {
        let part = || Rc::new(Part { slots: [Slot::INVALID; PART], _charge: Charge::new(size_of::<Part>()) });
        self.parts.resize_with(self.parts.len().max(slots.div_ceil(PART)), part);
        self.len = self.len.max(slots);
    }

    /// Changes what was spilled, where that makes a difference.
    pub(crate) fn each_spill(&mut self, mut each: impl FnMut(&mut Reg)) {
        self.each_slot(|_, slot| {
            if slot.is_spill() {
                each(&mut slot.reg);
            }
        });
    }

    /// Changes slots, where that makes a difference.
    pub(crate) fn each_slot(&mut self, mut each: impl FnMut(usize, &mut Slot)) {
        for at in 0..self.len {
            let part = &mut self.parts[at / PART];
            if let Some(part) = Rc::get_mut(part) {
                each(at, &mut part.slots[at % PART]);
                continue;
            }
            let old = part.slots[at % PART];
            let mut slot = old;
            each(at, &mut slot);
            if slot != old {
                Rc::make_mut(part).slots[at % PART] = slot;
            }
        }
    }
}

impl Index<usize> for Stack {
    type Output = Slot;

    fn index(&self, at: usize) -> &Slot {
        assert!(at < self.len, "slot {at} of {}", self.len);
        &self.parts[at / PART].slots[at % PART]
    }
}

impl IndexMut<usize> for Stack {
    fn index_mut(&mut self, at: usize) -> &mut Slot {
        assert!(at < self.len, "slot {at} of {}", self.len);
        &mut Rc::make_mut(&mut self.parts[at / PART]).slots[at % PART]
    }
}
