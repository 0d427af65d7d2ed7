//! Ring buffers, from programs to their user and from the user to programs (`kernel/bpf/ringbuf.c`).
//!
//! A record is a header of eight bytes, its bytes, and padding to a multiple of eight. Positions only
//! grow; a position modulo the size is the place in the buffer. The header's first word is the length
//! with bit 31 set while the record is being written and bit 30 set if it is to be skipped; the second
//! word is the page of the header, counted as the kernel counts it.
//!
//! In the value space the buffer comes twice in a row, so that a record that wraps around is one range
//! of offsets, as in the kernel, where the pages are mapped twice.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::errno::Errno;
use crate::paged::Paged;
use crate::shared::SharedBytes;

/// The record is being written.
pub const BUSY_BIT: u32 = 1 << 31;
/// The record is to be skipped.
pub const DISCARD_BIT: u32 = 1 << 30;
/// Bytes of a record's header.
pub const HEADER: u64 = 8;

/// The largest record.
const LARGEST: u64 = u32::MAX as u64 / 4;
/// The largest sample that a `bpf_dynptr` can describe.
const LARGEST_DYNPTR: u64 = (1 << 24) - 1;
/// Pages before the data: the kernel's own, and one for each position.
const META_PAGES: u64 = 3;
/// Samples that one `bpf_user_ringbuf_drain` looks at.
pub const MAX_USER_SAMPLES: u32 = 128 * 1024;

/// What `bpf_ringbuf_query` can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingQuery {
    /// Bytes that were not consumed yet.
    Available,
    /// The size of the buffer.
    Size,
    /// The consumer's position.
    Consumer,
    /// The producers' position.
    Producer,
}

impl RingQuery {
    /// The question with this number; others are answered with 0.
    pub fn from_number(number: u64) -> Option<RingQuery> {
        use RingQuery::*;
        [Available, Size, Consumer, Producer].get(usize::try_from(number).ok()?).copied()
    }
}

/// A ring buffer of either direction.
#[derive(Debug)]
pub(crate) struct Ring {
    size: u64,
    chunk_bits: u32,
    chunks: Paged<SharedBytes>,
    consumer: AtomicU64,
    producer: AtomicU64,
    /// Up to where records are known to be finished; holding it is the right to reserve.
    pending: Mutex<u64>,
    /// Somebody consumes.
    busy: AtomicBool,
    /// How often a sleeping consumer would have been woken.
    wakeups: AtomicU32,
}

impl Ring {
    pub(crate) fn new(size: u32) -> Self {
        let chunk_bits = size.trailing_zeros().min(18);
        Ring {
            size: size.into(),
            chunk_bits,
            chunks: Paged::new(u64::from(size) >> chunk_bits),
            consumer: AtomicU64::new(0),
            producer: AtomicU64::new(0),
            pending: Mutex::new(0),
            busy: AtomicBool::new(false),
            wakeups: AtomicU32::new(0),
        }
    }

    /// The bytes behind an offset. A page that nobody wrote has no memory yet and gets it here.
    pub(crate) fn bytes(&self, offset: u64) -> Option<(&SharedBytes, usize, usize)> {
        if offset >= 2 * self.size {
            return None;
        }
        let at = offset & (self.size - 1);
        let chunk =
            self.chunks.get_or(at >> self.chunk_bits, || SharedBytes::zeroed(1 << self.chunk_bits))?;
        let at = (at & ((1 << self.chunk_bits) - 1)) as usize;
        Some((chunk, at, chunk.len() - at))
    }

    fn header(&self, position: u64) -> (&SharedBytes, usize) {
        // Positions are multiples of eight and the size is a power of two, so the header is in one chunk.
        let (bytes, at, _) = self.bytes(position & (self.size - 1)).expect("a place in the ring has memory");
        (bytes, at)
    }

    fn length(&self, position: u64) -> u32 {
        let (bytes, at) = self.header(position);
        bytes.load(at, 4).unwrap_or_default() as u32
    }

