//! Which element of a full map has to go: the lists of `kernel/bpf/bpf_lru_list.c`.
//!
//! Two lists hold what is in the map. An element starts as *inactive*; one that was looked up since
//! (its mark is set) moves to *active* when a rotation meets it, and what is inactive and not marked is
//! evicted from the old end. Marks are bits that lookups set without a lock; all else is behind one.
//!
//! With the common lists each CPU takes free slots in batches and keeps what it inserted lately on a
//! *pending* list of its own until the next batch; with `BPF_F_NO_COMMON_LRU` each CPU has lists and a
//! share of the slots of its own. Batches and scans have the kernel's sizes, so that on one CPU the same
//! operations evict the same elements.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::paged::Paged;

/// Slots that a CPU takes at once from the common lists, at most; and elements that a rotation visits.
const LOCAL_TARGET: u32 = 128;
/// The same for lists of one CPU's own.
const OWN_TARGET: u32 = 4;
/// Marks in a page of marks.
const MARKS: u64 = 4096;

/// Where a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Active,
    Inactive,
    Free,
    LocalFree,
    Pending,
}

/// The lists of a map.
#[derive(Debug)]
pub(crate) struct Lru {
    lists: Mutex<Lists>,
    marks: Paged<Box<[AtomicU8]>>,
}

#[derive(Debug)]
struct Lists {
    /// Doubly linked rings; the first entries are the lists themselves, the others slots.
    nodes: Vec<Node>,
    /// How many entries are lists.
    heads: u32,
    groups: Vec<Group>,
    /// Each CPU's place to start stealing; empty if the lists are its own.
    steal: Vec<u32>,
    own: bool,
    target: u32,
    scans: u32,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    prev: u32,
    next: u32,
    hash: u32,
    cpu: u32,
    on: On,
}

/// An active, an inactive and a free list, at `base` and after.
#[derive(Debug)]
struct Group {
    base: u32,
    active: u32,
    inactive: u32,
    /// Where the rotation of the inactive list goes on.
    rotation: u32,
    /// Slots that were never used; they stand at the end of the free list.
    fresh: Range<u32>,
}

/// Removes a slot's element from the hash table; says whether it was there.
pub(crate) type Evict<'e> = &'e dyn Fn(u32, u32) -> bool;

impl Lru {
    /// Lists of `slots` free slots.
    pub(crate) fn new(slots: u32, cpus: u32, own: bool) -> Self {
        let heads = if own { 3 * cpus } else { 3 + 2 * cpus };
        let ring = |at| Node { prev: at, next: at, hash: 0, cpu: 0, on: On::Free };
        let group = |base, fresh| Group { base, active: 0, inactive: 0, rotation: base + 1, fresh };
        let share = slots / cpus.max(1);
        let groups = match own {
            true => (0..cpus).map(|cpu| group(3 * cpu, 0..share)).collect(),
            false => vec![group(0, 0..slots)],
        };
        let lists = Lists {
            nodes: (0..heads).map(ring).collect(),
            heads,
            groups,
            steal: if own { Vec::new() } else { (0..cpus).collect() },
            own,
            target: (slots / cpus.max(1) / 2).clamp(1, LOCAL_TARGET),
            scans: if own { OWN_TARGET } else { LOCAL_TARGET },
        };
        Lru { lists: Mutex::new(lists), marks: Paged::new(u64::from(slots).div_ceil(MARKS)) }
    }

    /// Remembers that the element in this slot was used.
    pub(crate) fn mark(&self, slot: u32) {
        let mark = self.mark_of(slot);
        if let Some(mark) = mark.filter(|mark| mark.load(Ordering::Relaxed) == 0) {
            mark.store(1, Ordering::Relaxed);
        }
    }

    /// A slot for an element with this hash, evicting others if it must.
    pub(crate) fn pop(&self, cpu: u32, hash: u32, evict: Evict<'_>) -> Option<u32> {
        let mut lists = self.lists.lock();
        match lists.own {
            true => self.pop_own(&mut lists, cpu, hash, evict),
            false => self.pop_common(&mut lists, cpu, hash, evict),
        }
    }

    /// Gives a slot back whose element is no longer in the table.
    pub(crate) fn push(&self, slot: u32) {
        let mut lists = self.lists.lock();
        let at = lists.heads + slot;
        let Some(&node) = lists.nodes.get(at as usize) else { return };
        match node.on {
            On::Pending => {
                self.clear_mark(slot);
                lists.nodes[at as usize].on = On::LocalFree;
                lists.move_to_head(at, 3 + 2 * node.cpu);
            }
            On::Active | On::Inactive => {
                let group = if lists.own { node.cpu as usize } else { 0 };
                self.shift(&mut lists, group, at, On::Free);
            }
            On::Free | On::LocalFree => {}
        }
    }

