//! Nodes in doubly linked rings, for lists that several locks keep.
//!
//! A node is in one list at a time, and who holds that list's lock may change it and its neighbours. Words are atomic because
//! others may look, without a lock, where a node is: they look again under the lock that this tells them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::errno::Errno;
use crate::slab::Slab;

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Free,
    Active,
    Inactive,
    LocalFree,
    Pending,
}

/// Nodes: the lists themselves first, then those that are in them.
#[derive(Debug)]
pub(crate) struct Nodes {
    /// Three words each: the neighbours, CPU and place, and the slot of the element.
    slab: Slab,
    heads: u32,
}

impl Nodes {
    /// So many nodes in no list, and so many empty lists.
    pub(crate) fn new(count: u32, heads: u32, memory: u64) -> Result<Self, Errno> {
        let nodes = Nodes { slab: Slab::new(u64::from(count) + u64::from(heads), 24, memory), heads };
        (0..heads).try_for_each(|list| nodes.make(list))?;
        Ok(nodes)
    }

    /// The node with this number.
    pub(crate) fn of(&self, number: u32) -> u32 {
        self.heads + number
    }

    /// The number of a node.
    pub(crate) fn number(&self, at: u32) -> u32 {
        at - self.heads
    }

    /// Makes a node that is alone.
    pub(crate) fn make(&self, at: u32) -> Result<(), Errno> {
        self.slab.touch(at.into())?;
        self.link(at, at, at);
        Ok(())
    }

    fn word(&self, at: u32, number: usize) -> Option<&AtomicU64> {
        self.slab.words(at.into())?.get(number)
    }

    fn load(&self, at: u32, number: usize) -> u64 {
        self.word(at, number).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn store(&self, at: u32, number: usize, value: u64) {
        if let Some(word) = self.word(at, number) {
            word.store(value, Ordering::Relaxed);
        }
    }

    fn link(&self, at: u32, prev: u32, next: u32) {
        self.store(at, 0, u64::from(prev) | u64::from(next) << 32);
    }

    fn set_prev(&self, at: u32, prev: u32) {
        self.store(at, 0, self.load(at, 0) >> 32 << 32 | u64::from(prev));
    }

    fn set_next(&self, at: u32, next: u32) {
        self.store(at, 0, u64::from(self.load(at, 0) as u32) | u64::from(next) << 32);
    }

    /// The node before one, the newer.
    pub(crate) fn prev(&self, at: u32) -> u32 {
        self.load(at, 0) as u32
    }

    /// The node after one, the older.
    pub(crate) fn next(&self, at: u32) -> u32 {
        (self.load(at, 0) >> 32) as u32
    }

    /// The CPU whose node it is.
    pub(crate) fn cpu(&self, at: u32) -> u32 {
        self.load(at, 1) as u32
    }

    /// Where it is.
    pub(crate) fn on(&self, at: u32) -> On {
        const PLACES: [On; 5] = [On::Free, On::Active, On::Inactive, On::LocalFree, On::Pending];
        PLACES.get((self.load(at, 1) >> 32) as usize).copied().unwrap_or(On::Free)
    }

    /// Says whose it is and where.
    pub(crate) fn set(&self, at: u32, cpu: u32, on: On) {
        self.store(at, 1, u64::from(cpu) | (on as u64) << 32);
    }

    /// Says where it is.
    pub(crate) fn set_on(&self, at: u32, on: On) {
        self.set(at, self.cpu(at), on);
    }

    /// The slot of its element.
    pub(crate) fn slot(&self, at: u32) -> u32 {
        self.load(at, 2) as u32
    }

    /// Says which slot its element is in.
    pub(crate) fn set_slot(&self, at: u32, slot: u32) {
        self.store(at, 2, slot.into());
    }

    pub(crate) fn is_empty(&self, list: u32) -> bool {
        self.next(list) == list
    }

    /// The newest of a list.
    pub(crate) fn first(&self, list: u32) -> Option<u32> {
        Some(self.next(list)).filter(|&at| at != list)
    }

    /// The oldest.
    pub(crate) fn last(&self, list: u32) -> Option<u32> {
        Some(self.prev(list)).filter(|&at| at != list)
    }

    /// Takes a node out of its list.
    pub(crate) fn unlink(&self, at: u32) {
        let (prev, next) = (self.prev(at), self.next(at));
        self.set_next(prev, next);
        self.set_prev(next, prev);
        self.link(at, at, at);
    }

    /// Makes a node the newest of a list.
    pub(crate) fn move_to_head(&self, at: u32, list: u32) {
        self.unlink(at);
        let first = self.next(list);
        self.link(at, list, first);
        self.set_prev(first, at);
        self.set_next(list, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_keeps_its_order() {
        let nodes = Nodes::new(4, 2, 1 << 16).unwrap();
        let order = |list| {
            let mut all = Vec::new();
            let mut at = nodes.next(list);
            while at != list {
                all.push(nodes.number(at));
                assert_eq!(nodes.prev(nodes.next(at)), at);
                at = nodes.next(at);
            }
            all
        };
        for number in 0..4 {
            let at = nodes.of(number);
            nodes.make(at).unwrap();
            nodes.set(at, number, On::Active);
            nodes.set_slot(at, number + 100);
            nodes.move_to_head(at, 0);
        }
        assert_eq!((order(0), order(1)), (vec![3, 2, 1, 0], vec![]));
        nodes.move_to_head(nodes.of(1), 1);
        nodes.move_to_head(nodes.of(0), 0);
        nodes.unlink(nodes.of(3));
        assert_eq!((order(0), order(1)), (vec![0, 2], vec![1]));
        nodes.set_on(nodes.of(2), On::Pending);
        let at = nodes.of(2);
        assert_eq!((nodes.slot(at), nodes.cpu(at), nodes.on(at)), (102, 2, On::Pending));
        assert_eq!((nodes.first(0), nodes.last(0)), (Some(nodes.of(0)), Some(at)));
    }
}
