//! The next generation: sections of blocks, among them interfaces and packets.
//!
//! `draft-ietf-opsawg-pcapng` describes it, and `pcap-parser` takes its blocks apart. Like libpcap's `sf-pcapng.c` this
//! reads section headers, interfaces, the three blocks that hold packets, and of the options only those that give time
//! stamps their meaning; everything else is passed over. Beyond libpcap, a section may have another byte order than the
//! one before, and interfaces may differ in link type and snapshot length.

use pcap_parser::{BOM_MAGIC, EPB_MAGIC, IDB_MAGIC, SHB_MAGIC, SPB_MAGIC};
use pcap_parser::{OptionCode, PcapNGOption, parse_sectionheaderblock};

use crate::capture::Record;
use crate::error::{CaptureError, CaptureErrorKind as Kind, Part};
use crate::input::Input;
use crate::order::Order;
use crate::parsers;
use crate::pseudo_header::PseudoHeader;
use crate::timestamp::Clock;
use crate::{CaptureHeader, LinkType};

/// The type of a packet block of the first drafts, which `pcap-parser` gives no name.
const OBSOLETE_PACKET: u32 = 2;

/// Type and length before a block; its length again behind.
const BLOCK_HEADER: usize = 8;
const MIN_BLOCK: u32 = 12;
const MIN_SECTION: u32 = 28;
/// The fields before the packet in an enhanced or an obsolete packet block: the interface, then those of a record.
const PACKET_FIELDS: usize = 20;
/// The longest section header that may open a file, and the longest block unless a link type has longer packets.
const MAX_FIRST_SECTION: u32 = 1 << 20;
const MAX_BLOCK: u32 = 16 << 20;
/// Room for the header of a packet block and its options, above a packet of the maximum length.
const MAX_AROUND_PACKET: u32 = 32 + (128 << 10);
/// More than that is damage; each takes memory.
const MAX_INTERFACES: usize = 1 << 16;

#[derive(Debug)]
pub(crate) struct Pcapng {
    pub(crate) header: CaptureHeader,
    order: Order,
    /// Those of this section.
    interfaces: Vec<Interface>,
    max_block: u32,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: LinkType,
    snaplen: u32,
    clock: Clock,
    pseudo_header: Option<PseudoHeader>,
}

/// A block at the beginning of the window, wholly there.
#[derive(Clone, Copy)]
struct Block {
    at: u64,
    kind: u32,
    length: usize,
}

impl Pcapng {
    /// Reads up to the first interface.
    pub(crate) fn open(input: &mut Input<'_>) -> Result<Pcapng, CaptureError> {
        let order = section(input, None)?;
        let header = CaptureHeader::new(LinkType::EN10MB);
        let mut pcapng = Pcapng { header, order, interfaces: Vec::new(), max_block: MAX_BLOCK };
        while pcapng.interfaces.is_empty() {
            let at = input.offset();
            let Some(block) = pcapng.block(input)? else {
                return Err(CaptureError::at(at, Kind::NoInterface));
            };
            if matches!(block.kind, EPB_MAGIC | SPB_MAGIC | OBSOLETE_PACKET) {
                return Err(CaptureError::at(at, Kind::UnknownInterface { interface: 0, known: 0 }));
            }
            pcapng.pass(input, block)?;
        }
        let first = pcapng.interfaces[0];
        pcapng.header = CaptureHeader {
            link_type: first.link_type,
            snaplen: first.snaplen,
            resolution: first.clock.resolution(),
            extension: 0,
        };
        Ok(pcapng)
    }

    /// The next packet; `None` when the file ends behind a block.
    #[inline]
    pub(crate) fn next<'i>(&mut self, input: &'i mut Input<'_>) -> Result<Option<Record<'i>>, CaptureError> {
        loop {
            let Some(block) = self.block(input)? else { return Ok(None) };
            if matches!(block.kind, EPB_MAGIC | SPB_MAGIC | OBSOLETE_PACKET) {
                let packet = self.packet(block.kind, input.take(block.length));
                return packet.map(Some).map_err(|kind| CaptureError::at(block.at, kind));
            }
            self.pass(input, block)?;
        }
    }

