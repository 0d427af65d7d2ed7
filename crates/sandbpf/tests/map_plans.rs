//! Verified programs that look keys up: their plans do what the interpreter does, with all facts and with some, with each pass
//! and without it, and while others change the maps.

#![cfg(feature = "jit")]

mod on;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sandbpf::maps::{Environment, Map, MapSpec, MapType, flags};
use sandbpf::verifier::Facts;
use sandbpf::{Engine, Loader, Maps, Program, Trap, Xdp, XdpAction, XdpFrame};
use sandbpf_jit::{Pass, PlanOptions, Without};

use on::{On, scramble};

const PROCESSORS: u32 = 3;

fn facts(erased: u64) -> impl Fn(&Facts) -> Facts + Send + Sync {
    move |facts| {
        let mut state = erased;
        facts.without(|_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            erased != 0 && state >> 61 == 1
        })
    }
}

/// Maps of all types that have elements, with keys of this size where they may.
fn specs(key: u32) -> Vec<MapSpec> {
    use MapType::*;
    let mut specs = vec![
        MapSpec::new(Array, 4, 8, 40),
        MapSpec::new(Array, 4, 20, 1),
        MapSpec::new(PercpuArray, 4, 12, 40),
        MapSpec::new(LpmTrie, 4 + key, 8, 40).with_flags(flags::NO_PREALLOC),
    ];
    for map_type in [Hash, PercpuHash, LruHash, LruPercpuHash] {
        for (value, entries, bits) in [(8, 20, 0), (12, 300, 0), (24, 20, flags::ZERO_SEED)] {
            specs.push(MapSpec::new(map_type, key, value, entries).with_flags(bits));
        }
    }
    specs
}

/// Where a program has the key that it looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Packet,
    Stack,
    /// On the stack, byte by byte.
    Bytes,
}

/// A program whose packet is `[what to do: u64, a key, padded, a value]`, and which writes to it what it is told.
fn program(spec: &MapSpec, place: Place) -> String {
    let (key, value) = (spec.key_size.next_multiple_of(8), spec.value_size.next_multiple_of(8));
    let mut copies = String::new();
    for at in (0..key + value).step_by(8) {
        copies += &format!("r1 = *(u64 *)(r6 + {})\n*(u64 *)(r10 - {}) = r1\n", 8 + at, key + value - at);
    }
    if place == Place::Bytes {
        for at in 0..spec.key_size {
            copies += &format!("r1 = *(u8 *)(r6 + {})\n*(u8 *)(r10 - {}) = r1\n", 8 + at, key + value - at);
        }
    }
    let key_at = match place {
        Place::Packet => "r2 = r6\nr2 += 8".to_string(),
        Place::Stack | Place::Bytes => format!("r2 = r10\nr2 += -{}", key + value),
    };
    let last = spec.value_size - 4;
    format!(
        "r6 = *(u32 *)(r1 + 0)
         r7 = *(u32 *)(r1 + 4)
         r0 = 1
         r1 = r6
         r1 += {end}
         if r1 > r7 goto end
         {copies}
         r7 = *(u64 *)(r6 + 0)
         if r7 == 0 goto update
         if r7 == 1 goto delete
         r1 = map[fd:0]
         {key_at}
         call 1
         r8 = 5
         if r0 == 0 goto absent
         r8 = r0
         r1 = *(u32 *)(r8 + {last})
         r1 += 1
         *(u32 *)(r8 + {last}) = r1
         r2 = *(u8 *)(r0 + 1)
         *(u64 *)(r6 + 0) = r2
         r3 = 3
         lock *(u64 *)(r0 + 0) += r3
         r8 += 4
         lock *(u32 *)(r8 - 4) |= r7
         *(u8 *)(r6 + 8) = r1
         r8 = 6
         absent:
         *(u8 *)(r6 + 9) = r8
         goto ok
         update:
         r1 = map[fd:0]
         {key_at}
         r3 = r10
         r3 += -{value}
         r4 = 0
         call 2
         *(u64 *)(r6 + 0) = r0
         goto ok
         delete:
         r1 = map[fd:0]
         {key_at}
         call 3
         *(u64 *)(r6 + 0) = r0
         ok:
         r0 = 2
         end:
         exit",
        end = 8 + key + value
    )
}

/// What an engine does with a map, and what is in it afterwards.
type Deeds = (Vec<Result<Vec<u8>, Trap>>, Vec<(Vec<u8>, Vec<u8>)>);

