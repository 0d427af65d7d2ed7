//! Views of maps whose elements stand for something else: maps, programs, devices, CPUs, sockets.

use super::*;
use crate::objects::Object;

views! {
    /// An array of maps, which all are what the view inside is of.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Map, MapSpec, MapType, typed::{Array, ArrayOfMaps, View}};
    /// let inner = MapSpec::new(MapType::Array, 4, 8, 1);
    /// let outer = MapSpec::new(MapType::ArrayOfMaps, 4, 4, 2).with_inner(inner.clone());
    /// let outer = ArrayOfMaps::<Array<u64>>::of(Map::create(outer, &Environment::default())?, "outer")?;
    /// let counts = Array::of(Map::create(inner, &Environment::default())?, "counts")?;
    /// outer.set(1, &counts)?;
    /// counts.set(0, 7)?;
    /// assert_eq!(outer.get(1)?.unwrap().get(0)?, Some(7));
    /// assert!(outer.get(0)?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ArrayOfMaps<V: View> "array_of_maps" [ArrayOfMaps] Some(4), Some(4);

    /// A hash of maps, which all are what the view inside is of.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Map, MapSpec, MapType, typed::{HashMap, HashOfMaps, View}};
    /// let inner = MapSpec::new(MapType::Hash, 4, 8, 16);
    /// let outer = MapSpec::new(MapType::HashOfMaps, 2, 4, 8).with_inner(inner.clone());
    /// let outer = HashOfMaps::<u16, HashMap<u32, u64>>::of(Map::create(outer, &Environment::default())?, "ports")?;
    /// let flows = HashMap::of(Map::create(inner, &Environment::default())?, "flows")?;
    /// outer.insert(443, &flows)?;
    /// flows.insert(1, 2)?;
    /// assert_eq!(outer.get(443)?.unwrap().get(1)?, Some(2));
    /// assert_eq!((outer.keys().collect::<Vec<_>>(), outer.remove(443)?), (vec![443], true));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    HashOfMaps<K: Key, V: View> "hash_of_maps" [HashOfMaps] Some(K::SIZE), Some(4);

    /// Programs to tail-call, by the numbers that their host gives them.
    ProgArray<> "prog_array" [ProgArray] Some(4), None;

    /// Network devices, by index or by key.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Map, MapSpec, MapType, typed::{DevMap, View}};
    /// let spec = MapSpec::new(MapType::DevmapHash, 4, 8, 4);
    /// let ports = DevMap::of(Map::create(spec, &Environment::default())?, "ports")?;
    /// ports.set(80, 3, None)?;
    /// assert_eq!((ports.get(80), ports.get(81)), (Some((3, None)), None));
    /// assert!(ports.remove(80)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    DevMap<> "devmap" [Devmap DevmapHash] Some(4), None;

    /// CPUs that packets are redirected to.
    CpuMap<> "cpumap" [Cpumap] Some(4), None;

    /// Sockets by their cookies: `AF_XDP` sockets, and others.
    SockMap<> "sockmap" [Sockmap Xskmap ReuseportSockarray] Some(4), None;

    /// Sockets by key.
    SockHash<K: Key> "sockhash" [Sockhash] Some(K::SIZE), None;
}

/// Whether something was there to remove.
fn removed(result: Result<(), Errno>) -> Result<bool, Errno> {
    optional(result).map(|gone| gone.is_some())
}

impl<V: View> ArrayOfMaps<V> {
    /// The map at `index`, if there is one.
    pub fn get(&self, index: u32) -> Result<Option<V>, MapError> {
        inner(&self.map, &index.to_ne_bytes())
    }

    /// Puts a map in; `EINVAL` unless it is like the pattern.
    pub fn set(&self, index: u32, map: &V) -> Result<(), Errno> {
        self.map.user().set_object(&index.to_ne_bytes(), Object::Map(Arc::clone(map.map())), ANY)
    }

    /// Takes a map out; says whether there was one.
    pub fn remove(&self, index: u32) -> Result<bool, Errno> {
        removed(self.map.user().delete(&index.to_ne_bytes()))
    }
}

