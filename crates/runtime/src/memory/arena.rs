//! Accesses to the pages of an arena: they never fault.
//!
//! Where a byte of an access has no page, a load gives zeros and a store changes nothing, as Linux' fault handler has it
//! (`ex_handler_bpf`). Pages need not be neighbours for the host, so an access may lie in two of them: machine code
//! gets a copy then, and what it wrote there is put where it belongs before anybody can look.

use sandbpf_isa::{AtomicOp, Size};

use super::Memory;
use super::far::Piece;
use crate::{address, arena};

/// What machine code reads or writes of memory that has no bytes of its own for it here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Copies {
    /// The bytes; those of an access start at 0, or at 1 so that no atomic operation is done on them.
    bytes: [u64; 2],
    /// Where what stands in the copy goes: to a place of the arena, so many bytes.
    pending: Option<(u64, usize)>,
}

impl Copies {
    /// Forgets what a run before this one left.
    #[inline]
    pub(super) fn forget(&mut self) {
        self.pending = None;
    }

    pub(super) fn put(&mut self, value: u64) -> *mut u8 {
        self.bytes[0] = value;
        (&raw mut self.bytes[0]).cast()
    }

    /// Bytes at an odd address: machine code leaves atomic operations on them to [`Memory::atomic`].
    fn odd(&mut self, value: u64) -> *mut u8 {
        self.bytes = [value << 8, value >> 56];
        (&raw mut self.bytes).cast::<u8>().wrapping_add(1)
    }

    fn odd_value(&self) -> u64 {
        self.bytes[0] >> 8 | self.bytes[1] << 56
    }
}

impl Memory<'_> {
    /// Says which arena the program addresses.
    #[inline]
    pub(crate) fn set_arena(&mut self, arena: Option<sandbpf_isa::Arena>) {
        // Next to no program has one.
        if arena.is_some() || self.arena.is_some() {
            self.arena = arena;
        }
    }

    /// The arena that the program addresses.
    pub(crate) fn arena(&self) -> Option<sandbpf_isa::Arena> {
        self.arena
    }

    /// Which byte of the program's arena an address is.
    pub(super) fn arena_place(&self, address: u64) -> Option<u64> {
        arena::place(self.arena?, address)
    }

    /// The bytes of the arena from a place on, if the page exists.
    fn arena_piece(&self, place: u64) -> Option<Piece<'_>> {
        if place >> 32 != 0 {
            return None;
        }
        self.far?.piece(address::map_value(self.arena?.map, place)).filter(|piece| piece.holds(1))
    }

    /// The bytes of an access that lies in one page.
    fn arena_whole(&self, place: u64, size: usize) -> Option<Piece<'_>> {
        self.arena_piece(place).filter(|piece| piece.holds(size))
    }

    /// Whether all bytes of an access have pages.
    fn arena_exists(&self, place: u64, size: usize) -> bool {
        let last = place.checked_add(size as u64 - 1);
        self.arena_piece(place).is_some() && last.is_some_and(|last| self.arena_piece(last).is_some())
    }

    pub(super) fn arena_load(&self, place: u64, size: usize) -> u64 {
        if let Some(piece) = self.arena_whole(place, size) {
            return piece.bytes.load(piece.at, size).unwrap_or_default();
        }
        if !self.arena_exists(place, size) {
            return 0;
        }
        let byte = |at: u64| self.arena_piece(place + at).and_then(|piece| piece.bytes.load(piece.at, 1));
        (0..size as u64).fold(0, |value, at| value | byte(at).unwrap_or_default() << (8 * at))
    }

    pub(super) fn arena_store(&self, place: u64, size: usize, value: u64) {
        if let Some(piece) = self.arena_whole(place, size) {
            let _ = piece.bytes.store(piece.at, size, value);
        } else if self.arena_exists(place, size) {
            for at in 0..size as u64 {
                let piece = self.arena_piece(place + at);
                let _ = piece.and_then(|piece| piece.bytes.store(piece.at, 1, value >> (8 * at)));
            }
        }
    }

    /// What the register that an operation fetches to holds afterwards: what it held where there is no page, for the
    /// whole instruction is skipped.
    pub(super) fn arena_atomic(&self, op: AtomicOp, place: u64, size: Size, operand: u64, r0: u64) -> u64 {
        let bytes = usize::from(size.bytes());
        if !self.arena_exists(place, bytes) {
            return if op == AtomicOp::Cmpxchg { r0 } else { operand };
        }
        if op == AtomicOp::LoadAcquire {
            return self.arena_load(place, bytes);
        }
        let whole = r0;
        let (operand, r0) = (size.truncate(operand), size.truncate(r0));
        // On x86-64, a `cmpxchg` of 32 bits that finds what it expects leaves the upper half of the register alone. Where
        // pages are ordinary memory the verifier adds an instruction that clears it; here it does not.
        let register = |old: u64| if op == AtomicOp::Cmpxchg && old == r0 { whole } else { old };
        if let Some(piece) = self.arena_whole(place, bytes)
            && let Some(old) = piece.bytes.update(piece.at, bytes, |m| op.eval(m, operand, r0))
        {
            return register(old);
        }
        let old = self.arena_load(place, bytes);
        self.arena_store(place, bytes, op.eval(old, operand, r0));
        register(old)
    }

    /// Where machine code finds the bytes of an access.
    pub(super) fn arena_locate(&mut self, place: u64, size: usize, write: bool) -> *mut u8 {
        if let Some(piece) = self.arena_whole(place, size) {
            return piece.bytes.as_ptr().wrapping_add(piece.at);
        }
        if write {
            // An atomic operation writes nothing here: then what is put back is what was there.
            let value = self.arena_load(place, size);
            self.kept.copies.pending = self.arena_exists(place, size).then_some((place, size));
            return self.kept.copies.odd(value);
        }
        let value = self.arena_load(place, size);
        self.kept.copies.put(value)
    }

    /// Puts what machine code wrote into a copy where it belongs. Machine code's door to Rust does so first of all.
    #[inline]
    pub fn settle(&mut self) {
        if let Some((place, size)) = self.kept.copies.pending.take() {
            self.arena_store(place, size, self.kept.copies.odd_value());
        }
    }
}
