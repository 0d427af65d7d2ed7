//! Connections, frames and sockets: there is no connection tracking, no IPsec and no device that knows more of a frame,
//! and callers are told so in the words of Linux.

use super::kfuncs;
use crate::helpers::errno::{EAFNOSUPPORT, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP, EPROTO, fail};
use crate::{Fault, HelperResult, Machine};

/// Where `struct bpf_ct_opts` and `struct bpf_xfrm_state_opts` have the error.
const ERROR: u64 = 4;

/// Why nothing is found: what Linux checks before it looks.
fn refusal(
    machine: &Machine<'_>,
    tuple_size: u64,
    options: u64,
    size: u64,
    found: i64,
) -> Result<i64, Fault> {
    const TCP: u64 = 6;
    const UDP: u64 = 17;
    const PROTOCOL: u64 = 8;
    if !matches!(size as u32, 12 | 16) {
        return Ok(EINVAL);
    }
    let byte = |at: u64| machine.memory.read::<1>(options.wrapping_add(at));
    for reserved in if size as u32 == 12 { 10..12 } else { 13..16 } {
        if byte(reserved)? != 0 {
            return Ok(EINVAL);
        }
    }
    if (machine.memory.read::<4>(options)? as i32) < -1 {
        return Ok(EINVAL);
    }
    if !matches!(byte(PROTOCOL)?, TCP | UDP) {
        return Ok(EPROTO);
    }
    // `struct bpf_sock_tuple` of IPv4 and of IPv6.
    Ok(if matches!(tuple_size as u32, 12 | 36) { found } else { EAFNOSUPPORT })
}

/// Null, with the reason in the options.
fn nothing(machine: &mut Machine<'_>, tuple_size: u64, options: u64, size: u64, found: i64) -> HelperResult {
    let errno = refusal(machine, tuple_size, options, size, found)?;
    if options != 0 {
        machine.memory.write::<4>(options.wrapping_add(ERROR), (-errno) as u64)?;
    }
    Ok(0)
}

kfuncs! {
    pub(super) static KFUNCS;

    fn bpf_xdp_ct_lookup(machine, _context, _tuple, tuple_size, options, size) {
        nothing(machine, tuple_size, options, size, ENOENT)
    }

    fn bpf_skb_ct_lookup(machine, _context, _tuple, tuple_size, options, size) {
        nothing(machine, tuple_size, options, size, ENOENT)
    }

    fn bpf_xdp_ct_alloc(machine, _context, _tuple, tuple_size, options, size) {
        nothing(machine, tuple_size, options, size, ENOMEM)
    }

    fn bpf_skb_ct_alloc(machine, _context, _tuple, tuple_size, options, size) {
        nothing(machine, tuple_size, options, size, ENOMEM)
    }

    fn bpf_ct_insert_entry(_machine, _entry) {
        Ok(0)
    }

    fn bpf_ct_release(_machine, _entry) {
        Ok(0)
    }

    fn bpf_xdp_metadata_rx_timestamp(_machine, _context, _to) {
        fail(EOPNOTSUPP)
    }

    fn bpf_xdp_metadata_rx_hash(_machine, _context, _to, _kind) {
        fail(EOPNOTSUPP)
    }

    fn bpf_xdp_metadata_rx_vlan_tag(_machine, _context, _protocol, _tag) {
        fail(EOPNOTSUPP)
    }

    // A frame lies in one piece: what there is of it is accessible.
    fn bpf_xdp_pull_data(machine, _context, len) {
        let have = machine.memory.frame().map_or(0, |frame| frame.data().len() as u64);
        if u64::from(len as u32) > have {
            return fail(EINVAL);
        }
        machine.tell_packet()?;
        Ok(0)
    }

    fn bpf_xdp_get_xfrm_state(machine, _context, options, _size) {
        machine.memory.write::<4>(options, (-ENOENT) as u64)?;
        Ok(0)
    }

    fn bpf_xdp_xfrm_state_release(_machine, _state) {
        Ok(0)
    }

    fn bpf_sock_addr_set_sun_path(_machine, _context, _path, _size) {
        fail(EINVAL)
    }

    fn bpf_sock_ops_enable_tx_tstamp(_machine, _context, _flags) {
        fail(EOPNOTSUPP)
    }

    fn bpf_sk_assign_tcp_reqsk(_machine, _context, _socket, _attributes, _size) {
        fail(EINVAL)
    }

    fn bpf_sock_destroy(_machine, _socket) {
        fail(EOPNOTSUPP)
    }
}
