//! What a map is asked to be, and whether Linux would make it.
//!
//! [`MapSpec::check`] follows `map_create()` of `kernel/bpf/syscall.c` and each type's
//! `map_alloc_check` and `map_alloc`, as they answer to a caller with all capabilities. The order of
//! the rules decides which error number wins, so it is kept.

use crate::MapType;
use crate::errno::Errno;
use crate::flags::{self, *};

/// The largest block of `kmalloc` with 4 KiB pages.
const KMALLOC_MAX_SIZE: u64 = 4 << 20;
/// Bytes of `struct htab_elem` before the key.
const HASH_ELEMENT: u64 = 48;
/// Bytes of `struct lpm_trie_node` before the key.
const TRIE_NODE: u64 = 24;
/// What one CPU's part of an allocation can have.
const PER_CPU_UNIT: u32 = 32 << 10;
/// The largest value of a storage: a `u16` and the bytes before the value.
const STORAGE_MAX_VALUE: u32 = u16::MAX as u32 - 128;
/// `kernel.perf_event_max_stack`, where nobody changed it.
const MAX_STACK_DEPTH: u32 = 127;
/// CPUs that a distribution's x86-64 kernel is built for.
const NR_CPUS: u32 = 256;
/// The bytes of a page.
pub(crate) const PAGE_SIZE: u32 = 4096;

/// What a special field of a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// `struct bpf_spin_lock`.
    SpinLock,
    /// `struct bpf_res_spin_lock`.
    ResSpinLock,
    /// `struct bpf_timer`.
    Timer,
    /// `struct bpf_wq`.
    Workqueue,
    /// A pointer to an object of the kernel or of the program.
    Kptr,
    /// `struct bpf_list_head`.
    ListHead,
    /// `struct bpf_rb_root`.
    RbRoot,
    /// `struct bpf_refcount`.
    Refcount,
    /// `struct bpf_task_work`.
    TaskWork,
    /// A pointer to memory of a task, tagged `uptr`.
    Uptr,
}

/// A field of a value that copies leave alone: users of `bpf(2)` read zeros there and write nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpecialField {
    /// What it is.
    pub kind: FieldKind,
    /// Where it starts in the value.
    pub offset: u32,
    /// How many bytes it has.
    pub size: u32,
}

/// The sizes of the types that a map's BTF gives to keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BtfSizes {
    /// The key's, if it has a type.
    pub key: Option<u32>,
    /// The value's.
    pub value: u32,
}

/// What a map is asked to be: the fields of `BPF_MAP_CREATE`.
///
/// ```
/// use sandbpf_maps::{Errno, MapSpec, MapType};
/// let spec = MapSpec::new(MapType::Hash, 4, 8, 1024);
/// assert_eq!(spec.check(), Ok(()));
/// assert_eq!(MapSpec { max_entries: 0, ..spec }.check(), Err(Errno::EINVAL));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MapSpec {
    /// The type.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// How many elements there can be; bytes or pages for types without elements.
    pub max_entries: u32,
    /// Flags of [`crate::flags`].
    pub map_flags: u32,
    /// Hash functions of a Bloom filter, the user's address of an arena.
    pub map_extra: u64,
    /// The name, at most 15 letters, digits, `_` and `.`.
    pub name: String,
    /// The types of keys and values, if they are described.
    pub btf: Option<BtfSizes>,
    /// The pattern of inner maps.
    pub inner: Option<Box<MapSpec>>,
    /// Special fields of the value.
    pub fields: Vec<SpecialField>,
    /// The bytes of the kernel's structure that a `struct_ops` map holds.
    pub struct_value: Option<u32>,
}

