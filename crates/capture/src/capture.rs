//! A capture that is being read.

use std::io::Read;

use pcap_parser::SHB_MAGIC;

use crate::error::{CaptureError, CaptureErrorKind as Kind, Part};
use crate::input::Input;
use crate::order::Order;
use crate::pcap::{self, Pcap};
use crate::pcapng::Pcapng;
use crate::pseudo_header::PseudoHeader;
use crate::{LinkType, Resolution, Timestamp};

/// A capture file, read packet by packet.
///
/// ```
/// use sandbpf_capture::Capture;
/// # let file = include_bytes!("../../../tests/data/http.pcap");
/// let mut capture = Capture::from_slice(file)?;
/// let mut bytes = 0;
/// while let Some(packet) = capture.next_packet()? {
///     bytes += packet.data.len();
/// }
/// assert_eq!(bytes as u64, file.len() as u64 - 24 - 16 * capture.packets());
/// # Ok::<(), sandbpf_capture::CaptureError>(())
/// ```
pub struct Capture<'a> {
    input: Input<'a>,
    format: Format,
    packets: u64,
    /// An error was returned: what follows in the file has lost its meaning.
    broken: bool,
    /// A packet whose pseudo-header was brought into little-endian order.
    converted: Vec<u8>,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// A packet, borrowed from the capture until the next one is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'c> {
    /// The bytes that were captured.
    pub data: &'c [u8],
    /// How many there were on the wire; damaged files say less than were captured.
    pub wire_len: u32,
    /// When.
    pub timestamp: Timestamp,
    /// What the packet begins with.
    pub link_type: LinkType,
    /// The interface it came from, counted from 0 within its section; 0 in a pcap file.
    pub interface: u32,
    /// Its number in the capture, counted from 0.
    pub index: u64,
}

/// What a pcap file says before its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureHeader {
    /// What packets begin with.
    pub link_type: LinkType,
    /// No packet has more captured bytes.
    pub snaplen: u32,
    /// What fractions of seconds count.
    pub resolution: Resolution,
    /// The upper six bits of the link type field: the length of the frame check sequence.
    pub extension: u32,
}

impl CaptureHeader {
    /// Packets of any length, with microseconds.
    pub fn new(link_type: LinkType) -> CaptureHeader {
        let snaplen = link_type.max_capture_len();
        CaptureHeader { link_type, snaplen, resolution: Resolution::Micro, extension: 0 }
    }
}

/// What a format's reader finds: a packet, and how to understand its host-order fields.
pub(crate) struct Record<'i> {
    pub(crate) data: &'i [u8],
    pub(crate) wire_len: u32,
    pub(crate) timestamp: Timestamp,
    pub(crate) link_type: LinkType,
    pub(crate) interface: u32,
    pub(crate) order: Order,
    pub(crate) pseudo_header: Option<PseudoHeader>,
}

