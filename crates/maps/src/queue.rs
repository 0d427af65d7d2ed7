//! Queues, stacks and Bloom filters: maps without keys.
//!
//! See `kernel/bpf/queue_stack_maps.c` and `kernel/bpf/bloom_filter.c`.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::errno::Errno;
use crate::flags::{EXIST, NOEXIST};
use crate::jhash;
use crate::paged::Paged;
use crate::values::Values;

/// A queue or a stack.
#[derive(Debug)]
pub(crate) struct Queue {
    stack: bool,
    most: u32,
    /// The slot of the oldest element, and how many there are.
    span: Mutex<(u64, u32)>,
    values: Values,
}

impl Queue {
    pub(crate) fn new(stack: bool, most: u32, values: impl FnOnce(u64) -> Values) -> Self {
        Queue { stack, most, span: Mutex::default(), values: values(most.into()) }
    }

    /// Puts a value in; with `BPF_EXIST` the oldest makes room.
    pub(crate) fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags & NOEXIST != 0 || flags > EXIST {
            return Err(Errno::EINVAL);
        }
        let mut span = self.span.lock();
        let (mut oldest, mut count) = *span;
        if count == self.most {
            if flags & EXIST == 0 {
                return Err(Errno::E2BIG);
            }
            (oldest, count) = (self.wrap(oldest + 1), count - 1);
        }
        self.values.write(self.wrap(oldest + u64::from(count)), 0, value)?;
        *span = (oldest, count + 1);
        Ok(())
    }

    /// The oldest value of a queue, the newest of a stack; `remove` takes it out. If there is none the
    /// value is zeros, as programs see it.
    pub(crate) fn get(&self, to: &mut [u8], remove: bool) -> Result<(), Errno> {
        let mut span = self.span.lock();
        let (oldest, count) = *span;
        if count == 0 {
            to.fill(0);
            return Err(Errno::ENOENT);
        }
        let slot = if self.stack { self.wrap(oldest + u64::from(count - 1)) } else { oldest };
        self.values.read(slot, 0, to);
        if remove {
            *span = if self.stack { (oldest, count - 1) } else { (self.wrap(oldest + 1), count - 1) };
        }
        Ok(())
    }

    fn wrap(&self, slot: u64) -> u64 {
        slot % u64::from(self.most)
    }
}

/// A Bloom filter.
#[derive(Debug)]
pub(crate) struct Bloom {
    functions: u32,
    mask: u32,
    seed: u32,
    words: Paged<Box<[AtomicU64]>>,
}

/// Words of bits that are allocated together.
const WORDS: u64 = 1024;

impl Bloom {
    /// A filter for `entries` values with so many hash functions; 0 stands for 5.
    pub(crate) fn new(entries: u32, functions: u32, seed: u32, memory: u64) -> Result<Self, Errno> {
        let functions = if functions == 0 { 5 } else { functions };
        // `n * k / ln(2)` bits, nearly, as a power of two.
        let bits = entries.checked_mul(functions).and_then(|bits| (bits / 5).checked_mul(7));
        let mask = match bits.filter(|&bits| bits <= 1 << 31) {
            Some(bits) => bits.max(64).next_power_of_two() - 1,
            None => u32::MAX,
        };
        let words = (u64::from(mask) + 1) / 64;
        if words * 8 > memory {
            return Err(Errno::ENOMEM);
        }
        Ok(Bloom { functions, mask, seed, words: Paged::new(words.div_ceil(WORDS)) })
    }

    pub(crate) fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        for bit in self.bits(value) {
            let page = || (0..WORDS).map(|_| AtomicU64::new(0)).collect();
            let page = self.words.get_or(bit / 64 / WORDS, page).ok_or(Errno::ENOMEM)?;
            page[(bit / 64 % WORDS) as usize].fetch_or(1 << (bit % 64), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the value was put in; now and then this says yes to one that was not.
    pub(crate) fn contains(&self, value: &[u8]) -> bool {
        self.bits(value).all(|bit| {
            let word = self.words.get(bit / 64 / WORDS).map(|page| &page[(bit / 64 % WORDS) as usize]);
            word.is_some_and(|word| word.load(Ordering::Relaxed) >> (bit % 64) & 1 == 1)
        })
    }

    fn bits(&self, value: &[u8]) -> impl Iterator<Item = u64> {
        (0..self.functions)
            .map(move |function| u64::from(jhash::hash(value, self.seed.wrapping_add(function)) & self.mask))
    }
}
