//! The command, as a user or a CI job sees it: what it prints, its exit code, the files that it leaves.

mod common;

use std::fs;

use assert_cmd::Command;
use common::*;
use serde_json::Value;

mod running {
    use super::*;

    #[test]
    fn a_capture_is_counted() {
        assert_eq!(
            succeed(&["run", FILTER, "--pcap", CAPTURE]),
            "14 of 22 packets match (1020 of 1580 bytes)\n"
        );
        assert_eq!(
            succeed(&["run", FILTER, CAPTURE, "--list"]),
            "3-16\n14 of 22 packets match (1020 of 1580 bytes)\n"
        );
        assert_eq!(
            succeed(&["run", FILTER, CAPTURE, CAPTURE]),
            format!(
                "{CAPTURE}: 14 of 22 packets match\n{CAPTURE}: 14 of 22 packets match\n\
                 28 of 44 packets match (2040 of 3160 bytes)\n"
            )
        );
    }

    #[test]
    fn machines_read_json() {
        for engine in ["interpreter", "step", "jit"] {
            if engine == "jit" && !cfg!(target_arch = "x86_64") {
                continue;
            }
            let report = json(&["run", FILTER, CAPTURE, "--format", "json", "--engine", engine]);
            assert_eq!(report["engine"], engine);
            assert_eq!(report["program"]["dialect"], "libpcap");
            assert_eq!((&report["packets"], &report["matched"]), (&22.into(), &14.into()));
            assert_eq!(report["returned"]["262144"], 14);
            assert_eq!(report["captures"][0]["matching"], serde_json::json!([[3, 16]]));
            assert_eq!(report["captures"][0]["link_type"], "EN10MB");
        }
    }

    #[test]
    fn counting_ends_it() {
        assert!(succeed(&["run", FILTER, CAPTURE, "-c", "3", "-l"]).starts_with("3-5\n3 of 5 packets match"));
    }

    #[test]
    fn the_standard_input_is_a_capture_or_a_program() {
        let capture = fs::read(root().join(CAPTURE)).unwrap();
        let done = sandbpf_reading(&["run", FILTER, "-"], &capture);
        assert_eq!(done.out, "14 of 22 packets match (1020 of 1580 bytes)\n");
        let done = sandbpf_reading(&["run", "-", CAPTURE], b"ret #65535");
        assert_eq!(done.out, "22 of 22 packets match (1580 of 1580 bytes)\n");
        assert!(refuse(&["run", "-", "-"]).contains("standard input can be read once"));
    }

    #[test]
    fn the_length_on_the_wire_is_what_a_filter_sees() {
        let longer = "ld len\njgt #1000, yes, no\nyes: ret #1\nno: ret #0";
        assert!(
            succeed(&["run", "-e", longer, "--hex", "00 01", "--wire-len", "1500"]).starts_with("1 of 1")
        );
        assert!(succeed(&["run", "-e", longer, "--hex", "00:01"]).starts_with("0 of 1"));
        let linux = ["run", "-e", longer, "--dialect", "linux", "--hex", "0001", "--wire-len", "1500"];
        assert!(succeed(&linux).starts_with("0 of 1"), "Linux says what is there");
    }

    #[test]
    fn packets_in_hexadecimal_come_from_a_file() {
        let directory = scratch();
        let path = directory.path().join("packets.hex");
        fs::write(&path, "# two packets\n08 00\n\n0x0806 # ARP\n").unwrap();
        let path = path.to_str().unwrap();
        let filter = "ldh [0]\njeq #0x806, yes, no\nyes: ret #1\nno: ret #0";
        assert_eq!(
            succeed(&["run", "-e", filter, "--hex-file", path, "-l"]),
            "2\n1 of 2 packets match (2 of 4 bytes)\n"
        );
        fs::write(path, "08 00\n08 0x\n").unwrap();
        let error = refuse(&["run", "-e", filter, "--hex-file", path]);
        assert!(
            error.contains("packets.hex:2:4: expected a hexadecimal digit, found `0x` without one"),
            "{error}"
        );
    }

    #[test]
    fn nothing_matched_is_an_answer() {
        let nothing = ["run", "-e", "ret #0", CAPTURE];
        assert_eq!(sandbpf(&nothing).code, Some(0));
        assert_eq!(sandbpf(&[&nothing[..], &["--exit-match"]].concat()).code, Some(1));
        assert_eq!(sandbpf(&["run", FILTER, CAPTURE, "--exit-match"]).code, Some(0));
    }

