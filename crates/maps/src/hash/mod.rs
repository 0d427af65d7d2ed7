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

    /// Inserts or replaces an element and returns its slot.
    pub(crate) fn update(&self, key: &[u8], from: Source<'_>, flags: u64, cpu: u32) -> Result<u32, Errno> {
        if let Some(done) = self.update_at_home(key, from, flags) {
            return done;
        }
        self.update_anywhere(key, from, flags, cpu)
    }

    /// The same where it is quick; `None` if nothing was done because it is not.
    #[inline]
    fn update_at_home(&self, key: &[u8], from: Source<'_>, flags: u64) -> Option<Result<u32, Errno>> {
        let Source::One(value) = from else { return None };
        by_size!(self.update_sized(key, value, flags), None)
    }

    /// The same for a key whose size the compiler knows. As everywhere, the new value is in a slot before the old one's is free;
    /// readers see both happen at once.
    #[inline(never)]
    fn update_sized<const SIZE: usize, const WORDS: usize>(
        &self,
        key: &[u8; SIZE],
        value: &[u8],
        flags: u64,
    ) -> Option<Result<u32, Errno>> {
        let (Hashing::Folding(secrets), Keeper::Room(room)) = (self.shape.hashing, &self.keeper) else {
            return None;
        };
        if self.shape.in_place || self.key_size() != SIZE || flags > EXIST || !self.values.is_whole(value) {
            return None;
        }
        let (hash, words): (u32, [u64; WORDS]) = (fold::hash(key, secrets) as u32, words_of(key));
        let mut home = self.groups.lock(hash).ok()?;
        let old = home.spot(hash, |slot| self.has_words(slot, &words))?;
        if let Err(errno) = allowed(old.is_some(), flags) {
            return Some(Err(errno));
        }
        let new = home.free_spot()?;
        let (head, rest) = self.values.near_record::<WORDS>(new.slot)?;
        if old.is_none() && !room.take() {
            return Some(Err(Errno::E2BIG));
        }
        let (whole, odd) = value.as_chunks::<8>();
        for (word, part) in rest.iter().zip(whole) {
            word.store(u64::from_le_bytes(*part), Ordering::Release);
        }
        if let (false, Some(word)) = (odd.is_empty(), rest.get(whole.len())) {
            // Padding is zeros.
            word.store(fold::word(odd), Ordering::Release);
        }
        for (word, part) in head.iter().zip(words) {
            word.store(part, Ordering::Release);
        }
        home.exchange(hash, old, new);
        Some(Ok(new.slot))
    }

    fn update_anywhere(&self, key: &[u8], from: Source<'_>, flags: u64, cpu: u32) -> Result<u32, Errno> {
        let cpu = cpu % self.shape.cpus;
        let hash = self.hash(key).ok_or(Errno::EINVAL)?;
        if let (Source::One(bytes), true) = (from, flags & F_LOCK != 0)
            && let Some(slot) = self.find(hash, key)
        {
            // Nobody waits for a value's lock who keeps others from a bucket.
            allowed(true, flags)?;
            return self.values.put(slot.into(), 0, bytes, true).map(|()| slot);
        }
        match &self.keeper {
            Keeper::Room(room) => self.update_plain(room, key, hash, from, flags, cpu),
            Keeper::Lru(lru) => self.update_lru(lru, key, hash, from, flags, cpu),
        }
    }

    fn update_plain(
        &self,
        room: &Room,
        key: &[u8],
        hash: u32,
        from: Source<'_>,
        flags: u64,
        cpu: u32,
    ) -> Result<u32, Errno> {
        let mut home = self.groups.lock(hash)?;
        let old = home.find(hash, &self.sought(key));
        allowed(old.is_some(), flags)?;
        let Some(old) = old else {
            if !room.take() {
                return Err(Errno::E2BIG);
            }
            return self.insert(&mut home, key, hash, from, cpu, None).inspect_err(|_| room.give());
        };
        if self.shape.in_place {
            return self.write(old, from, cpu, false).map(|()| old);
        }
        if flags & F_LOCK != 0 {
            // Somebody was quicker: it has a lock now.
            drop(home);
            return self.update(key, from, flags, cpu);
        }
        let new = match self.insert(&mut home, key, hash, from, cpu, None) {
            Ok(new) => new,
            // Better where it is than not at all.
            Err(_) => return self.write(old, from, cpu, false).map(|()| old),
        };
        home.remove(old);
        self.values.clear_fields(old.into());
        Ok(new)
    }

    /// Puts an element where nobody else is; `node` is its place in the lists.
    fn insert(
        &self,
        home: &mut Home<'_>,
        key: &[u8],
        hash: u32,
        from: Source<'_>,
        cpu: u32,
        node: Option<u32>,
    ) -> Result<u32, Errno> {
        let slot = home.free()?;
        self.write(slot, from, cpu, true)?;
        let words = self.values.head(slot).ok_or(Errno::ENOMEM)?;
        for (word, part) in words.iter().zip(key.chunks(8)) {
            word.store(fold::word(part), Ordering::Release);
        }
        if let Some(word) = self.number_at.and_then(|at| words.get(at)) {
            word.store(self.next.fetch_add(1, Ordering::Relaxed), Ordering::Release);
        }
        if let (Some(node), Some(word)) = (node, words.get(self.node_at)) {
            word.store(node.into(), Ordering::Release);
        }
        home.add(hash, slot);
        Ok(slot)
    }

    /// Room is made before the bucket is locked, because that may evict from any bucket.
    fn update_lru(
        &self,
        lru: &Lru,
        key: &[u8],
        hash: u32,
        from: Source<'_>,
        flags: u64,
        cpu: u32,
    ) -> Result<u32, Errno> {
        let mut new = None;
        if !(self.shape.in_place && flags == EXIST) {
            new = Some(lru.pop(cpu, &|node, slot| self.evict(lru, node, slot)).ok_or(Errno::ENOMEM)?);
        }
        let done = self.groups.lock(hash).and_then(|mut home| {
            let old = home.find(hash, &self.sought(key));
            allowed(old.is_some(), flags)?;
            match (old, new) {
                (Some(old), _) if self.shape.in_place => {
                    lru.mark(old);
                    self.write(old, from, cpu, false).map(|()| (old, new))
                }
                (Some(old), Some(node)) => {
                    let slot = self.insert(&mut home, key, hash, from, cpu, new)?;
                    lru.put(node, slot);
                    lru.mark(slot);
                    home.remove(old);
                    Ok((slot, self.node(lru, old)))
                }
                (None, Some(node)) => {
                    let slot = self.insert(&mut home, key, hash, from, cpu, new)?;
                    lru.put(node, slot);
                    Ok((slot, None))
                }
                (_, None) => Err(Errno::ENOENT),
            }
        });
        match done {
            Ok((slot, unused)) => {
                unused.into_iter().for_each(|node| lru.push(node));
                Ok(slot)
            }
            Err(errno) => {
                new.into_iter().for_each(|node| lru.push(node));
                Err(errno)
            }
        }
    }

    /// The node of an element that was removed, which has none from now on.
    fn node(&self, lru: &Lru, slot: u32) -> Option<u32> {
        self.values.clear_fields(slot.into());
        let node = self.values.head(slot)?.get(self.node_at)?.load(Ordering::Acquire) as u32;
        lru.take(node);
        Some(node)
    }

    /// Removes the element of this node, which was last in this slot, for the lists.
    fn evict(&self, lru: &Lru, node: u32, slot: u32) -> bool {
        let Some(mut home) = self.groups.lock_slot(slot) else { return false };
        let words = self.values.head(slot).unwrap_or_default();
        let is_there =
            words.get(self.node_at).is_some_and(|word| word.load(Ordering::Acquire) == node.into());
        if !(is_there && home.has(slot)) {
            return false;
        }
        home.remove(slot);
        self.node(lru, slot);
        true
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

    fn write(&self, slot: u32, from: Source<'_>, cpu: u32, new: bool) -> Result<(), Errno> {
        match from {
            Source::All(bytes) => self.values.write_copies(slot.into(), bytes),
            Source::One(bytes) => {
                let copies = self.values.copies();
                let copy = if copies == 1 { 0 } else { cpu };
                if new {
                    (0..copies)
                        .filter(|&other| other != copy)
                        .try_for_each(|other| self.values.clear(slot.into(), other))?;
                }
                self.values.write(slot.into(), copy, bytes)
            }
        }
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

/// `check_flags`.
fn allowed(exists: bool, flags: u64) -> Result<(), Errno> {
    match flags & !F_LOCK {
        NOEXIST if exists => Err(Errno::EEXIST),
        EXIST if !exists => Err(Errno::ENOENT),
        _ => Ok(()),
    }
}
