//! A group of places for elements of a hash table, as readers look through it: a version, and a tag for each place.
//!
//! ```text
//!   word 0    version, tags 0 … 3
//!   word 1    tags 4 … 11
//! ```
//!
//! A tag is the part of an element's hash that tells most others apart; 0 is a free place. A reader compares all tags at
//! once, and looks at the keys of those that are the same, which is seldom more than one.

use std::sync::atomic::{AtomicU64, Ordering};

/// Places of a group.
pub(crate) const PLACES: u32 = 12;
/// The bytes of the version.
const VERSION: u32 = 4;

/// The words of a group, where they are.
pub(super) type Words = [AtomicU64; 2];

/// Some places of a group, in no order that means anything: a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places(u64);

impl Iterator for Places {
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        let bit = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        // Bit 7 of bytes 0 … 7 stands for tags 4 … 11, bit 3 of bytes 4 … 7 for tags 0 … 3.
        (bit < 64).then_some((bit / 8 + 2 * (bit & 4)).wrapping_sub(4))
    }
}

/// A group's words, as they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// The version, and the first tags.
    pub(super) first: u64,
    second: u64,
}

impl Group {
    /// The group in these words, of which the first one was read.
    #[inline(always)]
    pub(super) fn with(first: u64, words: &Words) -> Group {
        Group { first, second: words[1].load(Ordering::Acquire) }
    }

    /// The group in these words.
    pub(super) fn load(words: &Words) -> Group {
        Group::with(words[0].load(Ordering::Acquire), words)
    }

    /// Puts the second word back.
    pub(super) fn store_second(&self, words: &Words) {
        words[1].store(self.second, Ordering::Release);
    }

    /// Puts all of it back.
    pub(super) fn store(&self, words: &Words) {
        self.store_second(words);
        words[0].store(self.first, Ordering::Release);
    }

    /// The places with this tag.
    #[inline(always)]
    pub(super) fn places(&self, tag: u8) -> Places {
        const FIRST: u64 = u64::MAX << (8 * VERSION);
        Places(equal(self.second, tag) | (equal(self.first, tag) & FIRST) >> 4)
    }

    /// Whether all places are free.
    pub(super) fn is_empty(&self) -> bool {
        self.first >> (8 * VERSION) == 0 && self.second == 0
    }

    /// The tags, in the order of their places.
    pub(super) fn tags(&self) -> impl Iterator<Item = u8> {
        let tags = u128::from(self.first >> (8 * VERSION)) | u128::from(self.second) << 32;
        (0..PLACES).map(move |at| (tags >> (8 * at)) as u8)
    }

    /// The tag at a place.
    pub(super) fn tag(&self, at: u32) -> u8 {
        self.tags().nth(at as usize).unwrap_or_default()
    }

    /// Says what is at a place.
    pub(super) fn set_tag(&mut self, at: u32, tag: u8) {
        let (word, at) = match at < VERSION {
            true => (&mut self.first, at + VERSION),
            false => (&mut self.second, at - VERSION),
        };
        *word = *word & !(0xff << (8 * at)) | u64::from(tag) << (8 * at);
    }
}

/// The highest bit of each byte of a word that is this one.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let others = word ^ u64::from_ne_bytes([byte; 8]);
    // No byte carries into the next.
    !(((others & LOW) + LOW) | others | LOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_list(version in any::<u32>(), steps in prop::collection::vec((0..PLACES, prop_oneof![Just(0), 0x80u8..]), 0..60)) {
            let (mut group, mut list) = (Group { first: version.into(), second: 0 }, [0; PLACES as usize]);
            for (at, tag) in steps {
                group.set_tag(at, tag);
                list[at as usize] = tag;
                let words: Words = Default::default();
                group.store(&words);
                prop_assert_eq!(Group::load(&words), group);
                prop_assert_eq!(group.first as u32, version);
                prop_assert_eq!(group.tags().collect::<Vec<u8>>(), list);
                prop_assert_eq!(group.is_empty(), list.iter().all(|&tag| tag == 0));
                for tag in (0x80..=0xff).chain([0]) {
                    let there: Vec<u32> = (0..PLACES).filter(|&at| group.tag(at) == tag).collect();
                    let mut found: Vec<u32> = group.places(tag).collect();
                    found.sort_unstable();
                    prop_assert_eq!(found, there);
                }
            }
        }
    }
}
