//! What programs share and keep between runs: maps, and the programs that tail calls reach.

use std::sync::Arc;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use sandbpf_maps::Map;
use sandbpf_maps::flags::{RDONLY_PROG, WRONLY_PROG};

use crate::address;
use crate::execute::Execute;
use crate::heap::{HEAP, Heap};
use crate::later::Later;
use crate::memory::far::{Far, Piece};

/// Maps and programs, by number. Both only become more, so what is borrowed stays where it is.
#[derive(Debug, Default)]
pub struct World {
    id: Id,
    maps: boxcar::Vec<Arc<Map>>,
    cpus: u32,
    programs: boxcar::Vec<Arc<dyn Execute>>,
    /// Objects that programs made.
    heap: Heap,
    /// Timers and work.
    later: Later,
    /// Numbers of maps by their identifiers.
    numbers: RwLock<HashMap<u32, u32>>,
}

/// A number that no other world of this process has.
#[derive(Clone, Copy, Debug)]
struct Id(u64);

impl Default for Id {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Id(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// There are as many maps as addresses can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {} maps, and no more can be told apart", address::MAX_MAPS)]
pub struct TooManyMaps;

impl World {
    /// Nothing yet, for so many processors.
    pub fn new(cpus: u32) -> Self {
        World { cpus, ..World::default() }
    }

    /// A number that no other world of this process has.
    pub fn id(&self) -> u64 {
        self.id.0
    }

    /// Adds a map, if it is new, and gives its number.
    pub fn add_map(&self, map: Arc<Map>) -> Result<u32, TooManyMaps> {
        let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = numbers.get(&map.id()) {
            return Ok(number);
        }
        if self.maps.count() as u64 >= address::MAX_MAPS {
            return Err(TooManyMaps);
        }
        let id = map.id();
        let number = self.maps.push(map) as u32;
        numbers.insert(id, number);
        Ok(number)
    }

    /// How many maps there are.
    pub fn maps(&self) -> u32 {
        self.maps.count() as u32
    }

    /// A map by its number.
    pub fn map(&self, number: u32) -> Option<&Arc<Map>> {
        self.maps.get(number as usize)
    }

    /// Objects that programs made.
    pub fn heap(&self) -> &Heap {
        &self.heap
    }

    /// What runs later.
    pub fn later(&self) -> &Later {
        &self.later
    }

    /// How many processors there are.
    pub fn cpus(&self) -> u32 {
        self.cpus.max(1)
    }

    /// Adds a program for tail calls and gives its number.
    pub fn add_program(&self, code: Arc<dyn Execute>) -> u32 {
        self.programs.push(code) as u32
    }

    /// A program by its number.
    pub fn program(&self, number: u32) -> Option<&dyn Execute> {
        self.programs.get(number as usize).map(|code| &**code)
    }
}

impl Far for World {
    fn piece(&self, address: u64) -> Option<Piece<'_>> {
        if address >= HEAP {
            return self.heap.piece(address);
        }
        let (map, place) = address::as_map_value(address)?;
        let map = self.map(map)?;
        let (bytes, at, left) = map.bytes(place)?;
        let flags = map.spec().map_flags;
        let (readable, writable) = (flags & WRONLY_PROG == 0, flags & RDONLY_PROG == 0);
        Some(Piece { bytes, at, end: at + left, readable, writable })
    }

    fn foreign(&self, address: u64, to: &mut [u8]) -> bool {
        let Some((map, at)) = address::as_map_field(address) else { return false };
        let Some(map) = self.map(map) else { return false };
        let structure = structure(map);
        let field = at.checked_add(to.len()).and_then(|end| structure.get(at..end));
        field.map(|field| to.copy_from_slice(field)).is_some()
    }
}

/// What programs read of a map itself: `struct bpf_map` of Linux 6.18, with the fields that say what the map is.
fn structure(map: &Map) -> [u8; STRUCTURE] {
    let spec = map.spec();
    let mut bytes = [0; STRUCTURE];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    // The kernel's table of operations, one for each type.
    let operations = 0xffff_ffff_8200_0000u64 + 0x100 * u64::from(spec.map_type.number());
    put(40, &operations.to_le_bytes());
    for (at, value) in [
        (64, spec.map_type.number()),
        (68, spec.key_size),
        (72, spec.value_size),
        (76, spec.max_entries),
        (88, spec.map_flags),
        (92, map.id()),
    ] {
        put(at, &value.to_le_bytes());
    }
    put(80, &spec.map_extra.to_le_bytes());
    let name = &spec.name.as_bytes()[..spec.name.len().min(15)];
    put(136, name);
    bytes
}

/// The bytes of `struct bpf_map` that can be read.
const STRUCTURE: usize = 320;
