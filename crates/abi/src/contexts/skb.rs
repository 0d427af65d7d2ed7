//! `struct __sk_buff`: what programs see of a socket buffer.

use crate::context::context;

context! {
    /// A socket buffer as programs see it (`struct __sk_buff` of `linux/bpf.h`), and behind it one
    /// field of ours that only lowered classic filters read.
    pub struct SkBuff, 196 bytes {
        /// Bytes from the start of the data.
        len: u32 = LEN @ 0,
        /// `PACKET_HOST`, `PACKET_BROADCAST`, …
        pkt_type: u32 = PKT_TYPE @ 4,
        /// The mark.
        mark: u32 = MARK @ 8,
        /// The queue.
        queue_mapping: u32 = QUEUE_MAPPING @ 12,
        /// The EtherType, big-endian.
        protocol: u32 = PROTOCOL @ 16,
        /// Whether the device took a VLAN tag off.
        vlan_present: u32 = VLAN_PRESENT @ 20,
        /// The VLAN tag's control information.
        vlan_tci: u32 = VLAN_TCI @ 24,
        /// The VLAN tag's protocol, big-endian.
        vlan_proto: u32 = VLAN_PROTO @ 28,
        /// The priority.
        priority: u32 = PRIORITY @ 32,
        /// The interface that received the packet.
        ingress_ifindex: u32 = INGRESS_IFINDEX @ 36,
        /// The packet's interface; 0 without one.
        ifindex: u32 = IFINDEX @ 40,
        /// The traffic control index.
        tc_index: u32 = TC_INDEX @ 44,
        /// The program's scratch space.
        cb: [u32; 5] = CB @ 48,
        /// The receive hash.
        hash: u32 = HASH @ 68,
        /// The traffic class.
        tc_classid: u32 = TC_CLASSID @ 72,
        /// Where the data starts.
        data: u32 = DATA @ 76,
        /// Where the data ends.
        data_end: u32 = DATA_END @ 80,
        /// The NAPI instance that received the packet.
        napi_id: u32 = NAPI_ID @ 84,
        /// The socket's address family.
        family: u32 = FAMILY @ 88,
        /// The socket's remote IPv4 address, big-endian.
        remote_ip4: u32 = REMOTE_IP4 @ 92,
        /// The socket's local IPv4 address, big-endian.
        local_ip4: u32 = LOCAL_IP4 @ 96,
        /// The socket's remote IPv6 address, big-endian.
        remote_ip6: [u32; 4] = REMOTE_IP6 @ 100,
        /// The socket's local IPv6 address, big-endian.
        local_ip6: [u32; 4] = LOCAL_IP6 @ 116,
        /// The socket's remote port, big-endian.
        remote_port: u32 = REMOTE_PORT @ 132,
        /// The socket's local port, host order.
        local_port: u32 = LOCAL_PORT @ 136,
        /// Where the metadata before the data starts.
        data_meta: u32 = DATA_META @ 140,
        /// The flow dissector's keys.
        flow_keys: u64 = FLOW_KEYS @ 144,
        /// The delivery or arrival time.
        tstamp: u64 = TSTAMP @ 152,
        /// The length on the wire.
        wire_len: u32 = WIRE_LEN @ 160,
        /// How many segments.
        gso_segs: u32 = GSO_SEGS @ 164,
        /// The socket.
        sk: u64 = SK @ 168,
        /// The size of a segment.
        gso_size: u32 = GSO_SIZE @ 176,
        /// Which clock `tstamp` is on.
        tstamp_type: u8 = TSTAMP_TYPE @ 180,
        /// The device's time stamp.
        hwtstamp: u64 = HWTSTAMP @ 184,
        /// Ours: the hardware type of the device (`ARPHRD_*`).
        hatype: u32 = HATYPE @ 192,
    }
}
