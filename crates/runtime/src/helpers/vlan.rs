//! Helpers on VLAN tags: of the packet's bytes, and the one that a device took off.

use sandbpf_abi::SkBuff;

use super::errno::{ENOMEM, fail};
use super::skb::ETH_HEADER;
use super::{Context, Scalar};
use crate::Machine;

const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_8021AD: u16 = 0x88a8;
const VLAN_HEADER: usize = 4;

/// Both addresses of an Ethernet header.
const ADDRESSES: usize = 12;

crate::helpers! {
    pub(super) static HELPERS;

    /// Puts a VLAN tag before the packet; one that was there goes into it.
    18 fn skb_vlan_push(machine, _ctx: Context, proto: Scalar, tci: Scalar) {
        let proto = match (proto.0 as u16).swap_bytes() {
            ETH_P_8021AD => ETH_P_8021AD,
            _ => ETH_P_8021Q,
        };
        if machine.field(SkBuff::VLAN_PRESENT)? != 0 {
            let old_proto = machine.field(SkBuff::VLAN_PROTO)? as u16;
            let old_tci = machine.field(SkBuff::VLAN_TCI)? as u16;
            if machine.insert(ADDRESSES, VLAN_HEADER)? != 0 {
                return fail(ENOMEM);
            }
            let tag = [old_proto.to_le_bytes(), old_tci.to_be_bytes()];
            let at = machine.packet.data as usize + ADDRESSES;
            if let Some(frame) = machine.memory.frame_mut() {
                frame.visible_mut()[at..at + VLAN_HEADER].copy_from_slice(tag.as_flattened());
            }
            machine.set_field(SkBuff::PROTOCOL, old_proto.into())?;
        }
        put_tag(machine, proto, tci.0 as u16)?;
        machine.tell_packet()?;
        Ok(0)
    }

    /// Takes the VLAN tag off; one behind it takes its place.
    19 fn skb_vlan_pop(machine, _ctx: Context) {
        let tagged = |machine: &Machine<'_>| machine.protocol().map(|p| p == ETH_P_8021Q || p == ETH_P_8021AD);
        if machine.field(SkBuff::VLAN_PRESENT)? != 0 {
            machine.set_field(SkBuff::VLAN_PRESENT, 0)?;
            machine.set_field(SkBuff::VLAN_TCI, 0)?;
            machine.set_field(SkBuff::VLAN_PROTO, 0)?;
        } else {
            if !tagged(machine)? {
                return Ok(0);
            }
            if pop(machine)?.is_none() {
                return fail(ENOMEM);
            }
        }
        if tagged(machine)? {
            let proto = machine.protocol()?;
            match pop(machine)? {
                Some(tci) => put_tag(machine, proto, tci)?,
                None => return fail(ENOMEM),
            }
        }
        machine.tell_packet()?;
        Ok(0)
    }
}

fn put_tag(machine: &mut Machine<'_>, proto: u16, tci: u16) -> Result<(), crate::Fault> {
    machine.set_field(SkBuff::VLAN_PRESENT, 1)?;
    machine.set_field(SkBuff::VLAN_TCI, tci.into())?;
    machine.set_field(SkBuff::VLAN_PROTO, proto.swap_bytes().into())
}

/// Takes a tag out of the packet.
fn pop(machine: &mut Machine<'_>) -> Result<Option<u16>, crate::Stop> {
    let data = machine.skb_data();
    let Some(&[_, _, tci_high, tci_low, inner_high, inner_low]) =
        data.get(ADDRESSES..).and_then(|rest| rest.first_chunk::<6>())
    else {
        return Ok(None);
    };
    let (tci, inner) = (u16::from_be_bytes([tci_high, tci_low]), u16::from_be_bytes([inner_high, inner_low]));
    let raw = data.get(ADDRESSES + 6..ADDRESSES + 8) == Some(&[0xff, 0xff]);
    if machine.remove(ADDRESSES, VLAN_HEADER)? != 0 {
        return Ok(None);
    }
    // What follows is a type, or a length: then it is IPX without a header, or 802.2.
    machine.set_protocol(match inner {
        0x600.. => inner,
        _ if raw => 0x0001,
        _ => 0x0004,
    })?;
    // The network header stays where it is in memory, but not before the end of the link header.
    let network = machine.packet.network.saturating_sub(VLAN_HEADER as u32);
    machine.packet.network = network.max(machine.packet.data + ETH_HEADER as u32);
    Ok(Some(tci))
}
