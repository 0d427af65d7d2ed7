//! Maps here and maps of the running kernel answer alike, operation by operation.
//!
//! Needs a kernel that lets us make maps; says so and passes where there is none. How many operations
//! are compared, `SANDBPF_KERNEL_OPERATIONS` says; with which seed, `SANDBPF_KERNEL_SEED`.

use std::collections::BTreeMap;
use std::sync::Arc;

mod common;

use common::pool::{Pool, Thing};
use common::{Random, setting};
use sandbpf_maps::{Environment, Map, MapSpec, MapType, flags};
use sandbpf_testkit::kernel_maps::{KernelMap, possible_cpus, stay_on_first_cpu, unavailable};

/// A specification that the kernel may refuse.
fn any_spec(random: &mut Random) -> MapSpec {
    let map_type = random.pick(MapType::ALL);
    let key = random.pick(&[0, 1, 2, 4, 4, 4, 4, 5, 8, 8, 16, 260, 261, 512, 513]);
    let value =
        random.pick(&[0, 1, 4, 4, 4, 5, 8, 8, 8, 16, 32, 64, 1016, 1024, 4064, 4096, 32768, 32769, 70_000]);
    let entries = random.pick(&[0, 0, 1, 1, 2, 3, 4, 7, 64, 256, 257, 4096, 8192]);
    let bit = 1 << random.below(20);
    let bits: u32 = random.pick(&[0, 0, 0, 1, 1, 1024, 2, bit, bit | 1]);
    let mut spec = MapSpec::new(map_type, key, value, entries).with_flags(bits);
    if random.one_in(8) {
        spec.map_extra = random.pick(&[1, 5, 15, 16, 4096, 4097, 1 << 32, 0xffff_f000, u64::MAX - 4095]);
    }
    spec
}

#[test]
fn the_kernel_makes_the_same_maps() {
    if let Some(reason) = unavailable() {
        println!("skipped: {reason}");
        return;
    }
    let mut random = Random(setting("SANDBPF_KERNEL_SEED", 1));
    let pattern = MapSpec::new(MapType::Array, 4, 4, 1);
    let kernel_pattern = KernelMap::create(&pattern, None).expect("an array");
    let mut made = 0;
    for _ in 0..setting("SANDBPF_KERNEL_OPERATIONS", 200_000) / 20 {
        let mut spec = any_spec(&mut random);
        let nested = matches!(spec.map_type, MapType::ArrayOfMaps | MapType::HashOfMaps);
        if nested {
            spec.inner = Some(Box::new(pattern.clone()));
        }
        let theirs = KernelMap::create(&spec, nested.then_some(&kernel_pattern)).map(|_| ());
        made += u32::from(theirs.is_ok());
        assert_eq!(spec.check(), theirs, "{spec:?}");
    }
    assert!(made > 100, "{made} maps were made");
}

/// The same map twice.
struct Pair {
    spec: MapSpec,
    ours: Arc<Map>,
    theirs: KernelMap,
    /// Keys that are used.
    keys: Vec<Vec<u8>>,
    /// Things that can be put in.
    things: Vec<Thing>,
}

