//! What states cost: the memory that they hold, and the work that was done on them.
//!
//! A program of a million instructions on one path can keep a state at every eighth, each with eight full frames. States share
//! what they have in common, but a hostile program sees to it that they have little. So both are counted, by thread, and
//! the walk gives up beyond its limits, as Linux does when it has no memory for another state.

use std::cell::Cell;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static DONE: Cell<u64> = const { Cell::new(0) };
}

/// Bytes that this thread's states hold.
pub(crate) fn held() -> usize {
    HELD.get()
}

/// Work that was done on this thread, ever: registers compared, instructions traced back, equations solved.
pub(crate) fn done() -> u64 {
    DONE.get()
}

/// So much more was done.
#[inline]
pub(crate) fn work(steps: usize) {
    DONE.set(DONE.get().wrapping_add(steps as u64));
}

/// Bytes that are held as long as this lives; a copy holds as many.
#[derive(Debug)]
pub(crate) struct Charge(usize);

impl Charge {
    pub(crate) fn new(bytes: usize) -> Charge {
        HELD.set(HELD.get().wrapping_add(bytes));
        Charge(bytes)
    }

    /// It is so many now.
    pub(crate) fn set(&mut self, bytes: usize) {
        HELD.set(HELD.get().wrapping_sub(self.0).wrapping_add(bytes));
        self.0 = bytes;
    }
}

impl Clone for Charge {
    fn clone(&self) -> Charge {
        Charge::new(self.0)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        HELD.set(HELD.get().wrapping_sub(self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::{Charge, held};

    #[test]
    fn what_is_held_is_given_back() {
        let before = held();
        let mut charge = Charge::new(100);
        let copy = charge.clone();
        assert_eq!(held(), before + 200);
        charge.set(30);
        assert_eq!(held(), before + 130);
        drop((charge, copy));
        assert_eq!(held(), before);
    }
}
