//! Broken files: the packets before the damage, then an error that says where and what.

mod common;

use common::{Order, read};
use sandbpf_capture::{Capture, CaptureErrorKind as Kind, Part};

const LITTLE: Order = Order::Little;

/// Two good packets of ten bytes in a pcap file, which end at byte 76.
fn pcap() -> Vec<u8> {
    let record = LITTLE.record((0, 0), (10, 10), &[7; 10]);
    [LITTLE.pcap(0xa1b2_c3d4, (2, 4), 65_535, 1), record.clone(), record].concat()
}

/// Two good packets of eight bytes in a pcapng file, which end at byte 128.
fn pcapng() -> Vec<u8> {
    let packet = LITTLE.enhanced(0, 0, 8, &[7; 8]);
    [LITTLE.section(), LITTLE.interface(1, 65_535, &[]), packet.clone(), packet].concat()
}

/// What the error says, and after how many packets.
fn error(file: &[u8]) -> (usize, String) {
    let (packets, error) = read(file);
    let error = error.expect("the file is broken");
    assert_eq!(error.packets(), packets.len() as u64);
    (packets.len(), error.to_string())
}

/// The error of a pcapng file whose third packet is these bytes.
fn third_block(bytes: &[u8]) -> String {
    let (packets, error) = error(&[pcapng(), bytes.to_vec()].concat());
    assert_eq!(packets, 2);
    error.strip_prefix("at byte 128, after 2 packets: ").expect(&error).to_owned()
}

/// The error of a pcapng file with these options at its interface.
fn interface_options(options: &[u8]) -> String {
    let (_, error) = error(&[LITTLE.section(), LITTLE.interface(1, 0, options)].concat());
    error.strip_prefix("at byte 28, after 0 packets: ").expect(&error).to_owned()
}

#[test]
fn what_is_no_capture_says_so() {
    assert_eq!(error(b"").1, "at byte 0, after 0 packets: the file is empty");
    assert_eq!(
        error(b"ab").1,
        "at byte 0, after 0 packets: the file ends within a file header: it has 4 bytes, 2 are there"
    );
    assert_eq!(
        error(b"\x7fELF\x02\x01\x01").1,
        "at byte 0, after 0 packets: no capture file begins with [7f, 45, 4c, 46]"
    );
    assert!(error(&[0x28, 0xb5, 0x2f, 0xfd]).1.ends_with("; this is zstd, decompress it first"));
}

#[test]
fn a_pcap_file_may_end_anywhere() {
    let file = pcap();
    for length in 4..file.len() {
        let (packets, error) = read(&file[..length]);
        let (expected_packets, offset, part) = match length {
            0..24 => (0, 0, Part::FileHeader),
            24 | 50 => {
                assert!(error.is_none());
                continue;
            }
            25..40 => (0, 24, Part::RecordHeader),
            40..50 => (0, 24, Part::Packet),
            51..66 => (1, 50, Part::RecordHeader),
            _ => (1, 50, Part::Packet),
        };
        let error = error.unwrap();
        assert_eq!((packets.len(), error.offset()), (expected_packets, offset), "{length}");
        assert!(matches!(error.kind(), Kind::Truncated { part: found, .. } if *found == part), "{error}");
    }
    assert_eq!(
        error(&file[..70]).1,
        "at byte 50, after 1 packet: the file ends within a packet: it has 10 bytes, 4 are there"
    );
}

#[test]
fn a_pcapng_file_may_end_anywhere() {
    let file = pcapng();
    for length in 4..file.len() {
        let (packets, error) = read(&file[..length]);
        if [48, 88].contains(&length) {
            assert!(error.is_none());
            continue;
        }
        let error = error.unwrap();
        assert_eq!(packets.len(), usize::from(length > 88), "{length}");
        let truncated = matches!(error.kind(), Kind::Truncated { part: Part::Block | Part::BlockHeader, .. });
        assert!(truncated || matches!((length, error.kind()), (28, Kind::NoInterface)), "{length}: {error}");
    }
    assert_eq!(
        error(&file[..100]).1,
        "at byte 88, after 1 packet: the file ends within a block: it has 40 bytes, 12 are there"
    );
}

