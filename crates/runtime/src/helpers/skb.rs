//! Helpers on packets in the stack: reading, writing, making them longer and shorter.
//!
//! Semantics: `net/core/filter.c`, and for tags `net/core/skbuff.c`. All our packets are linear, so "making writable"
//! is a check of the length.

use sandbpf_abi::SkBuff;

use super::errno::{EFAULT, EINVAL, ENOMEM, ENOTSUPP, fail};
use super::{Bytes, Context, Out, Scalar};
use crate::net::PacketKind;
use crate::{HelperResult, Machine};

pub(super) const ETH_P_IP: u16 = 0x0800;
pub(super) const ETH_P_IPV6: u16 = 0x86dd;
pub(super) const IPV4_HEADER: usize = 20;
pub(super) const IPV6_HEADER: usize = 40;
pub(super) const ETH_HEADER: usize = 14;

/// The longest packet that helpers make (`SKB_MAX_ALLOC`).
pub(super) const MAX_LEN: u32 = 16064;

impl Machine<'_> {
    /// The packet from its data on.
    pub(super) fn skb_data(&self) -> &[u8] {
        self.memory.packet_bytes().get(self.packet.data as usize..).unwrap_or_default()
    }

    pub(super) fn skb_len(&self) -> usize {
        self.skb_data().len()
    }

    /// Where the network header is, from the data on; negative if it lies before.
    pub(super) fn network_offset(&self) -> i64 {
        i64::from(self.packet.network) - i64::from(self.packet.data)
    }

    /// How long the link header is.
    pub(super) fn mac_len(&self) -> usize {
        self.packet.network.saturating_sub(self.packet.link.unwrap_or(self.packet.network)) as usize
    }

    /// `skb->protocol`, in host byte order.
    pub(super) fn protocol(&self) -> Result<u16, crate::Fault> {
        Ok((self.field(SkBuff::PROTOCOL)? as u16).swap_bytes())
    }

    pub(super) fn set_protocol(&mut self, protocol: u16) -> Result<(), crate::Fault> {
        self.set_field(SkBuff::PROTOCOL, protocol.swap_bytes().into())
    }

    /// Puts `len` zeros into the packet, `off` bytes behind its data's start; headers before them move with the start.
    pub(super) fn insert(&mut self, off: usize, len: usize) -> HelperResult {
        let Some(frame) = self.memory.frame_mut() else { return fail(ENOMEM) };
        frame.reserve_head(len);
        if off > frame.data().len() || !frame.move_data(-(len as i64)) {
            return fail(ENOMEM);
        }
        let data = frame.data_mut();
        data.copy_within(len..len + off, 0);
        data[off..off + len].fill(0);
        self.tell_packet()?;
        Ok(0)
    }

    /// Takes `len` bytes out of the packet, `off` bytes behind its data's start.
    pub(super) fn remove(&mut self, off: usize, len: usize) -> HelperResult {
        let Some(frame) = self.memory.frame_mut() else { return fail(ENOMEM) };
        if off + len > frame.data().len() {
            return fail(ENOMEM);
        }
        frame.data_mut().copy_within(0..off, len);
        frame.move_data(len as i64);
        self.tell_packet()?;
        Ok(0)
    }
}

/// Recompute the packet's sum: ours have none.
pub(super) const RECOMPUTE_CSUM: u64 = 1;
/// Forget the hash.
pub(super) const INVALIDATE_HASH: u64 = 2;

