//! Which element of a full map has to go: the lists of `kernel/bpf/bpf_lru_list.c`.
//!
//! Two lists hold what is in the map. An element starts as *inactive*; one that was looked up since
//! (its mark is set) moves to *active* when a rotation meets it, and what is inactive and not marked is
//! evicted from the old end. Marks are bits that lookups set without a lock; all else is behind one.
//!
//! With the common lists each CPU takes free slots in batches and keeps what it inserted lately on a
//! *pending* list of its own until the next batch; with `BPF_F_NO_COMMON_LRU` each CPU has lists and a
//! share of the slots of its own. Batches and scans have the kernel's sizes, so that on one CPU the same
//! operations evict the same elements. Each CPU's lists have a lock, and the common ones another, which
//! is taken once for a batch.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::{Mutex, MutexGuard};
use zerocopy::FromZeros;

use crate::errno::Errno;
use crate::nodes::{Nodes, On};

/// Slots that a CPU takes at once from the common lists, at most; and elements that a rotation visits.
const LOCAL_TARGET: u32 = 128;
/// The same for lists of one CPU's own.
const OWN_TARGET: u32 = 4;

/// The lists of a map.
///
/// They are of nodes, of which there are as many as there may be elements; an element's node says in which slot it is, and so
/// does the slot.
#[derive(Debug)]
pub(crate) struct Lru {
    nodes: Nodes,
    /// The common lists, or those of each CPU.
    groups: Box<[Line<Group>]>,
    /// Of each CPU, where it starts stealing: its free and its pending list. Empty if the lists are its own.
    local: Box<[Line<u32>]>,
    /// Of each slot, whether its element was used.
    marks: Box<[AtomicU8]>,
    target: u32,
    scans: u32,
}

/// What one lock is for, away from others' lines of the cache.
#[derive(Debug)]
#[repr(align(128))]
struct Line<T>(Mutex<T>);

/// An active, an inactive and a free list, at `base` and after.
#[derive(Debug)]
struct Group {
    /// Its place among the groups.
    number: u32,
    base: u32,
    active: u32,
    inactive: u32,
    /// Where the rotation of the inactive list goes on.
    rotation: u32,
    /// Nodes that were never used; they stand at the end of the free list.
    fresh: Range<u32>,
}

/// Removes from the hash table what a node stands for, which was last in this slot; says whether it was there.
pub(crate) type Evict<'e> = &'e dyn Fn(u32, u32) -> bool;

/// No slot: the node stands for no element.
const NOWHERE: u32 = u32::MAX;

impl Lru {
    /// Lists of `nodes` free nodes, for elements in any of so many slots.
    pub(crate) fn new(nodes: u32, slots: u32, cpus: u32, own: bool) -> Result<Self, Errno> {
        let heads = if own { 3 * cpus } else { 3 + 2 * cpus };
        let group = |number, fresh| {
            let base = 3 * number;
            Line(Mutex::new(Group { number, base, active: 0, inactive: 0, rotation: base + 1, fresh }))
        };
        let share = nodes / cpus.max(1);
        let marks = <[AtomicU8]>::new_box_zeroed_with_elems(slots as usize).map_err(|_| Errno::ENOMEM)?;
        Ok(Lru {
            nodes: Nodes::new(nodes, heads)?,
            groups: match own {
                true => (0..cpus).map(|cpu| group(cpu, 0..share)).collect(),
                false => [group(0, 0..nodes)].into(),
            },
            local: (0..if own { 0 } else { cpus }).map(|cpu| Line(Mutex::new(cpu))).collect(),
            marks,
            target: (nodes / cpus.max(1) / 2).clamp(1, LOCAL_TARGET),
            scans: if own { OWN_TARGET } else { LOCAL_TARGET },
        })
    }

    /// Remembers that the element in this slot was used.
    #[inline(always)]
    pub(crate) fn mark(&self, slot: u32) {
        let mark = self.marks.get(slot as usize);
        if let Some(mark) = mark.filter(|mark| mark.load(Ordering::Relaxed) == 0) {
            mark.store(1, Ordering::Relaxed);
        }
    }

    /// Where the marks are, for machine code.
    pub(crate) fn marks(&self) -> u64 {
        self.marks.as_ptr() as u64
    }

    /// A node for an element, evicting others if it must.
    pub(crate) fn pop(&self, cpu: u32, evict: Evict<'_>) -> Option<u32> {
        match self.local.is_empty() {
            true => self.pop_own(cpu, evict),
            false => self.pop_common(cpu, evict),
        }
    }

    /// A node stands for the element in this slot from now on: who says so keeps others from the slot.
    pub(crate) fn put(&self, node: u32, slot: u32) {
        self.nodes.set_slot(self.nodes.of(node), slot);
        self.set_mark(slot, 0);
    }

    /// A node stands for no element from now on: who says so keeps others from its slot.
    pub(crate) fn take(&self, node: u32) {
        self.nodes.set_slot(self.nodes.of(node), NOWHERE);
    }

