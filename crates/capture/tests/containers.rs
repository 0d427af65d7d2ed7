//! The same packets in every container.

mod common;

use common::{ORDERS, Order, Owned, owned, packets};
use sandbpf_capture::{Capture, LinkType, Resolution};

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const KUZNETZOV: u32 = 0xa1b2_cd34;
const ETHERNET: u32 = 1;

/// What every container holds here: five bytes of nine, three of three; 1.5 and 2.25 seconds after 1970.
fn expected(link_type: LinkType) -> Vec<Owned> {
    vec![owned(b"first", 9, 1, 500_000_000, link_type), owned(b"two", 3, 2, 250_000_000, link_type)]
}

fn pcap(order: Order, magic: u32, version: (u16, u16), swapped: bool) -> Vec<u8> {
    let unit = if magic == NANOSECONDS { 1_000_000_000 } else { 1_000_000 };
    let lengths = |captured, wire| if swapped { (wire, captured) } else { (captured, wire) };
    let extra: &[u8] = if magic == KUZNETZOV { &[0xee; 8] } else { &[] };
    [
        order.pcap(magic, version, 65_535, ETHERNET),
        order.record((1, unit / 2), lengths(5, 9), &[extra, b"first"].concat()),
        order.record((2, unit / 4), lengths(3, 3), &[extra, b"two"].concat()),
    ]
    .concat()
}

#[test]
fn pcap_in_both_orders_and_three_dialects() {
    for order in ORDERS {
        for magic in [MICROSECONDS, NANOSECONDS, KUZNETZOV] {
            let file = pcap(order, magic, (2, 4), false);
            assert_eq!(packets(&file), expected(LinkType::EN10MB), "{order:?} {magic:#x}");
            let header = Capture::from_slice(&file).unwrap().header();
            let fake_ethernet = if magic == KUZNETZOV { 14 } else { 0 };
            assert_eq!((header.link_type, header.snaplen), (LinkType::EN10MB, 65_535 + fake_ethernet));
            assert_eq!(header.resolution == Resolution::Nano, magic == NANOSECONDS);
        }
    }
}

#[test]
fn lengths_were_exchanged_before_version_2_3() {
    for (version, swapped) in [
        ((2, 0), true),
        ((2, 1), true),
        ((2, 2), true),
        ((543, 0), true),
        ((2, 3), true),
        ((2, 3), false),
        ((2, 4), false),
    ] {
        let file = pcap(Order::Little, MICROSECONDS, version, swapped);
        assert_eq!(packets(&file), expected(LinkType::EN10MB), "{version:?} {swapped}");
    }
}

#[test]
fn a_packet_is_cut_at_the_snapshot_length_of_a_pcap_file() {
    let order = Order::Little;
    let file = [
        order.pcap(MICROSECONDS, (2, 4), 4, ETHERNET),
        order.record((0, 0), (6, 6), b"longer"),
        order.record((0, 0), (2, 2), b"ok"),
    ]
    .concat();
    let expected = [owned(b"long", 6, 0, 0, LinkType::EN10MB), owned(b"ok", 2, 0, 0, LinkType::EN10MB)];
    assert_eq!(packets(&file), expected);
}

#[test]
fn a_wire_length_below_the_captured_one_is_kept() {
    let order = Order::Little;
    let header = order.pcap(MICROSECONDS, (2, 4), 100, ETHERNET);
    let file = [header, order.record((0, 0), (4, 1), b"four")].concat();
    assert_eq!(packets(&file), [owned(b"four", 1, 0, 0, LinkType::EN10MB)]);
}

#[test]
fn the_length_of_the_check_sequence_is_no_part_of_the_link_type() {
    let order = Order::Little;
    let file = order.pcap(MICROSECONDS, (2, 4), 0, 0x2400_0000 | 101);
    let header = Capture::from_slice(&file).unwrap().header();
    assert_eq!((header.link_type, header.extension), (LinkType::RAW, 0x2400_0000));
    assert_eq!(header.snaplen, 262_144);
}

#[test]
fn a_dbus_message_may_be_larger_than_a_packet() {
    let order = Order::Big;
    let message = vec![b'd'; 300_000];
    let file = |link_type| {
        [
            order.pcap(MICROSECONDS, (2, 4), 1 << 20, link_type),
            order.record((0, 0), (300_000, 300_000), &message),
        ]
        .concat()
    };
    assert_eq!(packets(&file(231)), [owned(&message, 300_000, 0, 0, LinkType::DBUS)]);
    assert!(common::read(&file(ETHERNET)).1.is_some());
}

