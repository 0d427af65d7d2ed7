//! Branches: which way they can go, and what is known on either side.

use sandbpf_isa::{Cond, Operand, Pc, Reg as R, Width};

use super::Name;
use crate::domain;
use crate::error::{Check, Errno, refuse};
use crate::explore::linked::{self, Linked};
use crate::explore::{Go, Verifier};
use crate::state::{AT_PKT_END, BEYOND_PKT_END, Flags, Kind, Reg, State, StateId, Touched};

/// Packets are no longer than this.
const MAX_PACKET_OFF: u64 = 0xffff;

impl Verifier<'_> {
    pub(super) fn check_may_goto(&mut self, to: Pc) -> Check<Go> {
        let pc = self.pc;
        let before = self.previous_entry(pc);
        let mut state = self.cur.clone();
        state.may_goto_depth += 1;
        if let Some(before) = before {
            self.widen(before, &mut state);
        }
        self.push_state_or(Errno::NoMem, state, Pc(pc.0 + 1), pc)?;
        Ok(Go::To(to))
    }

    pub(super) fn check_branch(
        &mut self,
        cond: Cond,
        width: Width,
        lhs: R,
        rhs: Operand,
        to: Pc,
    ) -> Check<Go> {
        self.readable(lhs)?;
        let left = *self.reg(lhs);
        let right = match rhs {
            Operand::Imm(imm) => Reg::known(imm as i64 as u64),
            Operand::Reg(rhs) => {
                self.readable(rhs)?;
                let right = *self.reg(rhs);
                if !(is_packet_any(&left) && is_packet_any(&right)) && self.is_secret(rhs) {
                    refuse!(Acces, "{} pointer comparison prohibited", Name(rhs));
                }
                right
            }
        };
        let touched = Touched {
            slot: None,
            dst_stack: left.kind == Kind::Stack,
            src_stack: rhs.reg().is_some() && right.kind == Kind::Stack,
        };
        if touched != Touched::default() {
            self.write_step(touched, 0);
        }
        let next = Pc(self.pc.0 + 1);
        if let Some(taken) = taken(cond, width, &left, &right) {
            if left.is_scalar() {
                self.needs_precise(lhs)?;
            }
            if let Operand::Reg(rhs) = rhs
                && right.is_scalar()
            {
                self.needs_precise(rhs)?;
            }
            let (follow, guessed) = if taken { (to, next) } else { (next, to) };
            self.guess(guessed, lhs, rhs)?;
            return Ok(Go::To(follow));
        }
        self.fork(cond, width, lhs, rhs, to, left, right)?;
        Ok(Go::To(next))
    }

    /// Follows both sides: the jump later, the next instruction now.
    #[allow(clippy::too_many_arguments)]
    fn fork(
        &mut self,
        cond: Cond,
        width: Width,
        lhs: R,
        rhs: Operand,
        to: Pc,
        left: Reg,
        right: Reg,
    ) -> Check {
        let rhs_reg = rhs.reg();
        let mut linked = Linked::default();
        if rhs_reg.is_some() && right.is_scalar() && right.id != 0 {
            self.collect_linked(right.id, &mut linked);
        }
        if left.is_scalar() && left.id != 0 {
            self.collect_linked(left.id, &mut linked);
        }
        if linked.len() > 1 {
            self.write_step(Touched::default(), linked.pack());
        }
        let (left, right) = (*self.reg(lhs), rhs_reg.map_or(right, |rhs| *self.reg(rhs)));
        let mut jump = self.cur.clone();
        if left.is_scalar() && rhs_reg == Some(lhs) {
            for (state, taken) in [(&mut self.cur, false), (&mut jump, true)] {
                let of = &mut state.current_mut().regs[lhs.index()];
                domain::refine_itself(cond, width, taken, &mut of.num);
            }
        } else if left.is_scalar() && right.is_scalar() {
            for (state, taken) in [(&mut self.cur, false), (&mut jump, true)] {
                let (mut a, mut b) = (left, right);
                domain::refine(cond, width, taken, &mut a.num, &mut b.num);
                let regs = &mut state.current_mut().regs;
                regs[lhs.index()] = a;
                if let Some(rhs) = rhs_reg {
                    regs[rhs.index()] = b;
                }
            }
        }
        for state in [&mut self.cur, &mut jump] {
            if let Some(rhs) = rhs_reg {
                tell(state, rhs, &linked);
            }
            tell(state, lhs, &linked);
        }
        if width == Width::W64
            && let Some(rhs) = rhs_reg
            && !left.is_scalar()
            && !right.is_scalar()
            && left.may_be_null() != right.may_be_null()
            && !matches!(left.kind, Kind::Btf(_))
            && !matches!(right.kind, Kind::Btf(_))
        {
            // Equal to a pointer that is not null.
            let equal = match cond {
                Cond::Eq => Some(&mut jump),
                Cond::Ne => Some(&mut self.cur),
                _ => None,
            };
            if let Some(equal) = equal {
                let nullable = if right.may_be_null() { rhs } else { lhs };
                let mut reg = equal.current().regs[nullable.index()];
                super::null::mark_not_null(self.env, &mut reg);
                equal.current_mut().regs[nullable.index()] = reg;
            }
        }
        let against_zero =
            width == Width::W64 && matches!(rhs, Operand::Imm(0)) && matches!(cond, Cond::Eq | Cond::Ne);
        if against_zero && left.may_be_null() {
            super::null::split(self.env, &mut self.cur, lhs, cond == Cond::Ne);
            super::null::split(self.env, &mut jump, lhs, cond == Cond::Eq);
        } else if !(width == Width::W64
            && rhs_reg.is_some()
            && match_packet(cond, lhs, rhs_reg.unwrap_or(lhs), &left, &right, &mut self.cur, &mut jump))
            && self.is_secret(lhs)
        {
            refuse!(Acces, "{} pointer comparison prohibited", Name(lhs));
        }
        self.push_state(jump, to, self.pc)?;
        Ok(())
    }

    /// The state with which this path came by here before, the one that was just kept here aside (`find_prev_entry`).
    pub(super) fn previous_entry(&self, pc: Pc) -> Option<StateId> {
        self.entry_before(pc, &self.kept_ref(self.cur.parent?).state)
    }

    /// The state with which the path of a state came by an instruction last.
    pub(super) fn entry_before(&self, pc: Pc, of: &State) -> Option<StateId> {
        self.states_at(pc).find(|&id| {
            let state = &self.kept_ref(id).state;
            state.branches > 0 && state.same_callsites(of) && state.dfs < of.dfs
        })
    }

    /// Numbers that differ from those of the round before, and that nobody asked for, become unknown
    /// (`widen_imprecise_scalars`).
    pub(super) fn widen(&self, before: StateId, state: &mut State) {
        let old = &self.kept_ref(before).state;
        let mut ids = crate::explore::covers::IdMap::default();
        ids.reset(self.next_id);
        let precise = !self.rights.bpf;
        let mut widen = |old: &Reg, cur: &mut Reg| {
            if old.is_scalar() && cur.is_scalar() && !old.precise && !cur.precise && !ids.exact(old, cur) {
                *cur = Reg::unknown(precise);
            }
        };
        for (number, frame) in old.frames.iter().enumerate().rev() {
            let Some(cur) = state.frames.get_mut(number) else { continue };
            let cur = cur.make_mut();
            for (old, cur) in frame.regs.iter().zip(&mut cur.regs).take(10) {
                widen(old, cur);
            }
            cur.stack.each_slot(|at, cur| {
                if let Some(old) = frame.stack.get(at).filter(|old| old.is_spill() && cur.is_spill()) {
                    widen(&old.reg, &mut cur.reg);
                }
            });
        }
    }
}

