//! Recorded results of libpcap, of the kernel and of seccomp, against the reference and the lowered program.

mod common;

use common::{bytes, number, program, records, system_call, verdict};
use sandbpf_abi::SkBuff;
use sandbpf_classic::reference::{Packet, Stopped};
use sandbpf_classic::shape::Shape;
use sandbpf_classic::{ClassicInsn, Dialect, Filter, from_bytes};
use serde_json::Value;

fn filter(name: &str, record: &Value, dialect: Dialect) -> Filter {
    let insns = from_bytes(&bytes(&record["insns"])).expect("whole instructions");
    Filter::check(&insns, dialect).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn kernel_results() {
    let mut runs = 0;
    for record in records("kernel/cbpf-semantics.dev.ndjson") {
        let name = record["name"].as_str().expect("a name");
        if record["unstable"].as_bool() == Some(true) {
            println!("skipped, not the same twice: {name}");
            continue;
        }
        let filter = filter(name, &record, Dialect::Linux);
        let data = bytes(&record["data"]);
        let expected = number(&record["retval"]) as u32;
        assert_eq!(verdict(name, &filter, &Packet::new(&data)), Ok(expected), "{name}");
        runs += 1;
    }
    println!("{runs} runs");
}

/// Whether a filter asks for what the packet of a record does not tell: processor, payload, dice.
fn asks_machine(insns: &[ClassicInsn]) -> bool {
    let load = |insn: &ClassicInsn| matches!(Shape::of(insn.code), Some(Shape::LoadAbsolute(_)));
    insns.iter().any(|insn| load(insn) && [0xffff_f024, 0xffff_f034, 0xffff_f038].contains(&insn.k))
}

/// The packet of `lib/test_bpf.c` (`populate_skb`).
fn test_packet(data: &[u8]) -> Packet<'_> {
    Packet {
        network: data.len().min(14),
        link: Some(0),
        skb: SkBuff {
            protocol: 0x0800u16.to_be().into(),
            pkt_type: 3,
            mark: 0x1234_aaaa,
            hash: 0x1234_aaab,
            queue_mapping: 123,
            vlan_tci: 0xffff,
            vlan_present: 1,
            vlan_proto: 0x0800u16.to_be().into(),
            ifindex: 577,
            hatype: 588,
            ..SkBuff::default()
        },
        ..Packet::new(data)
    }
}

#[test]
fn kernel_self_tests() {
    let mut runs = 0;
    for record in records("kernel/test_bpf.dev.ndjson") {
        if record["kind"] != "classic" {
            continue;
        }
        let name = record["name"].as_str().expect("a name");
        let refused = !record["expected_errcode"].is_null();
        let Some(code) = record["insns"].as_str() else {
            println!("skipped, compressed: {name}");
            continue;
        };
        let insns = from_bytes(&hex::decode(code).expect("hex")).expect("whole instructions");
        let checked = Filter::check(&insns, Dialect::Linux);
        assert_eq!(checked.is_err(), refused, "{name}: {checked:?}");
        let Ok(filter) = checked else { continue };
        if asks_machine(&insns) {
            println!("skipped, asks the machine: {name}");
            continue;
        }
        let mut data = bytes(&record["data"]);
        for test in record["tests"].as_array().expect("tests") {
            let size = number(&test["data_size"]) as usize;
            data.resize(data.len().max(size), 0);
            let mut packet = data[..size].to_vec();
            if let Some(fragment) = record["frag_data"].as_str() {
                packet.extend(hex::decode(fragment).expect("hex"));
            }
            let mut packet = test_packet(&packet);
            packet.network = size.min(14);
            let expected = number(&test["result"]) as u32;
            assert_eq!(verdict(name, &filter, &packet), Ok(expected), "{name}, {size} bytes");
            runs += 1;
        }
    }
    println!("{runs} runs");
}

