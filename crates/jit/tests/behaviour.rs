//! Traps, calls, budgets, helpers: what a program can do besides computing.
#![cfg(all(target_arch = "x86_64", unix))]

mod common;

use std::sync::{Arc, OnceLock};

use common::{agree, agree_with, text};
use sandbpf_interp::Step;
use sandbpf_isa::{Pc, parse};
use sandbpf_jit::{Code, Options};
use sandbpf_runtime::helpers::{Bytes, Context, HelperSet, Scalar};
use sandbpf_runtime::memory::far::{Far, Piece};
use sandbpf_runtime::memory::frame::Frame;
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
fn jumps_reach_over_any_code() {
    let rows = [
        "r0 += 1",
        "r7 = 1",
        "r0 += 1000",
        "w0 <<= 1",
        "r0 *= 77777",
        "r0 = be16 r0",
        "r8 = *(u8 *)(r10 - 9)\nr0 += r8",
        "*(u64 *)(r10 - 512) = 7",
        "*(u16 *)(r3 + 40) = 7",
        "if r0 == 1000 goto L1",
        "r0 /= r5",
    ];
    for row in rows {
        for count in [0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 15, 17, 18, 19, 20, 25, 31, 32, 33, 40, 130] {
            for start in [0, 1] {
                let body = format!("{row}\n").repeat(count);
                let end = "L1:\nr0 += 3\nexit";
                text(&format!("r0 = {start}\nif r0 == 0 goto L1\n{body}{end}"));
                text(&format!("r0 = {start}\nif w0 s> -1 goto L1\n{body}{end}"));
                text(&format!("r0 = {start}\nif r0 == 0 goto L2\ngoto L1\n{body}L2:\n{body}{end}"));
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
            Err(Fault { address: 5, size: 3, write: true }.into())
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
fn the_first_function_can_be_called() {
    // It calls itself until its frame is the third; in a program of one function, and of more.
    for tail in ["", "f:\nr0 = 3\nexit"] {
        let program =
            format!("L1: r0 = 7\nif r10 > 0x20000400 goto end\ncall L1\nr0 += 1\nend: exit\n{tail}");
        assert_eq!(text(&program).result, Ok(9), "{program}");
    }
}

#[test]
fn helpers_call_back() {
    sandbpf_runtime::helpers! {
        static HELPERS;
        /// Calls `function` with its other arguments as often as `times` says, and adds what comes.
        100 fn repeat(machine, times: Scalar, function: Scalar, a: Scalar, b: Scalar) {
            let mut sum = 0u64;
            for i in 0..times.0 {
                sum = sum.wrapping_add(machine.call_back(function.0, [i, a.0, b.0, 0, 0])?);
            }
            Ok(sum)
        }
    }
    let helpers = HelperSet::linux().with(HELPERS);
    let run = |text: &str| agree_with(parse(text).expect(text), 0..11, &helpers, 1000);
    // The callback has a frame of its own, reads its caller's through a pointer, and calls in turn.
    let program = "
        *(u64 *)(r10 - 8) = 5
        r6 = 11
        r1 = 3
        r2 = subprog[f]
        r3 = r10
        r4 = 7
        call 100
        r0 += r6
        exit
        f:
        r6 = *(u64 *)(r2 - 8)
        *(u64 *)(r10 - 8) = r3
        r0 = *(u64 *)(r10 - 8)
        r0 += r6
        call g
        exit
        g:
        r0 += r1
        exit";
    assert_eq!(run(program).result, Ok((5 + 7) * 3 + 1 + 2 + 11));
    // A callback that calls itself through the helper runs out of frames; one that spins, out of instructions.
    let deep = "r1 = 1\nr2 = subprog[f]\ncall 100\nexit\nf:\nr1 = 1\nr2 = subprog[f]\ncall 100\nexit";
    assert!(matches!(run(deep).result, Err(Trap::CallDepth { .. })));
    let spins = "r1 = 1\nr2 = subprog[f]\ncall 100\nexit\nf:\nr9 = 0\nL: goto L";
    assert!(matches!(run(spins).result, Err(Trap::OutOfInstructions { .. })));
    let often = "r1 = 1000000 ll\nr2 = subprog[f]\ncall 100\nexit\nf:\nr0 = 0\nexit";
    assert!(matches!(run(often).result, Err(Trap::OutOfInstructions { .. })));
    // What is no function cannot be called.
    assert!(matches!(run("r1 = 1\nr2 = 5\ncall 100\nexit").result, Err(Trap::BadCallTarget { .. })));
}

/// Programs for tail calls: by number, and the way into the machine that the facade has.
static CALLEES: OnceLock<[Box<dyn Execute>; 3]> = OnceLock::new();

#[test]
fn tail_calls_replace_the_function() {
    sandbpf_runtime::helpers! {
        static HELPERS;
        /// Runs a program in the place of the function that calls.
        12 fn tail_call(machine, context: Context, _map: Scalar, index: Scalar) {
            match CALLEES.get().and_then(|callees| callees.get(index.0 as usize)) {
                Some(callee) => machine.replace(callee.as_ref(), context.0),
                None => Ok(-1i64 as u64),
            }
        }
    }
    CALLEES.get_or_init(|| {
        let program = |text: &str| parse(text).expect(text);
        [
            Box::new(
                Code::compile(program("r0 = *(u8 *)(r1 + 4)\n*(u64 *)(r10 - 8) = 1\nexit")).expect("code"),
            ),
            Box::new(sandbpf_interp::Code::new(program("call f\nr0 += 1\nexit\nf:\nr0 = r10\nexit"))),
            Box::new(Step::new(program("L: goto L"))),
        ]
    });
    let helpers = HelperSet::linux().with(HELPERS);
    let run = |text: &str| agree_with(parse(text).expect(text), 0..11, &helpers, 1000);
    assert_eq!(run("r3 = 0\ncall 12\nr0 = 99\nexit").result, Ok(4));
    // One that fails goes on behind the call.
    assert_eq!(run("r3 = 7\ncall 12\nr0 += 99\nexit").result, Ok(98));
    // From a function only that function ends, and its frame is the new program's.
    let nested = "r6 = 5\nr3 = 1\ncall f\nr0 += r6\nexit\nf:\ncall 12\nr0 = 99\nexit";
    let third = address::FIRST_FRAME + 2 * 512;
    assert_eq!(run(&format!("*(u64 *)(r10 - 8) = 1\n{nested}")).result, Ok(third + 1 + 5));
    assert!(matches!(run("r3 = 2\ncall 12\nexit").result, Err(Trap::OutOfInstructions { pc: Pc(0) })));
}

/// Shared bytes at 2^40, eight more that cannot be written behind them, and a described byte at 2^41.
#[derive(Debug)]
struct Beyond(SharedBytes);

impl Far for Beyond {
    fn piece(&self, address: u64) -> Option<Piece<'_>> {
        let at = address.checked_sub(1 << 40).filter(|&at| at < 32)? as usize;
        Some(Piece {
            bytes: &self.0,
            at,
            end: if at < 24 { 24 } else { 32 },
            readable: true,
            writable: at < 24,
        })
    }

    fn foreign(&self, address: u64, to: &mut [u8]) -> bool {
        to.fill(7);
        address == 1 << 41
    }
}

#[test]
fn memory_behind_the_regions() {
    let program = |text: &str| Arc::new(parse(text).expect(text));
    let run = |text: &str| {
        let results: Vec<_> = (0..13)
            .map(|engine| {
                let program = program(text);
                let code: Box<dyn Execute> = match engine {
                    11 => Box::new(Step::new(sandbpf_isa::Program::clone(&program))),
                    12 => Box::new(sandbpf_interp::Code::new(program)),
                    rotation => {
                        let options = Options { export_registers: true, rotation, ..Options::default() };
                        Box::new(Code::compile_with(program, options).expect("code"))
                    }
                };
                let beyond = Beyond(SharedBytes::from(&(0..32).collect::<Vec<u8>>()[..]));
                let (mut stack, helpers) = (Stack::default(), HelperSet::linux());
                let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, 1000);
                machine.memory.set_far(&beyond);
                machine.registers[1] = 1 << 40;
                let result = code.execute(&mut machine);
                (result, result.is_ok().then_some(machine.registers), beyond.0.to_vec())
            })
            .collect();
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{text}: {results:?}");
        results.into_iter().next().expect("engines")
    };
    assert_eq!(run("r0 = *(u32 *)(r1 + 3)\nexit").0, Ok(0x0605_0403));
    let (result, _, bytes) = run("*(u16 *)(r1 + 22) = 0x1234\nr0 = *(s8 *)(r1 + 22)\nexit");
    assert_eq!((result, &bytes[21..25]), (Ok(0x34), &[21, 0x34, 0x12, 24][..]));
    assert!(run("r0 = 0\n*(u16 *)(r1 + 23) = 0\nexit").0.is_err());
    assert!(run("r0 = 0\n*(u8 *)(r1 + 24) = 0\nexit").0.is_err());
    assert_eq!(run("r0 = *(u64 *)(r1 + 24)\nexit").0, Ok(0x1f1e_1d1c_1b1a_1918));
    assert!(run("r0 = *(u64 *)(r1 + 25)\nexit").0.is_err());
    for (op, value) in [("+=", 0x1312_1110u64 + 5), ("|=", 0x1312_1110 | 5), ("^=", 0x1312_1110 ^ 5)] {
        let (_, _, bytes) = run(&format!("r2 = 5\nr0 = 0\nlock *(u32 *)(r1 + 16) {op} r2\nexit"));
        assert_eq!(bytes[16..20], (value as u32).to_le_bytes());
    }
    assert_eq!(
        run("r2 = 5\nr2 = atomic_fetch_add((u64 *)(r1 + 9), r2)\nr0 = r2\nexit").0,
        Ok(0x100f_0e0d_0c0b_0a09)
    );
    assert!(run("r2 = 5\nr0 = 0\nlock *(u32 *)(r1 + 24) += r2\nexit").0.is_err());
    assert_eq!(run("r2 = 0x20000000000 ll\nr0 = *(u16 *)(r2 + 0)\nexit").0, Ok(0x0707));
    assert!(run("r2 = 0x20000000000 ll\nr0 = 0\n*(u16 *)(r2 + 0) = 0\nexit").0.is_err());
    assert!(run("r2 = 0x30000000000 ll\nr0 = *(u16 *)(r2 + 0)\nexit").0.is_err());
}

#[test]
fn packets_that_move() {
    sandbpf_runtime::helpers! {
        static HELPERS;
        /// Moves the packet's start.
        100 fn move_data(machine, by: Scalar) {
            Ok(machine.memory.frame_mut().is_some_and(|frame| frame.move_data(by.0 as i64)).into())
        }
    }
    let helpers = HelperSet::empty().with(HELPERS);
    let program = Arc::new(
        parse("r6 = *(u8 *)(r4 + 0)\nr1 = -2\ncall 100\n*(u8 *)(r4 + 4) = 9\nr0 = *(u8 *)(r4 + 2)\nr0 <<= 8\nr0 |= r6\nr7 = r0\nr0 = *(u8 *)skb[4]\nr0 <<= 16\nr0 |= r7\nexit")
            .expect("text"),
    );
    let engines: [Box<dyn Execute>; 3] = [
        Box::new(Step::new(sandbpf_isa::Program::clone(&program))),
        Box::new(sandbpf_interp::Code::new(Arc::clone(&program))),
        Box::new(Code::compile(program).expect("code")),
    ];
    for engine in engines {
        let mut frame = Frame::new(&[1, 2, 3], 16, 0);
        let mut stack = Stack::default();
        let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, 1000);
        machine.memory.set_packet(Region::Frame(&mut frame)).expect("it fits");
        machine.registers[4] = address::PACKET;
        assert_eq!(engine.execute(&mut machine), Ok(0x09_0101), "{engine:?}");
        assert_eq!(frame.data(), [0, 0, 1, 2, 9]);
    }
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