impl MapSpec {
    /// A map of this type and these sizes, without flags or a name.
    pub fn new(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> Self {
        MapSpec {
            map_type,
            key_size,
            value_size,
            max_entries,
            map_flags: 0,
            map_extra: 0,
            name: String::new(),
            btf: None,
            inner: None,
            fields: Vec::new(),
            struct_value: None,
        }
    }

    /// The same with these flags.
    pub fn with_flags(self, map_flags: u32) -> Self {
        MapSpec { map_flags, ..self }
    }

    /// The same with this name.
    pub fn with_name(self, name: &str) -> Self {
        MapSpec { name: name.into(), ..self }
    }

    /// The same with this pattern of inner maps.
    pub fn with_inner(self, inner: MapSpec) -> Self {
        MapSpec { inner: Some(Box::new(inner)), ..self }
    }

    /// Whether values have a spin lock, which `BPF_F_LOCK` needs.
    pub fn has_spin_lock(&self) -> bool {
        self.fields.iter().any(|field| field.kind == FieldKind::SpinLock)
    }

    /// The bytes of a value as `bpf(2)` copies it (`bpf_map_value_size`).
    pub fn user_value_size(&self, cpus: u32) -> usize {
        use MapType::*;
        match self.map_type {
            PercpuHash | PercpuArray | LruPercpuHash | PercpuCgroupStorage => {
                (self.value_size as usize).next_multiple_of(8) * cpus as usize
            }
            ProgArray | PerfEventArray | CgroupArray | ArrayOfMaps | HashOfMaps => 4,
            _ => self.value_size as usize,
        }
    }

    /// Whether Linux would make this map for a caller with all capabilities, or its error.
    pub fn check(&self) -> Result<(), Errno> {
        let extra_allowed = matches!(self.map_type, MapType::BloomFilter | MapType::Arena);
        demand(self.map_extra == 0 || extra_allowed)?;
        demand(self.map_flags & (RDONLY | WRONLY) != RDONLY | WRONLY)?;
        // No descriptor comes with a specification, so none of them is a token.
        let token = self.map_flags & TOKEN_FD != 0;
        let plain = MapSpec { map_flags: self.map_flags & !TOKEN_FD, ..self.shape() };
        plain.check_before_allocation()?;
        demand(!token)?;
        plain.check_allocation()?;
        self.check_inner()?;
        self.check_name()?;
        self.check_btf()
    }

    /// Everything that rules about sizes look at.
    fn shape(&self) -> MapSpec {
        MapSpec {
            map_extra: self.map_extra,
            btf: self.btf,
            struct_value: self.struct_value,
            ..MapSpec::new(self.map_type, self.key_size, self.value_size, self.max_entries)
        }
    }

    /// The types' `map_alloc_check`.
    fn check_before_allocation(&self) -> Result<(), Errno> {
        use MapType::*;
        match self.map_type {
            Hash | PercpuHash | LruHash | LruPercpuHash => self.check_hash(),
            HashOfMaps => {
                demand(self.value_size == 4)?;
                self.check_hash()
            }
            Array | PercpuArray => self.check_array(),
            ProgArray | PerfEventArray | CgroupArray | ArrayOfMaps => {
                demand(self.value_size == 4)?;
                demand(self.map_flags & (RDONLY_PROG | WRONLY_PROG) == 0)?;
                self.check_array()
            }
            ReuseportSockarray => {
                demand(self.value_size == 4 || self.value_size == 8)?;
                self.check_array()
            }
            Queue | Stack => self.check_queue(),
            BloomFilter => at_most(self.value_size.into(), KMALLOC_MAX_SIZE),
            Devmap | DevmapHash => {
                demand(self.max_entries != 0 && self.key_size == 4)?;
                demand(self.value_size == 4 || self.value_size == 8)?;
                self.only(NUMA_NODE | RDONLY | WRONLY)?;
                // The number of buckets is a power of two in a `u32`.
                demand(self.map_type == Devmap || self.max_entries <= 1 << 31)
            }
            SkStorage | InodeStorage | TaskStorage | CgrpStorage => {
                self.only(NO_PREALLOC | CLONE)?;
                demand(self.map_flags & NO_PREALLOC != 0 && self.max_entries == 0)?;
                demand(self.key_size == 4 && self.value_size != 0)?;
                demand(self.btf.is_some_and(|btf| btf.key.is_some()))?;
                at_most(self.value_size.into(), STORAGE_MAX_VALUE.into())
            }
            StructOps => {
                demand(self.key_size == 4 && self.max_entries == 1)?;
                self.only(LINK | VTYPE_BTF_OBJ_FD)?;
                demand(self.struct_value.is_some())
            }
            StackTrace | LpmTrie | Sockmap | Cpumap | Xskmap | Sockhash | CgroupStorage
            | PercpuCgroupStorage | Ringbuf | UserRingbuf | Arena => Ok(()),
        }
    }

    /// The rules in the types' `map_alloc`.
    fn check_allocation(&self) -> Result<(), Errno> {
        use MapType::*;
        match self.map_type {
            Hash | PercpuHash | LruHash | LruPercpuHash | HashOfMaps => {
                // `n_buckets * sizeof(struct bucket)` is a `u32`.
                at_most(self.max_entries.into(), 1 << 28)?;
                at_most(u64::from(self.max_entries.next_power_of_two()), (u32::MAX / 16).into())
            }
            StackTrace => {
                self.only(NUMA_NODE | RDONLY | WRONLY | STACK_BUILD_ID)?;
                demand(self.max_entries != 0 && self.key_size == 4)?;
                demand(self.value_size >= 8 && self.value_size.is_multiple_of(8))?;
                let entry = if self.map_flags & STACK_BUILD_ID != 0 { 32 } else { 8 };
                demand(self.value_size.is_multiple_of(entry) && self.value_size / entry <= MAX_STACK_DEPTH)?;
                at_most(self.max_entries.into(), 1 << 31)
            }
            LpmTrie => {
                demand(self.max_entries != 0 && self.map_flags & NO_PREALLOC != 0)?;
                self.only(NO_PREALLOC | NUMA_NODE | ACCESS_MASK)?;
                demand(flags::access_ok(self.map_flags))?;
                demand((5..=260).contains(&self.key_size))?;
                let most = KMALLOC_MAX_SIZE - 256 - TRIE_NODE;
                demand((1..=most).contains(&u64::from(self.value_size)))
            }
            BloomFilter => {
                demand(self.key_size == 0 && self.value_size != 0 && self.max_entries != 0)?;
                self.only(NUMA_NODE | ZERO_SEED | ACCESS_MASK)?;
                demand(flags::access_ok(self.map_flags) && self.map_extra <= 0xf)
            }
            Sockmap => {
                demand((1..=i32::MAX as u32).contains(&self.max_entries) && self.key_size == 4)?;
                demand(self.value_size == 4 || self.value_size == 8)?;
                self.only(NUMA_NODE | RDONLY | WRONLY)
            }
            Sockhash => {
                demand(self.max_entries != 0 && self.key_size != 0)?;
                demand(self.value_size == 4 || self.value_size == 8)?;
                self.only(NUMA_NODE | RDONLY | WRONLY)?;
                at_most(self.key_size.into(), 512)?;
                // As for hashes, but the answer is another one.
                demand(self.max_entries <= 1 << 28 && self.max_entries.next_power_of_two() <= u32::MAX / 16)
            }
            Cpumap => {
                demand(self.max_entries != 0 && self.key_size == 4)?;
                demand(self.value_size == 4 || self.value_size == 8)?;
                self.only(NUMA_NODE)?;
                at_most(self.max_entries.into(), NR_CPUS.into())
            }
            Xskmap => {
                demand(self.max_entries != 0 && self.key_size == 4 && self.value_size == 4)?;
                self.only(NUMA_NODE | RDONLY | WRONLY)
            }
            CgroupStorage | PercpuCgroupStorage => {
                let per_cpu = self.map_type == PercpuCgroupStorage;
                demand(self.key_size == 16 || self.key_size == 8)?;
                demand(self.value_size != 0)?;
                let most = if per_cpu { STORAGE_MAX_VALUE.min(PER_CPU_UNIT) } else { STORAGE_MAX_VALUE };
                at_most(self.value_size.into(), most.into())?;
                self.only(NUMA_NODE | ACCESS_MASK)?;
                demand(flags::access_ok(self.map_flags) && self.max_entries == 0)
            }
            Ringbuf | UserRingbuf => {
                self.only(NUMA_NODE)?;
                demand(self.key_size == 0 && self.value_size == 0)?;
                demand(self.max_entries.is_power_of_two() && self.max_entries.is_multiple_of(PAGE_SIZE))
            }
            Arena => self.check_arena(),
            StructOps => demand(self.value_size != 0 && self.struct_value == Some(self.value_size)),
            Array | PercpuArray | ProgArray | PerfEventArray | CgroupArray | ArrayOfMaps | Devmap
            | DevmapHash | ReuseportSockarray | Queue | Stack | SkStorage | InodeStorage | TaskStorage
            | CgrpStorage => Ok(()),
        }
    }

    fn check_hash(&self) -> Result<(), Errno> {
        let lru = matches!(self.map_type, MapType::LruHash | MapType::LruPercpuHash);
        let own_lists = self.map_flags & NO_COMMON_LRU != 0;
        self.only(NO_PREALLOC | NO_COMMON_LRU | NUMA_NODE | ZERO_SEED | ACCESS_MASK)?;
        demand(flags::access_ok(self.map_flags) && (lru || !own_lists))?;
        if lru && self.map_flags & NO_PREALLOC != 0 {
            return Err(Errno::ENOTSUPP);
        }
        demand(self.map_flags & NUMA_NODE == 0 || !(self.map_type.is_per_cpu() || own_lists))?;
        demand(self.max_entries != 0 && self.key_size != 0 && self.value_size != 0)?;
        let bytes = u64::from(self.key_size) + u64::from(self.value_size);
        at_most(bytes + 1, KMALLOC_MAX_SIZE - HASH_ELEMENT)?;
        self.check_per_cpu_value()
    }

    fn check_array(&self) -> Result<(), Errno> {
        demand(self.max_entries != 0 && self.key_size == 4 && self.value_size != 0)?;
        self.only(NUMA_NODE | MMAPABLE | ACCESS_MASK | PRESERVE_ELEMS | INNER_MAP)?;
        demand(flags::access_ok(self.map_flags))?;
        let per_cpu = self.map_type == MapType::PercpuArray;
        demand(!per_cpu || self.map_flags & NUMA_NODE == 0)?;
        demand(self.map_type == MapType::Array || self.map_flags & (MMAPABLE | INNER_MAP) == 0)?;
        demand(self.map_type == MapType::PerfEventArray || self.map_flags & PRESERVE_ELEMS == 0)?;
        at_most(self.value_size.into(), i32::MAX as u64)?;
        self.check_per_cpu_value()
    }

    fn check_per_cpu_value(&self) -> Result<(), Errno> {
        if !self.map_type.is_per_cpu() {
            return Ok(());
        }
        at_most(u64::from(self.value_size).next_multiple_of(8), PER_CPU_UNIT.into())
    }

    fn check_queue(&self) -> Result<(), Errno> {
        demand(self.max_entries != 0 && self.key_size == 0 && self.value_size != 0)?;
        self.only(NUMA_NODE | ACCESS_MASK)?;
        demand(flags::access_ok(self.map_flags))?;
        at_most(self.value_size.into(), KMALLOC_MAX_SIZE)
    }

    fn check_arena(&self) -> Result<(), Errno> {
        demand(self.key_size == 0 && self.value_size == 0 && self.max_entries != 0)?;
        demand(self.map_flags & MMAPABLE != 0)?;
        self.only(SEGV_ON_FAULT | MMAPABLE | NO_USER_CONV)?;
        demand(self.map_extra.is_multiple_of(PAGE_SIZE.into()))?;
        let bytes = u64::from(self.max_entries) * u64::from(PAGE_SIZE);
        at_most(bytes, 1 << 32)?;
        let last = self.map_extra.wrapping_add(bytes - 1);
        if self.map_extra >> 32 == last >> 32 { Ok(()) } else { Err(Errno::ERANGE) }
    }

    fn check_inner(&self) -> Result<(), Errno> {
        if !matches!(self.map_type, MapType::ArrayOfMaps | MapType::HashOfMaps) {
            return Ok(());
        }
        let inner = self.inner.as_deref().ok_or(Errno::EINVAL)?;
        use MapType::*;
        match inner.map_type {
            ArrayOfMaps | HashOfMaps => Err(Errno::EINVAL),
            ProgArray | CgroupStorage | PercpuCgroupStorage | StructOps => Err(Errno::ENOTSUPP),
            _ => inner.check(),
        }
    }

    fn check_name(&self) -> Result<(), Errno> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'.';
        demand(self.name.len() <= 15 && self.name.bytes().all(allowed))
    }

