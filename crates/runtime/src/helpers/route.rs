//! Helpers that ask the host's network: routes, devices, sockets.

use super::errno::{EAFNOSUPPORT, EINVAL, ENODEV, fail};
use super::{Bytes, Context, Scalar};
use crate::net::PacketKind;
use crate::{HelperResult, Machine};

/// `struct bpf_fib_lookup`.
mod fib {
    pub(super) const SIZE: u64 = 64;
    pub(super) const FAMILY: u64 = 0;
    pub(super) const TOT_LEN: u64 = 6;
    pub(super) const IFINDEX: u64 = 8;
    /// Every flag of `BPF_FIB_LOOKUP_*`.
    pub(super) const FLAGS: u32 = 0x3f;
    pub(super) const FWD_DISABLED: u64 = 5;
    pub(super) const NOT_FWDED: u64 = 4;
}

const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;

crate::helpers! {
    pub(super) static HELPERS;

    /// Where a packet would be forwarded to.
    69 fn fib_lookup(machine, _ctx: Context, params: Bytes, flags: Scalar) {
        if (params.len as i32) < fib::SIZE as i32 || flags.0 as u32 & !fib::FLAGS != 0 {
            return fail(EINVAL);
        }
        let family = machine.memory.read::<1>(params.address.wrapping_add(fib::FAMILY))?;
        if family != AF_INET && family != AF_INET6 {
            return fail(EAFNOSUPPORT);
        }
        let ifindex = machine.memory.read::<4>(params.address.wrapping_add(fib::IFINDEX))? as u32;
        let Some(device) = machine.host().device(ifindex) else { return fail(ENODEV) };
        let forwards = if family == AF_INET { device.forwarding } else { device.forwarding_v6 };
        if !forwards {
            return Ok(fib::FWD_DISABLED);
        }
        let mut bytes = machine.bytes(params.address, fib::SIZE)?;
        let Ok(raw) = <&mut [u8; fib::SIZE as usize]>::try_from(bytes.as_mut_slice()) else { return fail(EINVAL) };
        let checks_mtu = machine.memory.read::<2>(params.address.wrapping_add(fib::TOT_LEN))? != 0;
        match machine.host().route(raw, flags.0 as u32, checks_mtu) {
            Some(code) => {
                machine.memory.copy_in(params.address, &bytes)?;
                Ok(code.into())
            }
            None => Ok(fib::NOT_FWDED),
        }
    }

    /// Whether the packet, so many bytes longer, fits a device's MTU.
    163 fn check_mtu(machine, _ctx: Context, ifindex: Scalar, mtu_len: Scalar, by: Scalar, flags: Scalar) {
        let segments = flags.0 & 1 != 0 && machine.packet_kind() == PacketKind::Skb;
        let known = if machine.packet_kind() == PacketKind::Xdp { 0 } else { 1 };
        if flags.0 & !known != 0 {
            return fail(EINVAL);
        }
        let by = i64::from(by.0 as i32);
        let given = machine.memory.read::<4>(mtu_len.0)?;
        if segments && (by != 0 || given != 0) {
            return fail(EINVAL);
        }
        let ifindex = match ifindex.0 as u32 {
            0 => own_device(machine)?,
            ifindex => ifindex,
        };
        let Some(device) = machine.host().device(ifindex) else { return fail(ENODEV) };
        let header = i64::from(device.header_len);
        let len = match given {
            0 => machine.memory.packet_bytes().len() as i64 - i64::from(machine.packet.data),
            given => given as i64 + header,
        };
        machine.memory.write::<4>(mtu_len.0, device.mtu.into())?;
        Ok((len + by > i64::from(device.mtu) + header).into())
    }

    /// Finds a TCP socket by its addresses.
    84 fn sk_lookup_tcp(machine, _ctx: Context, tuple: Bytes, netns: Scalar, flags: Scalar) {
        socket(machine, 6, tuple, netns.0, flags.0)
    }

    /// Finds a UDP socket by its addresses.
    85 fn sk_lookup_udp(machine, _ctx: Context, tuple: Bytes, netns: Scalar, flags: Scalar) {
        socket(machine, 17, tuple, netns.0, flags.0)
    }

    /// Gives a socket back.
    86 fn sk_release(_machine, _socket: Scalar) {
        Ok(0)
    }

    /// The socket, if it is a full one and not a request or one that waits for its end.
    95 fn sk_fullsock(_machine, socket: Scalar) {
        Ok(socket.0)
    }

    /// The socket's TCP state, if it is a TCP socket.
    96 fn tcp_sock(_machine, _socket: Scalar) {
        Ok(0)
    }

    /// The socket that listens for this one.
    98 fn get_listener_sock(_machine, _socket: Scalar) {
        Ok(0)
    }

    /// Finds a TCP socket of any state by its addresses.
    99 fn skc_lookup_tcp(machine, _ctx: Context, tuple: Bytes, netns: Scalar, flags: Scalar) {
        socket(machine, 6, tuple, netns.0, flags.0)
    }

    /// Whether a packet's acknowledgement is a valid SYN cookie.
    100 fn tcp_check_syncookie(_machine, _socket: Scalar, _ip: Scalar, _ip_len: Scalar, th: Scalar, th_len: Scalar) {
        let _ = (th, th_len);
        fail(EINVAL)
    }
}

/// The device that the packet came through.
fn own_device(machine: &Machine<'_>) -> Result<u32, crate::Fault> {
    match machine.packet_kind() {
        PacketKind::Xdp => machine.field(12),
        PacketKind::Plain | PacketKind::Skb | PacketKind::Flow => machine.field(sandbpf_abi::SkBuff::IFINDEX),
    }
}

/// Finds a socket: a structure that the program may read, or null.
fn socket(machine: &mut Machine<'_>, protocol: u8, tuple: Bytes, netns: u64, flags: u64) -> HelperResult {
    let bytes = machine.bytes(tuple.address, tuple.len)?;
    // IPv4 or IPv6: two addresses and two ports.
    if !matches!(bytes.len(), 12 | 36) || flags != 0 || !((netns as i64) < 0 || i32::try_from(netns).is_ok())
    {
        return Ok(0);
    }
    match machine.host().socket(protocol, &bytes) {
        Some(socket) => Ok(machine.memory.add_object(&socket).unwrap_or(0)),
        None => Ok(0),
    }
}
