//! Calling the command from the root of the repository.
#![allow(dead_code, reason = "not every test that shares this file uses all of it")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

/// What one call did.
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Calls the command from the root of the repository.
pub(crate) fn sandbpf(args: &[&str]) -> Done {
    sandbpf_reading(args, &[])
}

pub(crate) fn sandbpf_reading(args: &[&str], stdin: &[u8]) -> Done {
    let mut command = Command::cargo_bin("sandbpf").unwrap();
    let output = command.current_dir(root()).args(args).write_stdin(stdin).output().unwrap();
    Done {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Calls the command, which must succeed.
pub(crate) fn succeed(args: &[&str]) -> String {
    let done = sandbpf(args);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{args:?}");
    done.out
}

pub(crate) fn json(args: &[&str]) -> Value {
    serde_json::from_str(&succeed(args)).unwrap()
}

/// Calls the command with bad usage or input: exit code 2, and one line (with an excerpt below it, if any).
pub(crate) fn refuse(args: &[&str]) -> String {
    let done = sandbpf(args);
    assert_eq!(done.code, Some(2), "{args:?}: {}{}", done.out, done.err);
    assert!(done.err.starts_with("sandbpf: ") || done.err.starts_with("error: "), "{}", done.err);
    done.err
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A path in a directory that goes away.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) const CAPTURE: &str = "tests/data/http.pcap";
pub(crate) const FILTER: &str = "tests/data/ip.ddd";
