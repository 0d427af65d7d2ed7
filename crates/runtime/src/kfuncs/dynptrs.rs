//! Dynamic pointers: to packets and memory, narrowed, copied, filled.

use super::kfuncs;
use crate::helpers::dynptr::{Dynptr, Target};
use crate::helpers::errno::{EFAULT, EINVAL, ERANGE, fail};
use crate::net::PacketKind;
use crate::{Fault, HelperResult, Machine, Space, address};

/// Makes one to a packet.
fn of_packet(
    machine: &mut Machine<'_>,
    flags: u64,
    to: u64,
    target: Target,
    len: usize,
    read_only: bool,
) -> HelperResult {
    if flags != 0 {
        Dynptr::NULL.store(machine, to)?;
        return fail(EINVAL);
    }
    let made = Dynptr::new(address::CONTEXT, len as u64, target).unwrap_or(Dynptr::NULL);
    let made = if read_only { made.read_only() } else { made };
    made.store(machine, to)?;
    Ok(0)
}

/// Where bytes of one are; null if they are not there.
fn slice(machine: &Machine<'_>, dynptr: Dynptr, offset: u64, len: u64) -> u64 {
    dynptr.slice(machine, u64::from(offset as u32), u64::from(len as u32)).unwrap_or(0)
}

/// Copies what `read` gives, or a string of it, to bytes that one points to.
fn fill(
    machine: &mut Machine<'_>,
    [to, offset, size, from]: [u64; 4],
    space: Space,
    string: bool,
) -> HelperResult {
    let dynptr = Dynptr::load(machine, to)?;
    let size = u64::from(size as u32);
    if dynptr.is_read_only() {
        return fail(EINVAL);
    }
    let at = match dynptr.slice(machine, u64::from(offset as u32), size) {
        Ok(at) => at,
        Err(errno) => return fail(errno),
    };
    machine.spend(size)?;
    let mut bytes = machine.bytes(at, size)?;
    let len = if string {
        let Some(len) = read_string(machine, space, from, &mut bytes) else { return fail(EFAULT) };
        len
    } else {
        let found = match space {
            Space::Kernel => machine.read_kernel(from, &mut bytes),
            Space::User => machine.host().read(space, from, &mut bytes),
        };
        if !found {
            return fail(EFAULT);
        }
        bytes.len()
    };
    machine.memory.copy_in(at, &bytes[..len])?;
    Ok(if string { len as u64 } else { 0 })
}

/// Reads a string with its zero byte, cut to fit: how many bytes.
fn read_string(machine: &Machine<'_>, space: Space, from: u64, to: &mut [u8]) -> Option<usize> {
    let most = to.len().checked_sub(1)?;
    for (at, place) in to.iter_mut().take(most).enumerate() {
        let mut byte = [0];
        let from = from.wrapping_add(at as u64);
        let found = match space {
            Space::Kernel => machine.read_kernel(from, &mut byte),
            Space::User => machine.host().read(space, from, &mut byte),
        };
        if !found {
            return None;
        }
        *place = byte[0];
        if byte[0] == 0 {
            return Some(at + 1);
        }
    }
    to[most] = 0;
    Some(to.len())
}

/// Copies within the program's memory.
fn copy(machine: &mut Machine<'_>, from: u64, to: u64, len: u64) -> Result<(), Fault> {
    let bytes = machine.bytes(from, len)?;
    machine.memory.copy_in(to, &bytes)
}

