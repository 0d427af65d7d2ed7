//! Classic filters mean the same lowered, on every engine, as in the reference.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sandbpf_testkit::classic_agree(bytes));
