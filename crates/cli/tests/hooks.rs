//! Programs of hooks and object files, from the command line.

mod common;

use std::fs;

use common::*;
use serde_json::Value;

mod packet_hooks {
    use super::*;

    /// Drops what is no IPv4, answers TCP by exchanging the ends of the addresses, lets the rest pass.
    const REPLY: &str = "
        r2 = *(u32 *)(r1 + 0)
        r3 = *(u32 *)(r1 + 4)
        r4 = r2
        r4 += 34
        r0 = 1
        if r4 > r3 goto end
        r5 = *(u16 *)(r2 + 12)
        if r5 != 8 goto end
        r0 = 2
        r5 = *(u8 *)(r2 + 23)
        if r5 != 6 goto end
        r5 = *(u16 *)(r2 + 4)
        r6 = *(u16 *)(r2 + 10)
        *(u16 *)(r2 + 4) = r6
        *(u16 *)(r2 + 10) = r5
        r0 = 3
        end: exit";

    #[test]
    fn xdp_drops_passes_and_changes() {
        let directory = scratch();
        let kept = directory.path().join("kept.pcap");
        let kept = kept.to_str().unwrap();
        for engine in ["interpreter", "step", "auto"] {
            let args = ["run", "-e", REPLY, "--kind", "xdp", CAPTURE, "--engine", engine, "-w", kept];
            let report = json(&[&args[..], &["--format", "json"]].concat());
            let count = |name: &str| report["returned"][name].as_u64().unwrap_or(0);
            assert_eq!(count("XDP_DROP") + count("XDP_PASS") + count("XDP_TX"), 22, "{report}");
            assert_eq!((count("XDP_DROP"), &report["matched"]), (8, &14.into()), "{report}");
            assert_eq!(report["changed"], count("XDP_TX"), "{report}");
            assert!(count("XDP_TX") > 0, "{report}");
        }
        assert!(succeed(&["run", FILTER, kept]).starts_with("14 of 14 packets match"));
    }

    #[test]
    fn traffic_control_has_its_own_names() {
        let shot = "r0 = 2\nexit";
        let shown = succeed(&["run", "-e", shot, "--kind", "sched-cls", CAPTURE]);
        assert_eq!(shown, "0 of 22 packets match (0 of 1580 bytes)\n22 packets: TC_ACT_SHOT\n");
        assert!(succeed(&["run", "-e", shot, "--kind", "cgroup-skb", CAPTURE]).starts_with("0 of 22"));
    }
}

mod objects {
    use super::*;

    const OBJECT: &str = "crates/elf/tests/data/counter.o";
    const BLOCKED: &str = "examples/xdp-firewall/blocked.json";

    #[test]
    fn contents_are_shown() {
        let shown = succeed(&["object", OBJECT]);
        assert!(shown.starts_with("license: GPL\nprogram count (xdp): xdp, 58 instructions\n"), "{shown}");
        assert!(shown.contains("    helpers: map_lookup_elem, map_update_elem\n"), "{shown}");
        assert!(shown.contains("map events: hash, 2 -> 16 bytes, 64 entries\n"), "{shown}");
        let contents = json(&["object", OBJECT, "--format", "json"]);
        assert_eq!(contents["programs"][0]["functions"], serde_json::json!(["port_of", "drop"]));
        let done = sandbpf_reading(&["object", "-"], b"\x7fELF");
        assert_eq!(done.code, Some(2));
        assert!(done.err.starts_with("sandbpf: <stdin>: "), "{}", done.err);
    }

    #[test]
    fn globals_change_and_maps_are_written() {
        let directory = scratch();
        let maps = directory.path().join("maps.json");
        let maps = maps.to_str().unwrap();
        for engine in ["interpreter", "step", "auto"] {
            let args =
                ["run", OBJECT, CAPTURE, "--engine", engine, "--maps", maps, "--set-global", "limit=3"];
            let shown = succeed(&args);
            assert!(shown.contains("3 packets: XDP_DROP\n19 packets: XDP_PASS\n"), "{shown}");
            let dumped: Value = serde_json::from_str(&fs::read_to_string(maps).unwrap()).unwrap();
            let events =
                dumped["maps"].as_array().unwrap().iter().find(|map| map["name"] == "events").unwrap();
            let http = events["entries"].as_array().unwrap().iter().find(|entry| entry["key"] == 80).unwrap();
            assert_eq!(http["value"], serde_json::json!({"count": 5, "last": 0, "port": 80, "flags": 0}));
            let bss =
                dumped["maps"].as_array().unwrap().iter().find(|map| map["name"] == "counter.bss").unwrap();
            assert_eq!(bss["entries"][0]["value"]["total"], 22);
        }
    }

