//! What classic filters ask of a packet beyond its bytes: where its payload starts, where a netlink
//! attribute is.
//!
//! Linux answers the first with its flow dissector (`__skb_get_poff` and `__skb_flow_dissect` in
//! `net/core/flow_dissector.c`). This is the same walk over headers, without the keys that a payload
//! offset does not need.

/// Where the payload starts, from the first byte of `packet`: after the transport header if that is
/// one the dissector knows, after the last known header otherwise; 0 if the headers make no sense.
///
/// `network` is where the network header starts and `protocol` its EtherType.
///
/// ```
/// use sandbpf_runtime::helpers::ancillary::payload_offset;
/// // IPv4, 20 bytes of header, UDP.
/// let mut packet = [0u8; 60];
/// packet[14] = 0x45;
/// packet[23] = 17;
/// assert_eq!(payload_offset(&packet, 14, 0x0800), 14 + 20 + 8);
/// ```
pub fn payload_offset(packet: &[u8], network: usize, protocol: u16) -> u32 {
    let walk = Walk { packet, at: network, protocol, transport: 0, fragment: Fragment::Whole };
    let Some(end) = walk.dissect() else { return 0 };
    // The offset of the transport header is a 16-bit number that stays within the packet.
    let at = usize::from(end.at as u16).min(packet.len());
    let header = match (end.fragment, end.transport) {
        (Fragment::Later, _) => 0,
        (_, transport::TCP) => match packet.get(at + 12) {
            Some(offset) => usize::from(offset >> 4).max(5) * 4,
            None => 0,
        },
        (_, transport::UDP | transport::UDPLITE) => 8,
        (_, transport::ICMP | transport::ICMPV6 | transport::IGMP) => 8,
        (_, transport::DCCP | transport::SCTP) => 12,
        _ => 0,
    };
    (at + header) as u32
}

/// The offset of the first netlink attribute of type `x` at or after offset `a`, or 0.
///
/// `__skb_get_nlattr`: attributes are walked as long as they are well formed.
pub fn nlattr(data: &[u8], a: u32, x: u32) -> u32 {
    let room = data.len() as u64;
    if room < ATTRIBUTE_HEADER as u64 || u64::from(a) > room - ATTRIBUTE_HEADER as u64 {
        return 0;
    }
    find(data, a as usize, data.len(), x)
}

/// The offset of the first netlink attribute of type `x` within the attribute at offset `a`, or 0.
///
/// `__skb_get_nlattr_nest`.
pub fn nlattr_nest(data: &[u8], a: u32, x: u32) -> u32 {
    let room = data.len() as u64;
    if room < ATTRIBUTE_HEADER as u64 || u64::from(a) > room - ATTRIBUTE_HEADER as u64 {
        return 0;
    }
    let at = a as usize;
    let len = length(data, at);
    if len > data.len() - at {
        return 0;
    }
    // An attribute shorter than its header has no inside.
    find(data, at + ATTRIBUTE_HEADER, at + len.max(ATTRIBUTE_HEADER), x)
}

/// Length and type.
const ATTRIBUTE_HEADER: usize = 4;

fn find(data: &[u8], mut at: usize, end: usize, x: u32) -> u32 {
    while at + ATTRIBUTE_HEADER <= end {
        let len = length(data, at);
        if len < ATTRIBUTE_HEADER || len > end - at {
            return 0;
        }
        // The upper two bits of the type are flags.
        let kind = u32::from(u16::from_le_bytes([data[at + 2], data[at + 3]])) & 0x3fff;
        if kind == x {
            return at as u32;
        }
        at += len.next_multiple_of(4);
    }
    0
}

/// Netlink is in host order; guests are little-endian.
fn length(data: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([data[at], data[at + 1]]))
}