    /// Room for a record of `size` bytes; its offset.
    pub(crate) fn reserve(&self, size: u64) -> Option<u64> {
        if size > LARGEST {
            return None;
        }
        let len = (size + HEADER).next_multiple_of(8);
        if len > self.size {
            return None;
        }
        let consumer = self.consumer.load(Ordering::Acquire);
        let mut pending = self.pending.lock();
        let position = self.producer.load(Ordering::Relaxed);
        while *pending < position {
            let len = self.length(*pending);
            if len & BUSY_BIT != 0 {
                break;
            }
            // Lengths are in memory that programs may have spoiled; what they say ends at the producer.
            *pending = (*pending + record_len(len)).min(position);
        }
        let end = position + len;
        if end.wrapping_sub(consumer) > self.size - 1 || end - *pending > self.size - 1 {
            return None;
        }
        let page = META_PAGES + (position & (self.size - 1)) / u64::from(crate::spec::PAGE_SIZE);
        let (bytes, at) = self.header(position);
        bytes.store(at, 8, size | u64::from(BUSY_BIT) | page << 32);
        self.producer.store(end, Ordering::Release);
        Some((position & (self.size - 1)) + HEADER)
    }

    /// The size of the record at `offset` that is being written, if there is one.
    pub(crate) fn reserved(&self, offset: u64) -> Option<u32> {
        let position = offset.wrapping_sub(HEADER) & (self.size - 1);
        let len = offset.is_multiple_of(8).then(|| self.length(position))?;
        (len & BUSY_BIT != 0).then_some(len & !BUSY_BIT)
    }

