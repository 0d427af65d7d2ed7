//! Longest prefix match (`kernel/bpf/lpm_trie.c`).
//!
//! A key is a prefix length (a native `u32`) and bytes; bit 0 is the highest bit of the first byte. The
//! trie branches only where prefixes differ: a node that no entry stands at is there because it has two
//! children. A walk meets more specific prefixes before less specific ones.
//!
//! Who looks up takes no lock: it looks at the version first and last, and walks again if somebody changed the trie meanwhile.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::errno::Errno;
use crate::flags::{EXIST, NOEXIST};
use crate::slab::Slab;
use crate::values::Values;

type Link = Option<u32>;

/// How many slots rest before the first is used again.
const RESTING: usize = 64;
/// Words of the longest data.
const WORDS: usize = 32;
/// How often somebody walks without a lock before it waits for those who change the trie.
const WALKS: u32 = 100;

/// The trie.
#[derive(Debug)]
pub(crate) struct Lpm {
    data_size: usize,
    most: u32,
    /// How often the trie was changed, times two; odd while it is.
    version: AtomicU64,
    /// The root's number, counted from 1.
    root: AtomicU32,
    /// A record for each node: bits and slot, children, data from its first byte on. Numbers of slots and nodes count from 1.
    nodes: Slab,
    rest: Mutex<Rest>,
    pub(crate) values: Values,
}

/// What only those need who change the trie.
#[derive(Debug, Default)]
struct Rest {
    /// Nodes that there ever were, and those that are used no more.
    nodes: u32,
    unused: Vec<u32>,
    entries: u32,
    fresh: u32,
    /// Slots of values that went, the oldest first: who still looks at one should not see another.
    free: VecDeque<u32>,
}

/// A node without its data.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    bits: u32,
    children: [Link; 2],
    /// The slot of the value; a branching without an entry has none.
    slot: Link,
}

/// A key taken apart, of no more words than this.
#[derive(Clone, Copy)]
struct Prefix<const COUNT: usize = WORDS> {
    bits: u32,
    /// The data as words, the first byte highest.
    data: [u64; COUNT],
}

/// The link that a node hangs on.
#[derive(Clone, Copy)]
enum Place {
    Root,
    Child(u32, usize),
}

impl Lpm {
    pub(crate) fn new(key_size: u32, most: u32, memory: u64, values: impl FnOnce(u64) -> Values) -> Self {
        let data_size = key_size as usize - 4;
        Lpm {
            data_size,
            most,
            version: AtomicU64::new(0),
            root: AtomicU32::new(0),
            // Every entry but one may bring a branching with it.
            nodes: Slab::new(2 * u64::from(most), 16 + data_size.next_multiple_of(8), memory),
            rest: Mutex::default(),
            // A replaced value moves, so one more than there can be entries, and some rest.
            values: values(u64::from(most) + 1 + RESTING as u64),
        }
    }

    fn prefix<const COUNT: usize>(&self, key: &[u8]) -> Result<Prefix<COUNT>, Errno> {
        let (bits, bytes) = key.split_first_chunk().ok_or(Errno::EINVAL)?;
        let bits = u32::from_ne_bytes(*bits);
        if bytes.len() != self.data_size || bits > self.most_bits() || bytes.len() > 8 * COUNT {
            return Err(Errno::EINVAL);
        }
        let mut data = [0; COUNT];
        for (word, bytes) in data.iter_mut().zip(bytes.chunks(8)) {
            *word = big(bytes);
        }
        Ok(Prefix { bits, data })
    }

    fn most_bits(&self) -> u32 {
        self.data_size as u32 * 8
    }

    /// The slot of the longest prefix that contains `key`.
    pub(crate) fn lookup(&self, key: &[u8]) -> Option<u32> {
        match self.data_size {
            // Addresses of both protocols.
            0..=8 => self.lookup_words::<1>(key),
            9..=16 => self.lookup_words::<2>(key),
            _ => self.lookup_words::<WORDS>(key),
        }
    }

