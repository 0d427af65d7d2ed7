//! Bytes that several threads read and write at once.
//!
//! The storage is words of [`AtomicU64`], little-endian, so this is safe Rust: what is smaller than
//! a word is changed by exchanging its word, and an aligned access never tears. Machine code
//! accesses the same words with plain and locked instructions of the access's own size, which on
//! x86-64 agree with these.
//!
//! ```
//! use sandbpf_maps::SharedBytes;
//! let shared = SharedBytes::from(&[1u8, 2, 3][..]);
//! shared.store(1, 2, 0xbbaa);
//! assert_eq!(shared.to_vec(), [1, 0xaa, 0xbb]);
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

use zerocopy::FromZeros;

use crate::huge;

/// Bytes that several threads may read and write at once.
#[derive(Debug)]
pub struct SharedBytes {
    words: Box<[AtomicU64]>,
    len: usize,
}

impl SharedBytes {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        SharedBytes { words: (0..len.div_ceil(8)).map(|_| AtomicU64::new(0)).collect(), len }
    }

    /// The same, if the system has memory for them. Pages that nobody touches cost none.
    pub(crate) fn try_zeroed(len: usize) -> Option<Self> {
        let words = <[AtomicU64]>::new_box_zeroed_with_elems(len.div_ceil(8)).ok()?;
        huge::advise(&words);
        Some(SharedBytes { words, len })
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes as they are now; bytes that change meanwhile may be old or new.
    pub fn to_vec(&self) -> Vec<u8> {
        let words = self.words.iter().flat_map(|word| word.load(Ordering::Acquire).to_le_bytes());
        words.take(self.len).collect()
    }

    /// Reads `size` (at most 8) bytes at `at`, little-endian; `None` outside the bytes.
    pub fn load(&self, at: usize, size: usize) -> Option<u64> {
        let (first, shift) = self.place(at, size)?;
        let low = self.words[first].load(Ordering::Acquire) >> shift;
        let value = match self.crosses(shift, size) {
            false => low,
            true => low | self.words[first + 1].load(Ordering::Acquire) << (64 - shift),
        };
        Some(value & mask(size))
    }

    /// Writes the low `size` (at most 8) bytes of `value` at `at`; `None` outside the bytes.
    pub fn store(&self, at: usize, size: usize, value: u64) -> Option<()> {
        self.update(at, size, |_| value).map(|_| ())
    }

    /// Replaces the `size` (at most 8) bytes at `at` by `change` of what they were, which it
    /// returns; `None` outside the bytes. One step, unless the bytes lie in two words.
    pub fn update(&self, at: usize, size: usize, change: impl Fn(u64) -> u64) -> Option<u64> {
        let (first, shift) = self.place(at, size)?;
        let mask = mask(size);
        if self.crosses(shift, size) {
            let old = self.load(at, size)?;
            let new = change(old) & mask;
            let keep = |word: &AtomicU64, cleared: u64, set: u64| {
                let _ = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |w| Some(w & !cleared | set));
            };
            keep(&self.words[first], mask << shift, new << shift);
            keep(&self.words[first + 1], mask >> (64 - shift), new >> (64 - shift));
            return Some(old);
        }
        let word = &self.words[first];
        let mut seen = word.load(Ordering::Acquire);
        loop {
            let old = seen >> shift & mask;
            let new = seen & !(mask << shift) | (change(old) & mask) << shift;
            match word.compare_exchange_weak(seen, new, Ordering::SeqCst, Ordering::Acquire) {
                Ok(_) => return Some(old),
                Err(now) => seen = now,
            }
        }
    }

    /// Copies bytes out, from `at` on; `None` outside the bytes. Whole words are read in one step.
    pub fn read(&self, at: usize, to: &mut [u8]) -> Option<()> {
        at.checked_add(to.len()).filter(|&end| end <= self.len)?;
        let (mut at, mut to) = (at, to);
        while !to.is_empty() {
            let skip = at % 8;
            let count = to.len().min(8 - skip);
            let word = self.words[at / 8].load(Ordering::Acquire).to_le_bytes();
            let (now, rest) = to.split_at_mut(count);
            now.copy_from_slice(&word[skip..skip + count]);
            (at, to) = (at + count, rest);
        }
        Some(())
    }

    /// Copies bytes in, from `at` on; `None` outside the bytes. Whole words are written in one step.
    pub fn write(&self, at: usize, from: &[u8]) -> Option<()> {
        at.checked_add(from.len()).filter(|&end| end <= self.len)?;
        let (mut at, mut from) = (at, from);
        while !from.is_empty() {
            let skip = at % 8;
            let count = from.len().min(8 - skip);
            let (now, rest) = from.split_at(count);
            match now.first_chunk() {
                Some(word) => self.words[at / 8].store(u64::from_le_bytes(*word), Ordering::Release),
                None => {
                    let mut word = [0; 8];
                    word[..count].copy_from_slice(now);
                    self.store(at, count, u64::from_le_bytes(word))?;
                }
            }
            (at, from) = (at + count, rest);
        }
        Some(())
    }

    /// Writes `len` zeros from `at` on; `None` outside the bytes.
    pub fn clear(&self, at: usize, len: usize) -> Option<()> {
        at.checked_add(len).filter(|&end| end <= self.len)?;
        let (mut at, end) = (at, at + len);
        while at < end {
            let count = (8 - at % 8).min(end - at);
            match count {
                8 => self.words[at / 8].store(0, Ordering::Release),
                _ => self.store(at, count, 0)?,
            }
            at += count;
        }
        Some(())
    }

    /// The words; the last one may have bytes that do not count.
    #[inline(always)]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        &self.words
    }

    /// The words, for machine code.
    #[doc(hidden)]
    pub fn as_ptr(&self) -> *mut u8 {
        self.words.as_ptr().cast_mut().cast()
    }

    /// The word where the bytes start, and the bit.
    fn place(&self, at: usize, size: usize) -> Option<(usize, u32)> {
        let inside = at.checked_add(size).is_some_and(|end| end <= self.len);
        inside.then_some((at / 8, (at % 8 * 8) as u32))
    }

    fn crosses(&self, shift: u32, size: usize) -> bool {
        shift as usize + size * 8 > 64
    }
}