    #[test]
    fn traps_are_shown_and_make_it_fail() {
        let beyond = "r0 = *(u8 *)(r1 + 4096)\nexit";
        let done = sandbpf(&["run", "-e", beyond, CAPTURE]);
        assert_eq!(done.code, Some(1));
        assert!(done.out.contains("http.pcap: packet 1 trapped: at 0: read of 1 byte"), "{}", done.out);
        assert!(done.out.ends_with("22 packets trapped in all\n"), "{}", done.out);
    }

    #[test]
    fn a_budget_ends_loops() {
        let done = sandbpf(&["run", "-e", "L0: goto L0", "--mem", "", "--budget", "1000"]);
        assert_eq!(done.code, Some(1));
        assert!(done.out.contains("trapped"), "{}", done.out);
    }

    #[test]
    fn system_calls_are_judged() {
        let policy = "ld [0]\njeq #59, no, yes\nno: ret #0x50001\nyes: ret #0x7fff0000";
        let args = ["run", "-e", policy, "--syscall", "59", "--syscall", "1,aarch64"];
        assert_eq!(succeed(&args), "x86_64 59: ERRNO(1)\naarch64 1: ALLOW\n");
        let report = json(&[&args[..], &["--format", "json"]].concat());
        assert_eq!(report["syscalls"][0]["returned"], 0x50001);
        assert_eq!(report["syscalls"][1]["action"], "ALLOW");
    }

    #[test]
    fn memory_is_read_and_written() {
        let double = "r0 = *(u32 *)(r1 + 0)\nr0 *= 2\n*(u32 *)(r1 + 0) = r0\nexit";
        assert_eq!(succeed(&["run", "-e", double, "--mem", "15000000"]), "r0 = 0x2a\nmemory = 2a000000\n");
        let report = json(&["run", "-e", double, "--mem", "15000000", "--format", "json"]);
        assert_eq!((&report["r0"], &report["memory"]), (&"0x2a".into(), &"2a000000".into()));
    }

    #[test]
    fn options_that_would_do_nothing_are_refused() {
        assert!(refuse(&["run", FILTER]).contains("nothing to run on"));
        assert!(
            refuse(&["run", FILTER, CAPTURE, "--mem", "00"]).contains("captures cannot be used with buffer")
        );
        assert!(
            refuse(&["run", FILTER, CAPTURE, "--wire-len", "9"]).contains("--wire-len is for packets in hex")
        );
        assert!(refuse(&["run", FILTER, CAPTURE, "--syscall", "1"]).contains("captures cannot be used with"));
    }
}

mod keeping {
    use super::*;

    #[test]
    fn what_matched_is_written_whole() {
        let directory = scratch();
        let kept = directory.path().join("kept.pcap");
        let kept = kept.to_str().unwrap();
        succeed(&["run", FILTER, CAPTURE, "-w", kept]);
        assert_eq!(succeed(&["run", FILTER, kept]), "14 of 14 packets match (1020 of 1020 bytes)\n");
        let file = fs::read(root().join(CAPTURE)).unwrap();
        let copy = fs::read(kept).unwrap();
        assert_eq!(copy.len(), 24 + 14 * 16 + 1020);
        assert_eq!(copy[..24], file[..24], "the header of the capture");
    }

    #[test]
    fn a_capture_may_be_filtered_in_place_or_through_a_pipe() {
        let directory = scratch();
        let path = directory.path().join("c.pcap");
        fs::copy(root().join(CAPTURE), &path).unwrap();
        let place = path.to_str().unwrap();
        succeed(&["run", FILTER, place, "-w", place]);
        let output = Command::cargo_bin("sandbpf")
            .unwrap()
            .current_dir(root())
            .args(["run", FILTER, CAPTURE, "-w", "-"])
            .output()
            .unwrap();
        assert_eq!(output.stdout, fs::read(&path).unwrap());
        assert_eq!(output.stderr, b"14 of 22 packets match (1020 of 1580 bytes)\n");
    }

    #[test]
    fn nothing_is_written_half() {
        let directory = scratch();
        let file = fs::read(root().join(CAPTURE)).unwrap();
        let broken = directory.path().join("broken.pcap");
        fs::write(&broken, &file[..file.len() - 10]).unwrap();
        let kept = directory.path().join("kept.pcap");
        let done = sandbpf(&["run", FILTER, broken.to_str().unwrap(), "-w", kept.to_str().unwrap()]);
        assert_eq!(done.code, Some(2));
        assert_eq!(
            done.out, "14 of 21 packets match (1020 of 1498 bytes)\n",
            "what came before the damage counts"
        );
        assert!(done.err.contains("broken.pcap: at byte"), "{}", done.err);
        assert!(done.err.contains("after 21 packets: the file ends within a packet"), "{}", done.err);
        let left: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["broken.pcap"]);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = refuse(&["run", FILTER, CAPTURE, "-w", "no/such/directory/kept.pcap"]);
        assert!(error.contains("no/such/directory/kept.pcap: cannot write: "), "{error}");
    }
}

