//! Objects that programs make and keep: what `bpf_obj_new` hands out, and what hangs on a map's value after the run.
//!
//! An object has an address of its own, which no later object gets: what is freed cannot be read by who still has the
//! address. Its memory is used again, but never given back while the heap lives, so machine code that reaches for it at
//! the moment when another thread frees it finds bytes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use sandbpf_maps::SharedBytes;

use crate::memory::far::Piece;

/// The address of the first object.
pub(crate) const HEAP: u64 = 1 << 57;
/// Bits of an address within an object.
const OFFSET_BITS: u32 = 20;
/// Bits of an address that tell objects apart that had the same memory.
const GENERATION_BITS: u32 = 16;
/// How many objects there can be at once.
const MAX_SLOTS: usize = 1 << 20;
/// How much memory all of them may have.
const MAX_BYTES: usize = 64 << 20;

/// The objects of a world.
#[derive(Debug, Default)]
pub struct Heap {
    slots: boxcar::Vec<Slot>,
    unused: Mutex<Unused>,
    /// How long objects of the program's types are, by the numbers of the types.
    types: Mutex<HashMap<u64, u32>>,
}

#[derive(Debug, Default)]
struct Unused {
    /// By the size of their memory.
    slots: HashMap<usize, Vec<usize>>,
    bytes: usize,
}

/// Memory for one object after the other.
#[derive(Debug)]
struct Slot {
    bytes: SharedBytes,
    /// Which object it is; odd while there is one.
    generation: AtomicU64,
    references: AtomicU32,
    len: AtomicU32,
    /// How far apart the copies of processors are; 0 for one copy.
    stride: AtomicU32,
}

impl Heap {
    /// Says how long objects of a type of the program are.
    pub fn set_type(&self, number: u64, size: u32) {
        self.types.lock().unwrap_or_else(PoisonError::into_inner).insert(number, size);
    }

    /// How long objects of a type are.
    pub(crate) fn size_of(&self, number: u64) -> Option<u32> {
        self.types.lock().unwrap_or_else(PoisonError::into_inner).get(&number).copied()
    }

    /// Makes an object, all zero, with a copy for each of so many processors; `None` if there is no room.
    pub(crate) fn allocate(&self, size: u32, copies: u32) -> Option<u64> {
        let stride = size.max(1).checked_next_multiple_of(8)?;
        let len = stride.checked_mul(copies)?;
        if len > 1 << OFFSET_BITS {
            return None;
        }
        let room = (len as usize).next_power_of_two().max(16);
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match unused.slots.get_mut(&room).and_then(Vec::pop) {
            Some(index) => index,
            None => {
                let bytes = unused.bytes + room;
                if bytes > MAX_BYTES || self.slots.count() >= MAX_SLOTS {
                    return None;
                }
                unused.bytes = bytes;
                self.slots.push(Slot {
                    bytes: SharedBytes::zeroed(room),
                    generation: AtomicU64::new(0),
                    references: AtomicU32::new(0),
                    len: AtomicU32::new(0),
                    stride: AtomicU32::new(0),
                })
            }
        };
        let slot = self.slots.get(index)?;
        // All of it: the object before may have been longer.
        slot.bytes.clear(0, room)?;
        slot.len.store(if copies == 1 { size } else { len }, Ordering::Relaxed);
        slot.stride.store(if copies == 1 { 0 } else { stride }, Ordering::Relaxed);
        slot.references.store(1, Ordering::Relaxed);
        let generation = slot.generation.fetch_add(1, Ordering::AcqRel) + 1;
        Some(address(index, generation))
    }

    /// The object that an address lies in, and where in it.
    fn slot(&self, address: u64) -> Option<(usize, &Slot, usize)> {
        let place = address.checked_sub(HEAP)?;
        let index = usize::try_from(place >> (OFFSET_BITS + GENERATION_BITS)).ok()?;
        let slot = self.slots.get(index)?;
        let generation = slot.generation.load(Ordering::Acquire);
        let is_live = generation & 1 == 1 && self::address(index, generation) == address & !OFFSET;
        is_live.then_some((index, slot, (address & OFFSET) as usize))
    }