fn mask(size: usize) -> u64 {
    if size >= 8 { u64::MAX } else { (1 << (size * 8)) - 1 }
}

impl From<&[u8]> for SharedBytes {
    fn from(bytes: &[u8]) -> Self {
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            AtomicU64::new(u64::from_le_bytes(word))
        });
        SharedBytes { words: words.collect(), len: bytes.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_plain_bytes() {
        for size in [1, 2, 4, 8] {
            for at in 0..=24 {
                let shared = SharedBytes::from(&(0..20).collect::<Vec<u8>>()[..]);
                let mut plain = shared.to_vec();
                let value = 0xf1e2_d3c4_b5a6_9788u64;
                let old = shared.load(at, size);
                let stored = shared.store(at, size, value);
                if at + size > 20 {
                    assert_eq!((old, stored), (None, None));
                    continue;
                }
                let mut expected = [0; 8];
                expected[..size].copy_from_slice(&plain[at..at + size]);
                assert_eq!(old, Some(u64::from_le_bytes(expected)));
                plain[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
                assert_eq!(shared.to_vec(), plain, "{size} bytes at {at}");
            }
        }
    }

    #[test]
    fn copies_agree_with_plain_bytes() {
        for at in 0..20 {
            for len in 0..=24 {
                let shared = SharedBytes::from(&(0..20).collect::<Vec<u8>>()[..]);
                let mut plain = shared.to_vec();
                let from: Vec<u8> = (100..100 + len as u8).collect();
                let mut to = vec![0; len];
                if at + len > 20 {
                    assert_eq!((shared.read(at, &mut to), shared.write(at, &from)), (None, None));
                    assert_eq!(shared.clear(at, len), None);
                    continue;
                }
                assert_eq!(shared.read(at, &mut to), Some(()));
                assert_eq!(to, plain[at..at + len]);
                shared.write(at, &from);
                plain[at..at + len].copy_from_slice(&from);
                assert_eq!(shared.to_vec(), plain, "{len} bytes at {at}");
                shared.clear(at, len);
                plain[at..at + len].fill(0);
                assert_eq!(shared.to_vec(), plain, "{len} bytes at {at}");
            }
        }
    }

    #[test]
    fn no_update_is_lost() {
        let shared = SharedBytes::zeroed(16);
        std::thread::scope(|scope| {
            for at in [8, 8, 12, 12] {
                let shared = &shared;
                scope.spawn(move || {
                    for _ in 0..10_000 {
                        shared.update(at, 4, |m| m + 1);
                    }
                });
            }
        });
        assert_eq!((shared.load(8, 4), shared.load(12, 4)), (Some(20_000), Some(20_000)));
    }
}
