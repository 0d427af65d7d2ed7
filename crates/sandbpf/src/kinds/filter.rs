//! Socket filters: from a packet to how much of it to keep.

use sandbpf_abi::SkBuff;
use sandbpf_runtime::memory::Region;
use sandbpf_runtime::{Machine, PacketLayout, Trap, address};

use super::{Enter, Kind};
use crate::image::{Image, Scratch};
use crate::{ClassicInsn, KindName, LoadError, Loader, Program};

/// Socket filters, classic or extended, and the filters of libpcap.
#[derive(Clone, Copy, Debug)]
pub enum SocketFilter {}

/// A packet, as captured or as a socket would see it.
///
/// ```
/// use sandbpf::{Packet, PacketMeta};
/// let bytes = [0u8; 60];
/// let packet = Packet::from(&bytes).with_wire_len(1500);
/// assert_eq!((packet.bytes.len(), packet.wire_len), (60, 1500));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Packet<'i> {
    /// The bytes that are there.
    pub bytes: &'i [u8],
    /// How many bytes the packet had on the wire.
    pub wire_len: u32,
    /// What a socket knows of the packet besides its bytes.
    pub meta: &'i PacketMeta,
}

/// What a socket knows of a packet besides its bytes: the fields of `struct __sk_buff` that filters
/// read, and where the headers are.
///
/// The default is what a datagram on a UNIX socket has: no device, no link header, the network
/// header where the data starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketMeta {
    /// The EtherType, in host byte order.
    pub protocol: u16,
    /// `PACKET_HOST` (0), `PACKET_BROADCAST` (1), `PACKET_MULTICAST` (2), `PACKET_OTHERHOST` (3),
    /// `PACKET_OUTGOING` (4).
    pub packet_type: u8,
    /// The interface index; 0 means that the packet has no device.
    pub ifindex: u32,
    /// The hardware type of the device (`ARPHRD_*`).
    pub hatype: u16,
    /// The mark (`SO_MARK`).
    pub mark: u32,
    /// The priority (`SO_PRIORITY`).
    pub priority: u32,
    /// The receive queue.
    pub queue: u32,
    /// The receive hash.
    pub hash: u32,
    /// The VLAN tag that the device took off: its control information and its protocol.
    pub vlan: Option<VlanTag>,
    /// Where the data (offset 0 of loads) starts in the bytes.
    pub data: u32,
    /// Where the network header starts in the bytes.
    pub network: u32,
    /// Where the link header starts in the bytes, if there is one.
    pub link: Option<u32>,
}

/// A VLAN tag beside a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag {
    /// Priority, drop eligibility and identifier.
    pub tci: u16,
    /// Its EtherType: 0x8100 or 0x88a8.
    pub tpid: u16,
}

/// Nothing. A constant, so that who knows that it is given this knows what it says.
const NO_META: &PacketMeta = &PacketMeta {
    protocol: 0,
    packet_type: 0,
    ifindex: 0,
    hatype: 0,
    mark: 0,
    priority: 0,
    queue: 0,
    hash: 0,
    vlan: None,
    data: 0,
    network: 0,
    link: None,
};

impl PacketMeta {
    /// What a packet socket on an Ethernet device (index 1) knows of this frame: protocol and packet
    /// type from its header (`eth_type_trans`), headers where they are.
    pub fn ethernet(frame: &[u8]) -> Self {
        let header = frame.first_chunk::<14>();
        let ether_type = header.map_or(0, |h| u16::from_be_bytes([h[12], h[13]]));
        // Below 1536 it is a length: IPX without a header (0xffff), or 802.2.
        let protocol = match ether_type {
            0x600.. => ether_type,
            _ if frame.get(14..16) == Some(&[0xff, 0xff]) => 0x0001,
            _ => 0x0004,
        };
        let packet_type = match header {
            Some(h) if h[..6] == [0xff; 6] => 1,
            Some(h) if h[0] & 1 != 0 => 2,
            _ => 0,
        };
        PacketMeta {
            protocol,
            packet_type,
            ifindex: 1,
            hatype: 1,
            network: frame.len().min(14) as u32,
            link: Some(0),
            ..PacketMeta::default()
        }
    }

    /// The fields as the program reads them.
    pub(crate) fn context(&self, len: u32, wire_len: u32) -> SkBuff {
        SkBuff {
            len,
            wire_len,
            pkt_type: self.packet_type.into(),
            mark: self.mark,
            queue_mapping: self.queue,
            protocol: self.protocol.to_be().into(),
            vlan_present: self.vlan.is_some().into(),
            vlan_tci: self.vlan.map_or(0, |vlan| vlan.tci.into()),
            vlan_proto: self.vlan.map_or(0, |vlan| vlan.tpid.to_be().into()),
            priority: self.priority,
            ingress_ifindex: self.ifindex,
            ifindex: self.ifindex,
            hash: self.hash,
            hatype: self.hatype.into(),
            ..SkBuff::default()
        }
    }
}

impl<'i> Packet<'i> {
    /// The same packet, with its length on the wire.
    #[inline]
    pub fn with_wire_len(self, wire_len: u32) -> Self {
        Packet { wire_len, ..self }
    }

