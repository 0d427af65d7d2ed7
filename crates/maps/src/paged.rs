//! A table of up to 2^32 entries whose memory comes when it is touched.
//!
//! Two levels: a root of leaves, both created at first use by whoever comes first. Looking an entry up
//! is two loads and no lock, and an entry never moves, so references to it stay good as long as the
//! table.

use std::sync::OnceLock;

/// Entries that are allocated together.
type Leaf<T> = Box<[OnceLock<T>]>;

/// A lazily filled table of `T`.
#[derive(Debug)]
pub(crate) struct Paged<T> {
    root: Box<[OnceLock<Leaf<T>>]>,
    leaf_bits: u32,
    len: u64,
}

impl<T> Paged<T> {
    /// A table of `len` absent entries.
    pub(crate) fn new(len: u64) -> Self {
        // Neither level has more than about the square root of the entries.
        let bits = 64 - len.saturating_sub(1).leading_zeros();
        let leaf_bits = bits.div_ceil(2).clamp(6, 16);
        let leaves = len.div_ceil(1 << leaf_bits);
        Paged { root: (0..leaves).map(|_| OnceLock::new()).collect(), leaf_bits, len }
    }

    /// The entry at `at`, if somebody made it.
    pub(crate) fn get(&self, at: u64) -> Option<&T> {
        let leaf = self.root.get(usize::try_from(at >> self.leaf_bits).ok()?)?.get()?;
        leaf.get((at & ((1 << self.leaf_bits) - 1)) as usize)?.get()
    }

    /// The entry at `at`, made by `make` if it is absent; `None` beyond the table.
    pub(crate) fn get_or(&self, at: u64, make: impl FnOnce() -> T) -> Option<&T> {
        if at >= self.len {
            return None;
        }
        let leaf = self.root.get(usize::try_from(at >> self.leaf_bits).ok()?)?;
        let leaf = leaf.get_or_init(|| (0..1 << self.leaf_bits).map(|_| OnceLock::new()).collect());
        let entry = leaf.get((at & ((1 << self.leaf_bits) - 1)) as usize)?;
        Some(entry.get_or_init(make))
    }

    /// The first entry at or after `at` that exists, in a step for each leaf.
    pub(crate) fn next_from(&self, at: u64) -> Option<(u64, &T)> {
        let mut at = at;
        while at < self.len {
            let (first, index) = (at >> self.leaf_bits, at & ((1 << self.leaf_bits) - 1));
            if let Some(leaf) = self.root.get(first as usize)?.get() {
                let mut entries = leaf.iter().enumerate().skip(index as usize);
                if let Some((i, entry)) = entries.find_map(|(i, entry)| Some((i, entry.get()?))) {
                    return Some(((first << self.leaf_bits) + i as u64, entry));
                }
            }
            at = (first + 1) << self.leaf_bits;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_when_they_are_touched() {
        for len in [1, 2, 64, 65, 1 << 12, 1 << 32] {
            let table = Paged::<u64>::new(len);
            for at in [0, len / 2, len - 1] {
                assert_eq!(table.get_or(at, || at + 7), Some(&(at + 7)));
                assert_eq!(table.get_or(at, || 0), Some(&(at + 7)));
            }
            assert_eq!(table.next_from(0), Some((0, &7)));
            assert_eq!(table.next_from(len - 1), Some((len - 1, &(len + 6))));
            assert_eq!(table.next_from(len), None);
            assert_eq!(table.get(len), None);
            assert_eq!(table.get_or(len, || 1), None);
        }
    }
}
