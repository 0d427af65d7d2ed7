//! Maps as Rust users see them: keys and values of Rust types.
//!
//! A view is a map that has the right type and sizes; [`crate::MapTable::get`] checks that once. Everything
//! else is the user's side ([`crate::User`]), so the same error numbers come out.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::MapType;
use crate::errno::Errno;
use crate::flags::{ANY, EXIST, NOEXIST};
use crate::map::Map;
use crate::map_table::MapError;
use crate::plain::{Key, Value};

/// A typed view of a map.
pub trait View: Sized {
    /// The view of this map, called `name`, if it is one.
    fn of(map: Arc<Map>, name: &str) -> Result<Self, MapError>;

    /// The map.
    fn map(&self) -> &Arc<Map>;

    /// No user can change the map from now on; programs still can (`BPF_MAP_FREEZE`).
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Errno, Map, MapSpec, MapType, typed::{Array, View}};
    /// let limits = Map::create(MapSpec::new(MapType::Array, 4, 4, 1), &Environment::default())?;
    /// let limits = Array::<u32>::of(limits, "limits")?;
    /// limits.set(0, 100)?;
    /// limits.freeze()?;
    /// assert_eq!((limits.set(0, 200), limits.get(0)?), (Err(Errno::EPERM), Some(100)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn freeze(&self) -> Result<(), Errno> {
        self.map().user().freeze()
    }
}

