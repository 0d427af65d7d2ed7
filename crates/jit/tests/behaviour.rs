//! Traps, calls, budgets, helpers: what a program can do besides computing.
#![cfg(all(target_arch = "x86_64", unix))]

mod common;

use common::{agree, agree_with, text};
use sandbpf_isa::{Pc, parse};
use sandbpf_jit::{Code, Options};
use sandbpf_runtime::helpers::{Bytes, HelperSet};
use sandbpf_runtime::memory::shared::SharedBytes;
use sandbpf_runtime::memory::{Region, Stack};
use sandbpf_runtime::{Execute, Fault, FrozenHost, Machine, Trap, address};

#[test]
fn accesses_at_every_edge() {
    // r1 the context of 200 bytes, r3 the buffer of 64, r4 the packet of 60, read only.
    for (base, len, writable) in [("r1", 200i64, true), ("r3", 64, true), ("r4", 60, false), ("r10", 0, true)]
    {
        for (size, name) in [(1i64, "u8"), (2, "u16"), (4, "u32"), (8, "u64")] {
            for off in [-513, -512, -8, -size, -1, 0, 1, len - size, len - size + 1, len] {
                let inside = match base {
                    "r10" => off >= -512 && off + size <= 0,
                    _ => off >= 0 && off + size <= len,
                };
                let place = format!("*({name} *)({base} {} {})", if off < 0 { '-' } else { '+' }, off.abs());
                let read = text(&format!("r9 = *(u8 *)(r10 - 1)\nr0 = {place}\nexit"));
                assert_eq!(read.result.is_ok(), inside, "{place}: {read:?}");
                if let Err(trap) = read.result {
                    assert!(matches!(trap, Trap::BadAccess { pc: Pc(1), write: false, .. }), "{trap:?}");
                }
                for value in ["r5", "-2"] {
                    let write =
                        text(&format!("r9 = *(u8 *)(r10 - 1)\n{place} = {value}\nr0 = {place}\nexit"));
                    assert_eq!(write.result.is_ok(), inside && writable, "{place}: {write:?}");
                }
            }
        }
    }
}

#[test]
fn no_address_outside_is_reached() {
    let last = u64::from(u32::MAX);
    for address in
        [0, 1, 0x0fff_ffff, address::FUNCTIONS, address::STACK, 0x5000_0000, 0x7fff_ffff, 1 << 31, last]
    {
        for address in [address, address.wrapping_sub(4), address | 1 << 32, address | 1 << 63, address << 32]
        {
            let outcome = text(&format!("r2 = {address:#x} ll\nr0 = *(u64 *)(r2 + 0)\nexit"));
            assert!(
                matches!(outcome.result, Err(Trap::BadAccess { pc: Pc(1), size: 8, .. })),
                "{address:#x}"
            );
        }
    }
}

#[test]
fn atomics() {
    for size in ["u32", "u64"] {
        let bits = if size == "u32" { 32 } else { 64 };
        for off in [0, 4, 8, 1, 3, 57, 60, 61, 64, -8] {
            let place = format!("({size} *)(r3 {} {})", if off < 0 { '-' } else { '+' }, i32::abs(off));
            for operation in ["+=", "|=", "&=", "^="] {
                text(&format!("r5 = 0x123456789abcdef ll\nlock *{place} {operation} r5\nr0 = 0\nexit"));
            }
            for name in ["add", "or", "and", "xor"] {
                for reg in ["r0", "r2", "r5", "r8"] {
                    text(&format!(
                        "{reg} = 0x8123456789abcdef ll\n{reg} = atomic_fetch_{name}({place}, {reg})\nexit"
                    ));
                }
            }
            let at = format!("r3 {} {}", if off < 0 { '-' } else { '+' }, i32::abs(off));
            let r = if bits == 32 { 'w' } else { 'r' };
            let x = if bits == 32 { "xchg32_32" } else { "xchg_64" };
            let c = if bits == 32 { "cmpxchg32_32" } else { "cmpxchg_64" };
            for n in [0, 2, 5] {
                text(&format!("r5 = -3\nr2 = 9\n{r}{n} = {x}({at}, {r}{n})\nr0 = 0\nexit"));
                text(&format!(
                    "r0 = *({size} *)({at})\nr2 = -9\nr5 = 77\n{r}0 = {c}({at}, {r}0, {r}{n})\nexit"
                ));
                text(&format!("r0 = 3\nr2 = -9\nr5 = 77\n{r}0 = {c}({at}, {r}0, {r}{n})\nexit"));
            }
        }
    }
}

