//! The next generation: sections of blocks, among them interfaces and packets.
//!
//! `draft-ietf-opsawg-pcapng` describes it. Like libpcap's `sf-pcapng.c` this reads section headers, interfaces, the
//! three blocks that hold packets, and of the options only those that give time stamps their meaning; everything else
//! is passed over. Beyond libpcap, a section may have another byte order than the one before, and interfaces may
//! differ in link type and snapshot length.

use crate::capture::Record;
use crate::error::{CaptureError, CaptureErrorKind as Kind, Part};
use crate::input::Input;
use crate::order::Order;
use crate::pseudo_header::PseudoHeader;
use crate::timestamp::Clock;
use crate::{CaptureHeader, LinkType};

/// The type of a section header; it reads the same in both byte orders.
pub(crate) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Type and length before a block; its length again behind.
const BLOCK_HEADER: usize = 8;
const BLOCK_TRAILER: usize = 4;
const MIN_BLOCK: u32 = 12;
const MIN_SECTION: u32 = 28;
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

/// What the three packet blocks say, each in its own way.
struct PacketFields {
    interface: u32,
    ticks: u64,
    captured: u32,
    wire_len: u32,
    /// Where in the block the packet begins.
    data: usize,
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
            if matches!(block.kind, ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET) {
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
            if matches!(block.kind, ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET) {
                return self.packet(input, block).map(Some);
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
        if kind == SECTION_HEADER {
            return Ok(Some(Block { at, kind, length: 0 }));
        }
        let length = whole_block(input, self.order, MIN_BLOCK, self.max_block)?;
        Ok(Some(Block { at, kind, length }))
    }

    /// Goes past a block without a packet, and learns from it.
    fn pass(&mut self, input: &mut Input<'_>, block: Block) -> Result<(), CaptureError> {
        match block.kind {
            SECTION_HEADER => {
                self.order = section(input, Some(self.max_block))?;
                self.interfaces.clear();
            }
            INTERFACE_DESCRIPTION => {
                let bytes = input.take(block.length);
                let content = &bytes[BLOCK_HEADER..block.length - BLOCK_TRAILER];
                let fail = |kind| CaptureError::at(block.at, kind);
                if self.interfaces.len() == MAX_INTERFACES {
                    return Err(fail(Kind::TooManyInterfaces(MAX_INTERFACES)));
                }
                let interface = Interface::parse(content, self.order).map_err(fail)?;
                let longest = interface.link_type.max_capture_len() + MAX_AROUND_PACKET;
                self.max_block = self.max_block.max(longest);
                self.interfaces.push(interface);
            }
            _ => {
                input.take(block.length);
            }
        }
        Ok(())
    }

    /// The packet of a packet block.
    #[inline]
    fn packet<'i>(&self, input: &'i mut Input<'_>, block: Block) -> Result<Record<'i>, CaptureError> {
        let fail = |kind| CaptureError::at(block.at, kind);
        let fields = self.fields(input.window(), block).map_err(fail)?;
        let known = self.interfaces.len() as u32;
        let Some(interface) = self.interfaces.get(fields.interface as usize) else {
            return Err(fail(Kind::UnknownInterface { interface: fields.interface, known }));
        };
        if fields.captured > interface.snaplen {
            return Err(fail(Kind::CaptureLength { length: fields.captured, limit: interface.snaplen }));
        }
        let room = block.length - BLOCK_TRAILER - fields.data;
        if fields.captured as usize > room {
            let (expected, found) = (u64::from(fields.captured), room as u64);
            return Err(fail(Kind::BlockShort { block: block.kind, expected, found }));
        }
        Ok(Record {
            data: &input.take(block.length)[fields.data..fields.data + fields.captured as usize],
            wire_len: fields.wire_len,
            timestamp: interface.clock.timestamp(fields.ticks),
            link_type: interface.link_type,
            interface: fields.interface,
            order: self.order,
            pseudo_header: interface.pseudo_header,
        })
    }

    /// The fields of a packet block that begins the window.
    #[inline]
    fn fields(&self, window: &[u8], block: Block) -> Result<PacketFields, Kind> {
        let order = self.order;
        let fixed = if block.kind == SIMPLE_PACKET { 4 } else { 20 };
        let data = BLOCK_HEADER + fixed;
        if block.length < data + BLOCK_TRAILER {
            let found = (block.length - BLOCK_HEADER - BLOCK_TRAILER) as u64;
            return Err(Kind::BlockShort { block: block.kind, expected: fixed as u64, found });
        }
        if block.kind == SIMPLE_PACKET {
            // From the first interface, at no time, and cut at the snapshot length without a word.
            let wire_len = order.u32(window, 8);
            let snaplen = self.interfaces.first().map_or(0, |first| first.snaplen);
            return Ok(PacketFields {
                interface: 0,
                ticks: 0,
                captured: wire_len.min(snaplen),
                wire_len,
                data,
            });
        }
        let interface = match block.kind {
            OBSOLETE_PACKET => u32::from(order.u16(window, 8)),
            _ => order.u32(window, 8),
        };
        Ok(PacketFields {
            interface,
            ticks: u64::from(order.u32(window, 12)) << 32 | u64::from(order.u32(window, 16)),
            captured: order.u32(window, 20),
            wire_len: order.u32(window, 24),
            data,
        })
    }
}

/// Checks the lengths of the block that begins the window, and asks for all of it.
#[inline]
fn whole_block(input: &mut Input<'_>, order: Order, min: u32, max: u32) -> Result<usize, CaptureError> {
    let at = input.offset();
    let fail = |kind| CaptureError::at(at, kind);
    let length = order.u32(input.window(), 4);
    if length < min || length > max || !length.is_multiple_of(4) {
        return Err(fail(Kind::BlockLength { length, min, max }));
    }
    request_block(input, length)?;
    let trailer = order.u32(input.window(), length as usize - BLOCK_TRAILER);
    if trailer != length {
        return Err(fail(Kind::BlockTrailer { header: length, trailer }));
    }
    Ok(length as usize)
}

#[inline]
fn request_block(input: &mut Input<'_>, length: u32) -> Result<(), CaptureError> {
    let at = input.offset();
    if input.request(length as usize).map_err(|error| CaptureError::at(at, Kind::Io(error)))? {
        return Ok(());
    }
    let (expected, found) = (u64::from(length), input.len() as u64);
    Err(CaptureError::at(at, Kind::Truncated { part: Part::Block, expected, found }))
}

/// Goes past a section header that begins the window; the result is the byte order of its section.
///
/// `max` is the longest block by now, and `None` at the beginning of a file. There libpcap is both stricter and more
/// lenient: it wants a minor version that it knows, and does not look at the length behind the block.
fn section(input: &mut Input<'_>, max: Option<u32>) -> Result<Order, CaptureError> {
    const UP_TO_MAGIC: usize = 12;
    let at = input.offset();
    let fail = |kind| CaptureError::at(at, kind);
    if !input.request(UP_TO_MAGIC).map_err(|error| fail(Kind::Io(error)))? {
        let (expected, found) = (UP_TO_MAGIC as u64, input.len() as u64);
        return Err(fail(Kind::Truncated { part: Part::BlockHeader, expected, found }));
    }
    let window = input.window();
    let find = |order: &Order| order.u32(window, 8) == BYTE_ORDER_MAGIC;
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
            request_block(input, length)?;
            length as usize
        }
    };
    let bytes = input.take(length);
    let (major, minor) = (order.u16(bytes, 12), order.u16(bytes, 14));
    if major != 1 || (max.is_none() && !matches!(minor, 0 | 2)) {
        return Err(fail(Kind::Version { format: "pcapng", major, minor, known: "1.0 and 1.2" }));
    }
    Ok(order)
}

