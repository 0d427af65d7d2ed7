//! Calls of functions of the kernel: what each asks beside its arguments, and what it returns (`check_kfunc_call`).

use sandbpf_abi::{KfuncFlag, KfuncSpec, kfuncs};
use sandbpf_isa::{Callee, Pc, Reg as R};

use super::ctype::CType;
use super::kfunc_args::KfuncArguments;
use crate::environment::{FieldKind, TypeRef};
use crate::error::{Check, Errno, refuse};
use crate::explore::{Go, Verifier};
use crate::state::{Flags, IterState, Kind, RefKind, Reg, slot_of};

const MAX_ERRNO: i32 = 4095;

impl Verifier<'_> {
    /// The function that a call names: by its place in the table, or by the number of its type.
    pub(crate) fn kfunc(&self, id: i32) -> Option<&'static KfuncSpec> {
        find(self.env, id)
    }

    /// The type of the kernel with this name; one that stands for it where there is no type information.
    pub(super) fn kernel_type(&self, name: &str) -> TypeRef {
        let known = self.env.types.and_then(|types| types.kernel_struct(name));
        known.unwrap_or_else(|| {
            let hash = name
                .bytes()
                .fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
            TypeRef { btf: u16::MAX, id: hash }
        })
    }

    /// Whether it may be called while a lock is held (`kfunc_spin_allowed`).
    pub(super) fn kfunc_allows_locks(&self, callee: Callee) -> bool {
        let Callee::Kfunc { id, .. } = callee else { return false };
        self.kfunc(id).is_some_and(|kfunc| {
            is_graph(kfunc)
                || kfunc.name.starts_with("bpf_iter_num_")
                || kfunc.name.starts_with("bpf_res_spin_")
                || kfunc.name.starts_with("bpf_arena_")
        })
    }

    pub(super) fn check_kfunc(&mut self, id: i32, _module: i16) -> Check<Go> {
        let Some(kfunc) = self.kfunc(id) else {
            refuse!(Inval, "kernel btf_id {id} is not a function");
        };
        let name = kfunc.name;
        let only_iterators = kfunc.name == "bpf_sock_destroy";
        if !kfunc.hooks.includes(self.env.program.program_type)
            || (only_iterators && self.env.program.attach_type != sandbpf_abi::AttachType::TRACE_ITER)
        {
            refuse!(Acces, "calling kernel function {name} is not allowed");
        }
        if !self.env.program.gpl {
            refuse!(Inval, "cannot call kernel function from non-GPL compatible program");
        }
        let sleeps = kfunc.has(KfuncFlag::Sleepable);
        if sleeps && !self.in_sleepable() {
            refuse!(Acces, "program must be sleepable to call sleepable kfunc {name}");
        }
        let mut found = KfuncArguments::default();
        self.check_kfunc_arguments(kfunc, &mut found)?;
        match name {
            "bpf_rbtree_add_impl" => self.call_back_less(&found)?,
            "bpf_wq_set_callback_impl" => self.call_back_work(&found)?,
            _ => {}
        }
        self.check_sections(kfunc, sleeps)?;
        if kfunc.has(KfuncFlag::RcuProtected) && !self.in_rcu_section() && !kfunc.has(KfuncFlag::IterNew) {
            refuse!(Acces, "kernel func {name} requires RCU critical section protection");
        }
        self.release_kfunc(kfunc, &found)?;
        if name == "bpf_throw" {
            return self.check_throw();
        }
        if name.starts_with("bpf_res_spin_lock") {
            self.fork_failed_lock()?;
        }
        let before = self.cur.current().regs;
        for number in 0..6 {
            self.cur.current_mut().regs[number] = Reg::UNINIT;
        }
        let result = self.kfunc_result(kfunc, &found, &before)?;
        self.set(R::R0, result);
        if name.starts_with("bpf_xdp_pull_data") || name == "bpf_sock_destroy_changes" {
            self.forget_packet();
        }
        if kfunc.has(KfuncFlag::IterNext) {
            self.advance(&found)?;
        }
        Ok(Go::Next)
    }

    /// Sections that are entered and left (`bpf_rcu_read_lock`, `bpf_preempt_disable`).
    fn check_sections(&mut self, kfunc: &KfuncSpec, sleeps: bool) -> Check {
        let name = kfunc.name;
        match name {
            "bpf_rcu_read_lock" => {
                if self.in_tree_callback() {
                    refuse!(Acces, "Calling bpf_rcu_read_{{lock,unlock}} in unnecessary rbtree callback");
                }
                self.cur.rcu += 1;
            }
            "bpf_rcu_read_unlock" => {
                if self.in_tree_callback() {
                    refuse!(Acces, "Calling bpf_rcu_read_{{lock,unlock}} in unnecessary rbtree callback");
                }
                if self.cur.rcu == 0 {
                    refuse!(Inval, "unmatched rcu read unlock (kernel function {name})");
                }
                self.cur.rcu -= 1;
                if self.cur.rcu == 0 {
                    self.leave_rcu();
                }
            }
            "bpf_preempt_disable" => self.cur.preempt += 1,
            "bpf_preempt_enable" => {
                if self.cur.preempt == 0 {
                    refuse!(Inval, "unmatched attempt to enable preemption (kernel function {name})");
                }
                self.cur.preempt -= 1;
            }
            _ if sleeps && self.cur.rcu > 0 => {
                refuse!(Acces, "kernel func {name} is sleepable within rcu_read_lock region");
            }
            _ if sleeps && self.cur.preempt > 0 => {
                refuse!(Acces, "kernel func {name} is sleepable within non-preemptible region");
            }
            _ if sleeps && self.cur.irq_id != 0 => {
                refuse!(Acces, "kernel func {name} is sleepable within IRQ-disabled region");
            }
            _ => {}
        }
        Ok(())
    }

    /// What was protected by the section is not any more.
    fn leave_rcu(&mut self) {
        let is_protected = |reg: &Reg| reg.flags.has(Flags::RCU);
        let change = |reg: &mut Reg| {
            reg.flags = reg.flags.without(Flags::RCU.and(Flags::MAYBE_NULL)).and(Flags::UNTRUSTED);
        };
        self.cur.each_reg(is_protected, change);
        for frame in &mut self.cur.frames {
            frame.make_mut().stack.each_slot(|_, slot| {
                if matches!(slot.reg.kind, Kind::Iter { .. }) && is_protected(&slot.reg) {
                    change(&mut slot.reg);
                }
            });
        }
    }

    fn release_kfunc(&mut self, kfunc: &KfuncSpec, found: &KfuncArguments) -> Check {
        if let Some(released) = found.released {
            let id = self.reg(released).ref_id;
            if !self.release(id) {
                refuse!(Inval, "kfunc {}#0 reference has not been acquired before", kfunc.name);
            }
        }
        let inserts = ["bpf_list_push_front_impl", "bpf_list_push_back_impl", "bpf_rbtree_add_impl"];
        if inserts.contains(&kfunc.name) {
            let id = self.reg(R::R2).ref_id;
            self.give_to_graph(id);
        }
        Ok(())
    }

    /// The exception leaves the program: its value must be one that the program may return.
    fn check_throw(&mut self) -> Check<Go> {
        if self.env.exception_callback.is_none() {
            self.check_thrown()?;
        }
        self.check_leaks(true, true, "bpf_throw")?;
        Ok(Go::End)
    }

    /// A lock that may not be taken: there the program goes on without it.
    fn fork_failed_lock(&mut self) -> Check {
        // The state before the lock was taken.
        let mut state = self.cur.clone();
        if let Some(at) =
            state.refs.iter().rposition(|held| matches!(held.kind, RefKind::ResLock | RefKind::ResLockIrq))
        {
            state.refs.change(|refs| refs.remove(at));
            state.locks -= 1;
            let last = state.refs.iter().rev().find(|held| held.kind.is_lock()).copied();
            state.lock_id = last.map_or(0, |held| held.id);
            state.lock_owner = last.map_or(0, |held| held.owner);
        }
        let mut failed = self.unknown();
        (failed.num.s32_min, failed.num.s32_max) = (-MAX_ERRNO, -1);
        failed.num.sync();
        let frame = state.current_mut();
        frame.regs[..6].fill(Reg::UNINIT);
        frame.regs[0] = failed;
        self.push_state_or(Errno::NoMem, state, Pc(self.pc.0 + 1), self.pc)?;
        Ok(())
    }

    /// What is in `r0` afterwards.
    fn kfunc_result(&mut self, kfunc: &KfuncSpec, found: &KfuncArguments, before: &[Reg; 11]) -> Check<Reg> {
        let ret = CType::of(kfunc.ret);
        let mut result = match ret {
            CType::Void => return Ok(Reg::UNINIT),
            CType::Number(_) if kfunc.name.starts_with("bpf_res_spin_lock") => return Ok(self.constant(0)),
            CType::Number(_) => return Ok(self.unknown()),
            _ => match self.special_result(kfunc, found, before)? {
                Some(special) => special,
                None => match ret {
                    CType::VoidPointer => return Ok(self.unknown()),
                    CType::Struct(name) => {
                        let mut flags = Flags::NONE;
                        if kfunc.name == "bpf_get_kmem_cache" {
                            flags = Flags::UNTRUSTED;
                        } else if kfunc.has(KfuncFlag::RcuProtected) {
                            flags = Flags::RCU;
                        }
                        if kfunc.has(KfuncFlag::IterNext) {
                            let protected =
                                self.iterator(found).is_some_and(|iter| iter.flags.has(Flags::RCU));
                            flags = if protected { Flags::RCU } else { Flags::TRUSTED };
                        }
                        Reg::pointer(Kind::Btf(self.kernel_type(name)), flags)
                    }
                    CType::NumberPointer(size) => {
                        let size = found.result_size.unwrap_or(size);
                        let written = found.result_written || kfunc.name == "bpf_session_cookie";
                        let flags = if written { Flags::NONE } else { Flags::RDONLY };
                        Reg { ref_id: found.ref_id, ..Reg::pointer(Kind::Mem(size), flags) }
                    }
                    _ => self.unknown(),
                },
            },
        };
        // One who has a reference can always have another.
        let may_be_null =
            kfunc.has(KfuncFlag::RetNull) && !(kfunc.name == "bpf_refcount_acquire_impl" && found.owned);
        if may_be_null {
            result.flags = result.flags.and(Flags::MAYBE_NULL);
            result.id = self.fresh_id();
        }
        if kfunc.has(KfuncFlag::Acquire) {
            let id = self.acquire();
            if may_be_null {
                result.id = id;
            }
            result.ref_id = id;
        } else if matches!(ret, CType::Struct("bpf_list_node" | "bpf_rb_node")) {
            self.set_unowned(&mut result);
        }
        if let Kind::Btf(target) = result.kind
            && result.id == 0
            && self
                .special_fields(target)
                .iter()
                .any(|field| matches!(field.kind, FieldKind::SpinLock | FieldKind::ResSpinLock))
        {
            result.id = self.fresh_id();
        }
        Ok(result)
    }

    fn special_result(
        &mut self,
        kfunc: &KfuncSpec,
        found: &KfuncArguments,
        _before: &[Reg; 11],
    ) -> Check<Option<Reg>> {
        let object = |target: TypeRef, off: u32, flags: Flags| {
            Some(Reg { off: off as i32, ..Reg::pointer(Kind::Btf(target), flags) })
        };
        Ok(match kfunc.name {
            "bpf_obj_new_impl" | "bpf_percpu_obj_new_impl" => Some(self.allocated(kfunc, found)?),
            "bpf_refcount_acquire_impl" => found.object.and_then(|target| object(target, 0, Flags::ALLOC)),
            "bpf_list_pop_front" | "bpf_list_pop_back" | "bpf_list_front" | "bpf_list_back"
            | "bpf_rbtree_remove" | "bpf_rbtree_first" | "bpf_rbtree_root" | "bpf_rbtree_left"
            | "bpf_rbtree_right" => match found.root.map(|field| field.kind) {
                Some(FieldKind::ListHead { target, node } | FieldKind::RbRoot { target, node }) => {
                    object(target, node, Flags::ALLOC)
                }
                _ => None,
            },
            "bpf_cast_to_kern_ctx" => {
                let name = kernel_context(self.env.program.program_type);
                object(self.kernel_type(name), 0, Flags::TRUSTED)
            }
            "bpf_rdonly_cast" => {
                let id = found.constant.unwrap_or(0) as u32;
                let target = TypeRef::kernel(id);
                if id == 0 {
                    return Ok(Some(Reg::pointer(Kind::Mem(0), Flags::RDONLY.and(Flags::UNTRUSTED))));
                }
                if self.env.types.is_some_and(|types| !types.is_struct(target)) {
                    refuse!(Inval, "kfunc bpf_rdonly_cast type ID argument must be of a struct or void");
                }
                object(target, 0, Flags::UNTRUSTED)
            }
            "bpf_dynptr_slice" | "bpf_dynptr_slice_rdwr" => {
                let Some(dynptr) = found.dynptr else { return Ok(None) };
                let mut flags = match dynptr.kind {
                    Kind::Dynptr { of: crate::state::Dynptr::Skb, .. } => Flags::DYNPTR_SKB,
                    Kind::Dynptr { of: crate::state::Dynptr::Xdp, .. } => Flags::DYNPTR_XDP,
                    Kind::Dynptr { of: crate::state::Dynptr::SkbMeta, .. } => Flags::DYNPTR_SKB_META,
                    _ => Flags::NONE,
                };
                if kfunc.name == "bpf_dynptr_slice" {
                    flags = flags.and(Flags::RDONLY);
                } else if !self.writes_packet() {
                    refuse!(Inval, "the prog does not allow writes to packet data");
                }
                let size = found.constant.unwrap_or(0) as u32;
                Some(Reg { range: dynptr.id as i32, ..Reg::pointer(Kind::Mem(size), flags) })
            }
            _ => None,
        })
    }

    fn allocated(&self, kfunc: &KfuncSpec, found: &KfuncArguments) -> Check<Reg> {
        let id = found.constant.unwrap_or(0);
        let Ok(id) = u32::try_from(id) else {
            refuse!(Inval, "local type ID argument must be in range [0, U32_MAX]");
        };
        let target = TypeRef::program(id);
        let Some(types) = self.env.types else {
            refuse!(Inval, "bpf_obj_new/bpf_percpu_obj_new requires prog BTF");
        };
        if !types.is_struct(target) || types.is_union(target) {
            refuse!(Inval, "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct");
        }
        let mut flags = Flags::ALLOC;
        if kfunc.name == "bpf_percpu_obj_new_impl" {
            let size = types.size(target).unwrap_or(0);
            if size > 512 {
                refuse!(Inval, "bpf_percpu_obj_new type size ({size}) is greater than 512");
            }
            if !types.is_scalar_struct(target) {
                refuse!(Inval, "bpf_percpu_obj_new type ID argument must be of a struct of scalars");
            }
            if !types.special_fields(target).is_empty() {
                refuse!(Inval, "bpf_percpu_obj_new type ID argument must not contain special fields");
            }
            flags = flags.and(Flags::PERCPU);
        }
        Ok(Reg::pointer(Kind::Btf(target), flags))
    }

    /// The iterator's slot on the stack.
    pub(super) fn iterator(&self, found: &KfuncArguments) -> Option<&Reg> {
        let (frame, slot) = found.iterator?;
        Some(&self.cur.frames.get(frame)?.stack.get(slot)?.reg)
    }

    /// The iterator gives one more, or none: both are explored (`process_iter_next_call`).
    fn advance(&mut self, found: &KfuncArguments) -> Check {
        let Some((frame, slot)) = found.iterator else { return Ok(()) };
        let Some(Kind::Iter { of, state, depth, first }) = self.iterator(found).map(|iter| iter.kind) else {
            return Ok(());
        };
        if state == IterState::Active {
            let pc = self.pc;
            let before = self.previous_entry(pc);
            let mut active = self.cur.clone();
            active.frame_mut(frame).stack[slot].reg.kind = Kind::Iter { of, state, depth: depth + 1, first };
            if let Some(before) = before {
                self.widen(before, &mut active);
            }
            let regs = &mut active.current_mut().regs;
            regs[0].flags = regs[0].flags.without(Flags::MAYBE_NULL);
            self.push_state_or(Errno::NoMem, active, Pc(pc.0 + 1), pc)?;
        }
        self.slot_mut(frame, slot).reg.kind = Kind::Iter { of, state: IterState::Drained, depth, first };
        let zero = self.constant(0);
        self.set(R::R0, zero);
        Ok(())
    }

    /// The slots of the stack that a pointer to it points to, if it is one with a constant offset.
    pub(super) fn place_of(&self, reg: &Reg) -> Option<(usize, usize)> {
        let value = reg.num.const_value().filter(|_| reg.kind == Kind::Stack)?;
        let off = reg.off.wrapping_add(value as i32);
        if off >= 0 || off % 8 != 0 {
            return None;
        }
        Some((usize::from(reg.frame).min(self.cur.depth()), slot_of(off)))
    }
}

