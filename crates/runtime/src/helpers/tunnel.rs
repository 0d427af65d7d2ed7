//! Helpers about the tunnel that a packet came through or goes into.

use super::errno::{EINVAL, EPROTO, fail};
use super::{Bytes, Context, Out, Scalar};
use crate::net::Tunnel;

/// The addresses are IPv6.
const IPV6: u64 = 1;
/// Tell the tunnel's flags.
const FLAGS: u64 = 1 << 4;
const SET: u64 = IPV6 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5;

/// Sizes that `struct bpf_tunnel_key` has had.
const REMOTE_IPV6_1: u64 = 8;
const TUNNEL_EXT: u64 = 22;
const TUNNEL_LABEL: u64 = 24;
const LOCAL_IPV6: u64 = 28;

crate::helpers! {
    pub(super) static HELPERS;

    /// The tunnel that the packet came through.
    20 fn skb_get_tunnel_key(machine, _ctx: Context, to: Out, flags: Scalar) {
        let tunnel = machine.packet_state.as_ref().and_then(|state| state.tunnel);
        let whole = Tunnel::SIZE as u64;
        let errno = match tunnel {
            _ if flags.0 & !(IPV6 | FLAGS) != 0 => EINVAL,
            None => EINVAL,
            Some(tunnel) if tunnel.ipv6 != (flags.0 & IPV6 != 0) => EPROTO,
            Some(tunnel) if to.len == REMOTE_IPV6_1 && tunnel.ipv6 => EINVAL,
            Some(tunnel) if [whole, LOCAL_IPV6, TUNNEL_LABEL, TUNNEL_EXT, REMOTE_IPV6_1].contains(&to.len) => {
                machine.memory.copy_in(to.address, &tunnel.key[..to.len as usize])?;
                return Ok(0);
            }
            Some(_) => EINVAL,
        };
        to.clear(machine)?;
        fail(errno)
    }

    /// The tunnel that the packet goes into.
    21 fn skb_set_tunnel_key(machine, _ctx: Context, from: Bytes, flags: Scalar) {
        let sizes = [Tunnel::SIZE as u64, LOCAL_IPV6, TUNNEL_LABEL, TUNNEL_EXT, REMOTE_IPV6_1];
        if flags.0 & !SET != 0 || !sizes.contains(&from.len) {
            return fail(EINVAL);
        }
        let bytes = machine.bytes(from.address, from.len)?;
        let mut key = [0; Tunnel::SIZE];
        key[..bytes.len()].copy_from_slice(&bytes);
        let ipv6 = flags.0 & IPV6 != 0;
        let label = &key[TUNNEL_LABEL as usize..LOCAL_IPV6 as usize];
        if !ipv6 && label != [0; 4] || key[TUNNEL_EXT as usize..TUNNEL_LABEL as usize] != [0; 2] {
            return fail(EINVAL);
        }
        // One that a program sets is for sending; only a received one can be asked for.
        if let Some(state) = &mut machine.packet_state {
            (state.tunnel, state.sent_tunnel) = (None, Some(Tunnel { key, ipv6 }));
        }
        Ok(0)
    }

    /// Options of the tunnel that the packet came through.
    29 fn skb_get_tunnel_opt(machine, _ctx: Context, to: Out) {
        to.clear(machine)?;
        fail(EINVAL)
    }

    /// Options of the tunnel that the packet goes into: after its key.
    30 fn skb_set_tunnel_opt(machine, _ctx: Context, from: Bytes) {
        const MAX: u64 = 255;
        if machine.packet_state.as_ref().is_none_or(|state| state.sent_tunnel.is_none()) || !from.len.is_multiple_of(4) {
            return fail(EINVAL);
        }
        if from.len > MAX {
            return fail(super::errno::ENOMEM);
        }
        machine.bytes(from.address, from.len)?;
        Ok(0)
    }
}
