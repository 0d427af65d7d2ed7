//! Hash tables: all maps whose keys are any bytes (`kernel/bpf/hashtab.c`).
//!
//! An element has a *slot*, where its key and its value are. [Groups](groups) find slots by hashes: readers take no lock, and
//! those who change something lock a few buckets. As with the kernel's preallocated tables the value of a deleted element stays
//! readable until its slot is reused, and replacing a value puts the new one in another slot: who still looks at the old one
//! sees it whole.
//!
//! A table without a random seed has the kernel's hash function and its order: it is walked as the kernel walks it, and a batch
//! ends where the kernel's would. Its elements are numbered as they come, and those of a bucket sorted when somebody asks.
//!
//! ```text
//!   head of a slot = key, padded to eight | number, where order is the kernel's | node, where elements are evicted
//! ```

mod group;
mod groups;
mod room;
mod update;
mod walk;

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::errno::Errno;
use crate::flags::{EXIST, F_LOCK, NOEXIST};
use crate::fold::{self, Secrets};
use crate::homes::Homes;
use crate::jhash;
use crate::lru::Lru;
use crate::values::Values;
pub(crate) use group::PLACES;
use groups::{Element, Glance, Groups, Home, Sought};
pub(crate) use groups::{LINKED, LOCKED};
use room::Room;

/// Calls `$sized` with the number of bytes of a key and of its words, if it is one that keys mostly have, and evaluates
/// `$other` else.
macro_rules! by_size {
    ($table:ident.$sized:ident($key:ident $(, $argument:expr)*), $other:expr) => {
        by_size!(@ 4 8 12 16 20 24 32 40 48 64; $table $sized $key ($($argument),*) $other)
    };
    (@ $($size:literal)*; $table:ident $sized:ident $key:ident $arguments:tt $other:expr) => {
        match $key.len() {
            $($size => by_size!(@@ $size $table $sized $key $arguments),)*
            _ => $other,
        }
    };
    (@@ $size:literal $table:ident $sized:ident $key:ident ($($argument:expr),*)) => {
        $table.$sized::<$size, { $size / 8 + ($size % 8 != 0) as usize }>($key.first_chunk()? $(, $argument)*)
    };
}
use by_size;

/// How keys become bucket numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hashing {
    /// `jhash` with a seed.
    Jenkins(u32),
    /// A quicker one, with secrets.
    Folding(Secrets),
    /// The key's four bytes are the number.
    Identity,
}

/// What an update writes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'v> {
    /// A program's value, for its CPU; other CPUs' copies of a new element become zero.
    One(&'v [u8]),
    /// All CPUs' copies, as `bpf(2)` has them.
    All(&'v [u8]),
}

/// How a table is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) key_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) cpus: u32,
    pub(crate) hashing: Hashing,
    /// Whether a value is replaced where it is: values of each CPU, and maps in a map.
    pub(crate) in_place: bool,
    /// Whether elements are evicted, and if so whether each CPU has its own lists.
    pub(crate) lru: Option<bool>,
    /// Bytes that a value takes, of all CPUs.
    pub(crate) value: u64,
    /// Bytes that all may take.
    pub(crate) memory: u64,
}

/// A hash table.
#[derive(Debug)]
pub(crate) struct Hash {
    shape: Shape,
    groups: Groups,
    keeper: Keeper,
    /// The next number, where elements have one.
    next: AtomicU64,
    /// The words of a slot's head that hold the element's number and its node.
    number_at: Option<usize>,
    node_at: usize,
    pub(crate) values: Values,
}

/// Who says whether there is room for an element.
#[derive(Debug)]
enum Keeper {
    Room(Room),
    Lru(Lru),
}

