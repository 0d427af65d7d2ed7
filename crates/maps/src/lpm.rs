//! Longest prefix match (`kernel/bpf/lpm_trie.c`).
//!
//! A key is a prefix length (a native `u32`) and bytes; bit 0 is the highest bit of the first byte. The
//! trie branches only where prefixes differ: a node that no entry stands at is there because it has two
//! children. A walk meets more specific prefixes before less specific ones.

use std::collections::VecDeque;

use parking_lot::RwLock;

use crate::errno::Errno;
use crate::flags::{EXIST, NOEXIST};
use crate::values::Values;

type Link = Option<u32>;

/// How many slots rest before the first is used again.
const RESTING: usize = 64;

/// The trie.
#[derive(Debug)]
pub(crate) struct Lpm {
    data_size: usize,
    most: u32,
    trie: RwLock<Trie>,
    pub(crate) values: Values,
}

#[derive(Debug, Default)]
struct Trie {
    root: Link,
    nodes: Vec<Node>,
    unused: Vec<u32>,
    entries: u32,
    fresh: u32,
    /// Slots of values that went, the oldest first: who still looks at one should not see another.
    free: VecDeque<u32>,
}

#[derive(Clone, Debug)]
struct Node {
    bits: u32,
    data: Box<[u8]>,
    children: [Link; 2],
    /// The slot of the value; a branching without an entry has none.
    slot: Link,
}

/// A key taken apart.
#[derive(Clone, Copy)]
struct Prefix<'k> {
    bits: u32,
    data: &'k [u8],
}

/// The link that a node hangs on.
#[derive(Clone, Copy)]
enum Place {
    Root,
    Child(u32, usize),
}

impl Lpm {
    pub(crate) fn new(key_size: u32, most: u32, values: impl FnOnce(u64) -> Values) -> Self {
        // A replaced value moves, so one more than there can be entries, and some rest.
        let values = values(u64::from(most) + 1 + RESTING as u64);
        Lpm { data_size: key_size as usize - 4, most, trie: RwLock::default(), values }
    }

