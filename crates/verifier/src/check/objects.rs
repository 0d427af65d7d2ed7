//! Objects of the kernel: sockets, structs by their types, maps as structs.

use sandbpf_abi::{Direction, pointers};
use sandbpf_isa::Reg as R;

use super::memory::Access;
use super::trust::is_trusted;
use super::{Name, names};
use crate::environment::{SpecialField, TypeRef, map_type as m};
use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{Flags, Kind, Reg};
use crate::types::{Member, PointerTag};

impl Verifier<'_> {
    /// A load from a socket (`check_sock_access`).
    pub(super) fn check_socket(&self, base: R, reg: &Reg, off: i32, size: u32) -> Check {
        if reg.num.smin < 0 {
            refuse!(
                Acces,
                "{} min value is negative, either use unsigned index or do a if (index >=0) check.",
                Name(base)
            );
        }
        let view = match reg.kind {
            Kind::SockCommon => pointers::SOCK_COMMON,
            Kind::TcpSock => pointers::TCP_SOCK,
            Kind::XdpSock => pointers::XDP_SOCK,
            _ => pointers::SOCKET,
        };
        if view.access(off, size, Direction::Read).is_err() {
            refuse!(Acces, "{} invalid {} access off={off} size={size}", Name(base), names::of(reg));
        }
        Ok(())
    }

    /// Whether what is read is under the protection of RCU here (`in_rcu_cs`).
    pub(super) fn in_rcu_section(&self) -> bool {
        self.cur.rcu > 0 || self.cur.locks > 0 || !self.in_sleepable()
    }

    /// Whether objects of this type live until the end of a section (`rcu_protected_object`).
    pub(super) fn is_rcu_protected(&self, target: TypeRef) -> bool {
        if target.btf == 1 {
            return true;
        }
        const PROTECTED: &[&str] =
            &["prog_test_ref_kfunc", "cgroup", "bpf_cpumask", "task_struct", "bpf_crypto_ctx"];
        self.env.types.is_some_and(|types| PROTECTED.contains(&types.name(target)))
    }

    /// What a helper reads of an object.
    pub(super) fn check_object_read(&mut self, number: R, reg: &Reg, off: i32, size: u32) -> Check {
        let Kind::Btf(target) = reg.kind else { return Ok(()) };
        self.check_object(number, reg, target, off)?;
        let Some(types) = self.env.types else { return Ok(()) };
        let bound = types.size(target).unwrap_or(0);
        if off as u64 + u64::from(size) > u64::from(bound) {
            let name = types.name(target);
            refuse!(Acces, "access beyond struct {name} at off {off} size {size}");
        }
        if size == 0 {
            return Ok(());
        }
        if reg.flags.has(Flags::ALLOC) {
            let (first, end) = (off as u32, off as u32 + size);
            let overlaps = |field: &SpecialField| first < field.offset + field.size && field.offset < end;
            if let Some(field) = types.special_fields(target).into_iter().find(overlaps) {
                let name = super::memory::field_name(field.kind);
                refuse!(Acces, "direct access to {name} is disallowed");
            }
        }
        match types.member(target, off as u32, size) {
            Ok(_) => Ok(()),
            Err(message) => refuse!(Acces, "{message}"),
        }
    }

    fn check_object(&self, base: R, reg: &Reg, target: TypeRef, off: i32) -> Check {
        let name = || self.env.types.map_or("", |types| types.name(target));
        if !self.rights.ptr_leaks {
            refuse!(Perm, "'struct {}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN", name());
        }
        if !self.env.program.gpl && target.btf != 1 {
            refuse!(Inval, "Cannot access kernel 'struct {}' from non-GPL compatible program", name());
        }
        if off < 0 {
            refuse!(Acces, "{} is ptr_{} invalid negative access: off={off}", Name(base), name());
        }
        if reg.num.const_value() != Some(0) {
            let var_off = reg.num.var_off;
            refuse!(
                Acces,
                "{} is ptr_{} invalid variable offset: off={off}, var_off={var_off}",
                Name(base),
                name()
            );
        }
        if reg.flags.has(Flags::USER) {
            refuse!(Acces, "{} is ptr_{} access user memory: off={off}", Name(base), name());
        }
        if reg.flags.has(Flags::PERCPU) {
            refuse!(Acces, "{} is ptr_{} access percpu memory: off={off}", Name(base), name());
        }
        Ok(())
    }

    /// A load or store of a struct (`check_ptr_to_btf_access`).
    pub(super) fn access_object(&mut self, access: &Access, reg: &Reg, off: i32) -> Check {
        let Kind::Btf(target) = reg.kind else { return Ok(()) };
        self.check_object(access.base, reg, target, off)?;
        let Some(types) = self.env.types else {
            refuse!(Acces, "{} invalid mem access '{}'", Name(access.base), names::of(reg));
        };
        if access.write {
            if reg.flags.has(Flags::UNTRUSTED) {
                refuse!(Acces, "only read is supported");
            }
            if !reg.flags.has(Flags::ALLOC) {
                let allowed =
                    types.writable(self.env.program.program_type, target, off as u32, access.bytes());
                if let Err(message) = allowed {
                    refuse!(Acces, "{message}");
                }
                return Ok(());
            }
        }
        if reg.flags.has(Flags::ALLOC) {
            let end = off as u32 + access.bytes();
            let special = types
                .special_fields(target)
                .into_iter()
                .find(|field| (off as u32) < field.offset + field.size && field.offset < end);
            if let Some(field) = special {
                return self.access_special(access, field, target, off as u32);
            }
        }
        let member = match types.member(target, off as u32, access.bytes()) {
            Ok(member) => member,
            Err(message) => refuse!(Acces, "{message}"),
        };
        if access.write {
            return Ok(());
        }
        let Some(value) = access.value else { return Ok(()) };
        let loaded = self.loaded_member(reg, member);
        self.set(value, loaded);
        self.narrow(access);
        Ok(())
    }

    fn access_special(&mut self, access: &Access, field: SpecialField, target: TypeRef, off: u32) -> Check {
        use crate::environment::FieldKind;
        if let FieldKind::Kptr { .. } = field.kind {
            if field.offset != off {
                refuse!(Acces, "kptr access misaligned expected={} off={off}", field.offset);
            }
            let _ = target;
            return self.access_kptr(access, 0, field);
        }
        let name = super::memory::field_name(field.kind);
        refuse!(Acces, "direct access to {name} is disallowed");
    }

    fn loaded_member(&mut self, from: &Reg, member: Member) -> Reg {
        let Member::Pointer { target, tag, ambiguous, trusted, rcu, or_null } = member else {
            return match member {
                Member::Memory => Reg::pointer(Kind::Mem(0), Flags::RDONLY.and(Flags::UNTRUSTED)),
                _ => self.unknown(),
            };
        };
        // What the program allocated holds no pointers that it could follow.
        if from.flags.has(Flags::ALLOC) {
            return self.unknown();
        }
        let tagged = match tag {
            PointerTag::None => Flags::NONE,
            PointerTag::User => Flags::USER,
            PointerTag::Percpu => Flags::PERCPU,
            PointerTag::Rcu => Flags::RCU,
        };
        let found = if ambiguous { tagged.and(Flags::UNTRUSTED) } else { tagged };
        let flags = if from.flags.has(Flags::UNTRUSTED) {
            Flags::UNTRUSTED
        } else if !is_trusted(from) && !from.flags.has(Flags::RCU) {
            found.without(Flags::RCU)
        } else if trusted {
            let null = if or_null { Flags::MAYBE_NULL } else { Flags::NONE };
            found.and(Flags::TRUSTED).and(null)
        } else if !self.in_rcu_section() || from.may_be_null() {
            // Outside of a section it may be gone by now.
            Flags::UNTRUSTED
        } else if rcu && !or_null {
            found.and(Flags::RCU)
        } else if rcu {
            found.without(Flags::UNTRUSTED).and(Flags::RCU).and(Flags::MAYBE_NULL)
        } else if tagged == Flags::RCU {
            found.and(Flags::MAYBE_NULL)
        } else {
            found
        };
        let mut loaded = Reg::pointer(Kind::Btf(target), flags);
        if flags.has(Flags::MAYBE_NULL) {
            loaded.id = self.fresh_id();
        }
        loaded
    }

    /// A load from `struct bpf_map` (`check_ptr_to_map_access`).
    pub(super) fn access_map(&mut self, access: &Access, reg: &Reg, off: i32) -> Check {
        let Some(types) = self.env.types else {
            refuse!(NotSupp, "map_ptr access not supported without CONFIG_DEBUG_INFO_BTF");
        };
        let map_type = match reg.kind {
            Kind::Map(map) => self.env.maps[usize::from(map)].map_type,
            _ => 0,
        };
        let found = struct_of(map_type).and_then(|name| Some((name, types.kernel_struct(name)?)));
        let Some((name, target)) = found else {
            refuse!(NotSupp, "map_ptr access not supported for map type {map_type}");
        };
        if !self.rights.ptr_leaks {
            refuse!(Perm, "'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN");
        }
        if off < 0 {
            refuse!(Acces, "{} is {name} invalid negative access: off={off}", Name(access.base));
        }
        if access.write {
            refuse!(Acces, "only read from {name} is supported");
        }
        let member = match types.member(target, off as u32, access.bytes()) {
            Ok(member) => member,
            Err(message) => refuse!(Acces, "{message}"),
        };
        let Some(value) = access.value else { return Ok(()) };
        let from = Reg::pointer(Kind::Btf(target), Flags::NONE);
        let loaded = self.loaded_member(&from, member);
        self.set(value, loaded);
        self.narrow(access);
        Ok(())
    }

    /// An argument that must be an object of this type and trusted.
    pub(super) fn check_trusted_argument(
        &mut self,
        reg: &Reg,
        number: R,
        target: TypeRef,
        nullable: bool,
    ) -> Check {
        if reg.is_zero() && nullable {
            return Ok(());
        }
        let flags = if nullable { reg.flags.without(Flags::MAYBE_NULL) } else { reg.flags };
        let Kind::Btf(held) = reg.kind else {
            refuse!(Acces, "{} type={} expected=ptr_, trusted_ptr_, rcu_ptr_", Name(number), names::of(reg));
        };
        if ![Flags::NONE, Flags::TRUSTED, Flags::RCU].contains(&flags) {
            refuse!(Acces, "{} type={} expected=ptr_, trusted_ptr_, rcu_ptr_", Name(number), names::of(reg));
        }
        if let Some(types) = self.env.types
            && !types.embeds(held, reg.off as u32, target)
        {
            let (is, wanted) = (types.name(held), types.name(target));
            refuse!(Acces, "{} is of type {is} but {wanted} is expected", Name(number));
        }
        self.check_offset(reg, number, sandbpf_abi::ArgSpec::Anything)
    }
}

