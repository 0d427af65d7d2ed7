//! A map, as programs see it: keys to offsets in its value space.
//!
//! What a program may do with which type is the verifier's to say; here every operation on every type
//! answers, with the kernel's error number where the type does not have it. The user's side, `bpf(2)`,
//! is [`crate::User`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::MapType;
use crate::body::Body;
use crate::errno::Errno;
use crate::flags::{EXIST, F_LOCK, NOEXIST};
use crate::hash::Source;
use crate::shared::SharedBytes;
use crate::spec::{MapSpec, PAGE_SIZE};
use crate::storage::Storage;
use crate::values::{Flat, Values};

/// What a map is made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Environment {
    /// CPUs: how many values there are for each element of a map that has one for each CPU.
    pub cpus: u32,
    /// Bytes of values that one map may have; operations that need more answer `ENOMEM`.
    pub memory: u64,
    /// The seed of hash functions of maps that do not ask for zero. Linux draws it by lot.
    pub seed: u32,
}

impl Default for Environment {
    /// One CPU, a gigabyte, and a seed that is always the same, so that runs can be repeated.
    fn default() -> Self {
        Environment { cpus: 1, memory: 1 << 30, seed: 0x5eed }
    }
}

/// A map.
///
/// ```
/// use sandbpf_maps::{Environment, Map, MapSpec, MapType};
/// let map = Map::create(MapSpec::new(MapType::Hash, 4, 8, 16), &Environment::default())?;
/// map.update(&7u32.to_ne_bytes(), &1u64.to_ne_bytes(), 0, 0)?;
/// let offset = map.lookup(&7u32.to_ne_bytes(), 0).expect("it is there");
/// let (bytes, at, len) = map.bytes(offset).expect("an offset of a value");
/// bytes.update(at, 8, |count| count + 1);
/// assert_eq!((bytes.load(at, 8), len), (Some(2), 8));
/// # Ok::<(), sandbpf_maps::Errno>(())
/// ```
#[derive(Debug)]
pub struct Map {
    id: u32,
    spec: MapSpec,
    environment: Environment,
    frozen: AtomicBool,
    pub(crate) body: Body,
}

/// Whoever panics while others use a map does not do so in the middle of a change: nothing of ours calls back there.
impl std::panic::RefUnwindSafe for Map {}

static NEXT_ID: AtomicU32 = AtomicU32::new(1);

