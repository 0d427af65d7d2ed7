//! What is no instruction, in the kernel's words: a few by hand, and recorded ones of Linux 6.18.
//!
//! The recordings lie outside the repository, under `SANDBPF_CORPUS` or `../shared/corpus` beside it. Where they are absent
//! the test says so and passes.

use std::fs;
use std::path::PathBuf;

use sandbpf_abi::{Program, ProgramType};
use sandbpf_verifier::{Environment, mended, undecodable, verify};
use serde_json::Value;

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// What is said of these instructions; nothing if they can be decoded.
fn said(hex: &str) -> Option<(&'static str, String)> {
    let code = bytes(hex);
    let error = sandbpf_isa::decode(&code).err()?;
    let rejection = undecodable(&error, &code).rejection;
    Some((rejection.errno.name(), rejection.message))
}

const ZERO: &str = "b700000000000000";
const EXIT: &str = "9500000000000000";

#[test]
fn faults_have_an_order() {
    let table = [
        // A register that does not exist, and fields that are not used.
        ("070b000001000000", "R11 is invalid"),
        ("071b000001000000", "BPF_ALU uses reserved fields"),
        ("1dbc000001000000", "R12 is invalid"),
        ("1db1000001000000", "BPF_JMP/JMP32 uses reserved fields"),
        ("61cb000000000000", "R12 is invalid"),
        ("61cb000001000000", "BPF_LDX uses reserved fields"),
        ("b710000000000000", "BPF_MOV uses reserved fields"),
        ("bf12010002000000", "addr_space_cast insn can only convert between address space 1 and 0"),
        ("d701000011000000", "BPF_END uses reserved fields"),
        ("db1a000002000000", "BPF_ATOMIC uses invalid atomic opcode 02"),
        ("cb1a000001000000", "invalid atomic operand size"),
        ("8500010001000000", "BPF_CALL uses reserved fields"),
        // Before the walk: jumps, then opcodes, then what is never reached.
        ("ff00000000000000", "unknown opcode ff"),
        ("0f00000001000000", "BPF_ALU uses reserved fields"),
        ("f500080000000000", "jump out of range from insn 1 to 10"),
        ("0501010000000000", "unreachable insn 2"),
        ("8510000008000000", "call to invalid destination"),
        ("1800000000000000", "invalid bpf_ld_imm64 insn"),
    ];
    for (insn, message) in table {
        let hex = [ZERO, insn, ZERO, EXIT].concat();
        assert_eq!(said(&hex), Some(("EINVAL", message.to_owned())), "{insn}");
    }
    let falls_off = [ZERO, EXIT, "ff00000000000000"].concat();
    assert_eq!(said(&falls_off).expect("a fault").1, "last insn is not an exit or jmp");
}

/// What the walk says of these instructions, which cannot be decoded, and at which.
fn walked(hex: &str) -> Option<(u32, String)> {
    let code = bytes(hex);
    assert!(sandbpf_isa::decode(&code).is_err(), "{hex}");
    let (program, faults) = mended(&code).expect("only the walk finds it");
    let env = Environment { faults: &faults, ..Environment::new(Program::new(ProgramType::SocketFilter)) };
    let rejection = verify(&program, &env).err()?;
    Some((rejection.pc.expect("an instruction").0, rejection.message))
}

#[test]
fn what_the_walk_finds_it_says_when_it_comes_there() {
    let table = [
        // The left side of a comparison is looked at before the fields, and what makes a sum after them.
        ("1d23000001000000", 1, "R3 !read_ok"),
        ("1d20000001000000", 1, "BPF_JMP/JMP32 uses reserved fields"),
        ("1dc3000000000000", 1, "R3 !read_ok"),
        ("1dc0000000000000", 1, "R12 is invalid"),
        ("0f23000001000000", 1, "BPF_ALU uses reserved fields"),
        ("0f3b000000000000", 1, "R3 !read_ok"),
        ("0f1b000000000000", 1, "R11 is invalid"),
        ("7b3b000000000000", 1, "R3 !read_ok"),
        ("db1a000002000000", 1, "BPF_ATOMIC uses invalid atomic opcode 02"),
        ("8501000001000000", 1, "BPF_CALL uses reserved fields"),
        ("e501000000000000", 1, "invalid may_goto imm 0"),
        ("2010000000000000", 1, "BPF_LD_[ABS|IND] uses reserved fields"),
    ];
    for (insn, at, message) in table {
        assert_eq!(walked(&[ZERO, insn, ZERO, EXIT].concat()), Some((at, message.into())), "{insn}");
    }
    // What stands before it is refused first, and what no path comes to is never looked at.
    let before = ["bf90000000000000", "b700010000000000", EXIT].concat();
    assert_eq!(walked(&before), Some((0, "R9 !read_ok".into())));
    let dead = [ZERO, "1500010000000000", "b700010000000000", EXIT].concat();
    assert_eq!(walked(&dead), None);
}

#[test]
fn recorded_faults_are_told_in_the_kernels_words() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus");
    let root = std::env::var_os("SANDBPF_CORPUS").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let path = root.join("kernel/isa-matrix.dev.ndjson");
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("skipped: no {}", path.display());
        return;
    };
    let (mut told, mut wrong) = (0, Vec::new());
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).expect("one JSON object a line");
        let Some((errno, message)) = record["insns"].as_str().and_then(said) else { continue };
        let kernel = record["error_line"].as_str().unwrap_or("accepted");
        // Types of the kernel are not known to bytes.
        if kernel.contains("btf_id") || kernel.contains("BTF object") {
            continue;
        }
        told += 1;
        if record["errno"] != errno || kernel != message {
            wrong.push(format!("{}: {kernel}, here {message}", record["name"]));
        }
    }
    println!("{told} told");
    assert!(told > 5000, "{told} is too few");
    assert!(wrong.is_empty(), "{} of {told} differ:\n{}", wrong.len(), wrong.join("\n"));
}
