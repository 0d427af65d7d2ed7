//! Long programs: compiled in proportion to their length, and past some length in one pass.
#![cfg(all(target_arch = "x86_64", unix))]

use std::sync::Arc;

use sandbpf_isa::parse;
use sandbpf_jit::{Code, Input, Options, Plan, PlanOptions, Running};

#[test]
fn long_programs_compile_in_proportion() {
    let once = |n: usize, times: usize| {
        let body = "r0 += r1\nif r0 == 7 goto end\nr2 ^= r0\n*(u64 *)(r10 - 8) = r2\n".repeat(n / 4);
        let program = Arc::new(parse(&format!("{body}end:\nexit")).expect("text"));
        let start = std::time::Instant::now();
        for _ in 0..times {
            let code = Code::compile_with(Arc::clone(&program), Options::default()).expect("code");
            assert!(code.machine_code().len() < n * 6);
        }
        start.elapsed()
    };
    // The best of several, of as many instructions: other work on the machine only adds, to both.
    let time = |n: usize, times: usize| (0..3).map(|_| once(n, times)).min().expect("three times");
    let (short, long) = (time(20_000, 10), time(200_000, 1));
    assert!(long < short * 10, "{short:?} for 20,000 instructions ten times, {long:?} for ten times as many");
}

#[test]
fn long_programs_without_loops_have_no_plan() {
    let planned = |text: &str| {
        let program = Arc::new(parse(text).expect("text"));
        let (input, options) = (Input::Memory, PlanOptions::default());
        let running = Running::compile(&program, input, None, None, None, options).is_some();
        assert_eq!(Plan::compile(&program, input, None, None, None, options).is_some(), running);
        running
    };
    let straight = |n: usize| format!("{}exit", "r0 += r2\n".repeat(n - 1));
    let repeated = |n: usize| format!("L:\n{}if r0 < 9 goto L\nexit", "r0 += r2\n".repeat(n - 2));
    assert!(planned(&straight(2048)) && !planned(&straight(2049)));
    assert!(planned(&repeated(8192)) && !planned(&repeated(8193)));
}