impl<K: Key, V: View> HashOfMaps<K, V> {
    /// The map of `key`, if there is one.
    pub fn get(&self, key: K) -> Result<Option<V>, MapError> {
        inner(&self.map, &key.to_bytes())
    }

    /// Puts a map in; `EINVAL` unless it is like the pattern.
    pub fn insert(&self, key: K, map: &V) -> Result<(), Errno> {
        self.map.user().set_object(&key.to_bytes(), Object::Map(Arc::clone(map.map())), ANY)
    }

    /// Takes a map out; says whether there was one.
    pub fn remove(&self, key: K) -> Result<bool, Errno> {
        removed(self.map.user().delete(&key.to_bytes()))
    }

    /// All keys, in no order that means anything.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        pairs(&self.map).map(|(key, _)| K::read(&key))
    }
}

fn inner<V: View>(outer: &Map, key: &[u8]) -> Result<Option<V>, MapError> {
    outer.inner(key).map(|map| V::of(map, &outer.spec().name)).transpose()
}

impl ProgArray {
    /// The number of the program at `index`.
    pub fn get(&self, index: u32) -> Option<u32> {
        self.map.program(index)
    }

    /// Puts a program in, by its number.
    pub fn set(&self, index: u32, program: u32) -> Result<(), Errno> {
        self.map.user().set_object(&index.to_ne_bytes(), Object::Program(program), ANY)
    }

    /// Takes a program out; says whether there was one.
    pub fn remove(&self, index: u32) -> Result<bool, Errno> {
        removed(self.map.user().delete(&index.to_ne_bytes()))
    }
}

impl DevMap {
    /// The index of the device, and the number of the program that runs before it sends.
    pub fn get(&self, key: u32) -> Option<(u32, Option<u32>)> {
        match self.map.object(&key.to_ne_bytes())? {
            Object::Device { ifindex, program } => Some((ifindex, program)),
            _ => None,
        }
    }

    /// Puts a device in.
    pub fn set(&self, key: u32, ifindex: u32, program: Option<u32>) -> Result<(), Errno> {
        self.map.user().set_object(&key.to_ne_bytes(), Object::Device { ifindex, program }, ANY)
    }

    /// Takes a device out; says whether there was one, or could have been.
    pub fn remove(&self, key: u32) -> Result<bool, Errno> {
        removed(self.map.user().delete(&key.to_ne_bytes()))
    }
}

impl CpuMap {
    /// How many packets may wait for a CPU, and the number of the program that runs there.
    pub fn get(&self, cpu: u32) -> Option<(u32, Option<u32>)> {
        match self.map.object(&cpu.to_ne_bytes())? {
            Object::Cpu { queue, program } => Some((queue, program)),
            _ => None,
        }
    }

    /// Puts a CPU in; a queue without room takes it out.
    pub fn set(&self, cpu: u32, queue: u32, program: Option<u32>) -> Result<(), Errno> {
        self.map.user().set_object(&cpu.to_ne_bytes(), Object::Cpu { queue, program }, ANY)
    }
}

fn cookie(map: &Map, key: &[u8]) -> Option<u64> {
    match map.object(key)? {
        Object::Socket(cookie) => Some(cookie),
        _ => None,
    }
}

impl SockMap {
    /// The cookie of the socket at `index`.
    pub fn get(&self, index: u32) -> Option<u64> {
        cookie(&self.map, &index.to_ne_bytes())
    }

    /// Puts a socket in.
    pub fn set(&self, index: u32, cookie: u64) -> Result<(), Errno> {
        self.map.user().set_object(&index.to_ne_bytes(), Object::Socket(cookie), ANY)
    }
}

impl<K: Key> SockHash<K> {
    /// The cookie of the socket of `key`.
    pub fn get(&self, key: K) -> Option<u64> {
        cookie(&self.map, &key.to_bytes())
    }

    /// Puts a socket in.
    pub fn insert(&self, key: K, cookie: u64) -> Result<(), Errno> {
        self.map.user().set_object(&key.to_bytes(), Object::Socket(cookie), ANY)
    }

    /// Takes a socket out; says whether there was one.
    pub fn remove(&self, key: K) -> Result<bool, Errno> {
        removed(self.map.user().delete(&key.to_bytes()))
    }
}