    /// Gives a node back whose element is no longer in the table.
    pub(crate) fn push(&self, node: u32) {
        let at = self.nodes.of(node);
        loop {
            match self.nodes.on(at) {
                On::Pending => {
                    let cpu = self.nodes.cpu(at);
                    let Some(Line(local)) = self.local.get(cpu as usize) else { return };
                    let _local = local.lock();
                    // It may have gone to the common lists meanwhile.
                    if self.nodes.on(at) == On::Pending && self.nodes.cpu(at) == cpu {
                        self.nodes.set(at, cpu, On::LocalFree);
                        self.nodes.move_to_head(at, 3 + 2 * cpu);
                        return;
                    }
                }
                On::Active | On::Inactive => {
                    let number = if self.local.is_empty() { self.nodes.cpu(at) } else { 0 };
                    let mut group = self.groups[number as usize].0.lock();
                    if matches!(self.nodes.on(at), On::Active | On::Inactive) {
                        self.shift(&mut group, at, On::Free);
                    }
                    return;
                }
                On::Free | On::LocalFree => return,
            }
        }
    }

    fn pop_own(&self, cpu: u32, evict: Evict<'_>) -> Option<u32> {
        let mut group = self.groups.get(cpu as usize)?.0.lock();
        self.rotate(&mut group);
        let free = group.base + 2;
        if self.nodes.is_empty(free) && !self.freshen(&mut group, cpu) {
            self.shrink(&mut group, OWN_TARGET, free, On::Free, evict);
        }
        let at = self.nodes.first(free)?;
        self.shift(&mut group, at, On::Inactive);
        Some(self.nodes.number(at))
    }

    fn pop_common(&self, cpu: u32, evict: Evict<'_>) -> Option<u32> {
        let free = 3 + 2 * cpu;
        let local = self.local.get(cpu as usize)?.0.lock();
        if self.nodes.is_empty(free) {
            self.refill(cpu, evict);
        }
        if let Some(at) = self.nodes.first(free) {
            return Some(self.add_pending(&local, at, cpu));
        }
        let first = *local;
        drop(local);
        let (found, next) = self.steal(first, evict);
        let mut local = self.local.get(cpu as usize)?.0.lock();
        *local = next;
        Some(self.add_pending(&local, found?, cpu))
    }

    /// Puts a node on a CPU's pending list, whose lock is held.
    fn add_pending(&self, _local: &MutexGuard<'_, u32>, at: u32, cpu: u32) -> u32 {
        self.nodes.set(at, cpu, On::Pending);
        self.nodes.move_to_head(at, 4 + 2 * cpu);
        self.nodes.number(at)
    }

    /// Takes a batch of free slots for a CPU, whose lock is held, from the common lists.
    fn refill(&self, cpu: u32, evict: Evict<'_>) {
        let (free, pending) = (3 + 2 * cpu, 4 + 2 * cpu);
        let group = &mut *self.groups[0].0.lock();
        while let Some(at) = self.nodes.last(pending) {
            let on = if self.is_marked(at) { On::Active } else { On::Inactive };
            self.enter(group, at, on);
        }
        self.rotate(group);
        let mut taken = 0;
        while taken < self.target && (!self.nodes.is_empty(2) || self.freshen(group, cpu)) {
            let Some(at) = self.nodes.first(2) else { break };
            self.release(group, at, free, On::LocalFree);
            taken += 1;
        }
        if taken < self.target {
            self.shrink(group, self.target - taken, free, On::LocalFree, evict);
        }
    }

    /// Takes a slot from any CPU's own lists, from one on; and says where the next search starts.
    fn steal(&self, first: u32, evict: Evict<'_>) -> (Option<u32>, u32) {
        let cpus = self.local.len() as u32;
        let mut victim = first;
        loop {
            let local = self.local[victim as usize].0.lock();
            let found = self.nodes.first(3 + 2 * victim);
            let found = found.or_else(|| self.evict_pending(victim, evict));
            if let Some(at) = found {
                self.nodes.set_on(at, On::LocalFree);
                self.nodes.unlink(at);
            }
            drop(local);
            victim = (victim + 1) % cpus;
            if found.is_some() || victim == first {
                return (found, victim);
            }
        }
    }

    fn evict_pending(&self, cpu: u32, evict: Evict<'_>) -> Option<u32> {
        let pending = 4 + 2 * cpu;
        for honour in [true, false] {
            let mut at = self.nodes.prev(pending);
            while at != pending {
                if !(honour && self.is_marked(at)) && self.evicts(at, evict) {
                    return Some(at);
                }
                at = self.nodes.prev(at);
            }
        }
        None
    }

    fn rotate(&self, group: &mut Group) {
        if group.inactive < group.active {
            self.rotate_active(group);
        }
        self.rotate_inactive(group);
    }