    /// The address of the object that an address lies in.
    pub(crate) fn base(&self, address: u64) -> Option<u64> {
        self.slot(address).map(|_| address & !OFFSET)
    }

    /// Takes one more reference; `false` if there is no object, or none that lives on.
    pub(crate) fn acquire(&self, address: u64) -> bool {
        let Some((_, slot, _)) = self.slot(address) else { return false };
        let more = |count: u32| if count == 0 { None } else { count.checked_add(1) };
        slot.references.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).is_ok()
    }

    /// Gives a reference back, and frees the object with the last; `false` if there is no object.
    pub(crate) fn release(&self, address: u64) -> bool {
        let Some((index, slot, _)) = self.slot(address) else { return false };
        let less = |count: u32| count.checked_sub(1);
        match slot.references.fetch_update(Ordering::AcqRel, Ordering::Relaxed, less) {
            Ok(1) => {
                slot.generation.fetch_add(1, Ordering::AcqRel);
                let room = slot.bytes.len();
                let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
                unused.slots.entry(room).or_default().push(index);
                true
            }
            Ok(_) => true,
            Err(_) => false,
        }
    }

    /// How many objects there are.
    pub fn count(&self) -> usize {
        self.slots.iter().filter(|(_, slot)| slot.generation.load(Ordering::Relaxed) & 1 == 1).count()
    }

    /// A processor's copy of an object with one for each: `None` if it is not such an object.
    pub(crate) fn copy_of(&self, address: u64, cpu: u32) -> Option<u64> {
        let (_, slot, at) = self.slot(address)?;
        let stride = slot.stride.load(Ordering::Relaxed);
        let there = u64::from(stride) * u64::from(cpu);
        let is_there = stride != 0 && there < slot.len.load(Ordering::Relaxed).into() && at == 0;
        is_there.then_some(address + there)
    }

    /// The bytes behind an address.
    pub(crate) fn piece(&self, address: u64) -> Option<Piece<'_>> {
        let (_, slot, at) = self.slot(address)?;
        let end = slot.len.load(Ordering::Relaxed) as usize;
        (at < end).then_some(Piece { bytes: &slot.bytes, at, end, readable: true, writable: true })
    }
}

const OFFSET: u64 = (1 << OFFSET_BITS) - 1;

/// The address of a generation of a slot. Of generations whose low bits are equal only one lives.
fn address(index: usize, generation: u64) -> u64 {
    let generation = generation >> 1 & ((1 << GENERATION_BITS) - 1);
    HEAP + ((index as u64) << (OFFSET_BITS + GENERATION_BITS)) + (generation << OFFSET_BITS)
}

#[cfg(test)]
mod tests {
    use super::{Heap, MAX_BYTES};

    #[test]
    fn what_is_freed_is_not_there() {
        let heap = Heap::default();
        let first = heap.allocate(40, 1).expect("there is room");
        assert!(heap.piece(first + 39).is_some() && heap.piece(first + 40).is_none());
        assert!(heap.acquire(first) && heap.release(first) && heap.piece(first).is_some());
        assert!(heap.release(first) && heap.piece(first).is_none() && !heap.release(first));
        let second = heap.allocate(40, 1).expect("there is room");
        assert_ne!(first, second);
        assert!(heap.base(first).is_none() && heap.base(second + 8) == Some(second));
    }

    #[test]
    fn memory_ends() {
        let heap = Heap::default();
        let made = (0..MAX_BYTES >> 19).filter(|_| heap.allocate(1 << 20, 1).is_some()).count();
        assert_eq!(made, MAX_BYTES >> 20);
        assert_eq!(heap.allocate(u32::MAX, 1), None);
        assert_eq!(heap.allocate(8, u32::MAX), None);
    }

    #[test]
    fn processors_have_copies() {
        let heap = Heap::default();
        let object = heap.allocate(12, 2).expect("there is room");
        assert_eq!(heap.copy_of(object, 1), Some(object + 16));
        assert_eq!(heap.copy_of(object, 2), None);
    }
}
