//! What Linux 6.18 says of numbers: rows of `numbers.txt`, each an operation, its operands and what the kernel's
//! verifier printed afterwards, against what [`sandbpf_verifier::domain`] says.
//!
//! Another table can be named in `SANDBPF_NUMBERS`.

use std::fmt::Write;

use sandbpf_isa::{AluOp, Cond, UnaryOp, Width};
use sandbpf_verifier::domain::{Scalar, Tnum, branch_taken, refine, refine_itself};

/// Reads a number as the kernel prints it in a log: `-16`, `0xf0` or
/// `scalar(smin=umin=2,smax=0xff,var_off=(0x0; 0xff))`; bounds that are not printed are the widest.
fn read(text: &str) -> Scalar {
    let Some(parts) = text.strip_prefix("scalar(").and_then(|rest| rest.strip_suffix(')')) else {
        return Scalar::known(read_value(text));
    };
    let mut number = Scalar::UNKNOWN;
    let (parts, bits) = match parts.split_once("var_off=(") {
        Some((parts, bits)) => (parts, Some(bits)),
        None => (parts, None),
    };
    if let Some(bits) = bits {
        let (value, mask) = bits.trim_end_matches(')').split_once("; ").expect("a value and a mask");
        number.var_off = Tnum { value: read_value(value), mask: read_value(mask) };
    }
    for part in parts.split(',').filter(|part| !part.is_empty()) {
        let (names, value) = part.rsplit_once('=').expect("names and a value");
        let value = read_value(value);
        for name in names.split('=') {
            match name {
                "smin" => number.smin = value as i64,
                "smax" => number.smax = value as i64,
                "umin" => number.umin = value,
                "umax" => number.umax = value,
                "smin32" => number.s32_min = value as i32,
                "smax32" => number.s32_max = value as i32,
                "umin32" => number.u32_min = value as u32,
                "umax32" => number.u32_max = value as u32,
                other => panic!("{other} is no bound"),
            }
        }
    }
    number
}

fn read_value(text: &str) -> u64 {
    let (digits, negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let value = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    let value = value.expect("a number");
    if negative { value.wrapping_neg() } else { value }
}

/// The name in the table, without the width.
fn split(name: &str) -> (&str, Width) {
    match (name.strip_suffix("32"), name.strip_suffix("64")) {
        (Some(name), _) => (name, Width::W32),
        (_, Some(name)) => (name, Width::W64),
        _ => panic!("{name} has no width"),
    }
}

fn named<T: Copy + std::fmt::Debug>(all: &[T], name: &str) -> Option<T> {
    all.iter().copied().find(|one| format!("{one:?}").eq_ignore_ascii_case(name))
}

/// What is wrong with a row, if anything.
fn differs(row: &str) -> Option<String> {
    let fields: Vec<&str> = row.split('\t').collect();
    let mut wrong = String::new();
    let mut check = |what: &str, ours: Scalar, theirs: &str| {
        if theirs == "-" {
            return;
        }
        let theirs = read(theirs);
        // Of a number that is known the kernel prints nothing but the value.
        let same = match theirs.const_value() {
            Some(value) => ours.const_value() == Some(value),
            None => ours == theirs,
        };
        if !same {
            let _ = writeln!(wrong, "  {what}: {ours:x?}\n  kernel: {theirs:x?}");
        }
    };
    if let Some(op) = named(UnaryOp::ALL, fields[0]) {
        check("result", read(fields[1]).unary(op), fields[3]);
    } else {
        let a = read(fields[1]);
        let b = if fields[2] == "-" { Scalar::UNKNOWN } else { read(fields[2]) };
        if let Some(name) = fields[0].strip_prefix("linked") {
            check("result", a.moved(b.smin, split(name).1), fields[3]);
            return (!wrong.is_empty()).then(|| format!("{row}\n{wrong}"));
        }
        if let Some(name) = fields[0].strip_prefix("self-") {
            let (name, width) = split(name);
            let cond = named(Cond::ALL, name).expect("a condition");
            for (taken, at) in [(false, 4), (true, 6)] {
                let mut number = a;
                refine_itself(cond, width, taken, &mut number);
                check(if taken { "taken" } else { "not taken" }, number, fields[at]);
            }
            return (!wrong.is_empty()).then(|| format!("{row}\n{wrong}"));
        }
        let Some(name) = fields[0].strip_prefix("if-") else {
            let (name, width) = split(fields[0]);
            let op = named(AluOp::ALL, name).expect("an operation");
            check("result", a.alu(op, width, &b), fields[3]);
            return (!wrong.is_empty()).then(|| format!("{row}\n{wrong}"));
        };
        let (name, width) = split(name);
        let cond = named(Cond::ALL, name).expect("a condition");
        let ours = match branch_taken(cond, width, &a, &b) {
            Some(true) => "taken",
            Some(false) => "skipped",
            None => "both",
        };
        if ours != fields[3] {
            return Some(format!("{row}\n  ours: {ours}"));
        }
        if ours == "both" {
            for (taken, at) in [(false, 4), (true, 6)] {
                let (mut a, mut b) = (a, b);
                refine(cond, width, taken, &mut a, &mut b);
                check(if taken { "left, taken" } else { "left, not taken" }, a, fields[at]);
                check(if taken { "right, taken" } else { "right, not taken" }, b, fields[at + 1]);
            }
        }
    }
    (!wrong.is_empty()).then(|| format!("{row}\n{wrong}"))
}

#[test]
fn numbers_are_what_the_kernel_says() {
    let path = std::env::var("SANDBPF_NUMBERS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/numbers.txt").to_owned());
    let table = std::fs::read_to_string(&path).expect("the table");
    let rows: Vec<&str> = table.lines().filter(|row| !row.is_empty() && !row.starts_with('#')).collect();
    assert!(rows.len() > 100, "{path} has {} rows", rows.len());
    let wrong: Vec<String> = rows.iter().filter_map(|row| differs(row)).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} rows differ\n{}",
        wrong.len(),
        rows.len(),
        wrong[..wrong.len().min(12)].join("\n")
    );
}
