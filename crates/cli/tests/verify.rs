//! `sandbpf verify`, as a user or a CI job sees it.

mod common;

use common::*;

const OBJECT: &str = "crates/elf/tests/data/counter.o";
const NULL: &str = "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = r2\nr0 = 0\nr0 = *(u64 *)(r0 + 0)\nexit";

#[test]
fn an_object_that_linux_would_load() {
    let out = succeed(&["verify", OBJECT]);
    assert!(out.starts_with("count (xdp): xdp: accepted, "), "{out}");
    let report = json(&["verify", OBJECT, "--format", "json", "--program", "count"]);
    assert_eq!(report["programs"][0]["accepted"], true);
    assert!(report["programs"][0]["processed"].as_u64().unwrap() > 10);
}

#[test]
fn a_rejection_says_where_what_and_why() {
    let done = sandbpf(&["verify", "-e", NULL]);
    assert_eq!(done.code, Some(1));
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(lines[0], "<command line>: socket-filter: rejected with EACCES");
    assert_eq!(lines[1], "    R0 invalid mem access 'scalar'");
    assert!(lines.contains(&"  >     5: r0 = *(u64 *)(r0 + 0)"), "{lines:#?}");
    assert!(lines.contains(&"    r0 = 0"), "{lines:#?}");
    let origin = lines.iter().position(|line| *line == "  r0 comes from").expect("an origin");
    assert_eq!(lines[origin + 1], "        4: r0 = 0");
    assert!(done.out.contains("a number used as an address"), "{lines:#?}");
}

#[test]
fn machines_read_rejections() {
    let done = sandbpf(&["verify", "-e", NULL, "--kind", "xdp", "--format", "json"]);
    assert_eq!(done.code, Some(1));
    let report: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let rejection = &report["programs"][0]["rejection"];
    assert_eq!(rejection["errno"], "EACCES");
    assert_eq!(rejection["errno_number"], 13);
    assert_eq!(rejection["instruction"], 5);
    assert_eq!(rejection["known"]["r0"], "0");
    assert_eq!(rejection["listing"][3]["failed"], true);
    assert_eq!(rejection["origin"]["register"], "r0");
    assert_eq!(rejection["origin"]["instructions"][0]["instruction"], 4);
}

#[test]
fn the_source_is_shown_where_the_object_tells() {
    // Without the rights to read the packet's end and its length apart, nothing is accepted.
    let done = sandbpf(&["verify", OBJECT, "--cap", "none"]);
    assert_eq!(done.code, Some(1));
    assert!(done.out.starts_with("count (xdp): xdp: rejected with EPERM"), "{}", done.out);
}

#[test]
fn the_log_is_printed() {
    let done = sandbpf(&["verify", "-e", "r0 = 0\nexit", "--log-level", "5"]);
    assert_eq!(done.code, Some(0));
    assert_eq!(
        done.out,
        "<command line>: socket-filter: accepted, 2 instructions processed\n\
         0: R1=ctx() R10=fp0\n\
         0: (b7) r0 = 0                        ; R0=0\n\
         1: (95) exit\n\
         stack depth 0\n\
         processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n"
    );
}

#[test]
fn what_is_no_instruction_is_rejected_in_the_verifiers_words() {
    let done =
        sandbpf(&["verify", "-e", "ff00000000000000\n9500000000000000", "--form", "hex", "--kind", "xdp"]);
    assert_eq!(done.code, Some(1), "{}", done.err);
    assert!(done.out.contains("unknown opcode ff"), "{}", done.out);
}

#[test]
fn classic_filters_are_checked() {
    assert_eq!(
        succeed(&["verify", FILTER]),
        format!("{FILTER}: classic filter, checked by the rules of Linux sockets: accepted\n")
    );
    let done = sandbpf(&["verify", "-e", "ldx #1\nret a", "--kind", "seccomp"]);
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    let done = sandbpf(&["verify", "-e", "ldh [0]\nret #0", "--kind", "seccomp"]);
    assert_eq!(done.code, Some(1));
    assert!(done.out.contains("rejected: instruction 0: "), "{}", done.out);
}

#[test]
fn bad_usage_is_told() {
    assert!(refuse(&["verify", OBJECT, "--program", "nobody"]).contains("there is no program `nobody`"));
    assert!(
        refuse(&["verify", "-e", "exit", "--kind", "buffer"]).contains("Linux verifies no buffer programs")
    );
    assert!(refuse(&["verify", "/no/such/file"]).contains("cannot read"));
    assert!(refuse(&["verify", OBJECT, "--log-level", "9"]).contains("--log-level"));
    assert!(refuse(&["verify", OBJECT, "--btf", "tests/data/ip.ddd"]).contains("ip.ddd"));
}