    #[test]
    fn maps_are_filled_before() {
        let run = |entries: &str| {
            let directory = scratch();
            let path = directory.path().join("maps.json");
            fs::write(&path, format!("{{\"maps\":[{{\"name\":\"blocked\",\"entries\":[{entries}]}}]}}"))
                .unwrap();
            let object = "examples/xdp-firewall/firewall.o";
            sandbpf(&["run", object, CAPTURE, "--set-map", path.to_str().unwrap()])
        };
        assert!(run("").out.contains("22 packets: XDP_PASS\n"));
        assert!(run(r#"{"key":"18000000 c0000200","value":1}"#).out.contains("9 packets: XDP_DROP\n"));
        // As --maps writes it.
        let typed = r#"{"key":{"bits":24,"address":[192,0,2,0]},"value":1}"#;
        assert!(run(typed).out.contains("9 packets: XDP_DROP\n"));
        let refused = |entry: &str, what: &str| {
            let done = run(entry);
            assert_eq!(done.code, Some(2));
            assert!(done.err.contains(&format!("map `blocked`, entry 0: {what}")), "{}", done.err);
        };
        refused(r#"{"key":"18000000","value":1}"#, "key: expected 8 bytes, found 4");
        refused(r#"{"key":{"bit":24},"value":1}"#, "key: `bit` is no field; there are bits, address");
        refused(r#"{"key":{"bits":-5000000000},"value":1}"#, "key: bits: -5000000000 does not fit 4 bytes");
        refused(
            r#"{"key":{"bits":1,"address":[1,2,3,4,5]}}"#,
            "key: address: expected at most 4 elements, found 5",
        );
        refused(r#"{"key":{"bits":1,"address":[1,2,[3]]}}"#, "key: address: [2]: expected a number or bytes");
        refused(r#"{"key":{"bits":24},"values":1}"#, "`values` is no field; there are key, value");
        refused(r#"{"key":{"bits":24}}"#, "value: is not given");
        let elsewhere =
            sandbpf_reading(&["run", OBJECT, CAPTURE, "--set-map", "-"], br#"{"maps":[{"name":"evnts"}]}"#);
        assert!(elsewhere.err.contains("there is no map `evnts`; there are events"), "{}", elsewhere.err);
        let damaged = sandbpf_reading(&["run", OBJECT, CAPTURE, "--set-map", "-"], b"{\n \"maps\": [}");
        assert!(damaged.err.starts_with("sandbpf: <stdin>:2:11: expected value"), "{}", damaged.err);
    }

    #[test]
    fn what_an_object_lacks_is_named() {
        let error = refuse(&["run", OBJECT, CAPTURE, "--set-global", "limit=99999999999"]);
        assert!(error.contains("global `limit`: 99999999999 does not fit 4 bytes"), "{error}");
        let error = refuse(&["run", OBJECT, CAPTURE, "--set-global", "limit=abc"]);
        assert!(error.contains("global `limit`: `abc` is no number; bytes begin with `hex:`"), "{error}");
        assert!(
            refuse(&["run", OBJECT, CAPTURE, "--set-global", "limit"]).contains("expected a name, `=` and")
        );
        assert!(refuse(&["run", OBJECT, CAPTURE, "--budget", "x"]).contains("expected a number of 64 bits"));
        let error = refuse(&["run", OBJECT, CAPTURE, "--maps", "nowhere/maps.json"]);
        assert!(error.ends_with("nowhere/maps.json: cannot write: No such file or directory (os error 2)\n"));
        let error = refuse(&["run", OBJECT, CAPTURE, "--set-global", "nobody=1"]);
        assert!(error.contains("nobody"), "{error}");
        assert!(refuse(&["run", OBJECT, CAPTURE, "--program", "nobody"]).contains("nobody"));
        let refused = |more: &[&str], what: &str| {
            let error = refuse(&[&["run", FILTER, CAPTURE], more].concat());
            assert!(error.contains(what), "{error}");
        };
        refused(
            &["--maps", "-"],
            "--maps is for programs that have maps: of object files, or with --define-maps",
        );
        refused(&["--set-map", BLOCKED], "--set-map is for programs that have maps");
        refused(&["--program", "count"], "--program is for object files");
        refused(&["--set-global", "limit=1"], "--set-global is for object files");
        let error = refuse(&["run", OBJECT, CAPTURE, "--program", "nobody"]);
        assert!(error.contains("there is no program `nobody`; there are count"), "{error}");
        // A program of another type has another context.
        let directory = scratch();
        let path = directory.path().join("events.json");
        fs::write(&path, r#"[{"program": "file_open"}, {"program": "execve"}]"#).unwrap();
        let error = refuse(&["run", "examples/enforce/enforce.o", "--input", path.to_str().unwrap()]);
        assert!(error.contains("events are for lsm programs; `execve` is kprobe"), "{error}");
    }

    #[test]
    fn a_context_is_bytes() {
        let text = "r0 = *(u64 *)(r1 + 8)\nexit";
        let context = "0100000000000000 fbffffffffffffff";
        assert_eq!(
            succeed(&["run", "-e", text, "--kind", "raw-tracepoint", "--context", context]),
            "returned -5\n"
        );
    }

    #[test]
    fn arguments_are_where_the_program_looks() {
        let directory = scratch();
        let path = directory.path().join("events.json");
        let path = path.to_str().unwrap();
        let run = |kind: &str, at: u32, event: &str| {
            fs::write(path, event).unwrap();
            let text = format!("r0 = *(u64 *)(r1 + {at})\nexit");
            sandbpf(&["run", "-e", &text, "--kind", kind, "--input", path])
        };
        let event = r#"{"args": [11, 12, 13], "returned": -14}"#;
        // Registers: rsi, rdx, rax.
        assert_eq!(run("kprobe", 104, event).out, "returned 12\n");
        assert_eq!(run("kprobe", 96, event).out, "returned 13\n");
        assert_eq!(run("kprobe", 80, event).out, "returned -14\n");
        // Words, and behind them what came of it.
        assert_eq!(run("tracing", 8, event).out, "returned 12\n");
        assert_eq!(run("tracing", 24, event).out, "returned -14\n");
        let seven = r#"{"args": [1, 2, 3, 4, 5, 6, 7]}"#;
        assert!(run("kprobe", 0, seven).err.contains("7 are more than registers hold, which is 6"));
    }

    #[test]
    fn events_describe_a_world() {
        let directory = scratch();
        let path = directory.path().join("events.json");
        let path = path.to_str().unwrap();
        // Reads what lies at the address that the context holds.
        let text =
            "r3 = *(u64 *)(r1 + 0)\nr1 = r10\nr1 += -8\nr2 = 4\ncall 112\nr0 = *(u32 *)(r10 - 8)\nexit";
        let run = |events: &str, engine: &str| {
            fs::write(path, events).unwrap();
            sandbpf(&["run", "-e", text, "--kind", "raw-tracepoint", "--input", path, "--engine", engine])
        };
        let events = r#"[{"args": ["0x1000"], "memory": [{"address": "0x1000", "bytes": "05000000"}]},
            {"args": ["0x1000"], "memory": [{"space": "kernel", "address": "0x1000", "bytes": "05000000"}]}]"#;
        for engine in ["interpreter", "step", "auto"] {
            assert_eq!(run(events, engine).out, "returned 5\nreturned 0\n");
        }
        let refused = |events: &str, what: &str| {
            let done = run(events, "auto");
            assert_eq!(done.code, Some(2), "{}", done.err);
            assert!(done.err.contains(what), "{}", done.err);
        };
        refused(r#"{"task": {"pid": -1}}"#, "event 0: pid: expected a number below 4294967296");
        refused(r#"[{"arguments": [1]}]"#, "event 0: `arguments` is no field; there are args, context");
        for field in ["args", "returned"] {
            let both = format!(r#"{{"{field}": [1], "context": "0100000000000000"}}"#);
            refused(&both, &format!("`{field}` and `context` say the same thing twice; give one of them"));
        }
        refused(r#"{"memory": [{"address": "x", "text": "a"}]}"#, "memory 0: address: expected a number");
        refused(r#"{"memory": [{"space": "outer", "address": 0, "text": "a"}]}"#, "`outer` is no space");
        refused(r#"{"task": {"pdi": 1}}"#, "task: `pdi` is no field");
        refused(r#"{"program": "enter"}"#, "events name programs of object files only");
        // The object has no such program.
        fs::write(path, r#"{"program": "count"}"#).unwrap();
        let snoop = "examples/opensnoop/opensnoop.o";
        let of_object = |events: &str, what: &str| {
            fs::write(path, events).unwrap();
            let error = refuse(&["run", snoop, "--program", "enter", "--input", path]);
            assert!(error.contains(what), "{error}");
        };
        of_object(r#"{"program": "count"}"#, "there is no program `count`; there are enter, leave");
        of_object("3", "events.json: expected an event or a list of events, found 3");
        of_object(
            r#"{"context": {"nmae": 1}}"#,
            "event 0: context: `nmae` is no field; there are common, number,",
        );
        of_object(r#"{"context": {"name": [1]}}"#, "event 0: context: name: expected a number or bytes");
        assert!(refuse(&["run", FILTER, "--input", path, CAPTURE]).contains("--context and --input"));
    }

    /// Time goes by as events and captures say, and timers of an object fire.
    #[test]
    fn timers_fire() {
        const LATER: &str = "crates/cli/tests/data/later.o";
        let directory = scratch();
        let path = directory.path().join("events.json");
        let times = [1000u64, 500_000_000, 1_700_000_000, 2_000_000_000]
            .map(|time| format!("{{\"time_ns\":{time}}}"));
        fs::write(&path, format!("[{}]", times.join(","))).unwrap();
        let path = path.to_str().unwrap();
        for engine in ["interpreter", "step", "auto"] {
            let args = ["run", LATER, "--program", "probe", "--input", path, "--engine", engine];
            let fired = "timer of counters[02000000] at 1500000000 ns: returned 0\nkey 2: 2 packets\n";
            let expected = format!("returned 2\nreturned 2\n{fired}returned 2\nreturned 2\n");
            assert_eq!(succeed(&args), expected);
            let until = [&args[..], &["--until", "3000000000"]].concat();
            let more = "timer of counters[02000000] at 3000000000 ns: returned 0\nkey 2: 4 packets\n";
            assert_eq!(succeed(&until), format!("{expected}{more}"));
            let report = json(&[&until[..], &["--format", "json"]].concat());
            assert_eq!(report["runs"][2]["fired"][0]["time_ns"], 1_500_000_000u64);
            let args = ["run", LATER, CAPTURE, "--program", "packet", "--engine", engine];
            let shown = succeed(&[&args[..], &["--until", "18446744073709551615"]].concat());
            assert!(shown.contains("22 packets: XDP_PASS\n1 callbacks of timers ran\n"), "{shown}");
        }
    }
}

mod numbered_maps {
    use super::*;

    const COUNT: &str = "
        *(u32 *)(r10 - 4) = 0
        r1 = map[fd:12]
        r2 = r10
        r2 += -4
        call 1
        if r0 == 0 goto end
        r1 = 1
        lock *(u64 *)(r0 + 0) += r1
        r0 = 0
        end: exit";

    #[test]
    fn code_may_name_maps_by_number() {
        let directory = scratch();
        let path = directory.path().join("maps.json");
        let path = path.to_str().unwrap();
        let write = |more: &str| {
            let other = r#"{"number": 3, "name": "other", "type": "hash", "key": "char[4]", "value": "s16", "max_entries": 8}"#;
            let counts = r#"{"number": 12, "name": "counts", "type": "array", "key": "u32", "value": "u64", "max_entries": 1"#;
            fs::write(path, format!(r#"{{"maps": [{other}, {counts} {more}}}]}}"#)).unwrap();
        };
        write("");
        let filled = r#"{"maps": [{"name": "other", "entries": [{"key": "ab", "value": -2}]},
            {"name": "counts", "entries": [{"key": 0, "value": 40}]}]}"#;
        for engine in ["interpreter", "step", "auto"] {
            let args =
                ["run", "-e", COUNT, CAPTURE, "--engine", engine, "--define-maps", path, "--maps", "-"];
            let done = sandbpf_reading(&[&args[..], &["--set-map", "-"]].concat(), filled.as_bytes());
            let maps: Value = serde_json::from_str(done.out.lines().last().unwrap()).unwrap();
            assert_eq!(
                maps["maps"][0]["entries"][0],
                serde_json::json!({"key": "ab", "value": -2}),
                "{maps}"
            );
            assert_eq!(maps["maps"][1]["entries"][0], serde_json::json!({"key": 0, "value": 62}), "{maps}");
        }
        let refused = |more: &str, what: &str| {
            write(more);
            let error = refuse(&["run", "-e", COUNT, CAPTURE, "--define-maps", path]);
            assert!(error.contains(what), "{error}");
        };
        refused(
            r#", "type": "aray""#,
            "map `counts`: type: `aray` is no type of map; there are hash, array,",
        );
        refused(r#", "key": "u128""#, "map `counts`: key: expected char[n], u8 to u64 or s8 to s64");
        refused(r#", "entires": 4"#, "map `counts`: `entires` is no field");
        refused(r#", "key": "u64""#, "map `counts` (array): EINVAL");
        refused(
            r#", "number": 13"#,
            "instruction 1 names map 12, which is not there; --define-maps says what it is",
        );
    }

    #[test]
    fn definitions_change_what_an_object_says() {
        let directory = scratch();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_string()
        };
        let entries: Vec<String> =
            (0..3).map(|key| format!(r#"{{"key": {key}, "value": {{"a": [{key}]}}}}"#)).collect();
        let filled = write(
            "filled.json",
            &format!(r#"{{"maps": [{{"name": "keep_lone", "entries": [{}]}}]}}"#, entries.join(",")),
        );
        let args = ["run", "crates/cli/tests/data/events.o", "--program", "sizes", "--set-map", &filled];
        assert!(refuse(&args).contains("map `keep_lone`, entry 1: E2BIG"));
        let larger = write("larger.json", r#"{"maps": [{"name": "keep_lone", "max_entries": 3}]}"#);
        succeed(&[&args[..], &["--define-maps", &larger]].concat());
        let wrong = write("wrong.json", r#"{"maps": [{"name": "events", "max_entries": 0}]}"#);
        let error = refuse(&[&args[..], &["--define-maps", &wrong]].concat());
        assert!(
            error.contains(
                "map `events` (ringbuf): EINVAL: it has 0 entries until its loader says how many; \
                 --map-size events=ENTRIES does so here"
            ),
            "{error}"
        );
        let wrong = write("wrong.json", r#"{"maps": [{"name": "events", "max_entries": 100}]}"#);
        let error = refuse(&[&args[..], &["--define-maps", &wrong]].concat());
        assert!(
            error.contains("map `events` (ringbuf): EINVAL; --define-maps may say another size"),
            "{error}"
        );
    }

    #[test]
    fn maps_are_in_maps() {
        // Longer names than the kernel takes are cut, those of patterns too.
        let outer = r#"{"maps": [{"number": 7, "name": "a_name_longer_than_15", "type": "array_of_maps", "key": "u32",
            "value": "u32", "max_entries": 2, "inner": {"type": "array", "key": "u32", "value": "u64", "max_entries": 1}}]}"#;
        let lookup = "*(u32 *)(r10 - 4) = 0\nr1 = map[fd:7]\nr2 = r10\nr2 += -4\ncall 1\nexit";
        let args = ["run", "-e", lookup, "--mem", "", "--define-maps", "-"];
        let done = sandbpf_reading(&args, outer.as_bytes());
        assert_eq!((done.out.as_str(), done.err.as_str()), ("r0 = 0x0\n", ""));
        let nested = outer.replace(r#""type": "array","#, r#""type": "array", "inner": {},"#);
        let done = sandbpf_reading(&args, nested.as_bytes());
        assert!(done.err.contains("inner: inner: maps in maps in maps are no maps of Linux"), "{}", done.err);
    }

    #[test]
    fn bpftrace_leaves_numbers() {
        let object = "examples/bpftrace/reads.o";
        let shown = succeed(&["object", object]);
        assert!(shown.contains("program kretprobe:vfs_read (s_kretprobe:vfs_read_1): kprobe,"), "{shown}");
        assert!(shown.contains("maps without a definition: 0, 1, 2, 3;"), "{shown}");
        assert!(
            refuse(&["run", object, "--program", "kretprobe:vfs_read"])
                .contains("names map 0, which is not there")
        );
        let maps = "examples/bpftrace/maps.json";
        assert!(refuse(&["run", object, "--define-maps", maps]).contains("--program must choose one of"));
    }
}

/// The maps that a run wrote after everything else.
fn json_line(shown: &str) -> Value {
    serde_json::from_str(shown.lines().last().unwrap()).unwrap()
}

#[test]
fn documented_files_are_read() {
    let page = fs::read_to_string(root().join("docs/files.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [events, filled, defined, _record] = blocks[..] else { panic!("four examples") };
    let directory = scratch();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    };
    let events = write("events.json", events);
    assert_eq!(
        succeed(&["run", "examples/opensnoop/opensnoop.o", "--input", &events]),
        "leave: returned 0\n"
    );
    let filled = write("filled.json", filled);
    let enforce = "examples/enforce/enforce.o";
    let open = "examples/enforce/open.json";
    let shown = succeed(&["run", enforce, "--set-map", &filled, "--input", open]);
    assert_eq!(shown, "file_open: returned -1\nfile_open: returned 0\n");
    let defined = write("defined.json", defined);
    let shown =
        succeed(&["run", "-e", "r1 = map[fd:2]\nr0 = 7\nexit", "--mem", "", "--define-maps", &defined]);
    assert!(shown.starts_with("r0 = 0x7\n"), "{shown}");
}

mod globals {
    use super::*;

    const OBJECT: &str = "crates/cli/tests/data/events.o";

    #[test]
    fn globals_are_set_by_their_types() {
        let set = |value: &str| {
            let args = ["run", OBJECT, "--program", "sizes", "--events", "-", "--set-global", value];
            let done = sandbpf(&args);
            match done.code {
                Some(0) => done.out.lines().find(|line| line.contains("lone")).unwrap().to_string(),
                _ => done.err,
            }
        };
        assert!(set("numbers=[7,-1]").contains(r#""a":[7,18446744073709551615,0,0,0,0]"#));
        assert!(set(&format!("numbers=hex:{}", "01".repeat(48))).contains(r#""a":[72340172838076673,"#));
        assert!(
            set("numbers=[1,2,3,4,5,6,7]").contains("global `numbers`: expected at most 6 elements, found 7")
        );
        assert!(
            set("numbers=seven").contains("global `numbers`: `seven` is no number; bytes begin with `hex:`")
        );
        let bss = |values: &[&str]| {
            let mut args = vec!["run", OBJECT, "--program", "sizes", "--maps", "-"];
            values.iter().for_each(|value| args.extend(["--set-global", value]));
            let maps = json_line(&succeed(&args));
            let bss =
                maps["maps"].as_array().unwrap().iter().find(|map| map["name"] == "events.bss").unwrap();
            bss["entries"][0]["value"].clone()
        };
        let first = r#"first={"kind": 2, "text": "abc"}"#;
        let values = bss(&["filter=curl", "wanted=GONE", "loud=true", first, "place=0x1000"]);
        assert_eq!(values["filter"], "curl", "{values}");
        assert_eq!((&values["wanted"], &values["loud"]), (&"GONE".into(), &true.into()));
        assert_eq!(values["first"], serde_json::json!({"len": 0, "kind": 2, "text": "abc"}));
        assert_eq!(values["place"], "0x1000");
        assert_eq!(bss(&["filter=hex:6162000000000000", "wanted=2"])["filter"], "ab");
        assert!(set("filter=firefox!").contains("`firefox!` and its NUL do not fit 8 bytes"));
        assert!(set("wanted=BUSI").contains("`BUSI` is no value of it; there are GONE, IDLE, BUSY"));
        assert!(set(r#"first={"kid": 2}"#).contains("`kid` is no field; there are len, kind, text"));
        assert!(set("number=1").contains("the object has no such variable; there are"));
    }
}
