//! Helper signatures, and the numbers that other crates name.
//!
//! The words for arguments and results are those of `struct bpf_func_proto`, shortened; beside each
//! stands the kernel's.

use core::fmt;

/// What is known of a helper without its body.
///
/// ```
/// use sandbpf_abi::{ArgSpec, Effect, RetSpec, helpers};
/// let lookup = helpers::MAP_LOOKUP_ELEM;
/// assert_eq!((lookup.id, lookup.name), (1, "map_lookup_elem"));
/// assert_eq!(lookup.args, [ArgSpec::Map, ArgSpec::MapKey]);
/// assert_eq!(lookup.ret, RetSpec::MapValueOrNull);
/// assert!(!lookup.has(Effect::GplOnly));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelperSpec {
    /// The number that programs call it by. Negative numbers are ours: only lowered classic filters
    /// use them.
    pub id: i32,
    /// Its name, without `bpf_`.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What its arguments are called, if that is known.
    pub params: &'static [&'static str],
    /// What it takes, one entry a register.
    pub args: &'static [ArgSpec],
    /// What it returns.
    pub ret: RetSpec,
    /// What else a caller must know.
    pub effects: &'static [Effect],
}

impl HelperSpec {
    /// A helper that takes nothing, returns a number and does nothing: what a declaration that does not
    /// name every field fills up with.
    pub const PLAIN: HelperSpec =
        HelperSpec { id: 0, name: "", doc: "", params: &[], args: &[], ret: RetSpec::Scalar, effects: &[] };

    /// Whether it does that.
    pub fn has(&self, effect: Effect) -> bool {
        self.effects.contains(&effect)
    }
}

impl fmt::Display for HelperSpec {
    /// `map_lookup_elem(map: Map, key: MapKey) -> MapValueOrNull`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (at, arg) in self.args.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            match self.params.get(at) {
                Some(name) => write!(f, "{comma}{name}: {arg:?}")?,
                None => write!(f, "{comma}{arg:?}")?,
            }
        }
        write!(f, ") -> {:?}", self.ret)
    }
}

