//! What the reference of classic BPF needs to know of a packet, from what the facade is given.

use sandbpf::PacketMeta;
use sandbpf_abi::SkBuff;
use sandbpf_classic::reference::Packet;
use sandbpf_runtime::helpers::ancillary;
use sandbpf_runtime::{FrozenHost, Host};

/// The same packet for the reference, with the frozen host's processor and dice.
pub(crate) fn packet<'a>(bytes: &'a [u8], wire_len: u32, meta: &PacketMeta) -> Packet<'a> {
    let payload = ancillary::payload_offset(bytes, meta.network as usize, meta.protocol);
    Packet {
        wire_len,
        data: meta.data as usize,
        network: meta.network as usize,
        link: meta.link.map(|link| link as usize),
        skb: SkBuff {
            pkt_type: meta.packet_type.into(),
            mark: meta.mark,
            queue_mapping: meta.queue,
            protocol: meta.protocol.to_be().into(),
            vlan_present: meta.vlan.is_some().into(),
            vlan_tci: meta.vlan.map_or(0, |vlan| vlan.tci.into()),
            vlan_proto: meta.vlan.map_or(0, |vlan| vlan.tpid.to_be().into()),
            ifindex: meta.ifindex,
            hash: meta.hash,
            hatype: meta.hatype.into(),
            ..SkBuff::default()
        },
        cpu: FrozenHost.cpu(),
        random: FrozenHost.random(),
        payload_offset: payload.saturating_sub(meta.data),
        ..Packet::new(bytes)
    }
}
