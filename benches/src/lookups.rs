//! Loops that look up keys: in maps from programs, in tables of Rust's from Rust.

use std::hint::black_box;

use hashbrown::HashTable;
use sandbpf::maps::{MapSpec, MapType, typed};
use sandbpf::{Engine, Loader, Maps, Runner, Xdp};

use crate::input;
use crate::rounds::{Entry, Subject};

/// Why a map cannot be made or a program not be loaded.
pub type Failure = Box<dyn std::error::Error>;

/// Keys of a packet.
pub const KEYS: u32 = 32;

/// Packets, which differ.
const PACKETS: usize = 256;

/// A map of some size, and who looks up keys in it.
pub struct Table {
    /// Bytes of a key.
    pub key_size: usize,
    /// A native table, a compiled program, an interpreted one.
    pub subjects: Vec<Entry>,
}

/// An array, and who reads it.
pub struct ArrayOf {
    /// Plain loads by a program first.
    pub subjects: Vec<Entry>,
    /// What they are.
    pub names: Vec<&'static str>,
}

const LOOK_UP: &str = "r1 = map[fd:0]
         r2 = r6
         call 1
         if r0 == 0 goto absent
         r0 = *(u64 *)(r0 + 0)
         r9 += r0
         absent:";
const UPDATE: &str = "r1 = map[fd:0]
         r2 = r6
         r3 = r10
         r3 += -8
         r4 = 0
         call 2
";
const DELETE: &str = "r1 = map[fd:0]
         r2 = r6
         call 3
";

/// A program that looks up the keys of its packet in map 0 and adds the values.
pub fn program(key_size: usize) -> String {
    doing(key_size, LOOK_UP)
}

/// A program that does something with each key of its packet. A value is at `r10 - 8`.
fn doing(key_size: usize, middle: &str) -> String {
    format!(
        "r6 = *(u32 *)(r1 + 0)
         r7 = *(u32 *)(r1 + 4)
         r0 = 1
         r1 = r6
         r1 += {}
         if r1 > r7 goto end
         r8 = 7
         *(u64 *)(r10 - 8) = r8
         r8 = {KEYS}
         r9 = 0
         next:
         {middle}
         r6 += {key_size}
         r8 -= 1
         if r8 != 0 goto next
         r0 = r9
         end: exit",
        KEYS as usize * key_size
    )
}

/// The same without a map: adds the first four bytes of each key.
fn plain(key_size: usize) -> String {
    doing(key_size, "r0 = *(u32 *)(r6 + 0)\nr9 += r0")
}

fn key<const SIZE: usize>(number: u64) -> [u8; SIZE] {
    let mut key = [0; SIZE];
    let words = input::words(number << 8);
    for (at, (byte, from)) in key.iter_mut().zip(words.flat_map(u64::to_le_bytes)).enumerate() {
        // Keys differ because the number is in them, whatever the rest is.
        *byte = if at < 4 { (number >> (8 * at)) as u8 } else { from };
    }
    key
}

/// Packets of keys that are present.
fn packets<const SIZE: usize>(entries: u32) -> Vec<Vec<u8>> {
    let mut numbers = input::words(u64::from(entries)).map(|word| word % u64::from(entries));
    let mut packet = || numbers.by_ref().take(KEYS as usize).flat_map(key::<SIZE>).collect();
    (0..PACKETS).map(|_| packet()).collect()
}

/// A hash map of so many entries.
pub fn hash<const SIZE: usize>(entries: u32) -> Result<Table, Failure> {
    let packets = packets::<SIZE>(entries);
    let maps = Maps::new();
    maps.create(MapSpec::new(MapType::Hash, SIZE as u32, 8, entries).with_name("table"))?;
    let view = maps.get::<typed::HashMap<[u8; SIZE], u64>>("table")?;
    let mut native = Native::<SIZE> { table: HashTable::new(), packets: packets.clone(), at: 0 };
    for number in 0..u64::from(entries) {
        view.insert(key(number), number)?;
        native.insert(key(number), number);
    }
    let program = program(SIZE);
    let mut subjects: Vec<Entry> = vec![Some(Box::new(native))];
    for engine in [Engine::Jit, Engine::Interpreter] {
        subjects.push(looking(&maps, engine, &program, &packets)?);
    }
    Ok(Table { key_size: SIZE, subjects })
}

/// The operations on a map besides lookups that stay what they are, each beside a native one where there is such.
pub fn operations() -> Result<Vec<(&'static str, [Entry; 3])>, Failure> {
    // As many keys as all packets have, each once.
    const ENTRIES: u32 = KEYS * PACKETS as u32;
    let mut numbers = 0..u64::from(ENTRIES);
    let mut packet = || numbers.by_ref().take(KEYS as usize).flat_map(key::<8>).collect();
    let packets: Vec<Vec<u8>> = (0..PACKETS).map(|_| packet()).collect();
    let operation = |map_type, room, middle: &str, change: Option<Change>| -> Result<[Entry; 3], Failure> {
        let maps = Maps::new();
        maps.create(MapSpec::new(map_type, 8, 8, room).with_name("table"))?;
        let view = maps.get::<typed::HashMap<[u8; 8], u64>>("table")?;
        let mut native = Native::<8> { table: HashTable::new(), packets: packets.clone(), at: 0 };
        for number in 0..u64::from(ENTRIES) {
            view.insert(key(number), number)?;
            native.insert(key(number), number);
        }
        let program = doing(8, middle);
        let native: Entry = change.map(|change| Box::new(Changing { native, change }) as _);
        let jit = looking(&maps, Engine::Jit, &program, &packets)?;
        Ok([native, jit, looking(&maps, Engine::Interpreter, &program, &packets)?])
    };
    use MapType::{Hash, LruHash};
    Ok(vec![
        ("update a value", operation(Hash, ENTRIES, UPDATE, Some(update))?),
        ("delete and insert", operation(Hash, ENTRIES, &[DELETE, UPDATE].concat(), Some(delete_and_insert))?),
        ("look up, LRU", operation(LruHash, ENTRIES, LOOK_UP, None)?),
        ("update a value, LRU", operation(LruHash, ENTRIES, UPDATE, None)?),
        // What was put in is gone when it comes again.
        ("insert and evict, LRU", operation(LruHash, ENTRIES / 2, UPDATE, None)?),
    ])
}