/// What must be true of an argument.
///
/// A word that ends in `OrNull` also takes zero. `Read`, `Write` and `Update` say what happens to
/// memory; a helper that writes all of it takes memory that was never written before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgSpec {
    /// Any number.
    Scalar,
    /// Anything that was written; a pointer only where pointers may leak (`ARG_ANYTHING`).
    Anything,
    /// The program's context (`ARG_PTR_TO_CTX`).
    Context,
    /// The program's context or null.
    ContextOrNull,
    /// A map, known when the program is loaded (`ARG_CONST_MAP_PTR`).
    Map,
    /// As many bytes as the map's keys have, to be read (`ARG_PTR_TO_MAP_KEY`).
    MapKey,
    /// As many bytes as the map's values have, to be read (`ARG_PTR_TO_MAP_VALUE`).
    MapValue,
    /// The same or null.
    MapValueOrNull,
    /// As many bytes as the map's values have, to be written.
    NewMapValue,
    /// A pointer to bytes that are read, also in memory that can only be read
    /// (`ARG_PTR_TO_MEM | MEM_RDONLY`); their number is in the next argument.
    ReadMem,
    /// The same or null.
    ReadMemOrNull,
    /// A pointer to bytes that are read and written (`ARG_PTR_TO_MEM | MEM_WRITE`); their number is
    /// in the next argument.
    UpdateMem,
    /// The same or null.
    UpdateMemOrNull,
    /// A pointer to bytes that are written (`ARG_PTR_TO_UNINIT_MEM`); their number is in the next
    /// argument.
    WriteMem,
    /// The number of bytes that the argument before points to (`ARG_CONST_SIZE`); not 0.
    MemLen,
    /// The number of bytes that the argument before points to (`ARG_CONST_SIZE_OR_ZERO`).
    MemLenOrZero,
    /// A pointer to so many bytes that are read (`ARG_PTR_TO_FIXED_SIZE_MEM | MEM_RDONLY`).
    FixedMem(u32),
    /// A pointer to so many bytes, aligned, that are read and written.
    FixedUpdate(u32),
    /// A pointer to so many bytes, aligned, that are written.
    FixedWrite(u32),
    /// A constant number of bytes to allocate, or 0 (`ARG_CONST_ALLOC_SIZE_OR_ZERO`).
    AllocLen,
    /// A `struct bpf_spin_lock` in a map value or an allocated object.
    SpinLock,
    /// A `struct bpf_timer` in a map value.
    Timer,
    /// A place for a kernel pointer in a map value or an allocated object (`ARG_KPTR_XCHG_DEST`).
    KptrPlace,
    /// An object of the type of that place, given away, or null.
    ReleasedKptrOrNull,
    /// A dynamic pointer (`ARG_PTR_TO_DYNPTR`), to anything.
    Dynptr,
    /// A place on the stack for a new dynamic pointer of this kind.
    NewDynptr(DynptrKind),
    /// A dynamic pointer to a ring buffer's record, given away.
    ReleasedDynptr,
    /// A record of a ring buffer, given away (`ARG_PTR_TO_RINGBUF_MEM`).
    ReleasedRecord,
    /// A socket: at least its common part (`ARG_PTR_TO_SOCK_COMMON`).
    SockCommon,
    /// A full socket or null (`ARG_PTR_TO_SOCKET`).
    SocketOrNull,
    /// A socket of any form, also the kernel's own types (`ARG_PTR_TO_BTF_ID_SOCK_COMMON`).
    AnySock,
    /// The same or null.
    AnySockOrNull,
    /// A socket that was looked up, given back.
    ReleasedSock,
    /// An object of the kernel of this type (`ARG_PTR_TO_BTF_ID`).
    Btf(&'static str),
    /// The same or null.
    BtfOrNull(&'static str),
    /// A per-processor variable of the kernel (`ARG_PTR_TO_PERCPU_BTF_ID`).
    PercpuBtf,
    /// A function of the program (`ARG_PTR_TO_FUNC`).
    Callback,
    /// A pointer to the stack, for the callback, or null (`ARG_PTR_TO_STACK_OR_NULL`).
    StackOrNull,
    /// A string with its zero byte in a map that cannot change (`ARG_PTR_TO_CONST_STR`).
    ConstStr,
}

impl ArgSpec {
    /// Whether zero is taken for a pointer.
    pub const fn takes_null(self) -> bool {
        matches!(
            self,
            ArgSpec::ContextOrNull
                | ArgSpec::MapValueOrNull
                | ArgSpec::ReadMemOrNull
                | ArgSpec::UpdateMemOrNull
                | ArgSpec::ReleasedKptrOrNull
                | ArgSpec::SocketOrNull
                | ArgSpec::AnySockOrNull
                | ArgSpec::BtfOrNull(_)
                | ArgSpec::StackOrNull
        )
    }

    /// Whether what it points to is no longer the program's afterwards.
    pub const fn releases(self) -> bool {
        matches!(
            self,
            ArgSpec::ReleasedKptrOrNull
                | ArgSpec::ReleasedDynptr
                | ArgSpec::ReleasedRecord
                | ArgSpec::ReleasedSock
        )
    }

    /// Whether it is a pointer whose length is in the next argument.
    pub const fn is_sized_by_next(self) -> bool {
        matches!(
            self,
            ArgSpec::ReadMem
                | ArgSpec::ReadMemOrNull
                | ArgSpec::UpdateMem
                | ArgSpec::UpdateMemOrNull
                | ArgSpec::WriteMem
        )
    }
}

/// What a new dynamic pointer points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynptrKind {
    /// Memory of the program.
    Local,
    /// A record of a ring buffer.
    Ringbuf,
}