/// Refuses a map that is not what a view is of.
fn check(
    map: &Map,
    name: &str,
    expected: &'static str,
    types: &[MapType],
    key: Option<usize>,
    value: Option<usize>,
) -> Result<(), MapError> {
    let spec = map.spec();
    if !types.contains(&spec.map_type) {
        return Err(MapError::Type { name: name.into(), expected, found: spec.map_type });
    }
    for (what, expected, found) in [("key", key, spec.key_size), ("value", value, spec.value_size)] {
        match expected {
            Some(expected) if expected != found as usize => {
                return Err(MapError::Size { name: name.into(), what, expected, found: found as usize });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Bytes that are lent from the stack, where they are few.
const FEW: usize = 64;

/// Lends the bytes of a key or a value.
fn lend<T: Value, R>(value: &T, work: impl FnOnce(&[u8]) -> R) -> R {
    let (mut few, mut many) = ([0; FEW], Vec::new());
    let bytes = room(&mut few, &mut many, T::SIZE);
    value.write(bytes);
    work(bytes)
}

/// Lends bytes for a value.
fn fill<T: Value, E>(work: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<T, E> {
    let (mut few, mut many) = ([0; FEW], Vec::new());
    let bytes = room(&mut few, &mut many, T::SIZE);
    work(bytes)?;
    Ok(T::read(bytes))
}

fn room<'r>(few: &'r mut [u8; FEW], many: &'r mut Vec<u8>, size: usize) -> &'r mut [u8] {
    if size > FEW {
        many.resize(size, 0);
        return many;
    }
    &mut few[..size]
}

/// An absent element is an answer here, not an error.
fn optional<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

macro_rules! views {
    ($($(#[$doc:meta])* $view:ident<$($param:ident: $bound:ident),*> $name:literal [$($types:ident)+] $key:expr, $value:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $view<$($param),*> {
            map: Arc<Map>,
            types: PhantomData<fn() -> ($($param,)*)>,
        }

        impl<$($param: $bound),*> View for $view<$($param),*> {
            fn of(map: Arc<Map>, name: &str) -> Result<Self, MapError> {
                check(&map, name, $name, &[$(MapType::$types),+], $key, $value)?;
                Ok($view { map, types: PhantomData })
            }

            fn map(&self) -> &Arc<Map> {
                &self.map
            }
        }
    )*};
}

mod memory;
mod objects;

pub use memory::{Arena, StackTrace, Storage};
pub use objects::{ArrayOfMaps, CpuMap, DevMap, HashOfMaps, ProgArray, SockHash, SockMap};

views! {
    /// A hash, evicting or not.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Map, MapSpec, MapType, typed::{HashMap, View}};
    /// let map = Map::create(MapSpec::new(MapType::Hash, 6, 8, 4), &Environment::default())?;
    /// let view = HashMap::<(u32, u16), u64>::of(map, "flows")?;
    /// view.insert((1, 80), 10)?;
    /// view.insert((1, 443), 20)?;
    /// assert_eq!(view.remove((1, 80))?, Some(10));
    /// assert_eq!(view.iter().collect::<Vec<_>>(), [((1, 443), 20)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    HashMap<K: Key, V: Value> "hash" [Hash LruHash] Some(K::SIZE), Some(V::SIZE);

    /// An array.
    Array<V: Value> "array" [Array] Some(4), Some(V::SIZE);

    /// An array with a value for each CPU.
    PerCpuArray<V: Value> "percpu_array" [PercpuArray] Some(4), Some(V::SIZE);

    /// A hash with a value for each CPU, evicting or not.
    PerCpuHashMap<K: Key, V: Value> "percpu_hash" [PercpuHash LruPercpuHash] Some(K::SIZE), Some(V::SIZE);

    /// A trie of prefixes; a key is the number of its bits and its bytes.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Map, MapSpec, MapType, flags, typed::{LpmTrie, View}};
    /// let spec = MapSpec::new(MapType::LpmTrie, 8, 4, 16).with_flags(flags::NO_PREALLOC);
    /// let routes = LpmTrie::<[u8; 4], u32>::of(Map::create(spec, &Environment::default())?, "routes")?;
    /// routes.insert(8, [10, 0, 0, 0], 1)?;
    /// routes.insert(16, [10, 1, 0, 0], 2)?;
    /// assert_eq!(routes.longest([10, 1, 2, 3])?, Some(2));
    /// assert_eq!(routes.longest([10, 9, 2, 3])?, Some(1));
    /// assert_eq!(routes.longest([11, 1, 2, 3])?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    LpmTrie<K: Key, V: Value> "lpm_trie" [LpmTrie] Some(4 + K::SIZE), Some(V::SIZE);

    /// A queue, first in, first out.
    Queue<V: Value> "queue" [Queue] None, Some(V::SIZE);

    /// A stack, last in, first out.
    Stack<V: Value> "stack" [Stack] None, Some(V::SIZE);

    /// A Bloom filter.
    BloomFilter<V: Value> "bloom_filter" [BloomFilter] None, Some(V::SIZE);

    /// A ring buffer that programs write.
    RingBuf<> "ringbuf" [Ringbuf] None, None;

    /// A ring buffer that programs read.
    UserRingBuf<> "user_ringbuf" [UserRingbuf] None, None;

    /// What programs write with `bpf_perf_event_output`.
    PerfEventArray<> "perf_event_array" [PerfEventArray] None, None;
}

impl<K: Key, V: Value> HashMap<K, V> {
    /// The value of `key`.
    pub fn get(&self, key: K) -> Result<Option<V>, Errno> {
        let user = self.map.user();
        optional(lend(&key, |key| fill(|value| user.lookup_into(key, value, 0))))
    }

    /// Inserts or replaces.
    pub fn insert(&self, key: K, value: V) -> Result<(), Errno> {
        self.put(key, value, ANY)
    }

    /// Inserts; `EEXIST` if `key` is there.
    pub fn insert_new(&self, key: K, value: V) -> Result<(), Errno> {
        self.put(key, value, NOEXIST)
    }

    /// Replaces; `ENOENT` if `key` is not there.
    pub fn replace(&self, key: K, value: V) -> Result<(), Errno> {
        self.put(key, value, EXIST)
    }

    fn put(&self, key: K, value: V, flags: u64) -> Result<(), Errno> {
        lend(&key, |key| lend(&value, |value| self.map.user().update(key, value, flags)))
    }

    /// Takes the value of `key` out.
    pub fn remove(&self, key: K) -> Result<Option<V>, Errno> {
        let value = self.map.user().lookup_and_delete(&key.to_bytes(), 0);
        optional(value).map(|value| value.map(|value| V::read(&value)))
    }

    /// Keys and values, in no order that means anything. What changes meanwhile may be missed.
    pub fn iter(&self) -> impl Iterator<Item = (K, V)> {
        pairs(&self.map).map(|(key, value)| (K::read(&key), V::read(&value)))
    }

    /// All keys and values, a batch at a time: quicker than [`HashMap::iter`], and no key comes twice or is missed
    /// because another one goes (`BPF_MAP_LOOKUP_BATCH`).
    pub fn entries(&self) -> Result<Vec<(K, V)>, Errno> {
        self.batches(false)
    }

    /// Takes all keys and values out (`BPF_MAP_LOOKUP_AND_DELETE_BATCH`).
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Map, MapSpec, MapType, typed::{HashMap, View}};
    /// let map = Map::create(MapSpec::new(MapType::Hash, 4, 8, 1000), &Environment::default())?;
    /// let counts = HashMap::<u32, u64>::of(map, "counts")?;
    /// counts.insert_all((0..1000).map(|key| (key, 2 * u64::from(key))))?;
    /// assert_eq!(counts.entries()?.len(), 1000);
    /// let mut taken = counts.drain()?;
    /// taken.sort();
    /// assert_eq!((taken.len(), taken[7], counts.iter().count()), (1000, (7, 14), 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drain(&self) -> Result<Vec<(K, V)>, Errno> {
        self.batches(true)
    }

    /// Inserts or replaces many (`BPF_MAP_UPDATE_BATCH`); the first that cannot be put in ends it.
    pub fn insert_all(&self, elements: impl IntoIterator<Item = (K, V)>) -> Result<(), Errno> {
        let elements: Vec<_> =
            elements.into_iter().map(|(key, value)| (key.to_bytes(), value.to_bytes())).collect();
        let borrowed: Vec<(&[u8], &[u8])> =
            elements.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        match self.map.user().update_batch(&borrowed, ANY)?.end {
            Some(errno) => Err(errno),
            None => Ok(()),
        }
    }

    fn batches(&self, delete: bool) -> Result<Vec<(K, V)>, Errno> {
        let user = self.map.user();
        let (mut found, mut from, mut count) = (Vec::new(), None::<Vec<u8>>, 256);
        loop {
            let batch = match delete {
                true => user.lookup_and_delete_batch(from.as_deref(), count, ANY)?,
                false => user.lookup_batch(from.as_deref(), count, ANY)?,
            };
            let read = |(key, value): (Vec<u8>, Vec<u8>)| (K::read(&key), V::read(&value));
            found.extend(batch.elements.into_iter().map(read));
            match batch.end {
                None => from = batch.next,
                Some(Errno::ENOENT) => return Ok(found),
                // A bucket has more than fits.
                Some(Errno::ENOSPC) if count <= self.map.spec().max_entries => {
                    (from, count) = (batch.next.or(from), count.saturating_mul(4));
                }
                Some(errno) => return Err(errno),
            }
        }
    }
}

/// Keys and values as the user's side has them. The walk starts anew when its key is deleted, as that
/// of `BPF_MAP_GET_NEXT_KEY` does, so it ends after as many steps as there can be elements.
fn pairs(map: &Map) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let user = map.user();
    let mut at: Option<Vec<u8>> = None;
    let keys = std::iter::from_fn(move || {
        at = Some(user.next_key(at.as_deref()).ok()?);
        at.clone()
    });
    let keys = keys.take(map.spec().max_entries as usize);
    keys.filter_map(move |key| user.lookup(&key, 0).ok().map(|value| (key, value)))
}

impl<V: Value> Array<V> {
    /// The value at `index`; `None` beyond the end.
    pub fn get(&self, index: u32) -> Result<Option<V>, Errno> {
        optional(fill(|value| self.map.user().lookup_into(&index.to_ne_bytes(), value, 0)))
    }

    /// Sets the value at `index`; `E2BIG` beyond the end.
    pub fn set(&self, index: u32, value: V) -> Result<(), Errno> {
        lend(&value, |value| self.map.user().update(&index.to_ne_bytes(), value, ANY))
    }

    /// How many values there are.
    pub fn len(&self) -> u32 {
        self.map.spec().max_entries
    }

    /// Never: an array has at least one value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = V> {
        (0..self.len()).map_while(|index| self.get(index).ok().flatten())
    }
}

/// Every CPU's part of a value.
fn parts<V: Value>(value: &[u8]) -> Vec<V> {
    value.chunks(V::SIZE.next_multiple_of(8).max(8)).map(V::read).collect()
}

/// The inverse of [`parts`]; `EINVAL` unless there is one for each CPU.
fn joined<V: Value>(map: &Map, values: &[V]) -> Result<Vec<u8>, Errno> {
    if values.len() != map.cpus() as usize {
        return Err(Errno::EINVAL);
    }
    let padded = V::SIZE.next_multiple_of(8).max(8);
    let mut bytes = vec![0; padded * values.len()];
    for (bytes, value) in bytes.chunks_mut(padded).zip(values) {
        value.write(bytes);
    }
    Ok(bytes)
}

impl<V: Value> PerCpuArray<V> {
    /// The values at `index`, one for each CPU; `None` beyond the end.
    pub fn get(&self, index: u32) -> Result<Option<Vec<V>>, Errno> {
        optional(self.map.user().lookup(&index.to_bytes(), 0)).map(|value| value.map(|value| parts(&value)))
    }

    /// Sets the values at `index`, one for each CPU.
    pub fn set(&self, index: u32, values: &[V]) -> Result<(), Errno> {
        self.map.user().update(&index.to_bytes(), &joined(&self.map, values)?, ANY)
    }
}

impl<K: Key, V: Value> PerCpuHashMap<K, V> {
    /// The values of `key`, one for each CPU.
    pub fn get(&self, key: K) -> Result<Option<Vec<V>>, Errno> {
        optional(self.map.user().lookup(&key.to_bytes(), 0)).map(|value| value.map(|value| parts(&value)))
    }

    /// Inserts or replaces the values of all CPUs.
    pub fn insert(&self, key: K, values: &[V]) -> Result<(), Errno> {
        self.map.user().update(&key.to_bytes(), &joined(&self.map, values)?, ANY)
    }

    /// Takes the values of `key` out.
    pub fn remove(&self, key: K) -> Result<Option<Vec<V>>, Errno> {
        let value = self.map.user().lookup_and_delete(&key.to_bytes(), 0);
        optional(value).map(|value| value.map(|value| parts(&value)))
    }

    /// Keys and values, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (K, Vec<V>)> {
        pairs(&self.map).map(|(key, value)| (K::read(&key), parts(&value)))
    }
}

