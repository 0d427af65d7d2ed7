//! Hash tables: all maps whose keys are any bytes (`kernel/bpf/hashtab.c`).
//!
//! An element has a *slot*, which says where its key and its value are. [Groups](groups) find slots by hashes: readers take no
//! lock, and those who change something lock a few buckets. As with the kernel's preallocated tables the value of a deleted
//! element stays readable until its slot is reused, and replacing a value puts the new one in another slot: who still looks at
//! the old one sees it whole.
//!
//! Bucket numbers and the order in a bucket are the kernel's, and so is the hash function of a table without a random seed: it
//! is walked in the kernel's order, and a batch ends where the kernel's would.

mod group;
mod groups;
mod slots;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::errno::Errno;
use crate::flags::{EXIST, F_LOCK, NOEXIST};
use crate::fold::{self, Secrets};
use crate::jhash;
use crate::lru::Lru;
use crate::values::Values;
use group::Element;
use groups::{Groups, Home, Place};
use slots::Slots;

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
    /// Bytes that it may need besides its values.
    pub(crate) memory: u64,
}

/// A hash table.
#[derive(Debug)]
pub(crate) struct Hash {
    shape: Shape,
    groups: Groups,
    owner: Owner,
    pub(crate) values: Values,
}

/// Who says which slots are free.
#[derive(Debug)]
enum Owner {
    Slots(Slots),
    Lru(Lru),
}

impl Hash {
    /// An empty table. A table with lists of each CPU's own has a multiple of the CPUs' number of slots. `values` makes room for
    /// so many values, with so many bytes before each.
    pub(crate) fn new(shape: Shape, values: impl FnOnce(u64, usize) -> Values) -> Result<Self, Errno> {
        let mut shape = shape;
        if shape.lru == Some(true) {
            let more = shape.max_entries.checked_next_multiple_of(shape.cpus);
            shape.max_entries = more.unwrap_or(shape.max_entries / shape.cpus * shape.cpus);
        }
        let (owner, count) = match shape.lru {
            Some(own) => {
                let lru = Lru::new(shape.max_entries, shape.cpus, own, shape.memory)?;
                (Owner::Lru(lru), u64::from(shape.max_entries))
            }
            None => {
                let slots = Slots::new(shape.max_entries);
                let count = slots.count();
                (Owner::Slots(slots), count)
            }
        };
        Ok(Hash {
            groups: Groups::new(shape.max_entries, shape.memory),
            owner,
            values: values(count, shape.key_size as usize),
            shape,
        })
    }

    /// The slot of an element; `mark` remembers that it was used.
    #[inline]
    pub(crate) fn lookup(&self, key: &[u8], mark: bool) -> Option<u32> {
        match key.len() {
            4 => self.lookup_sized::<4>(key.first_chunk()?, mark),
            8 => self.lookup_sized::<8>(key.first_chunk()?, mark),
            16 => self.lookup_sized::<16>(key.first_chunk()?, mark),
            _ => self.marked(self.find(self.hash(key)?, key)?, mark),
        }
    }

    /// The same for a key whose size the compiler knows.
    #[inline]
    pub(crate) fn lookup_sized<const SIZE: usize>(&self, key: &[u8; SIZE], mark: bool) -> Option<u32> {
        self.marked(self.find(self.hash(key)?, key)?, mark)
    }

    #[inline(always)]
    fn marked(&self, slot: u32, mark: bool) -> Option<u32> {
        if let (Owner::Lru(lru), true) = (&self.owner, mark) {
            lru.mark(slot);
        }
        Some(slot)
    }