    fn pop_own(&self, lists: &mut Lists, cpu: u32, hash: u32, evict: Evict<'_>) -> Option<u32> {
        let group = cpu as usize;
        self.rotate(lists, group);
        let free = lists.groups[group].base + 2;
        if lists.is_empty(free) && !lists.freshen(group, cpu) {
            self.shrink(lists, group, OWN_TARGET, free, On::Free, evict);
        }
        let at = lists.first(free)?;
        lists.nodes[at as usize].hash = hash;
        self.shift(lists, group, at, On::Inactive);
        Some(at - lists.heads)
    }

    fn pop_common(&self, lists: &mut Lists, cpu: u32, hash: u32, evict: Evict<'_>) -> Option<u32> {
        let (free, pending) = (3 + 2 * cpu, 4 + 2 * cpu);
        if lists.is_empty(free) {
            self.refill(lists, cpu, evict);
        }
        let found = lists.first(free).or_else(|| self.steal(lists, cpu, evict));
        let at = found?;
        let heads = lists.heads;
        let node = &mut lists.nodes[at as usize];
        (node.hash, node.cpu, node.on) = (hash, cpu, On::Pending);
        self.clear_mark(at - heads);
        lists.move_to_head(at, pending);
        Some(at - heads)
    }

    /// Takes a batch of free slots for a CPU from the common lists.
    fn refill(&self, lists: &mut Lists, cpu: u32, evict: Evict<'_>) {
        let (free, pending) = (3 + 2 * cpu, 4 + 2 * cpu);
        while let Some(at) = lists.last(pending) {
            let on = if self.is_marked(at - lists.heads) { On::Active } else { On::Inactive };
            self.enter(lists, at, on);
        }
        self.rotate(lists, 0);
        let mut taken = 0;
        while taken < lists.target && (!lists.is_empty(2) || lists.freshen(0, cpu)) {
            let Some(at) = lists.first(2) else { break };
            lists.release(0, at, free, On::LocalFree);
            taken += 1;
        }
        if taken < lists.target {
            self.shrink(lists, 0, lists.target - taken, free, On::LocalFree, evict);
        }
    }

    /// Takes a slot from any CPU's own lists.
    fn steal(&self, lists: &mut Lists, cpu: u32, evict: Evict<'_>) -> Option<u32> {
        let cpus = lists.steal.len() as u32;
        let first = lists.steal[cpu as usize];
        let mut victim = first;
        let mut found = None;
        loop {
            found = found.or_else(|| lists.first(3 + 2 * victim));
            found = found.or_else(|| self.evict_pending(lists, victim, evict));
            victim = (victim + 1) % cpus;
            if found.is_some() || victim == first {
                break;
            }
        }
        lists.steal[cpu as usize] = victim;
        found
    }

    fn evict_pending(&self, lists: &Lists, cpu: u32, evict: Evict<'_>) -> Option<u32> {
        let pending = 4 + 2 * cpu;
        for honour in [true, false] {
            let mut at = lists.nodes[pending as usize].prev;
            while at != pending {
                let node = lists.nodes[at as usize];
                let slot = at - lists.heads;
                if !(honour && self.is_marked(slot)) && evict(slot, node.hash) {
                    return Some(at);
                }
                at = node.prev;
            }
        }
        None
    }

    fn rotate(&self, lists: &mut Lists, group: usize) {
        let Group { active, inactive, .. } = lists.groups[group];
        if inactive < active {
            self.rotate_active(lists, group);
        }
        self.rotate_inactive(lists, group);
    }

    /// Old active elements get another round if they are marked and become inactive if not.
    fn rotate_active(&self, lists: &mut Lists, group: usize) {
        let head = lists.groups[group].base;
        let newest = lists.nodes[head as usize].next;
        let mut at = lists.nodes[head as usize].prev;
        for _ in 0..lists.scans {
            if at == head {
                return;
            }
            let before = lists.nodes[at as usize].prev;
            let on = if self.is_marked(at - lists.heads) { On::Active } else { On::Inactive };
            self.shift(lists, group, at, on);
            if at == newest {
                return;
            }
            at = before;
        }
    }

    /// Marked inactive elements become active, from where the last rotation stopped.
    fn rotate_inactive(&self, lists: &mut Lists, group: usize) {
        let head = lists.groups[group].base + 1;
        if lists.is_empty(head) {
            return;
        }
        let mut last = lists.nodes[lists.groups[group].rotation as usize].next;
        if last == head {
            last = lists.nodes[last as usize].next;
        }
        let mut at = lists.groups[group].rotation;
        let mut next = head;
        let mut scanned = 0;
        while scanned < lists.scans {
            if at == head {
                at = lists.nodes[at as usize].prev;
                if at == head {
                    break;
                }
                continue;
            }
            next = lists.nodes[at as usize].prev;
            if self.is_marked(at - lists.heads) {
                self.shift(lists, group, at, On::Active);
            }
            if at == last {
                break;
            }
            at = next;
            scanned += 1;
        }
        lists.groups[group].rotation = next;
    }

