//! What programs do to maps here and in the running kernel comes out alike.
//!
//! For each operation there is a program of one helper call, whose arguments and result are in a map of
//! their own, so that any key, value and flags can be tried without loading again. Settings are those of
//! `kernel_maps`.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Random, setting};
use sandbpf_maps::{Environment, Errno, Map, MapSpec, MapType, flags};
use sandbpf_testkit::kernel_maps::{KernelMap, KernelProgram, possible_cpus, stay_on_first_cpu, unavailable};

/// Where arguments and results are: a key, a value, two numbers and the result.
const KEY: usize = 0;
const VALUE: usize = 64;
const FLAGS: usize = 192;
const SIZE: usize = 200;
const RESULT: usize = 208;
const PAGE: usize = 216;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Lookup,
    LookupPercpu,
    Update,
    Delete,
    Push,
    Pop,
    Peek,
    RingOutput,
    RingQuery,
}

use Operation::*;

/// Registers 1 to 5 with where in the page they point to, or with what is there.
enum Argument {
    Pointer(usize),
    Number(usize),
    Bounded(usize),
}

impl Operation {
    /// The helper's number and its arguments after the map.
    fn call(self) -> (i32, Vec<Argument>) {
        use Argument::*;
        match self {
            Lookup => (1, vec![Pointer(KEY)]),
            Update => (2, vec![Pointer(KEY), Pointer(VALUE), Number(FLAGS)]),
            Delete => (3, vec![Pointer(KEY)]),
            Push => (87, vec![Pointer(VALUE), Number(FLAGS)]),
            Pop => (88, vec![Pointer(VALUE)]),
            Peek => (89, vec![Pointer(VALUE)]),
            LookupPercpu => (195, vec![Pointer(KEY), Number(FLAGS)]),
            RingOutput => (130, vec![Pointer(VALUE), Bounded(SIZE), Number(FLAGS)]),
            RingQuery => (134, vec![Number(FLAGS)]),
        }
    }

    /// The program that does it.
    fn code(self, map: &KernelMap, page: &KernelMap, value_size: u32) -> Vec<u8> {
        let mut code = Vec::new();
        let mut emit = |op: u8, dst: u8, src: u8, off: i16, imm: i32| {
            code.extend([op, src << 4 | dst]);
            code.extend(off.to_le_bytes());
            code.extend(imm.to_le_bytes());
        };
        let (helper, arguments) = self.call();
        // r9 = the page, r1 = the map
        emit(0x18, 9, 2, 0, page.descriptor());
        emit(0, 0, 0, 0, 0);
        emit(0x18, 1, 1, 0, map.descriptor());
        emit(0, 0, 0, 0, 0);
        for (register, argument) in (2..).zip(arguments) {
            match argument {
                Argument::Pointer(at) => {
                    emit(0xbf, register, 9, 0, 0);
                    emit(0x07, register, 0, 0, at as i32);
                }
                Argument::Number(at) => emit(0x79, register, 9, at as i16, 0),
                Argument::Bounded(at) => {
                    emit(0x79, register, 9, at as i16, 0);
                    emit(0x57, register, 0, 0, 127);
                }
            }
        }
        emit(0x85, 0, 0, 0, helper);
        if matches!(self, Lookup | LookupPercpu) {
            // Copies the value that was found; the result is whether there was one.
            emit(0x15, 0, 0, 2 * value_size as i16 + 1, 0);
            for at in 0..value_size as i16 {
                emit(0x71, 1, 0, at, 0);
                emit(0x73, 9, 1, VALUE as i16 + at, 0);
            }
            emit(0xb7, 0, 0, 0, 1);
        }
        emit(0x7b, 9, 0, RESULT as i16, 0);
        emit(0xb7, 0, 0, 0, 0);
        emit(0x95, 0, 0, 0, 0);
        code
    }

