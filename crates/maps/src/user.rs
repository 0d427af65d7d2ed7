//! The user's side of a map: what `bpf(2)` answers.
//!
//! A [`User`] is a descriptor of a map: it may only read or only write if the map was made so, and can
//! no longer write once the map is frozen. Values are laid out as the system call has them: all CPUs'
//! copies one after another in steps of eight bytes, ids where the map holds objects.
//!
//! Where the kernel takes descriptors of programs, maps or sockets, [`crate::Map::set_object`] takes the
//! things themselves; bytes in their place are descriptors of nothing (`EBADF`).

use std::sync::Arc;

use crate::MapType;
use crate::body::Body;
use crate::errno::Errno;
use crate::flags::{EXIST, F_LOCK, NOEXIST, RDONLY, WRONLY};
use crate::hash::Source;
use crate::map::{Map, index};
use crate::objects::{Object, array_update_allowed};

/// A user's handle of a map.
///
/// ```
/// use sandbpf_maps::{Environment, Errno, Map, MapSpec, MapType};
/// let map = Map::create(MapSpec::new(MapType::PercpuArray, 4, 1, 2), &Environment { cpus: 2, ..Default::default() })?;
/// let user = map.user();
/// user.update(&0u32.to_ne_bytes(), &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0], 0)?;
/// let offset = map.lookup_percpu(&0u32.to_ne_bytes(), 1).expect("the second CPU's value");
/// assert_eq!(map.load(offset, 1), Some(2));
/// user.freeze()?;
/// assert_eq!(user.update(&0u32.to_ne_bytes(), &[0; 16], 0), Err(Errno::EPERM));
/// # Ok::<(), Errno>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct User<'m> {
    map: &'m Map,
    flags: u32,
}

impl Map {
    /// The handle that creating the map gives.
    pub fn user(&self) -> User<'_> {
        User { map: self, flags: self.spec().map_flags & (RDONLY | WRONLY) }
    }

    /// A handle with other rights (`BPF_MAP_GET_FD_BY_ID`); `EINVAL` for flags that are no rights.
    pub fn user_with(&self, flags: u32) -> Result<User<'_>, Errno> {
        match flags & !(RDONLY | WRONLY) != 0 || flags == RDONLY | WRONLY {
            true => Err(Errno::EINVAL),
            false => Ok(User { map: self, flags }),
        }
    }
}

