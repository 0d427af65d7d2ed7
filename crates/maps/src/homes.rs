//! What machine code may know of a hash table to find elements by itself.
//!
//! It does what [`Hash::lookup`](crate::hash::Hash::lookup) does, on the same words: reads a home's version, compares its tags,
//! compares the key in the slots of those that are the same, and looks at the version again. Where that tells nothing it asks
//! the map.

use crate::body::Body;
use crate::map::Map;

/// Where a table's elements are, as long as the map is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Homes {
    /// The host's address of groups of two words each, homes first: a version and four tags, eight tags.
    pub groups: u64,
    /// The host's address of a word of 32 bits for each group: which group goes on from it, counted from 1.
    pub links: u64,
    /// How many homes there are: a hash tells which one, by the highest 32 bits of its product with this.
    pub homes: u32,
    /// How many groups there are.
    pub count: u32,
    /// What keys are hashed with, as [`hash_of`](crate::hash_of) does.
    pub secrets: [u64; 2],
    /// The host's address of a byte for every slot that a lookup makes 1, if elements are evicted.
    pub marks: Option<u64>,
}

impl Homes {
    /// Places of a group: slot `n` is place `n / count` of group `n % count`, and the record of value `n` starts with the key.
    pub const PLACES: u32 = crate::hash::PLACES;
    /// The bit of a version that says that somebody changes something.
    pub const LOCKED: u64 = crate::hash::LOCKED;
    /// The bit that says that elements may be elsewhere too.
    pub const LINKED: u64 = crate::hash::LINKED;
    /// The tag of a hash: this bit, and the hash's lowest ones.
    pub const TAG: u8 = 0x80;
}

impl Map {
    /// Where the elements are, if machine code can find them by itself.
    #[doc(hidden)]
    pub fn homes(&self) -> Option<Homes> {
        match &self.body {
            Body::Hash(hash) => hash.homes(),
            _ => None,
        }
    }
}