impl Hash {
    /// An empty table. A table with lists of each CPU's own has a multiple of the CPUs' number of elements. `values` makes room
    /// for so many values, with so many bytes before each.
    pub(crate) fn new(shape: Shape, values: impl FnOnce(u64, usize) -> Values) -> Result<Self, Errno> {
        let mut shape = shape;
        if shape.lru == Some(true) {
            let more = shape.max_entries.checked_next_multiple_of(shape.cpus);
            shape.max_entries = more.unwrap_or(shape.max_entries / shape.cpus * shape.cpus);
        }
        let number_at = (shape.key_size as usize).div_ceil(8);
        let ordered = !matches!(shape.hashing, Hashing::Folding(_));
        let node_at = number_at + usize::from(ordered);
        let head = 8 * (node_at + usize::from(shape.lru.is_some()));
        let slots = shape.memory / (head as u64 + shape.value);
        let groups = Groups::new(shape.max_entries, slots, ordered)?;
        let keeper = match shape.lru {
            Some(own) => Keeper::Lru(Lru::new(shape.max_entries, groups.slots(), shape.cpus, own)?),
            None => Keeper::Room(Room::new(shape.max_entries)),
        };
        Ok(Hash {
            values: values(groups.slots().into(), head),
            groups,
            keeper,
            next: AtomicU64::new(0),
            number_at: ordered.then_some(number_at),
            node_at,
            shape,
        })
    }

    /// The slot of an element; `mark` remembers that it was used.
    #[inline]
    pub(crate) fn lookup(&self, key: &[u8], mark: bool) -> Option<u32> {
        by_size!(self.lookup_sized(key, mark), self.lookup_any(key, mark))
    }

    /// The same for a key whose size the compiler knows.
    #[inline(never)]
    fn lookup_sized<const SIZE: usize, const WORDS: usize>(
        &self,
        key: &[u8; SIZE],
        mark: bool,
    ) -> Option<u32> {
        let Hashing::Folding(secrets) = self.shape.hashing else { return self.lookup_any(key, mark) };
        if self.key_size() != SIZE {
            return None;
        }
        let sought: [u64; WORDS] = words_of(key);
        match self.groups.glance(fold::hash(key, secrets) as u32, |slot| self.has_words(slot, &sought)) {
            Glance::Slot(slot) => self.marked(slot, mark),
            Glance::Nothing => None,
            Glance::Unsure => self.lookup_any(key, mark),
        }
    }

    /// Whether a slot has a key of these words, if all slots are in one piece.
    #[inline(always)]
    fn has_words<const WORDS: usize>(&self, slot: u32, sought: &[u64; WORDS]) -> Option<bool> {
        let words = self.values.near_head::<WORDS>(slot)?;
        Some((0..WORDS).all(|at| words[at].load(Ordering::Acquire) == sought[at]))
    }

    #[cold]
    #[inline(never)]
    fn lookup_any(&self, key: &[u8], mark: bool) -> Option<u32> {
        self.marked(self.find(self.hash(key)?, key)?, mark)
    }

    #[inline(always)]
    fn marked(&self, slot: u32, mark: bool) -> Option<u32> {
        if let (Keeper::Lru(lru), true) = (&self.keeper, mark) {
            lru.mark(slot);
        }
        Some(slot)
    }

    fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        self.groups.find(hash, &self.sought(key))
    }

    #[inline(always)]
    fn sought<'k>(&'k self, key: &'k [u8]) -> Key<'k> {
        Key { values: &self.values, key }
    }

    /// The key in a slot.
    fn key(&self, slot: u32) -> Vec<u8> {
        let words = self.values.head(slot).unwrap_or_default();
        let mut key: Vec<u8> =
            words.iter().flat_map(|word| word.load(Ordering::Acquire).to_le_bytes()).collect();
        key.truncate(self.key_size());
        key
    }

    /// Lets `look` see an element's slot until it has seen it while nobody changed or removed the element.
    pub(crate) fn look(&self, key: &[u8], mut look: impl FnMut(u32)) -> Option<()> {
        let hash = self.hash(key)?;
        self.groups.steadily(hash, || {
            let slot = self.groups.find_now(hash, &self.sought(key))?;
            look(slot);
            Some(())
        })?
    }

    /// Removes an element; `last_look` sees its slot before anybody can reuse it.
    pub(crate) fn delete(&self, key: &[u8], last_look: impl FnOnce(u32)) -> Result<u32, Errno> {
        let hash = self.hash(key).ok_or(Errno::EINVAL)?;
        let home = self.groups.lock(hash)?;
        let slot = home.find(hash, &self.sought(key)).ok_or(Errno::ENOENT)?;
        last_look(slot);
        self.remove(home, slot);
        Ok(slot)
    }

    /// Removes an element under its value's spin lock; `last_look` sees it.
    pub(crate) fn delete_locked(&self, key: &[u8], mut last_look: impl FnMut(u32)) -> Result<(), Errno> {
        let hash = self.hash(key).ok_or(Errno::EINVAL)?;
        loop {
            let slot = self.find(hash, key).ok_or(Errno::ENOENT)?;
            let guard = self.values.lock(slot.into(), 0)?;
            let home = self.groups.lock(hash)?;
            // It may have moved, or gone.
            if home.find(hash, &self.sought(key)) == Some(slot) {
                last_look(slot);
                drop(guard);
                self.remove(home, slot);
                return Ok(());
            }
        }
    }

    fn remove(&self, mut home: Home<'_>, slot: u32) {
        home.remove(slot);
        match &self.keeper {
            Keeper::Lru(lru) => {
                let node = self.node(lru, slot);
                drop(home);
                node.into_iter().for_each(|node| lru.push(node));
            }
            Keeper::Room(room) => {
                self.values.clear_fields(slot.into());
                drop(home);
                room.give();
            }
        }
    }

    /// Where the elements are, if one hash tells it and values lie in one piece.
    pub(crate) fn homes(&self) -> Option<Homes> {
        let Hashing::Folding(secrets) = self.shape.hashing else { return None };
        self.values.flat()?;
        let marks = match &self.keeper {
            Keeper::Lru(lru) => Some(lru.marks()),
            Keeper::Room(_) => None,
        };
        let (groups, links, homes, count) = self.groups.homes();
        Some(Homes { groups, links, homes, count, secrets: secrets.numbers(), marks })
    }

    /// How many buckets there are.
    pub(crate) fn buckets(&self) -> u32 {
        self.groups.buckets()
    }

    fn key_size(&self) -> usize {
        self.shape.key_size as usize
    }

    /// The hash of a key; `None` if it has the wrong size.
    #[inline(always)]
    fn hash(&self, key: &[u8]) -> Option<u32> {
        if key.len() != self.key_size() {
            return None;
        }
        Some(match self.shape.hashing {
            Hashing::Folding(secrets) => fold::hash(key, secrets) as u32,
            Hashing::Jenkins(seed) => self.groups.hash_of(jhash::hash(key, seed)),
            Hashing::Identity => {
                self.groups.hash_of(key.first_chunk().map_or(0, |key| u32::from_le_bytes(*key)))
            }
        })
    }
}

/// A key, sought in slots.
struct Key<'k> {
    values: &'k Values,
    key: &'k [u8],
}

impl Sought for Key<'_> {
    #[inline(always)]
    fn is_in(&self, slot: u32) -> bool {
        let words = self.values.head(slot).unwrap_or_default();
        let mut parts = words.iter().zip(self.key.chunks(8));
        // A slot without memory has no key, nor a group.
        let is_same = |(word, part): (&AtomicU64, &[u8])| word.load(Ordering::Acquire) == fold::word(part);
        !words.is_empty() && parts.all(is_same)
    }
}

/// The words of a key.
#[inline(always)]
fn words_of<const SIZE: usize, const COUNT: usize>(key: &[u8; SIZE]) -> [u64; COUNT] {
    core::array::from_fn(|at| fold::word(&key[(8 * at).min(SIZE)..(8 * at + 8).min(SIZE)]))
}
