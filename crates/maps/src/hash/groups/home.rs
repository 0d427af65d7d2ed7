//! What belongs to a home, while one changes it.

use super::*;

/// A place of the home itself, and its slot.
#[derive(Clone, Copy, Debug)]
pub(in crate::hash) struct Spot {
    at: u32,
    pub(in crate::hash) slot: u32,
}

/// What belongs to a home, to be changed by one.
pub(in crate::hash) struct Home<'g> {
    pub(super) groups: &'g Groups,
    pub(super) number: u32,
    pub(super) words: &'g Words,
    /// The home itself, as it will be.
    pub(super) group: Group,
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        self.words[0].store(self.group.first, Ordering::Release);
    }
}

impl Home<'_> {
    /// The groups that belong to it.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(self.number), |&number| self.groups.next(number))
    }

    fn group(&self, number: u32) -> Group {
        match number == self.number {
            true => self.group,
            false => self.groups.words(number).map(Group::load).unwrap_or_default(),
        }
    }

    fn set_group(&mut self, number: u32, group: Group) {
        if number == self.number {
            group.store_second(self.words);
            self.group = group;
        } else if let Some(words) = self.groups.words(number) {
            group.store(words);
        }
    }

    /// The slot of the element with this hash that is sought.
    #[inline(always)]
    pub(in crate::hash) fn find(&self, hash: u32, sought: &impl Sought) -> Option<u32> {
        self.groups.find_in(self.number, self.group, tag(hash), sought)
    }

    /// Where in the home itself the element with this hash is that is sought, or that there is none in all that belongs to it;
    /// `None` if that takes longer to tell.
    #[inline(always)]
    pub(in crate::hash) fn spot(
        &self,
        hash: u32,
        is_in: impl Fn(u32) -> Option<bool>,
    ) -> Option<Option<Spot>> {
        for at in self.group.places(tag(hash)) {
            let slot = self.groups.slot(self.number, at);
            if is_in(slot)? {
                return Some(Some(Spot { at, slot }));
            }
        }
        (self.group.first & LINKED == 0).then_some(None)
    }

    /// A free place of the home itself.
    #[inline(always)]
    pub(in crate::hash) fn free_spot(&self) -> Option<Spot> {
        let at = self.group.places(0).next()?;
        Some(Spot { at, slot: self.groups.slot(self.number, at) })
    }

    /// Puts an element with this hash into a place that is free, and frees that of another.
    #[inline(always)]
    pub(in crate::hash) fn exchange(&mut self, hash: u32, old: Option<Spot>, new: Spot) {
        self.group.set_tag(new.at, tag(hash));
        if let Some(old) = old {
            self.group.set_tag(old.at, 0);
        }
        self.group.store_second(self.words);
    }

    /// Whether there is an element in a slot.
    pub(in crate::hash) fn has(&self, slot: u32) -> bool {
        let (group, at) = self.groups.place_of(slot);
        self.group(group).tag(at) != 0
    }

    /// A free slot; `ENOMEM` if there is none.
    pub(in crate::hash) fn free(&mut self) -> Result<u32, Errno> {
        if let Some(at) = self.group.places(0).next() {
            return Ok(self.groups.slot(self.number, at));
        }
        let mut last = self.number;
        while let Some(number) = self.groups.next(last) {
            if let Some(at) = self.group(number).places(0).next() {
                return Ok(self.groups.slot(number, at));
            }
            last = number;
        }
        let number = self.another()?;
        self.set_link(last, number + 1);
        Ok(self.groups.slot(number, 0))
    }

    /// A group that goes on from here, but nothing leads to it yet.
    #[cold]
    fn another(&self) -> Result<u32, Errno> {
        let groups = self.groups;
        let more = groups.count - groups.homes;
        let fresh = |more_used: u32| (more_used < more).then_some(more_used + 1);
        let unused = groups.unused.lock().pop();
        let at = match unused {
            Some(at) => at,
            None => groups
                .more
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fresh)
                .map_err(|_| Errno::ENOMEM)?,
        };
        groups.owners[at as usize].store(self.number, Ordering::Release);
        Ok(groups.homes + at)
    }

    fn set_link(&mut self, from: u32, link: u32) {
        if let Some(to) = self.groups.links.get(from as usize) {
            to.store(link, Ordering::Release);
        }
        let mut group = self.group(from);
        group.first = group.first & !LINKED | if link == 0 { 0 } else { LINKED };
        self.set_group(from, group);
    }

    /// Puts an element with this hash into a slot that is free.
    pub(in crate::hash) fn add(&mut self, hash: u32, slot: u32) {
        let (number, at) = self.groups.place_of(slot);
        let mut group = self.group(number);
        group.set_tag(at, tag(hash));
        self.set_group(number, group);
    }

    /// Frees a slot.
    pub(in crate::hash) fn remove(&mut self, slot: u32) {
        let (number, at) = self.groups.place_of(slot);
        let mut group = self.group(number);
        group.set_tag(at, 0);
        self.set_group(number, group);
        if number != self.number && group.is_empty() {
            self.unlink(number);
        }
    }

    /// Lets a group that has no elements any more go on somewhere else.
    #[cold]
    fn unlink(&mut self, number: u32) {
        let before = self.numbers().find(|&before| self.groups.next(before) == Some(number));
        let Some(before) = before else { return };
        let after = self.groups.next(number).map_or(0, |after| after + 1);
        self.set_link(before, after);
        self.set_link(number, 0);
        self.groups.unused.lock().push(number - self.groups.homes);
    }
}
