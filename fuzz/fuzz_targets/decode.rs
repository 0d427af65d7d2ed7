//! Any bytes decode or are refused; what decodes encodes again, and prints as text that parses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sandbpf_isa::{Reserved, decode_with, parse, print};

fuzz_target!(|bytes: &[u8]| {
    for reserved in [Reserved::Linux, Reserved::Rfc9669, Reserved::Ignored] {
        let Ok(program) = decode_with(bytes, reserved) else { continue };
        let encoded = program.to_bytes();
        assert!(reserved != Reserved::Rfc9669 || encoded == bytes);
        assert_eq!(decode_with(&encoded, Reserved::Rfc9669).as_ref(), Ok(&program));
        assert_eq!(parse(&print(&program)).as_ref(), Ok(&program));
    }
});