/// `(i*37+0x81)&255`, or hex.
fn edge_packet(value: &Value) -> Vec<u8> {
    match value.get("gen") {
        Some(formula) => {
            assert_eq!(formula, "(i*37+0x81)&255");
            (0..number(&value["len"])).map(|i| (i * 37 + 0x81) as u8).collect()
        }
        None => bytes(value),
    }
}

#[test]
fn edges() {
    let (mut userland, mut kernel, mut undefined) = (0, 0, 0);
    for record in records("cbpf/edge.dev.ndjson") {
        let name = record["name"].as_str().expect("a name");
        let insns = program(&record["prog"]);
        let libpcap = Filter::check(&insns, Dialect::Libpcap);
        let linux = Filter::check(&insns, Dialect::Linux);
        assert_eq!(libpcap.is_ok(), record["libpcap_validate"]["1.10.3"] == 1, "{name}: {libpcap:?}");
        assert_eq!(linux.is_ok(), record["kernel_attach"] == 0, "{name}: {linux:?}");
        for run in record["runs"].as_array().expect("runs") {
            let data = edge_packet(&run["pkt"]);
            let mut packet = Packet::new(&data);
            if let Some(wire_len) = run["wirelen"].as_u64() {
                packet.wire_len = wire_len as u32;
            }
            // A run that needs a program that the other side refuses is recorded as a curiosity.
            if let Ok(filter) = &libpcap {
                let found = verdict(name, filter, &packet);
                match &run["pcap"] {
                    Value::String(signal) if signal == "sig6" => {
                        assert!(matches!(found, Err(Stopped::Undefined(_))), "{name}: {found:?}");
                    }
                    Value::String(signal) => {
                        assert_eq!((signal.as_str(), found), ("sig14", Err(Stopped::TooLong)), "{name}");
                    }
                    // 1.10.3 has what was on the stack in words never stored; 1.11 has zeros, as we do.
                    expected => {
                        let expected = run.get("pcap_git").unwrap_or(expected);
                        assert_eq!(found, Ok(number(expected) as u32), "{name}: {run}");
                    }
                }
                userland += 1;
            } else {
                undefined += 1;
            }
            if let (Ok(filter), Some(expected)) = (&linux, run["kret"].as_u64()) {
                if asks_machine(&insns) {
                    println!("skipped, asks the machine: {name}");
                    continue;
                }
                assert_eq!(verdict(name, filter, &packet), Ok(expected as u32), "{name}: {run}");
                kernel += 1;
            }
        }
    }
    println!("{userland} runs of libpcap, {kernel} of the kernel, {undefined} of programs libpcap refuses");
}

#[test]
fn seccomp() {
    let mut runs = 0;
    for record in records("cbpf/seccomp.dev.ndjson") {
        let name = record["name"].as_str().expect("a name");
        let checked = Filter::check(&program(&record["prog"]), Dialect::Seccomp);
        assert_eq!(checked.is_ok(), record["seccomp_install"] == 0, "{name}: {checked:?}");
        let (Ok(filter), Some(inputs)) = (checked, record["inputs"].as_array()) else { continue };
        for input in inputs {
            let call = system_call(input);
            let expected = number(&input["ret"]) as u32;
            assert_eq!(verdict(name, &filter, &Packet::new(&call)), Ok(expected), "{name}: {input}");
            runs += 1;
        }
    }
    println!("{runs} runs");
}

/// Whether a byte is not the first byte of the word that the same record has at the same offset.
fn contradicts_itself(what: &str, results: &serde_json::Map<String, Value>) -> bool {
    let word = results.get(&what.replace("_b_", "_w_")).and_then(Value::as_u64);
    let byte = results.get(what).and_then(Value::as_u64);
    what.contains("_b_") && matches!((word, byte), (Some(word), Some(byte)) if word >> 24 != byte)
}

/// `PACKET_OUTGOING` of `linux/if_packet.h`.
const PACKET_OUTGOING: u32 = 4;

