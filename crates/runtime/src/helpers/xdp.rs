//! Helpers on frames before the stack has seen them: moving their ends, reading, writing.

use super::errno::{EACCES, EFAULT, EINVAL, fail};
use super::{Bytes, Context, Out, Scalar};
use crate::Machine;

/// Room that drivers keep before a frame for themselves (`struct xdp_frame`).
const FRAME_HEADER: i64 = 40;
const ETH_HEADER: usize = 14;
/// No more metadata than this; in units of four bytes.
const MAX_META: i64 = 252;

crate::helpers! {
    pub(super) static HELPERS;

    /// Moves the frame's start: room for a header, or a header less. Metadata moves along.
    44 fn xdp_adjust_head(machine, _ctx: Context, by: Scalar) {
        let by = i64::from(by.0 as i32);
        let Some(frame) = machine.memory.frame_mut() else { return fail(EINVAL) };
        let start = frame.headroom() as i64 + by;
        let (meta, len) = (frame.meta().len() as i64, frame.data().len() as i64);
        if start < FRAME_HEADER + meta || by > len - ETH_HEADER as i64 {
            return fail(EINVAL);
        }
        frame.move_data(by);
        machine.tell_packet()?;
        Ok(0)
    }

    /// Moves the metadata's start.
    54 fn xdp_adjust_meta(machine, _ctx: Context, by: Scalar) {
        let by = i64::from(by.0 as i32);
        let Some(frame) = machine.memory.frame_mut() else { return fail(EINVAL) };
        let len = frame.meta().len() as i64 - by;
        if len < 0 || frame.headroom() as i64 - len < FRAME_HEADER {
            return fail(EINVAL);
        }
        if len % 4 != 0 || len > MAX_META {
            return fail(EACCES);
        }
        frame.move_meta(by);
        machine.tell_packet()?;
        Ok(0)
    }

    /// Moves the frame's end; new bytes are zero.
    65 fn xdp_adjust_tail(machine, _ctx: Context, by: Scalar) {
        let by = i64::from(by.0 as i32);
        let Some(frame) = machine.memory.frame_mut() else { return fail(EINVAL) };
        let len = frame.data().len() as i64 + by;
        if len < ETH_HEADER as i64 || by > frame.tailroom() as i64 {
            return fail(EINVAL);
        }
        frame.set_len(len as usize);
        machine.tell_packet()?;
        Ok(0)
    }

    /// How many bytes the frame has.
    188 fn xdp_get_buff_len(machine, _ctx: Context) {
        Ok(machine.memory.frame().map_or(0, |frame| frame.data().len()) as u64)
    }

    /// Reads bytes of the frame from `offset` on.
    189 fn xdp_load_bytes(machine, _ctx: Context, offset: Scalar, to: Out) {
        match place(machine, offset.0 as u32, to.len as u32) {
            Ok(at) => {
                let bytes = machine.memory.frame().map_or(Vec::new(), |frame| frame.data()[at].to_vec());
                machine.memory.copy_in(to.address, &bytes)?;
                Ok(0)
            }
            Err(errno) => fail(errno),
        }
    }

    /// Writes bytes of the frame from `offset` on.
    190 fn xdp_store_bytes(machine, _ctx: Context, offset: Scalar, from: Bytes) {
        let bytes = machine.bytes(from.address, from.len)?;
        match place(machine, offset.0 as u32, from.len as u32) {
            Ok(at) => {
                if let Some(frame) = machine.memory.frame_mut() {
                    frame.data_mut()[at].copy_from_slice(&bytes);
                }
                Ok(0)
            }
            Err(errno) => fail(errno),
        }
    }
}

/// Where `len` bytes from `offset` on are in the frame, or the error.
fn place(machine: &Machine<'_>, offset: u32, len: u32) -> Result<std::ops::Range<usize>, i64> {
    if offset > 0xffff || len > 0xffff {
        return Err(EFAULT);
    }
    let (start, end) = (offset as usize, offset as usize + len as usize);
    match machine.memory.frame() {
        Some(frame) if end <= frame.data().len() => Ok(start..end),
        _ => Err(EINVAL),
    }
}
