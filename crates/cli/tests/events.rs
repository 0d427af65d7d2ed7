//! Records of ring buffers and perf event arrays, as the command shows them.

mod common;

use std::fs;

use common::*;
use serde_json::{Value, json};

const OBJECT: &str = "crates/cli/tests/data/events.o";

/// The records that a program of the object leaves.
fn records(program: &str, more: &[&str]) -> Vec<Value> {
    let shown = succeed(&[&["run", OBJECT, "--program", program, "--events", "-"], more].concat());
    let lines = shown.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The map, the type and the fields of each.
fn typed(records: &[Value]) -> Vec<(&str, &str, &Value)> {
    fn text<'r>(record: &'r Value, field: &str) -> &'r str {
        record[field].as_str().unwrap_or_default()
    }
    records.iter().map(|record| (text(record, "map"), text(record, "type"), &record["fields"])).collect()
}

#[test]
fn fields_of_every_sort_are_read() {
    let records = records("samples", &[]);
    let expected = json!({
        "pid": 7, "state": "GONE", "delta": -2, "seen": true, "flags": 5, "small": -3, "ratio": 0.5,
        "comm": "curl",
        // No NUL ends it.
        "odd": [97, 98, 99, 100],
        "address": [0, 0, 0, 0],
        "v4": 0x0100_007f, "bytes": [127, 0, 0, 1],
        "points": [{"x": 0, "y": 0}, {"x": 0, "y": -9}],
        "where": "0x1000", "mean": 2.25, "wide": "01000000000000000000000000000000",
    });
    assert_eq!(typed(&records), [("events", "sample", &expected)]);
    assert_eq!(records[0]["hex"].as_str().unwrap().len(), 2 * 96);
}

#[test]
fn types_are_found_by_what_the_object_tells() {
    let line = json!({"len": 5, "kind": 1, "text": "hello"});
    let event = json!({"a": 1, "b": 2, "c": 3});
    let expected = [
        // Its name tells it from another structure of 24 bytes.
        ("events", "open_event", &event),
        // Nothing tells which of two it is.
        ("events", "", &Value::Null),
        // The other structure of 48 bytes is the program's context.
        ("events", "lone", &json!({"a": [1, 2, 3, 4, 5, 6]})),
        // No structure is so long.
        ("events", "", &Value::Null),
        // The map says so, also of a record that is not the whole of it.
        ("lines", "line", &line),
        ("lines", "line", &line),
        ("perf", "open_event", &event),
        ("perf", "", &Value::Null),
        ("named", "opening", &json!({"d": 1, "e": 2, "f": 3})),
    ];
    let records = records("sizes", &[]);
    assert_eq!(typed(&records), expected);
    assert!(records.iter().all(|record| record["hex"].is_string()));
    let cpus: Vec<&Value> = records.iter().map(|record| &record["cpu"]).collect();
    assert_eq!((cpus[0], cpus[6]), (&Value::Null, &json!(0)));
}

#[test]
fn types_are_what_the_user_says() {
    let chosen = records("sizes", &["--event-type", "perf=words", "--event-type", "struct other"]);
    let expected = [
        ("events", "other", &json!({"b": [1, 2, 3]})),
        ("events", "other", &json!({"b": [1, 2, 3, 4, 5]})),
        ("events", "other", &json!({"b": [1, 2, 3, 4, 5]})),
        ("events", "other", &json!({"b": [1, 2]})),
        ("lines", "other", &json!({"b": [0x1_0000_0005u64, 0x6f_6c6c_6568u64, 0]})),
        ("lines", "other", &json!({"b": [0x1_0000_0005u64]})),
        // An array without a length has what there is.
        ("perf", "words", &json!({"count": 1, "words": [0, 2, 0, 3, 0]})),
        ("perf", "words", &json!({"count": 1, "words": [0, 2]})),
        ("named", "other", &json!({"b": [1, 2, 3]})),
    ];
    assert_eq!(typed(&chosen), expected);
    let refused = |said: &str, what: &str| {
        let error = refuse(&["run", OBJECT, "--program", "sizes", "--events", "-", "--event-type", said]);
        assert!(error.contains(what), "{error}");
    };
    refused(
        "lnes=line",
        "`lnes` is no ring buffer or perf event array of the object; there are events, lines, perf, named",
    );
    refused("lines=lone2", "the object has no struct `lone2`; there are line, lone, one,");
    refused("u32=", "`u32` is no ring buffer");
    assert!(refuse(&["run", OBJECT, "--event-type", "line"]).contains("--events"));
}

#[test]
fn records_say_which_processor_wrote_them() {
    let directory = scratch();
    let input = directory.path().join("events.json");
    fs::write(&input, r#"[{"cpu": 3}, {"cpu": 1}]"#).unwrap();
    let records = records("sizes", &["--input", input.to_str().unwrap()]);
    let cpus: Vec<u64> = records.iter().filter_map(|record| record["cpu"].as_u64()).collect();
    assert_eq!(cpus, [3, 3, 3, 1, 1, 1]);
    fs::write(&input, r#"[{"cpu": 9999}]"#).unwrap();
    let error = refuse(&["run", OBJECT, "--program", "sizes", "--input", input.to_str().unwrap()]);
    assert!(error.contains("event 0: cpu: expected a number below 8192, found 9999"), "{error}");
}

#[test]
fn buffers_are_read_while_programs_run() {
    // Each event writes more than a hundred bytes; a ring buffer holds 4096.
    let directory = scratch();
    let input = directory.path().join("events.json");
    fs::write(&input, format!("[{}]", vec!["{}"; 200].join(","))).unwrap();
    let records = records("samples", &["--input", input.to_str().unwrap()]);
    assert_eq!(records.len(), 200);
    assert!(records.iter().all(|record| record["fields"]["pid"] == 7));
}
