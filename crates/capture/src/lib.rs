//! Capture files: packets in, packets out.
//!
//! [`Capture`] reads what libpcap reads: pcap in both byte orders, with microseconds or nanoseconds, Kuznetzov's
//! variant and the versions with exchanged lengths; pcapng with enhanced, simple and obsolete packet blocks, many
//! interfaces and many sections. It reads a pipe through a buffer of bounded size, or bytes in memory without
//! copying them. [`CaptureWriter`] writes classic pcap.
//!
//! ```
//! use sandbpf_capture::{Capture, CaptureWriter};
//! # let file = include_bytes!("../../../tests/data/http.pcap");
//! let mut capture = Capture::from_slice(file)?;
//! let mut large = CaptureWriter::new(Vec::new(), capture.header())?;
//! while let Some(packet) = capture.next_packet()? {
//!     if packet.wire_len > 100 {
//!         large.write(&packet)?;
//!     }
//! }
//! assert_eq!(capture.link_type().name(), Some("EN10MB"));
//! assert!(large.packets() < capture.packets());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Trust
//!
//! Nothing in a file is trusted. Lengths have the limits that libpcap gives them, memory grows with the bytes that
//! have arrived and never with a number that announces them, and a broken file yields every packet before the
//! damage and then a [`CaptureError`] that says where and what.
//!
//! # Why the formats are read here
//!
//! A filter must see exactly the packets that libpcap would show it, and that lies below what format crates offer.
//! `pcap-file` 2.0 has no Kuznetzov variant, refuses packets that are longer than the snapshot length, captured or on
//! the wire, takes the times of every pcapng interface for nanoseconds, and parses and allocates the options of each
//! packet. `pcap-parser` 0.17 lacks big-endian Kuznetzov files and the order of lengths in versions before 2.4, and
//! allocates likewise. Neither says at which byte a file broke, bounds a captured length before it waits for that many
//! bytes, or has libpcap's rules for simple packets, odd snapshot lengths and host-order headers. What would be left
//! of them is reading a few integers. The tests do use `pcap-parser`, as a second opinion on what is written.
#![forbid(unsafe_code)]

mod capture;
mod error;
mod input;
mod link_type;
mod link_types;
mod order;
mod pcap;
mod pcapng;
mod pseudo_header;
mod timestamp;
mod writer;

pub use capture::{Capture, CaptureHeader, Packet};
pub use error::{CaptureError, CaptureErrorKind, Part, WriteError};
pub use link_type::LinkType;
pub use timestamp::{Resolution, Timestamp};
pub use writer::CaptureWriter;