impl<'a> Capture<'a> {
    /// Reads a capture from a file, a pipe, a socket; there is no need to buffer it.
    ///
    /// It reads ahead, and only as far as bytes have come: a packet is delivered as soon as it is there.
    ///
    /// ```
    /// use sandbpf_capture::Capture;
    /// let error = Capture::open(&b"\x1f\x8b\x08\x00"[..]).err().unwrap();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "at byte 0, after 0 packets: no capture file begins with [1f, 8b, 08, 00]; this is gzip, decompress it first"
    /// );
    /// ```
    pub fn open(reader: impl Read + Send + 'a) -> Result<Capture<'a>, CaptureError> {
        Capture::read(Input::stream(reader))
    }

    /// Reads a capture that lies in memory, without copying its packets.
    pub fn from_slice(bytes: &'a [u8]) -> Result<Capture<'a>, CaptureError> {
        Capture::read(Input::memory(bytes))
    }

    fn read(mut input: Input<'a>) -> Result<Capture<'a>, CaptureError> {
        let fail = |kind| CaptureError::at(0, kind);
        if !input.request(4).map_err(|error| fail(Kind::Io(error)))? {
            return Err(fail(match input.len() as u64 {
                0 => Kind::Empty,
                found => Kind::Truncated { part: Part::FileHeader, expected: 4, found },
            }));
        }
        let window = input.window();
        let magic = [window[0], window[1], window[2], window[3]];
        let format = if pcap::detect(magic) {
            Format::Pcap(Pcap::open(&mut input, magic)?)
        } else if u32::from_le_bytes(magic) == SHB_MAGIC {
            Format::Pcapng(Pcapng::open(&mut input)?)
        } else {
            return Err(fail(Kind::Magic(magic)));
        };
        Ok(Capture { input, format, packets: 0, broken: false, converted: Vec::new() })
    }

    /// A part of a pcap file, from a record on.
    pub(crate) fn part(pcap: Pcap, input: Input<'a>, index: u64) -> Capture<'a> {
        Capture { input, format: Format::Pcap(pcap), packets: index, broken: false, converted: Vec::new() }
    }

    /// How a pcap file is read.
    pub(crate) fn pcap(&self) -> Option<&Pcap> {
        match &self.format {
            Format::Pcap(pcap) => Some(pcap),
            Format::Pcapng(_) => None,
        }
    }

    /// The next packet, `None` behind the last one.
    ///
    /// An error is the last thing that a capture returns: after it there is `None`.
    #[inline]
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        if self.broken {
            return Ok(None);
        }
        let record = match &mut self.format {
            Format::Pcap(pcap) => pcap.next(&mut self.input),
            Format::Pcapng(pcapng) => pcapng.next(&mut self.input),
        };
        let record = match record {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.broken = true;
                return Err(error.after(self.packets));
            }
        };
        let mut packet = Packet {
            data: record.data,
            wire_len: record.wire_len,
            timestamp: record.timestamp,
            link_type: record.link_type,
            interface: record.interface,
            index: self.packets,
        };
        if let Some(pseudo_header) = record.pseudo_header {
            if record.order == Order::Big {
                self.converted.clear();
                self.converted.extend_from_slice(packet.data);
                pseudo_header.swap(&mut self.converted, packet.wire_len);
                packet.data = &self.converted;
            }
            packet.wire_len = pseudo_header.wire_len(packet.data, packet.wire_len);
        }
        self.packets += 1;
        Ok(Some(packet))
    }

    /// What [`CaptureWriter`](crate::CaptureWriter) needs to write packets of this capture.
    ///
    /// In a pcapng file it is what the first interface says. Others may differ, in link type too, where libpcap gives
    /// up; so each packet says its own.
    pub fn header(&self) -> CaptureHeader {
        match &self.format {
            Format::Pcap(pcap) => pcap.header,
            Format::Pcapng(pcapng) => pcapng.header,
        }
    }

    /// What packets begin with: all of them in a pcap file, those of the first interface in pcapng.
    pub fn link_type(&self) -> LinkType {
        self.header().link_type
    }

    /// The most bytes that are captured of a packet, as libpcap gives it: where the file has none it is the link
    /// type's maximum, and 14 more than said in an Ethernet capture of Kuznetzov's variant.
    pub fn snaplen(&self) -> u32 {
        self.header().snaplen
    }

    /// Where in the file the next packet's record or block starts, or what could not be read.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// How many packets were read.
    pub fn packets(&self) -> u64 {
        self.packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads to the error that a file ends with; the result is the size of the buffer then.
    fn buffered(file: &[u8]) -> usize {
        let mut capture = Capture::open(file).unwrap();
        while capture.next_packet().is_ok_and(|packet| packet.is_some()) {}
        assert!(capture.broken);
        capture.input.buffered()
    }

    #[test]
    fn memory_grows_with_bytes_and_not_with_lengths() {
        let numbers =
            |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        // A D-Bus message of 128 MiB, of which 100 000 bytes are there.
        let header = [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 0, LinkType::DBUS.number()];
        let message = [numbers(&header), numbers(&[0, 0, 128 << 20, 128 << 20]), vec![0; 100_000]].concat();
        assert!((100_000..200_100).contains(&buffered(&message)));
        // A block of 16 MiB, of which the header is there.
        let section = [0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28];
        let interface = [1, 20, 1, 0, 20];
        let block = [6, 16 << 20];
        assert!(buffered(&numbers(&[&section[..], &interface, &block].concat())) <= 64 * 1024);
    }
}