fn run(loader: &Loader, spec: &MapSpec, text: &str) -> Deeds {
    let maps = Maps::with_environment(Environment { cpus: PROCESSORS, ..Environment::default() });
    let map = maps.create(spec.clone()).expect("Linux takes it");
    let loader = loader.clone().maps(&maps).verified(true);
    let program: Program<Xdp> = loader.load(text).expect("Linux would load it");
    let mut deeds = Vec::new();
    for round in 0..300 {
        let chance = scramble(round);
        let key_size = spec.key_size as usize;
        let mut packet = vec![0; 8 + (spec.key_size.next_multiple_of(8) + 48) as usize];
        packet[0] = (chance >> 24) as u8 % 5;
        let number = chance % 50;
        let key = &mut packet[8..8 + key_size];
        if spec.map_type == MapType::LpmTrie {
            let bits = number % (8 * (spec.key_size - 4) + 1);
            key[..4].copy_from_slice(&bits.to_ne_bytes());
            key[4] = (number as u8).reverse_bits();
        } else {
            let len = key.len().min(4);
            key[..len].copy_from_slice(&number.to_ne_bytes()[..len]);
            let last = key.len() - 1;
            key[last] ^= if last < 4 { 0 } else { 0x80 };
        }
        let value = 8 + key_size.next_multiple_of(8);
        packet[value..].iter_mut().zip(round.to_ne_bytes()).for_each(|(to, from)| *to = from);
        let mut frame = XdpFrame::new(&packet);
        deeds.push(program.run(&mut frame).map(|action| {
            assert_eq!(action, XdpAction::Pass);
            frame.bytes().to_vec()
        }));
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

#[test]
fn plans_agree_on_all_maps_and_keys() {
    if !sandbpf_jit::SUPPORTED {
        return;
    }
    let mut turn = 0;
    for key in (1..=20).chain([24, 31, 32, 40, 63, 64, 65, 100]) {
        for spec in specs(key) {
            for (place, cpu) in [(Place::Packet, 1), (Place::Stack, 2), (Place::Bytes, 7)] {
                let text = program(&spec, place);
                let theirs = run(&Loader::new().engine(Engine::Interpreter).host(On(cpu)), &spec, &text);
                turn += 1;
                let pass = Pass::ALL[turn % Pass::ALL.len()];
                let loader = Loader::new().engine(Engine::Jit).host(On(cpu));
                let baseline = PlanOptions { baseline: true, ..PlanOptions::default() };
                let left_out = PlanOptions { without: Without::default().and(pass), ..baseline };
                let ways = [
                    ("all", loader.clone()),
                    ("baseline", loader.clone().planning(baseline)),
                    ("a pass left out", loader.clone().planning(left_out)),
                    ("facts erased", loader.erasing(facts(turn as u64))),
                ];
                for (way, loader) in ways {
                    let ours = run(&loader, &spec, &text);
                    assert_eq!(ours, theirs, "{spec:?}, {place:?}, CPU {cpu}, {way}, {pass:?}");
                }
            }
        }
    }
}

/// Looks up eight keys and adds what it finds.
const ADDS: &str = "r6 = *(u32 *)(r1 + 0)
    r7 = *(u32 *)(r1 + 4)
    r0 = 0
    r1 = r6
    r1 += 64
    if r1 > r7 goto end
    r8 = 8
    r9 = 0
    next:
    r1 = map[fd:0]
    r2 = r6
    call 1
    if r0 == 0 goto absent
    r1 = *(u64 *)(r0 + 0)
    r9 += r1
    absent:
    r6 += 8
    r8 -= 1
    if r8 != 0 goto next
    r0 = r9
    end: exit";

/// A program that only looks up changes what it finds as others see it.
#[test]
fn values_are_changed_without_a_machine() {
    let changes = "r1 = *(u64 *)(r0 + 0)
        r9 += r1
        r2 = r8
        lock *(u64 *)(r0 + 0) += r2
        r3 = r9
        r3 = atomic64_xchg((u64 *)(r0 + 8), r3)
        r9 += r3
        r4 = r0
        r4 += 16
        lock *(u32 *)(r4 + 4) ^= r9
        r5 = *(u8 *)(r4 + 0)
        r5 += 1
        *(u8 *)(r4 + 0) = r5";
    let text = ADDS.replace("r1 = *(u64 *)(r0 + 0)\n    r9 += r1", changes);
    assert_ne!(text, ADDS);
    let (hash, trie) = (MapSpec::new(MapType::Hash, 8, 24, 20), flags::NO_PREALLOC);
    let specs = [
        hash,
        MapSpec::new(MapType::LpmTrie, 8, 24, 20).with_flags(trie),
        MapSpec::new(MapType::Array, 4, 24, 20),
    ];
    for spec in specs {
        let outcomes = [Engine::Auto, Engine::Interpreter].map(|engine| {
            let maps = Maps::new();
            let map = maps.create(spec.clone()).expect("Linux takes it");
            for number in 0..20u64 {
                let key = &number.to_ne_bytes()[..spec.key_size as usize];
                map.update(key, &[number as u8; 24], 0, 0).expect("there is room");
            }
            let loader = Loader::new().engine(engine).maps(&maps).verified(true);
            let program: Program<Xdp> = loader.load(text.as_str()).expect("Linux would load it");
            let key = |number: u32| u64::from(scramble(number) % 24).to_ne_bytes();
            let answers: Vec<_> = (0..100)
                .map(|round| program.run(&(0..8).flat_map(|at| key(8 * round + at)).collect::<Vec<u8>>()))
                .collect();
            (answers, contents(&map))
        });
        assert_eq!(outcomes[0], outcomes[1], "{spec:?}");
    }
}

/// Whatever hashes they have, and however full their homes are, keys are found: where memory is short, in several groups that
/// go on one from another.
#[test]
fn keys_are_found_in_full_tables() {
    let short = 1 << 20;
    for (map_type, entries, memory) in [
        (MapType::Hash, 1 << 12, None),
        (MapType::LruHash, 1 << 12, None),
        (MapType::Hash, 1 << 16, None),
        (MapType::Hash, 1 << 20, Some(short)),
        (MapType::LruHash, 1 << 20, Some(short)),
    ] {
        let default = Environment::default();
        let maps =
            Maps::with_environment(Environment { memory: memory.unwrap_or(default.memory), ..default });
        let map = maps.create(MapSpec::new(map_type, 8, 8, entries)).expect("Linux takes it");
        let mut there = Vec::new();
        let fits =
            |number: &u64| map.update(&number.to_ne_bytes(), &(number + 1).to_ne_bytes(), 0, 0).is_ok();
        let entries = (0..u64::from(entries)).take_while(fits).count() as u32;
        assert!(entries >= if memory.is_some() { 1 << 14 } else { 1 << 12 }, "there is room");
        for number in 0..u64::from(entries) {
            there.push(map.lookup(&number.to_ne_bytes(), 0).is_some());
        }
        let loader = Loader::new().maps(&maps).verified(true);
        let program: Program<Xdp> = loader.load(ADDS).expect("Linux would load it");
        for first in (0..u64::from(entries) + 64).step_by(8) {
            let numbers = first..first + 8;
            let packet: Vec<u8> = numbers.clone().flat_map(u64::to_ne_bytes).collect();
            let there = |&number: &u64| there.get(number as usize).copied().unwrap_or(false);
            let sum: u64 = numbers.filter(there).map(|number| number + 1).sum();
            assert_eq!(program.run(&packet).expect("it ends").to_u32(), sum as u32, "{map_type:?} {first}");
        }
    }
}

/// What stays in a table is found, and what is not there is not, while others insert and delete.
#[test]
fn keys_are_found_while_others_change_the_table() {
    const ENTRIES: u64 = 3000;
    for key_size in [8, 24] {
        let maps = Maps::new();
        let map =
            maps.create(MapSpec::new(MapType::Hash, key_size, 8, ENTRIES as u32)).expect("Linux takes it");
        let key = |number: u64| {
            let mut key = vec![0; key_size as usize];
            key[..8].copy_from_slice(&number.to_ne_bytes());
            key
        };
        // Even numbers stay.
        for number in (0..ENTRIES).step_by(2) {
            map.update(&key(number), &1u64.to_ne_bytes(), 0, 0).expect("there is room");
        }
        let text = ADDS
            .replace("+= 64", &format!("+= {}", 8 * key_size))
            .replace("r6 += 8", &format!("r6 += {key_size}"));
        let program: Program<Xdp> =
            Loader::new().maps(&maps).verified(true).load(text.as_str()).expect("Linux would load it");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut round = 0u64;
                while !done.load(Ordering::Relaxed) {
                    let number = u64::from(scramble(round as u32)) % (ENTRIES / 2) * 2 + 1;
                    let _ = match round % 2 {
                        0 => map.update(&key(number), &(1u64 << 32).to_ne_bytes(), 0, 0),
                        _ => map.delete(&key(number)),
                    };
                    round += 1;
                }
            });
            let mut runner = program.runner();
            for round in 0..20_000u32 {
                let number = |at: u32| u64::from(scramble(8 * round + at)) % (ENTRIES / 2) * 2;
                let packet: Vec<u8> = (0..8).flat_map(|at| key(number(at))).collect();
                assert_eq!(runner.run(&packet).expect("it ends").to_u32(), 8);
                let packet: Vec<u8> = (0..8).flat_map(|at| key(number(at) + ENTRIES)).collect();
                assert_eq!(runner.run(&packet).expect("it ends").to_u32(), 0);
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
