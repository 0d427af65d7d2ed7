//! Maps of objects: putting things in, and what programs find.

use std::sync::Arc;

use crate::MapType;
use crate::body::Body;
use crate::errno::Errno;
use crate::flags::{EXIST, NOEXIST};
use crate::map::{Map, index};
use crate::objects::{Object, ObjectArray};

/// Packets that can wait for a CPU.
const LONGEST_QUEUE: u32 = 16384;

impl Map {
    /// What the element stands for, in maps of objects.
    pub fn object(&self, key: &[u8]) -> Option<Object> {
        match &self.body {
            Body::Objects(objects) | Body::Perf(objects, _) => objects.get(index(key)?),
            Body::ObjectHash(objects) => objects.get(key),
            _ => None,
        }
    }

    /// `bpf_map_lookup_elem` on a map of maps.
    pub fn inner(&self, key: &[u8]) -> Option<Arc<Map>> {
        match self.object(key)? {
            Object::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The program that `bpf_tail_call` would go to.
    pub fn program(&self, index: u32) -> Option<u32> {
        match self.object(&index.to_ne_bytes())? {
            Object::Program(id) => Some(id),
            _ => None,
        }
    }

    /// Puts a thing outside into a map of such things, as `bpf(2)` does with its descriptor.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Map, MapSpec, MapType, Object};
    /// let calls = Map::create(MapSpec::new(MapType::ProgArray, 4, 4, 2), &Environment::default())?;
    /// calls.set_object(&1u32.to_ne_bytes(), Object::Program(12), 0)?;
    /// assert_eq!((calls.program(0), calls.program(1)), (None, Some(12)));
    /// # Ok::<(), sandbpf_maps::Errno>(())
    /// ```
    ///
    /// A device without a number and a queue without room stand for nothing: what was there goes.
    pub fn set_object(&self, key: &[u8], object: Object, flags: u64) -> Result<(), Errno> {
        use MapType::*;
        if key.len() != self.spec().key_size as usize {
            return Err(Errno::EINVAL);
        }
        let map_type = self.map_type();
        match (&object, map_type) {
            (Object::Program(_), ProgArray)
            | (Object::PerfEvent, PerfEventArray)
            | (Object::Cgroup(_), CgroupArray)
            | (Object::Device { .. }, Devmap | DevmapHash)
            | (Object::Cpu { .. }, Cpumap)
            | (Object::Socket(_), Xskmap | Sockmap | Sockhash | ReuseportSockarray) => {}
            (Object::Map(_), ArrayOfMaps | HashOfMaps) => {}
            _ => return Err(Errno::EINVAL),
        }
        match &self.body {
            Body::ObjectHash(objects) => {
                self.check_inner(&object)?;
                if flags > EXIST {
                    return Err(Errno::EINVAL);
                }
                match object {
                    Object::Device { ifindex: 0, .. } => Err(Errno::EINVAL),
                    // This table knows `BPF_NOEXIST` only.
                    Object::Device { .. } => objects.set(key, object, flags & NOEXIST),
                    _ => objects.set(key, object, flags),
                }
            }
            Body::Objects(objects) | Body::Perf(objects, _) => {
                let index = index(key).ok_or(Errno::EINVAL)?;
                match map_type {
                    ProgArray | PerfEventArray | CgroupArray | ArrayOfMaps if flags != 0 => {
                        return Err(Errno::EINVAL);
                    }
                    Devmap | Cpumap => crate::objects::array_update_allowed(index, objects.len(), flags)?,
                    _ if flags > EXIST => return Err(Errno::EINVAL),
                    _ if index >= objects.len() => return Err(Errno::E2BIG),
                    _ => {}
                }
                self.check_inner(&object)?;
                // A socket can be in one array for groups that share a port, and once. Of others nobody knows here.
                let stands = match object {
                    Object::Socket(cookie) => map_type == ReuseportSockarray && objects.has_socket(cookie),
                    _ => false,
                };
                let absent = match object {
                    Object::Cpu { queue, .. } => {
                        self.check_cpu(index, queue)?;
                        queue == 0
                    }
                    Object::Device { ifindex: 0, program: Some(_) } => return Err(Errno::EINVAL),
                    Object::Device { ifindex, .. } => ifindex == 0,
                    _ => false,
                };
                let rule = object.clone();
                let allowed = |old: Option<&Object>| match (map_type, old, &rule) {
                    // The same socket may come again, whatever the flags say.
                    (Xskmap, Some(Object::Socket(old)), Object::Socket(new)) if old == new => Ok(()),
                    (Xskmap | Sockmap | ReuseportSockarray, Some(_), _) if flags == NOEXIST => {
                        Err(Errno::EEXIST)
                    }
                    (Xskmap | Sockmap | ReuseportSockarray, None, _) if flags == EXIST => Err(Errno::ENOENT),
                    _ if stands => Err(Errno::EBUSY),
                    _ => Ok(()),
                };
                objects.set_if(index, (!absent).then_some(object), allowed).map(drop)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether there is such a CPU, and so much room for packets that wait for it.
    pub(crate) fn check_cpu(&self, index: u32, queue: u32) -> Result<(), Errno> {
        match () {
            () if queue > LONGEST_QUEUE => Err(Errno::EOVERFLOW),
            () if index >= self.cpus() => Err(Errno::ENODEV),
            () => Ok(()),
        }
    }

    /// A map inside is what the pattern promises to programs.
    fn check_inner(&self, object: &Object) -> Result<(), Errno> {
        match (object, self.spec().inner.as_deref()) {
            (Object::Map(inner), Some(pattern)) if inner.spec().fits(pattern) => Ok(()),
            (Object::Map(_), _) => Err(Errno::EINVAL),
            _ => Ok(()),
        }
    }

    pub(crate) fn delete_object(&self, objects: &ObjectArray, index: u32) -> Result<(), Errno> {
        use MapType::*;
        // Tables of devices, CPUs and sockets have their own answers to what cannot be.
        let (beyond, absent) = match self.map_type() {
            Devmap | Cpumap | Xskmap => (Errno::EINVAL, Ok(())),
            Sockmap => (Errno::EINVAL, Err(Errno::EINVAL)),
            _ => (Errno::E2BIG, Err(Errno::ENOENT)),
        };
        if index >= objects.len() {
            return Err(beyond);
        }
        match objects.set(index, None)? {
            Some(_) => Ok(()),
            None => absent,
        }
    }
}
