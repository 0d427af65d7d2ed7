//! Object files from anywhere: opened or refused, never more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sandbpf::Loader;
use sandbpf::object::{Object, ObjectSet};

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut object) = Object::parse(bytes) else { return };
    let names: Vec<String> = object.entries().iter().map(|entry| entry.name.clone()).collect();
    for program in object.programs().flatten() {
        for insn in 0..program.insns.len() / 8 {
            let _ = (program.location(insn), program.function(insn), program.fixup(insn));
        }
    }
    let _ = object.set_global("limit", &[1, 2, 3, 4]);
    // What maps hold is bounded elsewhere; here it must not be large.
    let small = |size: u64| size < 1 << 20;
    if object.maps().iter().all(|map| small(u64::from(map.value_size) * u64::from(map.max_entries))) {
        if let Ok(set) = ObjectSet::new(object) {
            for name in &names {
                let _ = set.any(name, &Loader::new());
            }
        }
    }
});
