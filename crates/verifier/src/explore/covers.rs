//! When a state that was explored covers another: whatever is safe from the one is safe from the other.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::Verifier;
use super::linked::Place;
use crate::state::{ADD_CONST, Byte, Kind, RefKind, Reg, Slot, State, StateId, cost};

/// How closely states are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exact {
    /// What was not asked for may differ.
    No,
    /// Everything is the same.
    Same,
    /// Numbers lie within those of the other, asked for or not.
    RangeWithin,
}

/// Up to so many pairs are looked through one after the other.
const FEW: usize = 16;

/// Which ids of one state stand for which of the other.
#[derive(Debug, Default)]
pub(crate) struct IdMap {
    pairs: Vec<(u32, u32)>,
    /// The same, when there are many.
    many: Option<Box<Many>>,
    next: u32,
}

/// Of each id of the one state the other's, and the way back.
#[derive(Debug, Default)]
struct Many {
    forth: HashMap<u32, u32, BuildHasherDefault<IdHasher>>,
    back: HashMap<u32, u32, BuildHasherDefault<IdHasher>>,
}

/// Ids are counted: multiplied they are spread well enough.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(byte.into()));
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl IdMap {
    /// Whether two registers are the same but for the names of their ids.
    pub(crate) fn exact(&mut self, old: &Reg, cur: &Reg) -> bool {
        regs_exact(old, cur, self)
    }

    /// Makes it one for states whose ids go up to this.
    pub(crate) fn reset(&mut self, next: u32) {
        self.pairs.clear();
        self.many = None;
        self.next = next;
    }

    /// Both or neither have an id, and the same as before (`check_ids`).
    fn same(&mut self, old: u32, cur: u32) -> bool {
        if (old == 0) != (cur == 0) {
            return false;
        }
        if old == 0 {
            return true;
        }
        if let Some(many) = &mut self.many {
            return match (many.forth.get(&old), many.back.get(&cur)) {
                (Some(&known), _) => known == cur,
                (None, Some(_)) => false,
                (None, None) => {
                    many.forth.insert(old, cur);
                    many.back.insert(cur, old);
                    true
                }
            };
        }
        for &(known_old, known_cur) in &self.pairs {
            if known_old == old {
                return known_cur == cur;
            }
            if known_cur == cur {
                return false;
            }
        }
        self.pairs.push((old, cur));
        if self.pairs.len() > FEW {
            self.many = Some(Box::new(Many {
                forth: self.pairs.iter().copied().collect(),
                back: self.pairs.iter().map(|&(old, cur)| (cur, old)).collect(),
            }));
        }
        true
    }

    /// The same of numbers: one that was linked to nothing before may be linked now (`check_scalar_ids`).
    fn same_scalar(&mut self, old: u32, cur: u32) -> bool {
        if old == 0 {
            return true;
        }
        let cur = if cur != 0 { cur } else { self.own() };
        self.same(old, cur) && (old & ADD_CONST == 0 || self.same(old & !ADD_CONST, cur & !ADD_CONST))
    }

    /// An id that nobody else has.
    fn own(&mut self) -> u32 {
        self.next += 1;
        self.next
    }
}

