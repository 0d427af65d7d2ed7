//! Pointers into arenas, as programs have them.
//!
//! To its user, a byte of an arena has an ordinary address; to a program, only the lower half of it counts. Linux keeps
//! the pages at a base that no register of the program ever holds: `cast_kern` clears the upper half, accesses add the
//! base, and what is not mapped there reads as zeros and swallows what is written (`BPF_PROBE_MEM32`). `cast_user` puts
//! the upper half of the user's address back, except into null.
//!
//! Here a pointer of the program is that lower half, too, so registers hold what they hold in Linux. Only where such a
//! number is the address of something else the program has ([its own regions](crate::address)), it is moved out of
//! the way, to [`ALIAS`]: programs see the difference if they compare such a pointer with a number of their own.

use sandbpf_isa::{AddressSpace, Arena};

use crate::address::{CONTEXT, OBJECTS, REGION_BITS, REGION_SIZE};

/// Where pointers are whose lower half belongs to a region.
pub const ALIAS: u64 = 1 << 55;

/// How far an access reaches beyond its pointer: an offset of 16 bits (half of Linux' `GUARD_SZ`).
const GUARD: u64 = 1 << 15;

/// A place that no arena has.
const NOWHERE: u64 = u64::MAX;

/// Whether a pointer with this lower half has to be out of the way.
pub const fn is_taken(low: u32) -> bool {
    low as u64 >= FIRST_TAKEN && (low as u64) < END_OF_TAKEN
}

/// The first lower half that belongs to a region.
pub const FIRST_TAKEN: u64 = CONTEXT;

/// The first after them that does not.
pub const END_OF_TAKEN: u64 = OBJECTS + REGION_SIZE;

/// `cast_kern` and `cast_user`. Without an arena both give the lower half.
///
/// ```
/// use sandbpf_isa::{AddressSpace::{Kernel, User}, Arena};
/// use sandbpf_runtime::arena::cast;
/// let arena = Some(Arena { map: 0, start: 0x7f00_8000_0000, converts: true });
/// assert_eq!(cast(arena, 0x7f00_8000_0010, Kernel), 0x8000_0010);
/// assert_eq!(cast(arena, 0x8000_0010, User), 0x7f00_8000_0010);
/// assert_eq!((cast(arena, 0, Kernel), cast(arena, 0, User)), (0, 0));
/// ```
#[inline]
pub const fn cast(arena: Option<Arena>, value: u64, to: AddressSpace) -> u64 {
    let low = value as u32;
    match (to, arena) {
        (AddressSpace::Kernel, Some(_)) if is_taken(low) => ALIAS + low as u64,
        (AddressSpace::User, Some(arena)) if arena.converts && low != 0 => upper(arena) | low as u64,
        _ => low as u64,
    }
}

/// The upper half of the user's addresses.
pub const fn upper(arena: Arena) -> u64 {
    arena.start >> 32 << 32
}

/// Which byte of the arena an address is, if the program addresses an arena there; one that no arena has for addresses
/// that are reached from a pointer but lie outside of what pointers can say.
pub(crate) fn place(arena: Arena, address: u64) -> Option<u64> {
    let distance = |low: u64| u64::from((low as u32).wrapping_sub(arena.start as u32));
    let end = 1 << 32;
    match address {
        0..FIRST_TAKEN => Some(distance(address)),
        _ if address >> REGION_BITS < END_OF_TAKEN >> REGION_BITS => None,
        _ if address < end => Some(distance(address)),
        _ if address < end + GUARD || address >= GUARD.wrapping_neg() => Some(NOWHERE),
        _ => match address.wrapping_sub(ALIAS) {
            low if low < end => Some(distance(low)),
            beyond if beyond < end + GUARD || beyond >= GUARD.wrapping_neg() => Some(NOWHERE),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_lead_to_the_byte_that_the_user_means() {
        for start in [0x7f00_8000_0000, 1 << 44, 0x1_0000_0000, 0x7f00_1000_0000] {
            let arena = Arena { map: 0, start, converts: true };
            for at in [0, 8, 4096, 0x0fff_fffc, 0x1000_0000, 0x6fff_ffff, 0x7000_0000] {
                let user = start + at;
                let kernel = cast(Some(arena), user, AddressSpace::Kernel);
                assert_eq!(place(arena, kernel), Some(at), "{user:#x}");
                if user as u32 != 0 {
                    assert_eq!(cast(Some(arena), kernel, AddressSpace::User), user);
                }
            }
            for region in [CONTEXT, OBJECTS] {
                assert_eq!(place(arena, region), None, "it is the program's own");
            }
            let guards = [1 << 32, (1u64 << 32) + 7, u64::MAX, ALIAS + (1 << 32), ALIAS - 1];
            assert!(guards.iter().all(|&address| place(arena, address) == Some(NOWHERE)));
            assert_eq!(place(arena, 1 << 40), None);
        }
    }
}