    fn check_btf(&self) -> Result<(), Errno> {
        let Some(btf) = self.btf else { return Ok(()) };
        demand(btf.key.is_none_or(|key| key == self.key_size) && btf.value == self.value_size)?;
        if self.fields.is_empty() {
            return Ok(());
        }
        if self.map_flags & (RDONLY_PROG | WRONLY_PROG) != 0 {
            return Err(Errno::EACCES);
        }
        match self.fields.iter().all(|field| field.kind.allowed_in(self.map_type)) {
            true => Ok(()),
            false => Err(Errno::EOPNOTSUPP),
        }
    }

    fn only(&self, allowed: u32) -> Result<(), Errno> {
        demand(self.map_flags & !allowed == 0)
    }

    /// Whether a map made from `self` can stand where `pattern` was promised (`bpf_map_meta_equal`).
    pub fn fits(&self, pattern: &MapSpec) -> bool {
        let same = self.map_type == pattern.map_type
            && self.key_size == pattern.key_size
            && self.value_size == pattern.value_size
            && self.map_flags == pattern.map_flags
            && self.fields == pattern.fields;
        // Programs have bounds of these compiled in.
        let bounded = match self.map_type {
            MapType::Array => self.map_flags & INNER_MAP == 0,
            MapType::Xskmap => true,
            _ => false,
        };
        same && (!bounded || self.max_entries == pattern.max_entries)
    }
}

