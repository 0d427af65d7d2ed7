//! The elements of a hash table by their hashes: groups that readers look through without a lock.
//!
//! Eight buckets share a *home*, a [group](super::group); more, where there would be more homes than memory. Elements that have no place there are in groups that go on from it,
//! of which few homes have one. What belongs to a home is changed by who holds its lock: the lowest bit of its version. A
//! reader looks at the version first and last, and again if somebody changed something meanwhile, or was about to. All words are
//! atomic, so what it reads in between may be old or new, and is nothing worse.
//!
//! Order is Linux's: buckets by their numbers, in a bucket the newest element first. Since elements of a home stand in the
//! order in which they came, this needs no lists of buckets: who walks a bucket skips elements of the others.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::group::{self, ELEMENTS, Element, Group, WORDS, Words};
use crate::errno::Errno;
use crate::slab::Slab;

/// Buckets that share a home, as a power of two.
const BUCKETS: u32 = 3;
/// Somebody changes the group.
const LOCKED: u64 = 1;
/// What a version goes on by.
const STEP: u32 = 2;
/// Bytes of a key and its value, at least.
const LEAST: u64 = 16;
/// Groups that do not go on any more where they did, and not yet elsewhere.
const BETWEEN: u64 = 64;
/// How often somebody looks at a lock before it lets others run.
const SPINS: u32 = 64;

/// Groups of elements.
#[derive(Debug)]
pub(super) struct Groups {
    /// Homes, and behind them groups that go on.
    slab: Slab,
    homes: u32,
    /// Buckets of a home, as a power of two.
    home_bits: u32,
    buckets: u32,
    /// How many groups go on or did, and those that do not any more.
    more: AtomicU32,
    unused: Mutex<Vec<u32>>,
}

/// Where an element is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    group: u32,
    at: usize,
    pub(super) slot: u32,
}

/// What belongs to a home, to be changed by one.
pub(super) struct Home<'g> {
    groups: &'g Groups,
    number: u32,
    words: &'g Words,
    /// The first word, as it will be.
    first: u64,
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        self.words[0].store(self.first, Ordering::Release);
    }
}

/// The tag of a hash: what its bucket is in the home, and its highest bits.
#[inline(always)]
fn tag(hash: u32) -> u8 {
    0x80 | (hash << 4 & 0x70) as u8 | (hash >> 28) as u8
}

impl Groups {
    /// No elements, of which there may come so many; their memory may be as much as that of their values.
    pub(super) fn new(most: u32, memory: u64) -> Self {
        let buckets = most.next_power_of_two();
        let room = (memory / (WORDS as u64 * 8)).clamp(1, u64::from(u32::MAX)) as u32;
        let homes = (buckets >> BUCKETS).clamp(1, 1 << room.ilog2());
        // No more elements have room for their values than this.
        let most = u64::from(most).min(memory / LEAST);
        // A group goes on where a full one is before it; some more are between two homes for a moment.
        let records = u64::from(homes) + most / ELEMENTS as u64 + BETWEEN;
        Groups {
            slab: Slab::new(records, WORDS * 8, u64::MAX),
            homes,
            home_bits: (buckets / homes).ilog2(),
            buckets,
            more: AtomicU32::new(0),
            unused: Mutex::default(),
        }
    }

    /// How many buckets there are.
    pub(super) fn buckets(&self) -> u32 {
        self.buckets
    }

    /// The bucket of a hash.
    pub(super) fn bucket(&self, hash: u32) -> u32 {
        hash & (self.buckets - 1)
    }

    #[inline(always)]
    fn words(&self, group: u32) -> Option<&Words> {
        self.slab.words(group.into())?.first_chunk()
    }

    #[inline(always)]
    fn home(&self, hash: u32) -> u32 {
        hash >> self.home_bits & (self.homes - 1)
    }

