//! Helpers about sockets and control groups of packets.

use super::errno::{EINVAL, ENOENT, fail};
use super::{Context, Out, Scalar};
use crate::Machine;

crate::helpers! {
    pub(super) static HELPERS;

    /// The identifier of the control group that the packet's socket is in.
    79 fn skb_cgroup_id(machine, _ctx: Context) {
        Ok(cgroup(machine, usize::MAX))
    }

    /// Its ancestor's at a level, the root being 0.
    83 fn skb_ancestor_cgroup_id(machine, _ctx: Context, level: Scalar) {
        Ok(cgroup(machine, level.0 as u32 as usize))
    }

    /// A number that stays with a network namespace.
    122 fn get_netns_cookie(_machine, _ctx: Scalar) {
        Ok(1)
    }

    /// Gives the packet to a socket.
    124 fn sk_assign(machine, _ctx: Context, socket: Scalar, flags: Scalar) {
        if flags.0 != 0 {
            return fail(EINVAL);
        }
        if let Some(state) = &mut machine.packet_state {
            state.socket = Some(socket.0);
        }
        Ok(0)
    }

    /// The identifier of the control group that a socket is in.
    128 fn sk_cgroup_id(machine, _socket: Scalar) {
        Ok(cgroup(machine, usize::MAX))
    }

    /// Its ancestor's at a level, the root being 0.
    129 fn sk_ancestor_cgroup_id(machine, _socket: Scalar, level: Scalar) {
        Ok(cgroup(machine, level.0 as u32 as usize))
    }

    /// The class of the packet's network control group.
    151 fn skb_cgroup_classid(_machine, _ctx: Context) {
        Ok(0)
    }

    /// How a packet was transformed by IPsec: not at all.
    66 fn skb_get_xfrm_state(machine, _ctx: Context, _index: Scalar, to: Out, _flags: Scalar) {
        to.clear(machine)?;
        fail(EINVAL)
    }

    /// A SYN cookie for a connection to a socket that listens: without one there is none.
    110 fn tcp_gen_syncookie(_machine, _socket: Scalar, _ip: Scalar, _ip_len: Scalar, _th: Scalar, _th_len: Scalar) {
        fail(ENOENT)
    }
}

/// Helpers that give a structure of the kernel for a socket or file. What the host describes has none, so all give null.
macro_rules! structures {
    ($( $(#[doc = $doc:literal])* $id:literal $name:ident; )*) => {
        crate::helpers! {
            pub(super) static STRUCTURES;
            $( $(#[doc = $doc])* $id fn $name(_machine, _of: Scalar) { Ok(0) } )*
        }
    };
}

structures! {
    /// The socket as a TCP socket over IPv6, if it is one.
    136 skc_to_tcp6_sock;
    /// The socket as a TCP socket, if it is one.
    137 skc_to_tcp_sock;
    /// The socket as one that waits for its end, if it is one.
    138 skc_to_tcp_timewait_sock;
    /// The socket as a request, if it is one.
    139 skc_to_tcp_request_sock;
    /// The socket as a UDP socket over IPv6, if it is one.
    140 skc_to_udp6_sock;
    /// The socket of a file, if it has one.
    162 sock_from_file;
    /// The socket as a UNIX socket, if it is one.
    178 skc_to_unix_sock;
    /// The socket as one of MPTCP, if it is one.
    196 skc_to_mptcp_sock;
}

/// The identifier at a level; of the group itself if there is none so deep.
fn cgroup(machine: &Machine<'_>, level: usize) -> u64 {
    let cgroups = machine.host().task().cgroups;
    match level {
        usize::MAX => cgroups.last().copied().unwrap_or(0),
        level => cgroups.get(level).copied().unwrap_or(0),
    }
}
