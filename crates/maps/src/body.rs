//! What a map consists of, by its type.

use crate::MapType;
use crate::arena::Arena;
use crate::errno::Errno;
use crate::flags::{NO_COMMON_LRU, ZERO_SEED};
use crate::fold::Secrets;
use crate::hash::{Hash, Hashing, Shape};
use crate::lpm::Lpm;
use crate::map::Environment;
use crate::objects::{ObjectArray, ObjectHash};
use crate::perf::PerfRecords;
use crate::queue::{Bloom, Queue};
use crate::ring::Ring;
use crate::spec::MapSpec;
use crate::stacks::Stacks;
use crate::storage::Storage;
use crate::values::{self, Values};

/// What a map consists of.
#[derive(Debug)]
pub(crate) enum Body {
    Array(Values),
    Hash(Hash),
    Lpm(Lpm),
    Queue(Queue),
    Bloom(Bloom),
    Objects(ObjectArray),
    Perf(ObjectArray, PerfRecords),
    ObjectHash(ObjectHash),
    Storage(Storage),
    Stacks(Stacks),
    Ring(Ring),
    UserRing(Ring),
    Arena(Arena),
    /// The structure, copied at once.
    StructOps(crate::struct_ops::StructOps),
}

impl Body {
    /// What a map of this specification, which Linux would make, consists of. Buffers that exist as a
    /// whole must fit the memory.
    pub(crate) fn new(spec: &MapSpec, environment: &Environment) -> Result<Body, Errno> {
        use MapType::*;
        let Environment { cpus, memory, seed } = *environment;
        let seed = if spec.map_flags & ZERO_SEED != 0 { 0 } else { seed };
        let hashing = match spec.map_flags & ZERO_SEED != 0 {
            true => Hashing::Jenkins(0),
            false => Hashing::Folding(Secrets::new(seed)),
        };
        let copies = if spec.map_type.is_per_cpu() { cpus } else { 1 };
        let keyed = |slots: u64, head: usize| {
            let (size, fields) = (spec.value_size, &spec.fields[..]);
            Values::new(slots, values::Shape { head, size, copies, memory, fields })
        };
        let values = |slots: u64| keyed(slots, 0);
        let pairs = |slots: u64, head: usize| {
            Values::new(slots, values::Shape { head, size: 8, copies: 1, memory, fields: &[] })
        };
        let len = spec.max_entries;
        let hash = |lru| Shape {
            key_size: spec.key_size,
            max_entries: len,
            cpus,
            hashing,
            in_place: spec.map_type.is_per_cpu(),
            lru,
            value: u64::from(spec.value_size).next_multiple_of(8).max(8) * u64::from(copies),
            memory,
        };
        let objects = |hashing| {
            let shape = Shape { cpus: 1, hashing, in_place: spec.map_type == HashOfMaps, ..hash(None) };
            ObjectHash::new(shape, keyed).map(Body::ObjectHash)
        };
        if matches!(spec.map_type, Ringbuf | UserRingbuf) && u64::from(len) > memory {
            return Err(Errno::ENOMEM);
        }
        Ok(match spec.map_type {
            Array | PercpuArray => Body::Array(values(len.into())),
            Hash | PercpuHash => Body::Hash(crate::hash::Hash::new(hash(None), keyed)?),
            LruHash | LruPercpuHash => {
                let own = spec.map_flags & NO_COMMON_LRU != 0;
                Body::Hash(crate::hash::Hash::new(hash(Some(own)), keyed)?)
            }
            LpmTrie => Body::Lpm(Lpm::new(spec.key_size, len, memory, values)),
            Queue | Stack => Body::Queue(crate::queue::Queue::new(spec.map_type == Stack, len, values)),
            BloomFilter => Body::Bloom(Bloom::new(len, spec.map_extra as u32, seed, memory)?),
            PerfEventArray => Body::Perf(ObjectArray::new(len, None), PerfRecords::new(memory)),
            Devmap | Cpumap => {
                // Programs read whole structures, whatever part of them the user writes.
                Body::Objects(ObjectArray::new(len, Some(pairs(len.into(), 0))))
            }
            ProgArray | CgroupArray | ArrayOfMaps | Sockmap | Xskmap | ReuseportSockarray => {
                Body::Objects(ObjectArray::new(len, None))
            }
            HashOfMaps => objects(hashing)?,
            Sockhash => objects(Hashing::Jenkins(0))?,
            DevmapHash => {
                let shape = Shape { cpus: 1, hashing: Hashing::Identity, value: 8, ..hash(None) };
                Body::ObjectHash(ObjectHash::new(shape, pairs)?)
            }
            CgroupStorage | PercpuCgroupStorage | SkStorage | InodeStorage | TaskStorage | CgrpStorage => {
                Body::Storage(Storage::new(values))
            }
            StackTrace => Body::Stacks(Stacks::new(len, spec.value_size, memory)),
            Ringbuf => Body::Ring(Ring::new(len)),
            UserRingbuf => Body::UserRing(Ring::new(len)),
            Arena => Body::Arena(crate::arena::Arena::new(len, memory)),
            StructOps => {
                let linked = spec.map_flags & crate::flags::LINK != 0;
                Body::StructOps(crate::struct_ops::StructOps::new(values(1), linked))
            }
        })
    }
}
