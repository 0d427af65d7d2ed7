//! Maps as large as Linux allows cost nothing until they are used, and work at both ends.

use std::time::Duration;

use sandbpf_maps::{Environment, Errno, Map, MapSpec, MapType, flags};

/// How long this thread has been on a processor, as the scheduler counts: others' work is not its own.
fn worked() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

#[test]
fn size_alone_costs_nothing() {
    use MapType::*;
    let started = worked();
    let maps: Vec<_> = [
        (Array, 4, 8, u32::MAX, 0),
        (Array, 4, i32::MAX as u32, u32::MAX, 0),
        (PercpuArray, 4, 32768, u32::MAX, 0),
        (Hash, 4, 8, 1 << 27, 0),
        (LruHash, 4, 8, 1 << 27, 0),
        (LruPercpuHash, 4, 8, 1 << 27, flags::NO_COMMON_LRU),
        (LpmTrie, 8, 8, u32::MAX, flags::NO_PREALLOC),
        (Queue, 0, 8, u32::MAX, 0),
        (BloomFilter, 0, 8, u32::MAX, 0),
        (StackTrace, 4, 1016, 1 << 31, 0),
        (ProgArray, 4, 4, u32::MAX, 0),
        (Sockhash, 4, 4, 1 << 27, 0),
        (DevmapHash, 4, 4, 1 << 27, 0),
        (Ringbuf, 0, 0, 1 << 30, 0),
        (Arena, 0, 0, 1 << 20, flags::MMAPABLE),
    ]
    .map(|(map_type, key, value, entries, bits)| {
        let spec = MapSpec::new(map_type, key, value, entries).with_flags(bits);
        Map::create(spec, &Environment { cpus: 4, ..Environment::default() }).expect("Linux takes it")
    })
    .into();
    // Without laziness this would be terabytes.
    assert!(worked() - started < Duration::from_secs(5));

    let array = &maps[0];
    for index in [0, 1 << 31, u32::MAX - 1] {
        let key = index.to_ne_bytes();
        array.update(&key, &u64::from(index).to_ne_bytes(), 0, 0).expect("a value");
        let offset = array.lookup(&key, 0).expect("every index is there");
        assert_eq!(array.load(offset, 8), Some(index.into()));
    }
    assert_eq!(array.lookup(&u32::MAX.to_ne_bytes(), 0), None);
    // One value is more than the map may have.
    assert_eq!(maps[1].lookup(&0u32.to_ne_bytes(), 0), None);
    for map in &maps[3..6] {
        let key = 7u32.to_ne_bytes();
        map.update(&key, &[7; 8], 0, 3).expect("there is room");
        assert_eq!(map.user().next_key(None), Ok(key.to_vec()), "the only key is found among all buckets");
        assert_eq!(map.user().next_key(Some(&key)), Err(Errno::ENOENT));
    }
    assert!(worked() - started < Duration::from_secs(10));
}

#[test]
fn memory_ends() {
    let environment = Environment { memory: 1 << 20, ..Environment::default() };
    for (map_type, key, bits) in
        [(MapType::Hash, 8, 0), (MapType::LruHash, 8, 0), (MapType::LpmTrie, 12, flags::NO_PREALLOC)]
    {
        let map = Map::create(MapSpec::new(map_type, key, 1000, 1 << 20).with_flags(bits), &environment);
        let map = map.expect("its size alone costs nothing");
        let key = |number: u64| {
            let bytes = number.to_be_bytes();
            if key == 12 { [&64u32.to_ne_bytes()[..], &bytes].concat() } else { bytes.to_vec() }
        };
        let inserted =
            (0..10_000).take_while(|&number| map.update(&key(number), &[1; 1000], 0, 0).is_ok()).count();
        assert!((500..1100).contains(&inserted), "{map_type}: {inserted}");
        assert_eq!(map.update(&key(99_999), &[1; 1000], 0, 0), Err(Errno::ENOMEM));
        assert!(map.lookup(&key(0), 0).is_some(), "what is there stays");
    }
    let ring = Map::create(MapSpec::new(MapType::Ringbuf, 0, 0, 1 << 21), &environment);
    assert_eq!(ring.map(|map| map.id()), Err(Errno::ENOMEM));
}