    /// Old active elements get another round if they are marked and become inactive if not.
    fn rotate_active(&self, group: &mut Group) {
        let head = group.base;
        let newest = self.nodes.next(head);
        let mut at = self.nodes.prev(head);
        for _ in 0..self.scans {
            if at == head {
                return;
            }
            let before = self.nodes.prev(at);
            let on = if self.is_marked(at) { On::Active } else { On::Inactive };
            self.shift(group, at, on);
            if at == newest {
                return;
            }
            at = before;
        }
    }

    /// Marked inactive elements become active, from where the last rotation stopped.
    fn rotate_inactive(&self, group: &mut Group) {
        let head = group.base + 1;
        if self.nodes.is_empty(head) {
            return;
        }
        let mut last = self.nodes.next(group.rotation);
        if last == head {
            last = self.nodes.next(last);
        }
        let mut at = group.rotation;
        let mut next = head;
        let mut scanned = 0;
        while scanned < self.scans {
            if at == head {
                at = self.nodes.prev(at);
                if at == head {
                    break;
                }
                continue;
            }
            next = self.nodes.prev(at);
            if self.is_marked(at) {
                self.shift(group, at, On::Active);
            }
            if at == last {
                break;
            }
            at = next;
            scanned += 1;
        }
        group.rotation = next;
    }

    /// Evicts up to `most` elements that are not marked; if there are none, one in any case.
    fn shrink(&self, group: &mut Group, most: u32, to: u32, on: On, evict: Evict<'_>) {
        let base = group.base;
        let mut evicted = 0;
        let mut at = self.nodes.prev(base + 1);
        for _ in 0..self.scans {
            if at == base + 1 {
                break;
            }
            let before = self.nodes.prev(at);
            if self.is_marked(at) {
                self.shift(group, at, On::Active);
            } else if self.evicts(at, evict) {
                self.release(group, at, to, on);
                evicted += 1;
                if evicted == most {
                    return;
                }
            }
            at = before;
        }
        if evicted > 0 {
            return;
        }
        let list = if self.nodes.is_empty(base + 1) { base } else { base + 1 };
        let mut at = self.nodes.prev(list);
        while at != list {
            if self.evicts(at, evict) {
                self.release(group, at, to, on);
                return;
            }
            at = self.nodes.prev(at);
        }
    }

    /// From a CPU's pending list into the common lists.
    fn enter(&self, group: &mut Group, at: u32, on: On) {
        self.clear_mark(at);
        group.count(on, 1);
        self.nodes.set_on(at, on);
        self.nodes.move_to_head(at, if on == On::Active { 0 } else { 1 });
    }

    /// To the front of a list of the same group.
    fn shift(&self, group: &mut Group, at: u32, to: On) {
        group.count(self.nodes.on(at), -1);
        group.count(to, 1);
        self.nodes.set_on(at, to);
        self.clear_mark(at);
        self.leave_rotation(group, at);
        let list = match to {
            On::Active => 0,
            On::Inactive => 1,
            On::Free | On::LocalFree | On::Pending => 2,
        };
        self.nodes.move_to_head(at, group.base + list);
    }

    /// Puts a node that was never used on the free list.
    fn freshen(&self, group: &mut Group, cpu: u32) -> bool {
        let Some(number) = group.fresh.next() else { return false };
        // Groups take turns, so that no range of nodes is far from the others.
        let at = self.nodes.of(number * self.groups.len() as u32 + group.number);
        self.nodes.make(at);
        self.nodes.set(at, cpu, On::Free);
        self.nodes.set_slot(at, NOWHERE);
        self.nodes.move_to_head(at, group.base + 2);
        true
    }

    /// From the lists of a group to a free list.
    fn release(&self, group: &mut Group, at: u32, to: u32, on: On) {
        self.leave_rotation(group, at);
        group.count(self.nodes.on(at), -1);
        self.nodes.set_on(at, on);
        self.nodes.move_to_head(at, to);
    }

    fn leave_rotation(&self, group: &mut Group, at: u32) {
        if group.rotation == at {
            group.rotation = self.nodes.prev(at);
        }
    }

    /// Evicts what a node stands for.
    fn evicts(&self, at: u32, evict: Evict<'_>) -> bool {
        let slot = self.nodes.slot(at);
        slot != NOWHERE && evict(self.nodes.number(at), slot)
    }

    fn is_marked(&self, at: u32) -> bool {
        let mark = self.marks.get(self.nodes.slot(at) as usize);
        mark.is_some_and(|mark| mark.load(Ordering::Relaxed) != 0)
    }

    fn clear_mark(&self, at: u32) {
        self.set_mark(self.nodes.slot(at), 0);
    }

    fn set_mark(&self, slot: u32, to: u8) {
        if let Some(mark) = self.marks.get(slot as usize) {
            mark.store(to, Ordering::Relaxed);
        }
    }
}

impl Group {
    fn count(&mut self, on: On, change: i32) {
        match on {
            On::Active => self.active = self.active.wrapping_add_signed(change),
            On::Inactive => self.inactive = self.inactive.wrapping_add_signed(change),
            On::Free | On::LocalFree | On::Pending => {}
        }
    }
}
