//! The classic format: one header, then records of a header and a packet.
//!
//! `draft-ietf-opsawg-pcap` describes version 2.4, and `pcap-parser` reads it. libpcap's `sf-pcap.c` knows what else is
//! out there, and this reader follows it: records of Kuznetzov's patched libpcap with eight bytes more, versions before
//! 2.3 (and 543.0, of DG/UX) with the two lengths exchanged, version 2.3 with either, packets longer than the snapshot
//! length.

use pcap_parser::nom::{Err as NomError, bytes::streaming::take};
use pcap_parser::{LegacyPcapBlock, parse_pcap_frame_modified, parse_pcap_header};

use crate::capture::Record;
use crate::error::{CaptureError, CaptureErrorKind as Kind, Part};
use crate::input::Input;
use crate::order::Order;
use crate::parsers::{self, Parsed};
use crate::pseudo_header::PseudoHeader;
use crate::{CaptureHeader, LinkType, Resolution, Timestamp};

pub(crate) const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// Kuznetzov's: the number of the interface, the protocol and the packet type come behind.
const PATCHED_RECORD_HEADER: usize = 24;

/// How a big-endian file of Kuznetzov's variant begins, which `pcap-parser` does not know,
const BIG_KUZNETZOV: [u8; 4] = [0xa1, 0xb2, 0xcd, 0x34];
/// and any other big-endian file, with the same header behind.
const BIG_MICROSECONDS: [u8; 4] = [0xa1, 0xb2, 0xc3, 0xd4];

/// The link type field: below, the type; above, the length of the frame check sequence.
const LINK_TYPE_BITS: u32 = 0x03ff_ffff;

#[derive(Clone, Debug)]
pub(crate) struct Pcap {
    pub(crate) header: CaptureHeader,
    order: Order,
    kuznetzov: bool,
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

/// Whether a file that begins so is one of these.
pub(crate) fn detect(magic: [u8; 4]) -> bool {
    // Of a file that it knows, the parser wants more than four bytes.
    magic == BIG_KUZNETZOV || matches!(parse_pcap_header(&magic), Err(NomError::Incomplete(_)))
}

impl Pcap {
    /// Reads the file header; `magic` is what [`detect`] has seen.
    pub(crate) fn open(input: &mut Input<'_>, magic: [u8; 4]) -> Result<Pcap, CaptureError> {
        let at = input.offset();
        let fail = |kind| CaptureError::at(at, kind);
        if !input.request(FILE_HEADER).map_err(|error| fail(Kind::Io(error)))? {
            let (expected, found) = (FILE_HEADER as u64, input.len() as u64);
            return Err(fail(Kind::Truncated { part: Part::FileHeader, expected, found }));
        }
        let known_magic = if magic == BIG_KUZNETZOV { BIG_MICROSECONDS } else { magic };
        let bytes = [&known_magic, &input.take(FILE_HEADER)[4..]].concat();
        let Ok((_, header)) = parse_pcap_header(&bytes) else { return Err(fail(Kind::Magic(magic))) };
        let (major, minor) = (header.version_major, header.version_minor);
        let lengths = match (major, minor) {
            (2, 0..=2) | (543, 0) => Lengths::WireFirst,
            (2, 3) => Lengths::Unsure,
            (2, 4) => Lengths::CapturedFirst,
            _ => return Err(fail(Kind::Version { format: "pcap", major, minor, known: "2.0 to 2.4" })),
        };
        let field = header.network.0 as u32;
        let link_type = LinkType::new(field & LINK_TYPE_BITS);
        let mut snaplen = link_type.adjust_snaplen(header.snaplen);
        let kuznetzov = magic == BIG_KUZNETZOV || header.is_modified_format();
        if kuznetzov && link_type == LinkType::EN10MB {
            // That libpcap put an Ethernet header before what `recvfrom` had cut at the snapshot length.
            snaplen = snaplen.saturating_add(14).min(i32::MAX as u32);
        }
        let resolution = if header.is_nanosecond_precision() { Resolution::Nano } else { Resolution::Micro };
        Ok(Pcap {
            header: CaptureHeader { link_type, snaplen, resolution, extension: field & !LINK_TYPE_BITS },
            order: if header.is_bigendian() { Order::Big } else { Order::Little },
            kuznetzov,
            lengths,
            pseudo_header: PseudoHeader::of(link_type),
            limit: link_type.max_capture_len(),
        })
    }

