//! The decoder against recorded verdicts of Linux 6.18 and of the bpf_conformance suite.
//!
//! The recordings lie outside the repository, under `SANDBPF_CORPUS` or `../shared/corpus` beside
//! it. Where they are absent the tests say so and pass.

use std::{collections::BTreeMap, fs, path::PathBuf};

use sandbpf_isa::{Reserved, decode, decode_with, parse, print};
use serde_json::Value;

/// The records of a file, or nothing and a reason.
fn records(file: &str) -> Vec<Value> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus");
    let root = std::env::var_os("SANDBPF_CORPUS").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let path = root.join("kernel").join(file);
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("skipped: no {}", path.display());
        return Vec::new();
    };
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

/// The instructions of a record, if it has them in plain hexadecimal.
fn bytes(record: &Value) -> Option<Vec<u8>> {
    let hex = record["insns"].as_str()?;
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    Some((0..hex.len()).step_by(2).map(byte).collect())
}

fn name(record: &Value) -> &str {
    record["name"].as_str().unwrap_or("?")
}

/// The kernel's message without numbers: `R12 is invalid` and `R15 is invalid` are one class.
fn class(record: &Value) -> String {
    let line = record["error_line"].as_str().unwrap_or("no message");
    if let Some((before, _)) = line.split_once("opcode ") {
        return format!("{before}opcode N");
    }
    let mut class = String::new();
    for c in line.chars() {
        if !c.is_ascii_digit() {
            class.push(c);
        } else if !class.ends_with('N') {
            class.push('N');
        }
    }
    class
}

/// Messages that are about the encoding alone, so that the decoder has to refuse as well.
const STRUCTURAL: &[&str] = &[
    "unknown opcode N",
    "uses reserved fields",
    "RN is invalid",
    "jump out of range from insn",
    "jump into the middle of ldimmN insn",
    "call to invalid destination",
    "invalid bpf_ld_immN insn",
    "unrecognized bpf_ld_immN insn",
    "BPF_ATOMIC uses invalid atomic opcode N",
    "invalid atomic operand size",
    "invalid may_goto imm N",
    "addr_space_cast insn can only convert between address space N and N",
];

/// Whether the instruction under test is `callx`, which Linux does not know and we do.
fn is_callx(record: &Value) -> bool {
    record["insn"].as_str().is_some_and(|insn| insn.starts_with("8d"))
}

#[test]
fn the_decoder_agrees_with_the_verifier_about_encodings() {
    let mut classes: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for record in records("isa-matrix.dev.ndjson") {
        let bytes = bytes(&record).expect("instructions");
        let ours = decode(&bytes);
        if record["verdict"] == "accept" {
            accepted += 1;
            // Encoding again gives the bytes back, printing and parsing the program.
            let same = ours.as_ref().is_ok_and(|program| {
                program.to_bytes() == bytes && parse(&print(program)).as_ref() == Ok(program)
            });
            if !same {
                wrong.push(format!("{}: Linux accepts, here {ours:?}", name(&record)));
            }
            continue;
        }
        let class = class(&record);
        let structural = STRUCTURAL.iter().any(|message| class.contains(message));
        if structural && ours.is_ok() && !is_callx(&record) {
            wrong.push(format!("{}: Linux says {class}, here it decodes", name(&record)));
        }
        let (all, refused) = classes.entry(class).or_default();
        *all += 1;
        *refused += usize::from(ours.is_err());
    }
    println!("accepted by Linux and decoded: {accepted}");
    for (class, (all, refused)) in &classes {
        println!("refused here {refused:5} of {all:5}  {class}");
    }
    assert!(wrong.is_empty(), "{} disagreements:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every other recorded program that Linux accepts decodes, encodes and prints as it should. Programs
/// above 4096 instructions are recorded compressed and left out.
#[test]
fn whatever_linux_accepts_decodes() {
    let mut wrong = Vec::new();
    for file in ["selftests-verifier", "modern-verifier", "selftests-progs", "objects", "test_bpf"] {
        let mut decoded = 0;
        for record in records(&format!("{file}.dev.ndjson")) {
            let accepted = record["kernel"]["verdict"] == "accept" && record["kind"] != "classic";
            let Some(bytes) = bytes(&record).filter(|_| accepted) else { continue };
            match decode(&bytes) {
                Ok(program) => {
                    decoded += 1;
                    if program.to_bytes() != bytes || parse(&print(&program)).as_ref() != Ok(&program) {
                        wrong.push(format!("{file}: {} does not come back", name(&record)));
                    }
                }
                Err(error) => wrong.push(format!("{file}: {}: {error}", name(&record))),
            }
        }
        println!("{file}: {decoded} decoded");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_conformance_suite_decodes_but_for_its_unused_fields() {
    let (mut refused, mut decoded) = (0, 0);
    for record in records("conformance.dev.ndjson") {
        let Some(bytes) = bytes(&record) else { continue };
        let ours = decode_with(&bytes, Reserved::Rfc9669);
        if name(&record).starts_with("unused-") {
            assert!(ours.is_err(), "{} decodes", name(&record));
            assert!(decode_with(&bytes, Reserved::Ignored).is_ok(), "{} has more wrong", name(&record));
            refused += 1;
        } else {
            let program = ours.unwrap_or_else(|error| panic!("{}: {error}", name(&record)));
            assert_eq!(program.to_bytes(), bytes, "{}", name(&record));
            decoded += 1;
        }
    }
    println!("conformance: {decoded} decoded, {refused} refused");
}
