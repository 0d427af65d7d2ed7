//! The classic format: one header, then records of a header and a packet.
//!
//! `draft-ietf-opsawg-pcap` describes version 2.4; libpcap's `sf-pcap.c` knows what else is out there, and this
//! reader follows it: records of Kuznetzov's patched libpcap with eight bytes more, versions before 2.3 (and 543.0,
//! of DG/UX) with the two lengths exchanged, version 2.3 with either, packets longer than the snapshot length.

use crate::capture::Record;
use crate::error::{CaptureError, CaptureErrorKind as Kind, Part};
use crate::input::Input;
use crate::order::Order;
use crate::pseudo_header::PseudoHeader;
use crate::{CaptureHeader, LinkType, Resolution, Timestamp};

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// Kuznetzov's: the number of the interface, the protocol and the packet type come behind.
const PATCHED_RECORD_HEADER: usize = 24;

/// The first four bytes, read in the byte order of the file.
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const KUZNETZOV: u32 = 0xa1b2_cd34;

/// The link type field: below, the type; above, the length of the frame check sequence.
const LINK_TYPE_BITS: u32 = 0x03ff_ffff;

#[derive(Debug)]
pub(crate) struct Pcap {
    pub(crate) header: CaptureHeader,
    order: Order,
    record_header: usize,
    lengths: Lengths,
    pseudo_header: Option<PseudoHeader>,
    /// More captured bytes than this are damage.
    limit: u32,
}

/// Which of the two lengths in a record comes first.
#[derive(Clone, Copy, Debug)]
enum Lengths {
    CapturedFirst,
    WireFirst,
    /// Version 2.3: the smaller one is the captured one.
    Unsure,
}

/// Whose file it is, from its first bytes.
pub(crate) fn detect(magic: [u8; 4]) -> Option<(Order, u32)> {
    [Order::Little, Order::Big]
        .map(|order| (order, order.u32(&magic, 0)))
        .into_iter()
        .find(|(_, magic)| [MICROSECONDS, NANOSECONDS, KUZNETZOV].contains(magic))
}

impl Pcap {
    /// Reads the file header; `magic` is what [`detect`] found.
    pub(crate) fn open(input: &mut Input<'_>, order: Order, magic: u32) -> Result<Pcap, CaptureError> {
        let at = input.offset();
        let fail = |kind| CaptureError::at(at, kind);
        if !input.request(FILE_HEADER).map_err(|error| fail(Kind::Io(error)))? {
            let found = input.len() as u64;
            return Err(fail(Kind::Truncated {
                part: Part::FileHeader,
                expected: FILE_HEADER as u64,
                found,
            }));
        }
        let header = input.take(FILE_HEADER);
        let (major, minor) = (order.u16(header, 4), order.u16(header, 6));
        let lengths = match (major, minor) {
            (2, 0..=2) | (543, 0) => Lengths::WireFirst,
            (2, 3) => Lengths::Unsure,
            (2, 4) => Lengths::CapturedFirst,
            _ => return Err(fail(Kind::Version { format: "pcap", major, minor, known: "2.0 to 2.4" })),
        };
        let field = order.u32(header, 20);
        let link_type = LinkType::new(field & LINK_TYPE_BITS);
        let mut snaplen = link_type.adjust_snaplen(order.u32(header, 16));
        if magic == KUZNETZOV && link_type == LinkType::EN10MB {
            // That libpcap put an Ethernet header before what `recvfrom` had cut at the snapshot length.
            snaplen = snaplen.saturating_add(14).min(i32::MAX as u32);
        }
        let resolution = if magic == NANOSECONDS { Resolution::Nano } else { Resolution::Micro };
        Ok(Pcap {
            header: CaptureHeader { link_type, snaplen, resolution, extension: field & !LINK_TYPE_BITS },
            order,
            record_header: if magic == KUZNETZOV { PATCHED_RECORD_HEADER } else { RECORD_HEADER },
            lengths,
            pseudo_header: PseudoHeader::of(link_type),
            limit: link_type.max_capture_len(),
        })
    }

    /// The next packet; `None` when the file ends behind a packet.
    #[inline]
    pub(crate) fn next<'i>(&self, input: &'i mut Input<'_>) -> Result<Option<Record<'i>>, CaptureError> {
        let at = input.offset();
        let fail = |kind| CaptureError::at(at, kind);
        if !input.request(self.record_header).map_err(|error| fail(Kind::Io(error)))? {
            return match input.len() as u64 {
                0 => Ok(None),
                found => {
                    let expected = self.record_header as u64;
                    Err(fail(Kind::Truncated { part: Part::RecordHeader, expected, found }))
                }
            };
        }
        let header = input.window();
        let (seconds, fraction) = (self.time_field(header, 0), self.time_field(header, 4));
        let timestamp = Timestamp { seconds, nanos: fraction * self.header.resolution.nanos() };
        let (first, second) = (self.order.u32(header, 8), self.order.u32(header, 12));
        let (captured, wire_len) = match self.lengths {
            Lengths::CapturedFirst => (first, second),
            Lengths::WireFirst => (second, first),
            Lengths::Unsure => (first.min(second), first.max(second)),
        };
        if captured > self.limit {
            return Err(fail(Kind::CaptureLength { length: captured, limit: self.limit }));
        }
        let record = self.record_header + captured as usize;
        if !input.request(record).map_err(|error| fail(Kind::Io(error)))? {
            let found = (input.len() - self.record_header) as u64;
            return Err(fail(Kind::Truncated { part: Part::Packet, expected: u64::from(captured), found }));
        }
        // What lies beyond the snapshot length is not shown: callers may have made room for that much.
        let shown = captured.min(self.header.snaplen) as usize;
        Ok(Some(Record {
            data: &input.take(record)[self.record_header..self.record_header + shown],
            wire_len,
            timestamp,
            link_type: self.header.link_type,
            interface: 0,
            order: self.order,
            pseudo_header: self.pseudo_header,
        }))
    }
    /// Half of a time: with a sign in little-endian files, without in others, as [`Timestamp`] explains.
    #[inline]
    fn time_field(&self, header: &[u8], at: usize) -> i64 {
        let field = self.order.u32(header, at);
        match self.order {
            Order::Little => i64::from(field as i32),
            Order::Big => i64::from(field),
        }
    }
}
