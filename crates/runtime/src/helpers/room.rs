//! `bpf_skb_adjust_room`: room for an outer header, or one header less.

use super::Scalar;
use super::errno::{EALREADY, EFAULT, EINVAL, ENOTSUPP, fail};
use super::skb::{ETH_HEADER, ETH_P_IP, ETH_P_IPV6, IPV4_HEADER, IPV6_HEADER, MAX_LEN};
use crate::{HelperResult, Machine};

crate::helpers! {
    pub(super) static HELPERS;

    /// Makes or takes room behind the link header, or behind the network header.
    50 fn skb_adjust_room(machine, _ctx: super::Context, by: Scalar, mode: Scalar, flags: Scalar) {
        adjust(machine, by.0 as i32, mode.0 as u32, flags.0)
    }
}

const ENCAP_L3_IPV4: u64 = 1 << 1;
const ENCAP_L3_IPV6: u64 = 1 << 2;
const ENCAP_L4_GRE: u64 = 1 << 3;
const ENCAP_L4_UDP: u64 = 1 << 4;
const NO_CSUM_RESET: u64 = 1 << 5;
const FIXED_GSO: u64 = 1 << 0;
const ENCAP_L2_ETH: u64 = 1 << 6;
const DECAP_L3_IPV4: u64 = 1 << 7;
const DECAP_L3_IPV6: u64 = 1 << 8;
const ENCAP_L2_SHIFT: u32 = 56;
const ENCAP_L3: u64 = ENCAP_L3_IPV4 | ENCAP_L3_IPV6;
const DECAP_L3: u64 = DECAP_L3_IPV4 | DECAP_L3_IPV6;
const KNOWN: u64 = FIXED_GSO
    | ENCAP_L3
    | ENCAP_L4_GRE
    | ENCAP_L4_UDP
    | ENCAP_L2_ETH
    | 0xff << ENCAP_L2_SHIFT
    | DECAP_L3
    | NO_CSUM_RESET;

fn adjust(machine: &mut Machine<'_>, by: i32, mode: u32, flags: u64) -> HelperResult {
    if flags & !KNOWN != 0 {
        return fail(EINVAL);
    }
    let (len, shrink) = (by.unsigned_abs() as usize, by < 0);
    if len > 0xfff {
        return fail(EFAULT);
    }
    let protocol = machine.protocol()?;
    let base = match protocol {
        ETH_P_IP => IPV4_HEADER,
        ETH_P_IPV6 => IPV6_HEADER,
        _ => return fail(ENOTSUPP),
    };
    let off = match mode {
        0 => machine.mac_len() + base,
        1 => machine.mac_len(),
        _ => return fail(ENOTSUPP),
    };
    let least = match flags & DECAP_L3 {
        0 => base,
        _ if !shrink => return fail(EINVAL),
        DECAP_L3_IPV4 => IPV4_HEADER,
        DECAP_L3_IPV6 => IPV6_HEADER,
        _ => return fail(EINVAL),
    };
    let current = (machine.skb_len() as i64 - machine.network_offset()).max(0) as usize;
    if shrink && (len >= current || current - len < least)
        || !shrink && machine.skb_len() + len > MAX_LEN as usize
    {
        return fail(ENOTSUPP);
    }
    let result = match shrink {
        true => shorten(machine, off, len, flags)?,
        false => lengthen(machine, off, len, flags)?,
    };
    machine.tell_packet()?;
    Ok(result)
}

fn shorten(machine: &mut Machine<'_>, off: usize, len: usize, flags: u64) -> HelperResult {
    if flags & !(FIXED_GSO | DECAP_L3 | NO_CSUM_RESET) != 0 {
        return fail(EINVAL);
    }
    let result = machine.remove(off, len)?;
    if result == 0 {
        match (machine.protocol()?, flags & DECAP_L3) {
            (ETH_P_IP, DECAP_L3_IPV6) => machine.set_protocol(ETH_P_IPV6)?,
            (ETH_P_IPV6, DECAP_L3_IPV4) => machine.set_protocol(ETH_P_IP)?,
            _ => {}
        }
    }
    Ok(result)
}

fn lengthen(machine: &mut Machine<'_>, off: usize, len: usize, flags: u64) -> HelperResult {
    let encap = flags & ENCAP_L3 != 0;
    if encap {
        let inner_mac = (flags >> ENCAP_L2_SHIFT) as usize;
        if flags & ENCAP_L3 == ENCAP_L3
            || flags & (ENCAP_L4_GRE | ENCAP_L4_UDP) == ENCAP_L4_GRE | ENCAP_L4_UDP
            || flags & ENCAP_L2_ETH != 0 && inner_mac < ETH_HEADER
        {
            return fail(EINVAL);
        }
        if machine.is_encapsulated() {
            return fail(EALREADY);
        }
        if inner_mac > len {
            return fail(EINVAL);
        }
    }
    let result = machine.insert(off, len)?;
    if result == 0 && encap {
        if let Some(state) = &mut machine.packet_state {
            state.encapsulation = true;
        }
        match (machine.protocol()?, flags & ENCAP_L3) {
            (ETH_P_IP, ENCAP_L3_IPV6) => machine.set_protocol(ETH_P_IPV6)?,
            (ETH_P_IPV6, ENCAP_L3_IPV4) => machine.set_protocol(ETH_P_IP)?,
            _ => {}
        }
    }
    Ok(result)
}
