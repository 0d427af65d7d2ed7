//! A frame's stack: what its bytes hold, in slots of eight.

use std::cell::{Cell, RefCell};
use std::ops::{Index, IndexMut};
use std::thread::LocalKey;

use super::cost::Charge;
use super::reg::{Kind, Reg};
use super::shared::{Pool, Reuse, Shared};

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

#[derive(Debug)]
struct Part {
    slots: [Slot; PART],
    /// Of those with a bit set it is known that they are [`Slot::INVALID`]; of others nothing is.
    blank: u8,
    /// Those without a bit hold no precise number that was spilled; others may. Learnt when it is looked for.
    marked: Cell<u8>,
    charge: Charge,
}

thread_local! {
    static PARTS: Pool<Part> = const { RefCell::new(Vec::new()) };
}

impl Clone for Part {
    fn clone(&self) -> Part {
        Part { marked: self.marked.clone(), charge: Charge::new(size_of::<Part>()), ..*self }
    }

    fn clone_from(&mut self, source: &Part) {
        self.slots = source.slots;
        self.blank = source.blank;
        self.marked.set(source.marked.get());
        self.charge.set(size_of::<Part>());
    }
}

impl Reuse for Part {
    fn pool() -> &'static LocalKey<Pool<Part>> {
        &PARTS
    }

    fn empty(&mut self) {
        self.charge.set(0);
    }
}

impl Part {
    fn new() -> Part {
        Part {
            slots: [Slot::INVALID; PART],
            blank: u8::MAX,
            marked: Cell::new(0),
            charge: Charge::new(size_of::<Part>()),
        }
    }

    /// A slot, to change it in whatever way.
    fn slot_mut(&mut self, at: usize) -> &mut Slot {
        self.blank &= !(1 << at);
        self.marked.set(self.marked.get() | 1 << at);
        &mut self.slots[at]
    }

    /// Slots that may hold something, with their places.
    fn present(&self) -> impl Iterator<Item = (usize, &Slot)> {
        bits(!self.blank).map(|at| (at, &self.slots[at]))
    }

    /// Which hold a precise number that was spilled.
    fn precise(&self) -> u8 {
        let marked = self.marked.get();
        if marked != 0 {
            let holds = |at: &usize| self.slots[*at].is_scalar_spill() && self.slots[*at].reg.precise;
            self.marked.set(bits(marked).filter(holds).fold(0, |mask, at| mask | 1 << at));
        }
        self.marked.get()
    }
}

/// Gives back the memory that waits to be used again.
pub(super) fn release() {
    super::shared::release::<Part>();
}

/// The bits that are set, the lowest first.
pub(crate) fn bits(mask: impl Into<u64>) -> impl Iterator<Item = usize> {
    let mut mask: u64 = mask.into();
    std::iter::from_fn(move || {
        let at = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
        (at < 64).then_some(at)
    })
}

/// The stack of a frame, as far down as it was touched; slot 0 ends at `r10`. Copies share what they have in common.
#[derive(Debug, Default)]
pub struct Stack {
    parts: Vec<Shared<Part>>,
    len: usize,
}

impl Clone for Stack {
    fn clone(&self) -> Stack {
        Stack { parts: self.parts.clone(), len: self.len }
    }

    fn clone_from(&mut self, source: &Stack) {
        self.parts.clone_from(&source.parts);
        self.len = source.len;
    }
}

impl Stack {
    /// It holds nothing, and is of no length.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.len = 0;
    }

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

    /// All slots.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.parts.iter().flat_map(|part| &part.slots).take(self.len)
    }

    /// The slots that may hold something, with their places.
    pub(crate) fn present(&self) -> impl Iterator<Item = (usize, &Slot)> {
        let parts = self.parts.iter().enumerate();
        parts.flat_map(|(part, of)| of.present().map(move |(at, slot)| (part * PART + at, slot)))
    }

    /// Makes the stack so long at least.
    pub fn grow(&mut self, slots: usize) {
        self.parts.resize_with(self.parts.len().max(slots.div_ceil(PART)), || Shared::new(Part::new()));
        self.len = self.len.max(slots);
    }

    /// The slots that hold a precise number that was spilled.
    pub(crate) fn precise(&self) -> u64 {
        let parts = self.parts.iter().enumerate();
        parts.fold(0, |mask, (part, of)| mask | u64::from(of.precise()) << (part * PART))
    }

    /// No number that was spilled is precise any more.
    pub(crate) fn forget_precise(&mut self) {
        for part in &mut self.parts {
            let precise = part.precise();
            if precise != 0 {
                let part = part.make_mut();
                bits(precise).for_each(|at| part.slots[at].reg.precise = false);
                part.marked.set(0);
            }
        }
    }

    /// Whether something that was spilled is such.
    pub(crate) fn has_spill(&self, is_such: impl Fn(&Reg) -> bool) -> bool {
        let mut spills = self.parts.iter().flat_map(|part| part.present());
        spills.any(|(_, slot)| slot.is_spill() && is_such(&slot.reg))
    }

    /// Changes what was spilled and is such.
    pub(crate) fn each_spill(&mut self, is_such: impl Fn(&Reg) -> bool, mut change: impl FnMut(&mut Reg)) {
        for part in &mut self.parts {
            let concerned = part.present().filter(|(_, slot)| slot.is_spill() && is_such(&slot.reg));
            let concerned = concerned.fold(0u8, |mask, (at, _)| mask | 1 << at);
            if concerned != 0 {
                let part = part.make_mut();
                bits(concerned).for_each(|at| change(&mut part.slot_mut(at).reg));
            }
        }
    }

    /// Changes slots that may hold something, where that makes a difference.
    pub(crate) fn each_slot(&mut self, mut each: impl FnMut(usize, &mut Slot)) {
        for (number, part) in self.parts.iter_mut().enumerate() {
            for at in bits(!part.blank) {
                let old = part.slots[at];
                let mut slot = old;
                each(number * PART + at, &mut slot);
                if slot != old {
                    *part.make_mut().slot_mut(at) = slot;
                }
            }
        }
    }

    /// Forgets what all other slots hold.
    pub(crate) fn keep_only(&mut self, alive: u64) {
        for (number, part) in self.parts.iter_mut().enumerate() {
            let dead = !(alive.checked_shr((number * PART) as u32).unwrap_or(0) as u8) & !part.blank;
            if dead != 0 {
                let part = part.make_mut();
                bits(dead).for_each(|at| part.slots[at] = Slot::INVALID);
                part.blank |= dead;
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
        self.parts[at / PART].make_mut().slot_mut(at % PART)
    }
}