    /// The same on a map of ours: what would be in the page.
    fn here(self, map: &Map, page: &mut [u8; PAGE]) {
        let number = |at: usize| u64::from_ne_bytes(page[at..at + 8].try_into().expect("eight bytes"));
        let (bits, size) = (number(FLAGS), number(SIZE));
        let spec = map.spec();
        let key = page[KEY..KEY + spec.key_size as usize].to_vec();
        let value_range = VALUE..VALUE + spec.value_size as usize;
        let mut value = page[value_range.clone()].to_vec();
        let status = |done: Result<(), Errno>| done.map_or_else(Errno::to_r0, |()| 0);
        let result = match self {
            Lookup | LookupPercpu => {
                let cpu = u32::try_from(bits).unwrap_or(u32::MAX);
                let found = if self == Lookup { map.lookup(&key, 0) } else { map.lookup_percpu(&key, cpu) };
                if let Some((bytes, at, left)) = found.and_then(|offset| map.bytes(offset)) {
                    assert_eq!(left, value.len(), "the offset of a whole value");
                    bytes.read(at, &mut value).expect("the value's bytes");
                }
                u64::from(found.is_some())
            }
            Update => status(map.update(&key, &value, bits, 0)),
            Delete => status(map.delete(&key)),
            Push => status(map.push(&value, bits)),
            Pop => status(map.pop(&mut value)),
            Peek => status(map.peek(&mut value)),
            RingOutput => status(map.ring_output(&page[VALUE..VALUE + (size & 127) as usize], bits)),
            RingQuery => {
                let query = sandbpf_maps::RingQuery::from_number(bits);
                query.map_or(0, |query| map.ring_query(query).expect("a ring"))
            }
        };
        page[value_range].copy_from_slice(&value);
        page[RESULT..].copy_from_slice(&result.to_ne_bytes());
    }
}

/// Types that programs use, with what they do to them.
fn spec(random: &mut Random) -> (MapSpec, &'static [Operation]) {
    use MapType::*;
    let map_type = random.pick(&[
        Hash,
        PercpuHash,
        LruHash,
        LruHash,
        LruPercpuHash,
        Array,
        PercpuArray,
        LpmTrie,
        Queue,
        Stack,
        BloomFilter,
        Ringbuf,
    ]);
    let (key, value) = (random.pick(&[1, 4, 8, 13, 33]), random.pick(&[1, 4, 8, 12, 40]));
    let entries = random.pick(&[1, 2, 5, 16, 100, 700]);
    let (key, value, entries, operations): (_, _, _, &[Operation]) = match map_type {
        Hash | LruHash => (key, value, entries, &[Lookup, Lookup, Update, Update, Delete]),
        PercpuHash | LruPercpuHash => (key, value, entries, &[Lookup, LookupPercpu, Update, Update, Delete]),
        Array => (4, value, entries, &[Lookup, Update, Delete]),
        PercpuArray => (4, value, entries, &[Lookup, LookupPercpu, Update, Delete]),
        LpmTrie => (random.pick(&[5, 8, 12, 20]), value, entries, &[Lookup, Lookup, Update, Update, Delete]),
        Queue | Stack => (0, value, entries, &[Push, Push, Pop, Peek]),
        BloomFilter => (0, value, entries, &[Push, Peek, Peek]),
        _ => (0, 0, 4096, &[RingOutput, RingQuery]),
    };
    let mut bits = 0;
    match map_type {
        LpmTrie => bits |= flags::NO_PREALLOC,
        Hash | PercpuHash if random.one_in(2) => bits |= flags::NO_PREALLOC,
        LruHash | LruPercpuHash if random.one_in(3) => bits |= flags::NO_COMMON_LRU,
        _ => {}
    }
    if matches!(map_type, BloomFilter | Hash | LruHash | PercpuHash | LruPercpuHash) {
        bits |= flags::ZERO_SEED;
    }
    (MapSpec::new(map_type, key, value, entries).with_flags(bits), operations)
}

