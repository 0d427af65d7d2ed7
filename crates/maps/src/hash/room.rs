//! How many more elements a table may get.
//!
//! One number would be everybody's: each thread has a share of it, takes more when the share is used up, and from others when
//! there is no more. So a table is full when nobody has any, and counts to the last element.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

/// Shares of a large table.
const SHARES: u32 = 16;
/// For how many elements there is a share more.
const ELEMENTS: u32 = 256;
/// What a share gets at once.
const BATCH: u32 = 16;

/// How many more elements there may be.
#[derive(Debug)]
pub(super) struct Room {
    /// What is in nobody's share.
    rest: AtomicU32,
    shares: Box<[Line]>,
    /// Who moves room between shares: nobody else looks for some while it is in none.
    moving: Mutex<()>,
}

/// A share, away from others' lines of the cache.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicU32);

impl Room {
    /// Room for so many elements.
    pub(super) fn new(most: u32) -> Self {
        let shares = (most / ELEMENTS).next_power_of_two().min(SHARES);
        Room {
            rest: AtomicU32::new(most),
            shares: (0..shares).map(|_| Line::default()).collect(),
            moving: Mutex::default(),
        }
    }

    /// This thread's share.
    fn share(&self) -> &AtomicU32 {
        &self.shares[thread() as usize & (self.shares.len() - 1)].0
    }

    /// Takes room for one; says whether there was any.
    pub(super) fn take(&self) -> bool {
        let share = self.share();
        take(share, 1) == 1 || self.take_more(share)
    }

    #[cold]
    fn take_more(&self, share: &AtomicU32) -> bool {
        let _moving = self.moving.lock();
        let mut taken = take(&self.rest, if self.shares.len() == 1 { u32::MAX } else { BATCH });
        for Line(other) in &self.shares {
            if taken == 0 {
                taken = take(other, other.load(Ordering::Relaxed).div_ceil(2));
            }
        }
        share.fetch_add(taken.saturating_sub(1), Ordering::Relaxed);
        taken > 0
    }

    /// Gives the room of one back.
    pub(super) fn give(&self) {
        self.share().fetch_add(1, Ordering::Relaxed);
    }
}

/// Takes up to so many; says how many there were.
fn take(from: &AtomicU32, most: u32) -> u32 {
    let less = |there: u32| (there > 0).then(|| there - most.min(there));
    let before = from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    before.map_or(0, |there| most.min(there))
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
    fn counts_to_the_last() {
        for most in [3, 255, 5000] {
            let room = &Room::new(most);
            let taken = &AtomicU32::new(0);
            let held: u32 = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4u32)
                    .map(|thread| {
                        scope.spawn(move || {
                            let mut mine = 0;
                            for round in 0..20_000u32 {
                                let gives = round.wrapping_mul(0x9e37_79b9).rotate_left(thread) % 5 < 2;
                                if gives && mine > 0 {
                                    taken.fetch_sub(1, Ordering::Relaxed);
                                    room.give();
                                    mine -= 1;
                                } else if !gives && room.take() {
                                    assert!(taken.fetch_add(1, Ordering::Relaxed) < most);
                                    mine += 1;
                                }
                            }
                            mine
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            let rest = (0..).take_while(|_| room.take()).count() as u32;
            assert_eq!(held + rest, most);
        }
    }
}
