//! What a program is verified against: its type and its loader's rights, its maps, its functions' signatures,
//! and the limits of the reference kernel.

use sandbpf_abi as abi;
use sandbpf_isa::{MapRef, Pc};

use crate::{Fault, Target, Types};

/// The kernel whose verdicts are reproduced.
pub const REFERENCE: Kernel = Kernel { version: "6.18", limits: Limits::LINUX_6_18 };

/// A kernel as a reference.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Its version.
    pub version: &'static str,
    /// How much it is willing to look at.
    pub limits: Limits,
}

/// How much work a program may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instructions processed over all paths (`BPF_COMPLEXITY_LIMIT_INSNS`).
    pub processed: u32,
    /// States that wait to be explored (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
    pub pending: usize,
    /// States kept at one instruction for a loader without `CAP_BPF` (`BPF_COMPLEXITY_LIMIT_STATES`).
    pub states_per_insn: u32,
    /// Frames on the stack (`MAX_CALL_FRAMES`).
    pub frames: usize,
    /// Bytes of stack of all frames (`MAX_BPF_STACK`).
    pub stack: i32,
    /// Functions of a program (`BPF_MAX_SUBPROGS`).
    pub functions: usize,
    /// Maps that a program uses (`MAX_USED_MAPS`).
    pub maps: usize,
    /// Instructions of a loader with `CAP_BPF`; without it 4096.
    pub insns: usize,
    /// Bytes of all states that are kept at a time. Linux takes what memory there is.
    pub memory: usize,
    /// Steps of comparing states, of tracing values back and the like, beside the instructions. Linux takes its time.
    pub work: u64,
}

impl Limits {
    /// Those of Linux 6.18.
    pub const LINUX_6_18: Limits = Limits {
        processed: 1_000_000,
        pending: 8192,
        states_per_insn: 64,
        frames: 8,
        stack: 512,
        functions: 256,
        maps: 64,
        insns: 1_000_000,
        memory: 512 << 20,
        work: 400_000_000,
    };
}

/// What the verifier must know of a map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MapShape {
    /// Its name, for messages.
    pub name: String,
    /// Its type, as numbered by `enum bpf_map_type`.
    pub map_type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// How many entries it has, at most or in all.
    pub max_entries: u32,
    /// `BPF_F_*` of its creation.
    pub flags: u32,
    /// For maps of maps: which of the environment's maps shows the shape of those inside.
    pub inner: Option<usize>,
    /// What it holds, if that can never change: data sections that are frozen and read-only.
    pub contents: Option<Vec<u8>>,
    /// Whether user space can no longer change it.
    pub frozen: bool,
    /// What its values hold beside plain bytes.
    pub fields: Vec<SpecialField>,
    /// The type of its values in the program's type information.
    pub value_type: Option<u32>,
    /// Whether its creator gave type information for it.
    pub has_btf: bool,
    /// For an arena: whether user space sees it somewhere, by `map_extra` or `mmap`.
    pub mapped: bool,
    /// What a program array's programs are: `None` until its first program is known.
    pub owner: Option<Owner>,
}

/// `BPF_F_RDONLY_PROG`.
pub(crate) const RDONLY_PROG: u32 = 1 << 7;

impl MapShape {
    /// Whether programs may only read it. For maps of devices the kernel sees to that itself (`dev_map_init_map`).
    pub(crate) fn read_only(&self) -> bool {
        self.flags & RDONLY_PROG != 0 || matches!(self.map_type, map_type::DEVMAP | map_type::DEVMAP_HASH)
    }
}

/// What programs a map of programs takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Their type.
    pub program_type: abi::ProgramType,
}

/// Something in a map's value, or in an allocated object, that is no plain memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialField {
    /// What it is.
    pub kind: FieldKind,
    /// Where it starts, in bytes.
    pub offset: u32,
    /// How many bytes it has.
    pub size: u32,
}

/// The kinds of special fields (`enum btf_field_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// `struct bpf_spin_lock`.
    SpinLock,
    /// `struct bpf_res_spin_lock`.
    ResSpinLock,
    /// `struct bpf_timer`.
    Timer,
    /// `struct bpf_wq`.
    Workqueue,
    /// `struct bpf_task_work`.
    TaskWork,
    /// A pointer to an object of the kernel or the program.
    Kptr {
        /// What it may hold.
        kind: KptrKind,
        /// Its type.
        target: TypeRef,
    },
    /// A pointer to memory of user space that is pinned (`__uptr`).
    Uptr {
        /// Its type.
        target: TypeRef,
    },
    /// `struct bpf_list_head`.
    ListHead {
        /// The type of the nodes.
        target: TypeRef,
        /// Where in them the node is.
        node: u32,
    },
    /// `struct bpf_list_node`.
    ListNode,
    /// `struct bpf_rb_root`.
    RbRoot {
        /// The type of the nodes.
        target: TypeRef,
        /// Where in them the node is.
        node: u32,
    },
    /// `struct bpf_rb_node`.
    RbNode,
    /// `struct bpf_refcount`.
    Refcount,
}

