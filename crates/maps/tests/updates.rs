//! Updates of hash tables, against a map of Rust's: with keys and values of all sizes, in tables that are full or nearly so.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sandbpf_maps::{Environment, Errno, Map, MapSpec, MapType};

const ANY: u64 = 0;
const NOEXIST: u64 = 1;
const EXIST: u64 = 2;

#[derive(Clone, Debug)]
enum Step {
    Update { key: u8, value: u8, flags: u64 },
    Delete { key: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let flags = prop_oneof![Just(ANY), Just(NOEXIST), Just(EXIST)];
    prop_oneof![
        4 => (0u8..48, any::<u8>(), flags).prop_map(|(key, value, flags)| Step::Update { key, value, flags }),
        1 => (0u8..48).prop_map(|key| Step::Delete { key }),
    ]
}

fn read(map: &Map, offset: u64, size: usize) -> Vec<u8> {
    let (bytes, at, left) = map.bytes(offset).expect("an offset of a value");
    assert_eq!(left, size);
    let mut value = vec![0; size];
    bytes.read(at, &mut value).expect("it is there");
    value
}

proptest! {
    #[test]
    fn agree_with_a_model(
        key_size in prop_oneof![1u32..=24, Just(32), Just(40), Just(48), Just(63), Just(64), Just(65)],
        value_size in 1usize..=24,
        room in 1u32..48,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let map = Map::create(MapSpec::new(MapType::Hash, key_size, value_size as u32, room), &Environment::default()).unwrap();
        let mut model: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        for step in steps {
            let (Step::Update { key: number, .. } | Step::Delete { key: number }) = step;
            let key = vec![number; key_size as usize];
            let place = map.lookup(&key, 0);
            let old = model.get(&number).cloned();
            prop_assert_eq!(place.map(|place| read(&map, place, value_size)), old.clone());
            match step {
                Step::Update { value, flags, .. } => {
                    let value: Vec<u8> = (0..value_size as u8).map(|at| value.wrapping_add(at)).collect();
                    let expected = match (&old, flags) {
                        (Some(_), NOEXIST) => Err(Errno::EEXIST),
                        (None, EXIST) => Err(Errno::ENOENT),
                        (None, _) if model.len() == room as usize => Err(Errno::E2BIG),
                        _ => Ok(()),
                    };
                    prop_assert_eq!(map.update(&key, &value, flags, 0), expected);
                    if expected.is_ok() {
                        model.insert(number, value);
                    }
                }
                Step::Delete { .. } => {
                    let expected = if model.remove(&number).is_some() { Ok(()) } else { Err(Errno::ENOENT) };
                    prop_assert_eq!(map.delete(&key), expected);
                }
            }
            // Who has a pointer to the old value still sees it whole.
            if let Some(place) = place {
                let now = read(&map, place, value_size);
                prop_assert!(Some(now) == old);
            }
        }
        for number in 0..48 {
            let place = map.lookup(&vec![number; key_size as usize], 0);
            prop_assert_eq!(place.map(|place| read(&map, place, value_size)), model.get(&number).cloned());
        }
    }
}

/// Of a full table, homes have no place left, and go on elsewhere.
#[test]
fn full_tables_are_updated() {
    const COUNT: u64 = 5000;
    let spec = MapSpec::new(MapType::Hash, 8, 8, COUNT as u32);
    let map = Map::create(spec, &Environment::default()).unwrap();
    for round in 0..4 {
        for number in 0..COUNT {
            let (key, value) = (number.to_le_bytes(), (number ^ round << 32).to_le_bytes());
            let old = map.lookup(&key, 0).map(|place| (place, read(&map, place, 8)));
            assert_eq!(old.is_some(), round > 0);
            map.update(&key, &value, if round > 0 { EXIST } else { NOEXIST }, 0).unwrap();
            assert_eq!(read(&map, map.lookup(&key, 0).unwrap(), 8), value);
            if let Some((place, old)) = old {
                assert_eq!(read(&map, place, 8), old);
            }
        }
        assert_eq!(map.update(&COUNT.to_le_bytes(), &[0; 8], ANY, 0), Err(Errno::E2BIG));
    }
    let value = |number: u64| {
        let place = map.lookup(&number.to_le_bytes(), 0).unwrap();
        u64::from_le_bytes(read(&map, place, 8).try_into().unwrap())
    };
    assert!((0..COUNT).all(|number| value(number) == number ^ 3 << 32));
}
