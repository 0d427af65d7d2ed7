//! The parsers of `pcap-parser`, chosen by byte order.
//!
//! They take a format apart, and they trust what it says: a length that asks for four gigabytes is four gigabytes that
//! are missing. How many bytes are waited for, and what else libpcap would not take, is for the callers to say.

use pcap_parser::nom::{Err, IResult, Needed};
use pcap_parser::{InterfaceDescriptionBlock, LegacyPcapBlock, SimplePacketBlock, UnknownBlock};
use pcap_parser::{PcapError, pcap, pcapng};

use crate::order::Order;

/// What was parsed, behind the bytes that are left.
pub(crate) type Parsed<'i, T> = IResult<&'i [u8], T, PcapError<&'i [u8]>>;

/// A pcap record: its header and its packet.
#[inline]
pub(crate) fn record(order: Order, bytes: &[u8]) -> Parsed<'_, LegacyPcapBlock<'_>> {
    match order {
        Order::Little => pcap::parse_pcap_frame(bytes),
        Order::Big => pcap::parse_pcap_frame_be(bytes),
    }
}

/// A pcapng block of any type, with its content as it is: nothing is allocated.
#[inline]
pub(crate) fn block(order: Order, bytes: &[u8]) -> Parsed<'_, UnknownBlock<'_>> {
    match order {
        Order::Little => pcapng::parse_unknownblock_le(bytes),
        Order::Big => pcapng::parse_unknownblock_be(bytes),
    }
}

/// A simple packet block.
pub(crate) fn simple_packet(order: Order, bytes: &[u8]) -> Parsed<'_, SimplePacketBlock<'_>> {
    match order {
        Order::Little => pcapng::parse_simplepacketblock_le(bytes),
        Order::Big => pcapng::parse_simplepacketblock_be(bytes),
    }
}

/// An interface description block, with its options.
pub(crate) fn interface(order: Order, bytes: &[u8]) -> Parsed<'_, InterfaceDescriptionBlock<'_>> {
    match order {
        Order::Little => pcapng::parse_interfacedescriptionblock_le(bytes),
        Order::Big => pcapng::parse_interfacedescriptionblock_be(bytes),
    }
}

/// How many more bytes a parser wants; at least one, so that who brings them gets on or comes to the end.
pub(crate) fn missing(error: &Err<PcapError<&[u8]>>) -> u64 {
    match error {
        Err::Incomplete(Needed::Size(count)) => count.get() as u64,
        Err::Incomplete(Needed::Unknown) | Err::Error(_) | Err::Failure(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limits on lengths rest on this: what is missing, with what is there, is what the length field says.
    #[test]
    fn a_record_misses_its_header_and_then_exactly_its_packet() {
        for order in [Order::Little, Order::Big] {
            let length = 1_000_000_000u32;
            let field = match order {
                Order::Little => length.to_le_bytes(),
                Order::Big => length.to_be_bytes(),
            };
            let bytes = [&[0; 8][..], &field, &[0; 4], &[7; 10]].concat();
            for present in 0..bytes.len() {
                let error = record(order, &bytes[..present]).unwrap_err();
                let whole = if present < 16 { 16 } else { 16 + u64::from(length) };
                assert_eq!(present as u64 + missing(&error), whole, "{present} bytes in {order:?} order");
            }
        }
    }
}