impl<'m> User<'m> {
    /// The map.
    pub fn map(&self) -> &'m Map {
        self.map
    }

    /// The bytes of a value as this side has it.
    pub fn value_size(&self) -> usize {
        self.map.spec().user_value_size(self.map.cpus())
    }

    pub(crate) fn may_read(&self) -> Result<(), Errno> {
        if self.flags & WRONLY == 0 { Ok(()) } else { Err(Errno::EPERM) }
    }

    pub(crate) fn may_write(&self) -> Result<(), Errno> {
        if self.flags & RDONLY == 0 && !self.map.is_frozen() { Ok(()) } else { Err(Errno::EPERM) }
    }

    pub(crate) fn check_lock(&self, flags: u64) -> Result<(), Errno> {
        let lock = flags & F_LOCK != 0;
        if lock && !self.map.spec().has_spin_lock() { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// `BPF_MAP_LOOKUP_ELEM`.
    pub fn lookup(&self, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        let mut value = vec![0; self.value_size()];
        self.lookup_into(key, &mut value, flags)?;
        Ok(value)
    }

    /// `BPF_MAP_LOOKUP_ELEM` with a buffer; a Bloom filter is asked about what is in it.
    pub fn lookup_into(&self, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        if flags & !F_LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        self.may_read()?;
        self.check_lock(flags)?;
        self.check_sizes(key, value)?;
        if flags & F_LOCK == 0 {
            return self.copy(key, value);
        }
        // Nobody waits for a bucket who has a value's lock: those who change values do it the other way.
        let (values, slot) = self.map.find(key, false).ok_or(Errno::ENOENT)?;
        let _guard = values.lock(slot, 0)?;
        values.read(slot, 0, value);
        Ok(())
    }

    /// `bpf_map_copy_value`.
    pub(crate) fn copy(&self, key: &[u8], value: &mut [u8]) -> Result<(), Errno> {
        use MapType::*;
        let position = index(key).unwrap_or_default();
        match &self.map.body {
            Body::Queue(queue) => queue.get(value, false),
            Body::Bloom(bloom) => {
                if bloom.contains(value) {
                    Ok(())
                } else {
                    Err(Errno::ENOENT)
                }
            }
            Body::Stacks(stacks) => stacks.read(position, value),
            Body::Ring(_) | Body::UserRing(_) => Err(Errno::ENOTSUPP),
            Body::Arena(_) => Err(Errno::EINVAL),
            Body::Perf(..) => Err(Errno::ENOTSUPP),
            Body::Objects(_) | Body::ObjectHash(_) => {
                match self.map.map_type() {
                    CgroupArray => return Err(Errno::ENOTSUPP),
                    Xskmap => return Err(Errno::EOPNOTSUPP),
                    Sockmap | Sockhash | ReuseportSockarray if value.len() != 8 => return Err(Errno::ENOSPC),
                    _ => {}
                }
                let bytes = self.map.object(key).ok_or(Errno::ENOENT)?.to_bytes();
                let count = value.len().min(bytes.len());
                value[..count].copy_from_slice(&bytes[..count]);
                Ok(())
            }
            Body::Array(values) if !self.map.map_type().is_per_cpu() => {
                if position >= self.map.spec().max_entries {
                    return Err(Errno::ENOENT);
                }
                // Reading what nobody wrote needs no memory.
                values.read(position.into(), 0, value);
                Ok(())
            }
            Body::Array(values) => {
                if position >= self.map.spec().max_entries {
                    return Err(Errno::ENOENT);
                }
                values.read_copies(position.into(), value);
                Ok(())
            }
            Body::Hash(hash) => {
                let read = |slot: u32| match self.map.map_type().is_per_cpu() {
                    true => hash.values.read_copies(slot.into(), value),
                    false => hash.values.read(slot.into(), 0, value),
                };
                hash.look(key, read).ok_or(Errno::ENOENT)
            }
            Body::Lpm(_) | Body::Storage(_) | Body::StructOps(_) => {
                let (values, slot) = self.map.find(key, false).ok_or(Errno::ENOENT)?;
                match values.copies() > 1 || self.map.map_type().is_per_cpu() {
                    true => values.read_copies(slot, value),
                    false => values.read(slot, 0, value),
                }
                Ok(())
            }
        }
    }

    /// `BPF_MAP_UPDATE_ELEM`.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.may_write()?;
        self.check_lock(flags)?;
        self.check_sizes(key, value)?;
        self.put(key, value, flags)
    }

    /// `bpf_map_update_value`.
    pub(crate) fn put(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        use MapType::*;
        let position = index(key).unwrap_or_default();
        let map = self.map;
        match (&map.body, map.map_type()) {
            (Body::Queue(queue), _) => queue.push(value, flags),
            (Body::Bloom(bloom), _) => bloom.push(value, flags),
            (Body::Hash(hash), PercpuHash | LruPercpuHash) => {
                map.check_hash_flags(flags)?;
                hash.update(key, Source::All(value), flags, 0).map(|_| ())
            }
            (Body::Array(values), PercpuArray) => {
                if flags > EXIST {
                    return Err(Errno::EINVAL);
                }
                if position >= map.spec().max_entries {
                    return Err(Errno::E2BIG);
                }
                if flags == NOEXIST {
                    return Err(Errno::EEXIST);
                }
                values.write_copies(position.into(), value)
            }
            (Body::Array(_) | Body::Hash(_) | Body::Lpm(_), _) => map.update(key, value, flags, 0),
            (Body::Storage(storage), PercpuCgroupStorage | CgroupStorage) => {
                map.update_storage(storage, key, value, flags)
            }
            // The key is a descriptor of the owner.
            (Body::Storage(_), _) => Err(Errno::EBADF),
            (Body::Objects(_), Devmap) => self.put_device(key, position, value, flags),
            (Body::Objects(_), Cpumap) => self.put_cpu(key, position, value, flags),
            (Body::Objects(objects), Xskmap) => {
                if flags > EXIST {
                    return Err(Errno::EINVAL);
                }
                if position >= objects.len() {
                    return Err(Errno::E2BIG);
                }
                Err(Errno::EBADF)
            }
            (Body::ObjectHash(_), DevmapHash) => {
                let (ifindex, descriptor) = pair(value);
                if flags > EXIST || ifindex == 0 {
                    return Err(Errno::EINVAL);
                }
                if flags & NOEXIST != 0 && map.object(key).is_some() {
                    return Err(Errno::EEXIST);
                }
                if descriptor > 0 {
                    return Err(Errno::EINVAL);
                }
                map.set_object(key, Object::Device { ifindex, program: None }, flags)
            }
            (Body::Objects(objects), ReuseportSockarray) => {
                if flags > EXIST {
                    return Err(Errno::EINVAL);
                }
                if position >= objects.len() {
                    return Err(Errno::E2BIG);
                }
                // Four bytes are a signed descriptor here and an unsigned one in maps of sockets.
                Err(if value.len() == 4 { Errno::EBADF } else { socket_descriptor(value) })
            }
            (_, Sockmap | Sockhash) => Err(socket_descriptor(value)),
            (Body::Objects(objects) | Body::Perf(objects, _), _) => {
                if flags != 0 {
                    return Err(Errno::EINVAL);
                }
                if position >= objects.len() {
                    return Err(Errno::E2BIG);
                }
                Err(Errno::EBADF)
            }
            (Body::ObjectHash(_), _) => Err(Errno::EBADF),
            (Body::Stacks(_), _) => Err(Errno::EINVAL),
            (Body::Ring(_) | Body::UserRing(_), _) => Err(Errno::ENOTSUPP),
            (Body::Arena(_), _) => Err(Errno::EOPNOTSUPP),
            (Body::StructOps(ops), _) => ops.update(position, value, flags),
        }
    }

    fn put_device(&self, key: &[u8], at: u32, value: &[u8], flags: u64) -> Result<(), Errno> {
        array_update_allowed(at, self.map.spec().max_entries, flags)?;
        let (ifindex, descriptor) = pair(value);
        if descriptor > 0 {
            return Err(Errno::EINVAL);
        }
        self.map.set_object(key, Object::Device { ifindex, program: None }, flags)
    }

    fn put_cpu(&self, key: &[u8], at: u32, value: &[u8], flags: u64) -> Result<(), Errno> {
        array_update_allowed(at, self.map.spec().max_entries, flags)?;
        let (queue, descriptor) = pair(value);
        self.map.check_cpu(at, queue)?;
        if queue != 0 && descriptor > 0 {
            // The kernel says so of any entry that it cannot build.
            return Err(Errno::ENOMEM);
        }
        self.map.set_object(key, Object::Cpu { queue, program: None }, flags)
    }

    /// `BPF_MAP_DELETE_ELEM`.
    pub fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.may_write()?;
        self.check_key(key)?;
        self.remove(key)
    }

    pub(crate) fn remove(&self, key: &[u8]) -> Result<(), Errno> {
        use MapType::*;
        match self.map.map_type() {
            SkStorage | InodeStorage | TaskStorage | CgrpStorage => Err(Errno::EBADF),
            _ => self.map.delete(key),
        }
    }

    /// `BPF_MAP_GET_NEXT_KEY`; without a key, the first.
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        self.may_read()?;
        key.map_or(Ok(()), |key| self.check_key(key))?;
        self.key_after(key)
    }

    pub(crate) fn key_after(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        use MapType::*;
        let position = key.and_then(index);
        match &self.map.body {
            Body::Array(_) | Body::Objects(_) | Body::Perf(..) => {
                let len = self.map.spec().max_entries;
                match position.filter(|&at| at < len) {
                    Some(at) if at == len - 1 => Err(Errno::ENOENT),
                    Some(at) => Ok((at + 1).to_ne_bytes().to_vec()),
                    None => Ok(0u32.to_ne_bytes().to_vec()),
                }
            }
            Body::Hash(hash) => hash.next_key(key),
            Body::ObjectHash(objects) => objects.hash.next_key(key),
            Body::Lpm(lpm) => lpm.next_key(key),
            Body::Stacks(stacks) => stacks.next_key(position).map(|id| id.to_ne_bytes().to_vec()),
            Body::Storage(storage) => match self.map.map_type() {
                CgroupStorage | PercpuCgroupStorage => storage.next_key(key),
                _ => Err(Errno::ENOTSUPP),
            },
            Body::Queue(_) => Err(Errno::EINVAL),
            Body::Bloom(_) | Body::Arena(_) => Err(Errno::EOPNOTSUPP),
            Body::Ring(_) | Body::UserRing(_) => Err(Errno::ENOTSUPP),
            Body::StructOps(_) => match position {
                Some(0) => Err(Errno::ENOENT),
                _ => Ok(0u32.to_ne_bytes().to_vec()),
            },
        }
    }

    /// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`: pops of queues and stacks, takes out of hashes and stack traces.
    pub fn lookup_and_delete(&self, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        if flags & !F_LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        self.may_read()?;
        self.may_write()?;
        if flags != 0 && matches!(self.map.body, Body::Queue(_)) {
            return Err(Errno::EINVAL);
        }
        self.check_lock(flags)?;
        self.check_key(key)?;
        let mut value = vec![0; self.value_size()];
        match &self.map.body {
            Body::Queue(queue) => queue.get(&mut value, true)?,
            Body::Hash(hash) => {
                let mut read = |slot: u32| match self.map.map_type().is_per_cpu() {
                    true => hash.values.read_copies(slot.into(), &mut value),
                    false => hash.values.read(slot.into(), 0, &mut value),
                };
                match flags & F_LOCK != 0 {
                    true => hash.delete_locked(key, read)?,
                    false => _ = hash.delete(key, &mut read)?,
                }
            }
            Body::Stacks(stacks) => {
                let id = index(key).unwrap_or_default();
                stacks.read(id, &mut value)?;
                stacks.delete(id)?;
            }
            _ => return Err(Errno::ENOTSUPP),
        }
        Ok(value)
    }

    /// `BPF_MAP_FREEZE`: no user can change the map any more; programs still can.
    pub fn freeze(&self) -> Result<(), Errno> {
        let spec = self.map.spec();
        if spec.map_type == MapType::StructOps || !spec.fields.is_empty() {
            return Err(Errno::ENOTSUPP);
        }
        self.may_write()?;
        if self.map.freeze() { Ok(()) } else { Err(Errno::EBUSY) }
    }

    /// The map inside that the id in a value of a map of maps names.
    pub fn inner(&self, key: &[u8]) -> Result<Arc<Map>, Errno> {
        self.may_read()?;
        self.map.inner(key).ok_or(Errno::ENOENT)
    }

    fn check_key(&self, key: &[u8]) -> Result<(), Errno> {
        if key.len() == self.map.spec().key_size as usize { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn check_sizes(&self, key: &[u8], value: &[u8]) -> Result<(), Errno> {
        self.check_key(key)?;
        if value.len() == self.value_size() { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

/// A number and a descriptor, of which the second may be missing.
fn pair(value: &[u8]) -> (u32, i32) {
    let word = |at: usize| {
        let bytes = value.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    };
    (word(0), word(4) as i32)
}

/// What is wrong with a value that should name a socket.
fn socket_descriptor(value: &[u8]) -> Errno {
    match value.first_chunk() {
        Some(bytes) if u64::from_ne_bytes(*bytes) > i32::MAX as u64 => Errno::EINVAL,
        Some(_) => Errno::EBADF,
        None if pair(value).0 > i32::MAX as u32 => Errno::EINVAL,
        None => Errno::EBADF,
    }
}
