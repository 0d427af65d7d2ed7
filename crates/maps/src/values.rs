//! Where the values of a map live.
//!
//! A program holds pointers to values, so a value never moves: it has an offset in the *value space* of
//! its map, and [`Values::bytes`] finds the bytes behind an offset by a shift and two loads. Memory
//! comes in chunks of about 64 KiB when a value in them is first touched; a map of two thousand million
//! elements costs nothing until then.
//!
//! ```text
//!   offset = chunk << shift | slot in chunk * stride | copy of a CPU * padded | byte in the value
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::errno::Errno;
use crate::paged::Paged;
use crate::shared::SharedBytes;
use crate::spec::{FieldKind, SpecialField};

/// A chunk has at least one slot and, where slots are smaller, about this many bytes.
const CHUNK: u64 = 64 << 10;

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
    /// Copies of a value: one for each CPU, or one.
    copies: u32,
    slots: u64,
    /// Slots of a chunk, as a power of two.
    slot_bits: u32,
    /// Offsets of a chunk, as a power of two.
    shift: u32,
    chunks: Paged<SharedBytes>,
    fields: Box<[SpecialField]>,
    allocated: AtomicU64,
    /// Bytes that may be allocated.
    memory: u64,
}

impl Values {
    /// Room for `slots` values of `size` bytes in as many copies.
    pub(crate) fn new(slots: u64, size: u32, copies: u32, memory: u64, fields: &[SpecialField]) -> Self {
        let padded = (size as usize).next_multiple_of(8).max(8);
        let stride = padded as u64 * u64::from(copies);
        let slot_bits = (CHUNK / stride).max(1).min(slots.next_power_of_two()).ilog2();
        let chunk_bytes = stride << slot_bits;
        let shift = chunk_bytes.next_power_of_two().trailing_zeros();
        let chunks = Paged::new(slots.div_ceil(1 << slot_bits));
        Values {
            size: size as usize,
            padded,
            copies,
            slots,
            slot_bits,
            shift,
            chunks,
            fields: fields.into(),
            allocated: AtomicU64::new(0),
            memory,
        }
    }

    /// The offset of a value.
    pub(crate) fn offset(&self, slot: u64, copy: u32) -> u64 {
        (slot >> self.slot_bits) << self.shift | self.at(slot, copy) as u64
    }

    /// The slot and the copy that an offset lies in.
    pub(crate) fn slot_of(&self, offset: u64) -> (u64, u32) {
        let (chunk, at) = (offset >> self.shift, offset & ((1 << self.shift) - 1));
        let copy = at / self.padded as u64;
        let slot = copy / u64::from(self.copies);
        ((chunk << self.slot_bits) + slot, (copy % u64::from(self.copies)) as u32)
    }

    /// The bytes behind an offset: where they are, at which byte, and how many are left of the value.
    pub(crate) fn bytes(&self, offset: u64) -> Option<(&SharedBytes, usize, usize)> {
        let chunk = self.chunks.get(offset >> self.shift)?;
        let at = (offset & ((1 << self.shift) - 1)) as usize;
        // A division costs more than all the rest.
        let within = if self.padded.is_power_of_two() { at & (self.padded - 1) } else { at % self.padded };
        let left = self.size.checked_sub(within).filter(|&left| left > 0)?;
        (at < chunk.len()).then_some((chunk, at, left))
    }

    /// Makes sure that a slot has memory.
    pub(crate) fn touch(&self, slot: u64) -> Result<&SharedBytes, Errno> {
        let chunk = slot >> self.slot_bits;
        if let Some(bytes) = self.chunks.get(chunk) {
            return Ok(bytes);
        }
        let stride = self.padded as u64 * u64::from(self.copies);
        // The last chunk has no more slots than there are.
        let slots = (self.slots.saturating_sub(chunk << self.slot_bits)).min(1 << self.slot_bits);
        let bytes = stride * slots;
        self.charge(bytes)?;
        let mut made = false;
        let chunk = self.chunks.get_or(chunk, || {
            made = true;
            SharedBytes::zeroed(bytes as usize)
        });
        if !made {
            self.allocated.fetch_sub(bytes, Ordering::Relaxed);
        }
        chunk.ok_or(Errno::ENOMEM)
    }

