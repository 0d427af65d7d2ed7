//! Lists, trees, iterators and saved interrupt flags: what functions of the kernel keep on the stack and in objects.

use sandbpf_abi::{KfuncFlag, KfuncSpec};
use sandbpf_isa::{Extend, Reg as R, Size};

use super::Name;
use super::ctype::CType;
use super::kfunc_args::KfuncArguments;
use super::memory::Access;
use crate::environment::{FieldKind, SpecialField};
use crate::error::{Check, Errno, refuse};
use crate::explore::Verifier;
use crate::state::{Byte, Flags, Frame, IterState, Kind, Ref, RefKind, Reg, Shared, Slot};

impl Verifier<'_> {
    /// The head of a list or the root of a tree, under its lock (`process_kf_arg_ptr_to_graph_root`).
    pub(super) fn check_root(
        &mut self,
        reg: &Reg,
        number: R,
        at: usize,
        what: &str,
        found: &mut KfuncArguments,
    ) -> Check {
        self.check_offset(reg, number, sandbpf_abi::ArgSpec::Anything)?;
        let allocated = matches!(reg.kind, Kind::Btf(_)) && reg.flags == Flags::ALLOC;
        let of_map = matches!(reg.kind, Kind::MapValue(_)) && reg.flags == Flags::NONE;
        if !of_map && !allocated {
            refuse!(Inval, "arg#{at} expected pointer to map value or allocated object");
        }
        if allocated && reg.ref_id == 0 {
            refuse!(Inval, "allocated object must be referenced");
        }
        let Some(value) = reg.num.const_value() else {
            refuse!(
                Inval,
                "{} doesn't have constant offset. {what} has to be at the constant offset",
                Name(number)
            );
        };
        let fields = self.fields_at(reg);
        let place = i64::from(reg.off).wrapping_add(value as i64);
        let is_root = |field: &&SpecialField| match field.kind {
            FieldKind::ListHead { .. } => what == "bpf_list_head",
            FieldKind::RbRoot { .. } => what == "bpf_rb_root",
            _ => false,
        };
        let Some(field) = fields.iter().find(|field| i64::from(field.offset) == place && is_root(field))
        else {
            refuse!(Inval, "{what} not found at offset={place}");
        };
        self.check_same_allocation(reg, &fields, what)?;
        found.root = Some(*field);
        Ok(())
    }

    fn fields_at(&self, reg: &Reg) -> Vec<SpecialField> {
        match reg.kind {
            Kind::MapValue(map) => self.env.maps[usize::from(map)].fields.clone(),
            Kind::Btf(target) => self.special_fields(target),
            _ => Vec::new(),
        }
    }

    /// The lock that is held lies in the same object (`check_reg_allocation_locked`).
    fn check_same_allocation(&self, reg: &Reg, fields: &[SpecialField], what: &str) -> Check {
        let owner = match reg.kind {
            Kind::MapValue(map) => u64::from(map) + 1,
            Kind::Btf(target) => 1 << 32 | (u64::from(target.btf) + 1),
            _ => 0,
        };
        let lock =
            fields.iter().find(|field| matches!(field.kind, FieldKind::SpinLock | FieldKind::ResSpinLock));
        let off = lock.map_or(-1, |field| i64::from(field.offset));
        if self.cur.locks == 0 {
            refuse!(Inval, "bpf_spin_lock at off={off} must be held for {what}");
        }
        let held =
            self.cur.refs.iter().any(|held| held.kind.is_lock() && held.id == reg.id && held.owner == owner);
        if !held {
            refuse!(
                Inval,
                "held lock and object are not in the same allocation\nbpf_spin_lock at off={off} must be held for {what}"
            );
        }
        Ok(())
    }

    /// A node of a list or tree (`process_kf_arg_ptr_to_graph_node`).
    pub(super) fn check_node(
        &mut self,
        kfunc: &KfuncSpec,
        reg: &Reg,
        number: R,
        at: usize,
        what: &str,
        found: &mut KfuncArguments,
    ) -> Check {
        self.check_offset(reg, number, sandbpf_abi::ArgSpec::Anything)?;
        let looks = matches!(kfunc.name, "bpf_rbtree_remove" | "bpf_rbtree_left" | "bpf_rbtree_right");
        if looks {
            if !reg.flags.has(Flags::NON_OWN_REF) && reg.ref_id == 0 {
                refuse!(Inval, "{} can only take non-owning or refcounted bpf_rb_node pointer", kfunc.name);
            }
            if self.in_tree_callback() {
                refuse!(Inval, "{} not allowed in rbtree cb", kfunc.name);
            }
        } else {
            if !matches!(reg.kind, Kind::Btf(_)) || reg.flags != Flags::ALLOC {
                refuse!(Inval, "arg#{at} expected pointer to allocated object");
            }
            if reg.ref_id == 0 {
                refuse!(Inval, "allocated object must be referenced");
            }
        }
        let Some(value) = reg.num.const_value() else {
            refuse!(
                Inval,
                "{} doesn't have constant offset. {what} has to be at the constant offset",
                Name(number)
            );
        };
        let place = i64::from(reg.off).wrapping_add(value as i64);
        let is_node = |field: &SpecialField| match field.kind {
            FieldKind::ListNode => what == "bpf_list_node",
            FieldKind::RbNode => what == "bpf_rb_node",
            _ => false,
        };
        let Kind::Btf(held) = reg.kind else { return Ok(()) };
        let fields = self.special_fields(held);
        if !fields.iter().any(|field| i64::from(field.offset) == place && is_node(field)) {
            refuse!(Inval, "{what} not found at offset={place}");
        }
        let Some(FieldKind::ListHead { target, node } | FieldKind::RbRoot { target, node }) =
            found.root.map(|field| field.kind)
        else {
            return Ok(());
        };
        let name = |of| self.env.types.map_or("", |types| types.name(of));
        if held != target {
            let root = if what == "bpf_list_node" { "bpf_list_head" } else { "bpf_rb_root" };
            refuse!(
                Inval,
                "operation on {root} expects arg#1 {what} at offset={node} in struct {}, but arg is at offset={} in struct {}",
                name(target),
                reg.off,
                name(held)
            );
        }
        if place != i64::from(node) {
            refuse!(
                Inval,
                "arg#1 offset={place}, but expected {what} at offset={node} in struct {}",
                name(target)
            );
        }
        found.object = Some(held);
        Ok(())
    }

    /// Whether the program is in the function that compares nodes of a tree.
    pub(super) fn in_tree_callback(&self) -> bool {
        let frame = self.cur.current();
        let Some(call) = frame.callsite.filter(|_| frame.in_callback) else { return false };
        match self.program.insns()[call.index()] {
            sandbpf_isa::Insn::Call { callee: sandbpf_isa::Callee::Kfunc { id, .. } } => {
                self.kfunc(id).is_some_and(|kfunc| kfunc.name.starts_with("bpf_rbtree_"))
            }
            _ => false,
        }
    }

    /// The list or tree owns a node now (`ref_convert_owning_non_owning`).
    pub(super) fn give_to_graph(&mut self, id: u32) {
        let mut changed: Vec<Reg> = Vec::new();
        for reg in self.cur.all_regs().filter(|reg| reg.ref_id == id && id != 0) {
            if !changed.iter().any(|known| known.kind == reg.kind) {
                changed.push(*reg);
            }
        }
        let refcounted: Vec<_> = changed
            .iter()
            .filter(|reg| match reg.kind {
                Kind::Btf(target) => {
                    self.special_fields(target).iter().any(|field| field.kind == FieldKind::Refcount)
                }
                _ => false,
            })
            .map(|reg| reg.kind)
            .collect();
        self.cur.each_reg(
            |reg| reg.ref_id == id && id != 0,
            |reg| {
                reg.ref_id = 0;
                reg.flags = reg.flags.and(Flags::NON_OWN_REF);
                if refcounted.contains(&reg.kind) {
                    reg.flags = reg.flags.and(Flags::RCU);
                }
            },
        );
        self.cur.refs.change(|refs| refs.retain(|held| !(held.kind == RefKind::Pointer && held.id == id)));
    }

    /// A pointer to a node that a list or tree owns (`ref_set_non_owning`).
    pub(super) fn set_unowned(&self, reg: &mut Reg) {
        reg.flags = reg.flags.and(Flags::NON_OWN_REF);
        if let Kind::Btf(target) = reg.kind
            && self.special_fields(target).iter().any(|field| field.kind == FieldKind::Refcount)
        {
            reg.flags = reg.flags.and(Flags::RCU);
        }
    }

    /// `bpf_rbtree_add` compares by calling back.
    pub(super) fn call_back_less(&mut self, found: &KfuncArguments) -> Check {
        let (Some(function), Some(FieldKind::RbRoot { target, node })) =
            (found.function, found.root.map(|field| field.kind))
        else {
            return Ok(());
        };
        let frames = self.cur.frames.len();
        if frames >= self.env.limits.frames {
            refuse!(TooBig, "the call stack of {} frames is too deep", frames + 1);
        }
        self.known.is_callback[function as usize] = true;
        let mut callee = Frame::new(Some(self.pc), function, frames);
        let mut reg = Reg { off: node as i32, ..Reg::pointer(Kind::Btf(target), Flags::ALLOC) };
        self.set_unowned(&mut reg);
        callee.regs[1] = reg;
        callee.regs[2] = reg;
        callee.in_callback = true;
        callee.returns = Some((0, 1));
        let entry = self.entry_of(function);
        let mut state = self.cur.clone();
        state.callback_unroll += 1;
        state.current_mut().callback_depth += 1;
        state.frames.push(Shared::new(callee));
        self.push_state_or(Errno::NoMem, state, entry, self.pc)?;
        self.cur.current_mut().callback_depth = 0;
        Ok(())
    }

    /// `bpf_wq_set_callback`: the function runs later.
    pub(super) fn call_back_work(&mut self, found: &KfuncArguments) -> Check {
        let (Some(function), Some((map, uid))) = (found.function, found.map) else { return Ok(()) };
        self.known.is_callback[function as usize] = true;
        self.known.runs_later[function as usize] = true;
        let entry = self.entry_of(function);
        let mut state = crate::explore::entry_state(entry, function);
        state.in_sleepable = true;
        let entries = self.cur.current().async_entry;
        let frame = state.frame_mut(0);
        frame.in_async = true;
        frame.async_entry = entries + 1;
        frame.returns = Some((0, 1));
        let of_map = |kind: Kind| Reg { range: uid, ..Reg::pointer(kind, Flags::NONE) };
        frame.regs[1] = of_map(Kind::Map(map));
        frame.regs[2] = of_map(Kind::MapKey(map));
        frame.regs[3] = of_map(Kind::MapValue(map));
        self.push_state(state, entry, self.pc)?;
        Ok(())
    }

    /// An iterator on the stack (`process_iter_arg`).
    pub(super) fn check_iterator(
        &mut self,
        kfunc: &KfuncSpec,
        c_type: CType,
        number: R,
        found: &mut KfuncArguments,
    ) -> Check {
        let at = number.number() - 1;
        let reg = *self.reg(number);
        if reg.kind != Kind::Stack {
            refuse!(Inval, "arg#{at} expected pointer to an iterator on stack");
        }
        let CType::Struct(name) = c_type else {
            refuse!(Inval, "expected valid iter pointer as arg #{at}");
        };
        let of = self.kernel_type(name);
        let short = name.strip_prefix("bpf_iter_").unwrap_or(name);
        let size =
            self.env.types.and_then(|types| types.size(of)).unwrap_or(if short == "num" { 8 } else { 24 });
        let slots = (size / 8) as usize;
        let place = self.place_of(&reg).filter(|&(_, at)| at + 1 >= slots);
        if kfunc.has(KfuncFlag::IterNew) {
            // At the end of the frame Linux looks at the last slot, and finds out when it writes.
            let at_end = slots == 1
                && reg.num.const_value().is_some_and(|value| reg.off.wrapping_add(value as i32) == 0);
            let place = if at_end { Some((usize::from(reg.frame).min(self.cur.depth()), 0)) } else { place };
            return self.make_iterator(kfunc, number, of, slots, place, short);
        }
        let Some((frame, first)) = place else {
            refuse!(Inval, "expected an initialized iter_{short} as arg #{at}");
        };
        for i in 0..slots {
            let slot = self.cur.frames[frame].stack.get(first - i);
            let valid = slot.is_some_and(|slot| {
                slot.bytes.iter().all(|byte| *byte == Byte::Iter)
                    && matches!(slot.reg.kind, Kind::Iter { of: held, first, .. } if held == of && first == (i == 0))
            });
            if !valid {
                refuse!(Inval, "expected an initialized iter_{short} as arg #{at}");
            }
        }
        let held = self.cur.frames[frame].stack[first].reg;
        if held.flags.has(Flags::UNTRUSTED) {
            refuse!(Inval, "expected an RCU CS when using {}", kfunc.name);
        }
        let mask = (0..slots).fold(0, |mask, i| mask | 1 << (first - i));
        self.life.read(frame, mask);
        found.iterator = Some((frame, first));
        found.ref_id = held.ref_id;
        if kfunc.has(KfuncFlag::IterDestroy) {
            self.release(held.ref_id);
            for i in 0..slots {
                *self.slot_mut(frame, first - i) = Slot::INVALID;
            }
            self.life.write(frame, mask);
        }
        Ok(())
    }

    fn make_iterator(
        &mut self,
        kfunc: &KfuncSpec,
        number: R,
        of: crate::environment::TypeRef,
        slots: usize,
        place: Option<(usize, usize)>,
        short: &str,
    ) -> Check {
        let at = number.number() - 1;
        let taken = |verifier: &Self| {
            let (frame, first) = place?;
            let stack = &verifier.cur.frames[frame].stack;
            Some(
                (0..slots).any(|i| stack.get(first - i).is_some_and(|slot| slot.bytes.contains(&Byte::Iter))),
            )
        };
        if taken(self) != Some(false) {
            refuse!(Inval, "expected uninitialized iter_{short} as arg #{at}");
        }
        for i in 0..slots {
            self.access(Access {
                base: number,
                off: i as i32 * 8,
                size: Size::DW,
                write: true,
                value: None,
                imm: None,
                aligned: false,
                extend: Extend::Zero,
            })?;
        }
        let Some((frame, first)) = place else { return Ok(()) };
        let id = self.acquire();
        let mut flags = Flags::NONE;
        if kfunc.has(KfuncFlag::RcuProtected) {
            flags = if self.in_rcu_section() { Flags::RCU } else { Flags::UNTRUSTED };
        }
        let mut mask = 0;
        for i in 0..slots {
            let slot = self.slot_mut(frame, first - i);
            slot.bytes = [Byte::Iter; 8];
            let kind = Kind::Iter { of, state: IterState::Active, depth: 0, first: i == 0 };
            slot.reg = Reg { ref_id: if i == 0 { id } else { 0 }, ..Reg::pointer(kind, flags) };
            mask |= 1 << (first - i);
        }
        self.life.write(frame, mask);
        Ok(())
    }

    /// Saved interrupt flags on the stack (`process_irq_flag`).
    pub(super) fn check_interrupt_flags(
        &mut self,
        kfunc: &KfuncSpec,
        reg: &Reg,
        number: R,
        at: usize,
    ) -> Check {
        if reg.kind != Kind::Stack {
            refuse!(Inval, "arg#{at} doesn't point to an irq flag on stack");
        }
        let saves = kfunc.name == "bpf_local_irq_save" || kfunc.name == "bpf_res_spin_lock_irqsave";
        let lock = kfunc.name.contains("spin");
        let place = self.place_of(reg);
        let held = place.and_then(|(frame, slot)| self.cur.frames[frame].stack.get(slot)).copied();
        let is_flag = held.is_some_and(|slot| slot.bytes.iter().all(|byte| *byte == Byte::Irq));
        if saves {
            if place.is_none() || held.is_some_and(|slot| slot.bytes.contains(&Byte::Irq)) {
                refuse!(Inval, "expected uninitialized irq flag as arg#{at}");
            }
            self.access(Access {
                base: number,
                off: 0,
                size: Size::DW,
                write: true,
                value: None,
                imm: None,
                aligned: false,
                extend: Extend::Zero,
            })?;
            let Some((frame, slot)) = place else { return Ok(()) };
            let id = self.fresh_id();
            let pc = self.pc;
            self.cur.refs.change(|refs| refs.push(Ref { kind: RefKind::Irq, id, pc, owner: 0 }));
            self.cur.irq_id = id;
            let target = self.slot_mut(frame, slot);
            target.bytes = [Byte::Irq; 8];
            target.reg = Reg { ref_id: id, ..Reg::pointer(Kind::IrqFlag { lock }, Flags::NONE) };
            self.life.write(frame, 1 << slot);
            return Ok(());
        }
        let (Some((frame, slot)), Some(held), true) = (place, held, is_flag) else {
            refuse!(Inval, "expected an initialized irq flag as arg#{at}");
        };
        self.life.read(frame, 1 << slot);
        let Kind::IrqFlag { lock: by_lock } = held.reg.kind else { return Ok(()) };
        if by_lock != lock {
            let (was, is) = if by_lock { ("lock", "native") } else { ("native", "lock") };
            refuse!(Inval, "irq flag acquired by {was} kfuncs cannot be restored with {is} kfuncs");
        }
        let id = held.reg.ref_id;
        if id != self.cur.irq_id {
            refuse!(Acces, "cannot restore irq state out of order");
        }
        self.cur.refs.change(|refs| refs.retain(|held| !(held.kind == RefKind::Irq && held.id == id)));
        let last = self.cur.refs.iter().rev().find(|held| held.kind == RefKind::Irq);
        self.cur.irq_id = last.map_or(0, |held| held.id);
        *self.slot_mut(frame, slot) = Slot::INVALID;
        self.life.write(frame, 1 << slot);
        Ok(())
    }
}
