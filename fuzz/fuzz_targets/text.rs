//! Any text parses or is refused, in both languages; what parses prints as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sandbpf_isa::{parse, print};

fuzz_target!(|text: &str| {
    if let Ok(program) = parse(text) {
        assert_eq!(parse(&print(&program)).as_ref(), Ok(&program));
    }
    if let Ok(insns) = sandbpf_classic::parse(text) {
        let ddd = sandbpf_classic::print(&insns, sandbpf_classic::Form::TcpdumpDdd);
        assert_eq!(sandbpf_classic::parse(&ddd).as_ref(), Ok(&insns));
    }
});
