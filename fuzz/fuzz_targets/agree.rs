//! All engines end with the same result, registers, memory and budget.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sandbpf_testkit::agree(bytes));
