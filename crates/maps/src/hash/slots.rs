//! Which slots of a hash table are free.

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::errno::Errno;

/// No slot.
const NONE: u32 = u32::MAX;

/// Which slots are free.
#[derive(Debug)]
pub(super) struct Slots {
    count: AtomicU32,
    most: u32,
    fresh: AtomicU32,
    free: Mutex<Vec<u32>>,
    /// A slot for each CPU, into which the next replaced value goes.
    spare: Box<[AtomicU32]>,
}

impl Slots {
    pub(super) fn new(most: u32, cpus: u32) -> Self {
        Slots {
            count: AtomicU32::new(0),
            most,
            fresh: AtomicU32::new(0),
            free: Mutex::default(),
            spare: (0..cpus).map(|_| AtomicU32::new(NONE)).collect(),
        }
    }

    /// A slot for a new element.
    pub(super) fn take(&self) -> Result<u32, Errno> {
        let more = |count| (count < self.most).then_some(count + 1);
        self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).map_err(|_| Errno::E2BIG)?;
        Ok(self.any())
    }

    fn any(&self) -> u32 {
        self.free.lock().pop().unwrap_or_else(|| self.fresh.fetch_add(1, Ordering::Relaxed))
    }

    /// The slot of a deleted element.
    pub(super) fn give(&self, slot: u32) {
        self.free.lock().push(slot);
        self.count.fetch_sub(1, Ordering::AcqRel);
    }

    /// A slot that a value moves to.
    pub(super) fn replacement(&self, cpu: u32) -> u32 {
        match self.spare[cpu as usize].swap(NONE, Ordering::AcqRel) {
            NONE => self.any(),
            slot => slot,
        }
    }

    /// The slot that the value was in.
    pub(super) fn replaced(&self, slot: u32, cpu: u32) {
        let spare = &self.spare[cpu as usize];
        if spare.compare_exchange(NONE, slot, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.free.lock().push(slot);
        }
    }
}
