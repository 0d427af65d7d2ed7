//! Maps: what an object asks the kernel to make before its programs are loaded.
//!
//! Three sources, one [`MapDef`]: definitions in types (`.maps`, [`declared`]), the structures of earlier loaders
//! (`maps`, [`legacy`]), and sections of global data, each a map of one value ([`data`]).

pub(crate) mod arena;
pub(crate) mod data;
pub(crate) mod declared;
pub(crate) mod legacy;
pub(crate) mod struct_ops;

use crate::btf::TypeId;
use crate::{MapNumber, MapType};

/// A map that the programs of an object use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapDef {
    /// What loaders show.
    pub name: String,
    /// What the kernel is told, up to 15 characters.
    pub kernel_name: String,
    /// The section it comes from.
    pub section: String,
    /// What it is.
    pub map_type: MapNumber,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// How many entries it may have.
    pub max_entries: u32,
    /// `BPF_F_…` of its creation.
    pub flags: u32,
    /// What the type needs beyond (`map_extra`).
    pub extra: u64,
    /// The memory node, with the flag `BPF_F_NUMA_NODE`.
    pub numa_node: u32,
    /// Shared by a name in the file system.
    pub pinning: Pinning,
    /// The type of keys, zero if unknown.
    pub key_type: TypeId,
    /// The type of values, zero if unknown.
    pub value_type: TypeId,
    /// What the maps in this map of maps look like.
    pub inner: Option<Box<MapDef>>,
    /// What stands in it from the beginning: maps or programs by name.
    pub slots: Vec<InitialSlot>,
    /// Why it exists.
    pub kind: MapKind,
    /// The bytes of its only value, for global data; none where they are all zero. The variables of an arena, at its
    /// start.
    pub initial: Option<Vec<u8>>,
    /// A loader makes it without being asked (not so for `?.struct_ops`).
    pub autocreate: bool,
    /// How many bytes of an arena are variables.
    pub(crate) variables: Option<u32>,
    pub(crate) place: Place,
}

/// Where in the file a map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) section: usize,
    pub(crate) offset: u64,
    /// Where in the definition its initial entries begin, if it can have some.
    pub(crate) values: Option<u64>,
}

impl Place {
    pub(crate) fn new(section: usize, offset: u64) -> Self {
        Self { section, offset, values: None }
    }
}

/// How a map is shared by a name in the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pinning {
    /// Not at all.
    #[default]
    None,
    /// Under its name (`LIBBPF_PIN_BY_NAME`).
    ByName,
    /// By a rule that only some loaders know.
    Other(u32),
}

impl Pinning {
    pub(crate) fn from_number(number: u32) -> Self {
        match number {
            0 => Self::None,
            1 => Self::ByName,
            other => Self::Other(other),
        }
    }
}

/// An entry that a map has from the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialSlot {
    /// Its key.
    pub index: u32,
    /// The map or program.
    pub target: String,
}

/// Why a map exists.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapKind {
    /// The source defines it.
    Declared,
    /// Variables with a value.
    Data,
    /// Constants; frozen when they have been written.
    Rodata,
    /// Variables that begin as zero.
    Bss,
    /// Values of the kernel's configuration; frozen when they have been written.
    Kconfig,
    /// Functions that the kernel calls.
    StructOps(StructOps),
}

impl MapKind {
    /// Made by the loader, not by the source.
    pub fn is_internal(&self) -> bool {
        matches!(self, Self::Data | Self::Rodata | Self::Bss | Self::Kconfig)
    }

    /// Programs cannot write it, and user space no more once the loader has filled it.
    pub fn is_frozen(&self) -> bool {
        matches!(self, Self::Rodata | Self::Kconfig)
    }
}

/// A structure of functions that the kernel calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructOps {
    /// The structure, without flavour.
    pub name: String,
    /// The structure's type in the object.
    pub ty: TypeId,
    /// The structure's type in the kernel, if it was asked and has it.
    pub kernel_type: Option<TypeId>,
    /// Members and the programs that stand in them.
    pub programs: Vec<(String, String)>,
    /// The structure's bytes; functions are zero.
    pub data: Vec<u8>,
}

impl MapDef {
    pub(crate) fn new(name: &str, section: &str, place: Place, kind: MapKind) -> Self {
        Self {
            name: name.to_owned(),
            kernel_name: name.chars().take(15).collect(),
            section: section.to_owned(),
            map_type: MapNumber::default(),
            key_size: 0,
            value_size: 0,
            max_entries: 0,
            flags: 0,
            extra: 0,
            numa_node: 0,
            pinning: Pinning::None,
            key_type: 0,
            value_type: 0,
            inner: None,
            slots: Vec::new(),
            kind,
            initial: None,
            autocreate: true,
            variables: None,
            place,
        }
    }

    /// How many bytes of variables are in it.
    pub(crate) fn data_size(&self) -> usize {
        self.variables.unwrap_or(self.value_size) as usize
    }

    /// A map of maps.
    pub fn is_outer(&self) -> bool {
        is_outer(self.map_type)
    }

    /// The types of key and value that the kernel is told: some kinds of maps refuse them.
    pub fn kernel_types(&self) -> (TypeId, TypeId) {
        use MapType::*;
        match self.map_type.known() {
            Some(
                PerfEventArray | CgroupArray | StackTrace | ArrayOfMaps | HashOfMaps | Devmap | DevmapHash
                | Cpumap | Xskmap | Sockmap | Sockhash | Queue | Stack | Arena,
            ) => (0, 0),
            _ => (self.key_type, self.value_type),
        }
    }

    /// Gives it another size before it is made, as `bpf_map__set_max_entries` of libbpf does: entries, or bytes of a ring
    /// buffer, which become whole pages, a power of two of them.
    ///
    /// ```
    /// use sandbpf_elf::Object;
    /// # let file = include_bytes!("../../tests/data/maps.o");
    /// let mut object = Object::parse(file)?;
    /// object.map_mut("ring").expect("a ring buffer").set_max_entries(5000);
    /// assert_eq!(object.map("ring").unwrap().max_entries, 8192);
    /// # Ok::<(), sandbpf_elf::ObjectError>(())
    /// ```
    pub fn set_max_entries(&mut self, entries: u32) {
        self.max_entries = match self.map_type.known() {
            Some(MapType::Ringbuf | MapType::UserRingbuf) => ring_size(entries),
            _ => entries,
        };
    }

    /// What loaders adjust before they make the map: ring buffers get whole pages, a power of two of them; perf
    /// event arrays without a size one entry per processor.
    pub(crate) fn adjust(&mut self, processors: Option<u32>) {
        self.set_max_entries(self.max_entries);
        if self.map_type == MapType::PerfEventArray && self.max_entries == 0 {
            self.max_entries = processors.unwrap_or(0);
        }
        if let Some(inner) = &mut self.inner {
            inner.adjust(processors);
        }
    }
}

pub(crate) fn is_outer(map_type: MapNumber) -> bool {
    map_type == MapType::ArrayOfMaps || map_type == MapType::HashOfMaps
}

const PAGE: u32 = 4096;

fn ring_size(size: u32) -> u32 {
    if size == 0 || (size.is_multiple_of(PAGE) && (size / PAGE).is_power_of_two()) {
        return size;
    }
    // What is too large for the next power of two stays as it is, for the kernel to refuse.
    (size / PAGE)
        .checked_add(1)
        .and_then(u32::checked_next_power_of_two)
        .and_then(|pages| pages.checked_mul(PAGE))
        .unwrap_or(size)
}