/// How a kernel pointer in memory is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KptrKind {
    /// Not referenced (`__kptr_untrusted`).
    Untrusted,
    /// Referenced (`__kptr`).
    Referenced,
    /// To memory of every processor (`__percpu_kptr`).
    Percpu,
}

/// A type in some type information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeRef {
    /// In which: 0 is the kernel's, 1 the program's own, others are modules'.
    pub btf: u16,
    /// Its number.
    pub id: u32,
}

impl TypeRef {
    /// A type of the kernel.
    pub const fn kernel(id: u32) -> Self {
        TypeRef { btf: 0, id }
    }

    /// A type of the kernel, or of a module if that has a number.
    pub const fn kernel_or_module(id: u32, module: i32) -> Self {
        TypeRef { btf: if module == 0 { 0 } else { 2 }, id }
    }

    /// A type of the program.
    pub const fn program(id: u32) -> Self {
        TypeRef { btf: 1, id }
    }
}

/// What is known of a function of the program beside its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its first instruction.
    pub entry: Pc,
    /// Its name.
    pub name: String,
    /// Whether it is global: verified for itself, by its signature alone.
    pub global: bool,
    /// Its type (`BTF_KIND_FUNC`) in the program's type information.
    pub type_id: u32,
    /// Whether it is unreliable: its arguments changed when it was compiled (static functions).
    pub unreliable: bool,
}

/// A line of the source, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The first instruction that comes from it, in slots.
    pub slot: u32,
    /// Its text and where it stands: `return x; @ file.c:12`.
    pub text: String,
}

/// What a program is verified against.
pub struct Environment<'e> {
    /// Type, attach point, license and rights.
    pub program: abi::Program<'e>,
    /// The loader has `CAP_NET_ADMIN`, for program types of the network.
    pub net_admin: bool,
    /// The maps; inner maps' shapes among them.
    pub maps: &'e [MapShape],
    /// Which map an instruction names.
    pub map_of: &'e dyn Fn(MapRef) -> Option<usize>,
    /// What is known of the program's functions.
    pub signatures: &'e [Signature],
    /// The lines of the source, in the order of their instructions.
    pub lines: &'e [SourceLine],
    /// The function that catches what is thrown.
    pub exception_callback: Option<Pc>,
    /// Type information, where there is any.
    pub types: Option<&'e dyn Types>,
    /// What the program is attached to, if its context depends on it.
    pub target: Option<&'e Target>,
    /// `BPF_F_*` of the load.
    pub flags: LoadFlags,
    /// How much work it may be.
    pub limits: Limits,
    /// How many processors the machine has.
    pub processors: u32,
    /// Whether the kernel knows the addresses of its variables (`CONFIG_KALLSYMS_ALL`), and not of functions alone.
    pub data_symbols: bool,
    /// How much is written down: the kernel's log levels 0, 1, 2 and 4.
    pub log_level: u32,
    /// Instructions whose bytes were mended, and what is wrong with them ([`mended`](crate::mended)).
    pub faults: &'e [(Pc, Fault)],
    /// Whether the states that are seen are kept ([`Verified::states`](crate::Verified::states)).
    pub keeps_states: bool,
}

/// Flags of a load (`BPF_F_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadFlags {
    /// `BPF_F_STRICT_ALIGNMENT`.
    pub strict_alignment: bool,
    /// `BPF_F_ANY_ALIGNMENT`.
    pub any_alignment: bool,
    /// `BPF_F_TEST_STATE_FREQ`: a state is kept at every point where one can be.
    pub test_state_freq: bool,
    /// `BPF_F_TEST_REG_INVARIANTS`.
    pub test_reg_invariants: bool,
    /// `BPF_F_XDP_HAS_FRAGS`.
    pub xdp_has_frags: bool,
    /// `BPF_F_XDP_DEV_BOUND_ONLY`: it is for one device.
    pub xdp_dev_bound: bool,
}

impl LoadFlags {
    /// The flags of this number.
    pub const fn from_bits(bits: u32) -> Self {
        LoadFlags {
            strict_alignment: bits & 1 != 0,
            any_alignment: bits & 2 != 0,
            test_state_freq: bits & 8 != 0,
            xdp_has_frags: bits & 32 != 0,
            xdp_dev_bound: bits & 64 != 0,
            test_reg_invariants: bits & 128 != 0,
        }
    }
}