    fn prefix<'k>(&self, key: &'k [u8]) -> Result<Prefix<'k>, Errno> {
        let (bits, data) = key.split_first_chunk().ok_or(Errno::EINVAL)?;
        let bits = u32::from_ne_bytes(*bits);
        match data.len() == self.data_size && bits as usize <= self.data_size * 8 {
            true => Ok(Prefix { bits, data }),
            false => Err(Errno::EINVAL),
        }
    }

    /// The slot of the longest prefix that contains `key`.
    pub(crate) fn lookup(&self, key: &[u8]) -> Option<u32> {
        let key = self.prefix(key).ok()?;
        let trie = self.trie.read();
        let (mut at, mut found) = (trie.root, None);
        while let Some(node) = at.map(|at| &trie.nodes[at as usize]) {
            let common = common(node, key);
            if common as usize == self.data_size * 8 {
                // The whole key; a branching cannot stand here.
                found = node.slot;
                break;
            }
            if common < node.bits {
                break;
            }
            found = node.slot.or(found);
            at = node.children[bit(key.data, node.bits)];
        }
        found
    }

    /// Inserts or replaces an entry and returns its slot.
    pub(crate) fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<u32, Errno> {
        if flags > EXIST {
            return Err(Errno::EINVAL);
        }
        let key = self.prefix(key)?;
        let most_bits = (self.data_size * 8) as u32;
        let mut trie = self.trie.write();
        let (mut place, mut shared) = (Place::Root, 0);
        let mut here = trie.root;
        while let Some(at) = here {
            let node = &trie.nodes[at as usize];
            shared = common(node, key);
            if node.bits != shared || node.bits == key.bits || node.bits == most_bits {
                break;
            }
            let child = bit(key.data, node.bits);
            place = Place::Child(at, child);
            here = node.children[child];
        }
        let replaced = here.filter(|&at| trie.nodes[at as usize].bits == shared);
        let old_slot = replaced.and_then(|at| trie.nodes[at as usize].slot);
        match old_slot {
            Some(_) if flags == NOEXIST => return Err(Errno::EEXIST),
            Some(_) => {}
            None if flags == EXIST => return Err(Errno::ENOENT),
            None if trie.entries == self.most => return Err(Errno::ENOSPC),
            None => {}
        }
        let slot = trie.take();
        let nodes = match here {
            _ if replaced.is_some() => 0,
            Some(_) if shared != key.bits => 2,
            _ => 1usize,
        };
        let nodes = nodes.saturating_sub(trie.unused.len()) as u64;
        let charged = self.values.charge(nodes * (self.data_size as u64 + 64));
        let cleared = charged.and_then(|()| self.values.clear(slot.into(), 0));
        if let Err(errno) = cleared.and_then(|()| self.values.write(slot.into(), 0, value)) {
            trie.free.push_front(slot);
            return Err(errno);
        }
        trie.entries += u32::from(old_slot.is_none());
        let mut new = Node { bits: key.bits, data: key.data.into(), children: [None; 2], slot: Some(slot) };
        if let Some(at) = replaced {
            new.children = trie.nodes[at as usize].children;
            trie.nodes[at as usize] = new;
            trie.free.extend(old_slot);
            return Ok(slot);
        }
        let Some(other) = here else {
            let at = trie.add(new);
            trie.set(place, Some(at));
            return Ok(slot);
        };
        if shared == key.bits {
            // The new prefix contains the node.
            new.children[bit(&trie.nodes[other as usize].data, shared)] = Some(other);
            let at = trie.add(new);
            trie.set(place, Some(at));
            return Ok(slot);
        }
        let data = trie.nodes[other as usize].data.clone();
        let side = bit(key.data, shared);
        let at = trie.add(new);
        let mut children = [Some(other); 2];
        children[side] = Some(at);
        let branching = trie.add(Node { bits: shared, data, children, slot: None });
        trie.set(place, Some(branching));
        Ok(slot)
    }

    /// Removes an entry.
    pub(crate) fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let key = self.prefix(key)?;
        let mut trie = self.trie.write();
        let (mut place, mut above) = (Place::Root, None);
        let mut here = trie.root;
        let mut shared = 0;
        while let Some(at) = here {
            let node = &trie.nodes[at as usize];
            shared = common(node, key);
            if node.bits != shared || node.bits == key.bits {
                break;
            }
            let child = bit(key.data, node.bits);
            above = Some((at, place));
            place = Place::Child(at, child);
            here = node.children[child];
        }
        let at = here.ok_or(Errno::ENOENT)?;
        let Node { bits, children, slot, .. } = trie.nodes[at as usize].clone();
        let slot = slot.filter(|_| bits == key.bits && bits == shared).ok_or(Errno::ENOENT)?;
        trie.entries -= 1;
        trie.free.push_back(slot);
        trie.nodes[at as usize].slot = None;
        if children[0].is_some() && children[1].is_some() {
            return Ok(());
        }
        let lonely =
            above.filter(|&(parent, _)| trie.nodes[parent as usize].slot.is_none() && children == [None; 2]);
        if let Some((parent, parent_place)) = lonely {
            // A branching with one child left is none.
            let siblings = trie.nodes[parent as usize].children;
            let sibling = if siblings[0] == Some(at) { siblings[1] } else { siblings[0] };
            trie.set(parent_place, sibling);
            trie.unused.push(parent);
        } else {
            trie.set(place, children[0].or(children[1]));
        }
        trie.unused.push(at);
        Ok(())
    }

    /// The key after this one in the walk; the first, if there is no such entry.
    pub(crate) fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let trie = self.trie.read();
        let root = trie.root.ok_or(Errno::ENOENT)?;
        let Some(key) = key.and_then(|key| self.prefix(key).ok()) else { return Ok(trie.leftmost(root)) };
        let (mut path, mut here, mut shared) = (Vec::new(), Some(root), 0);
        while let Some(at) = here {
            path.push(at);
            let node = &trie.nodes[at as usize];
            shared = common(node, key);
            if node.bits != shared || node.bits == key.bits {
                break;
            }
            here = node.children[bit(key.data, node.bits)];
        }
        let found = here.map(|at| &trie.nodes[at as usize]);
        if !found.is_some_and(|node| node.bits == shared && node.slot.is_some()) {
            return Ok(trie.leftmost(root));
        }
        while let Some(at) = path.pop() {
            let Some(&parent) = path.last() else { break };
            let node = &trie.nodes[parent as usize];
            if let (true, Some(sibling)) = (node.children[0] == Some(at), node.children[1]) {
                return Ok(trie.leftmost(sibling));
            }
            if node.slot.is_some() {
                return Ok(node.key());
            }
        }
        Err(Errno::ENOENT)
    }

    /// The slot of exactly this prefix.
    #[cfg(test)]
    fn entries(&self) -> u32 {
        self.trie.read().entries
    }
}