    /// The slot of the element with this hash that `is` the right one. `is` may be asked about slots of any other elements.
    #[inline(always)]
    pub(super) fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let home = self.words(self.home(hash))?;
        let mut looks = 0;
        loop {
            let version = home[0].load(Ordering::Acquire);
            if version & LOCKED == 0 {
                let found = self.find_in(home, version, tag(hash), &is);
                if home[0].load(Ordering::Relaxed) == version {
                    return found;
                }
            }
            wait(&mut looks);
        }
    }

    #[inline(always)]
    fn find_in(&self, home: &Words, version: u64, tag: u8, is: &impl Fn(u32) -> bool) -> Option<u32> {
        for at in group::places(version, home, tag) {
            let slot = group::slot(home, at);
            if is(slot) {
                return Some(slot);
            }
        }
        match group::link(home) {
            0 => None,
            link => self.find_behind(link, tag, is),
        }
    }

    /// The same in groups that go on. If they are changed meanwhile, links may lead anywhere, but not for long: then the version
    /// of the home is another.
    #[cold]
    fn find_behind(&self, link: u32, tag: u8, is: &impl Fn(u32) -> bool) -> Option<u32> {
        let mut link = link;
        for _ in 0..=self.more.load(Ordering::Relaxed) {
            let words = self.words(self.homes + link.checked_sub(1)?)?;
            for at in group::places(words[0].load(Ordering::Acquire), words, tag) {
                let slot = group::slot(words, at);
                if is(slot) {
                    return Some(slot);
                }
            }
            link = group::link(words);
        }
        None
    }

    /// Lets `look` see the elements of a home, in their order, until it has seen them while nobody changed any.
    pub(super) fn look<R>(&self, home: u32, mut look: impl FnMut(&[Element]) -> R) -> Option<R> {
        let words = self.words(home)?;
        let mut elements = Vec::with_capacity(ELEMENTS);
        let mut looks = 0;
        loop {
            let version = words[0].load(Ordering::Acquire);
            if version & LOCKED == 0 {
                elements.clear();
                let group = Group::load(version, words);
                elements.extend(group.elements());
                let mut link = group.link;
                for _ in 0..=self.more.load(Ordering::Relaxed) {
                    let Some(words) = link.checked_sub(1).and_then(|more| self.words(self.homes + more))
                    else {
                        break;
                    };
                    let group = Group::load(words[0].load(Ordering::Acquire), words);
                    elements.extend(group.elements());
                    link = group.link;
                }
                let result = look(&elements);
                if words[0].load(Ordering::Relaxed) == version {
                    return Some(result);
                }
            }
            wait(&mut looks);
        }
    }

    /// The home of a bucket, and which of its buckets it is.
    pub(super) fn home_of(&self, bucket: u32) -> (u32, u32) {
        (bucket >> self.home_bits, bucket & ((1 << self.home_bits) - 1))
    }

    /// Which bucket of its home an element is in; `hash` is asked for its hash, if its tag does not say it.
    pub(super) fn bucket_of(&self, element: Element, hash: impl Fn(u32) -> u32) -> u32 {
        let low = if self.home_bits <= BUCKETS { u32::from(element.tag >> 4) } else { hash(element.slot) };
        low & ((1 << self.home_bits) - 1)
    }

    /// The first bucket at or after this one that has elements; `hash` is asked for their hashes.
    pub(super) fn next_bucket(&self, bucket: u64, hash: impl Fn(u32) -> u32) -> Option<u32> {
        if bucket >= u64::from(self.buckets) {
            return None;
        }
        let (first, mut least) = self.home_of(bucket as u32);
        for home in first..self.homes {
            let is_empty = self.words(home).is_none_or(|words| words[0].load(Ordering::Acquire) >> 32 == 0);
            if !is_empty {
                let next = |elements: &[Element]| {
                    let buckets = elements.iter().map(|&element| self.bucket_of(element, &hash));
                    buckets.filter(|&bucket| bucket >= least).min()
                };
                if let Some(bucket) = self.look(home, next).flatten() {
                    return Some((home << self.home_bits) + bucket);
                }
            }
            least = 0;
        }
        None
    }

    /// Waits until what belongs to a hash is this caller's to change.
    pub(super) fn lock(&self, hash: u32) -> Result<Home<'_>, Errno> {
        let number = self.home(hash);
        self.slab.touch(number.into())?;
        let words = self.words(number).ok_or(Errno::ENOMEM)?;
        let mut looks = 0;
        loop {
            let first = words[0].load(Ordering::Relaxed);
            let locked = first | LOCKED;
            if first != locked
                && words[0].compare_exchange_weak(first, locked, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                // Whoever looks at what changes now sees another version afterwards.
                let version = (first as u32).wrapping_add(STEP);
                return Ok(Home {
                    groups: self,
                    number,
                    words,
                    first: first >> 32 << 32 | u64::from(version),
                });
            }
            wait(&mut looks);
        }
    }

    /// A group that goes on, empty.
    fn another(&self) -> Result<u32, Errno> {
        let link = match self.unused.lock().pop() {
            Some(link) => link,
            None => self.more.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let group = self.homes + link - 1;
        let touched = self.slab.touch(group.into()).map(|_| ());
        match touched.and_then(|()| self.words(group).ok_or(Errno::ENOMEM)) {
            Ok(_) => Ok(link),
            Err(errno) => {
                self.unused.lock().push(link);
                Err(errno)
            }
        }
    }
}