/// What a helper returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetSpec {
    /// A number (`RET_INTEGER`).
    Scalar,
    /// Nothing: `r0` is unreadable afterwards (`RET_VOID`).
    Void,
    /// A value of the map (`RET_PTR_TO_MAP_VALUE`).
    MapValue,
    /// A value of the map or null.
    MapValueOrNull,
    /// A full socket or null (`RET_PTR_TO_SOCKET_OR_NULL`).
    SocketOrNull,
    /// A TCP socket or null (`RET_PTR_TO_TCP_SOCK_OR_NULL`).
    TcpSockOrNull,
    /// The common part of a socket, or null (`RET_PTR_TO_SOCK_COMMON_OR_NULL`).
    SockCommonOrNull,
    /// A record of a ring buffer, as long as the argument said, or null.
    RecordOrNull,
    /// As many bytes of a dynamic pointer as the argument said, or null.
    SliceOrNull,
    /// What the place held before, or null.
    KptrOrNull,
    /// The per-processor variable, to be read, if its type is a number, else its object.
    Percpu,
    /// The same or null.
    PercpuOrNull,
    /// An object of the kernel of this type (`RET_PTR_TO_BTF_ID`).
    Btf(&'static str),
    /// An object of this type that may be handed on (`RET_PTR_TO_BTF_ID_TRUSTED`).
    TrustedBtf(&'static str),
    /// An object of this type or null (`RET_PTR_TO_BTF_ID_OR_NULL`).
    BtfOrNull(&'static str),
}

impl RetSpec {
    /// Whether the pointer must be compared with null before it is used.
    pub const fn may_be_null(self) -> bool {
        matches!(
            self,
            RetSpec::MapValueOrNull
                | RetSpec::SocketOrNull
                | RetSpec::TcpSockOrNull
                | RetSpec::SockCommonOrNull
                | RetSpec::RecordOrNull
                | RetSpec::SliceOrNull
                | RetSpec::KptrOrNull
                | RetSpec::PercpuOrNull
                | RetSpec::BtfOrNull(_)
        )
    }
}

/// What a caller must know beside arguments and result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Only for programs with a license compatible with the GPL (`gpl_only`).
    GplOnly,
    /// Takes memory of the packet for its arguments (`pkt_access`).
    PacketMemory,
    /// Only for programs that may sleep (`might_sleep`).
    Sleeps,
    /// Pointers into the packet are worthless afterwards (`bpf_helper_changes_pkt_data`).
    ChangesPacket,
    /// Pointers into the packet are worthless to who called the function that calls it: another program
    /// may run in its place and return to them (`mark_subprog_changes_pkt_data`).
    ChangesForCallers,
    /// What it returns must be released (`is_acquire_function`).
    Acquires,
    /// Returns at most the length it was given, or a small negative error
    /// (`do_refine_retval_range`).
    ReturnsLength,
    /// Returns less than the number of processors.
    ReturnsCpu,
    /// Leaves registers alone that it takes no arguments from (`allow_fastcall`).
    KeepsRegisters,
}

/// `bpf_tail_call`: the one that may end the function that calls it.
pub const TAIL_CALL: i32 = 12;
/// `bpf_ktime_get_ns`.
pub const KTIME_GET_NS: i32 = 5;
/// `bpf_get_prandom_u32`.
pub const GET_PRANDOM_U32: i32 = 7;
/// `bpf_get_smp_processor_id`.
pub const GET_SMP_PROCESSOR_ID: i32 = 8;
/// Where the payload starts (`SKF_AD_PAY_OFFSET`); takes the context.
pub const PAYLOAD_OFFSET: i32 = -1;
/// Finds a netlink attribute (`SKF_AD_NLATTR`); takes the context, A and X.
pub const NLATTR: i32 = -2;
/// Finds a nested netlink attribute (`SKF_AD_NLATTR_NEST`); takes the context, A and X.
pub const NLATTR_NEST: i32 = -3;
/// Never implemented: what reaches it traps.
pub const UNDEFINED: i32 = i32::MIN;
