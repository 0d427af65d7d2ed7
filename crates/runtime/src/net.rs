//! What a packet is besides its bytes: the part of `struct sk_buff` and `struct xdp_buff` that helpers work on.
//!
//! Fields that programs read directly stand in the context and nowhere else; helpers that change them write them
//! there.

use sandbpf_abi::SkBuff;

use crate::address::{CONTEXT, PACKET};
use crate::machine::Machine;
use crate::trap::Fault;

/// What kind of packet a run is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacketKind {
    /// None, or bytes that nobody can change.
    #[default]
    Plain,
    /// A frame before the stack has seen it (`struct xdp_buff`).
    Xdp,
    /// A packet in the stack (`struct sk_buff`).
    Skb,
    /// A frame whose flow is dissected before it is in the stack: nothing but its bytes is there.
    Flow,
}

/// What helpers know and change of a packet besides its bytes and its context.
#[derive(Clone, Debug, Default)]
pub struct PacketState {
    /// What it is.
    pub kind: PacketKind,
    /// Whether its bytes may only be read, by programs of this type.
    pub read_only: bool,
    /// Whether an outer header was pushed around it (`skb->encapsulation`).
    pub encapsulation: bool,
    /// Where to send it, if a helper said so.
    pub redirect: Option<Redirect>,
    /// The tunnel that it came through.
    pub tunnel: Option<Tunnel>,
    /// The tunnel that it goes into.
    pub sent_tunnel: Option<Tunnel>,
    /// Whether its checksum is known to be right up to a level (`CHECKSUM_UNNECESSARY`).
    pub checksum_level: Option<u8>,
    /// The socket that it belongs to, if somebody assigned one.
    pub socket: Option<u64>,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// To a device (`bpf_redirect`), with the helper's flags.
    Device {
        /// Its index.
        ifindex: u32,
        /// `BPF_F_INGRESS`.
        flags: u64,
    },
    /// To the other end of a device pair (`bpf_redirect_peer`).
    Peer {
        /// The device's index.
        ifindex: u32,
    },
    /// To a neighbour behind a device (`bpf_redirect_neigh`).
    Neighbour {
        /// The device's index.
        ifindex: u32,
    },
    /// To what a map holds (`bpf_redirect_map`).
    Map {
        /// The map.
        map: u32,
        /// The key.
        key: u64,
        /// The helper's flags.
        flags: u64,
    },
}

/// `struct bpf_tunnel_key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The structure's bytes.
    pub key: [u8; Tunnel::SIZE],
    /// Whether the addresses are IPv6.
    pub ipv6: bool,
}

impl Tunnel {
    /// `sizeof(struct bpf_tunnel_key)`.
    pub const SIZE: usize = 44;
}

impl Machine<'_> {
    /// What kind of packet the run is about.
    pub fn packet_kind(&self) -> PacketKind {
        self.packet_state.as_ref().map_or(PacketKind::Plain, |state| state.kind)
    }

    /// Whether an outer header was pushed around the packet.
    pub(crate) fn is_encapsulated(&self) -> bool {
        self.packet_state.as_ref().is_some_and(|state| state.encapsulation)
    }

    /// Says where the packet goes.
    pub(crate) fn redirect(&mut self, to: Redirect) {
        if let Some(state) = &mut self.packet_state {
            state.redirect = Some(to);
        }
    }

    /// Reads a 32-bit field of the context.
    pub(crate) fn field(&self, offset: usize) -> Result<u32, Fault> {
        Ok(self.memory.read::<4>(CONTEXT + offset as u64)? as u32)
    }

    /// Writes a 32-bit field of the context.
    pub(crate) fn set_field(&mut self, offset: usize, value: u32) -> Result<(), Fault> {
        self.memory.write::<4>(CONTEXT + offset as u64, value.into())
    }

    /// Says in the context where the packet is, after its ends moved.
    pub(crate) fn tell_packet(&mut self) -> Result<(), Fault> {
        let Some(frame) = self.memory.frame() else { return Ok(()) };
        let (meta, all) = (frame.meta().len() as u32, frame.visible().len() as u32);
        match self.packet_kind() {
            PacketKind::Plain | PacketKind::Flow => Ok(()),
            PacketKind::Xdp => {
                self.packet.data = meta;
                let ends = [PACKET as u32 + meta, PACKET as u32 + all, PACKET as u32];
                (0..).zip(ends).try_for_each(|(i, end)| self.set_field(4 * i, end))
            }
            PacketKind::Skb => {
                let data = self.packet.data;
                self.set_field(SkBuff::LEN, all - data)?;
                self.set_field(SkBuff::DATA, PACKET as u32 + data)?;
                self.set_field(SkBuff::DATA_END, PACKET as u32 + all)?;
                self.set_field(SkBuff::DATA_META, PACKET as u32 + data)
            }
        }
    }
}
