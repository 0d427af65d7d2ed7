//! Programs that call the helpers for maps: machine code, which goes to known maps by itself, does what the interpreter does.

mod on;

use sandbpf::helpers::HelperSet;
use sandbpf::maps::{Environment, Map, MapSpec, MapType, flags};
use sandbpf::{Buffer, Engine, Loader, Maps, Program, Trap, Xdp, XdpAction};

use on::{On, scramble};

const PROCESSORS: u32 = 3;

/// Maps of all types that have elements, with keys of this size where they may.
fn specs(key: u32) -> Vec<MapSpec> {
    use MapType::*;
    let trie = flags::NO_PREALLOC;
    let mut specs = vec![
        MapSpec::new(Array, 4, 8, 40),
        MapSpec::new(Array, 4, 20, 1),
        MapSpec::new(PercpuArray, 4, 12, 40),
        MapSpec::new(LpmTrie, 4 + key, 8, 40).with_flags(trie),
    ];
    for map_type in [Hash, PercpuHash, LruHash, LruPercpuHash] {
        for (value, entries, bits) in [(8, 20, 0), (16, 300, 0), (24, 20, flags::ZERO_SEED)] {
            specs.push(MapSpec::new(map_type, key, value, entries).with_flags(bits));
        }
    }
    specs
}

/// A program whose memory is `[what to do: u64, a key, padded, a value]`, and which leaves what it is told in the first word.
/// Where the helpers get key and value is on the stack, or where they are.
fn program(spec: &MapSpec, on_stack: bool) -> String {
    let (key, value) = (spec.key_size.next_multiple_of(8), spec.value_size.next_multiple_of(8));
    let mut copies = String::new();
    for at in (0..key + value).step_by(8) {
        copies += &format!("r1 = *(u64 *)(r6 + {})\n*(u64 *)(r10 - {}) = r1\n", 8 + at, key + value - at);
    }
    let (key_at, value_at) = match on_stack {
        true => (format!("r2 = r10\nr2 += -{}", key + value), format!("r3 = r10\nr3 += -{value}")),
        false => ("r2 = r6\nr2 += 8".to_string(), format!("r3 = r6\nr3 += {}", 8 + key)),
    };
    // What lies behind the arguments of a call stays as it is.
    format!(
        "r6 = r1
         {copies}
         r7 = *(u64 *)(r6 + 0)
         if r7 == 0 goto update
         if r7 == 1 goto delete
         r1 = map[fd:0]
         {key_at}
         r3 = 33
         r5 = 55
         call 1
         r8 = r0
         r8 += r3
         r8 += r5
         *(u64 *)(r6 + 0) = r8
         if r0 == 0 goto end
         r1 = *(u32 *)(r0 + 4)
         r1 += 1
         *(u32 *)(r0 + 4) = r1
         r2 = *(u8 *)(r0 + 0)
         *(u8 *)(r6 + 8) = r2
         goto end
         update:
         r1 = map[fd:0]
         {key_at}
         {value_at}
         r4 = 0
         call 2
         *(u64 *)(r6 + 0) = r0
         goto end
         delete:
         r1 = map[fd:0]
         {key_at}
         call 3
         *(u64 *)(r6 + 0) = r0
         end:
         r0 = 0
         exit"
    )
}

/// What an engine does with a map, and what is in it afterwards.
type Deeds = (Vec<Result<Vec<u8>, Trap>>, Vec<(Vec<u8>, Vec<u8>)>);

