//! Programs from anywhere, plausible or not, on any terms: verified in bounded time and memory, with and without a log.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sandbpf::abi::{AttachType, ProgramType};
use sandbpf::{Maps, Rights, Verifier};
use sandbpf_testkit::generate::{Source, verifiable};

thread_local! {
    static MAPS: Maps = {
        let maps = Maps::new();
        for spec in verifiable::maps() {
            maps.create(spec).expect("the maps are sound");
        }
        maps
    };
}

/// What a program may take of a processor. Instrumented, what writes a log takes up to thirty times what it does in a release,
/// where none takes two seconds (`verify_bounds`).
const LONGEST: Duration = Duration::from_secs(60);

/// How long this thread has run so far, however busy the machine is.
fn time_of_thread() -> Duration {
    let text =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says how long threads ran");
    let nanoseconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.expect("the first word is a number"))
}

fuzz_target!(|bytes: &[u8]| {
    let mut source = Source::new(bytes);
    let rights = source.pick(&[Rights::All, Rights::All, Rights::Bpf, Rights::None]);
    let level = source.pick(&[0, 0, 0, 1, 2]);
    let flags = source.pick(&[0, 0, 1, 2, 8, 16]);
    let (program_type, attach_type, code) = if source.chance(3) {
        let number = u32::from(source.u8());
        let program_type = ProgramType::ALL[number as usize % ProgramType::ALL.len()];
        let attach_type = u32::from(source.u8() % 60);
        let rest = source.take(1 << 16);
        (program_type, attach_type, rest[..rest.len() / 8 * 8].to_vec())
    } else {
        let sketch = verifiable::sketch(&mut source);
        let kfunc = |name: &str| sandbpf::abi::kfuncs::named(name).map_or(0, |(number, _)| number);
        (sketch.program_type, sketch.attach_type, sketch.code_with(|map| map as i32, kfunc))
    };
    let verifier = Verifier::new(program_type).attached(AttachType(attach_type)).rights(rights).flags(flags);
    let verifier = MAPS.with(|maps| verifier.log_level(level).maps(maps));
    let start = time_of_thread();
    let _ = verifier.verify_bytes(&code);
    let taken = time_of_thread() - start;
    assert!(taken < LONGEST, "{} instructions take {taken:?}", code.len() / 8);
});
