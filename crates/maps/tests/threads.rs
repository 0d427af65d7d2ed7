//! Eight threads at once: no update is lost, nothing is seen twice, counters are exact.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sandbpf_maps::{Environment, Errno, Map, MapSpec, MapType, Object, flags};

const THREADS: u32 = 8;
const ROUNDS: u32 = 20_000;

fn map(spec: MapSpec) -> Arc<Map> {
    Map::create(spec, &Environment { cpus: THREADS, ..Environment::default() }).expect("a map")
}

/// Runs `work` in eight threads, each a CPU.
fn together(work: impl Fn(u32) + Sync) {
    std::thread::scope(|scope| {
        for cpu in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(cpu));
        }
    });
}

/// Adds one to the value of `key`, as programs do.
fn count(map: &Map, key: &[u8], cpu: u32) {
    let offset = loop {
        if let Some(offset) = map.lookup(key, cpu) {
            break offset;
        }
        match map.update(key, &[0; 8], flags::NOEXIST, cpu) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => panic!("{errno}"),
        }
    };
    let (bytes, at, _) = map.bytes(offset).expect("the value's bytes");
    bytes.update(at, 8, |count| count + 1);
}

/// A number that looks random.
fn scramble(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b9).rotate_left(13).wrapping_mul(0x85eb_ca6b)
}

#[test]
fn counters_are_exact() {
    for (map_type, map_flags) in
        [(MapType::Hash, 0), (MapType::Hash, flags::NO_PREALLOC), (MapType::LpmTrie, flags::NO_PREALLOC)]
    {
        let map = map(MapSpec::new(map_type, 8, 8, 500).with_flags(map_flags));
        let key = |number: u32| [32u32.to_ne_bytes(), (number % 500).to_be_bytes()].concat();
        together(|cpu| (0..ROUNDS).for_each(|round| count(&map, &key(scramble(round + cpu)), cpu)));
        let sum: u64 = (0..500).filter_map(|number| map.load(map.lookup(&key(number), 0)?, 8)).sum();
        assert_eq!(sum, u64::from(THREADS * ROUNDS), "{map_type}");
    }
}

#[test]
fn every_cpu_counts_for_itself() {
    for map_type in [MapType::PercpuHash, MapType::PercpuArray] {
        let map = map(MapSpec::new(map_type, 4, 8, 64));
        together(|cpu| {
            for round in 0..ROUNDS {
                count(&map, &(scramble(round) % 64).to_ne_bytes(), cpu);
            }
        });
        for cpu in 0..THREADS {
            let value = |key: u32| map.load(map.lookup_percpu(&key.to_ne_bytes(), cpu)?, 8);
            let sum: u64 = (0..64).filter_map(value).sum();
            assert_eq!(sum, ROUNDS.into(), "{map_type}, CPU {cpu}");
        }
    }
}

/// Threads insert keys of their own and delete every other one; what is left is known.
#[test]
fn insertions_and_deletions_are_kept() {
    let map = map(MapSpec::new(MapType::Hash, 4, 4, 8 * 2000));
    together(|cpu| {
        for round in 0..10 {
            for number in 0..2000u32 {
                let key = (cpu * 2000 + number).to_ne_bytes();
                map.update(&key, &key, 0, cpu).expect("there is room for all");
                if number % 2 == round % 2 {
                    map.delete(&key).expect("it was inserted");
                }
            }
        }
    });
    let user = map.user();
    let (mut at, mut seen) = (None, BTreeSet::new());
    while let Ok(key) = user.next_key(at.as_deref()) {
        assert_eq!(user.lookup(&key, 0), Ok(key.clone()), "a value belongs to its key");
        assert!(seen.insert(key.clone()));
        at = Some(key);
    }
    assert_eq!(seen.len(), 8000);
    assert!(seen.iter().all(|key| u32::from_ne_bytes(key[..].try_into().unwrap()) % 2 == 0));
}

/// A table that evicts takes everything, holds no more than it may, and keeps values with their keys.
#[test]
fn eviction_goes_on() {
    for map_flags in [0, flags::NO_COMMON_LRU] {
        let map = map(MapSpec::new(MapType::LruHash, 4, 4, 1024).with_flags(map_flags));
        let refused = AtomicU64::new(0);
        together(|cpu| {
            for round in 0..ROUNDS {
                let key = (scramble(round * THREADS + cpu) % 4096).to_ne_bytes();
                match map.update(&key, &key, 0, cpu) {
                    Ok(()) => {}
                    // All free slots are in the hands of others for a moment.
                    Err(Errno::ENOMEM) => _ = refused.fetch_add(1, Ordering::Relaxed),
                    Err(errno) => panic!("{errno}"),
                }
                map.lookup(&(scramble(round) % 4096).to_ne_bytes(), cpu);
                if round % 7 == 0 {
                    let _ = map.delete(&key);
                }
            }
        });
        assert!(refused.into_inner() < u64::from(ROUNDS) / 100);
        let user = map.user();
        let (mut at, mut count) = (None, 0);
        while let Ok(key) = user.next_key(at.as_deref()) {
            assert_eq!(user.lookup(&key, 0), Ok(key.clone()), "a value belongs to its key");
            count += 1;
            at = Some(key);
        }
        // A CPU keeps free slots for itself: a batch, or all of its share when the lists are its own.
        let least = if map_flags == 0 { 400 } else { 64 };
        assert!((least..=1024).contains(&count), "{count}");
    }
}

