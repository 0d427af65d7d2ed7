//! Arenas as a compiler has them: what a program builds there its user walks, and the other way round.
#![cfg(feature = "object")]

use sandbpf::maps::typed::Arena;
use sandbpf::object::{Object, ObjectSet};
use sandbpf::{Engine, Loader, Program, Syscall};

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