#[test]
fn no_update_of_shared_bytes_is_lost() {
    for operation in [
        "lock *(u64 *)(r1 + 8) += r2",
        "r2 = atomic_fetch_add((u64 *)(r1 + 8), r2)",
        "lock *(u32 *)(r1 + 12) += r2",
    ] {
        let code =
            Code::compile(parse(&format!("r2 = 1\n{operation}\nr0 = 0\nexit")).expect("text")).expect("code");
        let shared = SharedBytes::zeroed(16);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let (mut stack, helpers) = (Stack::default(), HelperSet::empty());
                    for _ in 0..5000 {
                        let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, 100);
                        machine.memory.set_buffer(Region::Shared(&shared)).expect("it fits");
                        machine.registers[1] = address::BUFFER;
                        assert_eq!(code.execute(&mut machine), Ok(0));
                    }
                });
            }
        });
        let (low, high) = (shared.load(8, 4), shared.load(12, 4));
        assert!(
            (low, high) == (Some(20_000), Some(0)) || (low, high) == (Some(0), Some(20_000)),
            "{operation}"
        );
    }
}

#[test]
fn calls_keep_what_they_should() {
    let outcome = text(
        "r6 = 6\nr7 = 7\nr8 = 8\nr9 = 9\n*(u64 *)(r10 - 8) = 88\ncall f\n\
         r1 = *(u64 *)(r10 - 8)\nr0 += r1\nr0 += r6\nr0 += r7\nr0 += r8\nr0 += r9\nexit\n\
         f:\nr6 = 1\nr7 = 1\nr8 = 1\nr9 = 1\nr0 = *(u64 *)(r10 - 8)\n*(u64 *)(r10 - 8) = 1\nr0 += 1000\nexit",
    );
    assert_eq!(outcome.result, Ok(1000 + 88 + 6 + 7 + 8 + 9));
}

#[test]
fn eight_frames_and_no_more() {
    // Counts down in r1, one frame each.
    let depth = |n: u32| {
        text(&format!(
            "r1 = {n}\ncall f\nexit\nf:\nr0 = r1\nif r1 == 0 goto end\nr1 += -1\ncall f\nend:\nexit"
        ))
        .result
    };
    assert_eq!(depth(6), Ok(0));
    assert_eq!(depth(7), Err(Trap::CallDepth { pc: Pc(6) }));
}

#[test]
fn a_function_pointer_calls_its_function_and_nothing_else() {
    // The address of the function at instruction 3.
    let outcome = text("r1 = 41\nr2 = subprog[f]\ncallx r2\nf:\nr0 = r1\nr0 += 1\nexit");
    assert!(outcome.result.is_ok(), "{outcome:?}");
    for address in [0u64, 5, address::FUNCTIONS + 1, address::FUNCTIONS + 1000, address::CONTEXT, u64::MAX] {
        let outcome = text(&format!("r2 = {address:#x} ll\ncallx r2\nexit"));
        assert_eq!(outcome.result, Err(Trap::BadCallTarget { pc: Pc(1), address }));
    }
}

#[test]
fn may_goto_counts_for_each_frame() {
    let program = "r0 = 0\nr6 = 0\nloop:\nr0 += 1\nmay_goto out\ngoto loop\nout:\nexit";
    let outcome = agree(parse(program).expect("text"), [0, 3], 1 << 40);
    assert_eq!(outcome.result, Ok(sandbpf_isa::MAY_GOTO_LIMIT + 1));
}

#[test]
fn budgets_end_at_the_same_jump() {
    let program =
        parse("r0 = 0\nr2 = 9\nl:\nr0 += 1\ncall f\nr2 += -1\nif r2 != 0 goto l\nexit\nf:\nr3 = 1\nexit")
            .expect("text");
    for budget in 0..70 {
        agree(program.clone(), [0, 7], budget);
    }
}

