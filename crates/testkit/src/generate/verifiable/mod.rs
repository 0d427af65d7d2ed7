//! Programs that Linux might load: what is tested before it is used, given back when it was taken, and ends.
//!
//! Each is put together of blocks that real programs are made of: tests of packet bounds, looked up values, spilled
//! registers, calls of helpers with sized memory, functions, callbacks, loops, references, locks. In half of the
//! programs a mistake is made now and then (a test is left out, an offset is too large), so that verdicts fall
//! both ways.

mod blocks;
mod body;
mod calls;
mod memory;

use sandbpf::abi::ProgramType;
use sandbpf::maps::{BtfSizes, FieldKind, MapSpec, MapType, SpecialField, flags};

use super::Source;
use body::Body;

/// A program, and on which terms it is verified.
#[derive(Clone, Debug)]
pub struct Sketch {
    /// Its type.
    pub program_type: ProgramType,
    /// Where it would be attached (`enum bpf_attach_type`).
    pub attach_type: u32,
    /// `BPF_F_…`.
    pub flags: u32,
    /// The instructions; what stands for maps and functions of the kernel is 0.
    pub code: Vec<u8>,
    /// Which slots name a map, and which of [`maps`].
    pub maps: Vec<(usize, usize)>,
    /// Which slots call a function of the kernel, and which.
    pub kfuncs: Vec<(usize, &'static str)>,
    /// Where functions start, in slots.
    pub functions: Vec<u32>,
}

impl Sketch {
    /// The instructions with these numbers for maps and functions of the kernel.
    pub fn code_with(&self, map: impl Fn(usize) -> i32, kfunc: impl Fn(&str) -> i32) -> Vec<u8> {
        let mut code = self.code.clone();
        let mut set = |slot: usize, number: i32| {
            code[slot * 8 + 4..slot * 8 + 8].copy_from_slice(&number.to_le_bytes());
        };
        self.maps.iter().for_each(|&(slot, place)| set(slot, map(place)));
        self.kfuncs.iter().for_each(|&(slot, name)| set(slot, kfunc(name)));
        code
    }
}

/// Places of [`maps`].
mod place {
    pub(super) const ARRAY: usize = 0;
    pub(super) const HASH: usize = 1;
    pub(super) const PERCPU: usize = 2;
    pub(super) const LRU: usize = 3;
    pub(super) const RING: usize = 4;
    pub(super) const PROGRAMS: usize = 5;
    pub(super) const LOCKED: usize = 6;
    pub(super) const EVENTS: usize = 7;
    pub(super) const OUTER: usize = 8;
    pub(super) const TRIE: usize = 9;
    pub(super) const QUEUE: usize = 10;
    pub(super) const TRACES: usize = 11;
    pub(super) const READ_ONLY: usize = 12;
}

/// Which of [`maps`] holds programs.
pub const PROGRAMS: usize = place::PROGRAMS;

/// The maps that the programs name.
pub fn maps() -> Vec<MapSpec> {
    let locked = MapSpec {
        btf: Some(BtfSizes { key: Some(4), value: 24 }),
        fields: vec![SpecialField { kind: FieldKind::SpinLock, offset: 4, size: 4 }],
        ..MapSpec::new(MapType::Array, 4, 24, 4)
    };
    let inner = MapSpec::new(MapType::Array, 4, 48, 4);
    let outer =
        MapSpec { inner: Some(Box::new(inner.clone())), ..MapSpec::new(MapType::ArrayOfMaps, 4, 4, 2) };
    vec![
        inner,
        MapSpec::new(MapType::Hash, 8, 16, 8),
        MapSpec::new(MapType::PercpuArray, 4, 32, 2),
        MapSpec::new(MapType::LruHash, 4, 64, 16),
        MapSpec::new(MapType::Ringbuf, 0, 0, 4096),
        MapSpec::new(MapType::ProgArray, 4, 4, 4),
        locked,
        MapSpec::new(MapType::PerfEventArray, 4, 4, 2),
        outer,
        MapSpec::new(MapType::LpmTrie, 8, 8, 4).with_flags(flags::NO_PREALLOC),
        MapSpec::new(MapType::Queue, 0, 8, 4),
        MapSpec::new(MapType::StackTrace, 4, 64, 4),
        MapSpec::new(MapType::Array, 4, 20, 3).with_flags(flags::RDONLY_PROG),
    ]
}

/// The most functions that a program has.
pub const MOST_FUNCTIONS: usize = 6;

/// The number of the type of the program's first function among [`types`]; the others' follow.
pub const FIRST_FUNCTION: u32 = 3;

/// The types of the programs (BTF): functions that return a number.
pub fn types() -> Vec<u8> {
    const INT: u32 = 1 << 24;
    const FUNC: u32 = 12 << 24;
    const FUNC_PROTO: u32 = 13 << 24;
    let mut names = b"\0int\0".to_vec();
    let mut words = vec![1, INT, 4, 32, 0, FUNC_PROTO, 1];
    for number in 0..MOST_FUNCTIONS {
        words.extend([names.len() as u32, FUNC, 2]);
        names.extend(format!("f{number}\0").bytes());
    }
    let size = words.len() as u32 * 4;
    let header = [0x0001_eb9f, 24, 0, size, size, names.len() as u32];
    let mut bytes: Vec<u8> = header.iter().chain(&words).flat_map(|word: &u32| word.to_le_bytes()).collect();
    bytes.extend(names);
    bytes
}

/// A type of program and where it is attached.
const KINDS: &[(ProgramType, u32)] = &[
    (ProgramType::Xdp, 0),
    (ProgramType::Xdp, 0),
    (ProgramType::SchedCls, 0),
    (ProgramType::SchedCls, 0),
    (ProgramType::SocketFilter, 0),
    (ProgramType::Kprobe, 0),
    (ProgramType::Tracepoint, 0),
    (ProgramType::RawTracepoint, 0),
    (ProgramType::PerfEvent, 0),
    (ProgramType::CgroupSkb, 0),
    (ProgramType::CgroupSkb, 1),
    (ProgramType::CgroupSockAddr, 8),
    (ProgramType::CgroupSockAddr, 10),
    (ProgramType::CgroupSockopt, 21),
    (ProgramType::CgroupSysctl, 18),
    (ProgramType::LwtXmit, 0),
    (ProgramType::SkSkb, 0),
    (ProgramType::Syscall, 0),
];

/// `BPF_F_SLEEPABLE`, which programs that users run are.
const SLEEPABLE: u32 = 1 << 4;

/// The program that these bytes choose.
///
/// ```
/// use sandbpf_testkit::generate::{Source, random, verifiable};
/// let sketch = verifiable::sketch(&mut Source::new(&random(1)));
/// assert!(sketch.code.len() % 8 == 0 && sketch.functions[0] == 0);
/// ```
pub fn sketch(source: &mut Source<'_>) -> Sketch {
    let (program_type, attach_type) = source.pick(KINDS);
    let clumsiness = source.pick(&[0, 0, 0, 150, 60, 20]);
    let functions = source.pick(&[1, 1, 1, 2, 2, 3, 4]);
    let callbacks = source.pick(&[0, 0, 1, 2]);
    let mut body = Body::new(source, program_type, clumsiness, functions, callbacks);
    body.write();
    let flags = if program_type == ProgramType::Syscall { SLEEPABLE } else { 0 };
    let functions = body.called();
    let Body { slots, maps, kfuncs, .. } = body;
    Sketch { program_type, attach_type, flags, code: slots.concat(), maps, kfuncs, functions }
}