impl Verifier<'_> {
    /// Whether the state that was kept covers the current one (`states_equal`).
    pub(super) fn covers(&mut self, id: StateId, exact: Exact) -> bool {
        let mut ids = std::mem::take(&mut self.ids);
        ids.reset(self.next_id);
        let covers = self.state_covers(&self.kept_ref(id).state, exact, &mut ids);
        self.ids = ids;
        self.differed = covers.err().flatten();
        covers.is_ok()
    }

    /// Whether a final state may cover the current one: what is known of the place where others differed from it does. Whatever
    /// else is compared only asks more.
    pub(super) fn still_covers(&mut self, bucket: usize, at: usize) -> bool {
        let mut ids = std::mem::take(&mut self.ids);
        ids.reset(self.next_id);
        let differed = &self.buckets[bucket][at].differed;
        let covers = differed.as_ref().is_none_or(|(place, held)| self.held_covers(*place, held, &mut ids));
        self.ids = ids;
        covers
    }

    fn held_covers(&self, place: Place, held: &Slot, ids: &mut IdMap) -> bool {
        let (number, at) = (usize::from(place.frame), usize::from(place.index));
        let Some(now) = self.cur.frames.get(number) else { return true };
        match place.is_reg {
            // It was alive when it differed, and is so for all who come by the same calls.
            true => self.reg_covers(&held.reg, &now.regs[at], Exact::No, ids),
            false => self.slot_covers(held, now.stack.get(at), Exact::No, ids),
        }
    }

    /// What a state holds in a place.
    pub(super) fn held_at(&self, id: StateId, place: Place) -> Option<Slot> {
        let frame = self.kept_ref(id).state.frames.get(usize::from(place.frame))?;
        match place.is_reg {
            true => Some(Slot { reg: frame.regs[usize::from(place.index)], ..Slot::INVALID }),
            false => frame.stack.get(usize::from(place.index)).copied(),
        }
    }

    /// Whether one covers the other, or else where they differ, if it is in one place.
    fn state_covers(&self, old: &State, exact: Exact, ids: &mut IdMap) -> Result<(), Option<Place>> {
        let cur = &self.cur;
        if old.frames.len() != cur.frames.len()
            || (old.speculative && !cur.speculative)
            || old.in_sleepable != cur.in_sleepable
            || !refs_cover(old, cur, ids)
            || !old.same_callsites(cur)
        {
            return Err(None);
        }
        // The innermost first: that is where states differ. In which order they are compared makes no difference to ids.
        (0..old.frames.len()).rev().try_for_each(|at| self.frame_covers(old, at, exact, ids))
    }

    fn frame_covers(
        &self,
        old: &State,
        number: usize,
        exact: Exact,
        ids: &mut IdMap,
    ) -> Result<(), Option<Place>> {
        let (before, now) = (&old.frames[number], &self.cur.frames[number]);
        if before.callback_depth > now.callback_depth {
            return Err(None);
        }
        let live = self.graph.marks[old.frame_pc(number).index()].live;
        cost::work(before.regs.len());
        let differs =
            |is_reg, index: usize| Err(Some(Place { frame: number as u8, is_reg, index: index as u8 }));
        for (at, (before, now)) in before.regs.iter().zip(&now.regs).enumerate() {
            if live & (1 << at) != 0 && !self.reg_covers(before, now, exact, ids) {
                return differs(true, at);
            }
        }
        if exact == Exact::No {
            // What the other never wrote may be anything.
            let mut slots = before.stack.present();
            return match slots.find(|&(at, slot)| !self.slot_covers(slot, now.stack.get(at), exact, ids)) {
                Some((at, _)) => differs(false, at),
                None => Ok(()),
            };
        }
        let mut slots = before.stack.iter().enumerate();
        match slots.find(|&(at, slot)| !self.slot_covers(slot, now.stack.get(at), exact, ids)) {
            Some((at, _)) => differs(false, at),
            None => Ok(()),
        }
    }

    /// Whether what is known of a register before covers what is known now (`regsafe`).
    fn reg_covers(&self, old: &Reg, cur: &Reg, exact: Exact, ids: &mut IdMap) -> bool {
        if exact == Exact::Same {
            return regs_exact(old, cur, ids);
        }
        if old.kind == Kind::Uninit {
            return true;
        }
        if !old.same_type(cur) {
            return false;
        }
        let within =
            |old: &Reg, cur: &Reg| cur.num.is_within(&old.num) && old.num.var_off.contains(cur.num.var_off);
        match old.kind {
            Kind::Scalar => {
                if !self.rights.spec_v1 && self.known.explores_limits {
                    return old.same_but_ids(cur) && ids.same_scalar(old.id, cur.id);
                }
                if !old.precise && exact == Exact::No {
                    return true;
                }
                let apart = |reg: &Reg| reg.id & ADD_CONST != 0;
                if (old.id != 0 && apart(old) != apart(cur)) || (apart(old) && old.off != cur.off) {
                    return false;
                }
                ids.same_scalar(old.id, cur.id) && within(old, cur)
            }
            Kind::MapKey(_) | Kind::MapValue(_) | Kind::Mem(_) | Kind::Buf | Kind::TpBuffer => {
                old.kind == cur.kind
                    && old.off == cur.off
                    && old.range == cur.range
                    && within(old, cur)
                    && ids.same(old.id, cur.id)
                    && ids.same(old.ref_id, cur.ref_id)
            }
            Kind::PacketMeta | Kind::Packet => {
                old.range <= cur.range && old.off == cur.off && ids.same(old.id, cur.id) && within(old, cur)
            }
            Kind::Stack => regs_exact(old, cur, ids) && old.frame == cur.frame,
            Kind::Arena => true,
            _ => regs_exact(old, cur, ids),
        }
    }

    /// A register for eight bytes that are a number, whatever way they came to be one.
    fn as_scalar<'s>(&self, slot: &'s Slot) -> Option<&'s Reg> {
        const UNKNOWN: &Reg = &Reg::unknown(false);
        if slot.is_scalar_spill64() {
            return Some(&slot.reg);
        }
        let misc = |byte: &Byte| *byte == Byte::Misc || (*byte == Byte::Invalid && self.rights.uninit_stack);
        slot.bytes.iter().all(misc).then_some(UNKNOWN)
    }

    fn slot_covers(&self, old: &Slot, cur: Option<&Slot>, exact: Exact, ids: &mut IdMap) -> bool {
        cost::work(1);
        if exact == Exact::No && old.bytes == [Byte::Invalid; 8] {
            return true;
        }
        if let Some(cur) = cur.filter(|cur| cur.bytes == old.bytes) {
            return self.content_covers(old, cur, exact, ids);
        }
        let mut at = 0;
        let mut is_first = true;
        while at < 8 {
            let before = old.bytes[at];
            if exact != Exact::No && cur.is_none_or(|cur| cur.bytes[at] != before) {
                return false;
            }
            if before == Byte::Invalid || (before == Byte::Misc && self.rights.uninit_stack) {
                at += 1;
                continue;
            }
            let Some(cur) = cur else { return false };
            if std::mem::take(&mut is_first)
                && let (Some(old), Some(cur)) = (self.as_scalar(old), self.as_scalar(cur))
            {
                return self.reg_covers(old, cur, exact, ids);
            }
            let now = cur.bytes[at];
            if before == Byte::Misc && now == Byte::Zero {
                at += 1;
                continue;
            }
            if before != now {
                return false;
            }
            at += 1;
            if at == 8 {
                return self.content_covers(old, cur, exact, ids);
            }
        }
        true
    }

    /// The same of slots whose bytes are of the same kinds, as far as that matters.
    fn content_covers(&self, old: &Slot, cur: &Slot, exact: Exact, ids: &mut IdMap) -> bool {
        match old.bytes[7] {
            Byte::Spill => self.reg_covers(&old.reg, &cur.reg, exact, ids),
            Byte::Dynptr => old.reg.kind == cur.reg.kind && ids.same(old.reg.ref_id, cur.reg.ref_id),
            Byte::Iter => {
                same_iterator(&old.reg.kind, &cur.reg.kind) && ids.same(old.reg.ref_id, cur.reg.ref_id)
            }
            Byte::Irq => old.reg.kind == cur.reg.kind && ids.same(old.reg.ref_id, cur.reg.ref_id),
            Byte::Misc | Byte::Zero | Byte::Invalid => true,
        }
    }

    /// Forgets what cannot be read from a state on (`clean_verifier_state`).
    pub(super) fn clean(&mut self, state: &mut State) {
        for number in 0..state.frames.len() {
            let live = self.graph.marks[state.frame_pc(number).index()].live;
            let alive = self.life.alive(self.program, &self.graph, state, number);
            cost::work(state.frames[number].stack.len());
            let frame = state.frames[number].make_mut();
            for (at, reg) in frame.regs.iter_mut().enumerate().take(10) {
                if live & (1 << at) == 0 {
                    *reg = Reg::UNINIT;
                }
            }
            frame.stack.keep_only(alive);
        }
    }
}

