//! Hash tables: all maps whose keys are any bytes (`kernel/bpf/hashtab.c`).
//!
//! Buckets are chains under 64 locks, each of which owns a range of buckets, so that operations on
//! different keys rarely meet. An element has a *slot*, which says where its value is. As with the
//! kernel's preallocated tables the value of a deleted element stays readable until its slot is reused,
//! and replacing a value puts the new one in another slot: who still looks at the old one sees it whole.
//!
//! Bucket numbers, the hash function and the order in a chain are the kernel's, so a table without a
//! random seed is walked in the kernel's order, and a batch ends where the kernel's would.

mod chains;
mod slots;

use parking_lot::Mutex;

use crate::errno::Errno;
use crate::flags::{EXIST, F_LOCK, NOEXIST};
use crate::jhash;
use crate::lru::Lru;
use crate::values::Values;
use chains::{Chains, NONE};
use slots::Slots;

/// Locks of a large table.
const SHARDS: u32 = 64;

/// How keys become bucket numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hashing {
    /// `jhash` with a seed.
    Jenkins(u32),
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
}

/// A hash table.
#[derive(Debug)]
pub(crate) struct Hash {
    shape: Shape,
    buckets: u32,
    shards: Box<[Mutex<Chains>]>,
    /// Buckets of a shard, as a power of two.
    shard_bits: u32,
    slots: Slots,
    lru: Option<Lru>,
    pub(crate) values: Values,
}

impl Hash {
    /// An empty table. A table with lists of each CPU's own has a multiple of the CPUs' number of slots.
    pub(crate) fn new(shape: Shape, values: impl FnOnce(u64) -> Values) -> Self {
        let mut shape = shape;
        if shape.lru == Some(true) {
            let more = shape.max_entries.checked_next_multiple_of(shape.cpus);
            shape.max_entries = more.unwrap_or(shape.max_entries / shape.cpus * shape.cpus);
        }
        let buckets = shape.max_entries.next_power_of_two();
        let shards = buckets.min(SHARDS);
        let extra = u64::from(shape.cpus) + u64::from(SHARDS);
        Hash {
            buckets,
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            shard_bits: (buckets / shards).trailing_zeros(),
            slots: Slots::new(shape.max_entries, shape.cpus),
            lru: shape.lru.map(|own| Lru::new(shape.max_entries, shape.cpus, own)),
            values: values(u64::from(shape.max_entries) + extra),
            shape,
        }
    }

    /// The slot of an element; `mark` remembers that it was used.
    pub(crate) fn lookup(&self, key: &[u8], mark: bool) -> Option<u32> {
        let hash = self.hash(key)?;
        let shard = self.shard(hash).lock();
        let slot = shard.find(self.local(hash), hash, key).map(|at| shard.nodes[at as usize].slot)?;
        if let Some(lru) = self.lru.as_ref().filter(|_| mark) {
            lru.mark(slot);
        }
        Some(slot)
    }

    /// Lets `look` see an element's slot while nobody can remove it.
    pub(crate) fn look(&self, key: &[u8], look: impl FnOnce(u32)) -> Option<()> {
        let hash = self.hash(key)?;
        let shard = self.shard(hash).lock();
        let at = shard.find(self.local(hash), hash, key)?;
        look(shard.nodes[at as usize].slot);
        Some(())
    }

    /// Inserts or replaces an element and returns its slot.
    pub(crate) fn update(&self, key: &[u8], from: Source<'_>, flags: u64, cpu: u32) -> Result<u32, Errno> {
        let cpu = cpu % self.shape.cpus;
        let hash = self.hash(key).ok_or(Errno::EINVAL)?;
        match &self.lru {
            Some(lru) => self.update_lru(lru, key, hash, from, flags, cpu),
            None => self.update_plain(key, hash, from, flags, cpu),
        }
    }

    fn update_plain(
        &self,
        key: &[u8],
        hash: u32,
        from: Source<'_>,
        flags: u64,
        cpu: u32,
    ) -> Result<u32, Errno> {
        let mut shard = self.shard(hash).lock();
        let old = shard.find(self.local(hash), hash, key);
        allowed(old.is_some(), flags)?;
        let Some(old) = old else {
            let slot = self.slots.take()?;
            if let Err(errno) = self.write(slot, from, cpu, true) {
                self.slots.give(slot);
                return Err(errno);
            }
            if let Err(errno) = self.insert(&mut shard, hash, key, slot) {
                self.slots.give(slot);
                return Err(errno);
            }
            return Ok(slot);
        };
        let slot = shard.nodes[old as usize].slot;
        if self.shape.in_place {
            self.write(slot, from, cpu, false)?;
            return Ok(slot);
        }
        if let (Source::One(bytes), true) = (from, flags & F_LOCK != 0) {
            self.values.put(slot.into(), 0, bytes, true)?;
            return Ok(slot);
        }
        let new = self.slots.replacement(cpu);
        if let Err(errno) = self.write(new, from, cpu, true) {
            self.slots.replaced(new, cpu);
            return Err(errno);
        }
        // The node that goes is the one that comes.
        shard.unlink(self.local(hash), old);
        shard.insert(self.local(hash), hash, key, new);
        drop(shard);
        self.values.clear_fields(slot.into());
        self.slots.replaced(slot, cpu);
        Ok(new)
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
            new = Some(slot);
            if !self.shape.in_place {
                self.write(slot, from, cpu, true).inspect_err(|_| lru.push(slot))?;
            }
        }
        let mut shard = self.shard(hash).lock();
        let old = shard.find(self.local(hash), hash, key);
        let done = allowed(old.is_some(), flags).and_then(|()| match (old, new) {
            (Some(old), _) if self.shape.in_place => {
                let slot = shard.nodes[old as usize].slot;
                lru.mark(slot);
                self.write(slot, from, cpu, false).map(|()| (slot, new))
            }
            (old, Some(slot)) => {
                if self.shape.in_place {
                    self.write(slot, from, cpu, true)?;
                }
                let replaced = old.map(|old| shard.nodes[old as usize].slot);
                if let Some(old) = old {
                    lru.mark(slot);
                    shard.unlink(self.local(hash), old);
                }
                self.insert(&mut shard, hash, key, slot)?;
                Ok((slot, replaced))
            }
            (_, None) => Err(Errno::ENOENT),
        });
        drop(shard);
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

