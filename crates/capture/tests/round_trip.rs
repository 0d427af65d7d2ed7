//! What is written is read again, here and by others.

mod common;

use common::{Owned, packets};
use pcap_file::pcap::PcapParser;
use proptest::prelude::*;
use sandbpf_capture::{CaptureHeader, CaptureWriter, LinkType, Packet, Resolution, Timestamp, WriteError};

/// Packets with times that a pcap file can say.
fn any_packets(resolution: Resolution) -> impl Strategy<Value = Vec<Owned>> {
    let unit = if resolution == Resolution::Nano { 1 } else { 1000 };
    let packet =
        (any::<i32>(), 0..1_000_000_000i64 / unit, any::<u32>(), prop::collection::vec(any::<u8>(), 0..200));
    let packet = packet.prop_map(move |(seconds, fraction, wire_len, data)| Owned {
        data,
        wire_len,
        timestamp: Timestamp { seconds: seconds.into(), nanos: fraction * unit },
        link_type: LinkType::ATM_RFC1483,
        interface: 0,
    });
    prop::collection::vec(packet, 0..20)
}

fn write(header: CaptureHeader, packets: &[Owned]) -> Result<Vec<u8>, WriteError> {
    let mut writer = CaptureWriter::new(Vec::new(), header)?;
    for (index, packet) in packets.iter().enumerate() {
        writer.write(&Packet {
            data: &packet.data,
            wire_len: packet.wire_len,
            timestamp: packet.timestamp,
            link_type: packet.link_type,
            interface: packet.interface,
            index: index as u64,
        })?;
    }
    assert_eq!(writer.packets(), packets.len() as u64);
    writer.finish()
}

/// What `pcap-file` reads: two halves of a time, the length on the wire, bytes.
fn second_opinion(file: &[u8]) -> Vec<(u32, u32, u32, Vec<u8>)> {
    let (mut rest, parser) = PcapParser::new(file).unwrap();
    let mut packets = Vec::new();
    while !rest.is_empty() {
        // Not validated: lengths on the wire are below the captured ones here, and times before 1970.
        let (behind, packet) = parser.next_raw_packet(rest).unwrap();
        assert_eq!(packet.incl_len as usize, packet.data.len());
        packets.push((packet.ts_sec, packet.ts_frac, packet.orig_len, packet.data.into_owned()));
        rest = behind;
    }
    packets
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        (resolution, written) in prop_oneof![Just(Resolution::Micro), Just(Resolution::Nano)]
            .prop_flat_map(|resolution| (Just(resolution), any_packets(resolution))),
        extension in 0u32..64,
    ) {
        let header = CaptureHeader { resolution, extension: extension << 26, ..CaptureHeader::new(LinkType::ATM_RFC1483) };
        let file = write(header, &written).unwrap();
        prop_assert_eq!(sandbpf_capture::Capture::from_slice(&file).unwrap().header(), header);
        prop_assert_eq!(packets(&file), written.clone());

        let unit = if resolution == Resolution::Nano { 1 } else { 1000 };
        let expected: Vec<_> = written
            .into_iter()
            .map(|Owned { timestamp, wire_len, data, .. }| {
                (timestamp.seconds as u32, (timestamp.nanos / unit) as u32, wire_len, data)
            })
            .collect();
        prop_assert_eq!(second_opinion(&file), expected);
    }
}

#[test]
fn a_packet_that_the_file_cannot_hold_is_refused_whole() {
    let header = CaptureHeader { snaplen: 4, ..CaptureHeader::new(LinkType::EN10MB) };
    let good = common::owned(b"four", 9, 1, 0, LinkType::EN10MB);
    let refused = [
        (
            Owned { link_type: LinkType::RAW, ..good.clone() },
            "packet 0 begins with RAW, those before with EN10MB; a pcap file has one link type",
        ),
        (
            Owned { data: b"five5".to_vec(), ..good.clone() },
            "packet 0 has 5 bytes, more than the file's snapshot length 4",
        ),
        (
            Owned { timestamp: Timestamp { seconds: 1 << 32, nanos: 0 }, ..good.clone() },
            "packet 0 was captured 4294967296 seconds after 1970; a pcap file has times of 32 bits",
        ),
    ];
    for (packet, message) in refused {
        assert_eq!(write(header, &[packet]).unwrap_err().to_string(), message);
    }
    assert_eq!(write(header, &[]).unwrap().len(), 24);
    assert_eq!(write(header, &[good]).unwrap().len(), 24 + 16 + 4);
}

#[test]
fn digits_below_the_resolution_are_cut() {
    let packet = common::owned(b"x", 1, 1, 123_456_789, LinkType::EN10MB);
    let file = write(CaptureHeader::new(LinkType::EN10MB), &[packet]).unwrap();
    assert_eq!(packets(&file)[0].timestamp, Timestamp { seconds: 1, nanos: 123_456_000 });
}
