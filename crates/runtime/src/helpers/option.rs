//! Helpers that read and set options: of sockets, of `sysctl`, of TCP headers.

use super::errno::{E2BIG, EINVAL, ENOENT, ENOMSG, EPERM, fail};
use super::{Bytes, Context, Out, Scalar};
use crate::{Act, HelperResult, Machine, Sysctl};

crate::helpers! {
    pub(super) static HELPERS;

    /// Sets an option of a socket.
    49 fn setsockopt(machine, _socket: Scalar, level: Scalar, name: Scalar, value: Bytes) {
        let value = machine.bytes(value.address, value.len)?;
        let (level, name) = (level.0 as i32, name.0 as i32);
        match machine.host().set_socket_option(level, name, &value) {
            true => Ok(0),
            false => fail(EINVAL),
        }
    }

    /// Reads an option of a socket.
    57 fn getsockopt(machine, _socket: Scalar, level: Scalar, name: Scalar, to: Out) {
        let value = machine.host().socket_option(level.0 as i32, name.0 as i32);
        to.clear(machine)?;
        match value {
            Some(value) if value.len() as u64 <= to.len => {
                machine.memory.copy_in(to.address, &value)?;
                Ok(0)
            }
            _ => fail(EINVAL),
        }
    }

    /// Chooses the events of a TCP connection that the program is called for; gives those that do not exist.
    59 fn sock_ops_cb_flags_set(machine, _ctx: Context, flags: Scalar) {
        const ALL: u64 = 0x7f;
        machine.host().act(Act::SockOpsFlags((flags.0 & ALL) as u32));
        Ok(flags.0 as i32 as u64 & !ALL)
    }

    /// The name of the `sysctl`, whole or its last part.
    101 fn sysctl_get_name(machine, _ctx: Context, to: Out, flags: Scalar) {
        const BASE_NAME: u64 = 1;
        if flags.0 & !BASE_NAME != 0 {
            return fail(EINVAL);
        }
        let Some(Sysctl { name, .. }) = machine.host().sysctl() else { return fail(EINVAL) };
        let name = match flags.0 & BASE_NAME {
            0 => name.as_str(),
            _ => name.rsplit('/').next().unwrap_or_default(),
        };
        text(machine, to, name.as_bytes())
    }

    /// The value that the `sysctl` has.
    102 fn sysctl_get_current_value(machine, _ctx: Context, to: Out) {
        match machine.host().sysctl() {
            Some(Sysctl { current, .. }) => text(machine, to, &current),
            None => fail(EINVAL),
        }
    }

    /// The value that is written into the `sysctl`.
    103 fn sysctl_get_new_value(machine, _ctx: Context, to: Out) {
        match machine.host().sysctl().and_then(|sysctl| sysctl.new) {
            Some(new) => text(machine, to, &new),
            None => {
                to.clear(machine)?;
                fail(EINVAL)
            }
        }
    }

    /// Changes the value that is written into the `sysctl`.
    104 fn sysctl_set_new_value(machine, _ctx: Context, value: Bytes) {
        const PAGE: u64 = 4096;
        let is_write = machine.host().sysctl().is_some_and(|sysctl| sysctl.new.is_some());
        if !is_write || value.len == 0 {
            return fail(EINVAL);
        }
        if value.len > PAGE - 1 {
            return fail(E2BIG);
        }
        let value = machine.bytes(value.address, value.len)?;
        machine.host().act(Act::SysctlValue(value));
        Ok(0)
    }

    /// Reads an option of a TCP header; connections that nobody describes have none.
    142 fn load_hdr_opt(_machine, _ctx: Context, _to: Out, _flags: Scalar) {
        fail(ENOMSG)
    }

    /// Writes an option into a TCP header; there is no header that is being written.
    143 fn store_hdr_opt(_machine, _ctx: Context, _from: Bytes, _flags: Scalar) {
        fail(EPERM)
    }

    /// Makes room for options in a TCP header; there is no header that is being written.
    144 fn reserve_hdr_opt(_machine, _ctx: Context, _len: Scalar, flags: Scalar) {
        fail(if flags.0 != 0 { EINVAL } else { EPERM })
    }

    /// Calls a function with the memory area around an address of a task; no areas are described.
    180 fn find_vma(_machine, _task: Scalar, _address: Scalar, _function: Scalar, _context: Scalar, flags: Scalar) {
        fail(if flags.0 != 0 { EINVAL } else { ENOENT })
    }
}

/// Text with its NUL, cut to fit: gives its length, or that it was cut.
fn text(machine: &mut Machine<'_>, to: Out, text: &[u8]) -> HelperResult {
    let room = to.len as usize;
    to.clear(machine)?;
    if room == 0 {
        return fail(EINVAL);
    }
    let kept = text.len().min(room - 1);
    machine.memory.copy_in(to.address, &text[..kept])?;
    if kept < text.len() { fail(E2BIG) } else { Ok(kept as u64) }
}