/// The function that a call names.
pub(crate) fn find(env: &crate::Environment<'_>, id: i32) -> Option<&'static KfuncSpec> {
    kfuncs::numbered(id).or_else(|| {
        let id = u32::try_from(id).ok().filter(|id| *id != 0)?;
        kfuncs::named(env.types?.name(TypeRef::kernel(id))).map(|(_, kfunc)| kfunc)
    })
}

/// Whether it works on lists or trees.
pub(super) fn is_graph(kfunc: &KfuncSpec) -> bool {
    kfunc.name.starts_with("bpf_list_")
        || kfunc.name.starts_with("bpf_rbtree_")
        || kfunc.name == "bpf_refcount_acquire_impl"
}

/// What the kernel's own form of the context is.
fn kernel_context(of: sandbpf_abi::ProgramType) -> &'static str {
    use sandbpf_abi::ProgramType as T;
    match of {
        T::Xdp => "xdp_buff",
        T::SkMsg => "sk_msg",
        T::SockOps => "bpf_sock_ops_kern",
        T::CgroupSockAddr => "bpf_sock_addr_kern",
        T::CgroupSysctl => "bpf_sysctl_kern",
        T::CgroupSockopt => "bpf_sockopt_kern",
        T::SkLookup => "bpf_sk_lookup_kern",
        T::SkReuseport => "sk_reuseport_kern",
        T::PerfEvent => "bpf_perf_event_data_kern",
        T::Netfilter => "bpf_nf_ctx",
        T::Kprobe => "pt_regs",
        T::CgroupSock => "sock",
        T::FlowDissector => "bpf_flow_dissector",
        T::CgroupDevice => "bpf_cgroup_dev_ctx",
        _ => "sk_buff",
    }
}
