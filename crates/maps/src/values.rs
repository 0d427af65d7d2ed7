//! Where the values of a map live.
//!
//! A program holds pointers to values, so a value never moves: it has an offset in the *value space* of its map, and
//! [`Values::bytes`] finds the bytes behind an offset. A value is a part of a record of a [`Slab`]: behind a head that
//! is the map's own, which no program can reach (a hash table keeps the key there, so that it is where the value is), it comes
//! once, or once for each CPU.
//!
//! ```text
//!   record = head | copy of CPU 0, padded to eight | copy of CPU 1, padded to eight | …
//! ```

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::divisor::Divisor;
use crate::errno::Errno;
use crate::shared::SharedBytes;
use crate::slab::Slab;
use crate::spec::{FieldKind, SpecialField};

/// How long somebody waits for a spin lock: whoever has it is a program, which is done sooner.
const PATIENCE: Duration = Duration::from_secs(1);
/// Tries before the waiting goes on asleep.
const SPINS: u32 = 100;

/// A spin lock of a value, held: one in its word, as `bpf_spin_lock` has it.
pub(crate) struct Locked<'v> {
    bytes: &'v SharedBytes,
    at: usize,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = self.bytes.store(self.at, 4, 0);
    }
}

/// The values of a map, by slot.
#[derive(Debug)]
pub(crate) struct Values {
    /// Bytes of a value that may be accessed.
    size: usize,
    /// The same up to the next multiple of eight.
    padded: usize,
    by_padded: Divisor,
    /// Bytes before a value, a multiple of eight.
    head: usize,
    /// Copies of a value: one for each CPU, or one.
    copies: u32,
    slab: Slab,
    fields: Box<[SpecialField]>,
}

/// What the values of a map are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape<'f> {
    /// Bytes before each value that belong to the map.
    pub(crate) head: usize,
    /// Bytes of a value.
    pub(crate) size: u32,
    /// Copies of it.
    pub(crate) copies: u32,
    /// Bytes that all may have.
    pub(crate) memory: u64,
    pub(crate) fields: &'f [SpecialField],
}

/// Where values lie that are all in one piece, as long as their map is there: for machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flat {
    /// The host's address of offset 0 of the value space.
    pub start: u64,
    /// The offset of the first value.
    pub first: u64,
    /// From a value to the next.
    pub stride: u64,
    /// From one CPU's copy of a value to the next one's.
    pub copy: u64,
    /// How many copies there are.
    pub copies: u32,
}

impl Values {
    /// Room for so many values.
    pub(crate) fn new(slots: u64, shape: Shape<'_>) -> Self {
        let Shape { head, size, copies, memory, fields } = shape;
        let (head, padded) = (head.next_multiple_of(8), (size as usize).next_multiple_of(8).max(8));
        Values {
            size: size as usize,
            padded,
            by_padded: Divisor::new(padded as u64),
            head,
            copies,
            slab: Slab::new(slots, head + padded * copies as usize, memory),
            fields: fields.into(),
        }
    }

    /// The offset of a value.
    #[inline(always)]
    pub(crate) fn offset(&self, slot: u64, copy: u32) -> u64 {
        self.slab.offset(slot) + self.inside(copy) as u64
    }

    /// The slot that an offset lies in.
    pub(crate) fn slot_of(&self, offset: u64) -> u64 {
        self.slab.record_of(offset)
    }

    /// The bytes behind an offset: where they are, at which byte, and how many are left of the value.
    #[inline]
    pub(crate) fn bytes(&self, offset: u64) -> Option<(&SharedBytes, usize, usize)> {
        let (bytes, at, within) = self.slab.bytes(offset)?;
        let within = within.checked_sub(self.head)?;
        let within = if self.copies == 1 { within } else { self.by_padded.remainder(within as u64) as usize };
        let left = self.size.checked_sub(within).filter(|&left| left > 0)?;
        Some((bytes, at, left))
    }

    /// Where the values are, if they lie in one piece.
    pub(crate) fn flat(&self) -> Option<Flat> {
        let (piece, start) = self.slab.piece()?;
        Some(Flat {
            start: piece.as_ptr() as u64 + start as u64,
            first: self.head as u64,
            stride: self.slab.stride() as u64,
            copy: self.padded as u64,
            copies: self.copies,
        })
    }