impl<K: Key, V: Value> LpmTrie<K, V> {
    /// The value of the longest prefix that contains `key`.
    pub fn longest(&self, key: K) -> Result<Option<V>, Errno> {
        let value = self.map.user().lookup(&(8 * K::SIZE as u32, key).to_bytes(), 0);
        optional(value).map(|value| value.map(|value| V::read(&value)))
    }

    /// Inserts or replaces the prefix of so many bits.
    pub fn insert(&self, bits: u32, key: K, value: V) -> Result<(), Errno> {
        self.map.user().update(&(bits, key).to_bytes(), &value.to_bytes(), ANY)
    }

    /// Removes the prefix; says whether it was there.
    pub fn remove(&self, bits: u32, key: K) -> Result<bool, Errno> {
        optional(self.map.user().delete(&(bits, key).to_bytes())).map(|gone| gone.is_some())
    }

    /// Prefixes and values, longer prefixes before those that contain them.
    pub fn iter(&self) -> impl Iterator<Item = (u32, K, V)> {
        pairs(&self.map).map(|(key, value)| {
            let (bits, key) = Value::read(&key);
            (bits, key, V::read(&value))
        })
    }
}

macro_rules! queues {
    ($($queue:ident)*) => {$(
        impl<V: Value> $queue<V> {
            /// Puts a value in; `E2BIG` if it is full.
            pub fn push(&self, value: V) -> Result<(), Errno> {
                self.map.user().update(&[], &value.to_bytes(), ANY)
            }

            /// Takes a value out.
            pub fn pop(&self) -> Result<Option<V>, Errno> {
                optional(self.map.user().lookup_and_delete(&[], 0)).map(|value| value.map(|value| V::read(&value)))
            }

            /// The value that [`Self::pop`] would take out.
            pub fn peek(&self) -> Result<Option<V>, Errno> {
                optional(self.map.user().lookup(&[], 0)).map(|value| value.map(|value| V::read(&value)))
            }
        }
    )*};
}

