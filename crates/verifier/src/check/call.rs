//! Calls of helpers (`check_helper_call`).

use sandbpf_abi::{self as abi, ArgSpec, Effect, HelperSpec, ProgramType, RetSpec, Unavailable, helpers};
use sandbpf_isa::{Callee, Pc, Reg as R};

use super::arguments::{Arguments, acquires, register};
use super::known::TailMap;
use crate::environment::{FieldKind, KptrKind, MapShape, TypeRef, map_type as m};
use crate::error::{Check, refuse};
use crate::explore::{Go, Verifier};
use crate::state::{Dynptr, Flags, Kind, Reg};

/// `MAX_ERRNO`.
const MAX_ERRNO: i64 = 4095;

impl Verifier<'_> {
    pub(super) fn check_call(&mut self, callee: Callee) -> Check<Go> {
        if self.cur.locks > 0 {
            let allowed = match callee {
                Callee::Helper(id) => id == helpers::SPIN_UNLOCK.id || id == helpers::KPTR_XCHG.id,
                Callee::Kfunc { .. } => self.kfunc_allows_locks(callee),
                _ => true,
            };
            if !allowed {
                refuse!(Inval, "function calls are not allowed while holding a lock");
            }
        }
        match callee {
            Callee::Helper(id) => self.check_helper(id),
            Callee::Local(to) => self.check_function_call(to),
            Callee::Kfunc { id, module } => self.check_kfunc(id, module),
            Callee::Register(_) => refuse!(Inval, "unknown opcode 8d"),
        }
    }

    fn check_helper(&mut self, id: i32) -> Check<Go> {
        let name = |id: i32| {
            helpers::numbered(id).next().map_or_else(|| "unknown".into(), |spec| format!("bpf_{}", spec.name))
        };
        let helper = match self.known.helper(&self.env.program, id) {
            Ok(helper) => helper,
            Err(Unavailable::GplOnly) => {
                refuse!(Inval, "cannot call GPL-restricted function from non-GPL compatible program");
            }
            Err(_) if !(0..=helpers::LAST).contains(&id) => refuse!(Inval, "invalid func {}#{id}", name(id)),
            Err(_) => {
                let name = if id == 0 { "bpf_unspec".into() } else { name(id) };
                refuse!(Inval, "program of this type cannot use helper {name}#{id}");
            }
        };
        let sleeps = helper.has(Effect::Sleeps);
        if sleeps && !self.in_sleepable() {
            refuse!(Inval, "helper call might sleep in a non-sleepable prog");
        }
        let sleeps_in = |where_: &str| -> Check {
            refuse!(Inval, "sleepable helper bpf_{}#{id} in {where_}", helper.name);
        };
        if sleeps && self.cur.rcu > 0 {
            sleeps_in("rcu_read_lock region")?;
        }
        if sleeps && self.cur.preempt > 0 {
            sleeps_in("non-preemptible region")?;
        }
        if sleeps && self.cur.irq_id != 0 {
            sleeps_in("IRQ-disabled region")?;
        }
        let mut found = Arguments::default();
        for at in 0..helper.args.len() {
            self.check_argument(helper, at, &mut found)?;
        }
        self.check_map_use(helper, &found)?;
        if !self.cur.speculative {
            self.known.notes.map(self.pc, found.map);
        }
        self.overwrite(&found.raw)?;
        self.release_arguments(helper, &found)?;
        self.check_particular(helper, &found)?;
        let changes_packet = self.changes_packet(helper, &found);
        let callback = self.call_back(helper, &found)?;
        let arguments = self.cur.current().regs;
        for number in 0..6 {
            self.cur.current_mut().regs[number] = Reg::UNINIT;
        }
        let result = self.result(helper, &found, &arguments)?;
        self.set(R::R0, result);
        self.check_map_function(helper, &found)?;
        if helper.id == abi::helper::TAIL_CALL && self.cur.depth() > 0 {
            return self.continue_elsewhere();
        }
        if changes_packet {
            self.forget_packet();
        }
        let _ = callback;
        Ok(Go::Next)
    }

    /// Another program runs in place of this function, and returns to its caller; or there is none.
    fn continue_elsewhere(&mut self) -> Check<Go> {
        self.push(Pc(self.pc.0 + 1), self.pc, false)?;
        self.forget_packet();
        let unknown = self.unknown();
        self.set(R::R0, unknown);
        self.return_to_caller()
    }

    /// What the helper hands back to the kernel.
    fn release_arguments(&mut self, helper: &HelperSpec, found: &Arguments) -> Check {
        let Some(at) = found.released else { return Ok(()) };
        let number = register(at);
        let reg = *self.reg(number);
        let released = if helper.args[at] == ArgSpec::ReleasedDynptr {
            self.release_dynptr(&reg)
        } else if found.ref_id != 0 {
            self.release(found.ref_id)
        } else {
            reg.is_zero()
        };
        if !released {
            refuse!(Inval, "func bpf_{}#{} reference has not been acquired before", helper.name, helper.id);
        }
        Ok(())
    }

    /// What single helpers ask beside their arguments.
    fn check_particular(&mut self, helper: &HelperSpec, found: &Arguments) -> Check {
        let id = helper.id;
        if id == abi::helper::TAIL_CALL {
            self.check_leaks(false, true, "tail_call")?;
            self.note_tail_call(found)?;
        } else if id == helpers::GET_LOCAL_STORAGE.id {
            if !self.reg(R::R2).is_zero() {
                refuse!(Inval, "get_local_storage() doesn't support non-zero flags");
            }
            self.needs_precise(R::R2)?;
        } else if helper.name == "dynptr_from_mem" {
            let reg = self.reg(R::R1);
            if !matches!(reg.kind, Kind::MapValue(_)) {
                let name = super::names::of(reg);
                refuse!(Acces, "Unsupported reg type {name} for bpf_dynptr_from_mem data");
            }
        } else if helper.name == "snprintf" {
            self.check_snprintf()?;
        }
        Ok(())
    }

    /// A tail call whose program is known by its index.
    fn note_tail_call(&mut self, found: &Arguments) -> Check {
        let of_programs = |map: &u16| self.env.maps[usize::from(*map)].map_type == m::PROG_ARRAY;
        let Some(map) = found.map.filter(of_programs) else {
            refuse!(Inval, "expected prog array map for tail call");
        };
        let known = self.known.tail_maps.entry(self.pc).or_insert(TailMap::One(map));
        if *known != TailMap::One(map) {
            *known = TailMap::Several;
        }
        let entries = u64::from(self.env.maps[usize::from(map)].max_entries);
        if self.reg(R::R3).num.const_value().is_some_and(|index| index < entries)
            && self.reg(R::R3).is_scalar()
        {
            self.needs_precise(R::R3)?;
        }
        Ok(())
    }

    /// Maps that programs only read (`record_func_map`).
    fn check_map_use(&mut self, helper: &HelperSpec, found: &Arguments) -> Check {
        let Some(map) = found.map else { return Ok(()) };
        let map = &self.env.maps[usize::from(map)];
        let writes =
            ["map_update_elem", "map_delete_elem", "map_push_elem", "map_pop_elem"].contains(&helper.name);
        if writes && map.read_only() {
            refuse!(Acces, "write into map forbidden");
        }
        Ok(())
    }

    fn changes_packet(&self, helper: &HelperSpec, found: &Arguments) -> bool {
        if helper.has(Effect::ChangesPacket) {
            return true;
        }
        // Writing a packet by a dynamic pointer may move it.
        let written = found.dynptr_arg.filter(|_| helper.name == "dynptr_write");
        written.and_then(|at| self.dynptr_kind(self.reg(register(at)))).is_some_and(|of| of == Dynptr::Skb)
    }

    /// What is in `r0` afterwards.
    fn result(&mut self, helper: &HelperSpec, found: &Arguments, before: &[Reg; 11]) -> Check<Reg> {
        let map = found.map.map(|map| &self.env.maps[usize::from(map)]);
        let nullable = Flags::MAYBE_NULL;
        let mut result = match helper.ret {
            RetSpec::Scalar => self.number_result(helper, found),
            RetSpec::Void => Reg::UNINIT,
            RetSpec::MapValue | RetSpec::MapValueOrNull => {
                let Some(index) = found.map else {
                    refuse!(Inval, "kernel subsystem misconfigured verifier")
                };
                let shape = &self.env.maps[usize::from(index)];
                let exists = helper.id == helpers::MAP_LOOKUP_ELEM.id
                    && matches!(shape.map_type, m::ARRAY | m::PERCPU_ARRAY)
                    && found.const_key.is_some_and(|key| key < shape.max_entries.into());
                let flags =
                    if helper.ret == RetSpec::MapValueOrNull && !exists { nullable } else { Flags::NONE };
                let mut value = Reg::pointer(Kind::MapValue(index), flags);
                value.range = found.map_uid;
                let locks = shape
                    .fields
                    .iter()
                    .any(|field| matches!(field.kind, FieldKind::SpinLock | FieldKind::ResSpinLock));
                if flags == Flags::NONE && locks {
                    value.id = self.fresh_id();
                }
                value
            }
            RetSpec::SocketOrNull => Reg::pointer(Kind::Socket, nullable),
            RetSpec::TcpSockOrNull => Reg::pointer(Kind::TcpSock, nullable),
            RetSpec::SockCommonOrNull => Reg::pointer(Kind::SockCommon, nullable),
            RetSpec::RecordOrNull => {
                Reg::pointer(Kind::Mem(found.alloc_len as u32), nullable.and(Flags::RINGBUF))
            }
            RetSpec::SliceOrNull => self.slice_result(found, before),
            RetSpec::KptrOrNull => self.exchanged_result(found),
            RetSpec::Percpu | RetSpec::PercpuOrNull => self.percpu_result(helper, found),
            RetSpec::Btf(name) => self.object_result(name, Flags::NONE),
            RetSpec::TrustedBtf(name) => self.object_result(name, Flags::TRUSTED),
            RetSpec::BtfOrNull(name) => self.object_result(name, nullable),
            _ => self.unknown(),
        };
        if result.may_be_null() {
            result.id = self.fresh_id();
        }
        let map_type = map.map(|map| map.map_type);
        if is_cast(helper) || helper.ret == RetSpec::SliceOrNull {
            result.ref_id = found.ref_id.max(result.ref_id);
        } else if acquires(helper, map_type) {
            let id = self.acquire();
            result.id = id;
            result.ref_id = id;
        }
        Ok(result)
    }

    fn number_result(&self, helper: &HelperSpec, found: &Arguments) -> Reg {
        let mut result = self.unknown();
        let num = &mut result.num;
        if helper.has(Effect::ReturnsLength) {
            num.smax = found.max_len as i64;
            num.s32_max = found.max_len as i32;
            num.smin = -MAX_ERRNO;
            num.s32_min = -MAX_ERRNO as i32;
            num.sync();
        } else if helper.has(Effect::ReturnsCpu) {
            let last = self.env.processors.saturating_sub(1);
            num.umax = last.into();
            num.u32_max = last;
            num.smax = last.into();
            num.s32_max = last as i32;
            (num.umin, num.u32_min, num.smin, num.s32_min) = (0, 0, 0, 0);
            num.sync();
        }
        result
    }

    fn object_result(&self, name: &str, flags: Flags) -> Reg {
        let target = self.env.types.and_then(|types| types.kernel_struct(name)).unwrap_or(TypeRef::kernel(0));
        Reg::pointer(Kind::Btf(target), flags)
    }

    fn slice_result(&self, found: &Arguments, before: &[Reg; 11]) -> Reg {
        let mut slice = Reg::pointer(Kind::Mem(found.alloc_len as u32), Flags::MAYBE_NULL);
        let dynptr = found.dynptr_arg.map(|at| before[at + 1]).and_then(|reg| self.dynptr_at(&reg));
        if let Some(dynptr) = dynptr {
            slice.range = dynptr.id as i32;
            slice.ref_id = dynptr.ref_id;
        }
        slice
    }

    fn exchanged_result(&self, found: &Arguments) -> Reg {
        let Some(FieldKind::Kptr { kind, target }) = found.kptr.map(|field| field.kind) else {
            return Reg::pointer(Kind::Btf(TypeRef::kernel(0)), Flags::MAYBE_NULL);
        };
        let mut flags = Flags::MAYBE_NULL;
        if target.btf == 1 {
            flags = flags.and(Flags::ALLOC);
            if kind == KptrKind::Percpu {
                flags = flags.and(Flags::PERCPU);
            }
        }
        Reg::pointer(Kind::Btf(target), flags)
    }

    fn percpu_result(&self, helper: &HelperSpec, found: &Arguments) -> Reg {
        let flags = if helper.ret == RetSpec::PercpuOrNull { Flags::MAYBE_NULL } else { Flags::NONE };
        let Some(Reg { kind: Kind::Btf(target), flags: of, .. }) = found.percpu else {
            return Reg::pointer(Kind::Btf(TypeRef::kernel(0)), flags);
        };
        if of.has(Flags::RCU) {
            return Reg::pointer(Kind::Btf(target), Flags::ALLOC.and(Flags::RCU));
        }
        let is_struct = self.env.types.is_none_or(|types| types.is_struct(target));
        match is_struct {
            true => Reg::pointer(Kind::Btf(target), flags.and(Flags::TRUSTED)),
            false => {
                let size = self.env.types.and_then(|types| types.size(target)).unwrap_or(0);
                Reg::pointer(Kind::Mem(size), flags.and(Flags::RDONLY))
            }
        }
    }

    /// Whether the helper takes maps of this type (`check_map_func_compatibility`).
    fn check_map_function(&self, helper: &HelperSpec, found: &Arguments) -> Check {
        let Some(map) = found.map else { return Ok(()) };
        let map = &self.env.maps[usize::from(map)];
        if let Some(message) = self.sockmap_message(map, helper) {
            refuse!(
                Inval,
                "{message}\ncannot pass map_type {} into func bpf_{}#{}",
                map.map_type,
                helper.name,
                helper.id
            );
        }
        if !map_takes(map, helper) || !helper_takes(helper, map) {
            refuse!(
                Inval,
                "cannot pass map_type {} into func bpf_{}#{}",
                map.map_type,
                helper.name,
                helper.id
            );
        }
        Ok(())
    }

    /// Maps of sockets are changed only where no socket is locked (`may_update_sockmap`).
    fn sockmap_message(&self, map: &MapShape, helper: &HelperSpec) -> Option<&'static str> {
        if !matches!(map.map_type, m::SOCKMAP | m::SOCKHASH) {
            return None;
        }
        let changes = ["map_update_elem", "map_delete_elem"].contains(&helper.name);
        if !changes {
            return None;
        }
        let allowed = match self.env.program.program_type {
            ProgramType::Tracing => self.env.program.attach_type == abi::AttachType::TRACE_ITER,
            ProgramType::SockOps => helper.name == "map_delete_elem",
            ProgramType::SocketFilter
            | ProgramType::SchedCls
            | ProgramType::SchedAct
            | ProgramType::Xdp
            | ProgramType::SkReuseport
            | ProgramType::FlowDissector
            | ProgramType::SkLookup => true,
            _ => false,
        };
        (!allowed).then_some("cannot update sockmap in this context")
    }

    pub(super) fn next_pc(&self) -> Pc {
        Pc(self.pc.0 + 1)
    }
}