/// A specification that the kernel takes.
fn good_spec(random: &mut Random) -> MapSpec {
    use MapType::*;
    const TYPES: &[MapType] = &[
        Hash,
        Hash,
        Array,
        PercpuHash,
        PercpuArray,
        LruHash,
        LruHash,
        LruPercpuHash,
        LpmTrie,
        LpmTrie,
        Queue,
        Stack,
        BloomFilter,
        ArrayOfMaps,
        HashOfMaps,
        ProgArray,
        PerfEventArray,
        CgroupArray,
        StackTrace,
        Devmap,
        DevmapHash,
        Cpumap,
        Xskmap,
        Sockmap,
        Sockhash,
        ReuseportSockarray,
        Ringbuf,
        UserRingbuf,
        Arena,
        CgroupStorage,
        PercpuCgroupStorage,
    ];
    let map_type = random.pick(TYPES);
    let key = random.pick(&[1, 2, 4, 4, 5, 8, 12, 13, 24, 33]);
    let value = random.pick(&[1, 3, 4, 8, 12, 40, 100]);
    let entries = random.pick(&[1, 2, 3, 4, 7, 8, 16, 40, 300]) as u32;
    let object_value = random.pick(&[4, 8]);
    let (key, value, entries) = match map_type {
        Hash | PercpuHash | LruHash | LruPercpuHash => (key, value, entries),
        LpmTrie => (4 + random.pick(&[1, 2, 3, 4, 8, 9, 16]), value, entries),
        Array | PercpuArray => (4, value, entries),
        Queue | Stack | BloomFilter => (0, value, entries),
        ProgArray | PerfEventArray | CgroupArray | ArrayOfMaps => (4, 4, entries),
        HashOfMaps => (key, 4, entries),
        StackTrace => (4, 8 * value, entries),
        Devmap | DevmapHash | Cpumap | Sockmap | ReuseportSockarray => (4, object_value, entries.min(200)),
        Xskmap => (4, 4, entries),
        Sockhash => (key, object_value, entries),
        Ringbuf | UserRingbuf => (0, 0, 4096),
        Arena => (0, 0, entries),
        CgroupStorage | PercpuCgroupStorage => (random.pick(&[8, 16]), value, 0),
        _ => (key, value, entries),
    };
    let mut bits = 0;
    if random.one_in(12) && !matches!(map_type, Ringbuf | UserRingbuf | Arena | Cpumap) {
        bits |= random.pick(&[flags::RDONLY, flags::WRONLY]);
    }
    match map_type {
        Hash | PercpuHash | HashOfMaps if random.one_in(2) => bits |= flags::NO_PREALLOC,
        LruHash | LruPercpuHash if random.one_in(3) => bits |= flags::NO_COMMON_LRU,
        LpmTrie => bits |= flags::NO_PREALLOC,
        Arena => bits |= flags::MMAPABLE,
        _ => {}
    }
    if matches!(map_type, Hash | PercpuHash | LruHash | LruPercpuHash | HashOfMaps | BloomFilter)
        && !random.one_in(4)
    {
        bits |= flags::ZERO_SEED;
    }
    MapSpec::new(map_type, key, value, entries).with_flags(bits)
}

impl Pair {
    fn new(random: &mut Random, pool: &Pool, cpus: u32) -> Pair {
        use MapType::*;
        let environment = Environment { cpus, ..Environment::default() };
        let mut spec = good_spec(random);
        let pattern = MapSpec::new(Hash, 4, 8, 2);
        let mut kernel_pattern = None;
        if matches!(spec.map_type, ArrayOfMaps | HashOfMaps) {
            spec.inner = Some(Box::new(pattern.clone()));
            kernel_pattern = KernelMap::create(&pattern, None).ok();
        }
        let theirs = KernelMap::create(&spec, kernel_pattern.as_ref());
        let theirs = theirs.unwrap_or_else(|errno| panic!("the kernel answers {errno} to {spec:?}"));
        let ours = Map::create(spec.clone(), &environment).expect("so do we");
        let count = if spec.max_entries > 100 { 400 } else { 2 * u64::from(spec.max_entries) + 2 };
        let keys = (0..count.min(2 << (8 * spec.key_size.min(3))))
            .map(|number| key(&spec, number, random))
            .collect();
        let things = pool.things(&spec, &pattern, &environment);
        Pair { things, spec, ours, theirs, keys }
    }

    /// Whether elements come in the same order here and there.
    fn is_ordered(&self) -> bool {
        use MapType::*;
        let hashed = matches!(self.spec.map_type, Hash | PercpuHash | LruHash | LruPercpuHash | HashOfMaps);
        !hashed || self.spec.map_flags & flags::ZERO_SEED != 0
    }

