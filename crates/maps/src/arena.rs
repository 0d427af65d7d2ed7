//! Arenas: pages that programs and their user share (`kernel/bpf/arena.c`).
//!
//! A page exists after a program asked for it or the user touched it. Free pages are kept as [`Ranges`].

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::errno::Errno;
use crate::paged::Paged;
use crate::ranges::Ranges;
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

/// Free pages, and how many exist.
#[derive(Debug)]
struct Free {
    ranges: Ranges,
    used: u64,
}

#[derive(Debug)]
struct Page {
    exists: AtomicBool,
    bytes: SharedBytes,
}

impl Arena {
    pub(crate) fn new(len: u32, memory: u64) -> Self {
        let free = Free { ranges: Ranges::new(len), used: 0 };
        let most = memory / u64::from(PAGE_SIZE);
        Arena { free: Mutex::new(free), pages: Paged::new(len.into()), len, most }
    }

    /// Allocates pages, at `first` or anywhere; the first page.
    pub(crate) fn allocate(&self, first: Option<u32>, count: u32) -> Result<u32, Errno> {
        if count == 0 || count > self.len {
            return Err(Errno::EINVAL);
        }
        let mut free = self.free.lock();
        let first = match first {
            Some(first) => Some(first).filter(|&first| free.ranges.has(first, count)),
            None => free.ranges.find(count),
        };
        let first = first.ok_or(Errno::ENOMEM)?;
        if free.used + u64::from(count) > self.most {
            return Err(Errno::ENOMEM);
        }
        free.ranges.take(first, count);
        free.used += u64::from(count);
        for page in first..first + count {
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
        free.ranges.give(first, end.saturating_sub(first));
        for page in first..end.max(first) {
            if self.pages.get(page.into()).is_some_and(|page| page.exists.swap(false, Ordering::AcqRel)) {
                free.used -= 1;
            }
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
        assert_eq!(arena.allocate(None, 2), Ok(8), "the smallest range that fits and changed last");
        arena.free(3, 4);
        assert_eq!((arena.page(2).is_some(), arena.page(3).is_some()), (true, false));
        assert_eq!(arena.allocate(None, 4), Ok(3), "neighbours join");
        assert_eq!(arena.allocate(None, 3), Err(Errno::ENOMEM));
        assert_eq!(arena.count(), 10);
    }
}