queues! { Queue Stack }

impl<V: Value> BloomFilter<V> {
    /// Puts a value in.
    pub fn insert(&self, value: V) -> Result<(), Errno> {
        self.map.user().update(&[], &value.to_bytes(), ANY)
    }

    /// Whether the value was put in; now and then this says yes to one that was not.
    pub fn contains(&self, value: V) -> Result<bool, Errno> {
        optional(self.map.user().lookup_into(&[], &mut value.to_bytes(), 0)).map(|found| found.is_some())
    }
}

impl RingBuf {
    /// Hands every finished record to `consumer`; how many there were.
    pub fn consume(&self, consumer: impl FnMut(&[u8])) -> Result<u64, Errno> {
        self.map.ring_consume(consumer)
    }

    /// All finished records.
    pub fn take(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let mut records = Vec::new();
        self.consume(|record| records.push(record.to_vec()))?;
        Ok(records)
    }
}

impl UserRingBuf {
    /// Puts a sample in.
    pub fn push(&self, data: &[u8]) -> Result<(), Errno> {
        self.map.user_ring_output(data)
    }
}

impl PerfEventArray {
    /// Opens the buffers of all CPUs.
    pub fn open(&self) -> Result<(), Errno> {
        let cpus = self.map.cpus().min(self.map.spec().max_entries);
        (0..cpus).try_for_each(|cpu| self.map.set_object(&cpu.to_ne_bytes(), crate::Object::PerfEvent, 0))
    }

    /// Takes out what programs wrote, and how many records were lost.
    pub fn take(&self) -> Result<(Vec<crate::PerfRecord>, u64), Errno> {
        self.map.perf_take()
    }
}