    /// Makes the next block the beginning of the window.
    ///
    /// A section header is left as it is: which order its length has stands behind the length.
    #[inline]
    fn block(&self, input: &mut Input<'_>) -> Result<Option<Block>, CaptureError> {
        let at = input.offset();
        let fail = |kind| CaptureError::at(at, kind);
        if !input.request(BLOCK_HEADER).map_err(|error| fail(Kind::Io(error)))? {
            return match input.len() as u64 {
                0 => Ok(None),
                found => {
                    let expected = BLOCK_HEADER as u64;
                    Err(fail(Kind::Truncated { part: Part::BlockHeader, expected, found }))
                }
            };
        }
        let kind = self.order.u32(input.window(), 0);
        if kind == SHB_MAGIC {
            return Ok(Some(Block { at, kind, length: 0 }));
        }
        let length = whole_block(input, self.order, MIN_BLOCK, self.max_block)?;
        Ok(Some(Block { at, kind, length }))
    }

    /// Goes past a block without a packet, and learns from it.
    fn pass(&mut self, input: &mut Input<'_>, block: Block) -> Result<(), CaptureError> {
        if block.kind == SHB_MAGIC {
            self.order = section(input, Some(self.max_block))?;
            self.interfaces.clear();
            return Ok(());
        }
        let fail = |kind| CaptureError::at(block.at, kind);
        let bytes = input.take(block.length);
        let content = content(self.order, bytes).map_err(fail)?;
        if block.kind == IDB_MAGIC {
            if self.interfaces.len() == MAX_INTERFACES {
                return Err(fail(Kind::TooManyInterfaces(MAX_INTERFACES)));
            }
            let interface = Interface::parse(self.order, bytes, content).map_err(fail)?;
            let longest = interface.link_type.max_capture_len() + MAX_AROUND_PACKET;
            self.max_block = self.max_block.max(longest);
            self.interfaces.push(interface);
        }
        Ok(())
    }

    /// The packet of a packet block.
    #[inline]
    fn packet<'i>(&self, kind: u32, bytes: &'i [u8]) -> Result<Record<'i>, Kind> {
        let content = content(self.order, bytes)?;
        if kind == SPB_MAGIC { self.simple_packet(bytes, content) } else { self.full_packet(kind, content) }
    }

    /// The packet of an enhanced or an obsolete packet block.
    ///
    /// Behind the interface both go on with the fields of a pcap record, time in two halves, lengths, bytes, and are
    /// read as one. *Why not `parse_enhancedpacketblock_le`:* it allocates the options of every packet, which nobody
    /// here asks for; and the obsolete block it does not read.
    #[inline]
    fn full_packet<'i>(&self, kind: u32, content: &'i [u8]) -> Result<Record<'i>, Kind> {
        if content.len() < PACKET_FIELDS {
            return Err(too_short(kind, PACKET_FIELDS as u64, content.len()));
        }
        let (from, record) = content.split_at(4);
        let number = match kind {
            OBSOLETE_PACKET => self.order.u16(from, 0).into(),
            _ => self.order.u32(from, 0),
        };
        let interface = self.interface(number)?;
        let room = content.len() - PACKET_FIELDS;
        let parsed = parsers::record(self.order, record);
        let captured = match &parsed {
            Ok((_, record)) => record.caplen.into(),
            Err(error) => room as u64 + parsers::missing(error),
        };
        if captured > interface.snaplen.into() {
            return Err(Kind::CaptureLength { length: captured as u32, limit: interface.snaplen });
        }
        let Ok((_, record)) = parsed else { return Err(too_short(kind, captured, room)) };
        let ticks = u64::from(record.ts_sec) << 32 | u64::from(record.ts_usec);
        Ok(self.record(number, interface, ticks, record.origlen, record.data))
    }

    /// The packet of a simple packet block: from the first interface, at no time, and cut at the snapshot length
    /// without a word.
    fn simple_packet<'i>(&self, bytes: &'i [u8], content: &'i [u8]) -> Result<Record<'i>, Kind> {
        let Ok((_, block)) = parsers::simple_packet(self.order, bytes) else {
            return Err(too_short(SPB_MAGIC, 4, content.len()));
        };
        let interface = self.interface(0)?;
        let captured = block.origlen.min(interface.snaplen) as usize;
        let Some(data) = block.data.get(..captured) else {
            return Err(too_short(SPB_MAGIC, captured as u64, block.data.len()));
        };
        Ok(self.record(0, interface, 0, block.origlen, data))
    }

    #[inline]
    fn interface(&self, number: u32) -> Result<&Interface, Kind> {
        let known = self.interfaces.len() as u32;
        self.interfaces.get(number as usize).ok_or(Kind::UnknownInterface { interface: number, known })
    }

    #[inline]
    fn record<'i>(
        &self,
        number: u32,
        interface: &Interface,
        ticks: u64,
        wire_len: u32,
        data: &'i [u8],
    ) -> Record<'i> {
        Record {
            data,
            wire_len,
            timestamp: interface.clock.timestamp(ticks),
            link_type: interface.link_type,
            interface: number,
            order: self.order,
            pseudo_header: interface.pseudo_header,
        }
    }
}

