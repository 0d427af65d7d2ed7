//! Memory of a table: records of one size by number, all zero at first.
//!
//! Where all records together are no more than a map may have, they lie in one piece that the system gives out page by page as
//! they are touched, so that finding one is a multiplication, and machine code may know where they are. More than that comes in
//! chunks of about 64 KiB when a record in them is first touched: a map of two thousand million elements costs nothing until
//! then, and is refused what it may not have.
//!
//! ```text
//!   offset = record * stride                              in one piece
//!   offset = chunk << shift | record in chunk * stride    in chunks
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

use crate::divisor::Divisor;
use crate::errno::Errno;
use crate::paged::Paged;
use crate::shared::SharedBytes;

/// A chunk has at least one record and, where records are smaller, about this many bytes.
const CHUNK: u64 = 64 << 10;
/// Offsets that a table has: programs' addresses have room for no more.
const OFFSETS: u64 = 1 << 40;
/// What records of a piece are aligned to, as far as their size is: a line of the processor's caches.
const LINE: usize = 64;

/// Records of bytes by number.
#[derive(Debug)]
pub(crate) struct Slab {
    /// Bytes from a record to the next: a multiple of eight.
    stride: usize,
    by_stride: Divisor,
    records: u64,
    /// All records, or nothing.
    piece: SharedBytes,
    /// Where the first record is in the piece: its byte, its word.
    start: usize,
    first: usize,
    /// Words from a record to the next.
    stride_words: usize,
    /// Bytes of all records.
    all: u64,
    /// Records of a chunk, as a power of two.
    record_bits: u32,
    /// Offsets of a chunk, as a power of two.
    shift: u32,
    chunks: Paged<SharedBytes>,
    allocated: AtomicU64,
    /// Bytes that may be allocated.
    memory: u64,
}

impl Slab {
    /// Room for records of `stride` bytes, a multiple of eight.
    pub(crate) fn new(records: u64, stride: usize, memory: u64) -> Self {
        let (stride, bytes) = (stride.max(8), stride.max(8) as u64);
        let record_bits = (CHUNK / bytes).max(1).min(records.next_power_of_two()).ilog2();
        let all = records.checked_mul(bytes).filter(|&all| all <= memory.min(OFFSETS));
        let piece = all.and_then(|all| SharedBytes::try_zeroed(all as usize + LINE));
        let chunks = if piece.is_some() { 0 } else { records.div_ceil(1 << record_bits) };
        let piece = piece.unwrap_or_else(|| SharedBytes::zeroed(0));
        let start = (piece.as_ptr() as usize).wrapping_neg() % LINE;
        Slab {
            stride,
            by_stride: Divisor::new(bytes),
            records,
            start,
            first: start / 8,
            stride_words: stride / 8,
            all: all.unwrap_or_default(),
            piece,
            record_bits,
            shift: (bytes << record_bits).next_power_of_two().trailing_zeros(),
            chunks: Paged::new(chunks),
            allocated: AtomicU64::new(0),
            memory,
        }
    }

    /// Bytes from a record to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// All records, if they lie in one piece, and where the first one is in it.
    #[inline(always)]
    pub(crate) fn piece(&self) -> Option<(&SharedBytes, usize)> {
        (!self.piece.is_empty()).then_some((&self.piece, self.start))
    }

    /// The offset of a record; `None` if nothing has it.
    #[inline(always)]
    pub(crate) fn offset(&self, record: u64) -> u64 {
        match self.piece() {
            Some(_) => record * self.stride as u64,
            None => (record >> self.record_bits) << self.shift | self.in_chunk(record) as u64,
        }
    }

    /// The record that an offset lies in.
    pub(crate) fn record_of(&self, offset: u64) -> u64 {
        match self.piece() {
            Some(_) => offset / self.stride as u64,
            None => {
                let (chunk, at) = (offset >> self.shift, offset & ((1 << self.shift) - 1));
                (chunk << self.record_bits) + at / self.stride as u64
            }
        }
    }

    /// The bytes behind an offset: where they are, at which one, and which byte of its record that is.
    #[inline(always)]
    pub(crate) fn bytes(&self, offset: u64) -> Option<(&SharedBytes, usize, usize)> {
        let (bytes, at, start, end) = match self.piece() {
            Some((piece, start)) => (piece, offset, start, self.all),
            None => {
                let chunk = self.chunks.get(offset >> self.shift)?;
                (chunk, offset & ((1 << self.shift) - 1), 0, chunk.len() as u64)
            }
        };
        (at < end).then(|| (bytes, start + at as usize, self.by_stride.remainder(at) as usize))
    }

