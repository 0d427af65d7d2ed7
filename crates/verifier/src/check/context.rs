//! The context: which of its fields may be accessed, and what a load gives.

use sandbpf_abi::{self as abi, Direction, ProgramType, Value};
use sandbpf_isa::Extend;

use super::memory::Access;
use crate::environment::TypeRef;
use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{Flags, Kind, Reg};
use crate::types::Shape;

impl Verifier<'_> {
    /// A load or store of a field (`check_ctx_access`).
    pub(super) fn access_context(&mut self, access: &Access, off: i32) -> Check {
        let size = access.bytes();
        let direction = if access.write { Direction::Write } else { Direction::Read };
        let bad = || -> Check<Reg> {
            refuse!(Acces, "invalid bpf_context access off={off} size={size}");
        };
        let loaded = match self.env.program.access(off, size, direction) {
            Ok(field) if access.extend == Extend::Sign && !field.may_extend_sign() => bad()?,
            Ok(field) => self.field_value(field.value),
            Err(abi::AccessError::NeedsTarget) => match self.argument_of_target(off, size, access.write) {
                Some(loaded) => loaded,
                None => bad()?,
            },
            Err(_) => bad()?,
        };
        if access.write {
            return Ok(());
        }
        let Some(value) = access.value else { return Ok(()) };
        self.known.notes.field(&loaded.kind, off, access.size);
        self.set(value, loaded);
        self.narrow(access);
        Ok(())
    }

    fn field_value(&mut self, value: Value) -> Reg {
        let pointer = |kind| Reg::pointer(kind, Flags::NONE);
        let mut nullable = |kind| {
            self.next_id += 1;
            Reg { id: self.next_id, ..Reg::pointer(kind, Flags::MAYBE_NULL) }
        };
        match value {
            Value::Packet => pointer(Kind::Packet),
            Value::PacketEnd => pointer(Kind::PacketEnd),
            Value::PacketMeta => pointer(Kind::PacketMeta),
            Value::Sock => pointer(Kind::Socket),
            Value::SockOrNull => nullable(Kind::Socket),
            Value::SockCommonOrNull => nullable(Kind::SockCommon),
            Value::FlowKeys => pointer(Kind::FlowKeys),
            Value::TracepointBuffer => pointer(Kind::TpBuffer),
            Value::TrustedBtf(name) => {
                let target = self.env.types.and_then(|types| types.kernel_struct(name));
                Reg::pointer(Kind::Btf(target.unwrap_or(TypeRef::kernel(0))), Flags::TRUSTED)
            }
            _ => self.unknown(),
        }
    }

    /// An argument of the function that the program is attached to (`btf_ctx_access`).
    fn argument_of_target(&mut self, off: i32, size: u32, write: bool) -> Option<Reg> {
        let env = self.env;
        let prototype = &env.target?.prototype;
        if write || off < 0 || off % 8 != 0 {
            return None;
        }
        let at = (off / 8) as usize;
        let shape = match prototype.params.get(at) {
            Some(param) => &param.shape,
            None if at == prototype.params.len() && self.sees_result() => &prototype.result,
            None => return None,
        };
        let tagged = |tag: &str| {
            prototype.params.get(at).is_some_and(|param| param.tags.iter().any(|known| known == tag))
        };
        let nullable = tagged("nullable")
            || prototype.params.get(at).is_some_and(|param| param.name.ends_with("__nullable"));
        let (maybe_null, rdonly) = (
            if nullable { Flags::MAYBE_NULL } else { Flags::NONE },
            if tagged("rdonly") { Flags::RDONLY } else { Flags::NONE },
        );
        let mut reg = match shape {
            Shape::Void => return None,
            Shape::Number { .. } => return Some(self.unknown()),
            _ if size != 8 => return None,
            _ if tagged("buf") => Reg::pointer(Kind::Buf, rdonly.and(maybe_null)),
            Shape::Struct { target, name, .. } => {
                if maybe_null == Flags::NONE {
                    let function = &env.target?.name;
                    let id = target.id;
                    let line = format!("func '{function}' arg{at} has btf_id {id} type STRUCT '{name}'\n");
                    self.log.write(&line);
                }
                let trusted = if self.trusts_arguments() && !tagged("distrusted") {
                    Flags::TRUSTED
                } else {
                    Flags::NONE
                };
                Reg::pointer(Kind::Btf(*target), trusted.and(maybe_null))
            }
            _ => return Some(self.unknown()),
        };
        if reg.may_be_null() {
            reg.id = self.fresh_id();
        }
        Some(reg)
    }

    fn trusts_arguments(&self) -> bool {
        let program = &self.env.program;
        match program.program_type {
            ProgramType::Tracing => {
                program.attach_type == abi::AttachType::TRACE_RAW_TP
                    || program.attach_type == abi::AttachType::TRACE_ITER
            }
            ProgramType::Lsm | ProgramType::StructOps => true,
            _ => false,
        }
    }

    /// Whether the result of the function follows its arguments.
    fn sees_result(&self) -> bool {
        use abi::AttachType as At;
        [At::TRACE_FEXIT, At::MODIFY_RETURN, At::LSM_CGROUP, At::LSM_MAC]
            .contains(&self.env.program.attach_type)
    }

    /// What the hook that the program is attached to may return.
    pub(super) fn hook_returns(&self) -> Option<(i64, i64)> {
        self.env.target?.returns
    }

    /// What the function returns that the program is attached to.
    pub(super) fn target_result(&self) -> Option<&Shape> {
        self.env.target.map(|target| &target.prototype.result)
    }

    /// Whether what the program is attached to returns nothing.
    pub(super) fn target_is_void(&self) -> bool {
        self.target_result() == Some(&Shape::Void)
    }

    /// Whether the context of this type is memory like any other: nobody rewrites accesses to it.
    pub(super) fn context_is_memory(&self) -> bool {
        matches!(
            self.env.program.program_type,
            ProgramType::Syscall
                | ProgramType::Kprobe
                | ProgramType::Tracepoint
                | ProgramType::RawTracepoint
                | ProgramType::RawTracepointWritable
                | ProgramType::Tracing
                | ProgramType::Lsm
                | ProgramType::StructOps
        )
    }

    pub(super) fn check_context_memory(&mut self, last: i32, write: bool) -> Check {
        let direction = if write { Direction::Write } else { Direction::Read };
        if self.env.program.access(last, 1, direction).is_err() {
            refuse!(Acces, "invalid bpf_context access off={last} size=1");
        }
        Ok(())
    }

    /// Whether a pointer to a struct of this name is the context: the one that programs see, or the kernel's own of it
    /// (`btf_is_projection_of`).
    pub(crate) fn is_context_name(&self, name: &str) -> bool {
        match context_name(self.env.program.program_type) {
            Some("__sk_buff") => matches!(name, "__sk_buff" | "sk_buff"),
            Some("xdp_md") => matches!(name, "xdp_md" | "xdp_buff"),
            Some("pt_regs") => matches!(name, "pt_regs" | "bpf_user_pt_regs_t"),
            known => known == Some(name),
        }
    }
}

