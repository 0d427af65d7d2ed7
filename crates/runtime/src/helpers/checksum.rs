//! Ones' complement sums, as IP, TCP and UDP use them, and the helpers about them.
//!
//! Sums are of 16-bit words as they lie in memory: a sum computed on a little-endian machine is the byte-swapped sum
//! of a big-endian one, and so is what is stored.

use super::errno::{EACCES, EFAULT, EINVAL, ENOTSUPP, fail};
use super::{Context, Scalar};
use crate::{HelperResult, Machine};

/// The 32-bit ones' complement sum of bytes, on top of `seed` (`csum_partial`).
pub(crate) fn partial(bytes: &[u8], seed: u32) -> u32 {
    let mut sum = u64::from(seed);
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        sum += u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut word = [0; 4];
        word[..rest.len()].copy_from_slice(rest);
        sum += u64::from(u32::from_le_bytes(word));
    }
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    ((sum >> 32) + (sum & 0xffff_ffff)) as u32
}

/// Sums of 32 bits.
pub(crate) fn add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u32::from(carry)
}

fn sub(a: u32, b: u32) -> u32 {
    add(a, !b)
}

/// A sum of 32 bits as 16 (`csum_from32to16`).
fn halves(sum: u32) -> u16 {
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// What stands in a header for a sum (`csum_fold`).
pub(crate) fn fold(sum: u32) -> u16 {
    !halves(sum)
}

fn replace4(field: u16, from: u32, to: u32) -> u16 {
    fold(add(sub(u32::from(!field), from), to))
}

fn replace2(field: u16, from: u16, to: u16) -> u16 {
    let add = |a: u16, b: u16| {
        let (sum, carry) = a.overflowing_add(b);
        sum + u16::from(carry)
    };
    !add(add(!field, !from), to)
}

fn replace_by_diff(field: u16, diff: u32) -> u16 {
    fold(add(diff, u32::from(!field)))
}

/// How many bytes a field has that was changed.
const FIELD_MASK: u64 = 0xf;
/// The field is part of a pseudo-header.
const PSEUDO_HEADER: u64 = 1 << 4;
/// No checksum (0) stays so, and one that would become 0 becomes its other form.
const MARK_MANGLED_0: u64 = 1 << 5;
/// 0 is not taken for no checksum.
const MARK_ENFORCE: u64 = 1 << 6;
/// The pseudo-header is IPv6's.
const IPV6: u64 = 1 << 7;

/// The two bytes at an offset of the packet's data, changed.
fn change(machine: &mut Machine<'_>, offset: u32, change: impl FnOnce(u16) -> Option<u16>) -> HelperResult {
    if offset > 0xffff || !offset.is_multiple_of(2) {
        return fail(EFAULT);
    }
    let data = machine.packet.data as usize;
    let field = machine
        .memory
        .frame_mut()
        .and_then(|frame| frame.visible_mut().get_mut(data + offset as usize..)?.first_chunk_mut::<2>());
    let Some(field) = field else { return fail(EFAULT) };
    match change(u16::from_le_bytes(*field)) {
        Some(new) => {
            *field = new.to_le_bytes();
            Ok(0)
        }
        None => fail(EINVAL),
    }
}

crate::helpers! {
    pub(super) static HELPERS;

    /// Replaces a field's part in the IP checksum at `offset`: of 2 or 4 bytes, or by a difference.
    10 fn l3_csum_replace(machine, _ctx: Context, offset: Scalar, from: Scalar, to: Scalar, flags: Scalar) {
        if flags.0 & !FIELD_MASK != 0 {
            return fail(EINVAL);
        }
        change(machine, offset.0 as u32, |field| replaced(field, from.0, to.0, flags.0))
    }

    /// The same for the checksum of TCP or UDP.
    11 fn l4_csum_replace(machine, _ctx: Context, offset: Scalar, from: Scalar, to: Scalar, flags: Scalar) {
        if flags.0 & !(FIELD_MASK | PSEUDO_HEADER | MARK_MANGLED_0 | MARK_ENFORCE | IPV6) != 0 {
            return fail(EINVAL);
        }
        let mangled = flags.0 & MARK_MANGLED_0 != 0;
        let optional = mangled && flags.0 & MARK_ENFORCE == 0;
        change(machine, offset.0 as u32, |field| match field {
            0 if optional => Some(0),
            field => match replaced(field, from.0, to.0, flags.0) {
                Some(0) if mangled => Some(0xffff),
                replaced => replaced,
            },
        })
    }

    /// The sum of the bytes at `to` less those at `from`, on top of `seed`.
    28 fn csum_diff(machine, from: Scalar, from_size: Scalar, to: Scalar, to_size: Scalar, seed: Scalar) {
        let (from_size, to_size, seed) = (from_size.0 as u32, to_size.0 as u32, seed.0 as u32);
        if (from_size | to_size) % 4 != 0 {
            return fail(EINVAL);
        }
        let from = machine.bytes(from.0, from_size.into())?;
        let to = machine.bytes(to.0, to_size.into())?;
        let sum = match (from.is_empty(), to.is_empty()) {
            (false, false) => sub(partial(&to, seed), partial(&from, 0)),
            (true, false) => partial(&to, seed),
            (false, true) => !partial(&from, !seed),
            (true, true) => seed,
        };
        Ok(halves(sum).into())
    }

    /// Adds to the sum of a packet whose device summed it; ours have none.
    40 fn csum_update(_machine, _ctx: Context, _csum: Scalar) {
        fail(ENOTSUPP)
    }

    /// Changes or tells how many checksums of a packet are known to be right.
    135 fn csum_level(machine, _ctx: Context, level: Scalar) {
        let Some(state) = &mut machine.packet_state else { return fail(EACCES) };
        state.checksum_level = match (level.0, state.checksum_level) {
            (0, None) => return fail(EACCES),
            (0, Some(level)) => return Ok(level.into()),
            (1, None) => Some(0),
            (1, Some(level)) => Some((level + 1).min(3)),
            (2, None | Some(0)) => None,
            (2, Some(level)) => Some(level - 1),
            (3, _) => None,
            _ => return fail(EINVAL),
        };
        Ok(0)
    }
}

fn replaced(field: u16, from: u64, to: u64, flags: u64) -> Option<u16> {
    match flags & FIELD_MASK {
        0 if from != 0 => None,
        0 => Some(replace_by_diff(field, to as u32)),
        2 => Some(replace2(field, from as u16, to as u16)),
        4 => Some(replace4(field, from as u32, to as u32)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_is_summing_again() {
        let mut header: Vec<u8> = (1..=20).collect();
        header[10..12].fill(0);
        let before = fold(partial(&header, 0));
        header[4..8].copy_from_slice(&[0xfe, 0xdc, 0xba, 0x98]);
        let after = fold(partial(&header, 0));
        let (from, to) = (u32::from_le_bytes([5, 6, 7, 8]), u32::from_le_bytes([0xfe, 0xdc, 0xba, 0x98]));
        assert_eq!(replace4(before, from, to), after);
        let twice = replace2(before, from as u16, to as u16);
        assert_eq!(replace2(twice, (from >> 16) as u16, (to >> 16) as u16), after);
        assert_eq!(replace_by_diff(before, sub(to, from)), after);
    }

    #[test]
    fn sums_wrap_around() {
        assert_eq!(partial(&[0xff; 64], u32::MAX), u32::MAX);
        assert_eq!(partial(&[1, 2, 3], 0), 0x0003_0201);
        assert_eq!(partial(&[], 7), 7);
        assert_eq!((fold(0), fold(u32::MAX), fold(0x1_0000)), (0xffff, 0, 0xfffe));
    }
}