    /// The words before a value, if its slot has memory.
    pub(crate) fn head(&self, slot: u32) -> Option<&[AtomicU64]> {
        self.slab.words(slot.into())?.get(..self.head / 8)
    }

    /// The first words before a value, of which there must be as many, if all values are in one piece.
    #[inline(always)]
    pub(crate) fn near_head<const COUNT: usize>(&self, slot: u32) -> Option<&[AtomicU64; COUNT]> {
        self.slab.near_words(slot.into())
    }

    /// Whether these bytes are all that there is of a value: it has one copy, and no special fields.
    #[inline]
    pub(crate) fn is_whole(&self, value: &[u8]) -> bool {
        self.copies == 1 && value.len() == self.size && self.fields.is_empty()
    }

    /// The words before a value, of which there are as many, and its own, if all values are in one piece.
    #[inline(always)]
    pub(crate) fn near_record<const HEAD: usize>(
        &self,
        slot: u32,
    ) -> Option<(&[AtomicU64; HEAD], &[AtomicU64])> {
        let words = self.slab.near_record(slot.into())?;
        (self.head == 8 * HEAD).then(|| words.split_first_chunk())?
    }

    /// Makes sure that a slot has memory, and gives it: its bytes, and where a copy starts.
    fn place(&self, slot: u64, copy: u32) -> Result<(&SharedBytes, usize), Errno> {
        let (bytes, at) = self.slab.touch(slot)?;
        Ok((bytes, at + self.inside(copy)))
    }

    /// Makes sure that a slot has memory.
    #[inline]
    pub(crate) fn touch(&self, slot: u64) -> Result<&SharedBytes, Errno> {
        self.slab.touch(slot).map(|(bytes, _)| bytes)
    }

    /// Copies one copy of a value out; zeros where nothing was ever written and where fields are special.
    pub(crate) fn read(&self, slot: u64, copy: u32, to: &mut [u8]) {
        let Some((bytes, at)) = self.slab.get(slot) else { return to.fill(0) };
        let _ = bytes.read(at + self.inside(copy), to);
        for field in &self.fields {
            let (from, end) = (field.offset as usize, (field.offset + field.size) as usize);
            if let Some(bytes) = to.get_mut(from..end) {
                bytes.fill(0);
            }
        }
    }

    /// Copies a value in, but for its special fields. The value may have up to the padded size.
    pub(crate) fn write(&self, slot: u64, copy: u32, from: &[u8]) -> Result<(), Errno> {
        let (bytes, base) = self.place(slot, copy)?;
        if self.fields.is_empty() {
            let _ = bytes.write(base, from);
            return Ok(());
        }
        let mut at = 0;
        for field in &self.fields {
            let (start, end) = (field.offset as usize, (field.offset + field.size) as usize);
            if let Some(part) = from.get(at..start) {
                let _ = bytes.write(base + at, part);
            }
            at = end;
        }
        if let Some(part) = from.get(at..) {
            let _ = bytes.write(base + at, part);
        }
        Ok(())
    }

    /// [`Values::write`], under the value's spin lock if `lock` says so.
    pub(crate) fn put(&self, slot: u64, copy: u32, from: &[u8], lock: bool) -> Result<(), Errno> {
        let _guard = if lock { Some(self.lock(slot, copy)?) } else { None };
        self.write(slot, copy, from)
    }