mod reading_programs {
    use super::*;

    /// Every form that a filter is shown in is read again, and says the same.
    #[test]
    fn every_form_is_found_out() {
        let shown = succeed(&["disasm", FILTER]);
        assert!(shown.starts_with("(000) ldh      [12]\n"), "{shown}");
        for form in ["tcpdump-d", "tcpdump-dd", "tcpdump-ddd", "bytecode", "bpf-asm", "seccomp-tools"] {
            let text = succeed(&["disasm", FILTER, "--to", form]);
            // A listing for seccomp says what fields of a system call are read; this one reads none.
            if form == "seccomp-tools" {
                continue;
            }
            let again = sandbpf_reading(&["disasm", "-"], text.as_bytes());
            assert_eq!((again.out, again.err), (shown.clone(), String::new()), "{form}");
        }
        let hex = succeed(&["asm", FILTER]);
        assert_eq!(succeed(&["disasm", "-e", &hex]), shown);
    }

    #[test]
    fn extended_text_comes_back() {
        let text = "r0 = *(u32 *)(r1 + 4)\nif r0 != 0 goto L3\nr0 = 1\nL3: exit";
        let hex = succeed(&["asm", "-e", text]);
        assert_eq!(hex.lines().count(), 4);
        let shown = succeed(&["disasm", "-e", &hex]);
        assert_eq!(succeed(&["asm", "-e", &shown]), hex);
        assert_eq!(
            succeed(&["asm", "-e", "exit", "--to", "c"]),
            "0x95, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,\n"
        );
    }

    #[test]
    fn bytes_go_through_files() {
        let directory = scratch();
        let raw = directory.path().join("program.bin");
        let raw = raw.to_str().unwrap();
        succeed(&["asm", "-e", "r0 = 7\nexit", "-o", raw]);
        assert_eq!(fs::read(raw).unwrap().len(), 16);
        assert_eq!(succeed(&["run", raw, "--mem", ""]), "r0 = 0x7\n");
        succeed(&["asm", FILTER, "-o", raw]);
        assert_eq!(succeed(&["run", raw, CAPTURE]), succeed(&["run", FILTER, CAPTURE]));
    }

    #[test]
    fn lowering_is_shown_beside_the_filter() {
        let shown = succeed(&["disasm", FILTER, "--lowered"]);
        assert!(shown.contains("; (000) ldh      [12]\n   0: r0 = *(u16 *)skb[12]\n"), "{shown}");
    }

    #[test]
    fn errors_point_at_the_place() {
        let error = refuse(&["disasm", "-e", "ld [0]\nldx 9*([14]&0xf)"]);
        assert!(error.starts_with("sandbpf: <command line>:2:5: expected `4*([k]&0xf)`"), "{error}");
        assert!(error.contains("   2 | ldx 9*([14]&0xf)\n       |     ^\n"), "{error}");
        let error = refuse(&["asm", "-e", "r0 = 1\nr11 = 2\nexit"]);
        assert!(error.starts_with("sandbpf: <command line>:2:1: "), "{error}");
        assert!(refuse(&["disasm", "-e", ""]).contains("the program is empty"));
        assert!(refuse(&["disasm", "no-such-file"]).starts_with("sandbpf: no-such-file: cannot read: "));
        let error = refuse(&["run", "-e", "jmp far\nret #0", "--form", "bpf-asm", "--hex", "00"]);
        assert!(error.contains("<command line>:1:"), "{error}");
    }

    #[test]
    fn objects_are_told_apart() {
        let done = sandbpf_reading(&["check", "-"], b"\x7fELF\x02\x01\x01");
        assert_eq!(done.code, Some(2));
        assert!(done.err.contains("<stdin>: this is an object file"), "{}", done.err);
        assert!(refuse(&["run", CAPTURE, FILTER]).contains("this is a capture; the program comes before it"));
        let object = "crates/elf/tests/data/counter.o";
        let shown = succeed(&["disasm", object]);
        assert!(shown.starts_with("; count (xdp)\n; map[fd:0] is events\n"), "{shown}");
        // What is shown is read again.
        let done = sandbpf_reading(&["disasm", "-"], shown.as_bytes());
        let code =
            |text: &str| text.lines().filter(|line| !line.starts_with(';')).collect::<Vec<_>>().join("\n");
        assert_eq!(code(&done.out), code(&shown));
        let error = refuse(&["disasm", object, "--program", "cuont"]);
        assert!(error.contains("there is no program `cuont`; there are count"), "{error}");
        assert!(refuse(&["disasm", FILTER, "--program", "count"]).contains("--program is for object files"));
    }

