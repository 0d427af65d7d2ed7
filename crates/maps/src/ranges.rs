//! Ranges of numbers that are free, and which of them a request is served from.
//!
//! Linux (`kernel/bpf/range_tree.c`) takes the smallest range that is large enough and, of several that are as large, the
//! one that changed last; programs see it in the addresses that they get.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Free ranges: no two of them touch.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    /// Length and time of the last change by start.
    by_start: BTreeMap<u32, (u32, u64)>,
    /// Start by length and time.
    by_len: BTreeMap<(u32, Reverse<u64>), u32>,
    changes: u64,
}

impl Ranges {
    /// The numbers below `len`.
    pub(crate) fn new(len: u32) -> Self {
        let mut ranges = Ranges::default();
        ranges.insert(0, len);
        ranges
    }

    fn insert(&mut self, start: u32, len: u32) {
        self.changes += 1;
        self.by_start.insert(start, (len, self.changes));
        self.by_len.insert((len, Reverse(self.changes)), start);
    }

    fn remove(&mut self, start: u32) -> Option<u32> {
        let (len, change) = self.by_start.remove(&start)?;
        self.by_len.remove(&(len, Reverse(change)));
        Some(len)
    }

    /// The range that `start` lies in: its own start and length.
    fn around(&self, start: u32) -> Option<(u32, u32)> {
        let (&from, &(len, _)) = self.by_start.range(..=start).next_back()?;
        (start - from < len).then_some((from, len))
    }

    /// Where to take `count` numbers from.
    pub(crate) fn find(&self, count: u32) -> Option<u32> {
        self.by_len.range((count, Reverse(u64::MAX))..).next().map(|(_, &start)| start)
    }

    /// Whether all of them are free.
    pub(crate) fn has(&self, first: u32, count: u32) -> bool {
        let around = self.around(first);
        around.is_some_and(|(start, len)| u64::from(first - start) + u64::from(count) <= len.into())
    }

    /// Takes numbers, of which all are free.
    pub(crate) fn take(&mut self, first: u32, count: u32) {
        let Some((start, len)) = self.around(first) else { return };
        self.remove(start);
        if first > start {
            self.insert(start, first - start);
        }
        let left = (start + len).saturating_sub(first + count);
        if left > 0 {
            self.insert(first + count, left);
        }
    }

    /// Frees numbers, of which some may be free already.
    pub(crate) fn give(&mut self, first: u32, count: u32) {
        if count == 0 || self.has(first, count) {
            return;
        }
        let end = first + count;
        // What is free already goes, and what is left of it before and after comes back as a range of its own.
        let before = first.checked_sub(1).and_then(|at| self.around(at));
        let after = self.around(end).filter(|&(start, _)| start >= first);
        let inside: Vec<u32> = self.by_start.range(first..end).map(|(&start, _)| start).collect();
        let start = before.map_or(first, |(start, _)| start);
        let last = after.map_or(end, |(start, len)| start + len);
        for start in
            inside.into_iter().chain(before.map(|(start, _)| start)).chain(after.map(|(start, _)| start))
        {
            self.remove(start);
        }
        self.insert(start, last - start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_that_changed_last() {
        let mut ranges = Ranges::new(20);
        ranges.take(4, 2);
        ranges.take(10, 2);
        assert_eq!((ranges.find(4), ranges.find(5), ranges.find(9)), (Some(6), Some(12), None));
        assert!(ranges.has(0, 4) && !ranges.has(0, 5) && !ranges.has(5, 1));
        ranges.take(2, 2);
        ranges.give(2, 2);
        assert_eq!(ranges.find(4), Some(0), "as large as the other, and changed later");
        ranges.give(3, 8);
        assert_eq!((ranges.find(11), ranges.find(12)), (Some(0), None));
        ranges.give(0, 20);
        assert_eq!(ranges.find(20), Some(0));
        assert_eq!(ranges.by_start.len(), 1);
    }
}
