//! The guest's address space.
//!
//! Guest addresses are numbers, never host pointers: two engines compute the same registers, runs
//! are reproducible, and nothing about the host leaks. The upper bits of an address name a region,
//! the lower 28 the byte in it, so that finding the bytes is a shift and a mask.
//!
//! ```text
//!   0x0000_0000   nothing: null and small numbers trap
//!   0x0800_0000   functions: not readable, the values of function pointers
//!   0x1000_0000   context: the bytes of a context structure
//!   0x2000_0000   stack: frame i occupies 512 bytes from 512 * i
//!   0x3000_0000   packet
//!   0x4000_0000   buffer: the memory of programs that have neither packet nor context
//!   0x5000_0000   maps themselves: what a map pointer holds; a few fields of `struct bpf_map` can be read
//!   0x6000_0000   objects: structures that helpers hand out, a socket for example
//!   2^55         pointers into the program's arena, where they are no numbers below 2^32
//!   2^56 + 2^40 i values of map i
//!   from 2^57 on  objects that programs made
//! ```
//!
//! Values of maps lie where no processor has addresses, so that they never coincide with an address that a
//! program reads from a traced task.
//!
//! Everything that a 32-bit context field may hold (`__sk_buff.data`) fits 32 bits, so a context is
//! plain bytes and nobody rewrites context accesses.

use sandbpf_isa::{FRAME_SIZE, Pc};

/// Bits of an address within its region.
pub const REGION_BITS: u32 = 28;

/// How many bytes a region can have.
pub const REGION_SIZE: u64 = 1 << REGION_BITS;

/// Function `f` at instruction `pc` has the value `FUNCTIONS + pc`.
pub const FUNCTIONS: u64 = 0x0800_0000;

/// The first byte of the context.
pub const CONTEXT: u64 = 0x1000_0000;

/// The first byte of the stack.
pub const STACK: u64 = 0x2000_0000;

/// The first byte of the packet, headers before the data included.
pub const PACKET: u64 = 0x3000_0000;

/// The first byte of a plain buffer.
pub const BUFFER: u64 = 0x4000_0000;

/// A pointer to map `i` is `MAPS + 4096 i`.
pub const MAPS: u64 = 0x5000_0000;

/// The first byte of what helpers hand out.
pub const OBJECTS: u64 = 0x6000_0000;

/// The first value of map 0.
pub const MAP_VALUES: u64 = 1 << 56;

/// Bits of an address within the values of a map.
pub const MAP_VALUE_BITS: u32 = 40;

/// Where the kernel's own structure of a packet program's context is, for a host to describe.
pub const KERNEL_CONTEXT: u64 = 0xffff_8882_0000_0000;

/// The `struct cgroup` of group `id` is at `CGROUPS + 4096 id`, for a host to describe.
pub const CGROUPS: u64 = 0xffff_8900_0000_0000;

/// How many maps there can be.
pub const MAX_MAPS: u64 = 1 << 16;

/// The frame pointer `r10` of the first frame; a callee's is [`FRAME_SIZE`] higher.
pub const FIRST_FRAME: u64 = STACK + FRAME_SIZE as u64;

/// The value of a pointer to the function at `pc`.
pub const fn function(pc: Pc) -> u64 {
    FUNCTIONS + pc.0 as u64
}

/// The instruction that a function pointer points to, if the number can be one.
pub fn as_function(address: u64) -> Option<Pc> {
    let pc = address.checked_sub(FUNCTIONS)?;
    (pc < CONTEXT - FUNCTIONS).then_some(Pc(pc as u32))
}

/// Bits of an address within a map's structure.
pub const MAP_BITS: u32 = 12;

/// A pointer to map `map`.
pub const fn map(map: u32) -> u64 {
    MAPS + ((map as u64) << MAP_BITS)
}

/// The map that a pointer to one points to, if the number can be one.
pub fn as_map(address: u64) -> Option<u32> {
    as_map_field(address).filter(|&(_, field)| field == 0).map(|(map, _)| map)
}

/// The map whose structure an address lies in, and where in it.
pub fn as_map_field(address: u64) -> Option<(u32, usize)> {
    let at = address.checked_sub(MAPS)?;
    let map = at >> MAP_BITS;
    (map < MAX_MAPS).then_some((map as u32, (at & ((1 << MAP_BITS) - 1)) as usize))
}

/// The address of a value of a map, from its place among the map's values.
pub const fn map_value(map: u32, place: u64) -> u64 {
    MAP_VALUES + ((map as u64) << MAP_VALUE_BITS) + place
}

/// The map, and the place among its values, that an address points to, if the number can be one.
pub fn as_map_value(address: u64) -> Option<(u32, u64)> {
    let value = address.checked_sub(MAP_VALUES)?;
    let map = value >> MAP_VALUE_BITS;
    (map < MAX_MAPS).then_some((map as u32, value & ((1 << MAP_VALUE_BITS) - 1)))
}
