//! Updates: an element gets a value, and is made if there is none.

use super::*;

/// What an update asks for.
#[derive(Clone, Copy)]
struct Change<'c> {
    key: &'c [u8],
    hash: u32,
    from: Source<'c>,
    flags: u64,
    /// Whose copy of the value it is.
    cpu: u32,
}

impl Hash {
    /// Inserts or replaces an element and returns its slot.
    pub(crate) fn update(&self, key: &[u8], from: Source<'_>, flags: u64, cpu: u32) -> Result<u32, Errno> {
        if let Some(done) = self.update_at_home(key, from, flags) {
            return done;
        }
        self.update_anywhere(key, from, flags, cpu)
    }

    /// The same where it is quick; `None` if nothing was done because it is not.
    #[inline]
    fn update_at_home(&self, key: &[u8], from: Source<'_>, flags: u64) -> Option<Result<u32, Errno>> {
        let Source::One(value) = from else { return None };
        by_size!(self.update_sized(key, value, flags), None)
    }

    /// The same for a key whose size the compiler knows. As everywhere, the new value is in a slot before the old one's is free;
    /// readers see both happen at once.
    #[inline(never)]
    fn update_sized<const SIZE: usize, const WORDS: usize>(
        &self,
        key: &[u8; SIZE],
        value: &[u8],
        flags: u64,
    ) -> Option<Result<u32, Errno>> {
        let (Hashing::Folding(secrets), Keeper::Room(room)) = (self.shape.hashing, &self.keeper) else {
            return None;
        };
        if self.shape.in_place || self.key_size() != SIZE || flags > EXIST || !self.values.is_whole(value) {
            return None;
        }
        let (hash, words): (u32, [u64; WORDS]) = (fold::hash(key, secrets) as u32, words_of(key));
        let mut home = self.groups.lock(hash).ok()?;
        let old = home.spot(hash, |slot| self.has_words(slot, &words))?;
        if let Err(errno) = allowed(old.is_some(), flags) {
            return Some(Err(errno));
        }
        let new = home.free_spot()?;
        let (head, rest) = self.values.near_record::<WORDS>(new.slot)?;
        if old.is_none() && !room.take() {
            return Some(Err(Errno::E2BIG));
        }
        let (whole, odd) = value.as_chunks::<8>();
        for (word, part) in rest.iter().zip(whole) {
            word.store(u64::from_le_bytes(*part), Ordering::Release);
        }
        if let (false, Some(word)) = (odd.is_empty(), rest.get(whole.len())) {
            // Padding is zeros.
            word.store(fold::word(odd), Ordering::Release);
        }
        for (word, part) in head.iter().zip(words) {
            word.store(part, Ordering::Release);
        }
        home.exchange(hash, old, new);
        Some(Ok(new.slot))
    }

    fn update_anywhere(&self, key: &[u8], from: Source<'_>, flags: u64, cpu: u32) -> Result<u32, Errno> {
        let cpu = cpu % self.shape.cpus;
        let hash = self.hash(key).ok_or(Errno::EINVAL)?;
        if let (Source::One(bytes), true) = (from, flags & F_LOCK != 0)
            && let Some(slot) = self.find(hash, key)
        {
            // Nobody waits for a value's lock who keeps others from a bucket.
            allowed(true, flags)?;
            return self.values.put(slot.into(), 0, bytes, true).map(|()| slot);
        }
        let change = Change { key, hash, from, flags, cpu };
        match &self.keeper {
            Keeper::Room(room) => self.update_plain(room, change),
            Keeper::Lru(lru) => self.update_lru(lru, change),
        }
    }

    fn update_plain(&self, room: &Room, change: Change<'_>) -> Result<u32, Errno> {
        let Change { key, hash, from, flags, cpu } = change;
        let mut home = self.groups.lock(hash)?;
        let old = home.find(hash, &self.sought(key));
        allowed(old.is_some(), flags)?;
        let Some(old) = old else {
            if !room.take() {
                return Err(Errno::E2BIG);
            }
            return self.insert(&mut home, change, None).inspect_err(|_| room.give());
        };
        if self.shape.in_place {
            return self.write(old, from, cpu, false).map(|()| old);
        }
        if flags & F_LOCK != 0 {
            // Somebody was quicker: it has a lock now.
            drop(home);
            return self.update(key, from, flags, cpu);
        }
        let new = match self.insert(&mut home, change, None) {
            Ok(new) => new,
            // Better where it is than not at all.
            Err(_) => return self.write(old, from, cpu, false).map(|()| old),
        };
        home.remove(old);
        self.values.clear_fields(old.into());
        Ok(new)
    }