    /// Links a new element; one more node than ever before needs memory.
    fn insert(&self, shard: &mut Chains, hash: u32, key: &[u8], slot: u32) -> Result<(), Errno> {
        if shard.is_full() {
            self.values.charge(key.len() as u64 + 12)?;
        }
        shard.insert(self.local(hash), hash, key, slot);
        Ok(())
    }

    fn give(&self, lru: &Lru, slot: Option<u32>) {
        if let Some(slot) = slot {
            self.values.clear_fields(slot.into());
            lru.push(slot);
        }
    }

    /// Removes the element that is in this slot, for the lists.
    fn evict(&self, slot: u32, hash: u32) -> bool {
        let bucket = self.local(hash);
        let mut shard = self.shard(hash).lock();
        let mut at = shard.head(bucket);
        while at != NONE {
            let node = shard.nodes[at as usize];
            if node.slot == slot {
                shard.unlink(bucket, at);
                drop(shard);
                self.values.clear_fields(slot.into());
                return true;
            }
            at = node.next;
        }
        false
    }

    /// Removes an element; `last_look` sees its slot before anybody can reuse it.
    pub(crate) fn delete(&self, key: &[u8], last_look: impl FnOnce(u32)) -> Result<u32, Errno> {
        let hash = self.hash(key).ok_or(Errno::EINVAL)?;
        let mut shard = self.shard(hash).lock();
        let at = shard.find(self.local(hash), hash, key).ok_or(Errno::ENOENT)?;
        let slot = shard.nodes[at as usize].slot;
        last_look(slot);
        shard.unlink(self.local(hash), at);
        drop(shard);
        self.release(slot);
        Ok(slot)
    }

    fn release(&self, slot: u32) {
        match &self.lru {
            Some(lru) => self.give(lru, Some(slot)),
            None => {
                self.values.clear_fields(slot.into());
                self.slots.give(slot);
            }
        }
    }

    /// The key after this one; the first, if there is no such element.
    pub(crate) fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let mut bucket = 0;
        if let Some((key, hash)) = key.and_then(|key| Some((key, self.hash(key)?))) {
            let shard = self.shard(hash).lock();
            if let Some(at) = shard.find(self.local(hash), hash, key) {
                let next = shard.nodes[at as usize].next;
                if next != NONE {
                    return Ok(shard.key(next, self.key_size()).to_vec());
                }
                bucket = u64::from(hash & (self.buckets - 1)) + 1;
            }
        }
        loop {
            let found = self.next_bucket(bucket).ok_or(Errno::ENOENT)?;
            if let Some((key, _)) = self.bucket(found).into_iter().next() {
                return Ok(key);
            }
            // Somebody emptied it meanwhile.
            bucket = u64::from(found) + 1;
        }
    }

    /// The first bucket at or after this one that has elements.
    pub(crate) fn next_bucket(&self, bucket: u64) -> Option<u32> {
        let mut bucket = bucket;
        while bucket < u64::from(self.buckets) {
            let shard = (bucket >> self.shard_bits) as usize;
            let local = (bucket & ((1 << self.shard_bits) - 1)) as u32;
            if let Some(found) = self.shards[shard].lock().next_bucket(local) {
                return Some(((shard as u32) << self.shard_bits) + found);
            }
            bucket = ((shard as u64) + 1) << self.shard_bits;
        }
        None
    }

    /// The keys and slots of a bucket, in order.
    pub(crate) fn bucket(&self, bucket: u32) -> Vec<(Vec<u8>, u32)> {
        let shard = self.shards[(bucket >> self.shard_bits) as usize].lock();
        let mut elements = Vec::new();
        let mut at = shard.head(bucket & ((1 << self.shard_bits) - 1));
        while at != NONE {
            let node = shard.nodes[at as usize];
            elements.push((shard.key(at, self.key_size()).to_vec(), node.slot));
            at = node.next;
        }
        elements
    }

    /// How many buckets there are.
    pub(crate) fn buckets(&self) -> u32 {
        self.buckets
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
    fn hash(&self, key: &[u8]) -> Option<u32> {
        if key.len() != self.key_size() {
            return None;
        }
        Some(match self.shape.hashing {
            Hashing::Jenkins(seed) => jhash::hash(key, seed),
            Hashing::Identity => key.first_chunk().map_or(0, |key| u32::from_le_bytes(*key)),
        })
    }

    fn shard(&self, hash: u32) -> &Mutex<Chains> {
        &self.shards[((hash & (self.buckets - 1)) >> self.shard_bits) as usize]
    }

    /// The bucket's number in its shard.
    fn local(&self, hash: u32) -> u32 {
        hash & (self.buckets - 1) & ((1 << self.shard_bits) - 1)
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
