//! The types of registers that arguments of helpers take.

use sandbpf_abi::ArgSpec;

use crate::environment::TypeRef;
use crate::state::{Dynptr, Flags, Kind};

pub(super) fn reads_only(spec: ArgSpec) -> bool {
    matches!(spec, ArgSpec::ReadMem | ArgSpec::ReadMemOrNull | ArgSpec::FixedMem(_) | ArgSpec::Dynptr)
}

pub(super) fn is_memory(spec: ArgSpec) -> bool {
    spec.is_sized_by_next()
        || matches!(spec, ArgSpec::FixedMem(_) | ArgSpec::FixedUpdate(_) | ArgSpec::FixedWrite(_))
}

pub(super) const ANY_TYPE: TypeRef = TypeRef { btf: 0, id: 0 };

/// The types of registers that an argument takes, in the order of the kernel's messages (`compatible_reg_types`).
pub(super) fn expected(spec: ArgSpec) -> &'static [(Kind, Flags)] {
    const NONE: Flags = Flags::NONE;
    const STACK: (Kind, Flags) = (Kind::Stack, NONE);
    const MEMORY: &[(Kind, Flags)] = &[
        STACK,
        (Kind::Packet, NONE),
        (Kind::PacketMeta, NONE),
        (Kind::MapKey(0), NONE),
        (Kind::MapValue(0), NONE),
        (Kind::Mem(0), NONE),
        (Kind::Mem(0), Flags::RINGBUF),
        (Kind::Buf, NONE),
        (Kind::Btf(ANY_TYPE), Flags::TRUSTED),
    ];
    const SOCKS: &[(Kind, Flags)] = &[
        (Kind::SockCommon, NONE),
        (Kind::Socket, NONE),
        (Kind::TcpSock, NONE),
        (Kind::XdpSock, NONE),
        (Kind::Btf(ANY_TYPE), NONE),
        (Kind::Btf(ANY_TYPE), Flags::TRUSTED),
    ];
    const OBJECTS: &[(Kind, Flags)] = &[
        (Kind::Btf(ANY_TYPE), NONE),
        (Kind::Btf(ANY_TYPE), Flags::TRUSTED),
        (Kind::Btf(ANY_TYPE), Flags::RCU),
    ];
    match spec {
        ArgSpec::Context | ArgSpec::ContextOrNull => &[(Kind::Context, NONE)],
        ArgSpec::Map => &[(Kind::Map(0), NONE)],
        ArgSpec::MapKey
        | ArgSpec::MapValue
        | ArgSpec::MapValueOrNull
        | ArgSpec::NewMapValue
        | ArgSpec::ReadMem
        | ArgSpec::ReadMemOrNull
        | ArgSpec::UpdateMem
        | ArgSpec::UpdateMemOrNull
        | ArgSpec::WriteMem
        | ArgSpec::FixedMem(_)
        | ArgSpec::FixedUpdate(_)
        | ArgSpec::FixedWrite(_) => MEMORY,
        ArgSpec::MemLen | ArgSpec::MemLenOrZero | ArgSpec::AllocLen | ArgSpec::Anything | ArgSpec::Scalar => {
            &[(Kind::Scalar, NONE)]
        }
        ArgSpec::SpinLock | ArgSpec::KptrPlace => {
            &[(Kind::MapValue(0), NONE), (Kind::Btf(ANY_TYPE), Flags::ALLOC)]
        }
        ArgSpec::Timer => &[(Kind::MapValue(0), NONE)],
        ArgSpec::ReleasedKptrOrNull | ArgSpec::Btf(_) | ArgSpec::BtfOrNull(_) => OBJECTS,
        ArgSpec::Dynptr | ArgSpec::NewDynptr(_) | ArgSpec::ReleasedDynptr => {
            &[STACK, (Kind::Dynptr { of: Dynptr::Invalid, first: false }, NONE)]
        }
        ArgSpec::ReleasedRecord => &[(Kind::Mem(0), Flags::RINGBUF)],
        ArgSpec::SockCommon => {
            &[(Kind::SockCommon, NONE), (Kind::Socket, NONE), (Kind::TcpSock, NONE), (Kind::XdpSock, NONE)]
        }
        ArgSpec::SocketOrNull => &[(Kind::Socket, NONE)],
        ArgSpec::AnySock | ArgSpec::AnySockOrNull | ArgSpec::ReleasedSock => SOCKS,
        ArgSpec::PercpuBtf => &[
            (Kind::Btf(ANY_TYPE), Flags::PERCPU),
            (Kind::Btf(ANY_TYPE), Flags(Flags::PERCPU.0 | Flags::RCU.0)),
            (Kind::Btf(ANY_TYPE), Flags(Flags::PERCPU.0 | Flags::TRUSTED.0)),
        ],
        ArgSpec::Callback => &[(Kind::Func(0), NONE)],
        ArgSpec::StackOrNull => &[STACK],
        ArgSpec::ConstStr => &[(Kind::MapValue(0), NONE)],
        _ => &[],
    }
}
