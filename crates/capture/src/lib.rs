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
//! # What is ours
//!
//! `pcap-parser` takes records and blocks apart. A filter must also see exactly the packets that libpcap would show it,
//! and that lies above what a format crate offers; these rules are here: Kuznetzov's records, the order of lengths in
//! versions before 2.4, limits on lengths *before* so many bytes are waited for, snapshot lengths, simple packets cut
//! by them, the link types of interfaces, the host-order fields of pseudo-headers, and the byte at which a file broke.
#![forbid(unsafe_code)]

mod capture;
mod error;
mod input;
mod link_type;
mod link_types;
mod order;
mod parsers;
mod pcap;
mod pcapng;
mod pseudo_header;
mod split;
mod timestamp;
mod writer;

pub use capture::{Capture, CaptureHeader, Packet};
pub use error::{CaptureError, CaptureErrorKind, Part, WriteError};
pub use link_type::LinkType;
pub use split::Split;
pub use timestamp::{Resolution, Timestamp};
pub use writer::CaptureWriter;