/// Tells linked numbers what was learnt of one.
fn tell(state: &mut State, of: R, linked: &Linked) {
    let known = state.current().regs[of.index()];
    if known.is_scalar() && known.id != 0 {
        linked::sync(state, &known, linked);
    }
}

fn is_packet_any(reg: &Reg) -> bool {
    matches!(reg.kind, Kind::Packet | Kind::PacketMeta | Kind::PacketEnd)
}

/// Which way a branch goes, if only one is possible (`is_branch_taken`).
fn taken(cond: Cond, width: Width, left: &Reg, right: &Reg) -> Option<bool> {
    if is_packet_any(left) && is_packet_any(right) && width == Width::W64 {
        return packet_taken(cond, left, right);
    }
    if left.is_scalar() && right.is_scalar() {
        return domain::branch_taken(cond, width, &left.num, &right.num);
    }
    // Half of a pointer is compared with zero as if it were whole.
    let is_zero = |reg: &Reg| {
        let of = match width {
            Width::W32 => reg.num.var_off.subreg(),
            Width::W64 => reg.num.var_off,
        };
        reg.is_scalar() && of.is_const() && of.value == 0
    };
    let (pointer, number) = if is_zero(right) { (left, right) } else { (right, left) };
    if !is_zero(number) || !is_not_null(pointer) {
        return None;
    }
    match cond {
        Cond::Eq => Some(false),
        Cond::Ne => Some(true),
        _ => None,
    }
}