    fn lookup_words<const COUNT: usize>(&self, key: &[u8]) -> Option<u32> {
        let key = self.prefix::<COUNT>(key).ok()?;
        for _ in 0..WALKS {
            let version = self.version.load(Ordering::Acquire);
            if version.is_multiple_of(2) {
                let found = self.longest(&key);
                if self.version.load(Ordering::Relaxed) == version {
                    return found;
                }
            }
            spin_loop();
        }
        let _rest = self.rest.lock();
        self.longest(&key)
    }

    fn longest<const COUNT: usize>(&self, key: &Prefix<COUNT>) -> Option<u32> {
        let (mut at, mut found) = (self.root(), None);
        // While the trie is changed, links may lead anywhere.
        for _ in 0..=self.most_bits() {
            let Some((node, words)) = at.and_then(|at| self.node(at)) else { break };
            let common = common(node, words, key);
            if common == self.most_bits() {
                // The whole key; a branching cannot stand here.
                found = node.slot;
                break;
            }
            if common < node.bits {
                break;
            }
            found = node.slot.or(found);
            at = node.children[key.bit(node.bits)];
        }
        found
    }

    /// Inserts or replaces an entry and returns its slot.
    pub(crate) fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<u32, Errno> {
        if flags > EXIST {
            return Err(Errno::EINVAL);
        }
        let key = self.prefix::<WORDS>(key)?;
        let rest = &mut *self.rest.lock();
        let (mut place, mut shared) = (Place::Root, 0);
        let mut here = self.root();
        while let Some((at, (node, words))) = here.and_then(|at| Some((at, self.node(at)?))) {
            shared = common(node, words, &key);
            if node.bits != shared || node.bits == key.bits || node.bits == self.most_bits() {
                break;
            }
            let child = key.bit(node.bits);
            place = Place::Child(at, child);
            here = node.children[child];
        }
        let there = here.and_then(|at| Some((at, self.node(at)?.0)));
        let replaced = there.filter(|(_, node)| node.bits == shared);
        let old_slot = replaced.and_then(|(_, node)| node.slot);
        match old_slot {
            Some(_) if flags == NOEXIST => return Err(Errno::EEXIST),
            Some(_) => {}
            None if flags == EXIST => return Err(Errno::ENOENT),
            None if rest.entries == self.most => return Err(Errno::ENOSPC),
            None => {}
        }
        let slot = rest.take();
        let ready = self.values.clear(slot.into(), 0).and_then(|()| self.values.write(slot.into(), 0, value));
        // The nodes that it takes: none, one, or a branching as well.
        let count = match there {
            _ if replaced.is_some() => 0,
            Some(_) if shared != key.bits => 2,
            _ => 1,
        };
        let mut new = [0; 2];
        new[..count].fill_with(|| rest.node());
        let made = new[..count].iter().try_for_each(|&at| self.nodes.touch(at.into()).map(|_| ()));
        if let Err(errno) = ready.and(made) {
            rest.unused.extend(&new[..count]);
            rest.free.push_front(slot);
            return Err(errno);
        }
        let _changing = Changing::new(self);
        rest.entries += u32::from(old_slot.is_none());
        let entry = Node { bits: key.bits, children: [None; 2], slot: Some(slot) };
        if let Some((at, node)) = replaced {
            self.set_node(at, Node { children: node.children, ..entry });
            self.set_data(at, &key);
            rest.free.extend(old_slot);
            return Ok(slot);
        }
        let [at, branching] = new;
        self.set_data(at, &key);
        let Some((other, node)) = there else {
            self.set_node(at, entry);
            self.set_link(place, Some(at));
            return Ok(slot);
        };
        if shared == key.bits {
            // The new prefix contains the node.
            let mut children = [None; 2];
            children[self.bit(other, shared)] = Some(other);
            self.set_node(at, Node { children, ..entry });
            self.set_link(place, Some(at));
            return Ok(slot);
        }
        self.set_node(at, entry);
        let mut children = [Some(other); 2];
        children[key.bit(shared)] = Some(at);
        self.set_data(branching, &Prefix { bits: node.bits, data: self.data(other) });
        self.set_node(branching, Node { bits: shared, children, slot: None });
        self.set_link(place, Some(branching));
        Ok(slot)
    }