    /// The next packet; `None` when the file ends behind a packet.
    #[inline]
    pub(crate) fn next<'i>(&self, input: &'i mut Input<'_>) -> Result<Option<Record<'i>>, CaptureError> {
        let at = input.offset();
        let (length, captured, wire_len, timestamp) = loop {
            let window = input.window();
            match self.record(window) {
                Ok((rest, LegacyPcapBlock { ts_sec, ts_usec, caplen, origlen, .. })) => {
                    let nanos = self.time(ts_usec) * self.header.resolution.nanos();
                    let timestamp = Timestamp { seconds: self.time(ts_sec), nanos };
                    break (window.len() - rest.len(), caplen, origlen, timestamp);
                }
                Err(error) => {
                    let want = window.len() as u64 + parsers::missing(&error);
                    if !self.request(input, want).map_err(|kind| CaptureError::at(at, kind))? {
                        return Ok(None);
                    }
                }
            }
        };
        if captured > self.limit {
            return Err(CaptureError::at(at, self.too_long(captured.into())));
        }
        // The packet ends the record. What lies beyond the snapshot length is not shown: callers may have made room
        // for that much.
        let begin = length - captured as usize;
        let shown = captured.min(self.header.snaplen) as usize;
        Ok(Some(Record {
            data: &input.take(length)[begin..begin + shown],
            wire_len,
            timestamp,
            link_type: self.header.link_type,
            interface: 0,
            order: self.order,
            pseudo_header: self.pseudo_header,
        }))
    }

    /// The record that begins the window.
    #[inline]
    fn record<'i>(&self, window: &'i [u8]) -> Parsed<'i, LegacyPcapBlock<'i>> {
        match (self.lengths, self.kuznetzov, self.order) {
            (Lengths::CapturedFirst, false, order) => parsers::record(order, window),
            (Lengths::CapturedFirst, true, Order::Little) => parse_pcap_frame_modified(window),
            _ => self.odd_record(window),
        }
    }

    /// A record that `pcap-parser` does not know: it has Kuznetzov's variant in little-endian files alone, and takes
    /// the first length for the captured one in files of any version.
    fn odd_record<'i>(&self, window: &'i [u8]) -> Parsed<'i, LegacyPcapBlock<'i>> {
        let (packet, header) = take(self.record_header())(window)?;
        let field = |at| self.order.u32(header, at);
        let (first, second) = (field(8), field(12));
        let (caplen, origlen) = match self.lengths {
            Lengths::CapturedFirst => (first, second),
            Lengths::WireFirst => (second, first),
            Lengths::Unsure => (first.min(second), first.max(second)),
        };
        let (rest, data) = take(caplen)(packet)?;
        Ok((rest, LegacyPcapBlock { ts_sec: field(0), ts_usec: field(4), caplen, origlen, data }))
    }

    /// How long the record is that begins these bytes, if it looks like one: with a packet in it, not longer than it was
    /// on the wire, at a time of day.
    pub(crate) fn plausible(&self, window: &[u8]) -> Option<usize> {
        let header = window.get(..self.record_header())?;
        let field = |at| self.order.u32(header, at);
        let (first, second) = (field(8), field(12));
        let (captured, wire_len) = match self.lengths {
            Lengths::CapturedFirst => (first, second),
            Lengths::WireFirst => (second, first),
            Lengths::Unsure => (first.min(second), first.max(second)),
        };
        let in_time = i64::from(field(4)) * self.header.resolution.nanos() < 1_000_000_000;
        let looks =
            field(0) != 0 && in_time && captured != 0 && captured <= wire_len && captured <= self.limit;
        looks.then(|| header.len() + captured as usize)
    }

    fn record_header(&self) -> usize {
        if self.kuznetzov { PATCHED_RECORD_HEADER } else { RECORD_HEADER }
    }

    /// Asks for a record of so many bytes, if a record has so many; false where the file ends behind a packet.
    #[cold]
    fn request(&self, input: &mut Input<'_>, want: u64) -> Result<bool, Kind> {
        let header = self.record_header() as u64;
        let captured = want.saturating_sub(header);
        if captured > self.limit.into() {
            return Err(self.too_long(captured));
        }
        if input.request(want as usize).map_err(Kind::Io)? {
            return Ok(true);
        }
        match input.len() as u64 {
            0 => Ok(false),
            found if found < header => {
                Err(Kind::Truncated { part: Part::RecordHeader, expected: header, found })
            }
            found => Err(Kind::Truncated { part: Part::Packet, expected: captured, found: found - header }),
        }
    }

    /// `captured` comes from 32 bits.
    fn too_long(&self, captured: u64) -> Kind {
        Kind::CaptureLength { length: captured as u32, limit: self.limit }
    }

    /// Half of a time: with a sign in little-endian files, without in others, as [`Timestamp`] explains.
    #[inline]
    fn time(&self, field: u32) -> i64 {
        match self.order {
            Order::Little => i64::from(field as i32),
            Order::Big => i64::from(field),
        }
    }
}