impl Trie {
    fn take(&mut self) -> u32 {
        let rested = if self.free.len() > RESTING { self.free.pop_front() } else { None };
        rested.unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh - 1
        })
    }

    fn add(&mut self, node: Node) -> u32 {
        match self.unused.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        }
    }

    fn set(&mut self, place: Place, link: Link) {
        match place {
            Place::Root => self.root = link,
            Place::Child(at, child) => self.nodes[at as usize].children[child] = link,
        }
    }

    /// The key of the first entry of a subtree in the walk.
    fn leftmost(&self, root: u32) -> Vec<u8> {
        let (mut here, mut found) = (Some(root), root);
        while let Some(at) = here {
            let node = &self.nodes[at as usize];
            if node.slot.is_some() {
                found = at;
            }
            here = node.children[0].or(node.children[1]);
        }
        self.nodes[found as usize].key()
    }
}

impl Node {
    fn key(&self) -> Vec<u8> {
        [&self.bits.to_ne_bytes()[..], &self.data].concat()
    }
}

/// How many leading bits a node and a key share.
fn common(node: &Node, key: Prefix<'_>) -> u32 {
    let most = node.bits.min(key.bits);
    let mut bits = 0;
    for (a, b) in node.data.chunks(8).zip(key.data.chunks(8)) {
        let same = (word(a) ^ word(b)).leading_zeros();
        bits += same;
        if same < 64 || bits >= most {
            break;
        }
    }
    bits.min(most)
}

/// Up to eight bytes, the first one highest, zeros after them.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_be_bytes(word)
}

/// Bit `at`; beyond the data, where a prefix of full length would ask, there is none.
fn bit(data: &[u8], at: u32) -> usize {
    data.get(at as usize / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Shape;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn covers(a: (u32, u16), b: (u32, u16)) -> bool {
        a.0 <= b.0 && (a.0 == 0 || (a.1 ^ b.1) >> (16 - a.0) == 0)
    }

    fn key((bits, data): (u32, u16)) -> Vec<u8> {
        [&bits.to_ne_bytes()[..], &data.to_be_bytes()].concat()
    }

    proptest! {
        #[test]
        fn agrees_with_a_list(steps in prop::collection::vec((0u8..4, 0u32..17, 0u16..64), 1..200)) {
            let shape = Shape { head: 0, size: 2, copies: 1, memory: 1 << 20, fields: &[] };
            let lpm = Lpm::new(6, 40, |slots| Values::new(slots, shape));
            let mut list = BTreeMap::<(u32, u16), u16>::new();
            for (number, (what, bits, data)) in steps.into_iter().enumerate() {
                // Few low bits and few high ones, so that prefixes meet.
                let data = data << 12 | data;
                let canonical = |bits: u32| if bits == 0 { 0 } else { data >> (16 - bits) << (16 - bits) };
                let entry = (bits, canonical(bits));
                match what {
                    0 | 1 => {
                        let value = number as u16;
                        let full = list.len() == 40 && !list.contains_key(&entry);
                        let done = lpm.update(&key((bits, data)), &value.to_le_bytes(), 0);
                        prop_assert_eq!(done.is_err(), full);
                        if !full {
                            list.insert(entry, value);
                        }
                    }
                    2 => {
                        let done = lpm.delete(&key((bits, data)));
                        prop_assert_eq!(done.is_ok(), list.remove(&entry).is_some());
                    }
                    _ => {
                        let best = list.iter().filter(|(e, _)| covers(**e, (bits, data))).max_by_key(|e| e.0.0);
                        let found = lpm.lookup(&key((bits, data))).map(|slot| {
                            let mut value = [0; 2];
                            lpm.values.read(slot.into(), 0, &mut value);
                            u16::from_le_bytes(value)
                        });
                        prop_assert_eq!(found, best.map(|(_, &value)| value));
                    }
                }
                prop_assert_eq!(lpm.entries() as usize, list.len());
            }
            let (mut walked, mut at) = (0, None);
            while let Ok(next) = lpm.next_key(at.as_deref()) {
                walked += 1;
                prop_assert!(walked <= list.len());
                at = Some(next);
            }
            prop_assert_eq!(walked, list.len());
        }
    }
}
