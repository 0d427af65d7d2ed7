//! No program, however hostile, takes long to verify: at the limit of a million processed instructions, with as much
//! state as programs can make.
//!
//! `-- --nocapture` prints times and memory. Built without optimisation the bounds are not looked at.

use std::fmt::Write as _;
use std::time::Duration;

use sandbpf::abi::ProgramType;
use sandbpf::isa::{self, Program};
use sandbpf::{Rights, Verifier};

/// No verification takes longer …
const LONGEST: Duration = Duration::from_secs(2);
/// … or more memory, in KiB.
const MOST: u64 = 1 << 20;

/// A line of the process's status, in KiB.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().nth(1)?.parse().ok());
    line.unwrap_or(0)
}

/// How long this thread has run so far, however busy the machine is.
fn time_of_thread() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(first.unwrap_or(0))
}

/// Verifies it with all rights and with few, without a log and with the longest.
fn bounded(name: &str, program: &Program) {
    for (rights, level) in [(Rights::All, 0), (Rights::Bpf, 0), (Rights::All, 2)] {
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let before = status("VmRSS");
        let start = time_of_thread();
        let verifier = Verifier::new(ProgramType::SchedCls).rights(rights).log_level(level);
        let verdict = verifier.verify(program);
        let time = time_of_thread() - start;
        let memory = status("VmHWM").saturating_sub(before);
        let (said, figures) = match &verdict {
            Ok(proof) => ("accepted".to_string(), proof.statistics()),
            Err(error) => (error.line().to_string(), error.statistics()),
        };
        println!(
            "{name}, {rights:?}, log {level}: {time:.2?}, {} MiB, {} processed, {} states kept, {} at a time, {} at one instruction: {said}",
            memory >> 10,
            figures.processed,
            figures.total_states,
            figures.peak_states,
            figures.max_states_per_insn
        );
        if cfg!(not(debug_assertions)) {
            assert!(time < LONGEST, "{name} takes {time:?}");
            assert!(memory < MOST, "{name} takes {memory} KiB");
        }
    }
}