    #[test]
    fn terminals_are_not_steered_by_inputs() {
        let done = sandbpf_reading(&["disasm", "-", "--form", "asm"], b"r0 = \x1b[31m\nexit");
        assert_eq!(done.code, Some(2));
        assert!(!done.err.contains('\x1b'), "{:?}", done.err);
    }
}

mod checking {
    use super::*;

    #[test]
    fn the_rule_and_the_instruction_are_named() {
        assert_eq!(succeed(&["check", FILTER]), "tests/data/ip.ddd: accepted by linux: 4 instructions\n");
        let done = sandbpf(&["check", "-e", "ld [0]\nld M[16]\nret a"]);
        assert_eq!(done.code, Some(1), "{}", done.err);
        let (verdict, line) = done.out.trim_end().split_once('\n').unwrap();
        assert!(verdict.starts_with("<command line>: refused by linux: instruction 1: "), "{verdict}");
        assert_eq!(line, "    (001) ld       M[16]");
        let done = sandbpf(&["check", "-e", "2,135 0 0 0,0 0 0 0"]);
        assert_eq!(done.code, Some(1));
        assert!(done.out.contains("refused by linux"), "{}", done.out);
    }

    #[test]
    fn dialects_differ() {
        // Division by a constant zero: Linux refuses, libpcap refuses as well; a filter without `ret`: both.
        let no_ret = "1,0 0 0 0";
        for dialect in ["libpcap", "linux", "seccomp"] {
            let done = sandbpf(&["check", "-e", no_ret, "--dialect", dialect, "--format", "json"]);
            let verdict: Value = serde_json::from_str(&done.out).unwrap();
            assert_eq!((done.code, &verdict["accepted"]), (Some(1), &false.into()), "{dialect}");
            assert_eq!(verdict["refused"]["errno"], 22);
        }
        // A halfword of a system call: only seccomp minds.
        let half = "2,40 0 0 0,6 0 0 1";
        assert_eq!(sandbpf(&["check", "-e", half, "--dialect", "linux"]).code, Some(0));
        assert_eq!(sandbpf(&["check", "-e", half, "--dialect", "seccomp"]).code, Some(1));
    }

    #[test]
    fn extended_programs_must_decode() {
        assert_eq!(
            succeed(&["check", "-e", "r0 = 0\nexit"]),
            "<command line>: decodes: 2 extended instructions; not verified\n"
        );
        let done = sandbpf(&["check", "-e", "b700000000000001 9500000000000001", "--form", "hex"]);
        assert_eq!(done.code, Some(1), "{}", done.err);
        assert!(done.out.starts_with("<command line>: refused: "), "{}", done.out);
    }
}

mod recorded {
    use super::*;

    /// Linux accepts `ret #1`; a record that says otherwise fails, and what cannot be read is no record.
    #[test]
    fn records_pass_or_fail() {
        let directory = scratch();
        let file = directory.path().join("records.ndjson");
        let run = |text: &str| {
            fs::write(&file, text).unwrap();
            sandbpf(&["vectors", "--jobs", "1", file.to_str().unwrap()])
        };
        let record = r#"{"name": "ret #1", "verdict": "accept", "insn_cnt": 1, "insns": "0600000001000000"}"#;
        let done = run(record);
        assert_eq!((done.code, done.out.lines().last()), (Some(0), Some("1 passed, 0 failed, 0 skipped")));
        let done = run(&record.replace(r#""accept""#, r#""reject", "errno": 22"#));
        assert_eq!((done.code, done.out.lines().last()), (Some(1), Some("0 passed, 1 failed, 0 skipped")));
        let done = run("{\"kind\":\"no such kind\"}");
        assert_eq!((done.code, done.out.lines().last()), (Some(1), Some("0 passed, 0 failed, 1 skipped")));
        let done = run("{");
        assert_eq!(done.code, Some(2), "{}", done.out);
        assert!(refuse(&["vectors", "no-such-file.ndjson"]).contains("no-such-file.ndjson"));
    }
}

mod usage {
    use super::*;

    #[test]
    fn help_and_completions() {
        let help = succeed(&["--help"]);
        assert!(help.contains("Exit codes:"), "{help}");
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            assert!(succeed(&["completions", shell]).contains("sandbpf"), "{shell}");
        }
        assert_eq!(sandbpf(&["no-such-command"]).code, Some(2));
        assert_eq!(sandbpf(&["run", "--engine", "warp", FILTER, CAPTURE]).code, Some(2));
    }
}
