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
//! ```
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
