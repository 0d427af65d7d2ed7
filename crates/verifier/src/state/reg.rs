//! What is known of a register: nothing, a number, or a pointer and where it may point.

use crate::domain::Scalar;
use crate::environment::TypeRef;

/// What a register holds (`enum bpf_reg_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing that may be read.
    Uninit,
    /// A number.
    Scalar,
    /// The program's context.
    Context,
    /// A map.
    Map(u16),
    /// A value of a map.
    MapValue(u16),
    /// A key of a map.
    MapKey(u16),
    /// The stack of a frame.
    Stack,
    /// Before the packet.
    PacketMeta,
    /// The packet.
    Packet,
    /// The packet's end.
    PacketEnd,
    /// The flow dissector's keys.
    FlowKeys,
    /// A full socket.
    Socket,
    /// The common part of a socket.
    SockCommon,
    /// A TCP socket.
    TcpSock,
    /// An XDP socket.
    XdpSock,
    /// The buffer of a writable tracepoint.
    TpBuffer,
    /// An object of the kernel, or one that the program allocated.
    Btf(TypeRef),
    /// So many bytes.
    Mem(u32),
    /// Bytes whose number is known when the program ends.
    Buf,
    /// Memory of an arena.
    Arena,
    /// A function of the program.
    Func(u32),
    /// A dynamic pointer; on the stack, one of its two slots.
    Dynptr {
        /// What it points to.
        of: Dynptr,
        /// The lower half of the two slots comes second.
        first: bool,
    },
    /// A slot of an open-coded iterator.
    Iter {
        /// The struct.
        of: TypeRef,
        /// Where it stands.
        state: IterState,
        /// How often it was advanced.
        depth: u32,
        /// Whether this is its first slot, which holds the reference.
        first: bool,
    },
    /// Saved interrupt flags.
    IrqFlag {
        /// Whether they belong to a lock.
        lock: bool,
    },
}

/// What a dynamic pointer points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dynptr {
    /// Not known.
    Invalid,
    /// Memory of the program.
    Local,
    /// A record of a ring buffer.
    Ringbuf,
    /// A packet.
    Skb,
    /// A frame.
    Xdp,
    /// The metadata of a packet.
    SkbMeta,
}

/// Where an iterator stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IterState {
    /// It may give more.
    Active,
    /// It has given its last.
    Drained,
}

/// What else is true of a pointer (`enum bpf_type_flag`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u32);

#[allow(missing_docs)]
impl Flags {
    pub const NONE: Flags = Flags(0);
    /// It may be null.
    pub const MAYBE_NULL: Flags = Flags(1);
    /// It may only be read through.
    pub const RDONLY: Flags = Flags(2);
    /// It points to a record of a ring buffer.
    pub const RINGBUF: Flags = Flags(4);
    /// It points to memory of user space.
    pub const USER: Flags = Flags(8);
    /// It points to memory of every processor.
    pub const PERCPU: Flags = Flags(16);
    /// It cannot be trusted: reads may fault and give zero.
    pub const UNTRUSTED: Flags = Flags(32);
    /// The program allocated it.
    pub const ALLOC: Flags = Flags(64);
    /// It is valid and may be handed to functions of the kernel.
    pub const TRUSTED: Flags = Flags(128);
    /// It is valid as long as the RCU lock is held.
    pub const RCU: Flags = Flags(256);
    /// It points to a node that a list or tree owns.
    pub const NON_OWN_REF: Flags = Flags(512);
    /// A slice of a packet.
    pub const DYNPTR_SKB: Flags = Flags(1024);
    /// A slice of a frame.
    pub const DYNPTR_XDP: Flags = Flags(2048);
    /// A slice of a packet's metadata.
    pub const DYNPTR_SKB_META: Flags = Flags(4096);

    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

/// That a scalar's number is that of others with its id plus its `off`: all 64 bits …
pub const ADD_CONST64: u32 = 1 << 31;
/// … or the low 32, with zeros above (`BPF_ADD_CONST32`).
pub const ADD_CONST32: u32 = 1 << 30;
/// Either.
pub const ADD_CONST: u32 = ADD_CONST64 | ADD_CONST32;

/// A packet range that is known by comparing with the end: at the end …
pub const AT_PKT_END: i32 = -1;
/// … or behind it.
pub const BEYOND_PKT_END: i32 = -2;

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reg {
    /// What it holds.
    pub kind: Kind,
    /// What else is true of a pointer.
    pub flags: Flags,
    /// The constant part of a pointer's offset; of a scalar that is linked, its distance.
    pub off: i32,
    /// Of packet pointers, how many bytes behind them are known to be there; of maps and what is in them, which of
    /// several inner maps it is.
    pub range: i32,
    /// Which registers came from the same place: what is learnt of one holds of all.
    pub id: u32,
    /// Which reference must be released.
    pub ref_id: u32,
    /// Of stack pointers, the frame.
    pub frame: u8,
    /// Whether its exact range matters for what was accepted.
    pub precise: bool,
    /// The number, or the variable part of a pointer's offset.
    pub num: Scalar,
}

impl Reg {
    /// Nothing is known.
    pub const UNINIT: Reg = Reg {
        kind: Kind::Uninit,
        flags: Flags::NONE,
        off: 0,
        range: 0,
        id: 0,
        ref_id: 0,
        frame: 0,
        precise: false,
        num: Scalar::UNKNOWN,
    };

    /// Any number.
    pub const fn unknown(precise: bool) -> Reg {
        Reg { kind: Kind::Scalar, precise, ..Reg::UNINIT }
    }

    /// This number.
    pub fn known(value: u64) -> Reg {
        Reg { kind: Kind::Scalar, num: Scalar::known(value), ..Reg::UNINIT }
    }

    /// A pointer to the start of something.
    pub fn pointer(kind: Kind, flags: Flags) -> Reg {
        Reg { kind, flags, num: Scalar::known(0), ..Reg::UNINIT }
    }

    /// Whether it is a number.
    pub fn is_scalar(&self) -> bool {
        self.kind == Kind::Scalar
    }

    /// Whether it may be null.
    pub fn may_be_null(&self) -> bool {
        self.flags.has(Flags::MAYBE_NULL)
    }

    /// The same type: what and which flags, whatever its place.
    pub fn same_type(&self, other: &Reg) -> bool {
        same_kind(&self.kind, &other.kind) && self.flags == other.flags
    }

    /// Everything but ids and precision (`regs_exact` without its ids).
    pub fn same_but_ids(&self, other: &Reg) -> bool {
        self.kind == other.kind
            && self.flags == other.flags
            && self.off == other.off
            && self.range == other.range
            && self.num == other.num
    }

    /// Whether it is the number zero.
    pub fn is_zero(&self) -> bool {
        self.is_scalar() && self.num.const_value() == Some(0)
    }

    /// Whether it points into the packet or before it.
    pub fn is_packet(&self) -> bool {
        matches!(self.kind, Kind::Packet | Kind::PacketMeta)
    }
}

/// Whether two kinds have the same number in `enum bpf_reg_type`, whatever their map or type.
pub fn same_kind(a: &Kind, b: &Kind) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}
