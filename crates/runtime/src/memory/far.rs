//! Memory behind the regions: what lives longer than a run, and what is not the guest's.
//!
//! Values of maps are shared bytes that many runs read and write. Memory that the host describes (a task's, for
//! programs that trace) can only be copied. Both are found by address, through one trait, so that memory itself
//! need not know of maps.

use sandbpf_isa::Size;

use super::shared::SharedBytes;
use super::{Memory, REGION_OF_OBJECTS};
use crate::address::{self, REGION_BITS};
use crate::trap::Fault;

/// What lies behind the regions.
pub trait Far: Send + Sync + std::fmt::Debug {
    /// The shared bytes behind an address.
    ///
    /// They must stay where they are as long as this is borrowed: machine code goes to them directly.
    fn piece(&self, address: u64) -> Option<Piece<'_>>;

    /// Copies memory that is not the guest's; `false` if it is not all there.
    fn foreign(&self, address: u64, to: &mut [u8]) -> bool {
        let _ = (address, to);
        false
    }
}

/// Shared bytes, and where in them.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'m> {
    /// The bytes.
    pub bytes: &'m SharedBytes,
    /// Where in them.
    pub at: usize,
    /// Where the last byte ends that may be accessed through this address.
    pub end: usize,
    /// Whether programs may read them.
    pub readable: bool,
    /// Whether programs may write them.
    pub writable: bool,
}

impl Piece<'_> {
    /// Whether it has so many bytes.
    pub fn holds(&self, size: usize) -> bool {
        self.at.checked_add(size).is_some_and(|end| end <= self.end && end <= self.bytes.len())
    }
}

impl Memory<'_> {
    #[cold]
    pub(super) fn read_far(&self, address: u64, size: usize) -> Result<u64, Fault> {
        if let Some(place) = self.arena_place(address) {
            return Ok(self.arena_load(place, size));
        }
        let fault = Fault { address, size: size as u32, write: false };
        if address >> REGION_BITS == REGION_OF_OBJECTS as u64 {
            let at = (address - address::OBJECTS) as usize;
            let bytes =
                at.checked_add(size).and_then(|end| self.objects.as_deref()?.get(at..end)).ok_or(fault)?;
            let mut wide = [0; 8];
            wide[..size].copy_from_slice(bytes);
            return Ok(u64::from_le_bytes(wide));
        }
        if let Some(piece) = self.far.and_then(|far| far.piece(address)) {
            let allowed = piece.readable && piece.holds(size);
            return allowed.then(|| piece.bytes.load(piece.at, size)).flatten().ok_or(fault);
        }
        let mut wide = [0; 8];
        let found = self.far.is_some_and(|far| far.foreign(address, &mut wide[..size]))
            || self.kernel.is_some_and(|kernel| kernel.read(address, &mut wide[..size]));
        found.then(|| u64::from_le_bytes(wide)).ok_or(fault)
    }

    #[cold]
    pub(super) fn write_far(&self, address: u64, size: usize, value: u64) -> Result<(), Fault> {
        if let Some(place) = self.arena_place(address) {
            self.arena_store(place, size, value);
            return Ok(());
        }
        let piece = self.far.and_then(|far| far.piece(address));
        let piece = piece.filter(|piece| piece.writable && piece.holds(size));
        piece.and_then(|piece| piece.bytes.store(piece.at, size, value)).ok_or(Fault {
            address,
            size: size as u32,
            write: true,
        })
    }

    /// Where the bytes at an address behind the regions are, for machine code: good for one access of this size.
    pub fn locate(&mut self, address: u64, size: Size, write: bool) -> Result<*mut u8, Fault> {
        let bytes = usize::from(size.bytes());
        let fault = Fault { address, size: bytes as u32, write };
        if let Some(place) = self.arena_place(address) {
            return Ok(self.arena_locate(place, bytes, write));
        }
        if let Some(piece) = self.far.and_then(|far| far.piece(address)) {
            let allowed = if write { piece.writable } else { piece.readable };
            let start = piece.bytes.as_ptr().wrapping_add(piece.at);
            return (allowed && piece.holds(bytes)).then_some(start).ok_or(fault);
        }
        if write {
            return Err(fault);
        }
        let value = self.read_far(address, bytes)?;
        Ok(self.kept.copies.put(value))
    }
}