    /// The same packet, with what a socket knows of it.
    #[inline]
    pub fn with_meta(self, meta: &'i PacketMeta) -> Self {
        Packet { meta, ..self }
    }
}

impl<'i> From<&'i [u8]> for Packet<'i> {
    #[inline]
    fn from(bytes: &'i [u8]) -> Self {
        // A way of its own for those that are too long, which the others need not pay for: it begins with what is asked anyway.
        let wire_len = match bytes.len() as u64 {
            len @ ..=address::REGION_SIZE => len as u32,
            len => too_long(len),
        };
        Packet { bytes, wire_len, meta: NO_META }
    }
}

/// The length of what is longer than any packet.
#[cold]
#[inline(never)]
fn too_long(len: u64) -> u32 {
    len.try_into().unwrap_or(u32::MAX)
}

impl<'i, const N: usize> From<&'i [u8; N]> for Packet<'i> {
    #[inline]
    fn from(bytes: &'i [u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl<'i> From<&'i Vec<u8>> for Packet<'i> {
    #[inline]
    fn from(bytes: &'i Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

impl Enter for SocketFilter {}

impl Kind for SocketFilter {
    type Input<'i> = Packet<'i>;
    type Verdict = Accept;
    const NAME: KindName = KindName::SocketFilter;

    #[inline]
    fn verdict(r0: u64) -> Accept {
        Accept(r0 as u32)
    }

    #[inline(always)]
    fn answer(image: &Image, packet: &Packet<'_>) -> Option<u64> {
        const { assert!(SkBuff::LEN == 0) };
        let Packet { bytes, wire_len, meta } = *packet;
        if bytes.len() as u64 > address::REGION_SIZE {
            return None;
        }
        let data = bytes.get(meta.data as usize..)?;
        // Most look at nothing but their packet and its length; they are not held up by the others.
        image.pure.at_once(data, length(image, data, wire_len))
    }

    #[inline(always)]
    fn at_length(image: &Image, packet: &Packet<'_>) -> Option<u64> {
        let Packet { bytes, wire_len, meta } = *packet;
        if bytes.len() as u64 > address::REGION_SIZE {
            return None;
        }
        let data = bytes.get(meta.data as usize..)?;
        if image.pure.is_read()
            && let Some(r0) = image.pure.read_at_once(data, length(image, data, wire_len))
        {
            return Some(r0);
        }
        other(image, data, wire_len, meta)
    }

    #[inline]
    fn enter(
        image: &Image,
        scratch: &mut Scratch,
        packet: Packet<'_>,
        run: impl FnOnce(&mut Machine<'_>) -> Result<u64, Trap>,
    ) -> Result<u64, Trap> {
        let Packet { bytes, wire_len, meta } = packet;
        let mut machine = image.machine(&mut scratch.stack);
        if image.traits.calls {
            machine.memory.set_objects(&mut scratch.objects);
        }
        // More than a region holds is not there: loads beyond it fail as at a packet's end.
        let _ = machine.memory.set_packet(Region::Read(bytes));
        machine.packet = PacketLayout { data: meta.data, network: meta.network, link: meta.link };
        if image.traits.needs_context {
            let there = bytes.get(meta.data as usize..).unwrap_or_default();
            let len = length(image, there, wire_len);
            scratch.context = meta.context(len, wire_len).to_bytes();
            let _ = machine.memory.set_context(Region::Write(&mut scratch.context));
        }
        machine.registers[1] = address::CONTEXT;
        run(&mut machine)
    }
}

/// The answer of a program that may not know it, looks at more, or is interpreted.
#[cold]
#[inline(never)]
fn other(image: &Image, data: &[u8], wire_len: u32, meta: &PacketMeta) -> Option<u64> {
    if image.pure.wants_context() {
        return whole(image, data, wire_len, meta);
    }
    let len = length(image, data, wire_len);
    image.pure.run(data, len, || [], image.limits.instructions)
}

/// The same of one that looks at its context, which takes memory that the others would pay for.
#[inline(never)]
fn whole(image: &Image, data: &[u8], wire_len: u32, meta: &PacketMeta) -> Option<u64> {
    let len = length(image, data, wire_len);
    image.pure.run(data, len, || meta.context(len, wire_len).to_bytes(), image.limits.instructions)
}

/// The length that the program is told: that on the wire, or that of what is there.
#[inline]
fn length(image: &Image, data: &[u8], wire_len: u32) -> u32 {
    if image.traits.wire_length { wire_len } else { data.len() as u32 }
}

impl Program<SocketFilter> {
    /// Loads a filter as libpcap compiles it and `pcap_offline_filter` runs it. For the rules of
    /// Linux sockets choose [`Dialect::Linux`](crate::Dialect::Linux) with [`Loader::dialect`].
    pub fn from_classic(filter: &[ClassicInsn]) -> Result<Self, LoadError> {
        Loader::new().load(filter)
    }
}

/// How many bytes of the packet to keep; zero drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Accept(pub u32);

impl Accept {
    /// Whether the packet passes.
    #[inline]
    pub fn matched(self) -> bool {
        self.0 != 0
    }
}