impl Home<'_> {
    fn load(&self, number: u32) -> Group {
        if number == self.number {
            return Group::load(self.first, self.words);
        }
        let words = self.groups.words(number);
        words.map_or_else(Group::default, |words| Group::load(words[0].load(Ordering::Relaxed), words))
    }

    fn store(&mut self, number: u32, group: &Group) {
        if number == self.number {
            self.first = group.store(self.words) | u64::from(self.first as u32);
        } else if let Some(words) = self.groups.words(number) {
            words[0].store(group.store(words), Ordering::Release);
        }
    }

    fn linked(&self, link: u32) -> Option<u32> {
        link.checked_sub(1).map(|more| self.groups.homes + more)
    }

    /// The element with this hash that `is` the right one.
    pub(super) fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<Place> {
        let tag = tag(hash);
        let (mut group, mut words, mut first) = (self.number, self.words, self.first);
        loop {
            for at in group::places(first, words, tag) {
                let slot = group::slot(words, at);
                if is(slot) {
                    return Some(Place { group, at, slot });
                }
            }
            group = self.linked(group::link(words))?;
            words = self.groups.words(group)?;
            first = words[0].load(Ordering::Relaxed);
        }
    }

    /// Adds an element, which becomes the first.
    pub(super) fn insert(&mut self, hash: u32, slot: u32) -> Result<(), Errno> {
        let (mut number, mut group) = (self.number, self.load(self.number));
        if !group.is_full() {
            group.push_front(Element { tag: tag(hash), slot });
            self.store(number, &group);
            return Ok(());
        }
        // Nothing changes before there is a place for the one that is last.
        while let Some(next) = self.linked(group.link) {
            (number, group) = (next, self.load(next));
        }
        if group.is_full() {
            group.link = self.groups.another()?;
            self.store(number, &group);
        }
        let mut element = Element { tag: tag(hash), slot };
        let mut next = Some(self.number);
        while let Some(number) = next {
            let mut group = self.load(number);
            let last = group.push_front(element);
            self.store(number, &group);
            let Some(last) = last else { break };
            (element, next) = (last, self.linked(group.link));
        }
        Ok(())
    }

    /// Removes an element.
    pub(super) fn remove(&mut self, place: Place) {
        let (mut number, mut group) = (place.group, self.load(place.group));
        group.remove(place.at);
        // Groups stay full but for the last, and the last one is not empty.
        while let Some(next) = self.linked(group.link) {
            let mut rest = self.load(next);
            group.push_back(rest.remove(0));
            if rest.len() == 0 {
                let link = std::mem::take(&mut group.link);
                self.store(next, &Group::default());
                self.store(number, &group);
                self.groups.unused.lock().push(link);
                return;
            }
            self.store(number, &group);
            (number, group) = (next, rest);
        }
        self.store(number, &group);
    }

    /// Puts another slot in the place of an element's.
    pub(super) fn set_slot(&mut self, place: Place, slot: u32) {
        let mut group = self.load(place.group);
        group.set_slot(place.at, slot);
        self.store(place.group, &group);
    }

    /// The same, and the element becomes the first.
    pub(super) fn replace(&mut self, place: Place, slot: u32) {
        let mut number = self.number;
        let mut element = Element { tag: 0, slot };
        let mut group = self.load(place.group);
        element.tag = group.remove(place.at).tag;
        self.store(place.group, &group);
        loop {
            let mut group = self.load(number);
            let last = group.push_front(element);
            self.store(number, &group);
            let (Some(last), Some(next)) = (last, self.linked(group.link)) else { return };
            (element, number) = (last, next);
        }
    }
}

