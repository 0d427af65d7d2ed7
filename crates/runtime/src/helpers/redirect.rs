//! Helpers that say where a packet goes: nothing is sent, the decision is part of the outcome.

use super::errno::{EINVAL, fail};
use super::{Context, Scalar};
use crate::net::{PacketKind, Redirect};
use crate::{HelperResult, Machine};

const TC_ACT_SHOT: u64 = 2;
const TC_ACT_REDIRECT: u64 = 7;
const XDP_ABORTED: u64 = 0;
const XDP_REDIRECT: u64 = 4;
/// Towards the stack instead of the wire.
const INGRESS: u64 = 1;

crate::helpers! {
    pub(super) static HELPERS;

    /// Sends a copy of the packet to a device.
    13 fn clone_redirect(machine, _ctx: Context, ifindex: Scalar, flags: Scalar) {
        if flags.0 & !INGRESS != 0 || machine.host().device(ifindex.0 as u32).is_none() {
            return fail(EINVAL);
        }
        Ok(0)
    }

    /// Sends the packet to a device.
    23 fn redirect(machine, ifindex: Scalar, flags: Scalar) {
        let (ifindex, flags) = (ifindex.0 as u32, flags.0);
        let (allowed, refused, done) = match machine.packet_kind() {
            PacketKind::Xdp => (0, XDP_ABORTED, XDP_REDIRECT),
            PacketKind::Plain | PacketKind::Skb | PacketKind::Flow => (INGRESS, TC_ACT_SHOT, TC_ACT_REDIRECT),
        };
        if flags & !allowed != 0 {
            return Ok(refused);
        }
        machine.redirect(Redirect::Device { ifindex, flags });
        Ok(done)
    }

    /// Sends the packet to a neighbour behind a device.
    152 fn redirect_neigh(machine, ifindex: Scalar, _params: Scalar, len: Scalar, flags: Scalar) {
        const PARAMS: i32 = 20;
        let len = len.0 as i32;
        to_device(machine, flags.0 != 0 || len != 0 && len < PARAMS, Redirect::Neighbour { ifindex: ifindex.0 as u32 })
    }

    /// Sends the packet to the other end of a pair of devices.
    155 fn redirect_peer(machine, ifindex: Scalar, flags: Scalar) {
        to_device(machine, flags.0 != 0, Redirect::Peer { ifindex: ifindex.0 as u32 })
    }
}

#[allow(clippy::unnecessary_wraps, reason = "what a helper's body ends with")]
fn to_device(machine: &mut Machine<'_>, refused: bool, redirect: Redirect) -> HelperResult {
    if refused {
        return Ok(TC_ACT_SHOT);
    }
    machine.redirect(redirect);
    Ok(TC_ACT_REDIRECT)
}