fn run(engine: Engine, spec: &MapSpec, on_stack: bool, cpu: u32) -> Deeds {
    let maps = Maps::with_environment(Environment { cpus: PROCESSORS, ..Environment::default() });
    let map = maps.create(spec.clone()).expect("Linux takes it");
    let loader = Loader::new().engine(engine).host(On(cpu)).maps(&maps);
    let program: Program<Buffer> = loader.load(program(spec, on_stack).as_str()).expect("it decodes");
    let mut deeds = Vec::new();
    for round in 0..600 {
        let chance = scramble(round);
        let mut memory =
            vec![0; (8 + spec.key_size.next_multiple_of(8) + spec.value_size.next_multiple_of(8)) as usize];
        memory[0] = (chance >> 24) as u8 % 4;
        let number = chance % 50;
        let key = &mut memory[8..8 + spec.key_size as usize];
        if spec.map_type == MapType::LpmTrie {
            let bits = number % (8 * (spec.key_size - 4) + 1);
            key[..4].copy_from_slice(&bits.to_ne_bytes());
            key[4] = (number as u8).reverse_bits();
        } else {
            let len = key.len().min(4);
            key[..len].copy_from_slice(&number.to_ne_bytes()[..len]);
            // Every byte of a key matters.
            let last = key.len() - 1;
            key[last] ^= if last < 4 { 0 } else { 0x80 };
        }
        let value = 8 + spec.key_size.next_multiple_of(8) as usize;
        memory[value..].iter_mut().zip(round.to_ne_bytes()).for_each(|(to, from)| *to = from);
        deeds.push(program.run(&mut memory).map(|_| memory));
    }
    (deeds, contents(&map))
}

fn contents(map: &Map) -> Vec<(Vec<u8>, Vec<u8>)> {
    let user = map.user();
    let (mut at, mut found) = (None, Vec::new());
    while let Ok(key) = user.next_key(at.as_deref()) {
        found.push((key.clone(), user.lookup(&key, 0).expect("it is there")));
        at = Some(key);
    }
    found
}

fn has_machine_code() -> bool {
    Loader::new().engine(Engine::Jit).load::<Buffer>("exit").is_ok()
}

#[test]
fn engines_agree_on_all_maps_and_keys() {
    if !has_machine_code() {
        return;
    }
    for key in (1..=20).chain([24, 31, 32, 40, 63, 64, 65, 100]) {
        for spec in specs(key) {
            for (on_stack, cpu) in [(true, 1), (false, 2), (true, 7)] {
                let ours = run(Engine::Jit, &spec, on_stack, cpu);
                let theirs = run(Engine::Interpreter, &spec, on_stack, cpu);
                assert_eq!(ours, theirs, "{spec:?}, on the stack: {on_stack}, CPU {cpu}");
            }
        }
    }
}

/// Counts in a map by the packet's first bytes.
const COUNTS: &str = "r6 = *(u32 *)(r1 + 0)
    r7 = *(u32 *)(r1 + 4)
    r0 = 1
    r2 = r6
    r2 += 8
    if r2 > r7 goto end
    r1 = map[fd:0]
    r2 = r6
    call 1
    if r0 == 0 goto absent
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    r1 = *(u64 *)(r0 + 8)
    r1 += 2
    *(u64 *)(r0 + 8) = r1
    r0 = 2
    goto end
    absent:
    *(u64 *)(r10 - 16) = 1
    *(u64 *)(r10 - 8) = 2
    r1 = map[fd:0]
    r2 = r6
    r3 = r10
    r3 += -16
    r4 = 1
    call 2
    r0 = 3
    end: exit";