crate::helpers! {
    pub(super) static HELPERS;

    /// Writes bytes into the packet at `offset`.
    9 fn skb_store_bytes(machine, _ctx: Context, offset: Scalar, from: Bytes, flags: Scalar) {
        if flags.0 & !(RECOMPUTE_CSUM | INVALIDATE_HASH) != 0 {
            return fail(EINVAL);
        }
        let (offset, len) = (offset.0 as u32, from.len as u32);
        if offset > i32::MAX as u32 || u64::from(offset) + u64::from(len) > machine.skb_len() as u64 {
            return fail(EFAULT);
        }
        let bytes = machine.bytes(from.address, len.into())?;
        let at = machine.packet.data as usize + offset as usize;
        match machine.memory.frame_mut() {
            Some(frame) => frame.visible_mut()[at..at + bytes.len()].copy_from_slice(&bytes),
            None => return fail(EFAULT),
        }
        if flags.0 & INVALIDATE_HASH != 0 {
            machine.set_field(SkBuff::HASH, 0)?;
        }
        Ok(0)
    }

    /// Reads bytes of the packet from `offset` on; zeros if they are not all there.
    26 fn skb_load_bytes(machine, _ctx: Context, offset: Scalar, to: Out) {
        if machine.packet_kind() == PacketKind::Flow {
            to.clear(machine)?;
            return fail(EFAULT);
        }
        load(machine, offset.0 as u32, to, machine.packet.data)
    }

    /// The same, from the link header (0) or the network header (1) on.
    68 fn skb_load_bytes_relative(machine, _ctx: Context, offset: Scalar, to: Out, start: Scalar) {
        let from = match start.0 as u32 {
            0 => machine.packet.link,
            1 => Some(machine.packet.network),
            _ => None,
        };
        match from {
            Some(from) if offset.0 as u32 <= 0xffff => load(machine, offset.0 as u32, to, from),
            _ => {
                to.clear(machine)?;
                fail(EFAULT)
            }
        }
    }

    /// Makes bytes of the packet directly accessible: all ours are.
    39 fn skb_pull_data(machine, _ctx: Context, len: Scalar) {
        if len.0 as u32 as usize > machine.skb_len() {
            return fail(ENOMEM);
        }
        machine.tell_packet()?;
        Ok(0)
    }

    /// Makes the packet longer or shorter at its end.
    38 fn skb_change_tail(machine, _ctx: Context, len: Scalar, flags: Scalar) {
        let len = len.0 as u32;
        if flags.0 != 0 || len > MAX_LEN || i64::from(len) < machine.network_offset() {
            return fail(EINVAL);
        }
        if machine.is_encapsulated() {
            return fail(ENOTSUPP);
        }
        let data = machine.packet.data;
        let Some(frame) = machine.memory.frame_mut() else { return fail(ENOMEM) };
        // Headers before the data are part of the frame.
        let before = data as usize - frame.meta().len();
        frame.reserve_tail(len as usize);
        frame.set_len(before + len as usize);
        machine.tell_packet()?;
        Ok(0)
    }

    /// Makes room before the packet, which becomes its link header.
    43 fn skb_change_head(machine, _ctx: Context, len: Scalar, flags: Scalar) {
        let len = len.0 as u32;
        let new = (machine.skb_len() as u32).checked_add(len).filter(|&new| new <= MAX_LEN);
        if flags.0 != 0 || new.is_none() {
            return fail(EINVAL);
        }
        let (data, visible) = (machine.packet.data, machine.memory.frame().map_or(0, |frame| frame.visible().len()));
        if visible == 0 && len > 0 && machine.memory.frame().is_none() {
            return fail(ENOMEM);
        }
        // What stood before the data is overwritten first.
        let more = len.saturating_sub(data);
        if let Some(frame) = machine.memory.frame_mut() {
            frame.reserve_head(more as usize);
            frame.move_data(-i64::from(more));
            let start = (data + more - len) as usize;
            frame.visible_mut()[start..start + len as usize].fill(0);
        }
        machine.packet.network += more;
        machine.packet.data = data + more - len;
        machine.packet.link = Some(machine.packet.data);
        machine.tell_packet()?;
        Ok(0)
    }

    /// Changes IPv4 to IPv6 or back: makes or takes room behind the link header; the header's bytes are the program's
    /// business.
    31 fn skb_change_proto(machine, _ctx: Context, proto: Scalar, flags: Scalar) {
        if flags.0 != 0 {
            return fail(EINVAL);
        }
        let (from, to) = (machine.protocol()?, (proto.0 as u16).swap_bytes());
        let (off, len) = (machine.mac_len(), IPV6_HEADER - IPV4_HEADER);
        let result = match (from, to) {
            (ETH_P_IP, ETH_P_IPV6) => machine.insert(off, len)?,
            (ETH_P_IPV6, ETH_P_IP) => machine.remove(off, len)?,
            _ => return fail(ENOTSUPP),
        };
        if result == 0 {
            machine.set_protocol(to)?;
            machine.set_field(SkBuff::HASH, 0)?;
        }
        Ok(result)
    }

    /// Changes what the packet is to this host (`PACKET_HOST` … `PACKET_OTHERHOST`).
    32 fn skb_change_type(machine, _ctx: Context, kind: Scalar) {
        const OTHERHOST: u32 = 3;
        if machine.field(SkBuff::PKT_TYPE)? > OTHERHOST || kind.0 as u32 > OTHERHOST {
            return fail(EINVAL);
        }
        machine.set_field(SkBuff::PKT_TYPE, kind.0 as u32)?;
        Ok(0)
    }

    /// The packet's hash, computed if it has none.
    34 fn get_hash_recalc(machine, _ctx: Context) {
        match machine.field(SkBuff::HASH)? {
            0 => {
                let hash = flow_hash(machine.memory.packet_bytes().get(machine.packet.network as usize..));
                machine.set_field(SkBuff::HASH, hash)?;
                Ok(hash.into())
            }
            hash => Ok(hash.into()),
        }
    }

    /// Forgets the packet's hash.
    41 fn set_hash_invalid(machine, _ctx: Context) {
        machine.set_field(SkBuff::HASH, 0)?;
        Ok(0)
    }

    /// Sets the packet's hash.
    48 fn set_hash(machine, _ctx: Context, hash: Scalar) {
        machine.set_field(SkBuff::HASH, hash.0 as u32)?;
        Ok(0)
    }

    /// Marks congestion in the IP header, if the packet may be marked: 1 if it is marked afterwards.
    97 fn skb_ecn_set_ce(machine, _ctx: Context) {
        let (protocol, network) = (machine.protocol()?, machine.packet.network as usize);
        let Some(frame) = machine.memory.frame_mut() else { return Ok(0) };
        let header = frame.visible_mut().get_mut(network..).unwrap_or_default();
        Ok(set_ce(protocol, header).into())
    }

    /// Sets the time of a packet, and what clock it is of.
    192 fn skb_set_tstamp(machine, _ctx: Context, tstamp: Scalar, clock: Scalar) {
        use super::errno::EOPNOTSUPP;
        if !matches!(machine.protocol()?, ETH_P_IP | ETH_P_IPV6) {
            return fail(EOPNOTSUPP);
        }
        match clock.0 as u32 {
            0 => {}
            1 | 2 if tstamp.0 != 0 => {}
            _ => return fail(EINVAL),
        }
        let at = crate::address::CONTEXT;
        machine.memory.write::<8>(at + SkBuff::TSTAMP as u64, tstamp.0)?;
        machine.memory.write::<1>(at + SkBuff::TSTAMP_TYPE as u64, clock.0)?;
        Ok(0)
    }
}

