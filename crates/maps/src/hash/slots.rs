//! Which slots of a hash table are free, and how many elements it may still get.
//!
//! A slot is where the key and the value of an element are. Every change takes one before it looks where the element
//! belongs: a value is written where nobody sees it and is then put in its place, so there are a few more slots than elements.
//! Threads have shards of their own to take from, each with a *spare* slot for the next value; what else is free
//! stands for elements that the table may get. A table is full when no shard has any.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Mutex, MutexGuard};

/// Shards of a large table.
const SHARDS: u32 = 16;
/// For how many elements there is a shard more.
const ELEMENTS: u32 = 256;

/// Which slots are free.
#[derive(Debug)]
pub(super) struct Slots {
    most: u32,
    /// How many elements were ever allowed: free slots of shards are allowances that came back.
    allowed: AtomicU32,
    /// The first slot that nobody ever had.
    fresh: AtomicU32,
    shards: Box<[Line]>,
    /// Who moves slots between shards: nobody else looks for some while they are in neither.
    moving: Mutex<()>,
}

/// A shard, away from others' lines of the cache.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(Mutex<Shard>);

/// What a thread takes from.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// For the value that is written next.
    spare: Option<u32>,
    /// Each of them is a slot and stands for an element.
    free: Vec<u32>,
}

impl Slots {
    /// Slots of a table of up to `most` elements.
    pub(super) fn new(most: u32) -> Self {
        let shards = (most / ELEMENTS).next_power_of_two().min(SHARDS);
        Slots {
            most,
            allowed: AtomicU32::new(0),
            fresh: AtomicU32::new(0),
            shards: (0..shards).map(|_| Line::default()).collect(),
            moving: Mutex::default(),
        }
    }

    /// How many slots there are.
    pub(super) fn count(&self) -> u64 {
        u64::from(self.most) + self.shards.len() as u64
    }

    /// This thread's shard.
    pub(super) fn shard(&self) -> MutexGuard<'_, Shard> {
        self.shards[thread() as usize & (self.shards.len() - 1)].0.lock()
    }

    /// The slot to write a value to, which stays the shard's until [`Shard::used`].
    pub(super) fn spare(&self, shard: &mut Shard) -> u32 {
        *shard.spare.get_or_insert_with(|| self.fresh.fetch_add(1, Ordering::Relaxed))
    }

    /// The right to have one more element: the slot that is spare when the one is used that was so. `None` if this shard has
    /// none left and all that there may be are allowed; others may have some.
    pub(super) fn allow(&self, shard: &mut Shard) -> Option<u32> {
        if let Some(slot) = shard.free.pop() {
            return Some(slot);
        }
        let more = |count| (count < self.most).then_some(count + 1);
        self.allowed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(self.fresh.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes half of what another shard has for this thread's; says whether there was any.
    pub(super) fn borrow(&self) -> bool {
        let _moving = self.moving.lock();
        for line in &self.shards {
            let mut other = line.0.lock();
            let half = other.free.len() / 2;
            let taken = other.free.split_off(half);
            drop(other);
            if !taken.is_empty() {
                self.shard().free.extend(taken);
                return true;
            }
        }
        false
    }

    /// The slot of an element that was deleted.
    pub(super) fn give(&self, slot: u32) {
        self.shard().free.push(slot);
    }
}

impl Shard {
    /// The spare slot is an element's now, and this one takes its place.
    pub(super) fn used(&mut self, spare: u32) {
        self.spare = Some(spare);
    }

    /// A right that was not used.
    pub(super) fn give(&mut self, slot: u32) {
        self.free.push(slot);
    }
}

/// The number of this thread: the first that asks is 0.
fn thread() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static NUMBER: Cell<Option<u32>> = const { Cell::new(None) };
    }
    NUMBER.get().unwrap_or_else(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(Some(number));
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads that take and give in turns never have more than there may be, and all of them together get everything.
    #[test]
    fn no_more_than_allowed() {
        const MOST: u32 = 5000;
        let slots = &Slots::new(MOST);
        let take = move || loop {
            let mut shard = slots.shard();
            let spare = slots.spare(&mut shard);
            if let Some(next) = slots.allow(&mut shard) {
                shard.used(next);
                return Some(spare);
            }
            drop(shard);
            if !slots.borrow() {
                return None;
            }
        };
        let all = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    scope.spawn(move || {
                        let mut mine = Vec::new();
                        for round in 0..20_000u32 {
                            match round.wrapping_mul(0x9e37_79b9).rotate_left(thread) % 5 < 2 {
                                true => mine.pop().map_or((), |slot| slots.give(slot)),
                                false => mine.extend(take()),
                            }
                        }
                        mine
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<u32>>()
        });
        let mut all = all;
        all.extend(std::iter::from_fn(take));
        assert_eq!(all.len(), MOST as usize);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), MOST as usize, "every slot is one element's");
        assert!(all.iter().all(|&slot| u64::from(slot) < slots.count()));
    }
}