    #[inline(always)]
    fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        self.groups.find(hash, |slot| self.has(slot, key))
    }

    /// Whether this is the key in a slot.
    #[inline(always)]
    fn has(&self, slot: u32, key: &[u8]) -> bool {
        let Some(words) = self.values.head(slot) else { return false };
        let mut parts = words.iter().zip(key.chunks(8));
        parts.all(|(word, part): (&AtomicU64, &[u8])| word.load(Ordering::Acquire) == fold::word(part))
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
        let home = self.groups.home_of(self.groups.bucket(hash)).0;
        self.groups.look(home, |elements| {
            let found = elements.iter().find(|element| self.has(element.slot, key))?;
            look(found.slot);
            Some(())
        })?
    }

    /// Inserts or replaces an element and returns its slot.
    pub(crate) fn update(&self, key: &[u8], from: Source<'_>, flags: u64, cpu: u32) -> Result<u32, Errno> {
        let cpu = cpu % self.shape.cpus;
        let hash = self.hash(key).ok_or(Errno::EINVAL)?;
        match &self.owner {
            Owner::Slots(slots) => loop {
                if let Some(done) = self.update_plain(slots, key, hash, from, flags, cpu) {
                    return done;
                }
            },
            Owner::Lru(lru) => self.update_lru(lru, key, hash, from, flags, cpu),
        }
    }

    /// An update; nothing if it has to be tried again.
    fn update_plain(
        &self,
        slots: &Slots,
        key: &[u8],
        hash: u32,
        from: Source<'_>,
        flags: u64,
        cpu: u32,
    ) -> Option<Result<u32, Errno>> {
        if (self.shape.in_place || flags & F_LOCK != 0)
            && let Some(slot) = self.find(hash, key)
        {
            return self.update_in_place(slot, key, hash, from, flags, cpu);
        }
        // The value is written before anybody else waits.
        let mut shard = slots.shard();
        let new = slots.spare(&mut shard);
        let written = self.write(new, from, cpu, true).and_then(|()| self.set_key(new, key));
        let mut home = match written.and_then(|()| self.groups.lock(hash)) {
            Ok(home) => home,
            Err(errno) => return Some(Err(errno)),
        };
        let old = home.find(hash, |slot| self.has(slot, key));
        if let Err(errno) = allowed(old.is_some(), flags) {
            return Some(Err(errno));
        }
        if let Some(old) = old {
            if self.shape.in_place || flags & F_LOCK != 0 {
                // Somebody was quicker.
                return None;
            }
            self.move_to(&mut home, old, new);
            drop(home);
            self.values.clear_fields(old.slot.into());
            shard.used(old.slot);
            return Some(Ok(new));
        }
        let Some(next) = slots.allow(&mut shard) else {
            drop((home, shard));
            return if slots.borrow() { None } else { Some(Err(Errno::E2BIG)) };
        };
        if let Err(errno) = home.insert(hash, new) {
            shard.give(next);
            return Some(Err(errno));
        }
        shard.used(next);
        Some(Ok(new))
    }

    /// Replaces a value where it is: under its own lock, or while nobody can remove it.
    fn update_in_place(
        &self,
        slot: u32,
        key: &[u8],
        hash: u32,
        from: Source<'_>,
        flags: u64,
        cpu: u32,
    ) -> Option<Result<u32, Errno>> {
        if let Err(errno) = allowed(true, flags) {
            return Some(Err(errno));
        }
        if let (Source::One(bytes), true) = (from, flags & F_LOCK != 0) {
            return Some(self.values.put(slot.into(), 0, bytes, true).map(|()| slot));
        }
        let home = match self.groups.lock(hash) {
            Ok(home) => home,
            Err(errno) => return Some(Err(errno)),
        };
        let place = home.find(hash, |slot| self.has(slot, key))?;
        Some(self.write(place.slot, from, cpu, false).map(|()| place.slot))
    }

    /// A slot is taken before the bucket is locked, because taking one may evict from any bucket.
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
            let slot = lru.pop(cpu, hash, &|slot, hash| self.evict(slot, hash)).ok_or(Errno::ENOMEM)?;
            let written = match self.shape.in_place {
                true => self.values.touch(slot.into()).map(|_| ()),
                false => self.write(slot, from, cpu, true),
            };
            written.and_then(|()| self.set_key(slot, key)).inspect_err(|_| lru.push(slot))?;
            new = Some(slot);
        }
        let done = self.groups.lock(hash).and_then(|mut home| {
            let old = home.find(hash, |slot| self.has(slot, key));
            allowed(old.is_some(), flags)?;
            match (old, new) {
                (Some(old), _) if self.shape.in_place => {
                    lru.mark(old.slot);
                    self.write(old.slot, from, cpu, false).map(|()| (old.slot, new))
                }
                (Some(old), Some(slot)) => {
                    lru.mark(slot);
                    self.move_to(&mut home, old, slot);
                    Ok((slot, Some(old.slot)))
                }
                (None, Some(slot)) => {
                    if self.shape.in_place {
                        self.write(slot, from, cpu, true)?;
                    }
                    home.insert(hash, slot).map(|()| (slot, None))
                }
                (_, None) => Err(Errno::ENOENT),
            }
        });
        match done {
            Ok((slot, unused)) => {
                self.give(lru, unused);
                Ok(slot)
            }
            Err(errno) => {
                self.give(lru, new);
                Err(errno)
            }
        }
    }

    /// Puts another slot in the place of an element's. Where order is the kernel's, the element is the newest then.
    fn move_to(&self, home: &mut Home<'_>, old: Place, slot: u32) {
        match self.shape.hashing {
            Hashing::Folding(_) => home.set_slot(old, slot),
            Hashing::Jenkins(_) | Hashing::Identity => home.replace(old, slot),
        }
    }

    fn give(&self, lru: &Lru, slot: Option<u32>) {
        if let Some(slot) = slot {
            self.values.clear_fields(slot.into());
            lru.push(slot);
        }
    }

    /// Removes the element that is in this slot, for the lists.
    fn evict(&self, slot: u32, hash: u32) -> bool {
        let Ok(mut home) = self.groups.lock(hash) else { return false };
        let Some(place) = home.find(hash, |other| other == slot) else { return false };
        home.remove(place);
        drop(home);
        self.values.clear_fields(slot.into());
        true
    }

    /// Removes an element; `last_look` sees its slot before anybody can reuse it.
    pub(crate) fn delete(&self, key: &[u8], last_look: impl FnOnce(u32)) -> Result<u32, Errno> {
        let hash = self.hash(key).ok_or(Errno::EINVAL)?;
        let mut home = self.groups.lock(hash)?;
        let place = home.find(hash, |slot| self.has(slot, key)).ok_or(Errno::ENOENT)?;
        last_look(place.slot);
        home.remove(place);
        drop(home);
        self.release(place.slot);
        Ok(place.slot)
    }

    /// Removes an element under its value's spin lock; `last_look` sees it.
    pub(crate) fn delete_locked(&self, key: &[u8], mut last_look: impl FnMut(u32)) -> Result<(), Errno> {
        let hash = self.hash(key).ok_or(Errno::EINVAL)?;
        loop {
            // Nobody waits for a value's lock who keeps others from a bucket.
            let slot = self.find(hash, key).ok_or(Errno::ENOENT)?;
            let guard = self.values.lock(slot.into(), 0)?;
            let mut home = self.groups.lock(hash)?;
            match home.find(hash, |slot| self.has(slot, key)) {
                Some(place) if place.slot == slot => {
                    last_look(slot);
                    home.remove(place);
                    drop((home, guard));
                    self.release(slot);
                    return Ok(());
                }
                // It moved, or went.
                Some(_) | None => {}
            }
        }
    }

    fn release(&self, slot: u32) {
        match &self.owner {
            Owner::Lru(lru) => self.give(lru, Some(slot)),
            Owner::Slots(slots) => {
                self.values.clear_fields(slot.into());
                slots.give(slot);
            }
        }
    }

    /// The key after this one; the first, if there is no such element.
    pub(crate) fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let mut bucket = 0;
        if let Some((key, hash)) = key.and_then(|key| Some((key, self.hash(key)?))) {
            let (home, inside) = self.groups.home_of(self.groups.bucket(hash));
            let after = self.groups.look(home, |elements| {
                let at = elements.iter().position(|element| self.has(element.slot, key))?;
                let mut rest = elements[at + 1..].iter();
                Some(rest.find(|&&other| self.bucket_of(other) == inside).map(|next| self.key(next.slot)))
            });
            match after.flatten() {
                Some(Some(key)) => return Ok(key),
                Some(None) => bucket = u64::from(self.groups.bucket(hash)) + 1,
                None => {}
            }
        }
        loop {
            let found = self.next_bucket(bucket).ok_or(Errno::ENOENT)?;
            if let Some((key, ..)) = self.bucket(found, |_| ()).into_iter().next() {
                return Ok(key);
            }
            // Somebody emptied it meanwhile.
            bucket = u64::from(found) + 1;
        }
    }

    /// The first bucket at or after this one that has elements.
    pub(crate) fn next_bucket(&self, bucket: u64) -> Option<u32> {
        self.groups.next_bucket(bucket, |slot| self.hash_of(slot))
    }

    /// The keys and slots of a bucket, in order, and what `value` makes of each while nobody changes any.
    pub(crate) fn bucket<V>(&self, bucket: u32, mut value: impl FnMut(u32) -> V) -> Vec<(Vec<u8>, u32, V)> {
        let (home, inside) = self.groups.home_of(bucket);
        let all = self.groups.look(home, |elements| {
            let mine = elements.iter().filter(|&&element| self.bucket_of(element) == inside);
            mine.map(|element| (self.key(element.slot), element.slot, value(element.slot))).collect()
        });
        all.unwrap_or_default()
    }

    /// Which bucket of its home an element is in.
    fn bucket_of(&self, element: Element) -> u32 {
        self.groups.bucket_of(element, |slot| self.hash_of(slot))
    }

    fn hash_of(&self, slot: u32) -> u32 {
        self.hash(&self.key(slot)).unwrap_or_default()
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

    /// Writes the key of a slot that has memory and is in no group.
    fn set_key(&self, slot: u32, key: &[u8]) -> Result<(), Errno> {
        let words = self.values.head(slot).ok_or(Errno::ENOMEM)?;
        for (word, part) in words.iter().zip(key.chunks(8)) {
            word.store(fold::word(part), Ordering::Release);
        }
        Ok(())
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
            Hashing::Jenkins(seed) => jhash::hash(key, seed),
            Hashing::Identity => key.first_chunk().map_or(0, |key| u32::from_le_bytes(*key)),
        })
    }
}

/// `check_flags`.
fn allowed(exists: bool, flags: u64) -> Result<(), Errno> {
    match flags & !F_LOCK {
        NOEXIST if exists => Err(Errno::EEXIST),
        EXIST if !exists => Err(Errno::ENOENT),
        _ => Ok(()),
    }
}