/// What the struct of the context is called in programs; none where it has no struct (`find_canonical_prog_ctx_type`).
pub(super) fn context_name(of: ProgramType) -> Option<&'static str> {
    use ProgramType as T;
    Some(match of {
        T::Xdp => "xdp_md",
        T::SkMsg => "sk_msg_md",
        T::SkLookup => "bpf_sk_lookup",
        T::SkReuseport => "sk_reuseport_md",
        T::SockOps => "bpf_sock_ops",
        T::CgroupSock => "bpf_sock",
        T::CgroupSockAddr => "bpf_sock_addr",
        T::CgroupDevice => "bpf_cgroup_dev_ctx",
        T::CgroupSysctl => "bpf_sysctl",
        T::CgroupSockopt => "bpf_sockopt",
        T::Kprobe => "pt_regs",
        T::PerfEvent => "bpf_perf_event_data",
        T::RawTracepoint | T::RawTracepointWritable => "bpf_raw_tracepoint_args",
        T::Netfilter => "bpf_nf_ctx",
        T::SocketFilter
        | T::SchedCls
        | T::SchedAct
        | T::CgroupSkb
        | T::LwtIn
        | T::LwtOut
        | T::LwtXmit
        | T::LwtSeg6local
        | T::SkSkb
        | T::FlowDissector => "__sk_buff",
        _ => return None,
    })
}