    /// Takes the value's spin lock; `EBUSY` if nobody gives it back.
    pub(crate) fn lock(&self, slot: u64, copy: u32) -> Result<Locked<'_>, Errno> {
        let field =
            self.fields.iter().find(|field| field.kind == FieldKind::SpinLock).ok_or(Errno::EINVAL)?;
        let (bytes, at) = self.place(slot, copy)?;
        let at = at + field.offset as usize;
        let locked = Locked { bytes, at };
        let mut started = None;
        for tries in 0u64.. {
            if locked.bytes.update(at, 4, |_| 1) == Some(0) {
                return Ok(locked);
            }
            if tries < u64::from(SPINS) {
                std::thread::yield_now();
            } else if started.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_micros(50));
            } else {
                break;
            }
        }
        // It is not ours to give back.
        std::mem::forget(locked);
        Err(Errno::EBUSY)
    }

    /// Accounts for bytes that the map needs besides its values.
    pub(crate) fn charge(&self, bytes: u64) -> Result<(), Errno> {
        self.slab.charge(bytes)
    }

    /// Makes one copy of a value zero, special fields excepted.
    pub(crate) fn clear(&self, slot: u64, copy: u32) -> Result<(), Errno> {
        if !self.fields.is_empty() {
            return self.write(slot, copy, &vec![0; self.padded]);
        }
        let (bytes, at) = self.place(slot, copy)?;
        let _ = bytes.clear(at, self.padded);
        Ok(())
    }

    /// Makes the special fields of a value zero: the value is no longer in the map.
    pub(crate) fn clear_fields(&self, slot: u64) {
        if self.fields.is_empty() {
            return;
        }
        let Some((bytes, at)) = self.slab.get(slot) else { return };
        for copy in 0..self.copies {
            for field in &self.fields {
                let _ = bytes.clear(at + self.inside(copy) + field.offset as usize, field.size as usize);
            }
        }
    }

    /// All copies, one after another, as `bpf(2)` has them.
    pub(crate) fn read_copies(&self, slot: u64, to: &mut [u8]) {
        for (copy, bytes) in (0..self.copies).zip(to.chunks_mut(self.padded)) {
            self.read(slot, copy, bytes);
        }
    }

    /// The inverse of [`Values::read_copies`].
    pub(crate) fn write_copies(&self, slot: u64, from: &[u8]) -> Result<(), Errno> {
        (0..self.copies)
            .zip(from.chunks(self.padded))
            .try_for_each(|(copy, bytes)| self.write(slot, copy, bytes))
    }

    /// How many copies there are.
    pub(crate) fn copies(&self) -> u32 {
        self.copies
    }

    /// Where a copy starts in its record.
    #[inline(always)]
    fn inside(&self, copy: u32) -> usize {
        self.head + copy as usize * self.padded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_find_their_bytes() {
        for (slots, size, copies, head) in
            [(1, 1, 1, 0), (10, 4, 1, 8), (5000, 24, 3, 0), (1 << 32, 8, 1, 16), (9, 70_000, 2, 8)]
        {
            for memory in [1 << 20, 1 << 30] {
                let values = Values::new(slots, Shape { head, size, copies, memory, fields: &[] });
                for slot in [0, slots / 2, slots - 1] {
                    for copy in 0..copies {
                        let offset = values.offset(slot, copy);
                        assert_eq!(values.slot_of(offset), slot);
                        let mark = (slot as u8) ^ (copy as u8 + 0x40);
                        values.write(slot, copy, &vec![mark; size as usize]).unwrap();
                        for at in [0, u64::from(size) - 1] {
                            let (bytes, place, left) = values.bytes(offset + at).unwrap();
                            assert_eq!(bytes.load(place, 1), Some(mark.into()));
                            assert_eq!(left as u64, u64::from(size) - at);
                        }
                        if size % 8 != 0 {
                            assert!(
                                values.bytes(offset + u64::from(size)).is_none(),
                                "padding is out of bounds"
                            );
                        }
                    }
                    if head > 0 {
                        let offset = values.offset(slot, 0);
                        assert!(values.bytes(offset - 1).is_none(), "the head is the map's");
                    }
                }
            }
        }
    }

    #[test]
    fn one_piece_is_told() {
        let shape = Shape { head: 8, size: 12, copies: 2, memory: 1 << 20, fields: &[] };
        let values = Values::new(100, shape);
        let flat = values.flat().expect("it fits");
        assert_eq!((flat.first, flat.stride, flat.copy, flat.copies), (8, 40, 16, 2));
        let (bytes, at, _) = values.bytes(values.offset(7, 1)).unwrap();
        let place = flat.first + 7 * flat.stride + flat.copy;
        assert_eq!(bytes.as_ptr() as u64 + at as u64, flat.start + place);
        assert_eq!(Values::new(1 << 20, shape).flat(), None, "it does not");
    }
}
