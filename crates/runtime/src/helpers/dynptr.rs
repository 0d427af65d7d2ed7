//! Dynamic pointers: memory with its length, checked when it is used.
//!
//! A dynamic pointer is 16 bytes of the program's stack, which only helpers understand: where the memory is, how long
//! it is (24 bits, with the type and whether it may be written in the bits above), and an offset into it.

use sandbpf_abi::SkBuff;

use super::errno::{E2BIG, EFAULT, EINVAL, fail};
use super::skb::{INVALIDATE_HASH, RECOMPUTE_CSUM};
use super::{Bytes, Out, Scalar};
use crate::address::PACKET;
use crate::{Fault, HelperResult, Machine};

/// The longest memory that one can point to.
const MAX_SIZE: u64 = (1 << 24) - 1;
const READ_ONLY: u32 = 1 << 31;
const TYPE_SHIFT: u32 = 28;

/// What a dynamic pointer points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The program's own memory.
    Local = 1,
    /// A record of a ring buffer.
    Ring = 2,
    /// A packet in the stack.
    Skb = 3,
    /// A frame.
    Xdp = 4,
    /// The metadata before a packet.
    Meta = 5,
}

/// A dynamic pointer, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dynptr {
    pub(crate) data: u64,
    size: u32,
    offset: u32,
}

impl Dynptr {
    pub(crate) const NULL: Dynptr = Dynptr { data: 0, size: 0, offset: 0 };

    pub(crate) fn new(data: u64, len: u64, target: Target) -> Option<Dynptr> {
        let size = u32::try_from(len).ok().filter(|_| len <= MAX_SIZE)?;
        Some(Dynptr { data, size: size | (target as u32) << TYPE_SHIFT, offset: 0 })
    }

    /// Its 16 bytes.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let words = [self.data, u64::from(self.size) | u64::from(self.offset) << 32];
        let mut bytes = [0; 16];
        bytes.copy_from_slice(words.map(u64::to_le_bytes).as_flattened());
        bytes
    }

    pub(crate) fn load(machine: &Machine<'_>, at: u64) -> Result<Dynptr, Fault> {
        let word = |offset| machine.memory.read::<4>(at.wrapping_add(offset)).map(|word| word as u32);
        Ok(Dynptr { data: machine.memory.read::<8>(at)?, size: word(8)?, offset: word(12)? })
    }

    pub(crate) fn store(self, machine: &mut Machine<'_>, at: u64) -> Result<(), Fault> {
        machine.memory.write::<8>(at, self.data)?;
        machine.memory.write::<4>(at.wrapping_add(8), self.size.into())?;
        machine.memory.write::<4>(at.wrapping_add(12), self.offset.into())
    }

    /// The same, to be read only.
    pub(crate) fn read_only(self) -> Dynptr {
        Dynptr { size: self.size | READ_ONLY, ..self }
    }

    /// How many bytes it points to.
    pub(crate) fn len(self) -> u64 {
        u64::from(self.size) & MAX_SIZE
    }

    /// Whether it points nowhere.
    pub(crate) fn is_null(self) -> bool {
        self.data == 0
    }

    /// What lies between two offsets; `None` if that is not all in it.
    pub(crate) fn narrowed(self, start: u32, end: u32) -> Option<Dynptr> {
        let len = end.checked_sub(start).filter(|_| u64::from(end) <= self.len())?;
        let size = self.size & !(MAX_SIZE as u32) | len;
        Some(Dynptr { size, offset: self.offset.checked_add(start)?, ..self })
    }

    /// Whether it points to a packet, wherever that lies when it is used.
    fn is_packet(self) -> bool {
        self.is_in(Target::Skb) || self.is_in(Target::Xdp)
    }

    fn is_in(self, target: Target) -> bool {
        self.size >> TYPE_SHIFT & 7 == target as u32
    }

    /// The address of `len` bytes at `offset`; the error if they are not all there.
    pub(crate) fn slice(self, machine: &Machine<'_>, offset: u64, len: u64) -> Result<u64, i64> {
        let size = self.len();
        if self.data == 0 {
            return Err(EINVAL);
        }
        if len > size || offset > size - len {
            return Err(E2BIG);
        }
        let offset = u64::from(self.offset) + offset;
        if !self.is_packet() {
            return Ok(self.data.wrapping_add(offset));
        }
        let at = u64::from(machine.packet.data) + offset;
        // The packet may have become shorter.
        match at + len <= machine.memory.packet_bytes().len() as u64 {
            true => Ok(PACKET + at),
            false => Err(EFAULT),
        }
    }

    pub(crate) fn is_read_only(self) -> bool {
        self.size & READ_ONLY != 0
    }
}

crate::helpers! {
    pub(super) static HELPERS;

    /// Makes a dynamic pointer to the program's memory.
    197 fn dynptr_from_mem(machine, data: Bytes, flags: Scalar, to: Scalar) {
        let made = match Dynptr::new(data.address, data.len, Target::Local) {
            None => Err(E2BIG),
            Some(_) if flags.0 != 0 => Err(EINVAL),
            Some(dynptr) => Ok(dynptr),
        };
        made.unwrap_or(Dynptr::NULL).store(machine, to.0)?;
        done(made.map(|_| ()))
    }

    /// Copies bytes out of what a dynamic pointer points to.
    201 fn dynptr_read(machine, to: Out, from: Scalar, offset: Scalar, flags: Scalar) {
        let dynptr = Dynptr::load(machine, from.0)?;
        if flags.0 != 0 {
            return fail(EINVAL);
        }
        match dynptr.slice(machine, u64::from(offset.0 as u32), to.len) {
            Ok(at) => {
                let bytes = machine.bytes(at, to.len)?;
                machine.memory.copy_in(to.address, &bytes)?;
                Ok(0)
            }
            Err(errno) => fail(errno),
        }
    }

    /// Copies bytes into what a dynamic pointer points to.
    202 fn dynptr_write(machine, to: Scalar, offset: Scalar, from: Bytes, flags: Scalar) {
        let dynptr = Dynptr::load(machine, to.0)?;
        // A packet in the stack takes the flags of `bpf_skb_store_bytes`.
        let known = if dynptr.is_in(Target::Skb) { RECOMPUTE_CSUM | INVALIDATE_HASH } else { 0 };
        if flags.0 & !known != 0 || dynptr.is_null() || dynptr.is_read_only() {
            return fail(EINVAL);
        }
        match dynptr.slice(machine, u64::from(offset.0 as u32), from.len) {
            Ok(at) => {
                let bytes = machine.bytes(from.address, from.len)?;
                machine.memory.copy_in(at, &bytes)?;
                if flags.0 & INVALIDATE_HASH != 0 {
                    machine.set_field(SkBuff::HASH, 0)?;
                }
                Ok(0)
            }
            Err(errno) => fail(errno),
        }
    }

    /// The address of what a dynamic pointer points to, or null.
    203 fn dynptr_data(machine, from: Scalar, offset: Scalar, len: Scalar) {
        let dynptr = Dynptr::load(machine, from.0)?;
        match dynptr.slice(machine, u64::from(offset.0 as u32), u64::from(len.0 as u32)) {
            // Packets are looked at through slices.
            Ok(at) if !dynptr.is_read_only() && !dynptr.is_packet() => Ok(at),
            _ => Ok(0),
        }
    }
}

fn done(result: Result<(), i64>) -> HelperResult {
    match result {
        Ok(()) => Ok(0),
        Err(errno) => fail(errno),
    }
}