#[test]
fn a_queue_hands_out_everything_once() {
    let queue = map(MapSpec::new(MapType::Queue, 0, 4, 100));
    let (sum, taken) = (AtomicU64::new(0), AtomicU64::new(0));
    let all = u64::from(THREADS / 2 * ROUNDS);
    together(|cpu| {
        if cpu % 2 == 0 {
            for round in 0..ROUNDS {
                while queue.push(&round.to_ne_bytes(), 0).is_err() {
                    std::thread::yield_now();
                }
            }
        } else {
            let mut value = [0; 4];
            while taken.load(Ordering::Relaxed) < all {
                match queue.pop(&mut value) {
                    Ok(()) => {
                        taken.fetch_add(1, Ordering::Relaxed);
                        sum.fetch_add(u32::from_ne_bytes(value).into(), Ordering::Relaxed);
                    }
                    Err(_) => std::thread::yield_now(),
                }
            }
        }
    });
    let expected = u64::from(ROUNDS) * u64::from(ROUNDS - 1) / 2 * u64::from(THREADS / 2);
    assert_eq!((taken.into_inner(), sum.into_inner()), (all, expected));
}

#[test]
fn a_ring_keeps_every_record_in_order() {
    let ring = map(MapSpec::new(MapType::Ringbuf, 0, 0, 4096));
    let finished = AtomicU64::new(0);
    together(|cpu| {
        if cpu > 0 {
            for round in 0..ROUNDS {
                // Records of many sizes wrap around the end.
                let mut record = vec![cpu as u8; 8 + (scramble(round) % 50) as usize];
                record[4..8].copy_from_slice(&round.to_ne_bytes());
                while ring.ring_output(&record, 0) == Err(Errno::EAGAIN) {
                    std::thread::yield_now();
                }
            }
            finished.fetch_add(1, Ordering::Release);
            return;
        }
        let mut next = [0u32; THREADS as usize];
        loop {
            let last = finished.load(Ordering::Acquire) == u64::from(THREADS - 1);
            let consumed = ring.ring_consume(|record| {
                let cpu = record[0];
                let round = u32::from_ne_bytes(record[4..8].try_into().unwrap());
                assert_eq!(round, next[cpu as usize], "CPU {cpu}'s records are in order");
                assert_eq!(record.len(), 8 + (scramble(round) % 50) as usize);
                assert!(record[8..].iter().all(|&byte| byte == cpu));
                next[cpu as usize] += 1;
            });
            if consumed.expect("one consumer") == 0 {
                if last {
                    break;
                }
                std::thread::yield_now();
            }
        }
        assert_eq!(next[1..], [ROUNDS; THREADS as usize - 1]);
    });
}

#[test]
fn inner_maps_are_swapped_whole() {
    let outer = MapSpec::new(MapType::HashOfMaps, 4, 4, 4);
    let inner = MapSpec::new(MapType::Array, 4, 8, 1);
    let outer = map(outer.with_inner(inner.clone()));
    let key = 1u32.to_ne_bytes();
    together(|cpu| {
        for round in 0..ROUNDS / 20 {
            if cpu == 0 {
                let inner = map(inner.clone());
                inner.update(&[0; 4], &u64::from(round).to_ne_bytes(), 0, 0).expect("an array takes it");
                outer.set_object(&key, Object::Map(inner), 0).expect("it fits");
            } else if let Some(inner) = outer.inner(&key) {
                let value = inner.load(inner.lookup(&[0; 4], cpu).expect("index 0"), 8).expect("its bytes");
                assert!(value < ROUNDS.into());
            }
        }
    });
    assert_eq!(outer.user().lookup(&key, 0).map(|id| id.len()), Ok(4));
}

#[test]
fn values_under_a_lock_are_whole() {
    use sandbpf_maps::{FieldKind, SpecialField};
    for map_type in [MapType::Hash, MapType::Array] {
        let mut spec = MapSpec::new(map_type, 4, 40, 1);
        spec.fields = vec![SpecialField { kind: FieldKind::SpinLock, offset: 0, size: 4 }];
        let map = map(spec);
        let key = 0u32.to_ne_bytes();
        map.user().update(&key, &[0; 40], 0).expect("the first value");
        together(|cpu| {
            for round in 0..ROUNDS / 20 {
                if cpu % 2 == 0 {
                    let value = [scramble(round * THREADS + cpu) as u8; 40];
                    map.user().update(&key, &value, flags::F_LOCK).expect("an update under the lock");
                } else {
                    let value = map.user().lookup(&key, flags::F_LOCK).expect("a look under the lock");
                    assert_eq!(value[..4], [0; 4], "the lock itself is not seen");
                    assert!(value[4..].iter().all(|&byte| byte == value[4]), "{value:?}");
                }
            }
        });
    }
}