    /// Removes an entry.
    pub(crate) fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let key = self.prefix::<WORDS>(key)?;
        let rest = &mut *self.rest.lock();
        let (mut place, mut above) = (Place::Root, None);
        let mut here = self.root();
        let mut shared = 0;
        while let Some((at, (node, words))) = here.and_then(|at| Some((at, self.node(at)?))) {
            shared = common(node, words, &key);
            if node.bits != shared || node.bits == key.bits {
                break;
            }
            let child = key.bit(node.bits);
            above = Some((at, place));
            place = Place::Child(at, child);
            here = node.children[child];
        }
        let (at, (node, _)) = here.and_then(|at| Some((at, self.node(at)?))).ok_or(Errno::ENOENT)?;
        let Node { bits, children, slot } = node;
        let slot = slot.filter(|_| bits == key.bits && bits == shared).ok_or(Errno::ENOENT)?;
        let _changing = Changing::new(self);
        rest.entries -= 1;
        rest.free.push_back(slot);
        self.set_node(at, Node { slot: None, ..node });
        if children[0].is_some() && children[1].is_some() {
            return Ok(());
        }
        let parent = above.and_then(|(parent, place)| Some((parent, place, self.node(parent)?.0)));
        let lonely = parent.filter(|(_, _, node)| node.slot.is_none() && children == [None; 2]);
        if let Some((parent, parent_place, node)) = lonely {
            // A branching with one child left is none.
            let siblings = node.children;
            let sibling = if siblings[0] == Some(at) { siblings[1] } else { siblings[0] };
            self.set_link(parent_place, sibling);
            rest.unused.push(parent);
        } else {
            self.set_link(place, children[0].or(children[1]));
        }
        rest.unused.push(at);
        Ok(())
    }

    /// The key after this one in the walk; the first, if there is no such entry.
    pub(crate) fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let _rest = self.rest.lock();
        let root = self.root().ok_or(Errno::ENOENT)?;
        let Some(key) = key.and_then(|key| self.prefix::<WORDS>(key).ok()) else {
            return Ok(self.leftmost(root));
        };
        let (mut path, mut here, mut shared) = (Vec::new(), Some(root), 0);
        while let Some((at, (node, words))) = here.and_then(|at| Some((at, self.node(at)?))) {
            path.push((at, node));
            shared = common(node, words, &key);
            if node.bits != shared || node.bits == key.bits {
                break;
            }
            here = node.children[key.bit(node.bits)];
        }
        let found = here.and_then(|at| self.node(at)).map(|(node, _)| node);
        if !found.is_some_and(|node| node.bits == shared && node.slot.is_some()) {
            return Ok(self.leftmost(root));
        }
        while let Some((at, _)) = path.pop() {
            let Some(&(parent, node)) = path.last() else { break };
            if let (true, Some(sibling)) = (node.children[0] == Some(at), node.children[1]) {
                return Ok(self.leftmost(sibling));
            }
            if node.slot.is_some() {
                return Ok(self.key(parent));
            }
        }
        Err(Errno::ENOENT)
    }

    #[cfg(test)]
    fn entries(&self) -> u32 {
        self.rest.lock().entries
    }

    fn root(&self) -> Link {
        self.root.load(Ordering::Acquire).checked_sub(1)
    }

    /// A node, and the words of its data.
    fn node(&self, at: u32) -> Option<(Node, &[AtomicU64])> {
        let [first, second, data @ ..] = self.nodes.words(at.into())? else { return None };
        let (first, second) = (first.load(Ordering::Acquire), second.load(Ordering::Acquire));
        let link = |number: u64| (number as u32).checked_sub(1);
        let children = [link(second), link(second >> 32)];
        Some((Node { bits: first as u32, slot: link(first >> 32), children }, data))
    }

    fn set_node(&self, at: u32, node: Node) {
        let Some([first, second, ..]) = self.nodes.words(at.into()) else { return };
        let number = |link: Link| link.map_or(0, |number| u64::from(number) + 1);
        first.store(u64::from(node.bits) | number(node.slot) << 32, Ordering::Release);
        let [left, right] = node.children.map(number);
        second.store(left | right << 32, Ordering::Release);
    }

    fn data(&self, at: u32) -> [u64; WORDS] {
        let mut data = [0; WORDS];
        let words = self.node(at).map(|(_, words)| words).unwrap_or_default();
        data.iter_mut().zip(words).for_each(|(to, from)| *to = from.load(Ordering::Acquire));
        data
    }

    fn set_data(&self, at: u32, key: &Prefix) {
        let words = self.node(at).map(|(_, words)| words).unwrap_or_default();
        words.iter().zip(key.data).for_each(|(to, from)| to.store(from, Ordering::Release));
    }

    fn set_link(&self, place: Place, link: Link) {
        match place {
            Place::Root => self.root.store(link.map_or(0, |at| at + 1), Ordering::Release),
            Place::Child(at, child) => {
                let Some((mut node, _)) = self.node(at) else { return };
                node.children[child] = link;
                self.set_node(at, node);
            }
        }
    }

    fn bit(&self, at: u32, bit: u32) -> usize {
        Prefix { bits: 0, data: self.data(at) }.bit(bit)
    }

    /// The key of the first entry of a subtree in the walk.
    fn leftmost(&self, root: u32) -> Vec<u8> {
        let (mut here, mut found) = (Some(root), root);
        while let Some((at, (node, _))) = here.and_then(|at| Some((at, self.node(at)?))) {
            if node.slot.is_some() {
                found = at;
            }
            here = node.children[0].or(node.children[1]);
        }
        self.key(found)
    }

    fn key(&self, at: u32) -> Vec<u8> {
        let bits = self.node(at).map_or(0, |(node, _)| node.bits);
        let bytes = self.data(at).into_iter().flat_map(u64::to_be_bytes).take(self.data_size);
        bits.to_ne_bytes().into_iter().chain(bytes).collect()
    }
}

