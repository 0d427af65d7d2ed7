//! Time, dice, CPUs, and what lowered classic filters ask of a packet.

use super::ancillary;
use super::{Context, Scalar};
use crate::Machine;

crate::helpers! {
    pub(super) static HELPERS;

    /// Where the payload of the packet starts, after the transport header (`SKF_AD_PAY_OFFSET`).
    -1 fn payload_offset(machine, _ctx: Context) {
        // Headers may stand before the data: the offset is found from the first byte, then made
        // relative to the data.
        let (bytes, layout) = (machine.memory.packet_bytes(), machine.packet);
        let found = ancillary::payload_offset(bytes, layout.network as usize, protocol(machine)?);
        Ok(found.saturating_sub(layout.data).into())
    }

    /// The offset of the netlink attribute of type `x` at or after offset `a`, or 0 (`SKF_AD_NLATTR`).
    -2 fn nlattr(machine, _ctx: Context, a: Scalar, x: Scalar) {
        Ok(ancillary::nlattr(data(machine), a.0 as u32, x.0 as u32).into())
    }

    /// The same within the attribute at offset `a` (`SKF_AD_NLATTR_NEST`).
    -3 fn nlattr_nest(machine, _ctx: Context, a: Scalar, x: Scalar) {
        Ok(ancillary::nlattr_nest(data(machine), a.0 as u32, x.0 as u32).into())
    }

    /// Nanoseconds since boot, not counting suspension.
    5 fn ktime_get_ns(machine) {
        Ok(machine.now_ns())
    }

    /// A pseudo-random number.
    7 fn get_prandom_u32(machine) {
        Ok(machine.host().random().into())
    }

    /// The processor that the program runs on.
    8 fn get_smp_processor_id(machine) {
        Ok(machine.cpu().into())
    }
}

/// The packet from its data on.
fn data<'m>(machine: &'m Machine<'_>) -> &'m [u8] {
    machine.memory.packet_bytes().get(machine.packet.data as usize..).unwrap_or_default()
}

/// The protocol that the context names, in host byte order.
fn protocol(machine: &Machine<'_>) -> Result<u16, crate::Fault> {
    let field = crate::address::CONTEXT + sandbpf_abi::SkBuff::PROTOCOL as u64;
    Ok((machine.memory.read::<4>(field)? as u16).swap_bytes())
}