fn same_iterator(old: &Kind, cur: &Kind) -> bool {
    match (old, cur) {
        (Kind::Iter { of, state, first, .. }, Kind::Iter { of: other, state: now, first: second, .. }) => {
            of == other && state == now && first == second
        }
        _ => false,
    }
}

/// Everything the same, ids by their roles (`regs_exact`).
fn regs_exact(old: &Reg, cur: &Reg, ids: &mut IdMap) -> bool {
    old.same_but_ids(cur) && ids.same(old.id, cur.id) && ids.same(old.ref_id, cur.ref_id)
}

/// Whether the same is held (`refsafe`).
fn refs_cover(old: &State, cur: &State, ids: &mut IdMap) -> bool {
    cost::work(old.refs.len());
    if old.refs.len() != cur.refs.len()
        || old.locks != cur.locks
        || old.preempt != cur.preempt
        || old.rcu != cur.rcu
        || !ids.same(old.irq_id, cur.irq_id)
        || !ids.same(old.lock_id, cur.lock_id)
        || old.lock_owner != cur.lock_owner
    {
        return false;
    }
    old.refs.iter().zip(cur.refs.iter()).all(|(before, now)| {
        ids.same(before.id, now.id)
            && before.kind == now.kind
            && (!matches!(before.kind, RefKind::Lock | RefKind::ResLock | RefKind::ResLockIrq)
                || before.owner == now.owner)
    })
}
