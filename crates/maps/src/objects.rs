//! Maps whose elements stand for things outside: programs, maps, devices, sockets.
//!
//! The things are opaque here, a number that the embedder chose, except for maps, which are held. What
//! users and programs read of them are the kernel's layouts: an id, a `struct bpf_devmap_val`, a
//! `struct bpf_cpumap_val`, the cookie of a socket.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::errno::Errno;
use crate::flags::{EXIST, NOEXIST};
use crate::hash::{Hash, Shape, Source};
use crate::map::Map;
use crate::paged::Paged;
use crate::values::Values;

/// A thing outside that an element stands for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Object {
    /// A program, by its id.
    Program(u32),
    /// A map.
    Map(Arc<Map>),
    /// A control group, by its id.
    Cgroup(u64),
    /// A buffer of `perf_event_open(2)`; what is written there is collected in the map.
    PerfEvent,
    /// A network device and perhaps a program that runs before it sends.
    Device {
        /// The device's index.
        ifindex: u32,
        /// The id of the program.
        program: Option<u32>,
    },
    /// A CPU's queue and perhaps a program that runs there.
    Cpu {
        /// How many packets wait at most.
        queue: u32,
        /// The id of the program.
        program: Option<u32>,
    },
    /// A socket, `AF_XDP` or another, by its cookie.
    Socket(u64),
}

impl Object {
    /// The bytes that users and programs read of it.
    pub fn to_bytes(&self) -> [u8; 8] {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        match *self {
            Object::Program(id) => pair(id, 0),
            Object::Map(ref map) => pair(map.id(), 0),
            Object::Cgroup(id) => id,
            Object::PerfEvent => 0,
            Object::Device { ifindex, program } => pair(ifindex, program.unwrap_or_default()),
            Object::Cpu { queue, program } => pair(queue, program.unwrap_or_default()),
            Object::Socket(cookie) => cookie,
        }
        .to_ne_bytes()
    }
}

/// Objects by index.
#[derive(Debug)]
pub(crate) struct ObjectArray {
    len: u32,
    objects: Paged<RwLock<Option<Object>>>,
    /// For types whose elements programs may read.
    pub(crate) values: Option<Values>,
}

impl ObjectArray {
    pub(crate) fn new(len: u32, values: Option<Values>) -> Self {
        ObjectArray { len, objects: Paged::new(len.into()), values }
    }

    pub(crate) fn get(&self, index: u32) -> Option<Object> {
        if index >= self.len {
            return None;
        }
        self.objects.get(index.into())?.read().clone()
    }

    /// Replaces what is at `index` and returns it; the index must be in range.
    pub(crate) fn set(&self, index: u32, object: Option<Object>) -> Result<Option<Object>, Errno> {
        self.set_if(index, object, |_| Ok(()))
    }

    /// The same, if what is there allows it; nobody comes in between.
    pub(crate) fn set_if(
        &self,
        index: u32,
        object: Option<Object>,
        allowed: impl FnOnce(Option<&Object>) -> Result<(), Errno>,
    ) -> Result<Option<Object>, Errno> {
        let entry = self.objects.get_or(index.into(), RwLock::default).ok_or(Errno::E2BIG)?;
        let mut entry = entry.write();
        allowed(entry.as_ref())?;
        if let (Some(values), Some(object)) = (&self.values, &object) {
            values.write(index.into(), 0, &object.to_bytes())?;
        }
        Ok(std::mem::replace(&mut *entry, object))
    }

    /// Whether a socket is in the array.
    pub(crate) fn has_socket(&self, cookie: u64) -> bool {
        let mut at = self.next_present(0);
        while let Some(index) = at {
            if matches!(self.get(index), Some(Object::Socket(other)) if other == cookie) {
                return true;
            }
            at = index.checked_add(1).and_then(|next| self.next_present(next));
        }
        false
    }

    /// The offset of the bytes of what is at `index`, if programs may read them.
    pub(crate) fn offset(&self, index: u32) -> Option<u64> {
        let values = self.values.as_ref()?;
        self.get(index)?;
        Some(values.offset(index.into(), 0))
    }

    /// The first index from `at` on that something stands at.
    pub(crate) fn next_present(&self, at: u32) -> Option<u32> {
        let mut at = u64::from(at);
        loop {
            let (index, entry) = self.objects.next_from(at)?;
            if entry.read().is_some() {
                return u32::try_from(index).ok();
            }
            at = index + 1;
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }
}

/// Objects by key.
#[derive(Debug)]
pub(crate) struct ObjectHash {
    pub(crate) hash: Hash,
    /// What the elements stand for, by slot; changed under `writers`.
    objects: RwLock<HashMap<u32, Object>>,
    writers: Mutex<()>,
}

impl ObjectHash {
    pub(crate) fn new(shape: Shape, values: impl FnOnce(u64, usize) -> Values) -> Result<Self, Errno> {
        let hash = Hash::new(shape, values)?;
        Ok(ObjectHash { hash, objects: RwLock::default(), writers: Mutex::default() })
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Object> {
        let objects = self.objects.read();
        objects.get(&self.hash.lookup(key, false)?).cloned()
    }

    pub(crate) fn get_slot(&self, slot: u32) -> Option<Object> {
        self.objects.read().get(&slot).cloned()
    }

    pub(crate) fn set(&self, key: &[u8], object: Object, flags: u64) -> Result<(), Errno> {
        let _writer = self.writers.lock();
        let bytes = object.to_bytes();
        // Readers wait until the object is there.
        let mut objects = self.objects.write();
        let old = self.hash.lookup(key, false);
        let new = self.hash.update(key, Source::One(&bytes), flags, 0)?;
        let replaced = old.and_then(|old| objects.remove(&old));
        objects.insert(new, object);
        drop(objects);
        drop(replaced);
        Ok(())
    }

    pub(crate) fn remove(&self, key: &[u8]) -> Result<(), Errno> {
        let _writer = self.writers.lock();
        let slot = self.hash.delete(key, |_| ())?;
        let removed = self.objects.write().remove(&slot);
        drop(removed);
        Ok(())
    }
}

/// The rule of arrays whose elements may be absent but that have every index.
pub(crate) fn array_update_allowed(index: u32, len: u32, flags: u64) -> Result<(), Errno> {
    match flags {
        flags if flags > EXIST => Err(Errno::EINVAL),
        _ if index >= len => Err(Errno::E2BIG),
        NOEXIST => Err(Errno::EEXIST),
        _ => Ok(()),
    }
}