    /// Does one thing to both; says whether it did.
    fn step(&mut self, random: &mut Random) -> bool {
        let user = self.ours.user();
        let key = self.keys[random.below(self.keys.len() as u64) as usize].clone();
        let lookup_flags = random.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 4]);
        let exact_bloom =
            self.spec.map_type != MapType::BloomFilter || self.spec.map_flags & flags::ZERO_SEED != 0;
        match random.below(20) {
            0..=5 => {
                let (value, thing) = self.value(random);
                let update_flags = random.pick(&[0, 0, 0, 0, 0, 1, 2, 2, 3, 4, 5, 8, 1 << 40]);
                let theirs = self.theirs.update(&key, &value, update_flags);
                let ours = match thing {
                    Some(at) => user.set_object(&key, self.things[at].object.clone(), update_flags),
                    None => user.update(&key, &value, update_flags),
                };
                assert_eq!(
                    ours, theirs,
                    "update of {key:?} to {value:?} with {update_flags}: {:?}",
                    self.spec
                );
            }
            6..=10 => {
                let mut ours = self.value(random).0;
                let mut theirs = ours.clone();
                let done = self.theirs.lookup_into(&key, &mut theirs, lookup_flags);
                if exact_bloom {
                    assert_eq!(
                        user.lookup_into(&key, &mut ours, lookup_flags),
                        done,
                        "lookup of {key:?}: {:?}",
                        self.spec
                    );
                    if done.is_ok() {
                        assert_eq!(self.translate(ours), theirs, "lookup of {key:?}: {:?}", self.spec);
                    }
                }
            }
            11..=13 => {
                assert_eq!(user.delete(&key), self.theirs.delete(&key), "delete of {key:?}: {:?}", self.spec);
            }
            14 | 15 => {
                let ours = user.lookup_and_delete(&key, lookup_flags);
                let theirs = self.theirs.lookup_and_delete(&key, lookup_flags);
                assert_eq!(ours, theirs, "taking {key:?}: {:?}", self.spec);
            }
            16 | 17 if self.spec.key_size > 0 => {
                let from = (!random.one_in(4)).then_some(&key[..]);
                let (ours, theirs) = (user.next_key(from), self.theirs.next_key(from));
                if self.is_ordered() {
                    assert_eq!(ours, theirs, "the key after {from:?}: {:?}", self.spec);
                }
            }
            18 if self.spec.key_size > 0 && random.one_in(4) => self.walk(),
            19 if self.spec.key_size > 0 && self.things.is_empty() && random.one_in(4) => {
                self.change_batch(random)
            }
            19 if self.spec.key_size > 0 && self.is_ordered() && random.one_in(4) => self.batch(random),
            _ if random.one_in(2000) => {
                assert_eq!(user.freeze(), self.theirs.freeze(), "freezing {:?}", self.spec);
            }
            _ => return false,
        }
        true
    }

    /// Compares all keys and values.
    fn walk(&self) {
        let user = self.ours.user();
        let (mut ours, mut theirs) = (BTreeMap::new(), BTreeMap::new());
        let (mut ours_at, mut theirs_at): (Option<Vec<u8>>, Option<Vec<u8>>) = (None, None);
        loop {
            let next = (user.next_key(ours_at.as_deref()), self.theirs.next_key(theirs_at.as_deref()));
            let (ours_next, theirs_next) = match next {
                (Ok(ours), Ok(theirs)) => (ours, theirs),
                (ours, theirs) => {
                    assert_eq!(ours, theirs, "the end of {:?}", self.spec);
                    break;
                }
            };
            let mut value = vec![0; user.value_size()];
            let found = user.lookup_into(&ours_next, &mut value, 0);
            ours.insert(ours_next.clone(), (found, self.translate(value)));
            let mut value = vec![0; user.value_size()];
            let found = self.theirs.lookup_into(&theirs_next, &mut value, 0);
            theirs.insert(theirs_next.clone(), (found, value));
            (ours_at, theirs_at) = (Some(ours_next), Some(theirs_next));
        }
        assert_eq!(ours, theirs, "all of {:?}", self.spec);
    }

    fn batch(&self, random: &mut Random) {
        let user = self.ours.user();
        let count = random.pick(&[1, 2, 3, 8, 500]);
        let delete = random.one_in(2);
        let batch_flags = random.pick(&[0, 0, 0, 0, 1, 4]);
        let mut from: Option<Vec<u8>> = None;
        for _ in 0..4 {
            let theirs = self.theirs.batch(from.as_deref(), count, batch_flags, delete);
            let ours = match delete {
                true => user.lookup_and_delete_batch(from.as_deref(), count, batch_flags),
                false => user.lookup_batch(from.as_deref(), count, batch_flags),
            };
            let ours = match ours {
                Ok(ours) => ours,
                Err(errno) => {
                    assert_eq!(Some(errno), theirs.end, "a batch of {:?}", self.spec);
                    return;
                }
            };
            assert_eq!(ours.end, theirs.end, "a batch of {count} after {from:?}: {:?}", self.spec);
            let translated = ours.elements.into_iter().map(|(key, value)| (key, self.translate(value)));
            assert_eq!(translated.collect::<Vec<_>>(), theirs.elements, "a batch of {:?}", self.spec);
            if ours.end.is_some() {
                return;
            }
            from = Some(ours.next.expect("there is more"));
            let size = from.as_ref().map_or(0, Vec::len);
            assert_eq!(from.as_deref(), theirs.next.get(..size), "where a batch goes on: {:?}", self.spec);
        }
    }

    /// Changes many elements at once.
    fn change_batch(&self, random: &mut Random) {
        let user = self.ours.user();
        let count = 1 + random.below(6) as usize;
        let keys: Vec<&[u8]> =
            (0..count).map(|_| &self.keys[random.below(self.keys.len() as u64) as usize][..]).collect();
        let bits = random.pick(&[0, 0, 0, 1, 4]);
        let (ours, theirs) = match random.one_in(2) {
            true => (user.delete_batch(&keys, bits), self.theirs.change_batch(&keys, None, bits)),
            false => {
                let values: Vec<Vec<u8>> = (0..count).map(|_| self.value(random).0).collect();
                let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
                let elements: Vec<_> = keys.iter().copied().zip(values.iter().copied()).collect();
                (user.update_batch(&elements, bits), self.theirs.change_batch(&keys, Some(&values), bits))
            }
        };
        match ours {
            Ok(done) => assert_eq!((done.count, done.end), theirs, "a batch of {:?}", self.spec),
            Err(errno) => assert_eq!(Some(errno), theirs.1, "a batch of {:?}", self.spec),
        }
    }

    /// A value to write, and which thing it stands for, if it does.
    fn value(&self, random: &mut Random) -> (Vec<u8>, Option<usize>) {
        use MapType::*;
        let size = self.ours.user().value_size();
        let mut value: Vec<u8> = match self.spec.map_type {
            Queue | Stack | BloomFilter => vec![random.below(20) as u8; size],
            _ => (0..size).map(|_| random.next() as u8).collect(),
        };
        let mut low = |number: u32, high: u32| {
            value.fill(0);
            value[..4].copy_from_slice(&number.to_ne_bytes());
            if size == 8 {
                value[4..].copy_from_slice(&high.to_ne_bytes());
            }
        };
        match self.spec.map_type {
            Cpumap if random.one_in(30) => {
                let at = random.below(self.things.len() as u64) as usize;
                low(self.things[at].words.0, self.things[at].words.1);
                return (value, Some(at));
            }
            Cpumap => low(random.pick(&[0, 0, 16_385]), 0),
            _ if !random.one_in(5) && !self.things.is_empty() => {
                let at = random.below(self.things.len() as u64) as usize;
                low(self.things[at].words.0, self.things[at].words.1);
                return (value, Some(at));
            }
            ArrayOfMaps | HashOfMaps | ProgArray | PerfEventArray | CgroupArray | Xskmap => {
                low(random.pick(&[1_000_000, u32::MAX]), 0);
            }
            Sockmap | Sockhash | ReuseportSockarray => {
                low(random.pick(&[1_000_000, 1_000_000, u32::MAX]), random.pick(&[0, 0, 1, u32::MAX]));
            }
            Devmap | DevmapHash => {
                low(random.pick(&[0, 1, 1, 1]), random.pick(&[0, 0, 0, 1_000_000, u32::MAX]))
            }
            _ => {}
        }
        (value, None)
    }

    /// Our value as the kernel has it: ids of things differ.
    fn translate(&self, value: Vec<u8>) -> Vec<u8> {
        let id = value.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        match self.things.iter().find(|thing| thing.ids.0 == id && id != 0) {
            Some(thing) => thing.ids.1.to_ne_bytes().to_vec(),
            None => value,
        }
    }
}