/// Whether a pointer is known not to be null (`reg_not_null`).
pub(crate) fn is_not_null(reg: &Reg) -> bool {
    let far = super::pointer::MAX_VAR_OFF;
    if reg.may_be_null() || reg.num.smin <= -far || reg.num.smax >= far {
        return false;
    }
    let trusted = Flags::TRUSTED.and(Flags::RCU).and(Flags::ALLOC);
    match reg.kind {
        Kind::Socket
        | Kind::TcpSock
        | Kind::XdpSock
        | Kind::Buf
        | Kind::MapValue(_)
        | Kind::MapKey(_)
        | Kind::SockCommon
        | Kind::Map(_) => true,
        Kind::Btf(_) => reg.ref_id != 0 || (reg.flags.has(trusted) && !reg.flags.has(Flags::UNTRUSTED)),
        Kind::Mem(_) => !reg.flags.has(Flags::UNTRUSTED),
        _ => false,
    }
}

fn flip(cond: Cond) -> Cond {
    match cond {
        Cond::Gt => Cond::Lt,
        Cond::Ge => Cond::Le,
        Cond::Lt => Cond::Gt,
        Cond::Le => Cond::Ge,
        Cond::Sgt => Cond::Slt,
        Cond::Sge => Cond::Sle,
        Cond::Slt => Cond::Sgt,
        Cond::Sle => Cond::Sge,
        same => same,
    }
}

fn packet_taken(cond: Cond, left: &Reg, right: &Reg) -> Option<bool> {
    let (packet, cond) = match (left.kind, right.kind) {
        (_, Kind::PacketEnd) => (left, cond),
        (Kind::PacketEnd, _) => (right, flip(cond)),
        _ => return None,
    };
    match (cond, packet.range) {
        (Cond::Le | Cond::Gt, BEYOND_PKT_END) => Some(cond == Cond::Gt),
        (Cond::Lt | Cond::Ge, BEYOND_PKT_END | AT_PKT_END) => Some(cond == Cond::Ge),
        _ => None,
    }
}

/// Two pointers to the packet, one of them its end: what was compared is there on one side
/// (`try_match_pkt_pointers`).
fn match_packet(
    cond: Cond,
    lhs: R,
    rhs: R,
    left: &Reg,
    right: &Reg,
    here: &mut State,
    jump: &mut State,
) -> bool {
    let start = |reg: &Reg| {
        reg.kind == Kind::Packet && reg.id == 0 && reg.off == 0 && reg.num.const_value() == Some(0)
    };
    let forwards = (left.kind == Kind::Packet && right.kind == Kind::PacketEnd)
        || (left.kind == Kind::PacketMeta && start(right));
    let backwards = (left.kind == Kind::PacketEnd && right.kind == Kind::Packet)
        || (start(left) && right.kind == Kind::PacketMeta);
    let (pointer, number, cond) = if forwards {
        (left, lhs, cond)
    } else if backwards {
        (right, rhs, flip(cond))
    } else {
        return false;
    };
    // Which side has the bytes, and whether the last of them is certain.
    let (inside, outside, open) = match cond {
        Cond::Gt => (here, jump, false),
        Cond::Ge => (here, jump, true),
        Cond::Lt => (jump, here, true),
        Cond::Le => (jump, here, false),
        _ => return false,
    };
    found_range(inside, pointer, open);
    let reg = &mut outside.current_mut().regs[number.index()];
    // The end of metadata is no end of the packet.
    if reg.kind == Kind::Packet {
        reg.range = if open { AT_PKT_END } else { BEYOND_PKT_END };
    }
    true
}

/// So many bytes before this pointer are there (`find_good_pkt_pointers`).
fn found_range(state: &mut State, pointer: &Reg, open: bool) {
    if pointer.off < 0 || (pointer.off == 0 && open) {
        return;
    }
    let Some(reach) = pointer.num.umax.checked_add(pointer.off as u64) else { return };
    if pointer.num.umax > MAX_PACKET_OFF || reach > MAX_PACKET_OFF {
        return;
    }
    let range = pointer.off + i32::from(open);
    let is_short = |reg: &Reg| reg.kind == pointer.kind && reg.id == pointer.id && reg.range < range;
    state.each_reg(is_short, |reg| reg.range = range);
}