fn too_short(block: u32, expected: u64, found: usize) -> Kind {
    Kind::BlockShort { block, expected, found: found as u64 }
}

/// The content of a block, between its lengths, which must be the same.
#[inline]
fn content(order: Order, bytes: &[u8]) -> Result<&[u8], Kind> {
    let Ok((_, block)) = parsers::block(order, bytes) else {
        return Err(too_short(order.u32(bytes, 0), MIN_BLOCK.into(), bytes.len()));
    };
    if block.block_len1 != block.block_len2 {
        return Err(Kind::BlockTrailer { header: block.block_len1, trailer: block.block_len2 });
    }
    Ok(block.data)
}

/// Asks for all of the block that begins the window, if a block may be so long; the result is its length.
///
/// *Why before it is parsed:* a parser only asks for as many bytes as the length says.
#[inline]
fn whole_block(input: &mut Input<'_>, order: Order, min: u32, max: u32) -> Result<usize, CaptureError> {
    let at = input.offset();
    let length = order.u32(input.window(), 4);
    if length < min || length > max || !length.is_multiple_of(4) {
        return Err(CaptureError::at(at, Kind::BlockLength { length, min, max }));
    }
    request_block(input, length)
}

#[inline]
fn request_block(input: &mut Input<'_>, length: u32) -> Result<usize, CaptureError> {
    let at = input.offset();
    if input.request(length as usize).map_err(|error| CaptureError::at(at, Kind::Io(error)))? {
        return Ok(length as usize);
    }
    let (expected, found) = (u64::from(length), input.len() as u64);
    Err(CaptureError::at(at, Kind::Truncated { part: Part::Block, expected, found }))
}

/// Goes past a section header that begins the window; the result is the byte order of its section.
///
/// `max` is the longest block by now, and `None` at the beginning of a file. There libpcap is both stricter and more
/// lenient: it wants a minor version that it knows, and looks neither at the length behind the block nor at whether
/// it is a multiple of 4.
fn section(input: &mut Input<'_>, max: Option<u32>) -> Result<Order, CaptureError> {
    const UP_TO_MAGIC: usize = 12;
    let at = input.offset();
    let fail = |kind| CaptureError::at(at, kind);
    if !input.request(UP_TO_MAGIC).map_err(|error| fail(Kind::Io(error)))? {
        let (expected, found) = (UP_TO_MAGIC as u64, input.len() as u64);
        return Err(fail(Kind::Truncated { part: Part::BlockHeader, expected, found }));
    }
    let window = input.window();
    let find = |order: &Order| order.u32(window, 8) == BOM_MAGIC;
    let Some(order) = [Order::Little, Order::Big].into_iter().find(find) else {
        return Err(fail(Kind::ByteOrder([window[8], window[9], window[10], window[11]])));
    };
    let length = match max {
        Some(max) => whole_block(input, order, MIN_SECTION, max)?,
        None => {
            let length = order.u32(window, 4);
            if !(MIN_SECTION..=MAX_FIRST_SECTION).contains(&length) {
                return Err(fail(Kind::BlockLength { length, min: MIN_SECTION, max: MAX_FIRST_SECTION }));
            }
            request_block(input, length)?
        }
    };
    let bytes = input.take(length);
    if max.is_some() {
        content(order, bytes).map_err(fail)?;
    }
    let Ok((_, header)) = parse_sectionheaderblock(bytes) else {
        return Err(fail(too_short(SHB_MAGIC, MIN_SECTION.into(), length)));
    };
    let (major, minor) = (header.major_version, header.minor_version);
    if major != 1 || (max.is_none() && !matches!(minor, 0 | 2)) {
        return Err(fail(Kind::Version { format: "pcapng", major, minor, known: "1.0 and 1.2" }));
    }
    Ok(order)
}

