//! What can be wrong with a capture file, where, and what cannot be written into one.

use std::{fmt, io};

use crate::LinkType;

/// Why a capture file cannot be read, or not further.
///
/// Packets before the damage have been delivered when this comes.
#[derive(Debug)]
pub struct CaptureError {
    offset: u64,
    packets: u64,
    kind: CaptureErrorKind,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.packets == 1 { "" } else { "s" };
        write!(f, "at byte {}, after {} packet{plural}: {}", self.offset, self.packets, self.kind)
    }
}

impl std::error::Error for CaptureError {
    /// What the kind comes from; the kind itself has been said.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.kind)
    }
}

impl CaptureError {
    /// Where in the file the header, record or block begins that cannot be read.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many packets were read before.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// What is wrong.
    pub fn kind(&self) -> &CaptureErrorKind {
        &self.kind
    }

    pub(crate) fn at(offset: u64, kind: CaptureErrorKind) -> CaptureError {
        CaptureError { offset, packets: 0, kind }
    }

    pub(crate) fn after(self, packets: u64) -> CaptureError {
        CaptureError { packets, ..self }
    }
}

/// What is wrong with a capture file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureErrorKind {
    /// The bytes could not be had.
    #[error("cannot read")]
    Io(#[source] io::Error),
    /// There is not one byte.
    #[error("the file is empty")]
    Empty,
    /// The first four bytes belong to no format that is read here.
    #[error("no capture file begins with {0:02x?}{hint}", hint = hint(*.0))]
    Magic([u8; 4]),
    /// The file ends within something.
    #[error("the file ends within a {part}: it has {expected} bytes, {found} are there")]
    Truncated {
        /// Within what.
        part: Part,
        /// How many bytes that has.
        expected: u64,
        /// How many are left in the file.
        found: u64,
    },
    /// A version of the format that is not known.
    #[error("version {major}.{minor} of {format}; {known} are known")]
    Version {
        /// Of which format: `pcap` or `pcapng`.
        format: &'static str,
        /// The file's major version.
        major: u16,
        /// The file's minor version.
        minor: u16,
        /// The versions that can be read.
        known: &'static str,
    },
    /// A packet claims more captured bytes than can be.
    #[error("a packet has {length} captured bytes; {limit} is the limit")]
    CaptureLength {
        /// The claim.
        length: u32,
        /// The most that its link type, or in pcapng its interface, has.
        limit: u32,
    },
    /// A block claims a length that cannot be.
    #[error("a block has {length} bytes; it takes {min} to {max}, in multiples of 4")]
    BlockLength {
        /// The claim.
        length: u32,
        /// The least that such a block has.
        min: u32,
        /// The most that is believed.
        max: u32,
    },
    /// The lengths before and after a block differ.
    #[error("a block has {header} bytes by its first length and {trailer} by its last")]
    BlockTrailer {
        /// The length before.
        header: u32,
        /// The length after.
        trailer: u32,
    },
    /// The fields of a block, or the bytes of its packet, do not fit into it.
    #[error("the content of a block of type {block:#x} has {expected} bytes, the block has room for {found}")]
    BlockShort {
        /// The block's type.
        block: u32,
        /// How many bytes its content has.
        expected: u64,
        /// How many it could have.
        found: u64,
    },
    /// A section says neither `0x1a2b3c4d` nor this in the other byte order.
    #[error("a section's byte-order magic is {0:02x?}")]
    ByteOrder([u8; 4]),
    /// There are no packets because there is nothing that they could come from.
    #[error("the file describes no interface")]
    NoInterface,
    /// A packet comes from an interface that the section has not described.
    #[error("a packet comes from interface {interface}; the section has described {known} so far")]
    UnknownInterface {
        /// The interface, counted from 0.
        interface: u32,
        /// How many there are.
        known: u32,
    },
    /// A section describes more interfaces than a computer has.
    #[error("a section describes more than {0} interfaces")]
    TooManyInterfaces(usize),
    /// An option of an interface has a length of its own.
    #[error("option {option} of an interface has {found} bytes; it takes {expected}")]
    OptionLength {
        /// The option's name.
        option: &'static str,
        /// The length it takes.
        expected: u16,
        /// The length it has.
        found: u16,
    },
    /// An option that comes once came again.
    #[error("an interface has option {0} twice")]
    OptionTwice(&'static str),
    /// Fractions of a second too small to count in 64 bits.
    #[error("the time stamps of an interface count {base}^-{exponent} seconds; {base}^-{max} is the least")]
    TimeResolution {
        /// 2 or 10.
        base: u8,
        /// The exponent in the file.
        exponent: u8,
        /// The largest that fits.
        max: u8,
    },
}

/// What a file ended within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The header of the file.
    FileHeader,
    /// The header before a packet.
    RecordHeader,
    /// The captured bytes of a packet.
    Packet,
    /// The header of a pcapng block.
    BlockHeader,
    /// A pcapng block.
    Block,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::FileHeader => "file header",
            Part::RecordHeader => "packet header",
            Part::Packet => "packet",
            Part::BlockHeader => "block header",
            Part::Block => "block",
        })
    }
}

/// What people give to a reader of captures besides captures.
fn hint(magic: [u8; 4]) -> &'static str {
    match magic {
        [0x1f, 0x8b, ..] => "; this is gzip, decompress it first",
        [0x28, 0xb5, 0x2f, 0xfd] => "; this is zstd, decompress it first",
        [0xfd, b'7', b'z', b'X'] => "; this is xz, decompress it first",
        [0x04, 0x22, 0x4d, 0x18] => "; this is lz4, decompress it first",
        [b's', b'n', b'o', b'o'] => "; this is snoop, convert it to pcap first",
        _ => "",
    }
}

/// Why a packet cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The bytes could not be written.
    #[error("cannot write")]
    Io(#[from] io::Error),
    /// A pcap file has one link type.
    #[error("packet {index} begins with {packet}, those before with {file}; a pcap file has one link type")]
    LinkType {
        /// The packet's number in its capture.
        index: u64,
        /// The packet's link type.
        packet: LinkType,
        /// That of the file.
        file: LinkType,
    },
    /// Readers would cut the packet at the snapshot length.
    #[error("packet {index} has {length} bytes, more than the file's snapshot length {snaplen}")]
    Length {
        /// The packet's number in its capture.
        index: u64,
        /// Its captured bytes.
        length: usize,
        /// The snapshot length in the header.
        snaplen: u32,
    },
    /// The 32 bits of a pcap file end in February 2106.
    #[error("packet {index} was captured {seconds} seconds after 1970; a pcap file has times of 32 bits")]
    Time {
        /// The packet's number in its capture.
        index: u64,
        /// Its time.
        seconds: i64,
    },
}
