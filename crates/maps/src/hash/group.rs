//! A group of elements of a hash table: what fits a line of the processor's caches.
//!
//! ```text
//!   word 0    version, tags 0 … 3
//!   word 1    tags 4 … 10, and one that is always 0
//!   word 2    slots 0, 1
//!    …
//!   word 7    slot 10, the group that goes on
//! ```
//!
//! A tag is the part of an element's hash that tells most others apart; 0 is no element. A reader compares all tags at once,
//! and looks at the keys of those that are the same, which is seldom more than one. Elements stand close together, the newest
//! first.

use std::sync::atomic::{AtomicU64, Ordering};

/// Elements of a group.
pub(super) const ELEMENTS: usize = 11;
/// Words of a group.
pub(super) const WORDS: usize = 8;
/// Every byte's highest bit.
const HIGHEST: u64 = 0x8080_8080_8080_8080;
/// The bytes of the first word that are tags.
const FIRST_TAGS: u64 = 0xffff_ffff << 32;
/// What keeps the bits of the first word's tags apart from those of the second's.
const APART: u32 = 4;

/// The words of a group, where they are.
pub(super) type Words = [AtomicU64; WORDS];

/// An element: its tag and its slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) tag: u8,
    pub(super) slot: u32,
}

/// The places of elements with a tag, in no order: a bit for each.
#[derive(Clone, Copy)]
pub(super) struct Places(u64);

impl Iterator for Places {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        // Bit 7 of byte 0 … 6 stands for tags 4 … 10, bit 3 of byte 4 … 7 for tags 0 … 3.
        (bit < 64).then_some((bit / 8 + 2 * (bit & 4)).wrapping_sub(4))
    }
}

/// Where elements with this tag are; `first` is the first word.
#[inline(always)]
pub(super) fn places(first: u64, words: &Words, tag: u8) -> Places {
    let second = words[1].load(Ordering::Acquire);
    Places(equal(second, tag) | (equal(first, tag) & FIRST_TAGS) >> APART)
}

/// The highest bit of each byte of a word that is this one.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    let others = word ^ u64::from_ne_bytes([byte; 8]);
    // No byte carries into the next.
    !(((others & !HIGHEST) + !HIGHEST) | others | !HIGHEST)
}

/// The slot of the element at a place.
#[inline(always)]
pub(super) fn slot(words: &Words, at: usize) -> u32 {
    (words[(2 + at / 2) % WORDS].load(Ordering::Acquire) >> (32 * (at % 2))) as u32
}

/// The number of the group that goes on, counted from 1.
#[inline(always)]
pub(super) fn link(words: &Words) -> u32 {
    (words[WORDS - 1].load(Ordering::Acquire) >> 32) as u32
}

/// A group, taken out to be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// Tags from the lowest byte on.
    tags: u128,
    slots: [u32; ELEMENTS],
    /// The number of the group that goes on, counted from 1.
    pub(super) link: u32,
}

impl Group {
    /// The group in these words, the first of which is `first`.
    pub(super) fn load(first: u64, words: &Words) -> Group {
        Group {
            tags: u128::from(first >> 32) | u128::from(words[1].load(Ordering::Acquire)) << 32,
            slots: core::array::from_fn(|at| slot(words, at)),
            link: link(words),
        }
    }

    /// Puts it back, but for the first word, which comes last: it is given.
    pub(super) fn store(&self, words: &Words) -> u64 {
        words[1].store((self.tags >> 32) as u64, Ordering::Release);
        for (at, word) in words[2..].iter().enumerate() {
            let high = self.slots.get(2 * at + 1).unwrap_or(&self.link);
            word.store(u64::from(self.slots[2 * at]) | u64::from(*high) << 32, Ordering::Release);
        }
        (self.tags as u64) << 32
    }

    /// How many elements it has.
    pub(super) fn len(&self) -> usize {
        (128 - self.tags.leading_zeros()).div_ceil(8) as usize
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() == ELEMENTS
    }

    /// Its elements in their order.
    pub(super) fn elements(&self) -> impl Iterator<Item = Element> {
        (0..self.len()).map(|at| Element { tag: (self.tags >> (8 * at)) as u8, slot: self.slots[at] })
    }

    /// Puts an element before all others; gives the last one, if it has no place any more.
    pub(super) fn push_front(&mut self, element: Element) -> Option<Element> {
        let last = self.is_full().then(|| self.remove(ELEMENTS - 1));
        self.tags = self.tags << 8 | u128::from(element.tag);
        self.slots.copy_within(..ELEMENTS - 1, 1);
        self.slots[0] = element.slot;
        last
    }

    /// Puts an element behind all others; there must be a place for it.
    pub(super) fn push_back(&mut self, element: Element) {
        let at = self.len();
        self.tags |= u128::from(element.tag) << (8 * at);
        self.slots[at] = element.slot;
    }

    /// Takes an element out; those behind it move up.
    pub(super) fn remove(&mut self, at: usize) -> Element {
        let element = Element { tag: (self.tags >> (8 * at)) as u8, slot: self.slots[at] };
        let before = self.tags & ((1 << (8 * at)) - 1);
        self.tags = self.tags >> (8 * (at + 1)) << (8 * at) | before;
        self.slots.copy_within(at + 1.., at);
        element
    }

    /// Puts another slot in the place of an element's.
    pub(super) fn set_slot(&mut self, at: usize, slot: u32) {
        self.slots[at] = slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_list(steps in prop::collection::vec((0u8..4, 0usize..ELEMENTS, 0x80u8.., any::<u32>()), 0..60)) {
            let (mut group, mut list) = (Group { link: 7, ..Group::default() }, Vec::new());
            for (what, at, tag, slot) in steps {
                let element = Element { tag, slot };
                match what {
                    0 => {
                        list.insert(0, element);
                        prop_assert_eq!(group.push_front(element), list.get(ELEMENTS).copied());
                        list.truncate(ELEMENTS);
                    }
                    1 if list.len() < ELEMENTS => {
                        list.push(element);
                        group.push_back(element);
                    }
                    2 if at < list.len() => prop_assert_eq!(group.remove(at), list.remove(at)),
                    3 if at < list.len() => {
                        list[at].slot = slot;
                        group.set_slot(at, slot);
                    }
                    _ => {}
                }
                prop_assert_eq!(group.elements().collect::<Vec<_>>(), list.clone());
                let words: Words = Default::default();
                let first = group.store(&words) | 0x1234_5678;
                prop_assert_eq!(Group::load(first, &words), group);
                for tag in 0x80..=0xff {
                    let there: Vec<usize> = (0..list.len()).filter(|&at| list[at].tag == tag).collect();
                    let mut found: Vec<usize> = places(first, &words, tag).collect();
                    found.sort_unstable();
                    prop_assert_eq!(found, there);
                }
            }
        }
    }
}