impl Interface {
    /// Reads an interface description block.
    fn parse(order: Order, bytes: &[u8], content: &[u8]) -> Result<Interface, Kind> {
        const FIELDS: usize = 8;
        let Ok((_, block)) = parsers::interface(order, bytes) else {
            return Err(too_short(IDB_MAGIC, FIELDS as u64, content.len()));
        };
        let link_type = LinkType::new(block.linktype.0 as u32);
        Ok(Interface {
            link_type,
            snaplen: link_type.adjust_snaplen(block.snaplen),
            clock: clock(order, &block.options, &content[FIELDS..])?,
            pseudo_header: PseudoHeader::of(link_type),
        })
    }
}

/// What the options of an interface say about time; `bytes` is what they were parsed from.
///
/// *Why not the block's own `if_tsoffset` and `ts_resolution`:* they take an offset for little-endian in every file, have
/// no powers of two, and let options pass that libpcap refuses: of a wrong length, given twice, or cut off.
fn clock(order: Order, options: &[PcapNGOption<'_>], bytes: &[u8]) -> Result<Clock, Kind> {
    let (mut resolution, mut offset) = (None, None);
    let mut parsed = 0;
    for option in options {
        let value = option.value();
        parsed += 4 + value.len();
        match option.code {
            OptionCode::EndOfOpt => {
                option_length("opt_endofopt", option, 0)?;
                parsed = bytes.len();
                break;
            }
            OptionCode::IfTsresol => {
                option_length("if_tsresol", option, 1)?;
                once("if_tsresol", &mut resolution, ticks_per_second(value[0])?)?;
            }
            OptionCode::IfTsoffset => {
                option_length("if_tsoffset", option, 8)?;
                once("if_tsoffset", &mut offset, order.u64(value, 0) as i64)?;
            }
            _ => {}
        }
    }
    match bytes[parsed..] {
        [] => {}
        // The parser of blocks stops without a word where an option is cut off.
        [_, _, low, high, ref value @ ..] => {
            let length = usize::from(order.u16(&[low, high], 0)).next_multiple_of(4);
            return Err(too_short(IDB_MAGIC, length as u64, value.len()));
        }
        ref header => return Err(too_short(IDB_MAGIC, 4, header.len())),
    }
    Ok(Clock {
        ticks_per_second: resolution.unwrap_or(Clock::DEFAULT.ticks_per_second),
        offset: offset.unwrap_or(Clock::DEFAULT.offset),
    })
}

fn option_length(name: &'static str, option: &PcapNGOption<'_>, expected: u16) -> Result<(), Kind> {
    if option.len == expected {
        Ok(())
    } else {
        Err(Kind::OptionLength { option: name, expected, found: option.len })
    }
}

fn once<T>(option: &'static str, place: &mut Option<T>, value: T) -> Result<(), Kind> {
    if place.replace(value).is_some() { Err(Kind::OptionTwice(option)) } else { Ok(()) }
}

/// `if_tsresol`: the high bit chooses powers of 2 over powers of 10.
fn ticks_per_second(resolution: u8) -> Result<u64, Kind> {
    let exponent = resolution & 0x7f;
    let (base, max) = if resolution & 0x80 == 0 { (10, 19) } else { (2, 63) };
    if exponent > max {
        return Err(Kind::TimeResolution { base, exponent, max });
    }
    Ok(u64::from(base).pow(u32::from(exponent)))
}