    /// Copies one copy of a value out; zeros where nothing was ever written and where fields are special.
    pub(crate) fn read(&self, slot: u64, copy: u32, to: &mut [u8]) {
        match self.chunks.get(slot >> self.slot_bits) {
            Some(chunk) => {
                let _ = chunk.read(self.at(slot, copy), to);
                for field in &self.fields {
                    let (from, end) = (field.offset as usize, (field.offset + field.size) as usize);
                    if let Some(bytes) = to.get_mut(from..end) {
                        bytes.fill(0);
                    }
                }
            }
            None => to.fill(0),
        }
    }

    /// Copies a value in, but for its special fields. The value may have up to the padded size.
    pub(crate) fn write(&self, slot: u64, copy: u32, from: &[u8]) -> Result<(), Errno> {
        let chunk = self.touch(slot)?;
        let base = self.at(slot, copy);
        if self.fields.is_empty() {
            let _ = chunk.write(base, from);
            return Ok(());
        }
        let mut at = 0;
        for field in &self.fields {
            let (start, end) = (field.offset as usize, (field.offset + field.size) as usize);
            if let Some(bytes) = from.get(at..start) {
                let _ = chunk.write(base + at, bytes);
            }
            at = end;
        }
        if let Some(bytes) = from.get(at..) {
            let _ = chunk.write(base + at, bytes);
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
        let at = self.at(slot, copy) + field.offset as usize;
        let locked = Locked { bytes: self.touch(slot)?, at };
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
        let before = self.allocated.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.memory {
            self.allocated.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// Makes one copy of a value zero, special fields excepted.
    pub(crate) fn clear(&self, slot: u64, copy: u32) -> Result<(), Errno> {
        match self.fields.is_empty() {
            true => {
                let _ = self.touch(slot)?.clear(self.at(slot, copy), self.padded);
                Ok(())
            }
            false => self.write(slot, copy, &vec![0; self.padded]),
        }
    }

    /// Makes the special fields of a value zero: the value is no longer in the map.
    pub(crate) fn clear_fields(&self, slot: u64) {
        let Some(chunk) = self.chunks.get(slot >> self.slot_bits) else { return };
        for copy in 0..self.copies {
            for field in &self.fields {
                let _ = chunk.clear(self.at(slot, copy) + field.offset as usize, field.size as usize);
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

    fn at(&self, slot: u64, copy: u32) -> usize {
        let in_chunk = slot & ((1 << self.slot_bits) - 1);
        (in_chunk * u64::from(self.copies) + u64::from(copy)) as usize * self.padded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_find_their_bytes() {
        for (slots, size, copies) in [(1, 1, 1), (10, 4, 1), (5000, 24, 3), (1 << 32, 8, 1), (9, 70_000, 2)] {
            let values = Values::new(slots, size, copies, u64::MAX, &[]);
            for slot in [0, slots / 2, slots - 1] {
                for copy in 0..copies {
                    let offset = values.offset(slot, copy);
                    assert_eq!(values.slot_of(offset), (slot, copy));
                    let mark = (slot as u8) ^ (copy as u8 + 0x40);
                    values.write(slot, copy, &vec![mark; size as usize]).unwrap();
                    for at in [0, u64::from(size) - 1] {
                        let (bytes, place, left) = values.bytes(offset + at).unwrap();
                        assert_eq!(bytes.load(place, 1), Some(mark.into()));
                        assert_eq!(left as u64, u64::from(size) - at);
                    }
                    if size % 8 != 0 {
                        assert!(values.bytes(offset + u64::from(size)).is_none(), "padding is out of bounds");
                    }
                }
            }
        }
    }

    #[test]
    fn memory_is_limited() {
        let values = Values::new(1 << 32, 4096, 1, 1 << 20, &[]);
        let touched = (0..1 << 20).step_by(16).take_while(|&slot| values.touch(slot).is_ok()).count();
        assert_eq!(touched, 16);
    }
}