/// EtherTypes that the dissector looks into.
mod ether {
    pub(super) const IPV4: u16 = 0x0800;
    pub(super) const ARP: u16 = 0x0806;
    pub(super) const RARP: u16 = 0x8035;
    pub(super) const TRANSPARENT_BRIDGING: u16 = 0x6558;
    pub(super) const VLAN: u16 = 0x8100;
    pub(super) const SERVICE_VLAN: u16 = 0x88a8;
    pub(super) const IPV6: u16 = 0x86dd;
    pub(super) const MPLS: u16 = 0x8847;
    pub(super) const MPLS_MULTICAST: u16 = 0x8848;
    pub(super) const PPPOE_SESSION: u16 = 0x8864;
    pub(super) const PPP_OVER_GRE: u16 = 0x880b;
    pub(super) const TIPC: u16 = 0x88ca;
    pub(super) const PTP: u16 = 0x88f7;
    pub(super) const PRP: u16 = 0x88fb;
    pub(super) const HSR: u16 = 0x892f;
    pub(super) const CFM: u16 = 0x8902;
    pub(super) const FCOE: u16 = 0x8906;
    pub(super) const BATMAN: u16 = 0x4305;
}

/// IP protocols that the dissector knows.
mod transport {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ICMP: u8 = 1;
    pub(super) const IGMP: u8 = 2;
    pub(super) const IPIP: u8 = 4;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const DCCP: u8 = 33;
    pub(super) const IPV6: u8 = 41;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const GRE: u8 = 47;
    pub(super) const ICMPV6: u8 = 58;
    pub(super) const DESTINATION: u8 = 60;
    pub(super) const SCTP: u8 = 132;
    pub(super) const UDPLITE: u8 = 136;
    pub(super) const MPLS: u8 = 137;
}

/// How often a header may say that another one follows (`MAX_FLOW_DISSECT_HDRS`).
const MAX_HEADERS: usize = 15;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fragment {
    Whole,
    First,
    Later,
}

/// The walk: where it is, and what comes next.
#[derive(Clone, Copy)]
struct Walk<'p> {
    packet: &'p [u8],
    at: usize,
    protocol: u16,
    transport: u8,
    fragment: Fragment,
}

/// What a header says about going on.
enum Next {
    /// Another network header, of type `protocol`.
    Network,
    /// Another header of protocol `transport`.
    Transport,
    /// This is as far as it goes.
    Good,
}

impl<'p> Walk<'p> {
    /// To the last header; `None` if the packet makes no sense.
    fn dissect(mut self) -> Option<Self> {
        let mut network = true;
        let mut more = 0;
        loop {
            let mut next = if network { self.network()? } else { self.transport()? };
            // The transport header that a network header names does not count as one more.
            if network && matches!(next, Next::Transport) {
                next = self.transport()?;
            }
            network = match next {
                Next::Good => return Some(self),
                Next::Network | Next::Transport if more == MAX_HEADERS => return Some(self),
                Next::Network => true,
                Next::Transport => false,
            };
            more += 1;
        }
    }

