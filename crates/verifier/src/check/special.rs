//! What lies in maps and on the stack beside plain bytes: locks, timers, kernel pointers, dynamic pointers.

use sandbpf_isa::{Extend, Insn, Operand, Reg as R, Size};

use super::arguments::{Arguments, field_at};
use super::memory::Access;
use super::{Name, names};
use crate::environment::{FieldKind, KptrKind, SpecialField};
use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{Byte, Dynptr, Flags, Kind, Ref, RefKind, Reg, Slot, slot_of};

impl Verifier<'_> {
    /// The special fields behind a pointer, and what to call where they are.
    fn fields_behind(&self, reg: &Reg) -> (Vec<SpecialField>, bool, String) {
        match reg.kind {
            Kind::MapValue(map) => {
                let shape = &self.env.maps[usize::from(map)];
                (shape.fields.clone(), shape.has_btf, format!("map '{}'", shape.name))
            }
            Kind::Btf(target) => {
                let fields = self.env.types.map(|types| types.special_fields(target)).unwrap_or_default();
                (fields, true, "local 'kptr'".into())
            }
            _ => (Vec::new(), true, String::new()),
        }
    }

    /// `bpf_spin_lock` and `bpf_spin_unlock` (`process_spin_lock`).
    pub(super) fn check_spin_lock(&mut self, number: R, takes: bool) -> Check {
        if self.in_tree_callback() {
            refuse!(Acces, "can't spin_{{lock,unlock}} in rbtree cb");
        }
        self.check_lock(number, takes, RefKind::Lock, "bpf_spin_lock")
    }

    pub(super) fn check_lock(&mut self, number: R, takes: bool, kind: RefKind, what: &str) -> Check {
        let reg = *self.reg(number);
        let Some(value) = reg.num.const_value() else {
            refuse!(
                Inval,
                "{} doesn't have constant offset. {what} has to be at the constant offset",
                Name(number)
            );
        };
        let (fields, has_btf, place) = self.fields_behind(&reg);
        if !has_btf {
            refuse!(Inval, "{place} has to have BTF in order to use {what}");
        }
        let is_lock = |field: &&SpecialField| match kind {
            RefKind::Lock => field.kind == FieldKind::SpinLock,
            _ => field.kind == FieldKind::ResSpinLock,
        };
        let Some(field) = fields.iter().find(is_lock) else {
            refuse!(Inval, "{place} has no valid {what}");
        };
        let at = i64::from(reg.off).wrapping_add(value as i64);
        if at != i64::from(field.offset) {
            refuse!(Inval, "off {at} doesn't point to 'struct {what}' that is at {}", field.offset);
        }
        let owner = match reg.kind {
            Kind::MapValue(map) => u64::from(map) + 1,
            Kind::Btf(target) => (1 << 32) | (u64::from(target.btf) + 1),
            _ => 0,
        };
        match takes {
            true => self.take_lock(kind, reg.id, owner),
            false => self.release_lock(kind, reg.id, owner),
        }
    }

    fn take_lock(&mut self, kind: RefKind, id: u32, owner: u64) -> Check {
        if kind == RefKind::Lock {
            if self.cur.refs.iter().any(|held| held.kind == RefKind::Lock) {
                refuse!(Inval, "Locking two bpf_spin_locks are not allowed");
            }
        } else if self.cur.locks > 0 {
            if self.cur.refs.iter().any(|held| held.kind.is_lock() && held.id == id && held.owner == owner) {
                refuse!(Inval, "Acquiring the same lock again, AA deadlock detected");
            }
            if self.cur.refs.iter().any(|held| held.kind == RefKind::Lock) {
                refuse!(Inval, "Locking two bpf_spin_locks are not allowed");
            }
        }
        let pc = self.pc;
        self.cur.refs.change(|refs| refs.push(Ref { kind, id, pc, owner }));
        self.cur.locks += 1;
        self.cur.lock_id = id;
        self.cur.lock_owner = owner;
        Ok(())
    }

    fn release_lock(&mut self, kind: RefKind, id: u32, owner: u64) -> Check {
        if self.cur.locks == 0 {
            refuse!(Inval, "bpf_spin_unlock without taking a lock");
        }
        let held =
            self.cur.refs.iter().position(|held| held.kind == kind && held.id == id && held.owner == owner);
        let Some(at) = held else {
            refuse!(Inval, "bpf_spin_unlock of different lock");
        };
        if id != self.cur.lock_id || owner != self.cur.lock_owner {
            refuse!(Inval, "bpf_spin_unlock cannot be out of order");
        }
        self.cur.refs.change(|refs| refs.swap_remove(at));
        self.cur.locks -= 1;
        let last = self.cur.refs.iter().rev().find(|held| held.kind.is_lock()).copied();
        self.cur.lock_id = last.map_or(0, |held| held.id);
        self.cur.lock_owner = last.map_or(0, |held| held.owner);
        self.forget_unowned();
        Ok(())
    }

    /// Nodes that belong to a list or tree may be gone when the lock is (`invalidate_non_owning_refs`).
    pub(super) fn forget_unowned(&mut self) {
        let gone = self.gone();
        let is_unowned = |reg: &Reg| matches!(reg.kind, Kind::Btf(_)) && reg.flags.has(Flags::NON_OWN_REF);
        self.cur.each_reg(is_unowned, |reg| *reg = gone);
    }

    /// A timer in a map's value (`process_timer_func`).
    pub(super) fn check_timer(&mut self, number: R, found: &mut Arguments) -> Check {
        let reg = *self.reg(number);
        let Some(value) = reg.num.const_value() else {
            refuse!(
                Inval,
                "{} doesn't have constant offset. bpf_timer has to be at the constant offset",
                Name(number)
            );
        };
        let Kind::MapValue(map) = reg.kind else { return Ok(()) };
        let shape = &self.env.maps[usize::from(map)];
        if !shape.has_btf {
            refuse!(Inval, "map '{}' has to have BTF in order to use bpf_timer", shape.name);
        }
        let Some(field) = shape.fields.iter().find(|field| field.kind == FieldKind::Timer) else {
            refuse!(Inval, "map '{}' has no valid bpf_timer", shape.name);
        };
        let at = i64::from(reg.off).wrapping_add(value as i64);
        if at != i64::from(field.offset) {
            refuse!(Inval, "off {at} doesn't point to 'struct bpf_timer' that is at {}", field.offset);
        }
        found.map = Some(map);
        found.map_uid = reg.range;
        Ok(())
    }

    /// The place of a kernel pointer (`process_kptr_func`).
    pub(super) fn check_kptr_place(&mut self, number: R, found: &mut Arguments) -> Check {
        let reg = *self.reg(number);
        let (fields, has_btf, place) = self.fields_behind(&reg);
        if !has_btf {
            refuse!(Inval, "{place} has to have BTF in order to use bpf_kptr_xchg");
        }
        let Some(value) = reg.num.const_value() else {
            refuse!(
                Inval,
                "{} doesn't have constant offset. kptr has to be at the constant offset",
                Name(number)
            );
        };
        let is_kptr = |kind: FieldKind| matches!(kind, FieldKind::Kptr { .. } | FieldKind::Uptr { .. });
        if !fields.iter().any(|field| is_kptr(field.kind)) {
            refuse!(Inval, "{place} has no valid kptr");
        }
        let at = i64::from(reg.off).wrapping_add(value as i64);
        let Some(field) = field_at(&fields, at, is_kptr) else {
            refuse!(Acces, "off={at} doesn't point to kptr");
        };
        if !matches!(field.kind, FieldKind::Kptr { kind: KptrKind::Referenced | KptrKind::Percpu, .. }) {
            refuse!(Acces, "off={at} kptr isn't referenced kptr");
        }
        found.kptr = Some(field);
        Ok(())
    }

    /// Whether a pointer may be kept in such a place (`map_kptr_match_type`).
    pub(super) fn check_kptr_match(&self, field: &SpecialField, reg: &Reg, number: R) -> Check {
        let FieldKind::Kptr { kind, target } = field.kind else { return Ok(()) };
        let types = self.env.types;
        let name = types.map_or_else(String::new, |types| types.name(target).to_owned());
        let bad = || -> Check {
            let (held, of) = match (reg.kind, types) {
                (Kind::Btf(held), Some(types)) => (names::of(reg), types.name(held).to_owned()),
                _ => (names::of(reg), String::new()),
            };
            let or = match kind {
                KptrKind::Untrusted => format!(" or untrusted_ptr_{name}"),
                KptrKind::Referenced | KptrKind::Percpu => String::new(),
            };
            refuse!(Acces, "invalid kptr access, {} type={held}{of} expected=ptr_{name}{or}", Name(number));
        };
        let mut allowed = Flags::MAYBE_NULL;
        allowed = match (target.btf, kind) {
            (0, KptrKind::Untrusted) => allowed.and(Flags::TRUSTED).and(Flags::UNTRUSTED).and(Flags::RCU),
            (0, _) => allowed.and(Flags::TRUSTED).and(Flags::RCU),
            (_, KptrKind::Percpu) => allowed.and(Flags::ALLOC).and(Flags::PERCPU),
            _ => allowed.and(Flags::ALLOC),
        };
        let Kind::Btf(held) = reg.kind else { return bad() };
        if reg.flags.without(allowed).0 != 0 || held.btf != target.btf {
            return bad();
        }
        self.check_unmoved(reg, number, true)?;
        let strict = kind != KptrKind::Untrusted;
        let fits = match (strict, types) {
            (true, _) if reg.off == 0 => held == target,
            (true, _) => false,
            (false, Some(types)) => types.embeds(held, reg.off as u32, target),
            (false, None) => true,
        };
        if fits { Ok(()) } else { bad() }
    }

    /// A load or store of a kernel pointer in a map (`check_map_kptr_access`).
    pub(super) fn access_kptr(&mut self, access: &Access, _map: u16, field: SpecialField) -> Check {
        let insn = self.program.insns()[self.pc.index()];
        let (kind, target) = match field.kind {
            FieldKind::Kptr { kind, target } => (kind, target),
            FieldKind::Uptr { target } => (KptrKind::Referenced, target),
            _ => return Ok(()),
        };
        let is_uptr = matches!(field.kind, FieldKind::Uptr { .. });
        match insn {
            Insn::Load { .. } => {
                let Some(value) = access.value else { return Ok(()) };
                if is_uptr {
                    let size = self.env.types.and_then(|types| types.size(target)).unwrap_or(0);
                    let id = self.fresh_id();
                    let loaded = Reg { id, ..Reg::pointer(Kind::Mem(size), Flags::MAYBE_NULL) };
                    self.set(value, loaded);
                    return Ok(());
                }
                let loaded = self.loaded_kptr(kind, target);
                self.set(value, loaded);
                Ok(())
            }
            Insn::Store { src, .. } => {
                if kind != KptrKind::Untrusted {
                    let name = if is_uptr { "uptr" } else { "referenced kptr" };
                    refuse!(Acces, "store to {name} disallowed");
                }
                match src {
                    Operand::Imm(0) => Ok(()),
                    Operand::Imm(_) => {
                        refuse!(Acces, "BPF_ST imm must be 0 when storing to kptr at off={}", field.offset);
                    }
                    Operand::Reg(src) if self.reg(src).is_zero() => self.needs_precise(src),
                    Operand::Reg(src) => {
                        let reg = *self.reg(src);
                        self.check_kptr_match(&field, &reg, src)
                    }
                }
            }
            _ => refuse!(Acces, "kptr in map can only be accessed using BPF_MEM instruction mode"),
        }
    }

    fn loaded_kptr(&mut self, kind: KptrKind, target: crate::environment::TypeRef) -> Reg {
        let mut flags = Flags::MAYBE_NULL;
        let protected = kind != KptrKind::Untrusted && self.in_rcu_section() && self.is_rcu_protected(target);
        if protected {
            flags = flags.and(Flags::RCU);
            if kind == KptrKind::Percpu {
                flags = flags.and(Flags::PERCPU);
            } else if target.btf == 1 {
                flags = flags.and(Flags::ALLOC);
            }
            if target.btf == 1 && self.has_graph_node(target) {
                flags = flags.and(Flags::NON_OWN_REF);
            }
        } else {
            flags = flags.and(Flags::UNTRUSTED);
        }
        let id = self.fresh_id();
        Reg { id, ..Reg::pointer(Kind::Btf(target), flags) }
    }

    fn has_graph_node(&self, target: crate::environment::TypeRef) -> bool {
        let fields = self.env.types.map(|types| types.special_fields(target)).unwrap_or_default();
        fields.iter().any(|field| matches!(field.kind, FieldKind::ListNode | FieldKind::RbNode))
    }

    /// The first slot of a dynamic pointer on the stack, by a pointer to it.
    pub(super) fn dynptr_place(&self, reg: &Reg) -> Check<(usize, usize)> {
        let Some(value) = reg.num.const_value() else {
            refuse!(Inval, "dynptr has to be at a constant offset");
        };
        let off = reg.off.wrapping_add(value as i32);
        if off % 8 != 0 {
            refuse!(Inval, "cannot pass in dynptr at an offset={off}");
        }
        if off >= 0 || slot_of(off) < 1 {
            refuse!(Inval, "cannot pass in dynptr at an offset={off}");
        }
        Ok((usize::from(reg.frame).min(self.cur.depth()), slot_of(off)))
    }

    /// The dynamic pointer that a register points to, or is.
    pub(super) fn dynptr_at(&self, reg: &Reg) -> Option<Reg> {
        if matches!(reg.kind, Kind::Dynptr { .. }) {
            return Some(*reg);
        }
        let (frame, at) = self.dynptr_place(reg).ok()?;
        let slot = self.cur.frames[frame].stack.get(at)?;
        (slot.bytes[0] == Byte::Dynptr).then_some(slot.reg)
    }

    pub(super) fn dynptr_kind(&self, reg: &Reg) -> Option<Dynptr> {
        match self.dynptr_at(reg)?.kind {
            Kind::Dynptr { of, .. } => Some(of),
            _ => None,
        }
    }

    /// An argument that is a dynamic pointer (`process_dynptr_func`).
    pub(super) fn check_dynptr(&mut self, number: R) -> Check {
        let reg = *self.reg(number);
        let at = number.number() - 1;
        if matches!(reg.kind, Kind::Dynptr { .. }) {
            return Ok(());
        }
        if reg.kind != Kind::Stack {
            refuse!(Inval, "arg#{at} expected pointer to stack or const struct bpf_dynptr");
        }
        let (frame, slot) = match self.dynptr_place(&reg) {
            Ok(place) => place,
            Err(said) => refuse!(Inval, "{}\nExpected an initialized dynptr as arg #{at}", said.message),
        };
        let stack = &self.cur.frames[frame].stack;
        let whole = |slot: &Slot| slot.bytes.iter().all(|byte| *byte == Byte::Dynptr);
        let valid = stack.get(slot).zip(stack.get(slot - 1)).is_some_and(|(first, second)| {
            whole(first) && whole(second) && matches!(first.reg.kind, Kind::Dynptr { first: true, .. })
        });
        if !valid {
            refuse!(Inval, "Expected an initialized dynptr as arg #{at}");
        }
        self.life.read(frame, 1 << slot | 1 << (slot - 1));
        self.life.touch(slot);
        Ok(())
    }

    pub(super) fn check_dynptr_argument(&mut self, number: R) -> Check {
        self.check_dynptr(number)
    }

    /// A place for a new dynamic pointer (`mark_stack_slots_dynptr`).
    pub(super) fn make_dynptr(&mut self, number: R, of: Dynptr) -> Check {
        self.make_dynptr_of(number, of, 0)
    }

    /// The same, of what another with this reference points to.
    pub(super) fn make_dynptr_of(&mut self, number: R, of: Dynptr, parent: u32) -> Check {
        let reg = *self.reg(number);
        if matches!(reg.kind, Kind::Dynptr { .. }) {
            refuse!(Inval, "Dynptr has to be an uninitialized dynptr");
        }
        if reg.kind == Kind::Stack
            && let Err(said) = self.dynptr_place(&reg)
        {
            refuse!(Inval, "{}\nDynptr has to be an uninitialized dynptr", said.message);
        }
        for off in [0, 8] {
            self.access(Access {
                base: number,
                off,
                size: Size::DW,
                write: true,
                value: None,
                imm: None,
                aligned: false,
                extend: Extend::Zero,
            })?;
        }
        let (frame, at) = self.dynptr_place(&reg)?;
        self.destroy_dynptr(frame, at)?;
        self.destroy_dynptr(frame, at - 1)?;
        let id = self.fresh_id();
        let ref_id = match of {
            Dynptr::Ringbuf if parent != 0 => parent,
            Dynptr::Ringbuf => self.acquire(),
            _ => 0,
        };
        for (at, first) in [(at, true), (at - 1, false)] {
            let slot = self.slot_mut(frame, at);
            slot.bytes = [Byte::Dynptr; 8];
            slot.reg = Reg { id, ref_id, ..Reg::pointer(Kind::Dynptr { of, first }, Flags::NONE) };
        }
        self.life.write(frame, 1 << at | 1 << (at - 1));
        Ok(())
    }

    /// A dynamic pointer is given back (`unmark_stack_slots_dynptr`).
    pub(super) fn release_dynptr(&mut self, reg: &Reg) -> bool {
        let Ok((frame, at)) = self.dynptr_place(reg) else { return false };
        let ref_id = self.cur.frames[frame].stack[at].reg.ref_id;
        if ref_id == 0 {
            for at in [at, at - 1] {
                *self.slot_mut(frame, at) = Slot::INVALID;
            }
            self.life.write(frame, 1 << at | 1 << (at - 1));
            return true;
        }
        let released = self.release(ref_id);
        let slots = self.cur.frames[frame].stack.len();
        for at in 1..slots {
            let slot = &self.cur.frames[frame].stack[at];
            let clone = slot.reg.ref_id == ref_id && slot.bytes[0] == Byte::Dynptr;
            if clone && matches!(slot.reg.kind, Kind::Dynptr { first: true, .. }) {
                for at in [at, at - 1] {
                    *self.slot_mut(frame, at) = Slot::INVALID;
                }
                self.life.write(frame, 1 << at | 1 << (at - 1));
            }
        }
        released
    }

    /// `bpf_snprintf`'s format and the number of its arguments.
    pub(super) fn check_snprintf(&mut self) -> Check {
        let len = self.reg(R::R5).num.var_off.value;
        if !len.is_multiple_of(8) {
            refuse!(Inval, "data length must be a multiple of 8");
        }
        Ok(())
    }
}