fn page(spec: &MapSpec, operation: Operation, random: &mut Random) -> [u8; PAGE] {
    let mut page = [0; PAGE];
    let number = random.below(2 * u64::from(spec.max_entries.min(1000)) + 2);
    match spec.map_type {
        MapType::LpmTrie => {
            let bits = 8 * (u64::from(spec.key_size) - 4);
            let prefix = if random.one_in(30) { bits + 1 } else { random.below(bits + 1) };
            page[..4].copy_from_slice(&(prefix as u32).to_ne_bytes());
            page[4..spec.key_size as usize].fill_with(|| random.pick(&[0, 0, 1, 0x80, 0xff]));
        }
        _ => page[..8].copy_from_slice(&number.to_ne_bytes()),
    }
    page[VALUE..FLAGS].fill_with(|| random.next() as u8);
    if matches!(spec.map_type, MapType::BloomFilter) {
        page[VALUE..FLAGS].fill(random.below(30) as u8);
    }
    let bits = match operation {
        LookupPercpu => random.below(4),
        RingQuery => random.below(5),
        _ => random.pick(&[0, 0, 0, 0, 0, 1, 2, 3, 4, 8, 1 << 40]),
    };
    page[FLAGS..SIZE].copy_from_slice(&bits.to_ne_bytes());
    page[SIZE..RESULT].copy_from_slice(&random.below(128).to_ne_bytes());
    page
}

#[test]
fn programs_see_the_same() {
    if let Some(reason) = unavailable() {
        println!("skipped: {reason}");
        return;
    }
    assert!(stay_on_first_cpu(), "this thread can stay on one CPU");
    let mut random = Random(setting("SANDBPF_KERNEL_SEED", 1) ^ 0x70726f67);
    let operations = setting("SANDBPF_KERNEL_OPERATIONS", 200_000);
    let environment = Environment { cpus: possible_cpus(), ..Environment::default() };
    let page_spec = MapSpec::new(MapType::Array, 4, PAGE as u32, 1);
    let index = 0u32.to_ne_bytes();
    let mut types = BTreeMap::<MapType, u64>::new();
    let mut done = 0;
    while done < operations {
        let (spec, choices) = spec(&mut random);
        let ours: Arc<Map> = Map::create(spec.clone(), &environment).expect("we take it");
        let theirs = KernelMap::create(&spec, None).expect("the kernel takes it");
        let shared = KernelMap::create(&page_spec, None).expect("an array");
        let mut programs = BTreeMap::new();
        for &operation in choices {
            let load = || KernelProgram::load(&operation.code(&theirs, &shared, spec.value_size));
            programs.entry(operation).or_insert_with(|| {
                load()
                    .unwrap_or_else(|errno| panic!("the kernel answers {errno} to {operation:?} on {spec:?}"))
            });
        }
        for _ in 0..2000 {
            let operation = random.pick(choices);
            let mut here = page(&spec, operation, &mut random);
            let before = here;
            shared.update(&index, &here, 0).expect("arguments");
            programs[&operation].run().expect("it runs");
            let mut there = [0; PAGE];
            shared.lookup_into(&index, &mut there, 0).expect("results");
            operation.here(&ours, &mut here);
            assert_eq!(here[..], there[..], "{operation:?} with {before:?} on {spec:?}");
            // What the user sees afterwards, now and then.
            if spec.key_size > 0 && random.one_in(20) {
                let key = &before[..spec.key_size as usize];
                let mut value = vec![0; ours.user().value_size()];
                let seen = theirs.lookup_into(key, &mut value, 0).map(|()| value);
                assert_eq!(ours.user().lookup(key, 0), seen, "afterwards, {spec:?}");
                assert_eq!(
                    ours.user().next_key(Some(key)),
                    theirs.next_key(Some(key)),
                    "afterwards, {spec:?}"
                );
            }
        }
        *types.entry(spec.map_type).or_default() += 2000;
        done += 2000;
    }
    println!("{done} operations of programs: {types:?}");
}
