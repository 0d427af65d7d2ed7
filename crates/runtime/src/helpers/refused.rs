//! Helpers that make no sense outside of a kernel. They answer as a kernel does that has nothing to answer with.

use super::errno::{EACCES, EINVAL, ENOENT, ENOTSUPP, fail};
use super::{Bytes, Context, Out, Scalar};

crate::helpers! {
    pub(super) static HELPERS;

    /// A counter of a performance event: no processor counts here.
    22 fn perf_event_read(_machine, _map: Scalar, _flags: Scalar) {
        fail(ENOENT)
    }

    /// The same with the time that it was on: no processor counts here.
    55 fn perf_event_read_value(machine, _map: Scalar, _flags: Scalar, to: Out) {
        to.clear(machine)?;
        fail(ENOENT)
    }

    /// Puts a packet into a tunnel's headers: there is no tunnel device.
    73 fn lwt_push_encap(_machine, _ctx: Context, _kind: Scalar, _header: Bytes) {
        fail(ENOTSUPP)
    }

    /// Writes into a segment routing header: there is no segment routing.
    74 fn lwt_seg6_store_bytes(_machine, _ctx: Context, _offset: Scalar, _from: Bytes) {
        fail(EINVAL)
    }

    /// Makes a segment routing header longer: there is no segment routing.
    75 fn lwt_seg6_adjust_srh(_machine, _ctx: Context, _offset: Scalar, _by: Scalar) {
        fail(EINVAL)
    }

    /// Applies an action of segment routing: there is no segment routing.
    76 fn lwt_seg6_action(_machine, _ctx: Context, _action: Scalar, _param: Bytes) {
        fail(EINVAL)
    }

    /// Prints a structure by its kernel type: helpers have no kernel's types at hand.
    149 fn snprintf_btf(machine, to: Out, _what: Bytes, _flags: Scalar) {
        to.clear(machine)?;
        fail(EINVAL)
    }

    /// The same into the file of an iterator: helpers have no kernel's types at hand.
    150 fn seq_printf_btf(_machine, _seq: Scalar, _what: Bytes, _flags: Scalar) {
        fail(EINVAL)
    }

    /// Makes a `bpf(2)` call: there is no kernel to call.
    166 fn sys_bpf(_machine, _command: Scalar, _attr: Bytes) {
        fail(EINVAL)
    }

    /// Finds a kernel type by its name: helpers have no kernel's types at hand.
    167 fn btf_find_by_name_kind(_machine, _name: Bytes, _kind: Scalar, _flags: Scalar) {
        fail(ENOENT)
    }

    /// Closes a file descriptor: there are none.
    168 fn sys_close(_machine, _fd: Scalar) {
        fail(super::errno::EBADF)
    }

    /// Makes a SYN cookie for IPv4: the kernel's secret is not known.
    204 fn tcp_raw_gen_syncookie_ipv4(_machine, _ip: Scalar, _th: Bytes) {
        fail(EINVAL)
    }

    /// Makes a SYN cookie for IPv6: the kernel's secret is not known.
    205 fn tcp_raw_gen_syncookie_ipv6(_machine, _ip: Scalar, _th: Bytes) {
        fail(EINVAL)
    }

    /// Checks a SYN cookie of IPv4: the kernel's secret is not known, so none is right.
    206 fn tcp_raw_check_syncookie_ipv4(_machine, _ip: Scalar, _th: Scalar) {
        fail(EACCES)
    }

    /// Checks a SYN cookie of IPv6: the kernel's secret is not known, so none is right.
    207 fn tcp_raw_check_syncookie_ipv6(_machine, _ip: Scalar, _th: Scalar) {
        fail(EACCES)
    }
}
