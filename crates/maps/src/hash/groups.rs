//! Where the elements of a hash table are: groups of places that readers look through without a lock.
//!
//! A place has a number, and that is the *slot* of the element there: the record with its key and its value. So the way from a
//! hash to a value is as short as it can be: a line with tags, which are few bytes for each element and mostly in the cache, and
//! the record. The first places of all groups come first, then the second ones: groups are not full, and what is used should lie
//! together. An element never moves, as programs have pointers to it; a new value of a key takes another place.
//!
//! Eight buckets, or more where memory is short, share a *home*, a [group](super::group). There are as many homes as keep them
//! full enough to be few and empty enough to be sufficient; where order is the kernel's, as many as its buckets need. Elements that find no place there
//! are in groups that go on from it, which few homes have. What belongs to a home is changed by who holds its lock: the lowest
//! bit of its version. A reader looks at the version first and last, and again if somebody changed something meanwhile. All
//! words are atomic, so what it reads in between may be old or new, and is nothing worse.

mod home;

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use zerocopy::FromZeros;

use super::group::{Group, PLACES, Words};
use crate::errno::Errno;
use crate::huge;
pub(super) use home::Home;

/// Buckets that share a home, as a power of two, where order is the kernel's.
const BUCKETS: u32 = 3;
/// Elements of a home of a full table elsewhere: of 40 homes one has more than places.
const ELEMENTS: u32 = 7;
/// Bits of a hash that are in its tag: the lowest.
const TAG_BITS: u32 = 7;
/// Somebody changes what belongs to the home.
pub(crate) const LOCKED: u64 = 1;
/// The group goes on in another one.
pub(crate) const LINKED: u64 = 2;
/// What a version goes on by.
const STEP: u32 = 4;
/// How often somebody looks at a lock before it lets others run.
const SPINS: u32 = 64;
/// So many elements find a place whatever hashes they have. Of more, hashes would have to be chosen with care for them not to.
const CERTAIN: u64 = 4096;

/// Groups of places.
#[derive(Debug)]
pub(super) struct Groups {
    /// Homes, and behind them groups that go on, two words each.
    words: Box<[AtomicU64]>,
    homes: u32,
    /// Buckets of a home, as a power of two.
    home_bits: u32,
    buckets: u32,
    /// How many groups there can be.
    count: u32,
    /// For each group, which one goes on from it, counted from 1.
    links: Box<[AtomicU32]>,
    /// For each group that goes on, from which home.
    owners: Box<[AtomicU32]>,
    /// How many groups go on or did, and those that do not any more.
    more: AtomicU32,
    unused: Mutex<Vec<u32>>,
}

/// What is looked for: who knows keys says whether a slot has the right one. It may be asked about any slots.
pub(super) trait Sought {
    fn is_in(&self, slot: u32) -> bool;
}

/// What one look tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glance {
    /// Where it is.
    Slot(u32),
    /// That there is none.
    Nothing,
    /// Nothing yet.
    Unsure,
}

/// An element: its tag and its slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    tag: u8,
    pub(super) slot: u32,
}

/// The tag of a hash: its lowest bits.
#[inline(always)]
fn tag(hash: u32) -> u8 {
    0x80 | hash as u8
}

