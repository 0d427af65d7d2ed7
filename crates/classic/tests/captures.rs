//! Filters that libpcap compiled, over captures: recorded verdicts of libpcap and of the kernel.
//!
//! Of the 20 000 rows over captures one in `EVERY` is taken; `SANDBPF_EVERY=1` takes all.

mod common;

use std::collections::HashMap;

use common::{End, bytes, corpus, number, program, records, run_program, verdict};
use sandbpf_capture::Capture;
use sandbpf_classic::reference::{self, Packet};
use sandbpf_classic::{ClassicInsn, Dialect, Filter, from_bytes, lower};
use serde_json::Value;
use sha2::{Digest, Sha256};

const EVERY: usize = 40;

/// Bytes and length on the wire.
type Packets = Vec<(Vec<u8>, u32)>;

fn packets(name: &str) -> Packets {
    let file = std::fs::read(corpus().join("cbpf/pcaps").join(name)).expect("a capture");
    let mut capture = Capture::from_slice(&file).expect("a capture");
    let mut packets = Vec::new();
    // Some are broken on purpose; the record counts the packets before the damage.
    while let Ok(Some(packet)) = capture.next_packet() {
        packets.push((packet.data.to_vec(), packet.wire_len));
    }
    packets
}

/// The program that a row names, such as `1.10.3:opt`; none if the record dropped its code for size.
fn named(filter: &Value, name: &str) -> Option<Vec<ClassicInsn>> {
    let (version, kind) = name.split_once(':').expect("version and kind");
    let old = &filter["v1.10.3"];
    let of = |code: &Value, kind: &str| match kind {
        "noopt" if code["noopt_same"] == true => code.get("opt").map(program),
        kind => code.get(kind).map(program),
    };
    let new = &filter["v1.11-git"];
    let same = filter["git_same"] == true || new[format!("{kind}_same_as_1.10.3")] == true;
    if version == "1.10.3" || same { of(old, kind) } else { of(new, kind) }
}

#[test]
fn verdicts() {
    let filters: HashMap<String, Value> = records("cbpf/filters.dev.ndjson")
        .into_iter()
        .map(|filter| (filter["id"].as_str().expect("an id").to_string(), filter))
        .collect();
    let every = std::env::var("SANDBPF_EVERY").map_or(EVERY, |every| every.parse().expect("a number"));
    let mut captures: HashMap<String, Packets> = HashMap::new();
    let (mut programs, mut evaluations, mut dropped) = (0, 0, 0);
    for row in records("cbpf/verdicts.dev.ndjson").iter().step_by(every) {
        let filter = &filters[row["id"].as_str().expect("an id")];
        let name = row["pcap"].as_str().expect("a capture");
        let packets = captures.entry(name.to_string()).or_insert_with(|| packets(name));
        // Our reader goes on where libpcap gives up: at a section in the other byte order.
        let packets = packets.get(..number(&row["n"]) as usize).expect("as many packets as libpcap reads");
        for which in row["progs"].as_array().expect("programs") {
            let which = which.as_str().expect("a name");
            let Some(insns) = named(filter, which) else {
                dropped += 1;
                continue;
            };
            let filter = Filter::check(&insns, Dialect::Libpcap).expect("libpcap's own filter");
            let lowered = lower(&filter);
            let (mut digest, mut matches) = (Sha256::new(), 0);
            for (data, wire_len) in packets {
                let packet = Packet { wire_len: *wire_len, ..Packet::new(data) };
                let value = reference::run(&filter, &packet).expect("a verdict");
                let found = run_program(&lowered, Dialect::Libpcap, &packet);
                assert_eq!(found, End::Verdict(value), "{row}: {which}: lowered");
                digest.update(value.to_le_bytes());
                matches += u64::from(value != 0);
                evaluations += 1;
            }
            assert_eq!(matches, number(&row["match"]), "{row}: {which}");
            let digest = hex::encode(digest.finalize());
            assert_eq!(Some(&digest[..32]), row["sha256"].as_str(), "{row}: {which}");
            programs += 1;
        }
    }
    println!("{programs} programs over a capture, {evaluations} evaluations, {dropped} without code");
}

/// What `tcpdump` installs on an interface.
#[test]
fn linux_extensions() {
    let mut attached = 0;
    for record in records("cbpf/filters-linuxext.dev.ndjson") {
        for kind in ["opt", "noopt"] {
            let Some(insns) = record.get(kind).map(program) else { continue };
            let accepted = number_or_errno(&record[format!("{kind}_kernel_attach")]) == 0;
            let checked = Filter::check(&insns, Dialect::Linux);
            assert_eq!(checked.is_ok(), accepted, "{}: {checked:?}", record["expr"]);
            attached += 1;
        }
    }
    println!("{attached} filters attached");
}

fn number_or_errno(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("0 or an errno, not {value}"))
}

#[test]
fn kernel_verdicts() {
    let Some(packets) = records_of_packets() else { return };
    let mut runs = 0;
    for record in records("kernel/cbpf-pcap.dev.ndjson") {
        let name = record["name"].as_str().expect("a name");
        if record["insns"].is_null() {
            println!("skipped, libpcap does not compile it: {name}");
            continue;
        }
        let insns = from_bytes(&bytes(&record["insns"])).expect("whole instructions");
        let checked = Filter::check(&insns, Dialect::Linux);
        assert_eq!(checked.is_ok(), record["attach"] == "accept", "{name}: {checked:?}");
        let (Ok(filter), Some(passes)) = (checked, record["passes"].as_array()) else { continue };
        for (what, data) in &packets {
            let passed = verdict(name, &filter, &Packet::new(data)).expect("a verdict") != 0;
            assert_eq!(passed, passes.iter().any(|pass| pass == what), "{name}: {what}");
            runs += 1;
        }
    }
    println!("{runs} runs");
}

fn records_of_packets() -> Option<Vec<(String, Vec<u8>)>> {
    let text = std::fs::read_to_string(corpus().join("kernel/cbpf-packets.json"))
        .inspect_err(|_| println!("SKIPPED: the packets of kernel/cbpf-pcap are not there"))
        .ok()?;
    let all: HashMap<String, Value> = serde_json::from_str(&text).expect("JSON");
    Some(all.into_iter().map(|(name, data)| (name, bytes(&data))).collect())
}
