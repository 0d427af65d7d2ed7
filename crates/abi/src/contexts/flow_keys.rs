//! `struct bpf_flow_keys`: what a flow dissector finds out.

use crate::context::context;

context! {
    /// The keys of a flow (`struct bpf_flow_keys` of `linux/bpf.h`). Behind a pointer it is plain
    /// memory: any bytes of it may be read and written.
    pub struct FlowKeys, "bpf_flow_keys", 56 bytes {
        /// Where the network header is.
        nhoff: u16 = NHOFF @ 0,
        /// Where the transport header is.
        thoff: u16 = THOFF @ 2,
        /// The EtherType of the addresses.
        addr_proto: u16 = ADDR_PROTO @ 4,
        /// Whether the packet is a fragment.
        is_frag: u8 = IS_FRAG @ 6,
        /// Whether it is the first.
        is_first_frag: u8 = IS_FIRST_FRAG @ 7,
        /// Whether it is encapsulated.
        is_encap: u8 = IS_ENCAP @ 8,
        /// The protocol (`IPPROTO_*`).
        ip_proto: u8 = IP_PROTO @ 9,
        /// The EtherType, big-endian.
        n_proto: u16 = N_PROTO @ 10,
        /// The source port, big-endian.
        sport: u16 = SPORT @ 12,
        /// The destination port, big-endian.
        dport: u16 = DPORT @ 14,
        /// The addresses: IPv4 source and destination, or those of IPv6, big-endian.
        addresses: [u32; 8] = ADDRESSES @ 16,
        /// How to dissect (`BPF_FLOW_DISSECTOR_F_*`).
        flags: u32 = FLAGS @ 48,
        /// The IPv6 flow label, big-endian.
        flow_label: u32 = FLOW_LABEL @ 52,
    }
}
