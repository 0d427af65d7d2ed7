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
        let done = run(r#"{"key":"18000000","value":1}"#);
        assert_eq!(done.code, Some(2));
        assert!(done.err.contains("map `blocked`, entry 0"), "{}", done.err);
    }

    #[test]
    fn what_an_object_lacks_is_named() {
        let error = refuse(&["run", OBJECT, CAPTURE, "--set-global", "limit=99999999999"]);
        assert!(error.contains("global `limit`: 99999999999 does not fit 4 bytes"), "{error}");
        let error = refuse(&["run", OBJECT, CAPTURE, "--set-global", "nobody=1"]);
        assert!(error.contains("nobody"), "{error}");
        assert!(refuse(&["run", OBJECT, CAPTURE, "--program", "nobody"]).contains("nobody"));
        assert!(
            refuse(&["run", FILTER, CAPTURE, "--maps", "-"])
                .contains("--maps and --events are for object files")
        );
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
        refused(r#"[{"arguments": [1]}]"#, "event 0: `arguments` is no field; there are args, context");
        refused(r#"{"memory": [{"address": "x", "text": "a"}]}"#, "memory 0: address: expected a number");
        refused(r#"{"memory": [{"space": "outer", "address": 0, "text": "a"}]}"#, "`outer` is no space");
        refused(r#"{"task": {"pdi": 1}}"#, "task: `pdi` is no field");
        refused(r#"{"program": "enter"}"#, "events name programs of object files only");
        // The object has no such program.
        fs::write(path, r#"{"program": "count"}"#).unwrap();
        let snoop = "examples/opensnoop/opensnoop.o";
        let error = refuse(&["run", snoop, "--program", "enter", "--input", path]);
        assert!(error.contains("count"), "{error}");
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