    /// A record's bytes and where they start, if somebody touched it.
    #[inline(always)]
    pub(crate) fn get(&self, record: u64) -> Option<(&SharedBytes, usize)> {
        match self.piece() {
            Some((piece, start)) => Some((piece, start + record as usize * self.stride)),
            None => Some((self.chunks.get(record >> self.record_bits)?, self.in_chunk(record))),
        }
    }

    /// The first words of a record, of which there must be as many, if all records are in one piece.
    #[inline(always)]
    pub(crate) fn near_words<const COUNT: usize>(&self, record: u64) -> Option<&[AtomicU64; COUNT]> {
        self.piece.words().get(self.first + record as usize * self.stride_words..)?.first_chunk()
    }

    /// A record's words, if all records are in one piece.
    #[inline(always)]
    pub(crate) fn near_record(&self, record: u64) -> Option<&[AtomicU64]> {
        let at = self.first + record as usize * self.stride_words;
        self.piece.words().get(at..at + self.stride_words)
    }

    /// A record's words, if somebody touched it.
    #[inline(always)]
    pub(crate) fn words(&self, record: u64) -> Option<&[AtomicU64]> {
        match self.near_record(record) {
            Some(words) => Some(words),
            None => self.words_in_chunk(record),
        }
    }

    #[cold]
    fn words_in_chunk(&self, record: u64) -> Option<&[AtomicU64]> {
        let chunk = self.chunks.get(record >> self.record_bits)?;
        chunk.words().get(self.in_chunk(record) / 8..)?.get(..self.stride / 8)
    }

    /// Makes sure that a record has memory.
    #[inline]
    pub(crate) fn touch(&self, record: u64) -> Result<(&SharedBytes, usize), Errno> {
        match self.get(record) {
            Some(found) => Ok(found),
            None => self.make(record),
        }
    }

    fn make(&self, record: u64) -> Result<(&SharedBytes, usize), Errno> {
        let chunk = record >> self.record_bits;
        if chunk >= OFFSETS >> self.shift {
            return Err(Errno::ENOMEM);
        }
        // The last chunk has no more records than there are.
        let records = (self.records.saturating_sub(chunk << self.record_bits)).min(1 << self.record_bits);
        let bytes = self.stride as u64 * records;
        self.charge(bytes)?;
        let mut made = false;
        let chunk = self.chunks.get_or(chunk, || {
            made = true;
            SharedBytes::zeroed(bytes as usize)
        });
        if !made {
            self.allocated.fetch_sub(bytes, Ordering::Relaxed);
        }
        Ok((chunk.ok_or(Errno::ENOMEM)?, self.in_chunk(record)))
    }

    /// Accounts for bytes that are needed besides the records.
    pub(crate) fn charge(&self, bytes: u64) -> Result<(), Errno> {
        let before = self.allocated.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.memory {
            self.allocated.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    #[inline(always)]
    fn in_chunk(&self, record: u64) -> usize {
        (record & ((1 << self.record_bits) - 1)) as usize * self.stride
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_find_their_records() {
        for (records, stride, memory) in
            [(1, 8, 8), (10, 8, 0), (5000, 24, 1 << 20), (1 << 32, 8, 1 << 30), (9, 70_000, 1 << 30)]
        {
            let slab = Slab::new(records, stride, memory.max(1 << 20));
            for record in [0, records / 2, records - 1] {
                let (bytes, start) = slab.touch(record).unwrap();
                assert!(bytes.len() >= start + stride);
                let offset = slab.offset(record);
                assert_eq!(slab.record_of(offset + stride as u64 - 1), record);
                let (_, at, within) = slab.bytes(offset + 5).unwrap();
                assert_eq!((at, within), (start + 5, 5));
                assert_eq!(slab.words(record).unwrap().len(), stride / 8);
                let word: Option<&[AtomicU64; 1]> = slab.near_words(record);
                let words = slab.words(record).unwrap();
                assert!(word.is_none_or(|word| word.as_ptr() == words.as_ptr()));
            }
        }
    }

    #[test]
    fn memory_is_limited() {
        let slab = Slab::new(1 << 32, 4096, 1 << 20);
        let touched = (0..1 << 20).step_by(16).take_while(|&record| slab.touch(record).is_ok()).count();
        assert_eq!(touched, 16);
        let vast = Slab::new(1 << 32, 1 << 20, u64::MAX);
        assert_eq!(vast.touch((1 << 32) - 1).map(|_| ()), Err(Errno::ENOMEM), "no address reaches it");
    }

    #[test]
    fn what_lies_in_one_piece_is_aligned() {
        let slab = Slab::new(100, 64, 1 << 20);
        let (piece, start) = slab.piece().unwrap();
        assert_eq!((piece.as_ptr() as usize + start) % 64, 0);
    }
}
