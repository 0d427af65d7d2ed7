//! Bytes that nobody meant to be a capture: nothing panics, memory and stream agree, and nothing comes from nowhere.

mod common;

use common::{ORDERS, Order, read};
use proptest::prelude::*;

/// A sound file in one of the formats.
fn sound() -> impl Strategy<Value = Vec<u8>> {
    let order = prop::sample::select(ORDERS.to_vec());
    let link_types = prop::sample::select(vec![1u16, 101, 113, 117, 189, 220, 231, 239, 276]);
    let data = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..150), 1..6);
    (order, link_types, data, any::<bool>(), any::<u8>()).prop_map(
        |(order, link_type, packets, next_generation, kind)| {
            if next_generation {
                pcapng(order, link_type, &packets)
            } else {
                pcap(order, link_type, &packets, kind)
            }
        },
    )
}

fn pcap(order: Order, link_type: u16, packets: &[Vec<u8>], kind: u8) -> Vec<u8> {
    let magic = [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34][usize::from(kind % 3)];
    let mut file = order.pcap(magic, (2, u16::from(kind % 5)), 128, link_type.into());
    for packet in packets {
        let length = packet.len() as u32;
        let extra: &[u8] = if kind % 3 == 2 { &[0; 8] } else { &[] };
        file.extend(order.record((1, 2), (length, length), &[extra, packet].concat()));
    }
    file
}

fn pcapng(order: Order, link_type: u16, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = [order.section(), order.interface(link_type, 0, &order.option(9, &[9]))].concat();
    for (index, packet) in packets.iter().enumerate() {
        file.extend(match index % 4 {
            0 => order.enhanced(0, 1, packet.len() as u32, packet),
            1 => order.simple(packet.len() as u32, packet),
            2 => order.obsolete(0, 1, packet.len() as u32, packet),
            _ => [order.section(), order.interface(link_type, 0, &[])].concat(),
        });
    }
    file
}

/// Packets take no more bytes than the file has.
fn check(file: &[u8]) {
    let (packets, _) = read(file);
    let bytes: usize = packets.iter().map(|packet| packet.data.len()).sum();
    assert!(bytes <= file.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn random_bytes_behind_a_magic(
        magic in prop::sample::select(vec![0xa1b2_c3d4u32, 0xa1b2_3c4d, 0xa1b2_cd34, 0x0a0d_0d0a]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        for order in ORDERS {
            check(&[&order.u32(magic), &bytes[..]].concat());
        }
    }

    #[test]
    fn damaged_files(
        mut file in sound(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if cut {
            file.truncate(end.index(file.len()));
        }
        check(&file);
    }
}

#[test]
fn the_files_that_are_damaged_above_are_sound() {
    proptest!(|(file in sound())| {
        let (packets, error) = read(&file);
        prop_assert!(error.is_none(), "{}", error.unwrap());
        prop_assert!(!packets.is_empty());
    });
}