    /// Finishes the record at `offset`.
    pub(crate) fn commit(&self, offset: u64, flags: u64, discard: bool) -> Result<(), Errno> {
        self.reserved(offset).ok_or(Errno::EINVAL)?;
        let place = offset.wrapping_sub(HEADER) & (self.size - 1);
        let (bytes, at) = self.header(place);
        let skip = if discard { u64::from(DISCARD_BIT) } else { 0 };
        bytes.update(at, 4, |len| (len ^ u64::from(BUSY_BIT)) | skip);
        let caught_up = self.consumer.load(Ordering::Acquire) & (self.size - 1) == place;
        let force = flags & crate::flags::RB_FORCE_WAKEUP != 0;
        if force || (caught_up && flags & crate::flags::RB_NO_WAKEUP == 0) {
            self.wakeups.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn query(&self, query: RingQuery) -> u64 {
        let consumer = self.consumer.load(Ordering::Acquire);
        let producer = self.producer.load(Ordering::Acquire);
        match query {
            RingQuery::Available => producer.wrapping_sub(consumer),
            RingQuery::Size => self.size,
            RingQuery::Consumer => consumer,
            RingQuery::Producer => producer,
        }
    }

    pub(crate) fn wakeups(&self) -> u32 {
        self.wakeups.load(Ordering::Relaxed)
    }

    /// Only one consumer at a time.
    pub(crate) fn begin(&self) -> Result<Consuming<'_>, Errno> {
        match self.busy.swap(true, Ordering::Acquire) {
            true => Err(Errno::EBUSY),
            false => Ok(Consuming { ring: self }),
        }
    }

    /// Copies bytes out, around the end of the buffer.
    pub(crate) fn read(&self, offset: u64, to: &mut [u8]) {
        let mut done = 0;
        while done < to.len() {
            let place = (offset + done as u64) & (self.size - 1);
            let Some((bytes, at, left)) = self.bytes(place) else { return };
            let count = left.min(to.len() - done);
            let _ = bytes.read(at, &mut to[done..done + count]);
            done += count;
        }
    }

    /// Copies bytes in, around the end of the buffer.
    pub(crate) fn write(&self, offset: u64, from: &[u8]) {
        let mut done = 0;
        while done < from.len() {
            let place = (offset + done as u64) & (self.size - 1);
            let Some((bytes, at, left)) = self.bytes(place) else { return };
            let count = left.min(from.len() - done);
            let _ = bytes.write(at, &from[done..done + count]);
            done += count;
        }
    }

    /// What a user may write into the page that it maps: where its samples end.
    pub(crate) fn set_producer(&self, position: u64) {
        let _producer = self.pending.lock();
        self.producer.store(position, Ordering::Release);
    }

    /// Wakes who waits for room, after samples were looked at.
    pub(crate) fn drained(&self, flags: u64, samples: u32) {
        let force = flags & crate::flags::RB_FORCE_WAKEUP != 0;
        if force || (samples > 0 && flags & crate::flags::RB_NO_WAKEUP == 0) {
            self.wakeups.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The user's side of a user ring: room for a sample, as libbpf's `user_ring_buffer__reserve`.
    pub(crate) fn user_reserve(&self, size: u32) -> Result<u64, Errno> {
        if size & (BUSY_BIT | DISCARD_BIT) != 0 {
            return Err(Errno::E2BIG);
        }
        let len = record_len(size);
        if len > self.size {
            return Err(Errno::E2BIG);
        }
        let _producer = self.pending.lock();
        let position = self.producer.load(Ordering::Relaxed);
        let used = position.wrapping_sub(self.consumer.load(Ordering::Acquire));
        if self.size.saturating_sub(used) < len {
            return Err(Errno::ENOSPC);
        }
        let (bytes, at) = self.header(position);
        bytes.store(at, 8, u64::from(size | BUSY_BIT));
        self.producer.store(position + len, Ordering::Release);
        Ok((position & (self.size - 1)) + HEADER)
    }
}

/// The right to consume.
#[derive(Debug)]
pub(crate) struct Consuming<'r> {
    ring: &'r Ring,
}

impl Consuming<'_> {
    /// The next finished record that is not to be skipped: its offset and size.
    pub(crate) fn next(&self) -> Option<(u64, u32)> {
        loop {
            let position = self.ring.consumer.load(Ordering::Relaxed);
            if position == self.ring.producer.load(Ordering::Acquire) {
                return None;
            }
            let len = self.ring.length(position);
            if len & BUSY_BIT != 0 {
                return None;
            }
            let fits = u64::from(len & !DISCARD_BIT) + HEADER <= self.ring.size;
            if len & DISCARD_BIT == 0 && fits {
                return Some(((position & (self.ring.size - 1)) + HEADER, len));
            }
            self.release(len);
        }
    }

    /// The next sample of a user ring (`__bpf_user_ringbuf_peek`): `EAGAIN` for one that is skipped,
    /// `ENODATA` if there is none.
    pub(crate) fn peek_user(&self) -> Result<(u64, u32), Errno> {
        let producer = self.ring.producer.load(Ordering::Acquire);
        if !producer.is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let position = self.ring.consumer.load(Ordering::Acquire);
        if position >= producer {
            return Err(Errno::ENODATA);
        }
        let word = self.ring.length(position);
        let len = word & !(BUSY_BIT | DISCARD_BIT);
        let total = record_len(len);
        if total > producer - position {
            return Err(Errno::EINVAL);
        }
        if total > self.ring.size || u64::from(len) > LARGEST_DYNPTR {
            return Err(Errno::E2BIG);
        }
        if word & DISCARD_BIT != 0 {
            self.release(len);
            return Err(Errno::EAGAIN);
        }
        if word & BUSY_BIT != 0 {
            return Err(Errno::ENODATA);
        }
        Ok(((position & (self.ring.size - 1)) + HEADER, len))
    }

    pub(crate) fn drained(&self, flags: u64, samples: u32) {
        self.ring.drained(flags, samples);
    }

    /// Gives a record's room back.
    pub(crate) fn release(&self, len: u32) {
        let position = self.ring.consumer.load(Ordering::Relaxed);
        let end = (position + record_len(len)).min(self.ring.producer.load(Ordering::Acquire));
        self.ring.consumer.store(end, Ordering::Release);
    }
}

impl Drop for Consuming<'_> {
    fn drop(&mut self) {
        self.ring.busy.store(false, Ordering::Release);
    }
}

/// Bytes that a record with this length word occupies.
fn record_len(len: u32) -> u64 {
    (u64::from(len & !(BUSY_BIT | DISCARD_BIT)) + HEADER).next_multiple_of(8)
}