#[test]
fn times_beyond_2038_are_read_as_libpcap_reads_them() {
    for (order, seconds) in [(Order::Little, -1), (Order::Big, 0xffff_ffff)] {
        let header = order.pcap(MICROSECONDS, (2, 4), 100, ETHERNET);
        let file = [header, order.record((u32::MAX, 0), (1, 1), b"x")].concat();
        assert_eq!(packets(&file), [owned(b"x", 1, seconds, 0, LinkType::EN10MB)]);
    }
}

#[test]
fn pcapng_in_both_orders_with_enhanced_and_obsolete_packets() {
    for order in ORDERS {
        let open = [order.section(), order.interface(101, 65_535, &[])].concat();
        let enhanced = [
            open.clone(),
            order.enhanced(0, 1_500_000, 9, b"first"),
            // A name resolution block, an unknown one and interface statistics are passed over.
            order.block(4, &[0; 4]),
            order.block(0x8000_1234, b"whatever"),
            order.enhanced(0, 2_250_000, 3, b"two"),
            order.block(5, &[0; 12]),
        ];
        assert_eq!(packets(&enhanced.concat()), expected(LinkType::RAW));
        let obsolete =
            [open, order.obsolete(0, 1_500_000, 9, b"first"), order.obsolete(0, 2_250_000, 3, b"two")];
        assert_eq!(packets(&obsolete.concat()), expected(LinkType::RAW));
    }
}

#[test]
fn a_simple_packet_has_no_time_and_is_cut_at_the_snapshot_length() {
    for order in ORDERS {
        let file = [
            order.section(),
            order.interface(1, 5, &order.option(14, &order.u64(1000))),
            order.interface(1, 99, &[]),
            order.simple(9, b"first"),
            order.simple(3, b"two"),
        ]
        .concat();
        let expected =
            [owned(b"first", 9, 1000, 0, LinkType::EN10MB), owned(b"two", 3, 1000, 0, LinkType::EN10MB)];
        assert_eq!(packets(&file), expected);
    }
}

#[test]
fn each_interface_has_its_clock_and_its_link_type() {
    for order in ORDERS {
        let nanoseconds =
            [order.option(9, &[9]), order.option(1, b"a comment"), order.option(0, &[])].concat();
        let binary = [order.option(9, &[0x80 | 10]), order.option(14, &order.u64(-100i64 as u64))].concat();
        let file = [
            order.section(),
            order.interface(1, 0, &nanoseconds),
            order.interface(101, 0, &binary),
            order.enhanced(1, 1024 + 512, 1, b"1"),
            order.enhanced(0, 7_000_000_001, 1, b"0"),
        ]
        .concat();
        let mut expected =
            [owned(b"1", 1, -99, 500_000_000, LinkType::RAW), owned(b"0", 1, 7, 1, LinkType::EN10MB)];
        expected[0].interface = 1;
        assert_eq!(packets(&file), expected);
        let header = Capture::from_slice(&file).unwrap().header();
        assert_eq!((header.link_type, header.resolution), (LinkType::EN10MB, Resolution::Nano));
    }
}

#[test]
fn a_section_has_its_own_byte_order_and_interfaces() {
    let [little, big] = ORDERS;
    for (one, other) in [(little, big), (big, little), (little, little)] {
        let file = [
            one.section(),
            one.interface(1, 0, &[]),
            one.enhanced(0, 1_500_000, 9, b"first"),
            other.section(),
            other.interface(1, 0, &[]),
            other.enhanced(0, 2_250_000, 3, b"two"),
        ]
        .concat();
        assert_eq!(packets(&file), expected(LinkType::EN10MB));
    }
}

#[test]
fn a_file_without_packets_is_a_capture() {
    assert_eq!(packets(&Order::Big.pcap(MICROSECONDS, (2, 4), 100, 1)), []);
    assert_eq!(packets(&[Order::Big.section(), Order::Big.interface(1, 0, &[])].concat()), []);
}

#[test]
fn a_packet_is_delivered_before_the_pipe_brings_the_next() {
    /// Gives what it has, then fails the test: a reader that asks for more would wait.
    struct Pipe(Vec<u8>);
    impl std::io::Read for Pipe {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            assert!(!self.0.is_empty(), "the packet was there already");
            let count = room.len().min(self.0.len());
            room[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }
    let files = [
        pcap(Order::Little, MICROSECONDS, (2, 4), false),
        [Order::Little.section(), Order::Little.interface(1, 0, &[]), Order::Little.simple(1, b"a")].concat(),
    ];
    for file in files {
        let mut capture = Capture::open(Pipe(file)).unwrap();
        assert!(capture.next_packet().unwrap().is_some());
    }
}
