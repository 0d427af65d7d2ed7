//! Capture files made by hand, in either byte order.
#![allow(dead_code, reason = "each test uses the part that it needs")]

use sandbpf_capture::{Capture, CaptureError, LinkType, Timestamp};

/// Numbers in one byte order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Little,
    Big,
}

pub(crate) const ORDERS: [Order; 2] = [Order::Little, Order::Big];

impl Order {
    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn u64(self, value: u64) -> [u8; 8] {
        match self {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn u32s(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|&value| self.u32(value)).collect()
    }

    /// The 24 bytes of a pcap file header.
    pub(crate) fn pcap(self, magic: u32, version: (u16, u16), snaplen: u32, link_type: u32) -> Vec<u8> {
        let mut file = self.u32(magic).to_vec();
        file.extend([self.u16(version.0), self.u16(version.1)].concat());
        file.extend(self.u32s(&[0, 0, snaplen, link_type]));
        file
    }

    /// A pcap record: two halves of a time, two lengths, bytes.
    pub(crate) fn record(self, time: (u32, u32), lengths: (u32, u32), data: &[u8]) -> Vec<u8> {
        [self.u32s(&[time.0, time.1, lengths.0, lengths.1]), data.to_vec()].concat()
    }

    /// A pcapng block.
    pub(crate) fn block(self, kind: u32, content: &[u8]) -> Vec<u8> {
        let padding = vec![0; content.len().next_multiple_of(4) - content.len()];
        let length = (12 + content.len() + padding.len()) as u32;
        [&self.u32s(&[kind, length]), content, &padding, &self.u32(length)[..]].concat()
    }

    pub(crate) fn section(self) -> Vec<u8> {
        let content = [&self.u32(0x1a2b_3c4d)[..], &self.u16(1), &self.u16(0), &self.u64(u64::MAX)].concat();
        self.block(0x0a0d_0d0a, &content)
    }

    pub(crate) fn interface(self, link_type: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
        let content = [&self.u16(link_type)[..], &self.u16(0), &self.u32(snaplen), options].concat();
        self.block(1, &content)
    }

    pub(crate) fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
        [&self.u16(code)[..], &self.u16(value.len() as u16), value, &padding].concat()
    }

    pub(crate) fn enhanced(self, interface: u32, ticks: u64, wire_len: u32, data: &[u8]) -> Vec<u8> {
        let fixed = self.u32s(&[interface, (ticks >> 32) as u32, ticks as u32, data.len() as u32, wire_len]);
        self.block(6, &[fixed, data.to_vec()].concat())
    }

    pub(crate) fn obsolete(self, interface: u16, ticks: u64, wire_len: u32, data: &[u8]) -> Vec<u8> {
        let fixed = [
            &self.u16(interface)[..],
            &self.u16(3),
            &self.u32s(&[(ticks >> 32) as u32, ticks as u32, data.len() as u32, wire_len]),
        ];
        self.block(2, &[&fixed.concat(), data].concat())
    }

    pub(crate) fn simple(self, wire_len: u32, data: &[u8]) -> Vec<u8> {
        self.block(3, &[&self.u32(wire_len), data].concat())
    }
}

/// A packet that outlives its capture.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Owned {
    pub(crate) data: Vec<u8>,
    pub(crate) wire_len: u32,
    pub(crate) timestamp: Timestamp,
    pub(crate) link_type: LinkType,
    pub(crate) interface: u32,
}

/// All packets, and how it ended.
pub(crate) fn drain(mut capture: Capture<'_>) -> (Vec<Owned>, Option<CaptureError>) {
    let mut packets = Vec::new();
    loop {
        match capture.next_packet() {
            Ok(Some(packet)) => packets.push(Owned {
                data: packet.data.to_vec(),
                wire_len: packet.wire_len,
                timestamp: packet.timestamp,
                link_type: packet.link_type,
                interface: packet.interface,
            }),
            Ok(None) => return (packets, None),
            Err(error) => return (packets, Some(error)),
        }
    }
}

/// Reads a file from memory and as a stream, which must agree, to the end or to an error, of opening too.
pub(crate) fn read(file: &[u8]) -> (Vec<Owned>, Option<CaptureError>) {
    let read = |capture: Result<Capture<'_>, CaptureError>| match capture {
        Ok(capture) => drain(capture),
        Err(error) => (Vec::new(), Some(error)),
    };
    let (memory, streamed) = (read(Capture::from_slice(file)), read(Capture::open(file)));
    assert_eq!(memory.0, streamed.0);
    let text = |error: &Option<CaptureError>| error.as_ref().map(CaptureError::to_string);
    assert_eq!(text(&memory.1), text(&streamed.1));
    memory
}

/// Reads a file that is sound.
pub(crate) fn packets(file: &[u8]) -> Vec<Owned> {
    let (packets, error) = read(file);
    assert!(error.is_none(), "{}", error.unwrap());
    packets
}

pub(crate) fn owned(data: &[u8], wire_len: u32, seconds: i64, nanos: i64, link_type: LinkType) -> Owned {
    Owned { data: data.to_vec(), wire_len, timestamp: Timestamp { seconds, nanos }, link_type, interface: 0 }
}
