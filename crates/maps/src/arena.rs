//! Arenas: pages that programs and their user share (`kernel/bpf/arena.c`).
//!
//! A page exists after a program asked for it or the user touched it. Free pages are kept as [`Ranges`].

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::Map;
use crate::body::Body;
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

    /// Keeps pages, of which none may exist or be kept already, from being allocated.
    pub(crate) fn reserve(&self, first: u32, count: u32) -> Result<(), Errno> {
        if u64::from(first) + u64::from(count) > self.len.into() {
            return Err(Errno::EINVAL);
        }
        let mut free = self.free.lock();
        if !free.ranges.has(first, count) {
            return Err(Errno::EBUSY);
        }
        free.ranges.take(first, count);
        Ok(())
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

/// Where users have an arena that does not say so itself (`map_extra`): Linux leaves it to `mmap(2)`.
const USER: u64 = 0x7f00_0000_0000;

impl Map {
    /// The user's address of an arena's first page. Its lower half is not 0, as far as the arena is smaller than what a
    /// half can say: pages that programs see at 0 look like null to them.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Map, MapSpec, MapType, flags};
    /// let spec = MapSpec::new(MapType::Arena, 0, 0, 16).with_flags(flags::MMAPABLE);
    /// let arena = Map::create(spec, &Environment::default())?;
    /// let page = arena.arena_allocate_at(0, 1)?;
    /// assert_eq!((arena.arena_start(), page), (0x7f00_8000_0000, 0x7f00_8000_0000));
    /// # Ok::<(), sandbpf_maps::Errno>(())
    /// ```
    pub fn arena_start(&self) -> u64 {
        let bytes = self.arena_bytes();
        match self.spec().map_extra {
            0 if bytes > 1 << 31 => USER + ((1 << 32) - bytes),
            0 => USER + (1 << 31),
            start => start,
        }
    }

    /// How many bytes an arena has; 0 for other maps.
    pub fn arena_bytes(&self) -> u64 {
        match self.body {
            Body::Arena(_) => u64::from(self.spec().max_entries) * u64::from(PAGE_SIZE),
            _ => 0,
        }
    }

    /// The page at an address, of which only the lower half counts; one behind the arena's if the address is elsewhere.
    fn arena_page(&self, address: u64) -> u32 {
        (address as u32).wrapping_sub(self.arena_start() as u32) / PAGE_SIZE
    }

    /// `bpf_arena_alloc_pages`: `count` pages at a user's address, or anywhere if that is 0; the first page's address.
    pub fn arena_allocate_at(&self, address: u64, count: u32) -> Result<u64, Errno> {
        if !address.is_multiple_of(PAGE_SIZE.into()) {
            return Err(Errno::EINVAL);
        }
        let first = self.arena_allocate((address != 0).then(|| self.arena_page(address)), count)?;
        Ok(self.arena_start() + u64::from(first) * u64::from(PAGE_SIZE))
    }

    /// `bpf_arena_free_pages`: those from a user's address on.
    pub fn arena_free_at(&self, address: u64, count: u32) {
        let (start, low) = (self.arena_start(), u64::from(address as u32 / PAGE_SIZE * PAGE_SIZE));
        let Some(at) = ((start >> 32 << 32) | low).checked_sub(start) else { return };
        self.arena_free((at / u64::from(PAGE_SIZE)) as u32, count);
    }

    /// `bpf_arena_reserve_pages`: programs get none of these pages: `EBUSY` if one is taken, `EINVAL` beyond the arena.
    pub fn arena_reserve_at(&self, address: u64, count: u32) -> Result<(), Errno> {
        let Body::Arena(arena) = &self.body else { return Err(Errno::EINVAL) };
        if count == 0 || !address.is_multiple_of(PAGE_SIZE.into()) {
            return Ok(());
        }
        arena.reserve(self.arena_page(address), count)
    }

    /// `bpf_arena_alloc_pages`: `count` pages at page `first`, or anywhere; the first page's number.
    pub fn arena_allocate(&self, first: Option<u32>, count: u32) -> Result<u32, Errno> {
        match &self.body {
            Body::Arena(arena) => arena.allocate(first, count),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `bpf_arena_free_pages`.
    pub fn arena_free(&self, first: u32, count: u32) {
        if let Body::Arena(arena) = &self.body {
            arena.free(first, count);
        }
    }

    /// How many pages of an arena exist.
    pub fn arena_pages(&self) -> u64 {
        match &self.body {
            Body::Arena(arena) => arena.count(),
            _ => 0,
        }
    }

    /// Writes the first bytes of an arena, as its loader does with variables: their pages come to exist, also where a
    /// user's touch is a fault later.
    pub fn arena_fill(&self, bytes: &[u8]) -> Result<(), Errno> {
        let Body::Arena(arena) = &self.body else { return Err(Errno::EINVAL) };
        for (page, bytes) in (0..).zip(bytes.chunks(PAGE_SIZE as usize)) {
            arena.fault(page)?.write(0, bytes).ok_or(Errno::EFAULT)?;
        }
        Ok(())
    }

    /// A user touches a page of an arena: it comes to exist, unless the arena says that this is a fault.
    pub fn arena_touch(&self, page: u32) -> Result<(), Errno> {
        let Body::Arena(arena) = &self.body else { return Err(Errno::EINVAL) };
        let fault = self.spec().map_flags & crate::flags::SEGV_ON_FAULT != 0;
        if fault && arena.page(page).is_none() {
            return Err(Errno::EFAULT);
        }
        arena.fault(page).map(|_| ())
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