/// Lets some time pass.
#[cold]
fn wait(looks: &mut u32) {
    *looks += 1;
    match *looks % SPINS {
        0 => std::thread::yield_now(),
        _ => spin_loop(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The elements of all buckets, as Linux would have them.
    fn walk(groups: &Groups, hash: impl Fn(u32) -> u32) -> Vec<Vec<u32>> {
        let of = |bucket: u32| {
            let (home, inside) = groups.home_of(bucket);
            let slots = |elements: &[Element]| {
                let mine = elements.iter().filter(|&&element| groups.bucket_of(element, &hash) == inside);
                mine.map(|element| element.slot).collect::<Vec<u32>>()
            };
            groups.look(home, slots).unwrap_or_default()
        };
        (0..groups.buckets()).map(of).collect()
    }

    proptest! {
        /// Few hashes, so that many elements are in a home, and more than it holds.
        #[test]
        fn agrees_with_lists(
            most in prop_oneof![1u32..5, Just(16), Just(100)],
            memory in prop_oneof![Just(1u64 << 20), Just(200)],
            steps in prop::collection::vec((0u8..4, 0usize..200, 0u32..40), 0..300),
        ) {
            let groups = Groups::new(most, memory);
            let mut lists = vec![Vec::<(u32, u32)>::new(); groups.buckets() as usize];
            let mut count = 0;
            for (number, (what, at, hash)) in (0u32..).zip(steps) {
                let hash = hash & 0xf | hash >> 4 << 28;
                let bucket = groups.bucket(hash) as usize;
                let mut home = groups.lock(hash).unwrap();
                let some = (!lists[bucket].is_empty()).then(|| at % lists[bucket].len().max(1));
                match (what, some) {
                    (0 | 1, _) if count < most => {
                        home.insert(hash, number).unwrap();
                        lists[bucket].insert(0, (hash, number));
                        count += 1;
                    }
                    (2, Some(at)) => {
                        let (hash, slot) = lists[bucket].remove(at);
                        let place = home.find(hash, |other| other == slot).expect("it is there");
                        home.remove(place);
                        count -= 1;
                    }
                    (3, Some(at)) => {
                        let (hash, slot) = lists[bucket].remove(at);
                        let place = home.find(hash, |other| other == slot).expect("it is there");
                        home.replace(place, number);
                        lists[bucket].insert(0, (hash, number));
                    }
                    _ => {}
                }
                drop(home);
                let slots: Vec<Vec<u32>> = lists.iter().map(|list| list.iter().map(|&(_, slot)| slot).collect()).collect();
                let hash_of = |slot| lists.iter().flatten().find(|pair| pair.1 == slot).map_or(0, |pair| pair.0);
                prop_assert_eq!(walk(&groups, hash_of), slots);
                let next = lists.iter().position(|list| !list.is_empty()).map(|at| at as u32);
                prop_assert_eq!(groups.next_bucket(0, hash_of), next);
                for &(hash, slot) in lists.iter().flatten() {
                    prop_assert_eq!(groups.find(hash, |other| other == slot), Some(slot));
                }
                prop_assert_eq!(groups.find(hash, |_| false), None);
            }
        }
    }
}
