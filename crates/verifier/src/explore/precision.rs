//! Precision: which numbers a verdict depends on, found by tracing them back along the path.
//!
//! A number is precise if its exact range was needed: as an offset, a length, a value that decides a branch. Only
//! precise numbers are compared between states. Where a number is needed, the path is walked backwards, through the
//! instructions that made it and through the states that were kept on the way, which are marked.

use sandbpf_abi as abi;
use sandbpf_isa::{AluOp, Callee, Insn, Operand, Pc, Reg as R, UnaryOp};

use super::Verifier;
use super::traced::Stretch;
use super::wanted::{ARGUMENTS, Wanted};
use crate::error::{Check, refuse};
use crate::state::{Kind, StateId, Step, bits, cost};

/// Tracing cannot go on: everything is taken for precise.
struct Lost;

impl Verifier<'_> {
    /// This register's range matters (`mark_chain_precision`).
    pub(crate) fn needs_precise(&mut self, reg: R) -> Check {
        if !self.rights.bpf || !self.cur.current().regs[reg.index()].is_scalar() {
            return Ok(());
        }
        let mut wanted = Wanted { frame: self.cur.depth(), ..Wanted::default() };
        wanted.add(reg);
        self.trace_current(wanted)
    }

    /// The range of what was spilled there matters.
    pub(crate) fn needs_precise_slot(&mut self, frame: usize, slot: usize) -> Check {
        if !self.rights.bpf {
            return Ok(());
        }
        let mut wanted = Wanted { frame: self.cur.depth(), ..Wanted::default() };
        wanted.slots[frame] |= 1 << slot;
        self.trace_current(wanted)
    }

    fn trace_current(&mut self, wanted: Wanted) -> Check {
        let mut state = std::mem::take(&mut self.cur.history);
        let (first, pc, parent) = (self.cur.first, self.pc, self.cur.parent);
        let stretch = Stretch { history: &state, first, last: Some(pc), current: true };
        let traced = self.trace(wanted, stretch, parent);
        std::mem::swap(&mut self.cur.history, &mut state);
        traced.map(|_| ())
    }

    /// What is precise in the state that covers this one is precise in this one; whether that was news
    /// (`propagate_precision`).
    pub(super) fn propagate_precision(
        &mut self,
        covering: StateId,
        depth: usize,
        stretch: Stretch<'_>,
        parent: Option<StateId>,
    ) -> Check<bool> {
        let mut wanted = Wanted { frame: depth, ..Wanted::default() };
        if !self.rights.bpf {
            return Ok(false);
        }
        for (number, frame) in self.kept_ref(covering).state.frames.iter().enumerate() {
            cost::work(frame.regs.len());
            for (at, reg) in frame.regs.iter().enumerate().take(10) {
                if reg.is_scalar() && reg.precise {
                    wanted.regs[number] |= 1 << at;
                }
            }
            wanted.slots[number] |= frame.stack.precise();
        }
        self.trace(wanted, stretch, parent)
    }

    /// Traces what is wanted back, through the stretch and through the states before it (`__mark_chain_precision`).
    fn trace(
        &mut self,
        mut wanted: Wanted,
        stretch: Stretch<'_>,
        mut parent: Option<StateId>,
    ) -> Check<bool> {
        let start = parent;
        let mut changed = false;
        if wanted.is_empty() {
            return Ok(false);
        }
        let mut last = stretch.last;
        let mut subsequent: Option<Pc> = None;
        let mut is_first = true;
        let mut first = stretch.first;
        // The states' own stretches follow the one given.
        let mut own: Option<StateId> = None;
        loop {
            let Some(from) = last.filter(|pc| pc.0 != u32::MAX) else {
                return self.at_entry(own, &wanted).map(|news| changed | news);
            };
            self.log_trace(wanted.frame, from, first, subsequent);
            let mut walked = 0;
            let done = match own {
                None => self.trace_stretch(
                    &mut wanted,
                    &stretch,
                    from,
                    &mut subsequent,
                    &mut is_first,
                    &mut walked,
                )?,
                Some(id) => {
                    let history = std::mem::take(&mut self.kept_mut(id).state.history);
                    let own = Stretch { history: &history, first, last: Some(from), current: false };
                    let done = self.trace_stretch(
                        &mut wanted,
                        &own,
                        from,
                        &mut subsequent,
                        &mut is_first,
                        &mut walked,
                    );
                    self.kept_mut(id).state.history = history;
                    done?
                }
            };
            cost::work(walked);
            match done {
                Err(Lost) => {
                    self.all_precise_from(start);
                    return Ok(changed);
                }
                Ok(true) => return Ok(changed),
                Ok(false) => {}
            }
            let Some(id) = parent else { break };
            changed |= self.mark_state(id, &mut wanted)?;
            self.log_parent(id, wanted.frame, &wanted.regs, &wanted.slots);
            if wanted.is_empty() {
                return Ok(changed);
            }
            subsequent = Some(first);
            let state = &self.kept_ref(id).state;
            last = Some(state.last.unwrap_or(Pc(u32::MAX)));
            first = state.first;
            parent = state.parent;
            own = Some(id);
        }
        self.all_precise_from(start);
        Ok(changed)
    }

    /// Walks one stretch backwards, so many steps; true when nothing is wanted any more.
    fn trace_stretch(
        &mut self,
        wanted: &mut Wanted,
        stretch: &Stretch<'_>,
        from: Pc,
        subsequent: &mut Option<Pc>,
        is_first: &mut bool,
        walked: &mut usize,
    ) -> Check<Result<bool, Lost>> {
        let mut end = stretch.history.len();
        let mut pc = from;
        let mut shows = self.log.shows_traces();
        loop {
            // The instruction that asks has not changed anything yet.
            let asks = std::mem::take(is_first);
            *walked += 1;
            if shows {
                self.log_traced(asks, wanted.frame, &wanted.regs, &wanted.slots, pc);
                shows = self.log.shows_traces();
            }
            let step = stretch.step(end, pc);
            let looks = stretch.current && !asks && !shows;
            if looks && self.traced.take_known(end, pc, step.is_some(), wanted) {
                return Ok(Ok(true));
            }
            if !asks && self.traced.matters(pc, wanted.regs[wanted.frame], step) {
                if let Err(lost) = self.trace_insn(wanted, pc, *subsequent, step)? {
                    return Ok(Err(lost));
                }
                if wanted.is_empty() {
                    return Ok(Ok(true));
                }
            }
            *subsequent = Some(pc);
            match stretch.before(&mut end, pc, step) {
                None => return Ok(Ok(false)),
                Some(before) if before.index() >= self.program.len() => {
                    refuse!(Fault, "BUG backtracking idx {}", before.0 as i32);
                }
                Some(before) => pc = before,
            }
        }
    }

    /// One instruction backwards: what made what is wanted (`backtrack_insn`).
    fn trace_insn(
        &self,
        wanted: &mut Wanted,
        pc: Pc,
        subsequent: Option<Pc>,
        step: Option<&Step>,
    ) -> Check<Result<(), Lost>> {
        wanted.sync(step);
        let slot = step.and_then(|step| step.touched.slot);
        match self.program.insns()[pc.index()] {
            Insn::Alu { dst, .. } | Insn::Unary { dst, .. } | Insn::Cast { dst, .. } if !wanted.has(dst) => {
                return Ok(Ok(()));
            }
            Insn::Unary { op, .. } => {
                let _: UnaryOp = op;
                return Ok(Ok(()));
            }
            Insn::Cast { dst, src, .. } => {
                wanted.remove(dst);
                if src != R::R10 {
                    wanted.add(src);
                }
            }
            Insn::Alu { op: AluOp::Mov | AluOp::Movs8 | AluOp::Movs16 | AluOp::Movs32, dst, src, .. } => {
                wanted.remove(dst);
                if let Operand::Reg(src) = src
                    && src != R::R10
                {
                    wanted.add(src);
                }
            }
            Insn::Alu { src, .. } => {
                if let Operand::Reg(src) = src
                    && src != R::R10
                {
                    wanted.add(src);
                }
            }
            Insn::Load { dst, .. } => {
                if !wanted.has(dst) {
                    return Ok(Ok(()));
                }
                wanted.remove(dst);
                let Some((frame, slot)) = slot else { return Ok(Ok(())) };
                wanted.slots[usize::from(frame)] |= 1 << slot;
            }
            Insn::Atomic { op, base, reg, .. } => {
                if let Some(result) = op.fetches(reg) {
                    if !wanted.has(result) {
                        return Ok(Ok(()));
                    }
                    wanted.remove(result);
                    let Some((frame, slot)) = slot else { return Ok(Ok(())) };
                    wanted.slots[usize::from(frame)] |= 1 << slot;
                } else {
                    return self.trace_store(wanted, base, Some(reg), slot);
                }
            }
            Insn::Store { base, src, .. } => return self.trace_store(wanted, base, src.reg(), slot),
            Insn::Call { callee } => return self.trace_call(wanted, pc, subsequent, callee).map(Ok),
            Insn::Exit => {
                // Into a function that has returned.
                let from_call = subsequent
                    .and_then(|after| self.program.insns().get(after.index().wrapping_sub(1)))
                    .is_some_and(|insn| matches!(insn, Insn::Call { callee: Callee::Local(_) }));
                let result = from_call && wanted.has(R::R0);
                if from_call {
                    wanted.no_arguments()?;
                }
                wanted.remove(R::R0);
                wanted.enter()?;
                if result {
                    wanted.add(R::R0);
                }
                return Ok(Ok(()));
            }
            Insn::Branch { lhs, rhs: Operand::Reg(rhs), .. } => {
                if !wanted.has(lhs) && !wanted.has(rhs) {
                    return Ok(Ok(()));
                }
                // Both sides decide.
                if !step.is_some_and(|step| step.touched.src_stack) {
                    wanted.add(rhs);
                }
                if !step.is_some_and(|step| step.touched.dst_stack) {
                    wanted.add(lhs);
                }
            }
            Insn::Branch { .. } | Insn::Jump { .. } | Insn::MayGoto { .. } => {}
            Insn::LoadImm { dst, .. } => {
                wanted.remove(dst);
                return Ok(Ok(()));
            }
            Insn::LoadPacket { .. } => {
                if wanted.has(R::R0) {
                    return Ok(Err(Lost));
                }
                if subsequent != Some(Pc(pc.0 + 1)) {
                    wanted.enter()?;
                }
                return Ok(Ok(()));
            }
        }
        wanted.sync(step);
        Ok(Ok(()))
    }

    fn trace_store(
        &self,
        wanted: &mut Wanted,
        base: R,
        src: Option<R>,
        slot: Option<(u8, u8)>,
    ) -> Check<Result<(), Lost>> {
        if wanted.has(base) {
            return Ok(Err(Lost));
        }
        let Some((frame, slot)) = slot else { return Ok(Ok(())) };
        let slots = &mut wanted.slots[usize::from(frame)];
        if *slots & (1 << slot) == 0 {
            return Ok(Ok(()));
        }
        *slots &= !(1 << slot);
        if let Some(src) = src {
            wanted.add(src);
        }
        Ok(Ok(()))
    }

    fn trace_call(&self, wanted: &mut Wanted, pc: Pc, subsequent: Option<Pc>, callee: Callee) -> Check {
        if let Callee::Local(entry) = callee {
            if self.known.is_global(self.program, entry) {
                wanted.no_arguments()?;
                wanted.remove(R::R0);
                return Ok(());
            }
            return self.trace_to_caller(wanted, true);
        }
        if self.graph.marks[pc.index()].calls_callback && subsequent != Some(Pc(pc.0 + 1)) {
            return self.trace_to_caller(wanted, false);
        }
        wanted.remove(R::R0);
        wanted.no_arguments()?;
        // A tail call that was made returned from the function that made it.
        if callee == Callee::Helper(abi::helper::TAIL_CALL) && subsequent != Some(Pc(pc.0 + 1)) {
            wanted.enter()?;
        }
        Ok(())
    }

    /// Out of a function by its call: arguments are the caller's, those of a callback nobody's.
    fn trace_to_caller(&self, wanted: &mut Wanted, hands_over: bool) -> Check {
        let frame = wanted.frame;
        if wanted.regs[frame] & !ARGUMENTS != 0 {
            refuse!(Fault, "BUG regs {:x}", wanted.regs[frame]);
        }
        if wanted.slots[frame] != 0 {
            refuse!(Fault, "BUG stack slots {:x}", wanted.slots[frame]);
        }
        let arguments = std::mem::take(&mut wanted.regs[frame]);
        wanted.leave()?;
        if hands_over {
            wanted.regs[frame - 1] |= arguments;
        }
        Ok(())
    }

    /// Marks what is wanted in a state that was kept; what is marked already, or is no number, is no longer wanted.
    fn mark_state(&mut self, id: StateId, wanted: &mut Wanted) -> Check<bool> {
        let mut changed = false;
        let kept = self.kept_mut(id);
        let state = &mut kept.state;
        for number in (0..=wanted.frame).rev() {
            let (regs, slots) = (wanted.regs[number], wanted.slots[number]);
            if regs == 0 && slots == 0 {
                continue;
            }
            let Some(frame) = state.frames.get_mut(number) else {
                refuse!(Fault, "BUG backtracking frame {number}");
            };
            cost::work(1);
            let frame = frame.make_mut();
            for at in bits(regs) {
                let reg = &mut frame.regs[at];
                if reg.kind != Kind::Scalar || reg.precise {
                    wanted.regs[number] &= !(1 << at);
                } else {
                    reg.precise = true;
                    changed = true;
                }
            }
            for at in bits(slots) {
                let Some(slot) = frame.stack.get(at) else {
                    refuse!(Fault, "BUG backtracking (stack slot {at}, total slots {})", frame.stack.len());
                };
                if !slot.is_scalar_spill() || slot.reg.precise {
                    wanted.slots[number] &= !(1 << at);
                } else {
                    frame.stack[at].reg.precise = true;
                    changed = true;
                }
            }
        }
        kept.marks += u32::from(changed);
        Ok(changed)
    }

    /// Tracing came to the entry: a function that is verified by itself has its arguments from nowhere.
    fn at_entry(&mut self, id: Option<StateId>, wanted: &Wanted) -> Check<bool> {
        let regs = wanted.regs[0];
        let function = id.map(|id| self.kept_ref(id).state.frames[0].function);
        if wanted.frame == 0
            && wanted.slots[0] == 0
            && regs & !ARGUMENTS == 0
            && function.is_some_and(|at| at > 0)
        {
            if let Some(id) = id {
                let kept = self.kept_mut(id);
                kept.marks += 1;
                let frame = kept.state.frame_mut(0);
                for at in (1..6).filter(|at| regs & (1 << at) != 0) {
                    frame.regs[at].precise |= frame.regs[at].is_scalar();
                }
            }
            return Ok(false);
        }
        refuse!(
            Fault,
            "BUG backtracking func entry subprog {} reg_mask {regs:x} stack_mask {:x}",
            function.unwrap_or(0),
            wanted.slots[0]
        );
    }

    /// Takes every number of these states for precise (`mark_all_scalars_precise`).
    pub(super) fn all_precise_from(&mut self, mut next: Option<StateId>) {
        while let Some(id) = next {
            let kept = self.kept_mut(id);
            if std::mem::replace(&mut kept.all_precise, true) {
                // So are those that it came from.
                break;
            }
            kept.marks += 1;
            kept.state.each_reg(|reg| reg.is_scalar() && !reg.precise, |reg| reg.precise = true);
            next = kept.state.parent;
        }
    }
}