/// What is done to a key of a native table.
type Change = fn(&mut HashTable<([u8; 8], u64)>, &[u8; 8]);

fn update(table: &mut HashTable<([u8; 8], u64)>, key: &[u8; 8]) {
    if let Some((_, value)) = table.find_mut(hash_of(key), |(own, _)| own == key) {
        *value = 7;
    }
}

fn delete_and_insert(table: &mut HashTable<([u8; 8], u64)>, key: &[u8; 8]) {
    if let Ok(entry) = table.find_entry(hash_of(key), |(own, _)| own == key) {
        entry.remove();
    }
    table.insert_unique(hash_of(key), (*key, 7), |(key, _)| hash_of(key));
}

/// The same loop in Rust, changing the table.
struct Changing {
    native: Native<8>,
    change: Change,
}

impl Subject for Changing {
    fn batch(&mut self, count: u32) -> u64 {
        for _ in 0..count {
            let packet = &self.native.packets[self.native.at % PACKETS];
            for key in black_box(packet).as_chunks::<8>().0 {
                (self.change)(black_box(&mut self.native.table), key);
            }
            self.native.at += 1;
        }
        0
    }
}

/// An array of 1024 words.
pub fn array() -> Result<ArrayOf, Failure> {
    const ENTRIES: u32 = 1024;
    let packets = packets::<4>(ENTRIES);
    let maps = Maps::new();
    maps.create(MapSpec::new(MapType::Array, 4, 8, ENTRIES).with_name("array"))?;
    let view = maps.get::<typed::Array<u64>>("array")?;
    for index in 0..ENTRIES {
        view.set(index, u64::from(index))?;
    }
    let (plain, lookup) = (plain(4), program(4));
    let subjects = vec![
        looking(&maps, Engine::Jit, &plain, &packets)?,
        looking(&maps, Engine::Jit, &lookup, &packets)?,
        looking(&maps, Engine::Interpreter, &plain, &packets)?,
        looking(&maps, Engine::Interpreter, &lookup, &packets)?,
    ];
    let names = vec![
        "jit, a plain load",
        "jit, bpf_map_lookup_elem",
        "interpreter, a plain load",
        "interpreter, bpf_map_lookup_elem",
    ];
    Ok(ArrayOf { subjects, names })
}

fn looking(maps: &Maps, engine: Engine, program: &str, packets: &[Vec<u8>]) -> Result<Entry, Failure> {
    let loaded = Loader::new().engine(engine).maps(maps).verified(true).load::<Xdp>(program);
    if engine == Engine::Jit && loaded.as_ref().is_err_and(|error| error.verify().is_none()) {
        // There is no machine code for this processor.
        return Ok(None);
    }
    Ok(Some(Box::new(Looking { runner: loaded?.runner(), packets: packets.to_vec(), at: 0 })))
}

struct Looking {
    runner: Runner<Xdp>,
    packets: Vec<Vec<u8>>,
    at: usize,
}

impl Subject for Looking {
    fn batch(&mut self, count: u32) -> u64 {
        let mut result = 0;
        for _ in 0..count {
            let packet = &self.packets[self.at % PACKETS];
            let action = self.runner.run(black_box(packet)).expect("the program ends");
            result = black_box(action.to_u32());
            self.at += 1;
        }
        result.into()
    }
}

/// The same loop in Rust.
struct Native<const SIZE: usize> {
    table: HashTable<([u8; SIZE], u64)>,
    packets: Vec<Vec<u8>>,
    at: usize,
}

impl<const SIZE: usize> Native<SIZE> {
    fn insert(&mut self, key: [u8; SIZE], value: u64) {
        self.table.insert_unique(hash_of(&key), (key, value), |(key, _)| hash_of(key));
    }
}

#[inline(never)]
fn sum<const SIZE: usize>(table: &HashTable<([u8; SIZE], u64)>, packet: &[u8]) -> u64 {
    let (keys, _) = packet.as_chunks::<SIZE>();
    let value =
        |key: &[u8; SIZE]| table.find(hash_of(key), |(own, _)| own == key).map_or(0, |(_, value)| *value);
    keys.iter().map(value).fold(0, u64::wrapping_add)
}

impl<const SIZE: usize> Subject for Native<SIZE> {
    fn batch(&mut self, count: u32) -> u64 {
        let mut result = 0;
        for _ in 0..count {
            let packet = &self.packets[self.at % PACKETS];
            result = black_box(sum(black_box(&self.table), black_box(packet))) & u64::from(u32::MAX);
            self.at += 1;
        }
        result
    }
}

/// The hash that maps have, with a seed of one's own.
#[inline(always)]
fn hash_of<const SIZE: usize>(key: &[u8; SIZE]) -> u64 {
    sandbpf::maps::hash_of(key, 7)
}
