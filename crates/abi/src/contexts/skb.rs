//! `struct __sk_buff`: what programs see of a socket buffer.

use crate::Value;
use crate::context::{View, context};

context! {
    /// A socket buffer as programs see it (`struct __sk_buff` of `linux/bpf.h`), and behind it one
    /// field of ours that only lowered classic filters read.
    pub struct SkBuff, "__sk_buff", 196 bytes of 192 {
        /// Bytes from the start of the data.
        len: u32 = LEN @ 0 [load NARROW],
        /// `PACKET_HOST`, `PACKET_BROADCAST`, …
        pkt_type: u32 = PKT_TYPE @ 4 [load NARROW],
        /// The mark.
        mark: u32 = MARK @ 8 [load NARROW],
        /// The queue.
        queue_mapping: u32 = QUEUE_MAPPING @ 12 [load NARROW],
        /// The EtherType, big-endian.
        protocol: u32 = PROTOCOL @ 16 [load NARROW],
        /// Whether the device took a VLAN tag off.
        vlan_present: u32 = VLAN_PRESENT @ 20 [load NARROW],
        /// The VLAN tag's control information.
        vlan_tci: u32 = VLAN_TCI @ 24 [load NARROW],
        /// The VLAN tag's protocol, big-endian.
        vlan_proto: u32 = VLAN_PROTO @ 28 [load NARROW],
        /// The priority.
        priority: u32 = PRIORITY @ 32 [load NARROW],
        /// The interface that received the packet.
        ingress_ifindex: u32 = INGRESS_IFINDEX @ 36 [load NARROW],
        /// The packet's interface; 0 without one.
        ifindex: u32 = IFINDEX @ 40 [load NARROW],
        /// The traffic control index.
        tc_index: u32 = TC_INDEX @ 44 [load NARROW],
        /// The program's scratch space.
        cb: [u32; 5] = CB @ 48 [load ANY store ANY],
        /// The receive hash.
        hash: u32 = HASH @ 68 [load NARROW],
        /// The traffic class.
        tc_classid: u32 = TC_CLASSID @ 72 [load NARROW],
        /// Where the data starts.
        data: u32 = DATA @ 76 [gives Value::Packet],
        /// Where the data ends.
        data_end: u32 = DATA_END @ 80 [gives Value::PacketEnd],
        /// The NAPI instance that received the packet.
        napi_id: u32 = NAPI_ID @ 84 [load NARROW],
        /// The socket's address family.
        family: u32 = FAMILY @ 88 [load NARROW],
        /// The socket's remote IPv4 address, big-endian.
        remote_ip4: u32 = REMOTE_IP4 @ 92,
        /// The socket's local IPv4 address, big-endian.
        local_ip4: u32 = LOCAL_IP4 @ 96,
        /// The socket's remote IPv6 address, big-endian.
        remote_ip6: [u32; 4] = REMOTE_IP6 @ 100,
        /// The socket's local IPv6 address, big-endian.
        local_ip6: [u32; 4] = LOCAL_IP6 @ 116,
        /// The socket's remote port, big-endian.
        remote_port: u32 = REMOTE_PORT @ 132 [load NARROW],
        /// The socket's local port, host order.
        local_port: u32 = LOCAL_PORT @ 136 [load NARROW],
        /// Where the metadata before the data starts.
        data_meta: u32 = DATA_META @ 140 [gives Value::PacketMeta],
        /// The flow dissector's keys.
        flow_keys: u64 = FLOW_KEYS @ 144 [gives Value::FlowKeys],
        /// The delivery or arrival time.
        tstamp: u64 = TSTAMP @ 152,
        /// The length on the wire.
        wire_len: u32 = WIRE_LEN @ 160 [load NARROW],
        /// How many segments.
        gso_segs: u32 = GSO_SEGS @ 164 [load NARROW],
        /// The socket.
        sk: u64 = SK @ 168 [gives Value::SockCommonOrNull],
        /// The size of a segment.
        gso_size: u32 = GSO_SIZE @ 176 [load NARROW],
        /// Which clock `tstamp` is on.
        tstamp_type: u8 = TSTAMP_TYPE @ 180,
        /// The device's time stamp.
        hwtstamp: u64 = HWTSTAMP @ 184,
        /// Ours: the hardware type of the device (`ARPHRD_*`).
        hatype: u32 = HATYPE @ 192,
    }
}

/// What programs that only look at a socket's data see.
pub(crate) const SOCKET_FILTER: View = View::readable(SkBuff::LAYOUT).reads(PLAIN).writes(&["cb"]);
/// Traffic control: everything that the packet has but its socket's addresses.
pub(crate) const CLASSIFIER: View = View::readable(SkBuff::LAYOUT)
    .hides(SOCKET_ADDRESSES)
    .hides(&["flow_keys", "hatype"])
    .writes(&["mark", "queue_mapping", "priority", "tc_index", "cb", "tc_classid", "tstamp"]);
/// Control groups.
pub(crate) const CGROUP: View = View::readable(SkBuff::LAYOUT)
    .hides(&["tc_classid", "data_meta", "flow_keys", "wire_len", "tstamp_type", "hatype"])
    .writes(&["mark", "priority", "cb", "tstamp"]);
/// Lightweight tunnels.
pub(crate) const TUNNEL: View = View::readable(SkBuff::LAYOUT)
    .hides(SOCKET_ADDRESSES)
    .hides(&[
        "tc_classid",
        "data_meta",
        "flow_keys",
        "tstamp",
        "wire_len",
        "tstamp_type",
        "hwtstamp",
        "hatype",
    ])
    .writes(&["mark", "priority", "cb"]);
/// Socket maps.
pub(crate) const STREAM: View = View::readable(SkBuff::LAYOUT)
    .hides(&[
        "mark",
        "tc_classid",
        "data_meta",
        "flow_keys",
        "tstamp",
        "wire_len",
        "tstamp_type",
        "hwtstamp",
        "hatype",
    ])
    .writes(&["priority", "tc_index"]);
/// The flow dissector.
pub(crate) const DISSECTOR: View = View::readable(SkBuff::LAYOUT).reads(&["data", "data_end", "flow_keys"]);

/// What everybody who sees a socket buffer sees of it.
const PLAIN: &[&str] = &[
    "len",
    "pkt_type",
    "mark",
    "queue_mapping",
    "protocol",
    "vlan_present",
    "vlan_tci",
    "vlan_proto",
    "priority",
    "ingress_ifindex",
    "ifindex",
    "tc_index",
    "cb",
    "hash",
    "napi_id",
    "gso_segs",
    "sk",
    "gso_size",
];

/// The addresses of a socket, which not every packet has.
const SOCKET_ADDRESSES: &[&str] =
    &["family", "remote_ip4", "local_ip4", "remote_ip6", "local_ip6", "remote_port", "local_port"];
