//! Arenas as a compiler has them: what a program builds there its user walks, and the other way round.
#![cfg(feature = "object")]

use sandbpf::maps::typed::Arena;
use sandbpf::maps::{MapSpec, MapType, flags};
use sandbpf::object::{Object, ObjectSet};
use sandbpf::{Engine, Loader, Maps, Program, Syscall, Trap};

const ENGINES: [Engine; 3] = [Engine::Step, Engine::Interpreter, Engine::Auto];

fn set(change: impl FnOnce(&mut Object)) -> ObjectSet {
    let mut object = Object::parse(include_bytes!("data/arena.o")).expect("an object");
    change(&mut object);
    ObjectSet::new(object).expect("its maps")
}

/// Runs a program on a request for so many nodes: what it answers, what it found and the sum.
fn run(set: &ObjectSet, engine: Engine, name: &str, count: u32) -> (u64, u32, u64) {
    let program: Program<Syscall> = set.program(name, &Loader::new().engine(engine)).expect("a program");
    let mut request = [0; 16];
    request[..4].copy_from_slice(&count.to_ne_bytes());
    let answer = program.run(&mut request).expect("a run");
    let [_, _, _, _, f0, f1, f2, f3, sum @ ..] = request;
    (answer.0, u32::from_ne_bytes([f0, f1, f2, f3]), u64::from_ne_bytes(sum))
}

fn word(arena: &Arena, at: u64) -> u64 {
    let mut bytes = [0; 8];
    arena.read(at, &mut bytes).expect("a word of the arena");
    u64::from_ne_bytes(bytes)
}

/// The values of the list, as the user finds them.
fn walk(set: &ObjectSet) -> Vec<u64> {
    let arena: Arena = set.maps().get("arena").expect("the arena");
    let head = set.object().global("head").expect("a variable of the arena");
    let mut next = word(&arena, head.offset as u64);
    let mut values = Vec::new();
    while next != 0 {
        let at = arena.offset(next).expect("a pointer into the arena");
        values.push(word(&arena, at + 8));
        next = word(&arena, at);
    }
    values
}

#[test]
fn users_walk_what_programs_build() {
    for engine in ENGINES {
        let set = set(|_| ());
        assert_eq!(run(&set, engine, "sum", 0), (0, 0, 0), "{engine:?}: the list is empty");
        assert_eq!(run(&set, engine, "push", 600).0, 0, "{engine:?}");
        let expected: Vec<u64> = (0..600).rev().map(|i| 3 * i).collect();
        assert_eq!(walk(&set), expected, "{engine:?}");
        assert_eq!(run(&set, engine, "sum", 0), (0, 600, expected.iter().sum()), "{engine:?}");
        let arena: Arena = set.maps().get("arena").expect("the arena");
        assert_eq!(arena.pages(), 4, "{engine:?}: variables, and 256 nodes a page");
        let nodes = set.object().global("nodes").expect("a variable");
        assert_eq!(
            word(&arena, nodes.offset as u64) as u32,
            600,
            "{engine:?}: what atomic operations counted"
        );
    }
}

#[test]
fn programs_walk_what_users_build() {
    for engine in ENGINES {
        let set = set(|_| ());
        let arena: Arena = set.maps().get("arena").expect("the arena");
        let head = set.object().global("head").expect("a variable of the arena").offset as u64;
        // Three nodes, the second across the border of two pages.
        let places = [8192u64, 3 * 4096 - 8, 40_000];
        for (i, at) in places.into_iter().enumerate() {
            let next = places.get(i + 1).map_or(0, |&next| arena.address(next));
            arena.write(at, &next.to_ne_bytes()).expect("it is inside");
            arena.write(at + 8, &(10 + i as u64).to_ne_bytes()).expect("it is inside");
        }
        arena.write(head, &arena.address(places[0]).to_ne_bytes()).expect("it is inside");
        assert_eq!(run(&set, engine, "sum", 0), (0, 3, 33), "{engine:?}");
    }
}

#[test]
fn pages_that_are_given_back_read_as_zeros() {
    for engine in ENGINES {
        let set = set(|object| {
            object.set_global("step", &5u32.to_ne_bytes()).expect("a variable of the arena");
        });
        assert_eq!(run(&set, engine, "push", 3).0, 0, "{engine:?}");
        assert_eq!(walk(&set), [10, 5, 0], "{engine:?}");
        assert_eq!(run(&set, engine, "drop", 0), (0, 0, 0), "{engine:?}: also through null");
        assert_eq!(run(&set, engine, "drop", 0).0, 0, "{engine:?}: freed, and kept again");
    }
}

#[test]
fn a_small_arena_gives_no_more_pages() {
    for engine in ENGINES {
        let set = set(|object| object.map_mut("arena").expect("the arena").max_entries = 2);
        assert_eq!(run(&set, engine, "push", 300).0, 1, "{engine:?}: null is an answer");
        assert_eq!(run(&set, engine, "sum", 0).1, 256, "{engine:?}");
    }
}

#[test]
fn large_arenas_hide_nothing_of_the_programs_own() {
    // Pointers into the middle of this one are numbers that are addresses of the program's own regions.
    for engine in ENGINES {
        let set = set(|object| object.map_mut("arena").expect("the arena").max_entries = 1 << 20);
        let arena: Arena = set.maps().get("arena").expect("the arena");
        let head = set.object().global("head").expect("a variable of the arena").offset as u64;
        let places = [0x1000_0000u64, 0x2000_0f00, 0x6fff_fff0, 0xffff_fff0];
        for (i, at) in places.into_iter().enumerate() {
            let next = places.get(i + 1).map_or(0, |&next| arena.address(next));
            arena.write(at, &next.to_ne_bytes()).expect("it is inside");
            arena.write(at + 8, &(1u64 << i).to_ne_bytes()).expect("it is inside");
        }
        arena.write(head, &arena.address(places[0]).to_ne_bytes()).expect("it is inside");
        assert_eq!(run(&set, engine, "sum", 0), (0, 4, 15), "{engine:?}");
    }
}