/// Somebody changes the trie, as long as this is there.
struct Changing<'l>(&'l Lpm);

impl<'l> Changing<'l> {
    fn new(lpm: &'l Lpm) -> Self {
        lpm.version.fetch_add(1, Ordering::Acquire);
        Changing(lpm)
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.version.fetch_add(1, Ordering::Release);
    }
}

impl Rest {
    fn take(&mut self) -> u32 {
        let rested = if self.free.len() > RESTING { self.free.pop_front() } else { None };
        rested.unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh - 1
        })
    }

    /// A node that is used no more, or never was.
    fn node(&mut self) -> u32 {
        self.unused.pop().unwrap_or_else(|| {
            self.nodes += 1;
            self.nodes - 1
        })
    }
}

impl<const COUNT: usize> Prefix<COUNT> {
    /// Bit `at`; beyond the data, where a prefix of full length would ask, there is none.
    fn bit(&self, at: u32) -> usize {
        self.data.get(at as usize / 64).map_or(0, |word| (word >> (63 - at % 64) & 1) as usize)
    }
}

/// How many leading bits a node, whose data is in these words, and a key share.
fn common<const COUNT: usize>(node: Node, words: &[AtomicU64], key: &Prefix<COUNT>) -> u32 {
    let most = node.bits.min(key.bits);
    let mut bits = 0;
    for (ours, theirs) in words.iter().zip(&key.data) {
        let same = (ours.load(Ordering::Acquire) ^ theirs).leading_zeros();
        bits += same;
        if same < 64 || bits >= most {
            break;
        }
    }
    bits.min(most)
}

/// Up to eight bytes, the first one highest, zeros after them.
fn big(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_be_bytes(word)
}