impl FieldKind {
    /// Whether values of this type of map can have such a field (`map_check_btf`).
    fn allowed_in(self, map_type: MapType) -> bool {
        use MapType::*;
        let storage = matches!(map_type, SkStorage | InodeStorage | TaskStorage | CgrpStorage);
        match self {
            FieldKind::SpinLock | FieldKind::ResSpinLock => {
                matches!(map_type, Hash | Array | CgroupStorage) || storage
            }
            FieldKind::Timer
            | FieldKind::Workqueue
            | FieldKind::TaskWork
            | FieldKind::ListHead
            | FieldKind::RbRoot => {
                matches!(map_type, Hash | LruHash | Array)
            }
            FieldKind::Uptr => map_type == TaskStorage,
            FieldKind::Kptr | FieldKind::Refcount => {
                let hash = matches!(map_type, Hash | PercpuHash | LruHash | LruPercpuHash);
                hash || matches!(map_type, Array | PercpuArray) || storage
            }
        }
    }
}

fn demand(holds: bool) -> Result<(), Errno> {
    if holds { Ok(()) } else { Err(Errno::EINVAL) }
}

fn at_most(value: u64, most: u64) -> Result<(), Errno> {
    if value <= most { Ok(()) } else { Err(Errno::E2BIG) }
}