/// What Linux 6.18 leaves in `r2` after an operation on the pointer in `r1` and this number in `r2`. The arena has pages 0
/// and 1, and starts at `1 << 44`.
const RECORDED: &[(&str, u64, u64, u64)] = &[
    // Across a border of pages, which are not neighbours for the host.
    ("*(u64 *)(r1 + 0) = r2\n r2 = *(u64 *)(r1 + 0)", 4092, 0x1122_3344_5566_7788, 0x1122_3344_5566_7788),
    ("*(u32 *)(r1 + 1) = r2\n r2 = *(u32 *)(r1 + 1)", 4093, 0x1122_3344, 0x1122_3344),
    ("r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)\n r2 = *(u64 *)(r1 + 0)", 4092, 7, 7),
    // Half of it has no page: nothing is written.
    ("*(u64 *)(r1 + 0) = r2\n r2 = *(u32 *)(r1 + 0)", 8188, 5, 0),
    // None: loads give zeros, everything else is skipped.
    ("r2 = *(u64 *)(r1 + 0)", 8192, 5, 0),
    ("r2 = *(s8 *)(r1 + 0)", 8192, 5, 0),
    ("*(u64 *)(r1 + 0) = 7\n r2 = *(u64 *)(r1 + 0)", 8192, 5, 0),
    ("r2 = load_acquire((u32 *)(r1 + 0))", 8192, 0x1_0000_0005, 0x1_0000_0005),
    ("r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)", 8192, 5, 5),
    ("w2 = xchg32_32(r1 + 0, w2)", 8192, 0x1_0000_0005, 0x1_0000_0005),
    ("r0 = r2\n w0 = cmpxchg32_32(r1 + 0, w0, w2)\n r2 = r0", 8192, 0x1_0000_0005, 0x1_0000_0005),
    // Beyond what a pointer reaches, on both sides.
    ("r2 = *(u64 *)(r1 - 32768)", 0, 5, 0),
    ("r2 = *(u64 *)(r1 + 32767)", 8192, 5, 0),
    // With a page: a comparison that succeeds leaves the upper half alone, one that fails clears it.
    ("r0 = r2\n w0 = cmpxchg32_32(r1 + 0, w0, w2)\n r2 = r0", 64, 0x1_0000_0000, 0x1_0000_0000),
    ("r0 = r2\n w0 = cmpxchg32_32(r1 + 0, w0, w2)\n r2 = r0", 64, 0x1_0000_0005, 0),
    ("r2 = atomic_fetch_add((u32 *)(r1 + 0), r2)\n r3 = *(u32 *)(r1 + 0)\n r2 += r3", 64, 0x1_0000_0005, 5),
    ("store_release((u16 *)(r1 + 0), r2)\n r2 = load_acquire((u32 *)(r1 + 0))", 96, 0x1_2345, 0x2345),
    // Casts.
    ("r2 = addr_space_cast(r1, 1, 0)", 4096, 5, (1 << 44) + 4096),
    ("r1 = 0\n r2 = addr_space_cast(r1, 1, 0)", 4096, 5, 0),
    ("r2 = r1", 4096, 5, 4096),
    ("r2 = 0\n if r1 == 0 goto +1\n r2 = 1", 0, 5, 0),
];

#[test]
fn operations_do_as_in_the_kernel() {
    for engine in ENGINES {
        for &(operation, at, number, expected) in RECORDED {
            let maps = Maps::new();
            let mut spec = MapSpec::new(MapType::Arena, 0, 0, 4).with_flags(flags::MMAPABLE);
            spec.map_extra = 1 << 44;
            let arena = maps.create(spec).expect("an arena");
            arena.arena_allocate_at(1 << 44, 2).expect("two pages");
            let text = format!(
                "r6 = r1\n r1 = map[fd:0]\n r1 = *(u64 *)(r6 + 0)\n r2 = *(u64 *)(r6 + 8)
                 r1 = addr_space_cast(r1, 0, 1)\n {operation}\n *(u64 *)(r6 + 8) = r2\n r0 = 0\n exit"
            );
            let program: Program<Syscall> =
                Loader::new().maps(&maps).engine(engine).load(text.as_str()).expect("a program");
            let mut context = [0; 16];
            context[..8].copy_from_slice(&((1u64 << 44) + at).to_ne_bytes());
            context[8..].copy_from_slice(&number.to_ne_bytes());
            program.run(&mut context).unwrap_or_else(|trap| panic!("{engine:?}: {trap}\n{operation}"));
            let found = context.last_chunk().map_or(0, |word| u64::from_ne_bytes(*word));
            assert_eq!(found, expected, "{engine:?}, at {at}: {operation}");
        }
    }
}

#[test]
fn without_an_arena_small_numbers_are_no_addresses() {
    for engine in ENGINES {
        let loader = Loader::new().maps(&Maps::new()).engine(engine);
        let text = "r1 = addr_space_cast(r1, 0, 1)\n r1 = 8\n r0 = *(u64 *)(r1 + 0)\n exit";
        let program: Program<Syscall> = loader.load(text).expect("a program");
        assert!(matches!(program.run(&[0; 8]), Err(Trap::BadAccess { address: 8, .. })), "{engine:?}");
    }
}