/// What is proved of values is used without a check, and is so in every map that the program may be given.
#[test]
fn proved_values_are_where_they_are() {
    let specs = [
        MapSpec::new(MapType::Hash, 8, 16, 100),
        MapSpec::new(MapType::LruHash, 8, 16, 100),
        MapSpec::new(MapType::PercpuHash, 8, 16, 100),
        // Too much for one piece of memory.
        MapSpec::new(MapType::Hash, 8, 16, 1 << 26),
        MapSpec::new(MapType::LpmTrie, 8, 16, 100).with_flags(flags::NO_PREALLOC),
    ];
    for spec in specs {
        let outcomes = [Engine::Auto, Engine::Interpreter].map(|engine| {
            let maps = Maps::with_environment(Environment { cpus: PROCESSORS, ..Environment::default() });
            let map = maps.create(spec.clone()).expect("Linux takes it");
            let loader = Loader::new().engine(engine).host(On(1)).maps(&maps).verified(true);
            let program: Program<Xdp> = loader.load(COUNTS).expect("Linux would load it");
            let mut answers = Vec::new();
            for round in 0..400u32 {
                let mut packet = vec![0; 60];
                packet[..4].copy_from_slice(&(scramble(round) % 30).to_ne_bytes());
                packet[4..8].fill((round % 3) as u8);
                answers.push(program.run(&packet));
            }
            (answers, contents(&map))
        });
        assert_eq!(outcomes[0], outcomes[1], "{spec:?}");
        assert!(
            outcomes[0].0.iter().all(|answer| matches!(answer, Ok(XdpAction::Pass | XdpAction::Tx))),
            "{spec:?}"
        );
    }
}

/// A program needs no stack to look something up; a key that would lie there is nowhere.
#[test]
fn keys_are_found_without_a_stack() {
    let keys = ["", "r2 = 0x20001000 ll\n", "r2 = 0x200001fc ll\n", "r2 += 4\n", "r2 += 5\n"];
    let specs = [
        MapSpec::new(MapType::Hash, 8, 8, 20),
        MapSpec::new(MapType::Array, 4, 8, 20),
        MapSpec::new(MapType::LpmTrie, 8, 8, 20).with_flags(flags::NO_PREALLOC),
    ];
    for (spec, key) in specs.iter().flat_map(|spec| keys.map(|key| (spec, key))) {
        let text = format!(
            "r2 = r1\n{key}r1 = map[fd:0]\ncall 1\nif r0 == 0 goto +2\nr0 = *(u64 *)(r0 + 0)\nexit\nr0 = 77\nexit"
        );
        let outcomes = [Engine::Auto, Engine::Interpreter].map(|engine| {
            let maps = Maps::new();
            let map = maps.create(spec.clone()).expect("Linux takes it");
            let bytes = [9, 0, 0, 0, 5, 0, 0, 0, 5, 0, 0, 0];
            map.update(&bytes[..spec.key_size as usize], &1234_u64.to_le_bytes(), 0, 0)
                .expect("there is room");
            let program: Program<Buffer> =
                Loader::new().engine(engine).maps(&maps).load(text.as_str()).unwrap();
            [12, 11, 8, 7, 4, 3, 0].map(|len| program.run(&bytes[..len]))
        });
        assert_eq!(outcomes[0], outcomes[1], "{spec:?}, {key}");
        if key.is_empty() {
            assert_eq!(outcomes[0][0], Ok(1234), "{spec:?}");
        }
    }
}

/// Machine code is for one world and Linux's helpers: where a run has others, it asks.
#[test]
fn other_helpers_are_asked() {
    sandbpf::helpers! {
        static HELPERS;
        /// Finds nothing.
        1 fn map_lookup_elem(_machine, _map: sandbpf::helpers::Scalar, _key: sandbpf::helpers::Scalar) {
            Ok(0)
        }
    }
    let text = "*(u32 *)(r10 - 4) = 0\nr1 = map[fd:0]\nr2 = r10\nr2 += -4\ncall 1\nif r0 != 0 goto +1\nexit\nr0 = 1\nexit";
    for engine in [Engine::Auto, Engine::Interpreter] {
        let maps = Maps::new();
        maps.create(MapSpec::new(MapType::Array, 4, 8, 1)).expect("an array");
        let loader = Loader::new().engine(engine).maps(&maps);
        assert_eq!(loader.load::<Buffer>(text).unwrap().run(&[]), Ok(1));
        let loader = loader.helpers(HelperSet::linux().with(HELPERS));
        assert_eq!(loader.load::<Buffer>(text).unwrap().run(&[]), Ok(0));
    }
}