/// Reads bytes of the packet, from a header on.
fn load(machine: &mut Machine<'_>, offset: u32, to: Out, from: u32) -> HelperResult {
    let bytes = (from as usize).checked_add(offset as usize).filter(|_| offset <= i32::MAX as u32).and_then(
        |start| {
            let end = start.checked_add(usize::try_from(to.len).ok()?)?;
            machine.memory.packet_bytes().get(start..end)
        },
    );
    match bytes.map(<[u8]>::to_vec) {
        Some(bytes) => {
            machine.memory.copy_in(to.address, &bytes)?;
            Ok(0)
        }
        None => {
            to.clear(machine)?;
            fail(EFAULT)
        }
    }
}

/// Sets both bits of congestion in an IP header that has one of them.
fn set_ce(protocol: u16, header: &mut [u8]) -> bool {
    match protocol {
        ETH_P_IP if header.len() >= IPV4_HEADER => match header[1] & 3 {
            0 => false,
            3 => true,
            _ => {
                // The checksum covers the byte.
                let sum = u16::from_be_bytes([header[10], header[11]]);
                let before = u16::from_be_bytes([header[0], header[1]]);
                header[1] |= 3;
                let after = u16::from_be_bytes([header[0], header[1]]);
                let add = |a: u16, b: u16| {
                    let (sum, carry) = a.overflowing_add(b);
                    sum + u16::from(carry)
                };
                header[10..12].copy_from_slice(&(!add(add(!sum, !before), after)).to_be_bytes());
                true
            }
        },
        ETH_P_IPV6 if header.len() >= IPV6_HEADER => match header[1] >> 4 & 3 {
            0 => false,
            _ => {
                header[1] |= 0x30;
                true
            }
        },
        _ => false,
    }
}

/// A hash of the flow that a packet belongs to. Linux seeds its own at every boot; ours is the same in every run.
fn flow_hash(network: Option<&[u8]>) -> u32 {
    let header = network.unwrap_or_default();
    let flow: Vec<u8> = match header.first().map(|first| first >> 4) {
        Some(4) if header.len() >= IPV4_HEADER => {
            let options = usize::from(header[0] & 15) * 4;
            [&header[12..20], &header[9..10], header.get(options..options + 4).unwrap_or_default()].concat()
        }
        Some(6) if header.len() >= IPV6_HEADER => {
            [&header[8..40], &header[6..7], header.get(40..44).unwrap_or_default()].concat()
        }
        _ => header.iter().take(ETH_HEADER).copied().collect(),
    };
    // FNV-1a, and never 0, which means none.
    let hash =
        flow.iter().fold(0x811c_9dc5u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.max(1)
}