/// Whether it gives another view of the same socket (`is_ptr_cast_function`).
fn is_cast(helper: &HelperSpec) -> bool {
    matches!(helper.name, "tcp_sock" | "sk_fullsock") || helper.name.starts_with("skc_to_")
}

/// What maps of this type are for; those that are not named are for all that take maps.
fn map_takes(map: &MapShape, helper: &HelperSpec) -> bool {
    let names: &[&str] = match map.map_type {
        m::PROG_ARRAY => &["tail_call"],
        m::PERF_EVENT_ARRAY => {
            &["perf_event_read", "perf_event_output", "skb_output", "perf_event_read_value", "xdp_output"]
        }
        m::RINGBUF => &[
            "ringbuf_output",
            "ringbuf_reserve",
            "ringbuf_query",
            "ringbuf_reserve_dynptr",
            "ringbuf_submit_dynptr",
            "ringbuf_discard_dynptr",
        ],
        m::USER_RINGBUF => &["user_ringbuf_drain"],
        m::STACK_TRACE => &["get_stackid"],
        m::CGROUP_ARRAY => &["skb_under_cgroup", "current_task_under_cgroup"],
        m::CGROUP_STORAGE | m::PERCPU_CGROUP_STORAGE => &["get_local_storage"],
        m::DEVMAP | m::DEVMAP_HASH | m::XSKMAP => &["redirect_map", "map_lookup_elem"],
        m::CPUMAP => &["redirect_map"],
        m::ARRAY_OF_MAPS | m::HASH_OF_MAPS => &["map_lookup_elem"],
        m::SOCKMAP => &[
            "sk_redirect_map",
            "sock_map_update",
            "msg_redirect_map",
            "sk_select_reuseport",
            "map_lookup_elem",
            "map_update_elem",
            "map_delete_elem",
        ],
        m::SOCKHASH => &[
            "sk_redirect_hash",
            "sock_hash_update",
            "msg_redirect_hash",
            "sk_select_reuseport",
            "map_lookup_elem",
            "map_update_elem",
            "map_delete_elem",
        ],
        m::REUSEPORT_SOCKARRAY => &["sk_select_reuseport"],
        m::QUEUE | m::STACK => &["map_peek_elem", "map_pop_elem", "map_push_elem"],
        m::SK_STORAGE => &["sk_storage_get", "sk_storage_delete", "kptr_xchg"],
        m::INODE_STORAGE => &["inode_storage_get", "inode_storage_delete", "kptr_xchg"],
        m::TASK_STORAGE => &["task_storage_get", "task_storage_delete", "kptr_xchg"],
        m::CGRP_STORAGE => &["cgrp_storage_get", "cgrp_storage_delete", "kptr_xchg"],
        m::BLOOM_FILTER => &["map_peek_elem", "map_push_elem"],
        _ => return true,
    };
    names.contains(&helper.name)
}

