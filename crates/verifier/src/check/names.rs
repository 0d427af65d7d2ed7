//! What registers' types are called in the kernel's messages.

use crate::state::{Flags, Kind, Reg};

/// `reg_type_str` of Linux.
pub(crate) fn type_name(kind: &Kind, flags: Flags) -> String {
    let is_btf = matches!(kind, Kind::Btf(_));
    let mut name = String::new();
    let prefixes = [
        (Flags::RDONLY, "rdonly_"),
        (Flags::RINGBUF, "ringbuf_"),
        (Flags::USER, "user_"),
        (Flags::PERCPU, "percpu_"),
        (Flags::UNTRUSTED, "untrusted_"),
        (Flags::TRUSTED, "trusted_"),
        (Flags::RCU, "rcu_"),
    ];
    for (flag, prefix) in prefixes {
        if flags.has(flag) {
            name.push_str(prefix);
        }
    }
    name.push_str(match kind {
        Kind::Uninit => "?",
        Kind::Scalar => "scalar",
        Kind::Context => "ctx",
        Kind::Map(_) => "map_ptr",
        Kind::MapValue(_) => "map_value",
        Kind::MapKey(_) => "map_key",
        Kind::Stack => "fp",
        Kind::PacketMeta => "pkt_meta",
        Kind::Packet => "pkt",
        Kind::PacketEnd => "pkt_end",
        Kind::FlowKeys => "flow_keys",
        Kind::Socket => "sock",
        Kind::SockCommon => "sock_common",
        Kind::TcpSock => "tcp_sock",
        Kind::XdpSock => "xdp_sock",
        Kind::TpBuffer => "tp_buffer",
        Kind::Btf(_) => "ptr_",
        Kind::Mem(_) => "mem",
        Kind::Buf => "buf",
        Kind::Arena => "arena",
        Kind::Func(_) => "func",
        Kind::Dynptr { .. } => "dynptr_ptr",
        Kind::Iter { .. } | Kind::IrqFlag { .. } => "?",
    });
    if flags.has(Flags::MAYBE_NULL) {
        name.push_str(if is_btf { "or_null_" } else { "_or_null" });
    }
    name
}

/// The name of a register's type.
pub(crate) fn of(reg: &Reg) -> String {
    type_name(&reg.kind, reg.flags)
}
