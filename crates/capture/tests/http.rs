//! `tests/data/http.pcap`, the capture that the README and the tests of the command line read: a host finds its
//! gateway, pings it, asks for a name, fetches a page; then some IPv6 and some VLANs.
//!
//! This is where it comes from; `BLESS=1 cargo test -p sandbpf-capture --test http` writes it.

use std::path::Path;

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Ethernet2Header, PacketBuilder};
use etherparse::{PacketBuilderStep, VlanId};
use sandbpf_capture::{Capture, CaptureHeader, CaptureWriter, LinkType, Packet, Timestamp};

const HOST: ([u8; 6], [u8; 4]) = ([0x02, 0, 0, 0, 0, 0x01], [192, 0, 2, 10]);
const GATEWAY: ([u8; 6], [u8; 4]) = ([0x02, 0, 0, 0, 0, 0xfe], [192, 0, 2, 1]);
const RESOLVER: [u8; 4] = [198, 51, 100, 53];
const SERVER: [u8; 4] = [203, 0, 113, 80];
const HOST6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
const SERVER6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x80];

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: sandbpf\r\nAccept: */*\r\n\r\n";
const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n";

/// 2026-01-01 12:00:00 UTC.
const NOON: i64 = 1_767_268_800;

fn outward() -> PacketBuilderStep<Ethernet2Header> {
    PacketBuilder::ethernet2(HOST.0, GATEWAY.0)
}

fn inward() -> PacketBuilderStep<Ethernet2Header> {
    PacketBuilder::ethernet2(GATEWAY.0, HOST.0)
}

/// The bytes of a packet: `$step` is what etherparse has built, then comes a payload.
macro_rules! frame {
    ($step:expr, $payload:expr) => {{
        let mut frame = Vec::new();
        $step.write(&mut frame, $payload).unwrap();
        frame
    }};
}

fn arp(operation: ArpOperation, sender: ([u8; 6], [u8; 4]), target: ([u8; 6], [u8; 4])) -> Vec<u8> {
    let ask = operation == ArpOperation::REQUEST;
    let destination = if ask { [0xff; 6] } else { target.0 };
    let target_mac = if ask { [0; 6] } else { target.0 };
    let packet = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        operation,
        &sender.0,
        &sender.1,
        &target_mac,
        &target.1,
    );
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(sender.0, destination).arp(packet.unwrap()).write(&mut frame).unwrap();
    frame
}

/// A question for an address of `www.example.com`, or the answer to it.
fn dns(record: u16, answer: Option<&[u8]>) -> Vec<u8> {
    let flags: u16 = if answer.is_some() { 0x8180 } else { 0x0100 };
    let mut message = Vec::new();
    for field in [0x5bf0, flags, 1, u16::from(answer.is_some()), 0, 0] {
        message.extend(field.to_be_bytes());
    }
    message.extend(b"\x03www\x07example\x03com\x00");
    message.extend([record.to_be_bytes(), 1u16.to_be_bytes()].concat());
    if let Some(address) = answer {
        // The name is the one at byte 12; class IN; an hour to live.
        message.extend([0xc0, 12]);
        message.extend([record.to_be_bytes(), 1u16.to_be_bytes()].concat());
        message.extend(3600u32.to_be_bytes());
        message.extend((address.len() as u16).to_be_bytes());
        message.extend(address);
    }
    message
}

fn packets() -> Vec<Vec<u8>> {
    const A: u16 = 1;
    const AAAA: u16 = 28;
    let ping = b"are you there? -----------------";
    let to_server = || outward().ipv4(HOST.1, SERVER, 64);
    let to_host = || inward().ipv4(SERVER, HOST.1, 57);
    let to_server6 = || outward().ipv6(HOST6, SERVER6, 64);
    let to_host6 = || inward().ipv6(SERVER6, HOST6, 57);
    let (mine, theirs) = (1_000u32, 70_000u32);
    let (asked, answered) = (mine + 1 + GET.len() as u32, theirs + 1 + PAGE.len() as u32);
    let vlan = |number| VlanId::try_new(number).unwrap();
    vec![
        arp(ArpOperation::REQUEST, HOST, GATEWAY),
        arp(ArpOperation::REPLY, GATEWAY, HOST),
        frame!(outward().ipv4(HOST.1, GATEWAY.1, 64).icmpv4_echo_request(7, 1), ping),
        frame!(inward().ipv4(GATEWAY.1, HOST.1, 64).icmpv4_echo_reply(7, 1), ping),
        frame!(outward().ipv4(HOST.1, RESOLVER, 64).udp(40_053, 53), &dns(A, None)),
        frame!(inward().ipv4(RESOLVER, HOST.1, 60).udp(53, 40_053), &dns(A, Some(&SERVER))),
        frame!(to_server().tcp(50_080, 80, mine, 64_240).syn(), &[]),
        frame!(to_host().tcp(80, 50_080, theirs, 65_160).syn().ack(mine + 1), &[]),
        frame!(to_server().tcp(50_080, 80, mine + 1, 502).ack(theirs + 1), &[]),
        frame!(to_server().tcp(50_080, 80, mine + 1, 502).psh().ack(theirs + 1), GET),
        frame!(to_host().tcp(80, 50_080, theirs + 1, 509).ack(asked), &[]),
        frame!(to_host().tcp(80, 50_080, theirs + 1, 509).psh().ack(asked), PAGE),
        frame!(to_server().tcp(50_080, 80, asked, 501).fin().ack(answered), &[]),
        frame!(to_host().tcp(80, 50_080, answered, 509).fin().ack(asked + 1), &[]),
        frame!(to_server().tcp(50_080, 80, asked + 1, 501).ack(answered + 1), &[]),
        frame!(outward().ipv4(HOST.1, RESOLVER, 64).udp(40_054, 53), &dns(AAAA, None)),
        frame!(to_server6().icmpv6_echo_request(8, 1), ping),
        frame!(to_host6().icmpv6_echo_reply(8, 1), ping),
        frame!(to_server6().tcp(50_443, 443, mine, 64_800).syn(), &[]),
        frame!(to_host6().tcp(443, 50_443, 0, 0).rst().ack(mine + 1), &[]),
        frame!(
            outward().single_vlan(vlan(100)).ipv4(HOST.1, SERVER, 64).tcp(50_081, 80, mine, 64_240).syn(),
            &[]
        ),
        frame!(
            outward().double_vlan(vlan(200), vlan(100)).ipv4(HOST.1, GATEWAY.1, 64).icmpv4_echo_request(7, 2),
            ping
        ),
    ]
}

fn file() -> Vec<u8> {
    let header = CaptureHeader::new(LinkType::EN10MB);
    let mut writer = CaptureWriter::new(Vec::new(), header).unwrap();
    for (index, data) in packets().iter().enumerate() {
        let packet = Packet {
            data,
            wire_len: data.len() as u32,
            // A packet every 1.25 milliseconds.
            timestamp: Timestamp { seconds: NOON, nanos: 1_250_000 * index as i64 },
            link_type: header.link_type,
            interface: 0,
            index: index as u64,
        };
        writer.write(&packet).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn the_committed_capture_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/http.pcap");
    let expected = file();
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read(&path).unwrap();
    assert!(found == expected, "{} differs; BLESS=1 writes it again", path.display());
}

#[test]
fn it_reads_as_it_was_written() {
    let (file, packets) = (file(), packets());
    let mut capture = Capture::from_slice(&file).unwrap();
    while let Some(packet) = capture.next_packet().unwrap() {
        assert_eq!(packet.data, packets[packet.index as usize]);
        assert_eq!(packet.timestamp.seconds, NOON);
    }
    assert_eq!(capture.packets(), packets.len() as u64);
}

#[test]
fn every_packet_is_one_that_a_stack_would_take() {
    for packet in packets() {
        let headers = etherparse::PacketHeaders::from_ethernet_slice(&packet).unwrap();
        let payload = headers.payload.slice();
        if let Some(etherparse::NetHeaders::Ipv4(ip, _)) = &headers.net {
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        }
        match (&headers.net, &headers.transport) {
            (Some(net), Some(transport)) => {
                let (sum, expected) = checksums(net, transport, payload);
                assert_eq!(sum, expected);
            }
            (Some(etherparse::NetHeaders::Arp(_)), None) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The checksum in the transport header and the one that it should have.
fn checksums(
    net: &etherparse::NetHeaders,
    transport: &etherparse::TransportHeader,
    payload: &[u8],
) -> (u16, u16) {
    use etherparse::{NetHeaders, TransportHeader};
    match (net, transport) {
        (NetHeaders::Ipv4(ip, _), TransportHeader::Udp(udp)) => {
            (udp.checksum, udp.calc_checksum_ipv4(ip, payload).unwrap())
        }
        (NetHeaders::Ipv4(ip, _), TransportHeader::Tcp(tcp)) => {
            (tcp.checksum, tcp.calc_checksum_ipv4(ip, payload).unwrap())
        }
        (NetHeaders::Ipv6(ip, _), TransportHeader::Tcp(tcp)) => {
            (tcp.checksum, tcp.calc_checksum_ipv6(ip, payload).unwrap())
        }
        (_, TransportHeader::Icmpv4(icmp)) => (icmp.checksum, icmp.icmp_type.calc_checksum(payload)),
        (NetHeaders::Ipv6(ip, _), TransportHeader::Icmpv6(icmp)) => {
            (icmp.checksum, icmp.icmp_type.calc_checksum(ip.source, ip.destination, payload).unwrap())
        }
        other => panic!("{other:?} is not in the capture"),
    }
}