kfuncs! {
    pub(super) static KFUNCS;

    fn bpf_dynptr_from_skb(machine, _context, flags, to) {
        let read_only = machine.packet_state.as_ref().is_none_or(|state| state.read_only);
        let len = machine.memory.packet_bytes().len().saturating_sub(machine.packet.data as usize);
        of_packet(machine, flags, to, Target::Skb, len, read_only)
    }

    // Packets in the stack have no metadata here.
    fn bpf_dynptr_from_skb_meta(machine, _context, flags, to) {
        of_packet(machine, flags, to, Target::Meta, 0, false)
    }

    fn bpf_dynptr_from_xdp(machine, _context, flags, to) {
        let len = machine.memory.frame().map_or(0, |frame| frame.data().len());
        let read_only = machine.packet_kind() != PacketKind::Xdp;
        of_packet(machine, flags, to, Target::Xdp, len, read_only)
    }

    // Packets lie in one piece, so the buffer is never needed.
    fn bpf_dynptr_slice(machine, dynptr, offset, _buffer, size) {
        let dynptr = Dynptr::load(machine, dynptr)?;
        Ok(slice(machine, dynptr, offset, size))
    }

    fn bpf_dynptr_slice_rdwr(machine, dynptr, offset, _buffer, size) {
        let dynptr = Dynptr::load(machine, dynptr)?;
        Ok(if dynptr.is_read_only() { 0 } else { slice(machine, dynptr, offset, size) })
    }

    fn bpf_dynptr_adjust(machine, at, start, end) {
        let dynptr = Dynptr::load(machine, at)?;
        let (start, end) = (start as u32, end as u32);
        if dynptr.is_null() || start > end {
            return fail(EINVAL);
        }
        match dynptr.narrowed(start, end) {
            Some(narrow) => {
                narrow.store(machine, at)?;
                Ok(0)
            }
            None => fail(ERANGE),
        }
    }

    fn bpf_dynptr_is_null(machine, at) {
        Ok(Dynptr::load(machine, at)?.is_null().into())
    }

    fn bpf_dynptr_is_rdonly(machine, at) {
        let dynptr = Dynptr::load(machine, at)?;
        Ok((!dynptr.is_null() && dynptr.is_read_only()).into())
    }

    fn bpf_dynptr_size(machine, at) {
        let dynptr = Dynptr::load(machine, at)?;
        if dynptr.is_null() { fail(EINVAL) } else { Ok(dynptr.len()) }
    }

    fn bpf_dynptr_clone(machine, at, to) {
        let dynptr = Dynptr::load(machine, at)?;
        if dynptr.is_null() {
            Dynptr::NULL.store(machine, to)?;
            return fail(EINVAL);
        }
        dynptr.store(machine, to)?;
        Ok(0)
    }

    fn bpf_dynptr_copy(machine, to, to_offset, from, from_offset, size) {
        let (to, from) = (Dynptr::load(machine, to)?, Dynptr::load(machine, from)?);
        let size = u64::from(size as u32);
        let read = from.slice(machine, u64::from(from_offset as u32), size);
        let write = to.slice(machine, u64::from(to_offset as u32), size);
        match (write, read) {
            (Ok(write), Ok(read)) if !to.is_read_only() => {
                machine.spend(size)?;
                copy(machine, read, write, size)?;
                Ok(0)
            }
            (Err(errno), _) | (_, Err(errno)) => fail(errno),
            (Ok(_), Ok(_)) => fail(EINVAL),
        }
    }

    fn bpf_dynptr_memset(machine, at, offset, size, value) {
        let dynptr = Dynptr::load(machine, at)?;
        let size = u64::from(size as u32);
        if dynptr.is_read_only() {
            return fail(EINVAL);
        }
        match dynptr.slice(machine, u64::from(offset as u32), size) {
            Ok(at) => {
                machine.spend(size)?;
                let mut bytes = machine.bytes(at, size)?;
                bytes.fill(value as u8);
                machine.memory.copy_in(at, &bytes)?;
                Ok(0)
            }
            Err(errno) => fail(errno),
        }
    }

    fn bpf_probe_read_kernel_dynptr(machine, to, offset, size, from) {
        fill(machine, [to, offset, size, from], Space::Kernel, false)
    }

    fn bpf_probe_read_user_dynptr(machine, to, offset, size, from) {
        fill(machine, [to, offset, size, from], Space::User, false)
    }

    fn bpf_probe_read_kernel_str_dynptr(machine, to, offset, size, from) {
        fill(machine, [to, offset, size, from], Space::Kernel, true)
    }

    fn bpf_probe_read_user_str_dynptr(machine, to, offset, size, from) {
        fill(machine, [to, offset, size, from], Space::User, true)
    }

    fn bpf_copy_from_user_dynptr(machine, to, offset, size, from) {
        fill(machine, [to, offset, size, from], Space::User, false)
    }

    fn bpf_copy_from_user_str_dynptr(machine, to, offset, size, from) {
        fill(machine, [to, offset, size, from], Space::User, true)
    }

    // The host describes one task's memory.
    fn bpf_copy_from_user_task_dynptr(machine, to, offset, size, from, _task) {
        fill(machine, [to, offset, size, from], Space::User, false)
    }

    fn bpf_copy_from_user_task_str_dynptr(machine, to, offset, size, from, _task) {
        fill(machine, [to, offset, size, from], Space::User, true)
    }
}