/// One of the keys of a map.
fn key(spec: &MapSpec, number: u64, random: &mut Random) -> Vec<u8> {
    use MapType::*;
    let size = spec.key_size as usize;
    match spec.map_type {
        LpmTrie => {
            let bits = 8 * (size as u64 - 4);
            let prefix = if random.one_in(30) { bits + 1 } else { random.below(bits + 1) };
            // Few bits differ, so that prefixes meet.
            let mut key = (prefix as u32).to_ne_bytes().to_vec();
            key.extend((4..size).map(|_| random.pick(&[0, 0, 1, 0x80, 0xc0, 0xff])));
            key
        }
        _ => {
            let mut key = number.to_ne_bytes().to_vec();
            key.resize(size, 7);
            key
        }
    }
}

#[test]
fn the_kernel_answers_alike() {
    if let Some(reason) = unavailable() {
        println!("skipped: {reason}");
        return;
    }
    assert!(stay_on_first_cpu(), "this thread can stay on one CPU");
    let seed = setting("SANDBPF_KERNEL_SEED", 1);
    let operations = setting("SANDBPF_KERNEL_OPERATIONS", 200_000);
    let mut random = Random(seed);
    let cpus = possible_cpus();
    let pool = Pool::new();
    let mut done = 0;
    let mut types = BTreeMap::<MapType, u64>::new();
    while done < operations {
        let mut pair = Pair::new(&mut random, &pool, cpus);
        let steps = random.pick(&[50, 300, 2000]);
        let count = (0..steps).filter(|_| pair.step(&mut random)).count() as u64;
        *types.entry(pair.spec.map_type).or_default() += count;
        done += count;
    }
    println!("{done} operations, seed {seed}: {types:?}");
}
