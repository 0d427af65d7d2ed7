//! Every file of the recorded corpus, against what libpcap 1.10.3 read from it: number of packets, link type, snapshot
//! length, and a digest over every packet's time, lengths and bytes.

use std::fs;
use std::path::PathBuf;

use sandbpf_capture::{Capture, CaptureError};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Files that libpcap reads in part or not at all, and how many packets there are.
const BETTER_THAN_LIBPCAP: &[(&str, u64)] = &[
    // The byte order changes with the second section.
    ("formats/ng-multi-section.pcapng", 200),
    // The second interface has another link type.
    ("formats/bad-ng-mixed-dlt.pcapng", 2),
];

fn corpus() -> Option<PathBuf> {
    let root = match std::env::var_os("SANDBPF_CORPUS") {
        Some(corpus) => PathBuf::from(corpus),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus")),
    };
    Some(root.join("cbpf/pcaps")).filter(|pcaps| pcaps.join("index.ndjson").exists())
}

/// What the index says of a file.
#[derive(Debug, Default, PartialEq)]
struct Summary {
    dlt: u64,
    snaplen: u64,
    packets: u64,
    cap_bytes: u64,
    truncated: u64,
    digest: String,
}

/// The summary of what can be read, and why no more can.
fn summarize(mut capture: Capture<'_>) -> (Summary, Option<CaptureError>) {
    let mut summary = Summary {
        dlt: capture.link_type().dlt().into(),
        snaplen: capture.snaplen().into(),
        ..Summary::default()
    };
    let mut digest = Sha256::new();
    let error = loop {
        match capture.next_packet() {
            Ok(Some(packet)) => {
                assert_eq!(packet.index, summary.packets);
                digest.update(packet.timestamp.seconds.to_le_bytes());
                digest.update(packet.timestamp.nanos.to_le_bytes());
                digest.update((packet.data.len() as u32).to_le_bytes());
                digest.update(packet.wire_len.to_le_bytes());
                digest.update(packet.data);
                summary.packets += 1;
                summary.cap_bytes += packet.data.len() as u64;
                summary.truncated += u64::from(packet.data.len() < packet.wire_len as usize);
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert_eq!(capture.packets(), summary.packets);
    assert!(capture.next_packet().unwrap().is_none(), "nothing comes after the end");
    summary.digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    (summary, error)
}

#[test]
fn every_recorded_file_reads_as_with_libpcap() {
    let Some(pcaps) = corpus() else {
        println!("skipped: the corpus is not there");
        return;
    };
    let index = fs::read_to_string(pcaps.join("index.ndjson")).unwrap();
    let (mut equal, mut errors, mut better) = (0, 0, 0);
    for row in index.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let name = row["pcap"].as_str().unwrap();
        let bytes = fs::read(pcaps.join(name)).unwrap();
        let (memory, streamed) = (Capture::from_slice(&bytes), Capture::open(&bytes[..]));
        if let Some(expected) = row["open_error"].as_str() {
            let error = memory.err().unwrap_or_else(|| panic!("{name} opens; libpcap says: {expected}"));
            assert_eq!(error.to_string(), streamed.err().unwrap().to_string(), "{name}");
            errors += 1;
            continue;
        }
        let (summary, error) = summarize(memory.unwrap_or_else(|error| panic!("{name}: {error}")));
        let (streamed, stream_error) = summarize(streamed.unwrap());
        assert_eq!(summary, streamed, "{name} as a stream");
        assert_eq!(
            error.as_ref().map(CaptureError::to_string),
            stream_error.map(|error| error.to_string()),
            "{name}"
        );

        if let Some((_, packets)) = BETTER_THAN_LIBPCAP.iter().find(|(better, _)| *better == name) {
            assert!(row["read_error"].is_string(), "{name} is read by libpcap too");
            assert_eq!((summary.packets, error.map(|error| error.to_string())), (*packets, None), "{name}");
            better += 1;
            continue;
        }
        let expected = Summary {
            dlt: row["dlt"].as_u64().unwrap(),
            snaplen: row["snaplen"].as_u64().unwrap(),
            packets: row["packets"].as_u64().unwrap(),
            cap_bytes: row["cap_bytes"].as_u64().unwrap(),
            truncated: row["truncated"].as_u64().unwrap(),
            digest: row["digest"].as_str().unwrap().to_owned(),
        };
        assert_eq!(summary, expected, "{name}");
        // libpcap 1.10.3 has no names for those of private use.
        if let Some(dlt_name) = row["dlt_name"].as_str() {
            assert_eq!(Capture::from_slice(&bytes).unwrap().link_type().name(), Some(dlt_name), "{name}");
        }
        match row["read_error"].as_str() {
            None => assert!(error.is_none(), "{name}: {error:?}"),
            Some(_) => {
                let error = error.unwrap_or_else(|| panic!("{name} has no error"));
                assert_eq!(error.packets(), summary.packets, "{name}");
                errors += 1;
            }
        }
        equal += 1;
    }
    assert_eq!(better, BETTER_THAN_LIBPCAP.len());
    println!("{equal} files equal, {errors} errors as expected, {better} better than libpcap");
}