#[test]
fn helpers_fault_trap_and_keep_registers() {
    sandbpf_runtime::helpers! {
        static HELPERS;
        /// Sums bytes.
        100 fn sum(machine, data: Bytes) {
            Ok(data.read(machine)?.iter().map(|&byte| u64::from(byte)).sum())
        }
        /// Writes the caller's stack.
        101 fn scribble(machine) {
            machine.memory.write::<8>(address::FIRST_FRAME - 8, 99)?;
            Ok(1)
        }
        /// Fails.
        102 fn fault(_machine) {
            Err(Fault { address: 5, size: 3, write: true })
        }
    }
    let helpers = HelperSet::linux().with(HELPERS);
    let run = |text: &str| agree_with(parse(text).expect("text"), 0..11, &helpers, 1000);
    assert_eq!(run("r2 = 4\nr1 = r3\ncall 100\nr0 += r2\nexit").result, Ok(3 + 6 + 9 + 4));
    assert_eq!(run("*(u64 *)(r10 - 8) = 1\ncall 101\nr0 = *(u64 *)(r10 - 8)\nexit").result, Ok(99));
    assert!(matches!(
        run("r2 = 400\nr1 = r3\ncall 100\nexit").result,
        Err(Trap::BadAccess { pc: Pc(2), .. })
    ));
    assert_eq!(
        run("r0 = 0\ncall 102\nexit").result,
        Err(Trap::BadAccess { pc: Pc(1), address: 5, size: 3, write: true })
    );
    assert_eq!(run("call 999\nexit").result, Err(Trap::UnknownHelper { pc: Pc(0), id: 999 }));
    // In a callee's frame as well.
    assert!(run("call f\nexit\nf:\ncall 102\nexit").result.is_err());
}

#[test]
fn a_panic_in_a_helper_goes_through() {
    sandbpf_runtime::helpers! {
        static HELPERS;
        /// Panics.
        100 fn panics(_machine) {
            panic!("on purpose")
        }
    }
    let helpers = HelperSet::empty().with(HELPERS);
    let code = Code::compile(parse("call f\nexit\nf:\ncall 100\nexit").expect("text")).expect("code");
    let caught = std::panic::catch_unwind(|| {
        let mut stack = Stack::default();
        let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, 100);
        code.execute(&mut machine)
    });
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"on purpose"));
}

#[test]
fn packet_loads() {
    for size in ["u8", "u16", "u32"] {
        for off in [
            0i64,
            1,
            42,
            43,
            44,
            45,
            46,
            0x7fff_ffff,
            -1,
            -0x10_0000,
            -0x10_0000 + 45,
            -0x20_0000,
            -0x20_0000 + 57,
            -0x20_0001,
            i64::from(i32::MIN),
        ] {
            text(&format!("r0 = *({size} *)skb[{off}]\nr0 += 1\nexit"));
            for index in [0, 1, 45, -1, -0x10_0000, i32::MAX, i32::MIN] {
                let sign = if off < 0 { '-' } else { '+' };
                let abs = off.abs();
                text(&format!("r7 = {index}\nr0 = *({size} *)skb[r7 {sign} {abs}]\nr0 += 1\nexit"));
            }
        }
    }
    // Where the load fails, the function returns 0: here the caller goes on.
    let outcome = text("call f\nr0 += 5\nexit\nf:\nr0 = *(u8 *)skb[1000]\nr0 = 77\nexit");
    assert_eq!(outcome.result, Ok(5));
}

#[test]
fn what_is_not_there_traps() {
    assert_eq!(text("r1 = map[fd:3]\nexit").result, Err(Trap::Unresolved { pc: Pc(0) }));
    assert_eq!(text("call kfunc#12\nexit").result, Err(Trap::Unresolved { pc: Pc(0) }));
    assert_eq!(text("r0 = 1\nr10 = 5\nexit").result, Err(Trap::FramePointer { pc: Pc(1) }));
    assert_eq!(text("r0 = 1").result, Err(Trap::FellOff { pc: Pc(0) }));
}

#[test]
fn long_programs_compile_in_proportion() {
    let time = |n: usize| {
        let body = "r0 += r1\nif r0 == 7 goto end\nr2 ^= r0\n*(u64 *)(r10 - 8) = r2\n".repeat(n / 4);
        let program = std::sync::Arc::new(parse(&format!("{body}end:\nexit")).expect("text"));
        let start = std::time::Instant::now();
        let code = Code::compile_with(program, Options::default()).expect("code");
        assert!(code.machine_code().len() < n * 40);
        start.elapsed()
    };
    let (short, long) = (time(20_000), time(200_000));
    assert!(long < short * 100, "{short:?} for 20,000 instructions, {long:?} for ten times as many");
}