    fn bytes<const N: usize>(&self, offset: usize) -> Option<&'p [u8; N]> {
        self.packet.get(self.at.checked_add(offset)?..)?.first_chunk()
    }

    fn network(&mut self) -> Option<Next> {
        match self.protocol {
            ether::IPV4 => {
                let header = self.bytes::<20>(0)?;
                let words = usize::from(header[0] & 0xf);
                if words < 5 {
                    return None;
                }
                self.at += words * 4;
                self.transport = header[9];
                let fragment = u16::from_be_bytes([header[6], header[7]]);
                let (offset, more) = (fragment & 0x1fff, fragment & 0x2000 != 0);
                if offset != 0 {
                    self.fragment = Fragment::Later;
                    return Some(Next::Good);
                }
                if more {
                    self.fragment = Fragment::First;
                    return Some(Next::Good);
                }
                Some(Next::Transport)
            }
            ether::IPV6 => {
                let header = self.bytes::<40>(0)?;
                self.at += 40;
                self.transport = header[6];
                Some(Next::Transport)
            }
            ether::VLAN | ether::SERVICE_VLAN => {
                let header = self.bytes::<4>(0)?;
                self.at += 4;
                self.protocol = u16::from_be_bytes([header[2], header[3]]);
                Some(Next::Network)
            }
            ether::PPPOE_SESSION => self.pppoe(),
            ether::TIPC => self.bytes::<16>(0).map(|_| Next::Good),
            ether::MPLS | ether::MPLS_MULTICAST => {
                self.at += 4;
                Some(Next::Good)
            }
            ether::FCOE => {
                self.bytes::<38>(0)?;
                self.at += 38;
                Some(Next::Good)
            }
            ether::ARP | ether::RARP | ether::CFM => Some(Next::Good),
            ether::BATMAN => {
                let header = self.bytes::<24>(0)?;
                if (header[0], header[1]) != (0x40, 15) {
                    return None;
                }
                self.at += 24;
                self.protocol = u16::from_be_bytes([header[22], header[23]]);
                Some(Next::Network)
            }
            ether::PTP => {
                self.bytes::<34>(0)?;
                self.at += 34;
                Some(Next::Good)
            }
            ether::PRP | ether::HSR => {
                let header = self.bytes::<6>(0)?;
                self.at += 6;
                self.protocol = u16::from_be_bytes([header[4], header[5]]);
                Some(Next::Network)
            }
            _ => None,
        }
    }

    fn pppoe(&mut self) -> Option<Next> {
        let header = self.bytes::<8>(0)?;
        if (header[0], header[1]) != (0x11, 0) {
            return None;
        }
        let mut protocol = u16::from_be_bytes([header[6], header[7]]);
        // A compressed protocol field has one byte.
        if protocol & 0x0100 != 0 {
            protocol >>= 8;
            self.at += 7;
        } else {
            self.at += 8;
        }
        self.protocol = match protocol {
            0x0021 => ether::IPV4,
            0x0057 => ether::IPV6,
            0x0281 => ether::MPLS,
            0x0283 => ether::MPLS_MULTICAST,
            valid if valid & 0x0101 == 0x0001 => return Some(Next::Good),
            _ => return None,
        };
        Some(Next::Network)
    }

    fn transport(&mut self) -> Option<Next> {
        match self.transport {
            transport::GRE => self.gre(),
            transport::HOP_BY_HOP | transport::ROUTING | transport::DESTINATION
                if self.protocol == ether::IPV6 =>
            {
                let header = self.bytes::<2>(0)?;
                self.at += (usize::from(header[1]) + 1) * 8;
                self.transport = header[0];
                Some(Next::Transport)
            }
            transport::FRAGMENT if self.protocol == ether::IPV6 => {
                let header = self.bytes::<8>(0)?;
                self.at += 8;
                self.transport = header[0];
                let offset = u16::from_be_bytes([header[2], header[3]]) & 0xfff8;
                self.fragment = if offset == 0 { Fragment::First } else { Fragment::Later };
                Some(Next::Good)
            }
            transport::IPIP => {
                self.protocol = ether::IPV4;
                Some(Next::Network)
            }
            transport::IPV6 => {
                self.protocol = ether::IPV6;
                Some(Next::Network)
            }
            transport::MPLS => {
                self.protocol = ether::MPLS;
                Some(Next::Network)
            }
            _ => Some(Next::Good),
        }
    }

    fn gre(&mut self) -> Option<Next> {
        let header = self.bytes::<4>(0)?;
        let flags = u16::from_be_bytes([header[0], header[1]]);
        let has = |flag: u16| flags & flag != 0;
        let (checksum, routing, key, sequence, acknowledge) =
            (has(0x8000), has(0x4000), has(0x2000), has(0x1000), has(0x0080));
        let version = flags & 7;
        if routing || version > 1 {
            return Some(Next::Good);
        }
        self.protocol = u16::from_be_bytes([header[2], header[3]]);
        if version == 1 && !(self.protocol == ether::PPP_OVER_GRE && key) {
            return Some(Next::Good);
        }
        let mut offset = 4;
        if checksum {
            offset += 4;
        }
        if key {
            self.bytes::<4>(offset)?;
            offset += 4;
        }
        if sequence {
            offset += 4;
        }
        if version == 1 {
            if acknowledge {
                offset += 4;
            }
            let ppp = self.bytes::<4>(offset)?;
            match u16::from_be_bytes([ppp[2], ppp[3]]) {
                0x0021 => self.protocol = ether::IPV4,
                0x0057 => self.protocol = ether::IPV6,
                _ => {}
            }
            offset += 4;
        } else if self.protocol == ether::TRANSPARENT_BRIDGING {
            let frame = self.bytes::<14>(offset)?;
            self.protocol = u16::from_be_bytes([frame[12], frame[13]]);
            offset += 14;
        }
        self.at += offset;
        Some(Next::Network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4(protocol: u8, fragment: u16, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, (fragment >> 8) as u8, fragment as u8, 64, protocol];
        packet.resize(20, 0);
        packet.extend_from_slice(rest);
        packet
    }

    #[test]
    fn transport_headers() {
        let at = |protocol, rest: &[u8]| payload_offset(&ipv4(protocol, 0, rest), 0, ether::IPV4);
        let mut tcp = [0; 40];
        tcp[12] = 0x80;
        assert_eq!(at(transport::TCP, &tcp), 20 + 32);
        assert_eq!(at(transport::TCP, &[0; 20]), 20 + 20, "a data offset below 5 words counts as 5");
        assert_eq!(at(transport::TCP, &[0; 12]), 20, "the data offset is not there");
        assert_eq!(at(transport::UDP, &[]), 28, "the header itself need not be there");
        assert_eq!(at(transport::SCTP, &[0; 12]), 32);
        assert_eq!(at(99, &[0; 12]), 20);
    }

    #[test]
    fn fragments() {
        assert_eq!(payload_offset(&ipv4(transport::UDP, 0x2000, &[0; 8]), 0, ether::IPV4), 28);
        assert_eq!(payload_offset(&ipv4(transport::UDP, 0x0001, &[0; 8]), 0, ether::IPV4), 20);
    }

    #[test]
    fn nonsense_is_zero() {
        assert_eq!(payload_offset(&[], 0, ether::IPV4), 0);
        assert_eq!(payload_offset(&[0x44; 40], 0, ether::IPV4), 0);
        assert_eq!(payload_offset(&[0; 40], 0, 4), 0);
        assert_eq!(payload_offset(&[0; 40], usize::MAX, ether::IPV6), 0);
    }

    #[test]
    fn tunnels() {
        let inner = ipv4(transport::UDP, 0, &[0; 8]);
        let gre = [&[0x20, 0, 8, 0, 1, 2, 3, 4][..], &inner].concat();
        assert_eq!(payload_offset(&ipv4(transport::GRE, 0, &gre), 0, ether::IPV4), 20 + 8 + 28);
        assert_eq!(payload_offset(&ipv4(transport::IPIP, 0, &inner), 0, ether::IPV4), 20 + 28);
        let pppoe = [&[0x11, 0, 0, 1, 0, 30, 0, 0x21][..], &inner].concat();
        assert_eq!(payload_offset(&pppoe, 0, ether::PPPOE_SESSION), 8 + 28);
        // Fifteen times a header says that another one follows; its own transport header is not one.
        let mut onion = inner;
        for depth in 1..=20u32 {
            onion = ipv4(transport::IPIP, 0, &onion);
            let expected = if depth <= 15 { 20 * (depth + 1) + 8 } else { 20 * 16 };
            assert_eq!(payload_offset(&onion, 0, ether::IPV4), expected, "{depth} tunnels");
        }
    }

    #[test]
    fn attributes() {
        let data = [0, 0, 0, 0, 8, 0, 2, 0, 1, 1, 1, 1, 9, 0, 3, 0x80, 8, 0, 5, 0, 9, 0, 0, 0];
        assert_eq!(nlattr(&data, 4, 2), 4);
        assert_eq!(nlattr(&data, 4, 3), 12, "flags in the type do not count");
        assert_eq!((nlattr(&data, 4, 9), nlattr(&data, 21, 2), nlattr(&data, u32::MAX, 2)), (0, 0, 0));
        assert_eq!(nlattr_nest(&data, 12, 5), 0, "the inner attribute does not fit its parent");
        let data = [12, 0, 3, 0x80, 8, 0, 5, 0, 9, 0, 0, 0];
        assert_eq!(nlattr_nest(&data, 0, 5), 4);
        assert_eq!(nlattr_nest(&[200, 0, 3, 0, 0, 0, 0, 0], 0, 0), 0);
    }
}
