//! Which socket shall take a packet: `struct bpf_sk_lookup` for a lookup, `struct sk_reuseport_md`
//! within a group.

use crate::Value;
use crate::context::{View, context};

context! {
    /// A lookup of a socket (`struct bpf_sk_lookup` of `linux/bpf.h`).
    pub struct SkLookup, "bpf_sk_lookup", 72 bytes {
        /// The socket that was chosen so far.
        sk: u64 = SK @ 0 [gives Value::SockOrNull],
        /// The address family.
        family: u32 = FAMILY @ 8 [load NARROW],
        /// The protocol (`IPPROTO_*`).
        protocol: u32 = PROTOCOL @ 12 [load NARROW],
        /// The packet's source IPv4 address, big-endian.
        remote_ip4: u32 = REMOTE_IP4 @ 16 [load NARROW],
        /// Its source IPv6 address, big-endian.
        remote_ip6: [u32; 4] = REMOTE_IP6 @ 20 [load NARROW],
        /// Its source port, big-endian in the first two bytes; the others are zero.
        remote_port: u32 = REMOTE_PORT @ 36 [load NARROW],
        /// Its destination IPv4 address, big-endian.
        local_ip4: u32 = LOCAL_IP4 @ 40 [load NARROW],
        /// Its destination IPv6 address, big-endian.
        local_ip6: [u32; 4] = LOCAL_IP6 @ 44 [load NARROW],
        /// Its destination port, host order.
        local_port: u32 = LOCAL_PORT @ 60 [load NARROW],
        /// The interface that received it.
        ingress_ifindex: u32 = INGRESS_IFINDEX @ 64 [load NARROW],
    }
}

context! {
    /// A packet for one of a group of sockets (`struct sk_reuseport_md` of `linux/bpf.h`).
    pub struct SkReuseport, "sk_reuseport_md", 56 bytes {
        /// Where the packet starts, from its transport header on.
        data: u64 = DATA @ 0 [gives Value::Packet],
        /// Where it ends.
        data_end: u64 = DATA_END @ 8 [gives Value::PacketEnd],
        /// How long it is.
        len: u32 = LEN @ 16 [load NARROW],
        /// The EtherType, big-endian.
        eth_protocol: u32 = ETH_PROTOCOL @ 20 [load TWO_OR_FOUR],
        /// The protocol (`IPPROTO_*`).
        ip_protocol: u32 = IP_PROTOCOL @ 24 [load NARROW],
        /// Whether the sockets are bound to every address.
        bind_inany: u32 = BIND_INANY @ 28 [load NARROW],
        /// The hash of the packet's addresses and ports.
        hash: u32 = HASH @ 32,
        /// The first socket of the group.
        sk: u64 = SK @ 40 [gives Value::Sock],
        /// The socket whose requests are handed on, if they are.
        migrating_sk: u64 = MIGRATING_SK @ 48 [gives Value::SockCommonOrNull],
    }
}

/// Every lookup.
pub(crate) const LOOKUP: View = View::readable(SkLookup::LAYOUT);
/// Every choice.
pub(crate) const REUSEPORT: View = View::readable(SkReuseport::LAYOUT);