    /// Puts an element where nobody else is; `node` is its place in the lists.
    fn insert(
        &self,
        home: &mut Home<'_>,
        Change { key, hash, from, cpu, .. }: Change<'_>,
        node: Option<u32>,
    ) -> Result<u32, Errno> {
        let slot = home.free()?;
        self.write(slot, from, cpu, true)?;
        let words = self.values.head(slot).ok_or(Errno::ENOMEM)?;
        for (word, part) in words.iter().zip(key.chunks(8)) {
            word.store(fold::word(part), Ordering::Release);
        }
        if let Some(word) = self.number_at.and_then(|at| words.get(at)) {
            word.store(self.next.fetch_add(1, Ordering::Relaxed), Ordering::Release);
        }
        if let (Some(node), Some(word)) = (node, words.get(self.node_at)) {
            word.store(node.into(), Ordering::Release);
        }
        home.add(hash, slot);
        Ok(slot)
    }

    /// Room is made before the bucket is locked, because that may evict from any bucket.
    fn update_lru(&self, lru: &Lru, change: Change<'_>) -> Result<u32, Errno> {
        let Change { key, hash, from, flags, cpu } = change;
        let mut new = None;
        if !(self.shape.in_place && flags == EXIST) {
            new = Some(lru.pop(cpu, &|node, slot| self.evict(lru, node, slot)).ok_or(Errno::ENOMEM)?);
        }
        let done = self.groups.lock(hash).and_then(|mut home| {
            let old = home.find(hash, &self.sought(key));
            allowed(old.is_some(), flags)?;
            match (old, new) {
                (Some(old), _) if self.shape.in_place => {
                    lru.mark(old);
                    self.write(old, from, cpu, false).map(|()| (old, new))
                }
                (Some(old), Some(node)) => {
                    let slot = self.insert(&mut home, change, new)?;
                    lru.put(node, slot);
                    lru.mark(slot);
                    home.remove(old);
                    Ok((slot, self.node(lru, old)))
                }
                (None, Some(node)) => {
                    let slot = self.insert(&mut home, change, new)?;
                    lru.put(node, slot);
                    Ok((slot, None))
                }
                (_, None) => Err(Errno::ENOENT),
            }
        });
        match done {
            Ok((slot, unused)) => {
                unused.into_iter().for_each(|node| lru.push(node));
                Ok(slot)
            }
            Err(errno) => {
                new.into_iter().for_each(|node| lru.push(node));
                Err(errno)
            }
        }
    }

    /// The node of an element that was removed, which has none from now on.
    pub(super) fn node(&self, lru: &Lru, slot: u32) -> Option<u32> {
        self.values.clear_fields(slot.into());
        let node = self.values.head(slot)?.get(self.node_at)?.load(Ordering::Acquire) as u32;
        lru.take(node);
        Some(node)
    }

    /// Removes the element of this node, which was last in this slot, for the lists.
    fn evict(&self, lru: &Lru, node: u32, slot: u32) -> bool {
        let Some(mut home) = self.groups.lock_slot(slot) else { return false };
        let words = self.values.head(slot).unwrap_or_default();
        let is_there =
            words.get(self.node_at).is_some_and(|word| word.load(Ordering::Acquire) == node.into());
        if !(is_there && home.has(slot)) {
            return false;
        }
        home.remove(slot);
        self.node(lru, slot);
        true
    }

    fn write(&self, slot: u32, from: Source<'_>, cpu: u32, new: bool) -> Result<(), Errno> {
        match from {
            Source::All(bytes) => self.values.write_copies(slot.into(), bytes),
            Source::One(bytes) => {
                let copies = self.values.copies();
                let copy = if copies == 1 { 0 } else { cpu };
                if new {
                    (0..copies)
                        .filter(|&other| other != copy)
                        .try_for_each(|other| self.values.clear(slot.into(), other))?;
                }
                self.values.write(slot.into(), copy, bytes)
            }
        }
    }
}

/// `check_flags`.
fn allowed(exists: bool, flags: u64) -> Result<(), Errno> {
    match flags & !F_LOCK {
        NOEXIST if exists => Err(Errno::EEXIST),
        EXIST if !exists => Err(Errno::ENOENT),
        _ => Ok(()),
    }
}
