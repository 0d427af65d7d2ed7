//! The types of maps: one row for each, in the order of `enum bpf_map_type`.
//!
//! Whoever needs a name, a number, or wants to know what a type's values are reads this table.

use core::fmt;

/// What the values of a map are, as far as operations on the map care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Bytes that programs read and write.
    Bytes,
    /// Bytes, one copy for each CPU.
    PerCpu,
    /// References to things outside: programs, maps, devices, sockets.
    Objects,
    /// Bytes that belong to an object and go with it.
    Storage,
    /// No elements at all: a buffer or memory.
    None,
}

macro_rules! map_types {
    ($($variant:ident $number:literal $name:literal $values:ident $doc:literal;)*) => {
        /// A type of map. The numbers are those of Linux. Whoever matches on it says something about every type, so that a
        /// new one is missed nowhere.
        ///
        /// ```
        /// use sandbpf_abi::MapType;
        /// assert_eq!((MapType::Hash.number(), MapType::Hash.name()), (1, "hash"));
        /// assert_eq!(MapType::from_name("lpm_trie"), Some(MapType::LpmTrie));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum MapType {
            $(#[doc = $doc] $variant = $number,)*
        }

        impl MapType {
            /// Every type, in the order of their numbers.
            pub const ALL: &[MapType] = &[$(MapType::$variant),*];

            /// The name, as Linux has it after `BPF_MAP_TYPE_`, in lower case.
            pub fn name(self) -> &'static str {
                match self { $(MapType::$variant => $name,)* }
            }

            /// What its values are.
            pub fn values(self) -> ValueKind {
                match self { $(MapType::$variant => ValueKind::$values,)* }
            }
        }
    };
}

map_types! {
    Hash                1  "hash"                  Bytes   "Keys of any bytes.";
    Array               2  "array"                 Bytes   "Indices; every element exists.";
    ProgArray           3  "prog_array"            Objects "Programs to tail-call.";
    PerfEventArray      4  "perf_event_array"      Objects "Buffers for `bpf_perf_event_output`.";
    PercpuHash          5  "percpu_hash"           PerCpu  "A hash with a value for each CPU.";
    PercpuArray         6  "percpu_array"          PerCpu  "An array with a value for each CPU.";
    StackTrace          7  "stack_trace"           Bytes   "Stacks by their id.";
    CgroupArray         8  "cgroup_array"          Objects "Control groups by index.";
    LruHash             9  "lru_hash"              Bytes   "A hash that evicts.";
    LruPercpuHash       10 "lru_percpu_hash"       PerCpu  "A hash that evicts, with a value for each CPU.";
    LpmTrie             11 "lpm_trie"              Bytes   "Prefixes; the longest that matches.";
    ArrayOfMaps         12 "array_of_maps"         Objects "Maps by index.";
    HashOfMaps          13 "hash_of_maps"          Objects "Maps by key.";
    Devmap              14 "devmap"                Objects "Network devices by index.";
    Sockmap             15 "sockmap"               Objects "Sockets by index.";
    Cpumap              16 "cpumap"                Objects "CPUs that packets are redirected to.";
    Xskmap              17 "xskmap"                Objects "`AF_XDP` sockets by index.";
    Sockhash            18 "sockhash"              Objects "Sockets by key.";
    CgroupStorage       19 "cgroup_storage"        Storage "Bytes of a program's attachment to a control group.";
    ReuseportSockarray  20 "reuseport_sockarray"   Objects "Sockets of a reuseport group.";
    PercpuCgroupStorage 21 "percpu_cgroup_storage" Storage "The same, with a value for each CPU.";
    Queue               22 "queue"                 Bytes   "First in, first out.";
    Stack               23 "stack"                 Bytes   "Last in, first out.";
    SkStorage           24 "sk_storage"            Storage "Bytes of a socket.";
    DevmapHash          25 "devmap_hash"           Objects "Network devices by key.";
    StructOps           26 "struct_ops"            None    "A structure of functions that Linux calls.";
    Ringbuf             27 "ringbuf"               None    "Records from programs to their user.";
    InodeStorage        28 "inode_storage"         Storage "Bytes of an inode.";
    TaskStorage         29 "task_storage"          Storage "Bytes of a task.";
    BloomFilter         30 "bloom_filter"          Bytes   "Was this value ever put in? Perhaps.";
    UserRingbuf         31 "user_ringbuf"          None    "Records from the user to programs.";
    CgrpStorage         32 "cgrp_storage"          Storage "Bytes of a control group.";
    Arena               33 "arena"                 None    "Pages that programs and their user share.";
}

impl MapType {
    /// The type with this number; Linux 6.18 has 1 to 33.
    pub fn from_number(number: u32) -> Option<MapType> {
        number.checked_sub(1).and_then(|at| MapType::ALL.get(at as usize)).copied()
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<MapType> {
        MapType::ALL.iter().find(|map_type| map_type.name() == name).copied()
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Whether there is a value for each CPU.
    pub fn is_per_cpu(self) -> bool {
        use MapType::*;
        matches!(self, PercpuHash | PercpuArray | LruPercpuHash | PercpuCgroupStorage)
    }
}

impl fmt::Display for MapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (at, &map_type) in MapType::ALL.iter().enumerate() {
            assert_eq!(map_type.number() as usize, at + 1);
            assert_eq!(MapType::from_number(map_type.number()), Some(map_type));
            assert_eq!(MapType::from_name(map_type.name()), Some(map_type));
        }
        assert_eq!((MapType::from_number(0), MapType::from_number(34)), (None, None));
    }
}