impl Interface {
    /// Reads the content of an interface description block.
    fn parse(content: &[u8], order: Order) -> Result<Interface, Kind> {
        let Some((fixed, options)) = content.split_at_checked(8) else {
            return Err(Kind::BlockShort {
                block: INTERFACE_DESCRIPTION,
                expected: 8,
                found: content.len() as u64,
            });
        };
        let link_type = LinkType::new(u32::from(order.u16(fixed, 0)));
        Ok(Interface {
            link_type,
            snaplen: link_type.adjust_snaplen(order.u32(fixed, 4)),
            clock: clock(options, order)?,
            pseudo_header: PseudoHeader::of(link_type),
        })
    }
}

const END_OF_OPTIONS: u16 = 0;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;

/// What the options of an interface say about time.
fn clock(mut options: &[u8], order: Order) -> Result<Clock, Kind> {
    let (mut resolution, mut offset) = (None, None);
    while !options.is_empty() {
        let (header, rest) = split_option(options, 4)?;
        let (code, length) = (order.u16(header, 0), order.u16(header, 2));
        let (value, rest) = split_option(rest, usize::from(length).next_multiple_of(4))?;
        options = rest;
        match code {
            END_OF_OPTIONS => {
                option_length("opt_endofopt", length, 0)?;
                break;
            }
            IF_TSRESOL => {
                option_length("if_tsresol", length, 1)?;
                once("if_tsresol", &mut resolution, ticks_per_second(value[0])?)?;
            }
            IF_TSOFFSET => {
                option_length("if_tsoffset", length, 8)?;
                once("if_tsoffset", &mut offset, order.u64(value, 0) as i64)?;
            }
            _ => {}
        }
    }
    Ok(Clock {
        ticks_per_second: resolution.unwrap_or(Clock::DEFAULT.ticks_per_second),
        offset: offset.unwrap_or(Clock::DEFAULT.offset),
    })
}

fn split_option(options: &[u8], length: usize) -> Result<(&[u8], &[u8]), Kind> {
    let (expected, found) = (length as u64, options.len() as u64);
    options.split_at_checked(length).ok_or(Kind::BlockShort { block: INTERFACE_DESCRIPTION, expected, found })
}

fn option_length(option: &'static str, found: u16, expected: u16) -> Result<(), Kind> {
    if found == expected { Ok(()) } else { Err(Kind::OptionLength { option, expected, found }) }
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