    /// Evicts up to `most` elements that are not marked; if there are none, one in any case.
    fn shrink(&self, lists: &mut Lists, group: usize, most: u32, to: u32, on: On, evict: Evict<'_>) {
        let base = lists.groups[group].base;
        let mut evicted = 0;
        let mut at = lists.nodes[base as usize + 1].prev;
        for _ in 0..lists.scans {
            if at == base + 1 {
                break;
            }
            let node = lists.nodes[at as usize];
            let slot = at - lists.heads;
            if self.is_marked(slot) {
                self.shift(lists, group, at, On::Active);
            } else if evict(slot, node.hash) {
                lists.release(group, at, to, on);
                evicted += 1;
                if evicted == most {
                    return;
                }
            }
            at = node.prev;
        }
        if evicted > 0 {
            return;
        }
        let list = if lists.is_empty(base + 1) { base } else { base + 1 };
        let mut at = lists.nodes[list as usize].prev;
        while at != list {
            let node = lists.nodes[at as usize];
            if evict(at - lists.heads, node.hash) {
                lists.release(group, at, to, on);
                return;
            }
            at = node.prev;
        }
    }

    /// From a CPU's pending list into the common lists.
    fn enter(&self, lists: &mut Lists, at: u32, on: On) {
        self.clear_mark(at - lists.heads);
        lists.count(0, on, 1);
        lists.nodes[at as usize].on = on;
        lists.move_to_head(at, if on == On::Active { 0 } else { 1 });
    }

    /// To the front of a list of the same group.
    fn shift(&self, lists: &mut Lists, group: usize, at: u32, to: On) {
        let from = lists.nodes[at as usize].on;
        lists.count(group, from, -1);
        lists.count(group, to, 1);
        lists.nodes[at as usize].on = to;
        self.clear_mark(at - lists.heads);
        lists.leave_rotation(group, at);
        let list = match to {
            On::Active => 0,
            On::Inactive => 1,
            On::Free | On::LocalFree | On::Pending => 2,
        };
        lists.move_to_head(at, lists.groups[group].base + list);
    }

    fn is_marked(&self, slot: u32) -> bool {
        self.mark_of(slot).is_some_and(|mark| mark.load(Ordering::Relaxed) != 0)
    }

    fn clear_mark(&self, slot: u32) {
        if let Some(mark) = self.mark_of(slot) {
            mark.store(0, Ordering::Relaxed);
        }
    }

    fn mark_of(&self, slot: u32) -> Option<&AtomicU8> {
        let page = || (0..MARKS).map(|_| AtomicU8::new(0)).collect();
        let page = self.marks.get_or(u64::from(slot) / MARKS, page)?;
        page.get((u64::from(slot) % MARKS) as usize)
    }
}

impl Lists {
    fn is_empty(&self, list: u32) -> bool {
        self.nodes[list as usize].next == list
    }

    fn first(&self, list: u32) -> Option<u32> {
        Some(self.nodes[list as usize].next).filter(|&at| at != list)
    }

    fn last(&self, list: u32) -> Option<u32> {
        Some(self.nodes[list as usize].prev).filter(|&at| at != list)
    }

    /// Puts a slot that was never used on the free list.
    fn freshen(&mut self, group: usize, cpu: u32) -> bool {
        let Some(number) = self.groups[group].fresh.next() else { return false };
        // Groups take turns, so that no range of slots is far from the others.
        let at = self.heads + number * self.groups.len() as u32 + group as u32;
        for at in self.nodes.len() as u32..=at {
            self.nodes.push(Node { prev: at, next: at, hash: 0, cpu, on: On::Free });
        }
        self.nodes[at as usize].cpu = cpu;
        self.move_to_head(at, self.groups[group].base + 2);
        true
    }

    /// From the lists of a group to a free list.
    fn release(&mut self, group: usize, at: u32, to: u32, on: On) {
        self.leave_rotation(group, at);
        self.count(group, self.nodes[at as usize].on, -1);
        self.nodes[at as usize].on = on;
        self.move_to_head(at, to);
    }

    fn leave_rotation(&mut self, group: usize, at: u32) {
        if self.groups[group].rotation == at {
            self.groups[group].rotation = self.nodes[at as usize].prev;
        }
    }

    fn count(&mut self, group: usize, on: On, change: i32) {
        let group = &mut self.groups[group];
        match on {
            On::Active => group.active = group.active.wrapping_add_signed(change),
            On::Inactive => group.inactive = group.inactive.wrapping_add_signed(change),
            On::Free | On::LocalFree | On::Pending => {}
        }
    }

    fn move_to_head(&mut self, at: u32, list: u32) {
        let Node { prev, next, .. } = self.nodes[at as usize];
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
        let first = self.nodes[list as usize].next;
        self.nodes[at as usize].prev = list;
        self.nodes[at as usize].next = first;
        self.nodes[first as usize].prev = at;
        self.nodes[list as usize].next = at;
    }
}