impl Map {
    /// Makes a map, if Linux would ([`MapSpec::check`]).
    pub fn create(spec: MapSpec, environment: &Environment) -> Result<Arc<Map>, Errno> {
        spec.check()?;
        if environment.cpus == 0 || environment.cpus > 1 << 16 {
            return Err(Errno::EINVAL);
        }
        let body = Body::new(&spec, environment)?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Map { id, spec, environment: *environment, frozen: AtomicBool::new(false), body }))
    }

    /// A number that no other map of this process has.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What it was asked to be.
    pub fn spec(&self) -> &MapSpec {
        &self.spec
    }

    /// The type.
    pub fn map_type(&self) -> MapType {
        self.spec.map_type
    }

    /// For how many CPUs it was made.
    pub fn cpus(&self) -> u32 {
        self.environment.cpus
    }

    /// Whether users can no longer change it (`BPF_MAP_FREEZE`).
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }

    /// Freezes it; says whether it was not frozen before.
    pub(crate) fn freeze(&self) -> bool {
        !self.frozen.swap(true, Ordering::AcqRel)
    }

    /// `bpf_map_lookup_elem`: the offset of the value of `key`, on this CPU.
    ///
    /// Elements of device and CPU maps are found as the structures that programs may read; maps of maps
    /// and programs answer [`Map::inner`] and [`Map::program`] instead.
    #[inline]
    pub fn lookup(&self, key: &[u8], cpu: u32) -> Option<u64> {
        let (values, slot) = match &self.body {
            Body::Hash(hash) => (&hash.values, u64::from(hash.lookup(key, true)?)),
            Body::Array(values) => {
                let index = index(key).filter(|&index| index < self.spec.max_entries)?;
                values.touch(index.into()).ok()?;
                (values, index.into())
            }
            _ => self.find(key, true)?,
        };
        Some(values.offset(slot, self.copy(values, cpu)))
    }

    /// `bpf_map_lookup_percpu_elem`: the offset of another CPU's value.
    pub fn lookup_percpu(&self, key: &[u8], cpu: u32) -> Option<u64> {
        if cpu >= self.cpus() || !self.map_type().is_per_cpu() {
            return None;
        }
        self.lookup(key, cpu)
    }

    /// Where the value of `key` is; `used` counts as a use for eviction.
    pub(crate) fn find(&self, key: &[u8], used: bool) -> Option<(&Values, u64)> {
        match &self.body {
            Body::Array(values) => {
                let index = index(key)?;
                values.touch((index < self.spec.max_entries).then_some(index)?.into()).ok()?;
                Some((values, index.into()))
            }
            Body::Hash(hash) => Some((&hash.values, hash.lookup(key, used)?.into())),
            Body::Lpm(lpm) => Some((&lpm.values, lpm.lookup(key)?.into())),
            Body::Storage(storage) => Some((&storage.values, storage.lookup(key)?.into())),
            Body::Objects(objects) => {
                let values = objects.values.as_ref()?;
                Some((values, values.slot_of(objects.offset(index(key)?)?)))
            }
            Body::ObjectHash(objects) if self.map_type() == MapType::DevmapHash => {
                Some((&objects.hash.values, objects.hash.lookup(key, false)?.into()))
            }
            Body::StructOps(ops) => {
                ops.values.touch((index(key)? == 0).then_some(0)?).ok()?;
                Some((&ops.values, 0))
            }
            Body::ObjectHash(_)
            | Body::Perf(..)
            | Body::Queue(_)
            | Body::Bloom(_)
            | Body::Stacks(_)
            | Body::Ring(_)
            | Body::UserRing(_)
            | Body::Arena(_) => None,
        }
    }

    /// The storage behind an offset of the value space: where its bytes are, at which one, and how many
    /// are left of the value (of the buffer or the page, for maps without elements).
    #[inline]
    pub fn bytes(&self, offset: u64) -> Option<(&SharedBytes, usize, usize)> {
        self.values().map_or_else(|| self.other_bytes(offset), |values| values.bytes(offset))
    }

    /// Where the values are, if they lie in one piece as long as the map is there: for machine code.
    #[doc(hidden)]
    pub fn flat(&self) -> Option<Flat> {
        self.values()?.flat()
    }

    fn other_bytes(&self, offset: u64) -> Option<(&SharedBytes, usize, usize)> {
        match &self.body {
            Body::Ring(ring) | Body::UserRing(ring) => ring.bytes(offset),
            Body::Arena(arena) => {
                let (page, at) = (offset / u64::from(PAGE_SIZE), (offset % u64::from(PAGE_SIZE)) as usize);
                let bytes = arena.page(u32::try_from(page).ok()?)?;
                Some((bytes, at, bytes.len() - at))
            }
            _ => None,
        }
    }

    fn values(&self) -> Option<&Values> {
        match &self.body {
            Body::Array(values) => Some(values),
            Body::StructOps(ops) => Some(&ops.values),
            Body::Hash(hash) => Some(&hash.values),
            Body::Lpm(lpm) => Some(&lpm.values),
            Body::Storage(storage) => Some(&storage.values),
            Body::Objects(objects) => objects.values.as_ref(),
            Body::ObjectHash(objects) => Some(&objects.hash.values),
            Body::Perf(..)
            | Body::Queue(_)
            | Body::Bloom(_)
            | Body::Stacks(_)
            | Body::Ring(_)
            | Body::UserRing(_)
            | Body::Arena(_) => None,
        }
    }

    /// Reads up to 8 bytes at an offset, also where [`Map::bytes`] has two pieces: around the end of a
    /// ring, from one page of an arena to the next.
    pub fn load(&self, offset: u64, size: usize) -> Option<u64> {
        let (bytes, at, left) = self.bytes(offset)?;
        if size <= left {
            return bytes.load(at, size);
        }
        self.in_pieces()?;
        (0..size.min(8) as u64).try_fold(0, |value, i| {
            let (bytes, at, _) = self.bytes(offset.checked_add(i)?)?;
            Some(value | bytes.load(at, 1)? << (8 * i))
        })
    }

    /// The inverse of [`Map::load`].
    pub fn store(&self, offset: u64, size: usize, value: u64) -> Option<()> {
        let (bytes, at, left) = self.bytes(offset)?;
        if size <= left {
            return bytes.store(at, size, value);
        }
        self.in_pieces()?;
        (0..size.min(8) as u64).try_for_each(|i| {
            let (bytes, at, _) = self.bytes(offset.checked_add(i)?)?;
            bytes.store(at, 1, value >> (8 * i))
        })
    }

    fn in_pieces(&self) -> Option<()> {
        matches!(self.body, Body::Ring(_) | Body::UserRing(_) | Body::Arena(_)).then_some(())
    }

    /// The offset of byte `at` of the only value of an array, for loads of its address
    /// (`BPF_PSEUDO_MAP_VALUE`); `ENOTSUPP` for other maps.
    pub fn direct(&self, at: u32) -> Result<u64, Errno> {
        match &self.body {
            Body::Array(values) if self.map_type() == MapType::Array && self.spec.max_entries == 1 => {
                if at >= self.spec.value_size {
                    return Err(Errno::EINVAL);
                }
                values.touch(0)?;
                Ok(values.offset(0, 0) + u64::from(at))
            }
            _ => Err(Errno::ENOTSUPP),
        }
    }

    /// `bpf_map_update_elem`, on this CPU.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64, cpu: u32) -> Result<(), Errno> {
        self.check_sizes(key, value, self.spec.value_size as usize)?;
        let lock = flags & F_LOCK != 0;
        let no_lock = lock && !self.spec.has_spin_lock();
        match &self.body {
            Body::Array(values) => {
                let index = index(key).ok_or(Errno::EINVAL)?;
                if flags & !F_LOCK > EXIST {
                    return Err(Errno::EINVAL);
                }
                if index >= self.spec.max_entries {
                    return Err(Errno::E2BIG);
                }
                if flags & NOEXIST != 0 {
                    return Err(Errno::EEXIST);
                }
                if no_lock {
                    return Err(Errno::EINVAL);
                }
                values.put(index.into(), self.copy(values, cpu), value, lock)
            }
            Body::Hash(_) | Body::Storage(_) if no_lock => Err(Errno::EINVAL),
            Body::Hash(hash) => {
                self.check_hash_flags(flags)?;
                hash.update(key, Source::One(value), flags, cpu).map(|_| ())
            }
            Body::Lpm(lpm) => lpm.update(key, value, flags).map(|_| ()),
            Body::Storage(storage) => self.update_storage(storage, key, value, flags),
            Body::Ring(_) | Body::UserRing(_) => Err(Errno::ENOTSUPP),
            Body::Arena(_) => Err(Errno::EOPNOTSUPP),
            Body::Queue(_)
            | Body::Bloom(_)
            | Body::Stacks(_)
            | Body::Objects(_)
            | Body::Perf(..)
            | Body::ObjectHash(_)
            | Body::StructOps(_) => Err(Errno::EINVAL),
        }
    }

    /// The flags that hash tables know: a spin lock only where there is one value.
    pub(crate) fn check_hash_flags(&self, flags: u64) -> Result<(), Errno> {
        let lock = if self.map_type() == MapType::Hash { F_LOCK } else { 0 };
        if flags & !lock > EXIST { Err(Errno::EINVAL) } else { Ok(()) }
    }

    pub(crate) fn update_storage(
        &self,
        storage: &Storage,
        owner: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        match self.map_type() {
            // The storage of an attachment is there as long as the attachment.
            MapType::CgroupStorage => {
                if flags & !(F_LOCK | EXIST) != 0 {
                    return Err(Errno::EINVAL);
                }
                storage.update(owner, value, EXIST | flags & F_LOCK)
            }
            MapType::PercpuCgroupStorage => {
                if flags != 0 && flags != EXIST {
                    return Err(Errno::EINVAL);
                }
                let slot = storage.lookup(owner).ok_or(Errno::ENOENT)?;
                storage.values.write_copies(slot.into(), value)
            }
            _ => storage.update(owner, value, flags),
        }
    }

    /// `bpf_map_delete_elem`.
    pub fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        if key.len() != self.spec.key_size as usize && !matches!(self.body, Body::Storage(_)) {
            return Err(Errno::EINVAL);
        }
        let position = index(key).unwrap_or_default();
        match &self.body {
            Body::Hash(hash) => hash.delete(key, |_| ()).map(|_| ()),
            Body::Lpm(lpm) => lpm.delete(key),
            Body::ObjectHash(objects) => objects.remove(key),
            Body::Stacks(stacks) => stacks.delete(position),
            Body::Objects(objects) | Body::Perf(objects, _) => self.delete_object(objects, position),
            Body::Storage(storage) => match self.map_type() {
                MapType::CgroupStorage | MapType::PercpuCgroupStorage => Err(Errno::EINVAL),
                _ => storage.delete(key),
            },
            Body::Ring(_) | Body::UserRing(_) => Err(Errno::ENOTSUPP),
            Body::Arena(_) | Body::Bloom(_) => Err(Errno::EOPNOTSUPP),
            Body::StructOps(ops) => ops.delete(),
            Body::Array(_) | Body::Queue(_) => Err(Errno::EINVAL),
        }
    }

    /// `bpf_map_push_elem`: queues, stacks, Bloom filters.
    pub fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        self.check_sizes(&[], value, self.spec.value_size as usize)?;
        match &self.body {
            Body::Queue(queue) => queue.push(value, flags),
            Body::Bloom(bloom) => bloom.push(value, flags),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// `bpf_map_pop_elem`; an empty map makes the value zeros and answers `ENOENT`.
    pub fn pop(&self, value: &mut [u8]) -> Result<(), Errno> {
        self.check_sizes(&[], value, self.spec.value_size as usize)?;
        match &self.body {
            Body::Queue(queue) => queue.get(value, true),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// `bpf_map_peek_elem`; a Bloom filter is asked about the value.
    pub fn peek(&self, value: &mut [u8]) -> Result<(), Errno> {
        self.check_sizes(&[], value, self.spec.value_size as usize)?;
        match &self.body {
            Body::Queue(queue) => queue.get(value, false),
            Body::Bloom(bloom) if bloom.contains(value) => Ok(()),
            Body::Bloom(_) => Err(Errno::ENOENT),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    pub(crate) fn check_sizes(&self, key: &[u8], value: &[u8], value_size: usize) -> Result<(), Errno> {
        // An owner's key is the embedder's; the key size of a storage is that of a descriptor.
        let any_key = matches!(self.body, Body::Storage(_));
        let fits = (any_key || key.len() == self.spec.key_size as usize) && value.len() == value_size;
        if fits { Ok(()) } else { Err(Errno::EINVAL) }
    }

    #[inline(always)]
    fn copy(&self, values: &Values, cpu: u32) -> u32 {
        if values.copies() == 1 { 0 } else { cpu % values.copies() }
    }
}

/// An array's key.
pub(crate) fn index(key: &[u8]) -> Option<u32> {
    <[u8; 4]>::try_from(key).ok().map(u32::from_ne_bytes)
}
