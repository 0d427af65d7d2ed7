//! Sizes of maps that an object leaves to its loader, as options of the command.

mod common;

use std::fs;

use common::*;

#[test]
fn loaders_set_sizes() {
    let object = "crates/cli/tests/data/events.o";
    let lone = scratch();
    let path = lone.path().join("filled.json");
    let entries = r#"[{"key": 0, "value": {"a": [0]}}, {"key": 1, "value": {"a": [1]}}]"#;
    fs::write(&path, format!(r#"{{"maps": [{{"name": "keep_lone", "entries": {entries}}}]}}"#)).unwrap();
    let args = ["run", object, "--program", "sizes", "--set-map", path.to_str().unwrap()];
    assert!(refuse(&args).contains("map `keep_lone`, entry 1: E2BIG"));
    succeed(&[&args[..], &["--map-size", "keep_lone=2"]].concat());
    // As in libbpf, a ring buffer gets whole pages.
    succeed(&[&args[..], &["--map-size", "keep_lone=2", "--map-size", "events=100"]].concat());
    let error = refuse(&["run", object, "--program", "sizes", "--map-size", "nothing=2"]);
    assert!(error.contains("--map-size nothing: there is no such map; there are "), "{error}");
    let error = refuse(&["verify", object, "--map-size", "events"]);
    assert!(error.contains("expected a map's name, `=` and how many entries it has"), "{error}");
    assert_eq!(
        refuse(&["run", "-e", "r0 = 0\nexit", "--mem", "", "--map-size", "events=2"]).trim(),
        "sandbpf: --map-size is for object files"
    );
}