#[test]
fn ancillary() {
    let programs = records("cbpf/ancillary-programs.json");
    let mut runs = 0;
    for record in records("cbpf/ancillary.dev.ndjson") {
        let name = record["name"].as_str().expect("a name");
        let results = record["results"].as_object().expect("results");
        let seen = bytes(&record["socket_sees_hex"]);
        let known = |what: &str| results.get(what).and_then(Value::as_u64).map_or(0, |value| value as u32);
        // A datagram socket sees what follows the link header, from which the device took its tag.
        let (frame, data) = match record["ctx"].as_str() {
            Some("packet-dgram") => {
                let sent = bytes(&record["sent_frame"]);
                let tag = if known("ad_vlan_tag_present") == 1 { 4 } else { 0 };
                ([&sent[..12], &sent[12 + tag..14 + tag], &seen].concat(), 14)
            }
            _ => (seen, 0),
        };
        let mut packet = Packet { data, network: 14, link: Some(0), ..Packet::new(&frame) };
        packet.skb = SkBuff {
            protocol: (known("ad_protocol") as u16).to_be().into(),
            pkt_type: known("ad_pkttype"),
            ifindex: number(&record["ifindex"]) as u32,
            hatype: number(&record["hatype"]) as u32,
            mark: number(&record["mark"]) as u32,
            queue_mapping: known("ad_queue"),
            hash: known("ad_rxhash"),
            vlan_tci: known("ad_vlan_tag"),
            vlan_present: known("ad_vlan_tag_present"),
            vlan_proto: (known("ad_vlan_tpid") as u16).to_be().into(),
            ..SkBuff::default()
        };
        (packet.cpu, packet.random) = (known("ad_cpu"), known("ad_random"));
        packet.payload_offset = known("ad_pay_offset");
        let headers_unknown = record["sent_frame"].is_null() && record["ctx"] != "packet-lo-mark";
        for (what, insns) in programs[0].as_object().expect("programs") {
            let name = format!("{name}: {what}");
            let insns = program(insns);
            let Some(expected) = results.get(what) else { continue };
            if !expected["attach"].is_null() {
                assert!(Filter::check(&insns, Dialect::Linux).is_err(), "{name}");
                continue;
            }
            let loads = !what.starts_with("ad_") && what != "vlan_lib";
            if loads && headers_unknown {
                println!("skipped, the headers before the payload are not recorded: {name}");
                continue;
            }
            // Each result is of another packet, and those that the host makes are not alike.
            if loads && packet.skb.pkt_type == PACKET_OUTGOING {
                println!("skipped, a packet that the host made: {name}");
                continue;
            }
            if contradicts_itself(what, results) {
                println!("skipped, another packet came between: {name}");
                continue;
            }
            let filter =
                Filter::check(&insns, Dialect::Linux).unwrap_or_else(|error| panic!("{name}: {error}"));
            let expected = expected.as_u64().unwrap_or(0) as u32;
            assert_eq!(verdict(&name, &filter, &packet), Ok(expected), "{name}");
            runs += 1;
        }
    }
    println!("{runs} runs");
}

/// `ld #a; ldx #x; op x; ret a`, around the width of a word.
#[test]
fn shifts() {
    for dialect in Dialect::ALL {
        for (code, shifted) in
            [(0x6c, u32::checked_shl as fn(u32, u32) -> Option<u32>), (0x7c, u32::checked_shr)]
        {
            for x in (0..70).chain([u32::MAX - 31, u32::MAX]) {
                let insns = [(0x00, 0x8000_0001), (0x01, x), (code, 0), (0x16, 0)];
                let insns = insns.map(|(code, k)| ClassicInsn { code, jt: 0, jf: 0, k });
                let filter = Filter::check(&insns, dialect).expect("a sound filter");
                let by = if dialect == Dialect::Libpcap { x } else { x % 32 };
                let expected = shifted(0x8000_0001, by).unwrap_or(0);
                assert_eq!(
                    verdict("shift", &filter, &Packet::new(&[])),
                    Ok(expected),
                    "{dialect:?} {code:#x} {x}"
                );
            }
        }
    }
}
