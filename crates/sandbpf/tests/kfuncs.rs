//! Kernel functions through the door, on every engine.

use sandbpf::abi::kfuncs;
use sandbpf::maps::{MapSpec, MapType};
use sandbpf::{Buffer, Engine, FrozenHost, Loader, Maps, Program, Trap};

const ENGINES: [Engine; 3] = [Engine::Interpreter, Engine::Step, Engine::Auto];

/// Text with the numbers of kernel functions where it names them: `call bpf_throw`.
fn assemble(text: &str) -> String {
    let line = |line: &str| match line.trim().strip_prefix("call bpf_") {
        Some(name) => {
            let name = format!("bpf_{name}");
            let (number, _) = kfuncs::named(&name).unwrap_or_else(|| panic!("no function {name}"));
            format!("call kfunc#{number}\n")
        }
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn load(engine: Engine, maps: &Maps, text: &str) -> Program<Buffer> {
    let loader = Loader::new().engine(engine).maps(maps).host(FrozenHost);
    loader.load(assemble(text).as_str()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// An error as a function of C that returns `int` has it: half a register. So do `bpf_strcmp` and others of Linux 6.18.
fn minus(errno: i32) -> u64 {
    u64::from((-errno) as u32)
}

fn answers(text: &str, expected: u64) {
    for engine in ENGINES {
        let maps = Maps::new();
        maps.set_object_type(5, 64);
        assert_eq!(load(engine, &maps, text).run(&[]), Ok(expected), "{engine:?}\n{text}");
    }
}

#[test]
fn numbers_are_iterated() {
    answers(
        "r6 = 0
         r1 = r10
         r1 += -8
         r2 = 3
         r3 = 7
         call bpf_iter_num_new
         again: r1 = r10
         r1 += -8
         call bpf_iter_num_next
         if r0 == 0 goto end
         r1 = *(u32 *)(r0 + 0)
         r6 += r1
         goto again
         end: r1 = r10
         r1 += -8
         call bpf_iter_num_destroy
         r0 = r6
         exit",
        3 + 4 + 5 + 6,
    );
}

#[test]
fn what_is_thrown_is_the_answer() {
    let text = "r1 = 7\n call bpf_throw\n r0 = 1\n exit\n r0 = r1\n r0 += 1\n exit";
    answers(text, 7);
    for engine in ENGINES {
        let loader = Loader::new().engine(engine).exception_callback(4);
        let program: Program<Buffer> = loader.load(assemble(text).as_str()).unwrap();
        assert_eq!(program.run(&[]), Ok(8), "{engine:?}");
    }
}

#[test]
fn objects_are_counted_and_freed() {
    for engine in ENGINES {
        let maps = Maps::new();
        maps.set_object_type(5, 24);
        // Two references, one given back: it is still there; both: it is not.
        let text = "r1 = 5
             r2 = 0
             call bpf_obj_new_impl
             r6 = r0
             *(u64 *)(r6 + 16) = 9
             r1 = r6
             call bpf_refcount_acquire_impl
             r1 = r6
             call bpf_obj_drop_impl
             r7 = *(u64 *)(r6 + 16)
             r1 = r6
             call bpf_obj_drop_impl
             r0 = r7
             exit";
        let program = load(engine, &maps, text);
        // Nothing stays, so it can go on for ever.
        for _ in 0..1000 {
            assert_eq!(program.run(&[]), Ok(9), "{engine:?}");
        }
        let late = text.replace("r0 = r7", "r0 = *(u64 *)(r6 + 16)");
        assert!(matches!(load(engine, &maps, &late).run(&[]), Err(Trap::BadAccess { size: 8, .. })));
        let twice = text.replace("r0 = r7", "r1 = r6\n call bpf_obj_drop_impl");
        assert!(matches!(load(engine, &maps, &twice).run(&[]), Err(Trap::BadAccess { .. })));
        let unknown = text.replace("r1 = 5", "r1 = 6");
        assert_eq!(
            load(engine, &maps, &unknown).run(&[]),
            Err(Trap::UnknownType { pc: sandbpf::Pc(2), number: 6 })
        );
    }
}

/// Puts numbers into a tree in the order that `order` gives and takes them out from the least.
#[test]
fn trees_are_in_order() {
    for engine in ENGINES {
        let maps = Maps::new();
        maps.create(MapSpec::new(MapType::Array, 4, 64, 1)).unwrap();
        maps.set_object_type(5, 48);
        // A node is at the object's start, its number behind it. The root is in the map's value, the input tells what to do:
        // first byte 0 adds the second; 1 takes the least out and gives its number; 2 takes the root out.
        let text = "r6 = *(u8 *)(r1 + 0)
             r7 = *(u8 *)(r1 + 1)
             *(u32 *)(r10 - 4) = 0
             r1 = map[fd:0]
             r2 = r10
             r2 += -4
             call 1
             if r0 == 0 goto end
             r8 = r0
             if r6 == 1 goto least
             if r6 == 2 goto root
             r1 = 5
             r2 = 0
             call bpf_obj_new_impl
             if r0 == 0 goto end
             *(u64 *)(r0 + 32) = r7
             r1 = r8
             r2 = r0
             r3 = subprog[less]
             r4 = 0
             r5 = 0
             call bpf_rbtree_add_impl
             exit
             root: r1 = r8
             call bpf_rbtree_root
             goto remove
             least: r1 = r8
             call bpf_rbtree_first
             remove: if r0 == 0 goto end
             r1 = r8
             r2 = r0
             call bpf_rbtree_remove
             if r0 == 0 goto end
             r6 = *(u64 *)(r0 + 32)
             r1 = r0
             call bpf_obj_drop_impl
             r0 = r6
             exit
             end: r0 = 1000
             exit
             less: r1 = *(u64 *)(r1 + 32)
             r2 = *(u64 *)(r2 + 32)
             r0 = 1
             if r1 < r2 goto done
             r0 = 0
             done: exit";
        let program = load(engine, &maps, text);
        let mut model = Vec::new();
        let mut state = 1u32;
        for step in 0..3000 {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
            let (dice, number) = (state >> 24, (state >> 16) as u8);
            // The tree grows, then shrinks.
            if (dice as usize % 256) < if step < 1500 { 170 } else { 90 } {
                assert_eq!(program.run(&[0, number]), Ok(0));
                model.push(u64::from(number));
            } else if dice % 3 == 0 {
                let root = program.run(&[2, 0]).unwrap();
                match model.iter().position(|&number| number == root) {
                    Some(at) => drop(model.swap_remove(at)),
                    None => assert!(root == 1000 && model.is_empty(), "{engine:?} step {step}"),
                }
            } else {
                let least = model.iter().copied().min();
                assert_eq!(program.run(&[1, 0]), Ok(least.unwrap_or(1000)), "{engine:?} step {step}");
                if let Some(at) = least.and_then(|least| model.iter().position(|&number| number == least)) {
                    model.swap_remove(at);
                }
            }
        }
        model.sort_unstable();
        for number in model {
            assert_eq!(program.run(&[1, 0]), Ok(number), "{engine:?}");
        }
        assert_eq!(program.run(&[1, 0]), Ok(1000));
    }
}

/// A damaged tree or list is a trap, or an answer, and never an endless loop.
#[test]
fn damage_ends() {
    for engine in ENGINES {
        let maps = Maps::new();
        // A tree of one node that is its own child, on the stack.
        let text = "r6 = r10
             r6 += -64
             *(u64 *)(r6 + 0) = r6
             *(u64 *)(r6 + 8) = r6
             *(u64 *)(r6 + 16) = r6
             *(u64 *)(r6 + 24) = 0
             *(u64 *)(r10 - 16) = r6
             *(u64 *)(r10 - 8) = r6
             *(u64 *)(r10 - 96) = 0
             *(u64 *)(r10 - 72) = 0
             r1 = r10
             r1 += -16
             r2 = r10
             r2 += -96
             r3 = subprog[less]
             call bpf_rbtree_add_impl
             exit
             less: r0 = 1
             exit";
        assert!(matches!(load(engine, &maps, text).run(&[]), Err(Trap::BadAccess { .. })), "{engine:?}");
    }
}

#[test]
fn what_has_no_meaning_says_so() {
    for engine in ENGINES {
        let maps = Maps::new();
        let program = load(engine, &maps, "call bpf_kfunc_call_test_release\n exit");
        let name = "bpf_kfunc_call_test_release";
        assert_eq!(program.run(&[]), Err(Trap::NoKfunc { pc: sandbpf::Pc(0), name }));
        let unknown: Program<Buffer> = Loader::new().engine(engine).load("call kfunc#1234\n exit").unwrap();
        assert_eq!(unknown.run(&[]), Err(Trap::Unresolved { pc: sandbpf::Pc(0) }));
    }
}

#[test]
fn strings_are_compared() {
    // `r6` and `r7` point to two strings on the stack.
    let two = |a: &[u8; 8], b: &[u8; 8], call: &str| {
        let (a, b) = (u64::from_le_bytes(*a), u64::from_le_bytes(*b));
        format!(
            "r1 = {a} ll\n *(u64 *)(r10 - 16) = r1\n r1 = {b} ll\n *(u64 *)(r10 - 8) = r1
             r1 = r10\n r1 += -16\n r2 = r10\n r2 += -8\n r3 = 3\n call {call}\n exit"
        )
    };
    for (a, b, call, expected) in [
        (b"abc\0\0\0\0\0", b"abd\0\0\0\0\0", "bpf_strcmp", minus(1)),
        (b"abc\0\0\0\0\0", b"abC\0\0\0\0\0", "bpf_strcmp", 1),
        (b"abc\0\0\0\0\0", b"aBC\0\0\0\0\0", "bpf_strcasecmp", 0),
        (b"abcb\0\0\0\0", b"cb\0\0\0\0\0\0", "bpf_strstr", 2),
        (b"abcb\0\0\0\0", b"cb\0\0\0\0\0\0", "bpf_strnstr", minus(2)),
        (b"abcb\0\0\0\0", b"bc\0\0\0\0\0\0", "bpf_strnstr", 1),
        (b"abcb\0\0\0\0", b"ba\0\0\0\0\0\0", "bpf_strspn", 2),
        (b"abcb\0\0\0\0", b"cd\0\0\0\0\0\0", "bpf_strcspn", 2),
        (b"abcb\0\0\0\0", b"\0\0\0\0\0\0\0\0", "bpf_strlen", 4),
    ] {
        answers(&two(a, b, call), expected);
    }
    let at = |place: &str, call: &str| {
        format!("*(u64 *)(r10 - 8) = 0x6362\n {place}\n r2 = 0x63\n call {call}\n exit")
    };
    answers(&at("r1 = r10\n r1 += -8", "bpf_strchr"), 1);
    answers(&at("r1 = r10\n r1 += -8\n r3 = 0x63", "bpf_strrchr"), 1);
    // Neither the program's nor the kernel's.
    answers(&at("r1 = 0", "bpf_strlen"), minus(34));
    answers(&at("r1 = 0x7f0000000000 ll", "bpf_strchrnul"), minus(34));
}

#[test]
fn dynamic_pointers_are_narrowed_and_filled() {
    answers(
        "*(u64 *)(r10 - 16) = 0
         *(u64 *)(r10 - 8) = 0
         r1 = r10
         r1 += -16
         r2 = 16
         r3 = 0
         r4 = r10
         r4 += -32
         call 197
         r1 = r10
         r1 += -32
         r2 = 4
         r3 = 12
         call bpf_dynptr_adjust
         r1 = r10
         r1 += -32
         r2 = 1
         r3 = 2
         r4 = 0xff
         call bpf_dynptr_memset
         r6 = r0
         r1 = r10
         r1 += -32
         call bpf_dynptr_size
         r6 += r0
         r1 = r10
         r1 += -32
         r2 = 7
         r3 = 2
         r4 = 1
         call bpf_dynptr_memset
         r6 += r0
         r0 = *(u64 *)(r10 - 16)
         r0 >>= 40
         r0 += r6
         exit",
        0xffff + 8 + minus(7),
    );
}

#[test]
fn locks_tell_of_deadlocks() {
    let text = |between: &str| {
        format!(
            "*(u64 *)(r10 - 8) = 0\n r1 = r10\n r1 += -8\n call bpf_res_spin_lock\n r6 = r0\n {between}
             r1 = r10\n r1 += -8\n call bpf_res_spin_lock\n r0 += r6\n exit"
        )
    };
    answers(&text(""), minus(35));
    answers(&text("r1 = r10\n r1 += -8\n call bpf_res_spin_unlock"), 0);
}
