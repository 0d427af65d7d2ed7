//! Frames of which only the payload was recorded.
//!
//! A socket of UDP shows filters the headers too. What the kernel writes there by chance — ports,
//! identification, checksums, addresses — is filled in twice, differently: a result that differs
//! between the two frames depends on bytes nobody recorded, every other one is comparable.

use sandbpf::PacketMeta;

/// An Ethernet frame with IPv4 and UDP.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
}

const LINK: usize = 14;
const NETWORK: usize = 20;
const TRANSPORT: usize = 8;

impl Frame {
    /// The frame of this payload on the loopback device, where addresses of the link are zero.
    pub(crate) fn loopback(payload: &[u8]) -> [Frame; 2] {
        [0x00, 0xff].map(|filler| Frame::udp(payload, [0; 12], filler))
    }

    /// The frame of this payload on a device with unknown addresses.
    pub(crate) fn ethernet(payload: &[u8]) -> [Frame; 2] {
        [0x00, 0xff].map(|filler| Frame::udp(payload, [filler; 12], filler))
    }

    fn udp(payload: &[u8], addresses: [u8; 12], filler: u8) -> Frame {
        let mut bytes = Vec::with_capacity(LINK + NETWORK + TRANSPORT + payload.len());
        bytes.extend(addresses);
        bytes.extend([0x08, 0x00]);
        let length = (NETWORK + TRANSPORT + payload.len()) as u16;
        bytes.extend([0x45, 0x00]);
        bytes.extend(length.to_be_bytes());
        bytes.extend([filler; 2]); // identification
        bytes.extend([filler & 0x40, 0x00]); // do not fragment, or do
        bytes.extend([0x40, 17]); // time to live, UDP
        bytes.extend([filler; 2 + 8]); // checksum, addresses
        bytes.extend([filler; 4]); // ports
        bytes.extend(((TRANSPORT + payload.len()) as u16).to_be_bytes());
        bytes.extend([filler; 2]); // checksum
        bytes.extend(payload);
        Frame { bytes }
    }

    /// Where things are for a UDP socket: the data starts at the transport header.
    pub(crate) fn udp_socket(&self) -> PacketMeta {
        PacketMeta {
            data: (LINK + NETWORK) as u32,
            network: LINK as u32,
            link: Some(0),
            ..PacketMeta::default()
        }
    }
}
