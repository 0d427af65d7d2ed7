//! References: what was acquired must be given back.

use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{Byte, Kind, Ref, RefKind, Reg, Slot};

impl Verifier<'_> {
    /// Something was acquired; its id.
    pub(super) fn acquire(&mut self) -> u32 {
        let id = self.fresh_id();
        let pc = self.pc;
        self.cur.refs.change(|refs| refs.push(Ref { kind: RefKind::Pointer, id, pc, owner: 0 }));
        id
    }

    /// It was given back: nobody may use it any more (`release_reference`). False if it was not held.
    pub(super) fn release(&mut self, id: u32) -> bool {
        let Some(at) = self.cur.refs.iter().position(|held| held.kind == RefKind::Pointer && held.id == id)
        else {
            return false;
        };
        self.cur.refs.change(|refs| refs.swap_remove(at));
        let gone = self.gone();
        self.cur.each_reg(|reg| reg.ref_id == id, |reg| *reg = gone);
        true
    }

    /// What a register holds whose object is gone: nothing, or a number for those who may see pointers.
    pub(super) fn gone(&self) -> Reg {
        match self.rights.ptr_leaks {
            true => self.unknown(),
            false => Reg::UNINIT,
        }
    }

    /// Asks that nothing is held any more (`check_resource_leak`).
    pub(super) fn check_leaks(&self, by_exception: bool, locks_too: bool, what: &str) -> Check {
        if locks_too && self.cur.locks > 0 {
            refuse!(Inval, "{what} cannot be used inside bpf_spin_lock-ed region");
        }
        if by_exception || self.cur.depth() == 0 {
            let is_struct_ops = self.env.program.program_type == sandbpf_abi::ProgramType::StructOps;
            let returned = self.cur.current().regs[0].ref_id;
            let mut lost = self.cur.refs.iter().filter(|held| held.kind == RefKind::Pointer);
            let lost: Vec<_> = lost
                .by_ref()
                .filter(|held| !(is_struct_ops && !by_exception && returned == held.id))
                .map(|held| format!("Unreleased reference id={} alloc_insn={}", held.id, self.slot(held.pc)))
                .collect();
            if !lost.is_empty() {
                refuse!(Inval, "{}\n{what} would lead to reference leak", lost.join("\n"));
            }
        }
        if !locks_too {
            return Ok(());
        }
        if self.cur.irq_id != 0 {
            refuse!(Inval, "{what} cannot be used inside bpf_local_irq_save-ed region");
        }
        if self.cur.rcu > 0 {
            refuse!(Inval, "{what} cannot be used inside bpf_rcu_read_lock-ed region");
        }
        if self.cur.preempt > 0 {
            refuse!(Inval, "{what} cannot be used inside bpf_preempt_disable-ed region");
        }
        Ok(())
    }

    /// The packet may be elsewhere now (`clear_all_pkt_pointers`).
    pub(super) fn forget_packet(&mut self) {
        let gone = self.gone();
        let slices = crate::state::Flags::DYNPTR_SKB.and(crate::state::Flags::DYNPTR_XDP);
        let slices = slices.and(crate::state::Flags::DYNPTR_SKB_META);
        let points_there = |reg: &Reg| match reg.kind {
            Kind::Packet | Kind::PacketMeta | Kind::PacketEnd => true,
            Kind::Mem(_) => reg.flags.has(slices),
            _ => false,
        };
        self.cur.each_reg(points_there, |reg| *reg = gone);
    }

    /// A dynamic pointer on the stack is overwritten (`destroy_if_dynptr_stack_slot`).
    pub(super) fn destroy_dynptr(&mut self, frame: usize, at: usize) -> Check {
        let slot = &self.cur.frames[frame].stack[at];
        if slot.bytes[0] != Byte::Dynptr {
            return Ok(());
        }
        let Kind::Dynptr { first, .. } = slot.reg.kind else { return Ok(()) };
        // The first slot lies higher.
        let at = if first { at } else { at + 1 };
        let held = self.cur.frames[frame].stack[at].reg;
        if held.ref_id != 0 {
            refuse!(Inval, "cannot overwrite referenced dynptr");
        }
        self.forget_slices(held.id);
        self.life.write(frame, 0);
        for at in [at, at - 1] {
            *self.slot_mut(frame, at) = Slot::INVALID;
        }
        Ok(())
    }

    /// Slices of a dynamic pointer that is gone are gone.
    pub(super) fn forget_slices(&mut self, id: u32) {
        let gone = self.gone();
        // A slice remembers its pointer in `range`.
        let is_slice =
            |reg: &Reg| matches!(reg.kind, Kind::Mem(_)) && reg.range != 0 && reg.range as u32 == id;
        self.cur.each_reg(is_slice, |reg| *reg = gone);
    }
}