/// The kernel's struct for maps of this type; what all have in common, `struct bpf_map`, is its first member
/// (`map_btf_id`).
fn struct_of(map_type: u32) -> Option<&'static str> {
    Some(match map_type {
        m::ARRAY | m::PROG_ARRAY | m::PERF_EVENT_ARRAY => "bpf_array",
        m::PERCPU_ARRAY | m::CGROUP_ARRAY | m::ARRAY_OF_MAPS => "bpf_array",
        m::HASH | m::PERCPU_HASH | m::LRU_HASH | m::LRU_PERCPU_HASH | m::HASH_OF_MAPS => "bpf_htab",
        m::STACK_TRACE => "bpf_stack_map",
        m::LPM_TRIE => "lpm_trie",
        m::DEVMAP | m::DEVMAP_HASH => "bpf_dtab",
        m::SOCKMAP => "bpf_stab",
        m::SOCKHASH => "bpf_shtab",
        m::CPUMAP => "bpf_cpu_map",
        m::XSKMAP => "xsk_map",
        m::CGROUP_STORAGE | m::PERCPU_CGROUP_STORAGE => "bpf_cgroup_storage_map",
        m::REUSEPORT_SOCKARRAY => "reuseport_array",
        m::QUEUE | m::STACK => "bpf_queue_stack",
        m::SK_STORAGE | m::INODE_STORAGE | m::TASK_STORAGE | m::CGRP_STORAGE => "bpf_local_storage_map",
        m::STRUCT_OPS => "bpf_struct_ops_map",
        m::RINGBUF | m::USER_RINGBUF => "bpf_ringbuf_map",
        m::BLOOM_FILTER => "bpf_bloom_filter",
        m::ARENA => "bpf_arena",
        _ => return None,
    })
}