/// What a program may do by the rights of its loader (`bpf_verifier_env`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) bpf: bool,
    pub(crate) ptr_leaks: bool,
    pub(crate) uninit_stack: bool,
    pub(crate) spec_v1: bool,
    pub(crate) spec_v4: bool,
    pub(crate) strict: bool,
    pub(crate) check_invariants: bool,
    pub(crate) test_state_freq: bool,
}

impl<'e> Environment<'e> {
    /// A program of this kind, without maps and type information, on two processors.
    pub fn new(program: abi::Program<'e>) -> Self {
        Environment {
            program,
            net_admin: true,
            maps: &[],
            map_of: &|_| None,
            signatures: &[],
            lines: &[],
            exception_callback: None,
            types: None,
            target: None,
            flags: LoadFlags::default(),
            limits: REFERENCE.limits,
            processors: 2,
            data_symbols: true,
            log_level: 0,
            faults: &[],
            keeps_states: false,
        }
    }

    pub(crate) fn rights(&self) -> Rights {
        let powers = self.program.powers;
        let perfmon = powers.perfmon;
        // On x86-64 unaligned accesses are efficient: only the flag makes alignment strict.
        Rights {
            bpf: powers.bpf,
            ptr_leaks: perfmon,
            uninit_stack: perfmon,
            spec_v1: perfmon,
            spec_v4: perfmon,
            strict: self.flags.strict_alignment && !self.flags.any_alignment,
            check_invariants: powers.bpf && self.flags.test_reg_invariants,
            test_state_freq: powers.bpf && self.flags.test_state_freq,
        }
    }
}

/// Map types, as the verifier tells them apart.
#[allow(dead_code, missing_docs)]
pub(crate) mod map_type {
    use sandbpf_abi::MapType;

    pub(crate) const HASH: u32 = MapType::Hash.number();
    pub(crate) const ARRAY: u32 = MapType::Array.number();
    pub(crate) const PROG_ARRAY: u32 = MapType::ProgArray.number();
    pub(crate) const PERF_EVENT_ARRAY: u32 = MapType::PerfEventArray.number();
    pub(crate) const PERCPU_HASH: u32 = MapType::PercpuHash.number();
    pub(crate) const PERCPU_ARRAY: u32 = MapType::PercpuArray.number();
    pub(crate) const STACK_TRACE: u32 = MapType::StackTrace.number();
    pub(crate) const CGROUP_ARRAY: u32 = MapType::CgroupArray.number();
    pub(crate) const LRU_HASH: u32 = MapType::LruHash.number();
    pub(crate) const LRU_PERCPU_HASH: u32 = MapType::LruPercpuHash.number();
    pub(crate) const LPM_TRIE: u32 = MapType::LpmTrie.number();
    pub(crate) const ARRAY_OF_MAPS: u32 = MapType::ArrayOfMaps.number();
    pub(crate) const HASH_OF_MAPS: u32 = MapType::HashOfMaps.number();
    pub(crate) const DEVMAP: u32 = MapType::Devmap.number();
    pub(crate) const SOCKMAP: u32 = MapType::Sockmap.number();
    pub(crate) const CPUMAP: u32 = MapType::Cpumap.number();
    pub(crate) const XSKMAP: u32 = MapType::Xskmap.number();
    pub(crate) const SOCKHASH: u32 = MapType::Sockhash.number();
    pub(crate) const CGROUP_STORAGE: u32 = MapType::CgroupStorage.number();
    pub(crate) const REUSEPORT_SOCKARRAY: u32 = MapType::ReuseportSockarray.number();
    pub(crate) const PERCPU_CGROUP_STORAGE: u32 = MapType::PercpuCgroupStorage.number();
    pub(crate) const QUEUE: u32 = MapType::Queue.number();
    pub(crate) const STACK: u32 = MapType::Stack.number();
    pub(crate) const SK_STORAGE: u32 = MapType::SkStorage.number();
    pub(crate) const DEVMAP_HASH: u32 = MapType::DevmapHash.number();
    pub(crate) const STRUCT_OPS: u32 = MapType::StructOps.number();
    pub(crate) const RINGBUF: u32 = MapType::Ringbuf.number();
    pub(crate) const INODE_STORAGE: u32 = MapType::InodeStorage.number();
    pub(crate) const TASK_STORAGE: u32 = MapType::TaskStorage.number();
    pub(crate) const BLOOM_FILTER: u32 = MapType::BloomFilter.number();
    pub(crate) const USER_RINGBUF: u32 = MapType::UserRingbuf.number();
    pub(crate) const CGRP_STORAGE: u32 = MapType::CgrpStorage.number();
    pub(crate) const ARENA: u32 = MapType::Arena.number();
}
