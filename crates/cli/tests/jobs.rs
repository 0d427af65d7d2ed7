//! Captures that several threads read: the result is that of one.
#![cfg(unix)]

mod common;

use std::fs;
use std::path::Path;

use common::*;
use sandbpf_capture::{CaptureHeader, CaptureWriter, LinkType, Packet, Timestamp};

/// Packets of all lengths, some with what looks like records in them; `long` bytes for one that is longer than a part.
fn capture(link_type: LinkType, packets: u64, long: usize) -> Vec<u8> {
    let mut writer = CaptureWriter::new(Vec::new(), CaptureHeader::new(link_type)).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20
    };
    for index in 0..packets {
        let len = if index == packets / 3 { long } else { random() as usize % 1500 };
        let mut data = vec![0; len];
        // Records of one byte each, from any place on.
        let from = random() as usize % (len + 1);
        if random() % 3 == 0 {
            for record in data[from..].chunks_mut(17) {
                record
                    .iter_mut()
                    .zip([1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7])
                    .for_each(|(to, byte)| *to = byte);
            }
        }
        if random() % 2 == 0 && len > 14 {
            data[12] = 8;
        }
        let timestamp =
            Timestamp { seconds: 1_700_000_000 + index as i64 / 1000, nanos: 1000 * (index as i64 % 1000) };
        writer
            .write(&Packet { data: &data, wire_len: len as u32, timestamp, link_type, interface: 0, index })
            .unwrap();
    }
    writer.finish().unwrap()
}

/// What the command says and writes.
fn run(file: &Path, directory: &Path, more: &[&str]) -> (Option<i32>, String, String, Option<Vec<u8>>) {
    let kept = directory.join("kept.pcap");
    let _ = fs::remove_file(&kept);
    let args = [&["run", FILTER, file.to_str().unwrap(), "-w", kept.to_str().unwrap()], more].concat();
    let done = sandbpf(&args);
    // How long it took may differ.
    let out = done.out.lines().filter(|line| !line.ends_with("with reading")).collect::<Vec<_>>().join("\n");
    (done.code, out, done.err, fs::read(&kept).ok())
}

#[test]
fn the_result_is_that_of_one_thread() {
    let directory = scratch();
    let file = directory.path().join("many.pcap");
    let ethernet = capture(LinkType::EN10MB, 8000, 60);
    let damaged = [&ethernet[..], &[0xff; 40]].concat();
    let files = [
        ethernet.clone(),
        capture(LinkType::DBUS, 2500, 3 << 20),
        // It ends within a packet.
        ethernet[..ethernet.len() - 7].to_vec(),
        damaged,
        // It ends within the first part.
        ethernet[..100_000].to_vec(),
    ];
    for (number, bytes) in files.iter().enumerate() {
        fs::write(&file, bytes).unwrap();
        for more in [&[][..], &["--list", "--verbose", "--engine", "interpreter"], &["--count", "1000"]] {
            let expected = run(&file, directory.path(), more);
            // What is broken is said, and nothing is written then; unless enough was found before.
            let broken = number == 4 || number >= 2 && more != ["--count", "1000"];
            assert_eq!(
                (expected.0 == Some(2), expected.3.is_none()),
                (broken, broken),
                "file {number}, {more:?}"
            );
            for jobs in ["1", "2", "3", "8"] {
                let found = run(&file, directory.path(), &[more, &["--jobs", jobs]].concat());
                assert!(found == expected, "file {number}, {jobs} threads, {more:?}");
            }
        }
    }
}