impl Groups {
    /// Places for `most` elements, and some more, if so many slots have memory. Where they are `ordered`, buckets are the
    /// kernel's.
    pub(super) fn new(most: u32, slots: u64, ordered: bool) -> Result<Self, Errno> {
        let room = (slots / u64::from(PLACES)).clamp(1, u64::from(u32::MAX / PLACES));
        // Where there is not memory for all, a third is for groups that go on.
        let enough = (room * 2 / 3).max(1);
        let homes = match ordered {
            true => (most.next_power_of_two() >> BUCKETS).clamp(1, 1 << enough.ilog2()),
            false => most.div_ceil(ELEMENTS).clamp(1, enough as u32),
        };
        let home_bits = most.div_ceil(homes).next_power_of_two().ilog2();
        let spread = u64::from(homes / 2 + most / PLACES) + CERTAIN / u64::from(PLACES);
        let more = spread.max(CERTAIN).min(most.into());
        let count = (u64::from(homes) + more).min(room) as u32;
        let zeros =
            |len: u32| <[AtomicU32]>::new_box_zeroed_with_elems(len as usize).map_err(|_| Errno::ENOMEM);
        let words =
            <[AtomicU64]>::new_box_zeroed_with_elems(2 * count as usize).map_err(|_| Errno::ENOMEM)?;
        huge::advise(&words);
        Ok(Groups {
            words,
            homes,
            home_bits,
            // Fewer than twice as many as elements, of which there are no more than half of all numbers.
            buckets: homes << home_bits,
            count,
            links: zeros(count)?,
            owners: zeros(count - homes)?,
            more: AtomicU32::new(0),
            unused: Mutex::default(),
        })
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> u32 {
        self.count * PLACES
    }

    /// Where the groups are, where their links, how many homes, and how many groups.
    pub(super) fn homes(&self) -> (u64, u64, u32, u32) {
        (self.words.as_ptr() as u64, self.links.as_ptr() as u64, self.homes, self.count)
    }

    /// The slot of a place of a group.
    #[inline(always)]
    fn slot(&self, group: u32, at: u32) -> u32 {
        at * self.count + group
    }

    /// The group that a slot is of, and its place there.
    #[inline(always)]
    fn place_of(&self, slot: u32) -> (u32, u32) {
        (slot % self.count, slot / self.count)
    }

    /// How many buckets there are.
    pub(super) fn buckets(&self) -> u32 {
        self.buckets
    }

    /// What a table hashes by whose buckets the lowest bits of `number` tell: a hash's highest bits tell the home, and its lowest
    /// which of its buckets it is.
    #[inline(always)]
    pub(super) fn hash_of(&self, number: u32) -> u32 {
        let (bits, number) = (self.homes.trailing_zeros(), u64::from(number));
        let home = (number >> self.home_bits) & u64::from(self.homes - 1);
        let rest = number >> (bits + self.home_bits);
        ((home << (32 - bits)) | (rest << self.home_bits)) as u32 | self.inside(number as u32)
    }

    /// The bucket of a hash.
    pub(super) fn bucket(&self, hash: u32) -> u32 {
        self.home(hash) << self.home_bits | self.inside(hash)
    }

    /// Which bucket of its home a hash is in.
    #[inline(always)]
    fn inside(&self, hash: u32) -> u32 {
        hash & ((1 << self.home_bits) - 1)
    }

    #[inline(always)]
    fn home(&self, hash: u32) -> u32 {
        ((u64::from(hash) * u64::from(self.homes)) >> 32) as u32
    }

    #[inline(always)]
    fn words(&self, group: u32) -> Option<&Words> {
        self.words.get(2 * group as usize..)?.first_chunk()
    }

    /// The group that goes on from this one.
    fn next(&self, group: u32) -> Option<u32> {
        self.links.get(group as usize)?.load(Ordering::Acquire).checked_sub(1)
    }

    /// The slot of the element with this hash that is sought, as far as one look tells.
    #[inline(always)]
    pub(super) fn glance(&self, hash: u32, is_in: impl Fn(u32) -> Option<bool>) -> Glance {
        let number = self.home(hash);
        let Some(home) = self.words(number) else { return Glance::Unsure };
        let version = home[0].load(Ordering::Acquire);
        let mut found = Glance::Nothing;
        for at in Group::with(version, home).places(tag(hash)) {
            let slot = self.slot(number, at);
            match is_in(slot) {
                Some(true) => {
                    found = Glance::Slot(slot);
                    break;
                }
                Some(false) => {}
                None => return Glance::Unsure,
            }
        }
        let linked = if let Glance::Nothing = found { LINKED } else { 0 };
        match version & (LOCKED | linked) == 0 && home[0].load(Ordering::Relaxed) == version {
            true => found,
            false => Glance::Unsure,
        }
    }

    /// The same, as long as it takes: somebody may change something, and elements need not be at home.
    pub(super) fn find(&self, hash: u32, sought: &impl Sought) -> Option<u32> {
        self.steadily(hash, || self.find_now(hash, sought))?
    }

    /// The same, while somebody looks that nobody changes anything.
    pub(super) fn find_now(&self, hash: u32, sought: &impl Sought) -> Option<u32> {
        let number = self.home(hash);
        self.find_in(number, Group::load(self.words(number)?), tag(hash), sought)
    }

    #[inline(always)]
    fn find_in(&self, number: u32, group: Group, tag: u8, sought: &impl Sought) -> Option<u32> {
        for at in group.places(tag) {
            let slot = self.slot(number, at);
            if sought.is_in(slot) {
                return Some(slot);
            }
        }
        if group.first & LINKED == 0 { None } else { self.find_behind(number, tag, sought) }
    }

    /// The same in groups that go on. If they are changed meanwhile, links may lead anywhere, but not for long: then the version
    /// of the home is another.
    #[cold]
    fn find_behind(&self, home: u32, tag: u8, sought: &impl Sought) -> Option<u32> {
        let mut number = home;
        for _ in 0..=self.more.load(Ordering::Relaxed) {
            number = self.next(number)?;
            let group = Group::load(self.words(number)?);
            let mut slots = group.places(tag).map(|at| self.slot(number, at));
            if let Some(slot) = slots.find(|&slot| sought.is_in(slot)) {
                return Some(slot);
            }
        }
        None
    }

    /// Does something until it was done while nobody changed anything that belongs to a hash.
    pub(super) fn steadily<R>(&self, hash: u32, mut work: impl FnMut() -> R) -> Option<R> {
        let home = self.words(self.home(hash))?;
        let mut looks = 0;
        loop {
            let version = home[0].load(Ordering::Acquire);
            if version & LOCKED == 0 {
                let result = work();
                if home[0].load(Ordering::Relaxed) == version {
                    return Some(result);
                }
            }
            wait(&mut looks);
        }
    }

    /// Lets `look` see the elements of a home, until it has seen them while nobody changed any.
    pub(super) fn look<R>(&self, home: u32, mut look: impl FnMut(&[Element]) -> R) -> Option<R> {
        let words = self.words(home)?;
        let mut elements = Vec::with_capacity(PLACES as usize);
        let mut looks = 0;
        loop {
            let version = words[0].load(Ordering::Acquire);
            if version & LOCKED == 0 {
                elements.clear();
                let (mut number, mut group) = (home, Group::with(version, words));
                for _ in 0..=self.more.load(Ordering::Relaxed) {
                    let slots = (0..PLACES).map(|at| self.slot(number, at));
                    let tags = slots.zip(group.tags()).filter(|&(_, tag)| tag != 0);
                    elements.extend(tags.map(|(slot, tag)| Element { tag, slot }));
                    let Some(next) = self.next(number) else { break };
                    let Some(words) = self.words(next) else { break };
                    (number, group) = (next, Group::load(words));
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
        match self.home_bits <= TAG_BITS {
            true => self.inside(element.tag.into()),
            false => self.inside(hash(element.slot)),
        }
    }

    /// The first bucket at or after this one that has elements; `hash` is asked for their hashes.
    pub(super) fn next_bucket(&self, bucket: u64, hash: impl Fn(u32) -> u32) -> Option<u32> {
        if bucket >= u64::from(self.buckets) {
            return None;
        }
        let (first, mut least) = self.home_of(bucket as u32);
        for home in first..self.homes {
            let group = self.words(home).map(Group::load).unwrap_or_default();
            if !group.is_empty() || group.first & LINKED != 0 {
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
    #[inline]
    pub(super) fn lock(&self, hash: u32) -> Result<Home<'_>, Errno> {
        self.lock_home(self.home(hash))
    }

    /// The same for what belongs to the home of a slot; nothing if the slot is nobody's.
    pub(super) fn lock_slot(&self, slot: u32) -> Option<Home<'_>> {
        let (group, _) = self.place_of(slot);
        if group < self.homes {
            return self.lock_home(group).ok();
        }
        let owner = self.owners.get((group - self.homes) as usize)?.load(Ordering::Acquire);
        // It may be another's by now.
        self.lock_home(owner).ok().filter(|home| home.numbers().any(|number| number == group))
    }

    #[inline]
    fn lock_home(&self, number: u32) -> Result<Home<'_>, Errno> {
        let words = self.words(number).ok_or(Errno::ENOMEM)?;
        let mut looks = 0;
        loop {
            let first = words[0].load(Ordering::Relaxed) & !LOCKED;
            let locked =
                words[0].compare_exchange_weak(first, first | LOCKED, Ordering::Acquire, Ordering::Relaxed);
            if locked.is_ok() {
                let mut group = Group::with(first, words);
                // Whoever looks at what changes now sees another version afterwards.
                group.first = first >> 32 << 32 | u64::from((first as u32).wrapping_add(STEP));
                return Ok(Home { groups: self, number, words, group });
            }
            wait(&mut looks);
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
mod tests;