#[test]
fn versions_that_nobody_knows() {
    let version = |major, minor| error(&LITTLE.pcap(0xa1b2_c3d4, (major, minor), 0, 1)).1;
    assert_eq!(version(2, 5), "at byte 0, after 0 packets: version 2.5 of pcap; 2.0 to 2.4 are known");
    assert!(version(1, 2).contains("version 1.2 of pcap"));
    assert!(version(543, 1).contains("version 543.1 of pcap"));
    let mut section = LITTLE.section();
    section[14] = 1;
    assert_eq!(error(&section).1, "at byte 0, after 0 packets: version 1.1 of pcapng; 1.0 and 1.2 are known");
    section[12] = 2;
    assert!(third_block(&section).starts_with("version 2.1 of pcapng"));
}

#[test]
fn a_captured_length_that_cannot_be() {
    let record = LITTLE.record((0, 0), (0x7fff_ffff, 0x7fff_ffff), &[]);
    assert_eq!(
        error(&[pcap(), record].concat()),
        (
            2,
            "at byte 76, after 2 packets: a packet has 2147483647 captured bytes; 262144 is the limit".into()
        )
    );
    let packet = LITTLE.enhanced(0, 0, 70_000, &vec![0; 70_000]);
    assert_eq!(third_block(&packet), "a packet has 70000 captured bytes; 65535 is the limit");
}

#[test]
fn a_block_of_a_length_that_cannot_be() {
    let header = |length| LITTLE.u32s(&[6, length, 0, 0, 0, 0]);
    assert_eq!(third_block(&header(8)), "a block has 8 bytes; it takes 12 to 16777216, in multiples of 4");
    assert!(third_block(&header(35)).starts_with("a block has 35 bytes"));
    assert!(third_block(&header(u32::MAX - 3)).starts_with("a block has 4294967292 bytes"));
    let mut packet = LITTLE.enhanced(0, 0, 8, &[0; 8]);
    packet[36] = 44;
    assert_eq!(third_block(&packet), "a block has 40 bytes by its first length and 44 by its last");
}

#[test]
fn a_first_section_of_a_length_that_cannot_be() {
    for length in [24, (1 << 20) + 4] {
        let mut section = LITTLE.section();
        section[4..8].copy_from_slice(&LITTLE.u32(length));
        let expected = format!(
            "at byte 0, after 0 packets: a block has {length} bytes; it takes 28 to 1048576, in multiples of 4"
        );
        assert_eq!(error(&section).1, expected);
    }
}

#[test]
fn a_block_without_room_for_its_content() {
    let short = "the content of a block of type";
    assert_eq!(
        third_block(&LITTLE.block(6, &[0; 16])),
        format!("{short} 0x6 has 20 bytes, the block has room for 16")
    );
    assert_eq!(
        third_block(&LITTLE.block(2, &[])),
        format!("{short} 0x2 has 20 bytes, the block has room for 0")
    );
    assert_eq!(
        third_block(&LITTLE.block(3, &[])),
        format!("{short} 0x3 has 4 bytes, the block has room for 0")
    );
    assert_eq!(
        third_block(&LITTLE.block(1, &[0; 4])),
        format!("{short} 0x1 has 8 bytes, the block has room for 4")
    );
    assert_eq!(
        third_block(&LITTLE.simple(9, b"eight888")),
        format!("{short} 0x3 has 9 bytes, the block has room for 8")
    );
    let mut packet = LITTLE.enhanced(0, 0, 8, &[0; 8]);
    packet[20] = 9;
    assert_eq!(third_block(&packet), format!("{short} 0x6 has 9 bytes, the block has room for 8"));
}

