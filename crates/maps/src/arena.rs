//! Arenas: pages that programs and their user share (`kernel/bpf/arena.c`).
//!
//! A page exists after a program asked for it or the user touched it. Free pages are kept as ranges, and
//! a request is served from the smallest range that is large enough.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::errno::Errno;
use crate::paged::Paged;
use crate::shared::SharedBytes;
use crate::spec::PAGE_SIZE;

/// The pages of an arena.
#[derive(Debug)]
pub(crate) struct Arena {
    free: Mutex<Free>,
    /// Pages stay where they are, so a freed page keeps its memory for the next use.
    pages: Paged<Page>,
    len: u32,
    most: u64,
}

/// Free ranges, first page and length, and how many pages exist.
#[derive(Debug)]
struct Free {
    ranges: BTreeMap<u32, u32>,
    used: u64,
}

#[derive(Debug)]
struct Page {
    exists: AtomicBool,
    bytes: SharedBytes,
}

impl Arena {
    pub(crate) fn new(len: u32, memory: u64) -> Self {
        let free = Free { ranges: BTreeMap::from([(0, len)]), used: 0 };
        let most = memory / u64::from(PAGE_SIZE);
        Arena { free: Mutex::new(free), pages: Paged::new(len.into()), len, most }
    }

    /// Allocates pages, at `first` or anywhere; the first page.
    pub(crate) fn allocate(&self, first: Option<u32>, count: u32) -> Result<u32, Errno> {
        if count == 0 || count > self.len {
            return Err(Errno::EINVAL);
        }
        let mut free = self.free.lock();
        let range = match first {
            Some(first) => free.ranges.range(..=first).next_back().filter(|&(&start, &len)| {
                u64::from(first) + u64::from(count) <= u64::from(start) + u64::from(len)
            }),
            None => free.ranges.iter().filter(|&(_, &len)| len >= count).min_by_key(|&(_, &len)| len),
        };
        let (start, len) = range.map(|(&start, &len)| (start, len)).ok_or(Errno::ENOMEM)?;
        if free.used + u64::from(count) > self.most {
            return Err(Errno::ENOMEM);
        }
        let first = first.unwrap_or(start);
        free.ranges.remove(&start);
        if first > start {
            free.ranges.insert(start, first - start);
        }
        let (end, range_end) = (first + count, start + len);
        if end < range_end {
            free.ranges.insert(end, range_end - end);
        }
        free.used += u64::from(count);
        for page in first..end {
            let make =
                || Page { exists: AtomicBool::new(false), bytes: SharedBytes::zeroed(PAGE_SIZE as usize) };
            if let Some(page) = self.pages.get_or(page.into(), make) {
                let _ = page.bytes.clear(0, PAGE_SIZE as usize);
                page.exists.store(true, Ordering::Release);
            }
        }
        Ok(first)
    }

    /// Frees pages; those that are free already do not matter.
    pub(crate) fn free(&self, first: u32, count: u32) {
        let end = first.saturating_add(count).min(self.len);
        let mut free = self.free.lock();
        for page in first..end.max(first) {
            let existed =
                self.pages.get(page.into()).is_some_and(|page| page.exists.swap(false, Ordering::AcqRel));
            if !existed {
                continue;
            }
            free.used -= 1;
            let (mut start, mut len) = (page, 1);
            let before = free.ranges.range(..page).next_back().map(|(&start, &len)| (start, len));
            if let Some((before, before_len)) = before.filter(|&(start, len)| start + len == page) {
                free.ranges.remove(&before);
                (start, len) = (before, before_len + 1);
            }
            if let Some(after) = free.ranges.remove(&(page + 1)) {
                len += after;
            }
            free.ranges.insert(start, len);
        }
    }

    /// The page, if it exists.
    pub(crate) fn page(&self, page: u32) -> Option<&SharedBytes> {
        self.pages.get(page.into()).filter(|page| page.exists.load(Ordering::Acquire)).map(|page| &page.bytes)
    }

    /// The page, allocated if it does not exist: what a user's access does.
    pub(crate) fn fault(&self, page: u32) -> Result<&SharedBytes, Errno> {
        if self.page(page).is_none() && page < self.len {
            // Somebody else may be quicker.
            let _ = self.allocate(Some(page), 1);
        }
        self.page(page).ok_or(Errno::EFAULT)
    }

    /// How many pages exist.
    pub(crate) fn count(&self) -> u64 {
        self.free.lock().used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_and_go() {
        let arena = Arena::new(10, u64::MAX);
        assert_eq!(arena.allocate(None, 4), Ok(0));
        assert_eq!(arena.allocate(Some(6), 2), Ok(6));
        assert_eq!(arena.allocate(Some(7), 1), Err(Errno::ENOMEM));
        assert_eq!(arena.allocate(None, 2), Ok(4), "the smallest range that fits");
        arena.free(3, 4);
        assert_eq!((arena.page(2).is_some(), arena.page(3).is_some()), (true, false));
        assert_eq!(arena.allocate(None, 4), Ok(3), "neighbours join");
        assert_eq!(arena.allocate(None, 3), Err(Errno::ENOMEM));
        assert_eq!(arena.count(), 8);
    }
}
