//! Programs that are accepted do what was proved of them, in every way to run them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = sandbpf_testkit::proved::agree(bytes);
});