fn parsed(text: &str) -> Program {
    isa::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Fills the stack with numbers that differ from path to path.
fn spills(text: &mut String, from: usize, to: usize) {
    for slot in from..=to {
        let _ = writeln!(text, "call 7\n*(u64 *)(r10 - {}) = r0", slot * 8);
    }
}

fn full_stacks(loops: &str) -> Program {
    let mut text = "r6 = 0\nr7 = r1\n".to_string();
    spills(&mut text, 1, 64);
    text.push_str(loops);
    parsed(&text)
}

#[test]
fn branches_that_double_the_paths() {
    let mut text = String::from("r6 = 0\n");
    for at in 0..64 {
        let _ = writeln!(
            text,
            "call 7\nif r0 > {at} goto B{at}\nr6 += {at}\n*(u64 *)(r10 - {}) = r6\nB{at}:",
            at * 8 + 8
        );
    }
    text.push_str("r1 = r10\nr6 &= 7\nr1 += r6\n*(u8 *)(r1 - 16) = 1\nr0 = 0\nexit\n");
    bounded("doubled paths", &parsed(&text));
}

#[test]
fn a_loop_that_fills_its_stack_differently_each_time() {
    let mut text = String::from("r6 = 0\nL:\ncall 7\nr8 = r0\n");
    for slot in 1..=64 {
        let _ = writeln!(
            text,
            "*(u64 *)(r10 - {}) = r6\nif r8 & {} goto S{slot}\n*(u64 *)(r10 - {}) = r8\nS{slot}:",
            slot * 8,
            slot,
            slot * 8
        );
    }
    text.push_str("r6 += 1\nif r6 < 100000 goto L\n");
    for slot in 1..=64 {
        let _ = writeln!(text, "r1 = *(u64 *)(r10 - {})\nr0 = 0\nif r1 == 77 goto E\n", slot * 8);
    }
    text.push_str("E:\nr0 = 0\nexit\n");
    bounded("spills in a loop", &parsed(&text));
}

#[test]
fn full_stacks_at_every_prune_point() {
    let mut loops = String::from("L:\nr6 += 1\nif r6 == 3 goto A\nA:\n");
    for slot in (1..=64).step_by(3) {
        let _ = writeln!(loops, "*(u64 *)(r10 - {}) = r6\nif r6 & 1 goto B{slot}\nB{slot}:", slot * 8);
    }
    loops.push_str("if r6 < 200000 goto L\n");
    for slot in 1..=64 {
        let _ = writeln!(
            loops,
            "r1 = *(u64 *)(r10 - {})\nr2 = r10\nr1 &= 7\nr2 += r1\n*(u8 *)(r2 - 64) = 1",
            slot * 8
        );
    }
    loops.push_str("r0 = 0\nexit\n");
    bounded("full stacks", &full_stacks(&loops));
}

#[test]
fn eight_frames_that_branch() {
    let mut text = String::from("r1 = 0\ncall f0\nr0 = 0\nexit\n");
    for frame in 0..7 {
        let _ = write!(text, "f{frame}:\nr6 = r1\n");
        for at in 0..8 {
            let _ = write!(
                text,
                "call 7\n*(u64 *)(r10 - {0}) = r0\nif r0 > {at} goto G{frame}_{at}\nr6 += 1\n*(u64 *)(r10 - {0}) = r6\nG{frame}_{at}:\n",
                at * 8 + 8
            );
        }
        if frame < 6 {
            for _ in 0..2 {
                let _ = write!(text, "r1 = r6\ncall f{}\nr6 += r0\n", frame + 1);
            }
        }
        text.push_str("r0 = r6\nexit\n");
    }
    bounded("eight frames", &parsed(&text));
}

#[test]
fn a_bounded_loop_of_many_rounds() {
    bounded("many rounds", &parsed("r1 = 0\nL:\nr1 += 1\nif r1 < 400000 goto L\nr0 = 0\nexit\n"));
    bounded("no end", &parsed("call 7\nL:\nif r0 == 5 goto E\nr0 += 1\ngoto L\nE:\nexit\n"));
}

#[test]
fn long_lists_of_states_at_one_instruction() {
    // Every way into the join has another constant, which the end asks for.
    let mut text = String::from("call 7\nr7 = r0\nr6 = 0\nr8 = 0\n");
    for at in 0..2000 {
        let _ = writeln!(text, "if r7 == {at} goto M{at}");
    }
    text.push_str("goto J\n");
    for at in 0..2000 {
        let _ = write!(text, "M{at}:\nr6 = {at}\nr8 = {at}\ngoto J\n");
    }
    text.push_str("J:\n");
    for at in 0..60 {
        let _ = write!(text, "r8 += r6\ncall 5\nif r0 == {at} goto K{at}\nr8 += 1\nK{at}:\n");
    }
    text.push_str("if r6 > 5000 goto X\nr1 = r10\nr8 &= 7\nr1 += r8\n*(u8 *)(r1 - 16) = 0\nr0 = 0\nexit\nX:\nr0 = *(u64 *)(r6 + 0)\nexit\n");
    bounded("long lists", &parsed(&text));
}

#[test]
fn a_million_instructions() {
    let mut code = vec![[0xb7, 0, 0, 0, 0, 0, 0, 0]];
    for at in 0..999_998u32 {
        code.push(match at % 4 {
            0 => [0x07, 0, 0, 0, 1, 0, 0, 0],
            1 => [0x7b, 0x0a, 0xf8, 0xff, 0, 0, 0, 0],
            2 => [0x79, 0xa0, 0xf8, 0xff, 0, 0, 0, 0],
            _ => [0x15, 0, 0, 0, 7, 0, 0, 0],
        });
    }
    code.push([0x95, 0, 0, 0, 0, 0, 0, 0]);
    bounded("a million instructions", &isa::decode(&code.concat()).expect("instructions"));
}

#[test]
fn a_long_way_that_precision_is_traced_back() {
    let mut text = String::from("call 7\nr0 &= 7\n*(u64 *)(r10 - 8) = r0\nr6 = r0\n");
    for at in 0..100_000 {
        let from = if at % 2 == 0 { "r6 = *(u64 *)(r10 - 8)" } else { "r7 = r6" };
        let _ = writeln!(text, "{from}\nr1 = r10\nr1 += r6\n*(u8 *)(r1 - 32) = 0");
    }
    text.push_str("r0 = 0\nexit\n");
    bounded("traced far", &parsed(&text));
}

#[test]
fn writes_that_turn_out_not_to_be_certain() {
    // On the way back each store is seen to go elsewhere.
    let mut text = String::new();
    for at in 0..8000 {
        let _ = writeln!(
            text,
            "call 7\nr2 = r10\nr2 += -{}\nif r0 == {at} goto W{at}\nr2 += -8\nW{at}:\n*(u64 *)(r2 + 0) = 0",
            at % 60 * 8 + 8
        );
    }
    text.push_str("r0 = 0\nexit\n");
    bounded("uncertain writes", &parsed(&text));
}

#[test]
fn a_long_function_that_is_called_from_everywhere() {
    let mut text = String::new();
    for _ in 0..50_000 {
        text.push_str("r1 = r10\ncall f\n");
    }
    text.push_str("r0 = 0\nexit\nf:\nr7 = 0\nif r7 == 0 goto E\n");
    for _ in 0..40_000 {
        text.push_str("r8 = r7\n");
    }
    text.push_str("E:\n*(u64 *)(r1 - 8) = 0\n*(u64 *)(r10 - 8) = 0\nr0 = 0\nexit\n");
    bounded("called from everywhere", &parsed(&text));
}

#[test]
fn full_frames_that_every_state_has() {
    let mut text = String::new();
    for frame in 0..8 {
        if frame > 0 {
            let _ = writeln!(text, "f{frame}:");
        }
        spills(&mut text, 1, 64);
        if frame < 7 {
            let _ = writeln!(text, "call f{}\nr0 = 0\nexit", frame + 1);
        }
    }
    for at in 0..100_000 {
        let slot = at % 64 * 8 + 8;
        let _ = writeln!(
            text,
            "r6 = {at}\nif r6 == {at} goto A{at}\nA{at}:\ncall 7\nr6 += 1\nr6 += 1\nr6 += 1\nif r6 == 1 goto B{at}\nB{at}:\n*(u64 *)(r10 - {slot}) = r0"
        );
    }
    text.push_str("r0 = 0\nexit\n");
    bounded("full frames", &parsed(&text));
}

#[test]
fn calls_that_multiply_where_nobody_gets() {
    // Each function calls the next ten times: ten million chains of calls, of which no path walks more than the first.
    let mut text = String::from("r1 = 0\ncall f0\nr0 = 0\nexit\n");
    for frame in 0..7 {
        let _ = writeln!(text, "f{frame}:\nr0 = 0\nif r1 == 0 goto E{frame}");
        for _ in 0..10 {
            if frame < 6 {
                let _ = writeln!(text, "r1 = 0\ncall f{}", frame + 1);
            }
        }
        let _ = writeln!(text, "E{frame}:\nexit");
    }
    bounded("multiplied calls", &parsed(&text));
}

#[test]
fn loops_that_are_entangled() {
    // Liveness has to come through one jump back after the other.
    let heads = 16_000;
    let mut text = String::from("r9 = r1\n");
    for at in 0..heads {
        let to = if at == 0 { "E".to_string() } else { format!("B{}", at - 1) };
        let _ = writeln!(text, "H{at}:\nif r1 == 5 goto {to}");
    }
    for at in (0..heads).rev() {
        let _ = writeln!(text, "B{at}:\nif r1 == 6 goto H{at}");
    }
    text.push_str("E:\nr0 = *(u32 *)(r9 + 0)\nexit\n");
    bounded("entangled loops", &parsed(&text));
}

#[test]
fn many_functions_and_many_calls() {
    let mut text = String::new();
    for at in 0..300_000 {
        let _ = writeln!(text, "call f{}", at % 250);
    }
    text.push_str("r0 = 0\nexit\n");
    for at in 0..250 {
        let _ = writeln!(text, "f{at}:\nr0 = 0\nexit");
    }
    bounded("many calls", &parsed(&text));
}

#[test]
fn references_that_pile_up() {
    let mut text = String::from("r6 = r1\n");
    for at in 0..30_000 {
        let _ = writeln!(
            text,
            "*(u64 *)(r10 - 8) = 0\n*(u64 *)(r10 - 16) = 0\nr1 = r6\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = -1\nr5 = 0\ncall 84\nr7 = {at}\nif r7 == {at} goto A{at}\nA{at}:\nif r7 == 1 goto B{at}\nB{at}:"
        );
    }
    text.push_str("r0 = 0\nexit\n");
    bounded("references", &parsed(&text));
}