/// A tail call runs a program in the world of who calls it, whatever maps it was loaded with.
#[test]
fn a_tail_call_keeps_the_callers_maps() {
    let target = "*(u32 *)(r10 - 4) = 0\nr1 = map[fd:0]\nr2 = r10\nr2 += -4\ncall 1\nif r0 == 0 goto +1\nr0 = *(u64 *)(r0 + 0)\nexit";
    let caller = "r2 = map[fd:1]\nr3 = 0\ncall 12\nr0 = 77\nexit";
    let results = [Engine::Auto, Engine::Interpreter].map(|engine| {
        let worlds = [5u64, 9].map(|number| {
            let maps = Maps::new();
            let array = maps.create(MapSpec::new(MapType::Array, 4, 8, 1)).expect("an array");
            array.update(&[0; 4], &number.to_ne_bytes(), 0, 0).expect("an element");
            let programs =
                maps.create(MapSpec::new(MapType::ProgArray, 4, 4, 1)).expect("an array of programs");
            (maps, programs)
        });
        let [(ours, programs), (theirs, _)] = &worlds;
        let loader = Loader::new().engine(engine);
        let target = loader.clone().maps(theirs).load::<Buffer>(target).expect("it decodes");
        ours.set_program(programs, 0, &target).expect("it fits");
        let caller = loader.maps(ours).load::<Buffer>(caller).expect("it decodes");
        (target.run(&[]), caller.run(&[]))
    });
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], (Ok(9), Ok(5)));
}

/// Keys and values that are not the program's are refused, and what is found is accessed within its bounds.
#[test]
fn nothing_reaches_further() {
    let cases = [
        // A key that ends behind the stack.
        "r1 = map[fd:0]\nr2 = r10\nr2 += -3\ncall 1\nr0 = 0\nexit",
        // One that begins before it.
        "r1 = map[fd:0]\nr2 = 0x1ffffffe ll\ncall 1\nr0 = 0\nexit",
        // One that is nowhere, or far away.
        "r1 = map[fd:0]\nr2 = 0\ncall 1\nr0 = 0\nexit",
        "r1 = map[fd:0]\nr2 = -2 ll\ncall 1\nr0 = 0\nexit",
        // A value that is no one's.
        "*(u32 *)(r10 - 4) = 0\nr1 = map[fd:0]\nr2 = r10\nr2 += -4\nr3 = 64\nr4 = 0\ncall 2\nr0 = 0\nexit",
        // Behind the value, before it, between two.
        "*(u32 *)(r10 - 4) = 1\nr1 = map[fd:0]\nr2 = r10\nr2 += -4\ncall 1\nr0 = *(u64 *)(r0 + 5)\nexit",
        "*(u32 *)(r10 - 4) = 1\nr1 = map[fd:0]\nr2 = r10\nr2 += -4\ncall 1\nr0 = *(u32 *)(r0 - 2)\nexit",
        "*(u32 *)(r10 - 4) = 1\nr1 = map[fd:0]\nr2 = r10\nr2 += -4\ncall 1\n*(u8 *)(r0 + 12) = 1\nexit",
        // Null, after something was found.
        "*(u32 *)(r10 - 4) = 1\nr1 = map[fd:0]\nr2 = r10\nr2 += -4\ncall 1\nr1 = map[fd:0]\nr2 = r10\nr2 += -4
            *(u32 *)(r10 - 4) = 99\ncall 1\nr0 = *(u32 *)(r0 + 0)\nexit",
    ];
    for (number, text) in cases.into_iter().enumerate() {
        let results = [Engine::Auto, Engine::Interpreter].map(|engine| {
            let maps = Maps::new();
            maps.create(MapSpec::new(MapType::Array, 4, 12, 3)).expect("an array");
            let loader = Loader::new().engine(engine).maps(&maps);
            loader.load::<Buffer>(text).expect("it decodes").run(&[])
        });
        assert_eq!(results[0], results[1], "case {number}");
        assert!(matches!(results[0], Err(Trap::BadAccess { .. })), "case {number}: {:?}", results[0]);
    }
}
