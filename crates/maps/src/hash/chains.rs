//! The chains of a range of buckets: elements by key, the newest first.
//!
//! Nodes are numbers into one list, keys lie side by side in another, so a chain is walked without
//! allocations and an element costs its key and twelve bytes.

/// No node.
pub(super) const NONE: u32 = u32::MAX;
/// Buckets whose heads are allocated together.
const PAGE: usize = 256;

/// The chains of some buckets.
#[derive(Debug, Default)]
pub(super) struct Chains {
    heads: Vec<Option<Box<[u32; PAGE]>>>,
    pub(super) nodes: Vec<Node>,
    keys: Vec<u8>,
    unused: Vec<u32>,
}

/// An element's place in its chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) hash: u32,
    pub(super) next: u32,
    pub(super) slot: u32,
}

impl Chains {
    pub(super) fn head(&self, bucket: u32) -> u32 {
        let page = self.heads.get(bucket as usize / PAGE).and_then(Option::as_ref);
        page.map_or(NONE, |page| page[bucket as usize % PAGE])
    }

    fn set_head(&mut self, bucket: u32, at: u32) {
        let page = bucket as usize / PAGE;
        if self.heads.len() <= page {
            self.heads.resize_with(page + 1, || None);
        }
        self.heads[page].get_or_insert_with(|| Box::new([NONE; PAGE]))[bucket as usize % PAGE] = at;
    }

    pub(super) fn next_bucket(&self, bucket: u32) -> Option<u32> {
        let mut skip = bucket as usize % PAGE;
        for (number, page) in self.heads.iter().enumerate().skip(bucket as usize / PAGE) {
            let found = page.as_ref().and_then(|page| page[skip..].iter().position(|&at| at != NONE));
            if let Some(found) = found {
                return Some((number * PAGE + skip + found) as u32);
            }
            skip = 0;
        }
        None
    }

    pub(super) fn key(&self, at: u32, size: usize) -> &[u8] {
        &self.keys[at as usize * size..][..size]
    }

    pub(super) fn find(&self, bucket: u32, hash: u32, key: &[u8]) -> Option<u32> {
        let mut at = self.head(bucket);
        while at != NONE {
            let node = self.nodes[at as usize];
            if node.hash == hash && self.key(at, key.len()) == key {
                return Some(at);
            }
            at = node.next;
        }
        None
    }

    /// Whether another element needs a new node.
    pub(super) fn is_full(&self) -> bool {
        self.unused.is_empty()
    }

    pub(super) fn insert(&mut self, bucket: u32, hash: u32, key: &[u8], slot: u32) {
        let node = Node { hash, next: self.head(bucket), slot };
        let at = match self.unused.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                self.keys[at as usize * key.len()..][..key.len()].copy_from_slice(key);
                at
            }
            None => {
                self.nodes.push(node);
                self.keys.extend_from_slice(key);
                self.nodes.len() as u32 - 1
            }
        };
        self.set_head(bucket, at);
    }

    pub(super) fn unlink(&mut self, bucket: u32, at: u32) {
        let next = self.nodes[at as usize].next;
        let mut before = self.head(bucket);
        if before == at {
            self.set_head(bucket, next);
        } else {
            while before != NONE && self.nodes[before as usize].next != at {
                before = self.nodes[before as usize].next;
            }
            if before != NONE {
                self.nodes[before as usize].next = next;
            }
        }
        self.unused.push(at);
    }
}
