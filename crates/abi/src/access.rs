//! Access: which loads and stores a field takes, and what a load gives.
//!
//! A field of a context is no memory: Linux rewrites every access to it, and so it decides for each
//! field how narrow an access may be and where it may start. The rules come in few shapes.

use core::fmt;

/// Sizes of accesses: a set of 1, 2, 4 and 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sizes(u8);

impl Sizes {
    /// No size.
    pub const NONE: Sizes = Sizes(0);

    /// These sizes; others than 1, 2, 4 and 8 do not exist.
    pub const fn of(sizes: &[u8]) -> Sizes {
        let (mut set, mut i) = (0, 0);
        while i < sizes.len() {
            set |= sizes[i] & 15;
            i += 1;
        }
        Sizes(set)
    }

    /// Whether this size is one of them.
    pub const fn has(self, size: u32) -> bool {
        matches!(size, 1 | 2 | 4 | 8) && self.0 & size as u8 != 0
    }
}

impl fmt::Debug for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Sizes {
    /// The sizes with commas between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for size in [1, 2, 4, 8].into_iter().filter(|&size| self.has(size)) {
            write!(f, "{comma}{size}")?;
            comma = ", ";
        }
        Ok(())
    }
}

/// Which accesses a field takes. All are aligned to their size, counted from the start of the
/// context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anywhere inside the field.
    Inside(Sizes),
    /// Only at its first byte.
    First(Sizes),
    /// Four bytes at its first byte, or one or two within its first two bytes: a port of two bytes
    /// that once had four.
    Port,
    /// Eight bytes at its first byte, or anything that starts behind it: a
    /// pointer whose upper bytes pass for numbers.
    WholeOrBehind,
}

impl Access {
    /// One byte, two or four.
    pub const NARROW: Access = Access::Inside(Sizes::of(&[1, 2, 4]));
    /// Any size.
    pub const ANY: Access = Access::Inside(Sizes::of(&[1, 2, 4, 8]));
    /// Exactly two bytes or four.
    pub const TWO_OR_FOUR: Access = Access::Inside(Sizes::of(&[2, 4]));
    /// Exactly four bytes.
    pub const FOUR: Access = Access::Inside(Sizes::of(&[4]));
    /// Four bytes or eight.
    pub const FOUR_OR_EIGHT: Access = Access::Inside(Sizes::of(&[4, 8]));
    /// Exactly eight bytes.
    pub const EIGHT: Access = Access::Inside(Sizes::of(&[8]));
    /// Exactly four bytes, at the first.
    pub const FIRST_FOUR: Access = Access::First(Sizes::of(&[4]));
    /// One byte, two or four, at the first.
    pub const FIRST_NARROW: Access = Access::First(Sizes::of(&[1, 2, 4]));

    /// Whether `size` bytes may be accessed at byte `within` of a field of `len` bytes. That the access
    /// is aligned is the caller's business.
    pub const fn takes(self, within: u32, size: u32, len: u32) -> bool {
        let fits = matches!(size, 1 | 2 | 4 | 8) && within as u64 + size as u64 <= len as u64;
        match self {
            Access::Inside(sizes) => fits && sizes.has(size),
            Access::First(sizes) => fits && within == 0 && sizes.has(size),
            Access::Port => fits && ((within == 0 && size == 4) || within + size <= 2),
            Access::WholeOrBehind => fits && (within > 0 || size == 8),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Access::Inside(sizes) => sizes.fmt(f),
            Access::First(sizes) => write!(f, "{sizes} at its start"),
            Access::Port => f.write_str("4, or 1, 2 in its first two bytes"),
            Access::WholeOrBehind => f.write_str("8, or 1, 2, 4 behind its start"),
        }
    }
}

/// What a program wants of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To load it.
    Read,
    /// To store into it.
    Write,
}

/// What a load gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Value {
    /// A number that nothing is known of but its width.
    Scalar,
    /// Where the packet's bytes start (`PTR_TO_PACKET`).
    Packet,
    /// Where they end (`PTR_TO_PACKET_END`).
    PacketEnd,
    /// Where the metadata before them starts (`PTR_TO_PACKET_META`).
    PacketMeta,
    /// A full socket (`PTR_TO_SOCKET`).
    Sock,
    /// A full socket or null.
    SockOrNull,
    /// What all sockets have in common, or null (`PTR_TO_SOCK_COMMON`).
    SockCommonOrNull,
    /// The flow dissector's keys (`PTR_TO_FLOW_KEYS`).
    FlowKeys,
    /// The buffer of a writable raw tracepoint (`PTR_TO_TP_BUFFER`).
    TracepointBuffer,
    /// A kernel object of this type, not null and trusted.
    TrustedBtf(&'static str),
}

impl Value {
    /// Whether it is a pointer; such a field is loaded whole and without extending a sign.
    pub const fn is_pointer(self) -> bool {
        !matches!(self, Value::Scalar)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Value::Scalar => "a number",
            Value::Packet => "the packet's start",
            Value::PacketEnd => "the packet's end",
            Value::PacketMeta => "the metadata's start",
            Value::Sock => "a socket",
            Value::SockOrNull => "a socket or null",
            Value::SockCommonOrNull => "the common part of a socket, or null",
            Value::FlowKeys => "flow keys",
            Value::TracepointBuffer => "the tracepoint's buffer",
            Value::TrustedBtf(name) => return write!(f, "`struct {name} *`"),
        })
    }
}
