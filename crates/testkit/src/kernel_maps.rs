//! Maps of the running kernel, through `bpf(2)`.
//!
//! A [`KernelMap`] has the methods of [`sandbpf_maps::User`] and answers with the same types, so that a
//! test can do one thing to both and compare. Nothing here is attached to anything: maps and the
//! smallest program that can stand in a map of programs come and go with their descriptors.
//!
//! # Contract
//!
//! `bpf(2)` reads and writes memory only through the pointers in its attribute. Each of them is made
//! here, from a slice that lives until the call returns and that has the bytes that the kernel takes
//! the map's keys and values to have: the sizes in its own description of the map.

mod btf;
pub mod memory;
pub mod things;
pub mod verdict;

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use sandbpf_maps::{Errno, MapSpec};

const MAP_CREATE: i32 = 0;
const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_DELETE_ELEM: i32 = 3;
const MAP_GET_NEXT_KEY: i32 = 4;
const PROG_LOAD: i32 = 5;
const PROG_TEST_RUN: i32 = 10;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const MAP_LOOKUP_AND_DELETE_ELEM: i32 = 21;
const MAP_FREEZE: i32 = 22;
const MAP_LOOKUP_BATCH: i32 = 24;
const MAP_LOOKUP_AND_DELETE_BATCH: i32 = 25;
const MAP_UPDATE_BATCH: i32 = 26;
const MAP_DELETE_BATCH: i32 = 27;

/// `union bpf_attr`: fields by their offsets.
#[repr(align(8))]
struct Attribute([u8; 152]);

impl Attribute {
    fn new() -> Self {
        Attribute([0; 152])
    }

    fn u32(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn u64(mut self, at: usize, value: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        self
    }

    /// A pointer for the kernel to read; null for no bytes.
    fn input(self, at: usize, bytes: &[u8]) -> Self {
        let address = if bytes.is_empty() { 0 } else { bytes.as_ptr() as u64 };
        self.u64(at, address)
    }

    /// A pointer for the kernel to write; null for no bytes.
    fn output(self, at: usize, bytes: &mut [u8]) -> Self {
        let address = if bytes.is_empty() { 0 } else { bytes.as_mut_ptr() as u64 };
        self.u64(at, address)
    }

    fn get(&self, at: usize) -> u32 {
        self.0[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    fn call(&mut self, command: i32) -> Result<i32, Errno> {
        let (attribute, size) = (self.0.as_mut_ptr(), self.0.len());
        // SAFETY: the attribute has `size` bytes; what its pointers point to, the contract above says.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, attribute, size) };
        if result < 0 {
            return Err(Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or_default()));
        }
        Ok(result as i32)
    }
}

fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just opened it for us, and nobody else knows the number.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Why the kernel cannot be asked, if it cannot.
pub fn unavailable() -> Option<String> {
    let spec = MapSpec::new(sandbpf_maps::MapType::LpmTrie, 8, 4, 1).with_flags(1);
    let running = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let reference = sandbpf::verifier::REFERENCE.version;
    match KernelMap::create(&spec, None) {
        Ok(_) if !is_release_of(&running, reference) => {
            Some(format!("Linux {} runs, and answers are those of {reference}", running.trim()))
        }
        Ok(_) => None,
        Err(errno) => Some(format!("bpf(2) answers {errno}; it needs CAP_BPF and CAP_NET_ADMIN")),
    }
}

/// Whether `6.18.44-generic` is a release of `6.18`.
fn is_release_of(running: &str, version: &str) -> bool {
    running.strip_prefix(version).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// How many CPUs there could be: the number of values of each element in maps with one for each.
pub fn possible_cpus() -> u32 {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = text.trim().rsplit(['-', ',']).next().and_then(|last| last.parse::<u32>().ok());
    last.map_or(1, |last| last + 1)
}

/// Keeps this thread on one CPU, so that lists of each CPU's own are one list.
pub fn stay_on_first_cpu() -> bool {
    let mut set = [0u64; 16];
    set[0] = 1;
    // SAFETY: the set has the size that is passed, and 0 is this thread.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), set.as_ptr().cast()) };
    result == 0
}

/// The id of a map or program.
fn id(descriptor: &OwnedFd) -> Result<u32, Errno> {
    let mut info = [0u8; 232];
    let mut attribute =
        Attribute::new().u32(0, descriptor.as_raw_fd() as u32).u32(4, 232).output(8, &mut info);
    attribute.call(OBJ_GET_INFO_BY_FD)?;
    Ok(info[4..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes)))
}

/// What a program is loaded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramType {
    /// A socket filter.
    SocketFilter,
    /// XDP, to run where a device receives a packet.
    Xdp,
    /// XDP, to run where a map of devices sends a packet.
    XdpOfDevice,
    /// XDP, to run where a map of CPUs sends a packet.
    XdpOfCpu,
    /// A program that users run.
    Syscall,
}

/// A program.
#[derive(Debug)]
pub struct KernelProgram {
    descriptor: OwnedFd,
    id: u32,
}

impl KernelProgram {
    /// Loads a program that returns 0, to be put into maps of programs.
    pub fn trivial() -> Result<KernelProgram, Errno> {
        KernelProgram::trivial_as(ProgramType::SocketFilter)
    }

