//! Recorded answers of the real tools: text forms and verdicts. Skipped, and said so, where they are not there.

use std::path::PathBuf;

use sandbpf_classic::{ClassicInsn, Dialect, Filter, Form, from_bytes, parse, parse_as, print};
use serde_json::Value;

/// The records of a file, if the corpus is there.
fn records(file: &str) -> Option<Vec<Value>> {
    let corpus = std::env::var_os("SANDBPF_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        PathBuf::from,
    );
    let path = corpus.join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: {} is not there", path.display());
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).expect("a record is JSON")).collect())
}

fn program(value: &Value) -> Option<Vec<ClassicInsn>> {
    let insn = |row: &Value| {
        let field = |i: usize| row.get(i).and_then(Value::as_u64);
        Some(ClassicInsn {
            code: field(0)?.try_into().ok()?,
            jt: field(1)?.try_into().ok()?,
            jf: field(2)?.try_into().ok()?,
            k: field(3)?.try_into().ok()?,
        })
    };
    value.as_array()?.iter().map(insn).collect()
}

#[test]
fn printed_forms() {
    let Some(records) = records("cbpf/asm-roundtrip.dev.ndjson") else { return };
    for record in &records {
        let name = record["name"].as_str().expect("a name");
        let insns = program(&record["prog"]).expect("a program");
        for (field, form) in [
            ("tcpdump_d", Form::TcpdumpD),
            ("tcpdump_dd", Form::TcpdumpDd),
            ("tcpdump_ddd", Form::TcpdumpDdd),
            ("bytecode", Form::Bytecode),
        ] {
            let Some(expected) = record[field].as_str() else { continue };
            let printed = print(&insns, form);
            assert_eq!(printed.trim_end_matches('\n'), expected.trim_end_matches('\n'), "{name}: {field}");
            let parsed =
                parse(expected).unwrap_or_else(|error| panic!("{name}: {field}: {error}\n{expected}"));
            match form {
                // It does not print what an instruction does not use.
                Form::TcpdumpD => assert_eq!(print(&parsed, form), printed, "{name}: {field}"),
                _ => assert_eq!(parsed, insns, "{name}: {field}"),
            }
        }
        if let Some(expected) = record["tcpdump_d_git"].as_str() {
            let parsed = parse(expected).unwrap_or_else(|error| panic!("{name}: {error}\n{expected}"));
            assert_eq!(print(&parsed, Form::TcpdumpD), print(&insns, Form::TcpdumpD), "{name}");
        }
    }
}

#[test]
fn assembler() {
    let Some(records) = records("cbpf/bpf_asm.dev.ndjson") else { return };
    for record in &records {
        let source = record["src"].as_str().expect("a source");
        match (parse_as(source, Form::BpfAsm), record["rc"].as_i64()) {
            (Ok(insns), Some(0)) => assert_eq!(Some(insns), program(&record["prog"]), "{source}"),
            (Err(_), Some(1)) => {}
            (ours, theirs) => panic!("{source:?}: ours {ours:?}, theirs {theirs:?} {}", record["stderr"]),
        }
    }
}

#[test]
fn compiled_filters_print_as_recorded() {
    let Some(records) = records("cbpf/filters.dev.ndjson") else { return };
    for record in &records {
        for version in ["v1.10.3"] {
            for kind in ["opt", "noopt"] {
                let Some(insns) = program(&record[version][kind]) else { continue };
                assert!(Filter::check(&insns, Dialect::Libpcap).is_ok());
                let Some(text) = record[version][format!("{kind}_d")].as_str() else { continue };
                assert_eq!(print(&insns, Form::TcpdumpD).trim_end(), text.trim_end());
                // Text does not show what an instruction does not use.
                for (text, form) in [(text, Form::TcpdumpD), (&print(&insns, Form::BpfAsm), Form::BpfAsm)] {
                    let parsed = parse_as(text, form).expect("it is of this form");
                    assert_eq!(print(&parsed, Form::TcpdumpD), print(&insns, Form::TcpdumpD));
                }
            }
        }
    }
}

#[test]
fn attach_verdicts() {
    let Some(records) = records("kernel/cbpf-attach.dev.ndjson") else { return };
    for record in &records {
        let Some(hex) = record["insns"].as_str() else { continue };
        let insns = from_bytes(&hex::decode(hex).expect("hex")).expect("whole instructions");
        let verdict = Filter::check(&insns, Dialect::Linux);
        assert_eq!(verdict.is_ok(), record["verdict"] == "accept", "{}: {verdict:?}", record["name"]);
    }
}

#[test]
fn edge_verdicts() {
    let Some(records) = records("cbpf/edge.dev.ndjson") else { return };
    for record in &records {
        let Some(insns) = program(&record["prog"]) else { continue };
        let name = &record["name"];
        let validate = Filter::check(&insns, Dialect::Libpcap);
        assert_eq!(validate.is_ok(), record["libpcap_validate"]["1.10.3"] == 1, "{name}: {validate:?}");
        if record["kernel_attach"] != "ENOMEM" {
            let attach = Filter::check(&insns, Dialect::Linux);
            assert_eq!(attach.is_ok(), record["kernel_attach"] == 0, "{name}: {attach:?}");
        }
    }
}

#[test]
fn seccomp_verdicts() {
    let Some(records) = records("cbpf/seccomp.dev.ndjson") else { return };
    for record in &records {
        let Some(insns) = program(&record["prog"]) else { continue };
        let verdict = Filter::check(&insns, Dialect::Seccomp);
        assert_eq!(verdict.is_ok(), record["seccomp_install"] == 0, "{}: {verdict:?}", record["name"]);
    }
}
