//! A handful of frames, put together by hand.

/// A host in the middle of the list of `programs/hosts.ddd`: 10.213.196.146, the fiftieth.
pub const LISTED: [u8; 4] = address(50);

/// A host that is on no list.
pub const UNLISTED: [u8; 4] = [192, 0, 2, 1];

/// The `n`th host of `programs/make-ddd.sh`.
const fn address(n: u64) -> [u8; 4] {
    let [_, _, _, _, _, a, b, c] = (n * 2_654_435_761 % (1 << 24)).to_be_bytes();
    [10, a, b, c]
}

const TCP: u8 = 6;
const UDP: u8 = 17;

/// A TCP segment over IPv4, in a frame of 64 bytes.
pub fn tcp4(to: [u8; 4], port: u16) -> Vec<u8> {
    ipv4(TCP, to, port)
}

/// Each kind of frame with its name.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("tcp4 port 80", tcp4(UNLISTED, 80)),
        ("tcp4 port 443, listed host", tcp4(LISTED, 443)),
        ("udp4 port 53", ipv4(UDP, UNLISTED, 53)),
        ("tcp6 port 80", tcp6(80)),
        ("arp", frame(0x0806, &[0; 46])),
    ]
}

fn frame(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let (to, from) = ([0x02, 0, 0, 0, 0, 1], [0x02, 0, 0, 0, 0, 2]);
    let mut frame = [&to[..], &from, &ether_type.to_be_bytes(), payload].concat();
    frame.resize(frame.len().max(64), 0);
    frame
}

fn ipv4(protocol: u8, to: [u8; 4], port: u16) -> Vec<u8> {
    let header = [0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, protocol, 0, 0];
    frame(0x0800, &[&header[..], &[192, 0, 2, 9], &to, &ports(port)].concat())
}

fn tcp6(port: u16) -> Vec<u8> {
    let header = [0x60, 0, 0, 0, 0, 20, TCP, 64];
    frame(0x86dd, &[&header[..], &[0x20; 32], &ports(port)].concat())
}

/// The same over IPv6 behind headers for every hop, for the destination, and of a fragment.
pub fn tcp6_extended(port: u16) -> Vec<u8> {
    const DESTINATION: u8 = 60;
    const FRAGMENT: u8 = 44;
    let header = [0x60, 0, 0, 0, 0, 52, 0, 64];
    let hops = [DESTINATION, 0, 1, 4, 0, 0, 0, 0];
    let destination = [FRAGMENT, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let fragment = [TCP, 0, 0, 0, 0, 0, 0, 7];
    frame(0x86dd, &[&header[..], &[0x20; 32], &hops, &destination, &fragment, &ports(port)].concat())
}

fn ports(to: u16) -> [u8; 20] {
    let mut header = [0; 20];
    header[..2].copy_from_slice(&40_000u16.to_be_bytes());
    header[2..4].copy_from_slice(&to.to_be_bytes());
    header
}
