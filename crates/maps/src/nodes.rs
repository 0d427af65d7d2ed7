//! Nodes in doubly linked rings, for lists that several locks keep.
//!
//! A node is in one list at a time, and who holds that list's lock may change it and its neighbours. Words are atomic because
//! others may look, without a lock, where a node is: they look again under the lock that this tells them.

use std::sync::atomic::{AtomicU32, Ordering};

use zerocopy::FromZeros;

use crate::errno::Errno;

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
    /// Four numbers each.
    words: Box<[AtomicU32]>,
    heads: u32,
}

/// What the numbers of a node are: the newer neighbour and the older one, the slot of the element, and CPU and place.
const PREV: usize = 0;
const NEXT: usize = 1;
const SLOT: usize = 2;
const WHERE: usize = 3;

/// The bits of a place.
const ON: u32 = 3;

impl Nodes {
    /// So many nodes in no list, and so many empty lists.
    pub(crate) fn new(count: u32, heads: u32) -> Result<Self, Errno> {
        let words = <[AtomicU32]>::new_box_zeroed_with_elems(4 * (count as usize + heads as usize));
        let nodes = Nodes { words: words.map_err(|_| Errno::ENOMEM)?, heads };
        (0..heads).for_each(|list| nodes.make(list));
        Ok(nodes)
    }

    /// The node with this number.
    #[inline]
    pub(crate) fn of(&self, number: u32) -> u32 {
        self.heads + number
    }

    /// The number of a node.
    #[inline]
    pub(crate) fn number(&self, at: u32) -> u32 {
        at - self.heads
    }

    /// Makes a node that is alone.
    pub(crate) fn make(&self, at: u32) {
        self.store(at, PREV, at);
        self.store(at, NEXT, at);
    }

    #[inline]
    fn load(&self, at: u32, which: usize) -> u32 {
        self.words.get(4 * at as usize + which).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    #[inline]
    fn store(&self, at: u32, which: usize, value: u32) {
        if let Some(word) = self.words.get(4 * at as usize + which) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// The node before one, the newer.
    #[inline]
    pub(crate) fn prev(&self, at: u32) -> u32 {
        self.load(at, PREV)
    }

    /// The node after one, the older.
    #[inline]
    pub(crate) fn next(&self, at: u32) -> u32 {
        self.load(at, NEXT)
    }

    /// The slot of its element.
    #[inline]
    pub(crate) fn slot(&self, at: u32) -> u32 {
        self.load(at, SLOT)
    }

    /// Says which slot its element is in.
    pub(crate) fn set_slot(&self, at: u32, slot: u32) {
        self.store(at, SLOT, slot);
    }

    /// The CPU whose node it is.
    pub(crate) fn cpu(&self, at: u32) -> u32 {
        self.load(at, WHERE) >> ON
    }

    /// Where it is.
    pub(crate) fn on(&self, at: u32) -> On {
        match self.load(at, WHERE) & ((1 << ON) - 1) {
            1 => On::Active,
            2 => On::Inactive,
            3 => On::LocalFree,
            4 => On::Pending,
            _ => On::Free,
        }
    }

    /// Says whose it is, and where.
    pub(crate) fn set(&self, at: u32, cpu: u32, on: On) {
        self.store(at, WHERE, cpu << ON | on as u32);
    }

    /// Says where it is.
    pub(crate) fn set_on(&self, at: u32, on: On) {
        self.set(at, self.cpu(at), on);
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
        self.store(prev, NEXT, next);
        self.store(next, PREV, prev);
        self.make(at);
    }

    /// Makes a node the newest of a list.
    #[inline]
    pub(crate) fn move_to_head(&self, at: u32, list: u32) {
        let (prev, next) = (self.prev(at), self.next(at));
        self.store(prev, NEXT, next);
        self.store(next, PREV, prev);
        let first = self.next(list);
        self.store(at, PREV, list);
        self.store(at, NEXT, first);
        self.store(first, PREV, at);
        self.store(list, NEXT, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_keeps_its_order() {
        let nodes = Nodes::new(4, 2).unwrap();
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
            nodes.make(at);
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