/// What maps a helper is for; those that are not named take all.
fn helper_takes(helper: &HelperSpec, map: &MapShape) -> bool {
    let types: &[u32] = match helper.name {
        "tail_call" => &[m::PROG_ARRAY],
        "perf_event_read" | "perf_event_output" | "perf_event_read_value" | "skb_output" | "xdp_output" => {
            &[m::PERF_EVENT_ARRAY]
        }
        "ringbuf_output"
        | "ringbuf_reserve"
        | "ringbuf_query"
        | "ringbuf_reserve_dynptr"
        | "ringbuf_submit_dynptr"
        | "ringbuf_discard_dynptr" => &[m::RINGBUF],
        "user_ringbuf_drain" => &[m::USER_RINGBUF],
        "get_stackid" => &[m::STACK_TRACE],
        "current_task_under_cgroup" | "skb_under_cgroup" => &[m::CGROUP_ARRAY],
        "redirect_map" => &[m::DEVMAP, m::DEVMAP_HASH, m::CPUMAP, m::XSKMAP],
        "sk_redirect_map" | "msg_redirect_map" | "sock_map_update" => &[m::SOCKMAP],
        "sk_redirect_hash" | "msg_redirect_hash" | "sock_hash_update" => &[m::SOCKHASH],
        "get_local_storage" => &[m::CGROUP_STORAGE, m::PERCPU_CGROUP_STORAGE],
        "sk_select_reuseport" => &[m::REUSEPORT_SOCKARRAY, m::SOCKMAP, m::SOCKHASH],
        "map_pop_elem" => &[m::QUEUE, m::STACK],
        "map_peek_elem" | "map_push_elem" => &[m::QUEUE, m::STACK, m::BLOOM_FILTER],
        "map_lookup_percpu_elem" => &[m::PERCPU_ARRAY, m::PERCPU_HASH, m::LRU_PERCPU_HASH],
        "sk_storage_get" | "sk_storage_delete" => &[m::SK_STORAGE],
        "inode_storage_get" | "inode_storage_delete" => &[m::INODE_STORAGE],
        "task_storage_get" | "task_storage_delete" => &[m::TASK_STORAGE],
        "cgrp_storage_get" | "cgrp_storage_delete" => &[m::CGRP_STORAGE],
        _ => return true,
    };
    types.contains(&map.map_type)
}
