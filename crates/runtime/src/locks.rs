//! Spin locks: who waits for whom, and what happens to a lock whose holder stops.
//!
//! A lock is a word of a map's value, or of an object that programs made, which is 1 while somebody has it; users of
//! maps (`BPF_F_LOCK`) wait for the same word. Linux makes sure that a program that has a lock gives it back. Here a
//! program may trap while it has one, or run unverified, so what a run holds is given back when it ends, and waiting
//! has an end.

use std::time::{Duration, Instant};

use sandbpf_isa::{AtomicOp, Size};

use crate::machine::{Machine, Stop};
use crate::trap::Fault;

/// How often a run looks at a lock before it lets others run.
const SPINS: u32 = 100;
/// How long it sleeps between looks when that does not help.
const NAP: Duration = Duration::from_micros(50);

/// How waiting for a lock ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The run has the lock.
    Yes,
    /// It had it before.
    Already,
    /// Somebody else has it, and kept it for too long.
    Never,
}

impl Machine<'_> {
    /// Takes the lock at an address, and waits for it if somebody else has it.
    pub(crate) fn take_lock(&mut self, lock: u64, patience: Duration) -> Result<Taken, Stop> {
        /// What a held lock holds; no bit of it stands for who does.
        const HELD: u64 = 1;
        if self.aside().is_some_and(|aside| aside.locks.contains(&lock)) {
            return Ok(Taken::Already);
        }
        let mut looks = 0;
        let mut started = None;
        while self.memory.atomic(AtomicOp::Cmpxchg, Size::W, lock, HELD, 0)? != 0 {
            looks += 1;
            if looks < SPINS {
                std::thread::yield_now();
            } else if started.get_or_insert_with(Instant::now).elapsed() < patience {
                std::thread::sleep(NAP);
            } else {
                return Ok(Taken::Never);
            }
        }
        self.aside_mut().locks.push(lock);
        Ok(Taken::Yes)
    }

    /// Gives a lock back, if the run has it.
    pub(crate) fn give_lock(&mut self, lock: u64) -> Result<(), Fault> {
        let held = self.aside().and_then(|aside| aside.locks.iter().rposition(|&held| held == lock));
        match held {
            Some(at) => {
                self.aside_mut().locks.remove(at);
                self.memory.write::<4>(lock, 0)
            }
            // What is not held can be looked at, no more.
            None => self.memory.read::<4>(lock).map(|_| ()),
        }
    }

    /// Gives back what the run still holds. Who runs a program calls it when the program has ended, whichever way.
    #[inline]
    pub fn give_locks(&mut self) {
        if self.aside().is_some() {
            self.give_held();
        }
    }

    fn give_held(&mut self) {
        while let Some(lock) = self.aside_mut().locks.pop() {
            // A lock that could be taken can be written.
            let _ = self.memory.write::<4>(lock, 0);
        }
    }
}
