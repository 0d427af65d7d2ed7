//! Subjects agree on programs from random bytes. Fuzzing goes on where this stops.

use sandbpf_interp::{Observer, Step};
use sandbpf_isa::Pc;
use sandbpf_runtime::{FrozenHost, Machine, Registers, helpers::HelperSet, memory::Stack};
use sandbpf_testkit::generate::{classic, extended, random};

#[test]
fn extended_programs() {
    (0..3000).for_each(|seed| sandbpf_testkit::agree(&random(seed)));
}

#[test]
fn classic_programs() {
    (0..3000).for_each(|seed| sandbpf_testkit::classic_agree(&random(seed)));
}

#[test]
fn no_bytes_at_all() {
    for len in 0..20 {
        sandbpf_testkit::agree(&vec![0xff; len]);
        sandbpf_testkit::classic_agree(&vec![0xff; len]);
    }
}

/// Programs that stop at their first instruction would agree on nothing.
#[test]
fn programs_get_far() {
    #[derive(Default)]
    struct Count(u64);
    impl Observer for Count {
        fn step(&mut self, _pc: Pc, _registers: &Registers) {
            self.0 += 1;
        }
    }
    let helpers = HelperSet::linux();
    let (mut steps, mut returned) = (0, 0);
    for seed in 0..500 {
        let scene = extended::scene(&random(seed));
        let mut stack = Stack::default();
        let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, 1000);
        let mut count = Count::default();
        returned += u64::from(Step::new(scene.program).observe(&mut machine, &mut count).is_ok());
        steps += count.0;
    }
    assert!(steps > 500 * 10, "{steps} steps in 500 programs");
    assert!((50..450).contains(&returned), "{returned} of 500 programs return");
}

#[test]
fn classic_programs_are_often_accepted() {
    use sandbpf_classic::{Dialect, Filter};
    for (dialect, least) in [(Dialect::Libpcap, 300), (Dialect::Linux, 60), (Dialect::Seccomp, 5)] {
        let accepted = |&seed: &u64| Filter::check(&classic::scene(&random(seed)).insns, dialect).is_ok();
        let count = (0..500).filter(accepted).count();
        assert!(count >= least, "{dialect:?}: {count} of 500");
    }
}

/// `SANDBPF_PROGRAMS` says how many are tried.
#[test]
fn accepted_programs() {
    let programs =
        std::env::var("SANDBPF_PROGRAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(1500u64);
    let mut steps = 0;
    let accepted = (0..programs).filter_map(|seed| sandbpf_testkit::proved::agree(&random(seed)));
    let count = accepted.inspect(|audited| steps += audited).count() as u64;
    println!("{count} of {programs} programs accepted, {steps} steps held against their proofs");
    assert!(count > programs / 6, "{count} of {programs} programs accepted");
}
