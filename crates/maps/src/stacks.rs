//! Stacks by their id (`kernel/bpf/stackmap.c`).
//!
//! The id of a stack is its hash modulo the number of buckets; a bucket holds one stack. Who collects
//! the addresses is not the map's business: it is handed entries of eight bytes (addresses) or, with
//! `BPF_F_STACK_BUILD_ID`, of 32 (`struct bpf_stack_build_id`).

use parking_lot::Mutex;

use crate::errno::Errno;
use crate::jhash;

/// Compare stacks by their hash only.
pub const FAST_STACK_CMP: u64 = 1 << 9;
/// Replace another stack with the same id.
pub const REUSE_STACKID: u64 = 1 << 10;

#[derive(Debug)]
pub(crate) struct Stacks {
    buckets: u32,
    most: u32,
    value_size: usize,
    memory: u64,
    stacks: Mutex<std::collections::BTreeMap<u32, Kept>>,
}

#[derive(Debug)]
struct Kept {
    hash: u32,
    entries: Box<[u8]>,
}

impl Stacks {
    pub(crate) fn new(max_entries: u32, value_size: u32, memory: u64) -> Self {
        Stacks {
            buckets: max_entries.next_power_of_two(),
            most: max_entries,
            value_size: value_size as usize,
            memory,
            stacks: Mutex::default(),
        }
    }

    /// Keeps a stack and returns its id; what does not fit a value is cut off.
    pub(crate) fn insert(&self, entries: &[u8], flags: u64) -> Result<u32, Errno> {
        let entries = &entries[..entries.len().min(self.value_size)];
        let hash = jhash::hash(entries, 0);
        let id = hash & (self.buckets - 1);
        let mut stacks = self.stacks.lock();
        let old = stacks.get(&id);
        if let Some(old) = old {
            let same_hash = old.hash == hash;
            if same_hash && (flags & FAST_STACK_CMP != 0 || *old.entries == *entries) {
                return Ok(id);
            }
            if flags & REUSE_STACKID == 0 {
                return Err(Errno::EEXIST);
            }
        }
        // The new stack needs a place of its own before the old one's is free.
        let count = stacks.len() as u64;
        if count >= u64::from(self.most) || count * self.value_size as u64 >= self.memory {
            return Err(Errno::ENOMEM);
        }
        stacks.insert(id, Kept { hash, entries: entries.into() });
        Ok(id)
    }

    pub(crate) fn read(&self, id: u32, to: &mut [u8]) -> Result<(), Errno> {
        let stacks = self.stacks.lock();
        let kept = stacks.get(&id).ok_or(Errno::ENOENT)?;
        let count = kept.entries.len().min(to.len());
        to[..count].copy_from_slice(&kept.entries[..count]);
        to[count..].fill(0);
        Ok(())
    }

    pub(crate) fn delete(&self, id: u32) -> Result<(), Errno> {
        if id >= self.buckets {
            return Err(Errno::E2BIG);
        }
        self.stacks.lock().remove(&id).map(|_| ()).ok_or(Errno::ENOENT)
    }

    pub(crate) fn next_key(&self, id: Option<u32>) -> Result<u32, Errno> {
        let stacks = self.stacks.lock();
        let from = id.filter(|id| stacks.contains_key(id)).map_or(0, |id| id + 1);
        stacks.range(from..).next().map(|(&id, _)| id).ok_or(Errno::ENOENT)
    }
}