#[test]
fn packets_from_nowhere() {
    let packet = LITTLE.enhanced(1, 0, 8, &[0; 8]);
    let unknown = "a packet comes from interface 1; the section has described 1 so far";
    assert_eq!(third_block(&packet), unknown);
    assert_eq!(third_block(&LITTLE.obsolete(1, 0, 8, &[0; 8])), unknown);
    for packet in [LITTLE.enhanced(0, 0, 1, b"x"), LITTLE.simple(1, b"x"), LITTLE.obsolete(0, 0, 1, b"x")] {
        assert_eq!(
            error(&[LITTLE.section(), packet.clone()].concat()).1,
            "at byte 28, after 0 packets: a packet comes from interface 0; the section has described 0 so far"
        );
        // A new section forgets the interfaces of the one before.
        let (packets, error) = error(&[pcapng(), LITTLE.section(), packet].concat());
        assert_eq!(packets, 2);
        assert!(
            error.starts_with("at byte 156, after 2 packets: a packet comes from interface 0"),
            "{error}"
        );
    }
    assert_eq!(
        error(&[LITTLE.section(), LITTLE.block(4, &[0; 4])].concat()).1,
        "at byte 44, after 0 packets: the file describes no interface"
    );
}

#[test]
fn a_section_in_no_byte_order() {
    let mut section = LITTLE.section();
    section[8] = 0;
    assert_eq!(
        error(&section).1,
        "at byte 0, after 0 packets: a section's byte-order magic is [00, 3c, 2b, 1a]"
    );
    assert_eq!(third_block(&section), "a section's byte-order magic is [00, 3c, 2b, 1a]");
}

#[test]
fn options_of_an_interface_that_cannot_be() {
    let option = |code, value: &[u8]| interface_options(&LITTLE.option(code, value));
    assert_eq!(option(9, &[6, 6]), "option if_tsresol of an interface has 2 bytes; it takes 1");
    assert_eq!(option(9, &[]), "option if_tsresol of an interface has 0 bytes; it takes 1");
    assert_eq!(option(14, &[0; 4]), "option if_tsoffset of an interface has 4 bytes; it takes 8");
    assert_eq!(option(0, &[0; 4]), "option opt_endofopt of an interface has 4 bytes; it takes 0");
    assert_eq!(option(9, &[20]), "the time stamps of an interface count 10^-20 seconds; 10^-19 is the least");
    assert_eq!(option(9, &[0xc0]), "the time stamps of an interface count 2^-64 seconds; 2^-63 is the least");
    assert_eq!(
        interface_options(&[LITTLE.option(9, &[6]), LITTLE.option(9, &[6])].concat()),
        "an interface has option if_tsresol twice"
    );
    assert_eq!(
        interface_options(&[LITTLE.u16(2), LITTLE.u16(5)].concat()),
        "the content of a block of type 0x1 has 8 bytes, the block has room for 0"
    );
}

#[test]
fn interfaces_without_end() {
    let file = [LITTLE.section(), LITTLE.interface(1, 0, &[]).repeat(65_537)].concat();
    assert!(error(&file).1.ends_with("a section describes more than 65536 interfaces"));
}

#[test]
fn a_reader_that_fails() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let error = Capture::open(Broken).err().unwrap();
    assert!(matches!(error.kind(), Kind::Io(_)));
    assert_eq!(error.to_string(), "at byte 0, after 0 packets: cannot read");
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "the disk is gone");

    use std::io::Read;
    let mut capture = Capture::open(std::io::Cursor::new(pcap()).chain(Broken)).unwrap();
    while capture.packets() < 2 {
        capture.next_packet().unwrap();
    }
    let error = capture.next_packet().unwrap_err();
    assert_eq!((error.offset(), error.packets()), (76, 2));
    assert!(capture.next_packet().unwrap().is_none(), "an error is the last thing that is returned");
}