    /// The same as a program of another type.
    pub fn trivial_as(program_type: ProgramType) -> Result<KernelProgram, Errno> {
        KernelProgram::load_as(program_type, &[0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Loads these instructions.
    pub fn load(code: &[u8]) -> Result<KernelProgram, Errno> {
        KernelProgram::load_as(ProgramType::SocketFilter, code)
    }

    /// Loads these instructions as a program of another type.
    pub fn load_as(program_type: ProgramType, code: &[u8]) -> Result<KernelProgram, Errno> {
        KernelProgram::load_with(program_type, code, None)
    }

    /// Loads a program whose functions start at these slots, described as callbacks must be.
    pub fn load_functions(
        program_type: ProgramType,
        code: &[u8],
        starts: &[u32],
    ) -> Result<KernelProgram, Errno> {
        KernelProgram::load_with(program_type, code, Some(&btf::Functions::load(starts)?))
    }

    fn load_with(
        program_type: ProgramType,
        code: &[u8],
        functions: Option<&btf::Functions>,
    ) -> Result<KernelProgram, Errno> {
        let (number, place, flags) = match program_type {
            ProgramType::SocketFilter => (1, 0, 0),
            ProgramType::Xdp => (6, 37, 0),
            ProgramType::XdpOfDevice => (6, 33, 0),
            ProgramType::XdpOfCpu => (6, 35, 0),
            // Sleepable, as `BPF_PROG_TEST_RUN` of this type demands.
            ProgramType::Syscall => (31, 0, 1 << 4),
        };
        let licence = *b"GPL\0";
        let attribute = Attribute::new().u32(0, number).u32(4, code.len() as u32 / 8).u32(44, flags);
        let mut attribute = attribute.input(8, code).input(16, &licence).u32(68, place);
        if let Some(functions) = functions {
            let count = functions.infos.len() as u32 / btf::Functions::INFO;
            attribute = attribute.u32(72, functions.descriptor.as_raw_fd() as u32);
            attribute = attribute.u32(76, btf::Functions::INFO).input(80, &functions.infos).u32(88, count);
        }
        let descriptor = own(attribute.call(PROG_LOAD)?);
        let id = id(&descriptor)?;
        Ok(KernelProgram { descriptor, id })
    }

    /// `BPF_PROG_TEST_RUN` on an empty packet; what it returns.
    pub fn run(&self) -> Result<u32, Errno> {
        self.run_repeatedly(&[0; 14], 1)
    }

    /// `BPF_PROG_TEST_RUN` on a packet, so many times in a row; what it returns at last.
    pub fn run_repeatedly(&self, packet: &[u8], count: u32) -> Result<u32, Errno> {
        let attribute = Attribute::new().u32(0, self.descriptor.as_raw_fd() as u32);
        let attribute = attribute.u32(8, packet.len() as u32).input(16, packet);
        let mut attribute = attribute.u32(32, count);
        attribute.call(PROG_TEST_RUN)?;
        Ok(attribute.get(4))
    }

    /// `BPF_PROG_TEST_RUN` of a program that users run, on a context that it may change; what it returns.
    pub fn run_with(&self, context: &mut [u8]) -> Result<u32, Errno> {
        let attribute = Attribute::new().u32(0, self.descriptor.as_raw_fd() as u32);
        let mut attribute = attribute.u32(40, context.len() as u32).output(48, context);
        attribute.call(PROG_TEST_RUN)?;
        Ok(attribute.get(4))
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its descriptor.
    pub fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

/// A map of the running kernel.
#[derive(Debug)]
pub struct KernelMap {
    descriptor: OwnedFd,
    key_size: usize,
    value_size: usize,
}

impl KernelMap {
    /// `BPF_MAP_CREATE`; `inner` is the pattern of a map of maps.
    pub fn create(spec: &MapSpec, inner: Option<&KernelMap>) -> Result<KernelMap, Errno> {
        KernelMap::create_with(spec, inner, 0)
    }

    /// The same for a structure of the kernel, whose type has this number among the kernel's.
    pub fn create_struct_ops(spec: &MapSpec, value_type: u32) -> Result<KernelMap, Errno> {
        KernelMap::create_with(spec, None, value_type)
    }

    fn create_with(spec: &MapSpec, inner: Option<&KernelMap>, value_type: u32) -> Result<KernelMap, Errno> {
        let attribute = Attribute::new()
            .u32(0, spec.map_type.number())
            .u32(4, spec.key_size)
            .u32(8, spec.value_size)
            .u32(12, spec.max_entries)
            .u32(16, spec.map_flags)
            .u32(20, inner.map_or(0, |inner| inner.descriptor() as u32))
            .u32(60, value_type)
            .u64(64, spec.map_extra);
        // A structure of the kernel needs types of the program's, whatever they are.
        let types = spec.btf.is_some() || value_type != 0;
        let types = types.then(|| btf::Types::load(spec)).transpose()?;
        let mut attribute = match &types {
            Some(types) if value_type != 0 => attribute.u32(48, types.descriptor.as_raw_fd() as u32),
            Some(types) => types.add_to(attribute),
            None => attribute,
        };
        let name = spec.name.as_bytes();
        // The last of sixteen ends it.
        let count = name.len().min(15);
        attribute.0[28..28 + count].copy_from_slice(&name[..count]);
        let descriptor = own(attribute.call(MAP_CREATE)?);
        let value_size = spec.user_value_size(possible_cpus());
        Ok(KernelMap { descriptor, key_size: spec.key_size as usize, value_size })
    }

    /// Its descriptor.
    pub fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Its id.
    pub fn id(&self) -> Result<u32, Errno> {
        id(&self.descriptor)
    }

    fn attribute(&self) -> Attribute {
        Attribute::new().u32(0, self.descriptor.as_raw_fd() as u32)
    }

    fn check(&self, key: &[u8], value: Option<&[u8]>) {
        assert_eq!(key.len(), self.key_size, "keys have the map's size");
        assert!(value.is_none_or(|value| value.len() == self.value_size), "values have the map's size");
    }

    /// `BPF_MAP_LOOKUP_ELEM`.
    pub fn lookup_into(&self, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        self.check(key, Some(value));
        let mut attribute = self.attribute().input(8, key).output(16, value).u64(24, flags);
        attribute.call(MAP_LOOKUP_ELEM).map(|_| ())
    }

    /// `BPF_MAP_UPDATE_ELEM`.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.check(key, Some(value));
        let mut attribute = self.attribute().input(8, key).input(16, value).u64(24, flags);
        attribute.call(MAP_UPDATE_ELEM).map(|_| ())
    }

    /// `BPF_MAP_DELETE_ELEM`.
    pub fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.check(key, None);
        self.attribute().input(8, key).call(MAP_DELETE_ELEM).map(|_| ())
    }

    /// `BPF_MAP_GET_NEXT_KEY`.
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        self.check(key.unwrap_or(&vec![0; self.key_size]), None);
        let mut next = vec![0; self.key_size];
        let mut attribute = self.attribute().input(8, key.unwrap_or_default()).output(16, &mut next);
        attribute.call(MAP_GET_NEXT_KEY)?;
        Ok(next)
    }

    /// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`.
    pub fn lookup_and_delete(&self, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        self.check(key, None);
        let mut value = vec![0; self.value_size];
        let mut attribute = self.attribute().input(8, key).output(16, &mut value).u64(24, flags);
        attribute.call(MAP_LOOKUP_AND_DELETE_ELEM)?;
        Ok(value)
    }

    /// `BPF_MAP_FREEZE`.
    pub fn freeze(&self) -> Result<(), Errno> {
        self.attribute().call(MAP_FREEZE).map(|_| ())
    }

    /// `BPF_MAP_LOOKUP_BATCH` or, with `delete`, `BPF_MAP_LOOKUP_AND_DELETE_BATCH`: the elements, where
    /// the next batch starts, and how it ended.
    pub fn batch(&self, from: Option<&[u8]>, count: u32, flags: u64, delete: bool) -> KernelBatch {
        // A batch goes on at a key, or at the number of a bucket.
        let mark = self.key_size.max(4);
        let start = from.map(|from| {
            let mut start = from.to_vec();
            start.resize(mark, 0);
            start
        });
        let mut next = vec![0; mark];
        let mut keys = vec![0; self.key_size * count as usize];
        let mut values = vec![0; self.value_size * count as usize];
        let mut attribute = Attribute::new()
            .input(0, start.as_deref().unwrap_or_default())
            .output(8, &mut next)
            .output(16, &mut keys)
            .output(24, &mut values)
            .u32(32, count)
            .u32(36, self.descriptor.as_raw_fd() as u32)
            .u64(40, flags);
        let command = if delete { MAP_LOOKUP_AND_DELETE_BATCH } else { MAP_LOOKUP_BATCH };
        let end = attribute.call(command).err();
        let found = attribute.get(32).min(count) as usize;
        let keys = keys.chunks(self.key_size.max(1)).map(<[u8]>::to_vec);
        let values = values.chunks(self.value_size.max(1)).map(<[u8]>::to_vec);
        KernelBatch { elements: keys.zip(values).take(found).collect(), next, end }
    }
}

impl KernelMap {
    /// `BPF_MAP_UPDATE_BATCH` or, without values, `BPF_MAP_DELETE_BATCH`: how many elements were changed,
    /// and how it ended.
    pub fn change_batch(
        &self,
        keys: &[&[u8]],
        values: Option<&[&[u8]]>,
        flags: u64,
    ) -> (usize, Option<Errno>) {
        keys.iter().for_each(|key| self.check(key, None));
        let all_keys = keys.concat();
        let all_values = values.unwrap_or_default().concat();
        assert!(values.is_none() || all_values.len() == self.value_size * keys.len(), "a value for each key");
        let attribute = Attribute::new().input(16, &all_keys).input(24, &all_values);
        let attribute = attribute.u32(32, keys.len() as u32).u32(36, self.descriptor.as_raw_fd() as u32);
        let mut attribute = attribute.u64(40, flags);
        let command = if values.is_some() { MAP_UPDATE_BATCH } else { MAP_DELETE_BATCH };
        let end = attribute.call(command).err();
        (attribute.get(32) as usize, end)
    }
}

/// What a batch brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelBatch {
    /// Keys and values; as many as were asked for if the call failed at once.
    pub elements: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the next one starts.
    pub next: Vec<u8>,
    /// How it ended.
    pub end: Option<Errno>,
}
