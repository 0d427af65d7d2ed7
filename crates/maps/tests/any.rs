//! Any operation with any arguments on any map that Linux would make answers: nothing panics, and
//! memory stays within what the map may have.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use sandbpf_maps::{
    BtfSizes, Environment, FieldKind, Map, MapSpec, MapType, Object, RingQuery, SpecialField,
};

fn spec() -> impl Strategy<Value = MapSpec> {
    let sizes = (0u32..40, 0u32..80, prop_oneof![0u32..20, Just(4096), Just(1 << 20), Just(u32::MAX)]);
    let bits = vec(prop_oneof![Just(0u32), Just(1), Just(2), Just(64), Just(1024), Just(32)], 0..3);
    (prop::sample::select(MapType::ALL), sizes, bits, 0u64..20, any::<bool>()).prop_map(
        |(map_type, (key, value, entries), bits, extra, locked)| {
            use MapType::*;
            let mut spec = MapSpec::new(map_type, key, value, entries);
            // Sizes that the type demands, so that most are made.
            match map_type {
                Queue | Stack | BloomFilter => spec.key_size = 0,
                Ringbuf | UserRingbuf => (spec.key_size, spec.value_size, spec.max_entries) = (0, 0, 4096),
                Arena => (spec.key_size, spec.value_size) = (0, 0),
                LpmTrie => spec.key_size = 5 + key % 20,
                Hash | PercpuHash | LruHash | LruPercpuHash | Sockhash | HashOfMaps => {
                    spec.key_size = key.max(1)
                }
                CgroupStorage | PercpuCgroupStorage => (spec.key_size, spec.max_entries) = (8, 0),
                _ => spec.key_size = 4,
            }
            match map_type {
                ProgArray | PerfEventArray | CgroupArray | ArrayOfMaps | HashOfMaps | Xskmap => {
                    spec.value_size = 4
                }
                Devmap | DevmapHash | Cpumap | Sockmap | Sockhash | ReuseportSockarray => spec.value_size = 8,
                StackTrace => spec.value_size = 8 + value / 8 * 8,
                SkStorage | InodeStorage | TaskStorage | CgrpStorage => {
                    spec.max_entries = 0;
                    spec.value_size = value.max(1);
                    spec.btf = Some(BtfSizes { key: Some(4), value: value.max(1) });
                }
                StructOps => (spec.max_entries, spec.struct_value) = (1, Some(value)),
                _ => {}
            }
            spec.map_flags = bits.iter().fold(0, |all, bit| all | bit);
            match map_type {
                LpmTrie | SkStorage | InodeStorage | TaskStorage | CgrpStorage => spec.map_flags = 1,
                Arena => spec.map_flags = 1024,
                BloomFilter => spec.map_extra = extra,
                _ => {}
            }
            if matches!(map_type, ArrayOfMaps | HashOfMaps) {
                spec.inner = Some(Box::new(MapSpec::new(Array, 4, 8, 1)));
            }
            if locked && spec.value_size >= 8 {
                spec.fields = vec![SpecialField { kind: FieldKind::SpinLock, offset: 4, size: 4 }];
            }
            spec
        },
    )
}

/// One step: what, with which key, value, flags and number.
type Step = (u8, Vec<u8>, Vec<u8>, u64, u64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = || prop_oneof![0u64..10, any::<u64>(), (0u32..64).prop_map(|bit| 1 << bit)];
    let bits = prop_oneof![4 => Just(0u64), 2 => 0u64..8, 1 => number()];
    vec((any::<u8>(), vec(0u8..3, 0..40), vec(any::<u8>(), 0..80), bits, number()), 1..60)
}

fn fit(bytes: &[u8], size: usize, exact: bool) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if exact {
        bytes.resize(size, 0);
    }
    bytes
}

fn step(map: &Arc<Map>, (what, key, value, bits, number): &Step) {
    let (spec, user, what, bits, number) = (map.spec(), map.user(), *what, *bits, *number);
    // Now and then sizes are wrong.
    let exact = what < 0xf0;
    let key = fit(key, spec.key_size as usize, exact);
    let mut value_here = fit(value, spec.value_size as usize, exact);
    let mut value_user = fit(value, user.value_size(), exact);
    match what % 32 {
        0 => drop(map.update(&key, &value_here, bits, number as u32)),
        1 => drop(user.update(&key, &value_user, bits)),
        2 => {
            let offset = map.lookup(&key, number as u32);
            if let Some(offset) = offset.filter(|_| !spec.has_spin_lock()) {
                let (_, _, left) = map.bytes(offset).expect("a found value has bytes");
                assert!(left > 0);
                map.store(offset, 1 + number as usize % 8, bits);
            }
        }
        3 => drop(user.lookup_into(&key, &mut value_user, bits)),
        4 => drop(map.delete(&key)),
        5 => drop(user.delete(&key)),
        6 => drop(map.push(&value_here, bits)),
        7 => drop(map.pop(&mut value_here)),
        8 => drop(map.peek(&mut value_here)),
        9 => drop(user.lookup_and_delete(&key, bits)),
        10 => drop(user.next_key((number % 2 == 0).then_some(&key[..]))),
        11 => drop(user.lookup_batch((number % 2 == 0).then_some(&key[..]), number as u32 % 64, bits)),
        12 => drop(user.lookup_and_delete_batch(None, number as u32 % 64, bits)),
        13 => drop(user.update_batch(&[(&key, &value_user), (&key, &value_user)], bits)),
        14 => drop(user.delete_batch(&[&key], bits)),
        15 => drop(map.ring_reserve(number, bits & 1).map(|offset| map.ring_submit(offset, bits))),
        16 => drop(map.ring_output(value, bits)),
        17 => drop(map.ring_discard(number, bits)),
        18 => drop(map.ring_consume(|_| ())),
        19 => drop(map.user_ring_output(value)),
        20 => drop(map.user_ring_drain().map(|drain| drain.peek().map(|(_, size)| drain.release(size)))),
        21 => drop(RingQuery::from_number(number % 5).map(|query| map.ring_query(query))),
        22 => drop(map.storage_get(&key, Some(&value_here), bits, number as u32)),
        23 => drop(map.stack_insert(value, bits)),
        24 => drop(map.perf_output(number as u32, bits as u32, value)),
        25 => drop(map.arena_allocate((bits != 0).then_some(number as u32), (bits as u32).wrapping_add(1))),
        26 => map.arena_free(number as u32, bits as u32),
        27 => drop(map.arena_touch(number as u32)),
        // Programs may write anything anywhere in the value space, headers of records included. A lock
        // that was spoiled so is waited for, which is right and slow.
        28 if spec.has_spin_lock() => {}
        28 => drop(map.store(number, 8, bits | number)),
        29 => drop((map.load(number, 8), map.direct(number as u32), map.lookup_percpu(&key, bits as u32))),
        30 => {
            let objects = [Object::Program(1), Object::PerfEvent, Object::Cgroup(2), Object::Socket(3)];
            let more =
                [Object::Device { ifindex: 1, program: None }, Object::Cpu { queue: 1, program: None }];
            for object in objects.into_iter().chain(more) {
                let _ = map.set_object(&key, object, bits);
            }
        }
        _ => drop((map.elements(number as u32).take(50).count(), map.object(&key), user.inner(&key))),
    }
}

proptest! {
    #[test]
    fn every_operation_answers(spec in spec(), cpus in 1u32..4, steps in steps()) {
        let environment = Environment { cpus, memory: 1 << 22, ..Environment::default() };
        if let Ok(map) = Map::create(spec, &environment) {
            for one in &steps {
                step(&map, one);
            }
        }
    }
}
