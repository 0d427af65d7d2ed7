//! Walks through hash tables: key by key, and bucket by bucket.

use super::*;

impl Hash {
    /// The key after this one; the first, if there is no such element.
    pub(crate) fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let mut bucket = 0;
        if let Some((key, hash)) = key.and_then(|key| Some((key, self.hash(key)?))) {
            let (home, inside) = self.groups.home_of(self.groups.bucket(hash));
            let after = self.groups.look(home, |elements| {
                let elements = self.in_bucket(elements, inside);
                let at = elements.iter().position(|&slot| self.sought(key).is_in(slot))?;
                Some(elements.get(at + 1).map(|&next| self.key(next)))
            });
            match after.flatten() {
                Some(Some(key)) => return Ok(key),
                Some(None) => bucket = u64::from(self.groups.bucket(hash)) + 1,
                None => {}
            }
        }
        loop {
            let found = self.next_bucket(bucket).ok_or(Errno::ENOENT)?;
            if let Some((key, ..)) = self.bucket(found, |_| ()).into_iter().next() {
                return Ok(key);
            }
            // Somebody emptied it meanwhile.
            bucket = u64::from(found) + 1;
        }
    }

    /// The first bucket at or after this one that has elements.
    pub(crate) fn next_bucket(&self, bucket: u64) -> Option<u32> {
        self.groups.next_bucket(bucket, |slot| self.hash(&self.key(slot)).unwrap_or_default())
    }

    /// The keys and slots of a bucket, in order, and what `value` makes of each while nobody changes any.
    pub(crate) fn bucket<V>(&self, bucket: u32, mut value: impl FnMut(u32) -> V) -> Vec<(Vec<u8>, u32, V)> {
        let (home, inside) = self.groups.home_of(bucket);
        let all = self.groups.look(home, |elements| {
            let mine = self.in_bucket(elements, inside).into_iter();
            mine.map(|slot| (self.key(slot), slot, value(slot))).collect()
        });
        all.unwrap_or_default()
    }

    /// Those elements of a home that are in one of its buckets: the newest first, where order is the kernel's.
    pub(super) fn in_bucket(&self, elements: &[Element], bucket: u32) -> Vec<u32> {
        let hash = |slot| self.hash(&self.key(slot)).unwrap_or_default();
        let mine = elements.iter().filter(|&&element| self.groups.bucket_of(element, hash) == bucket);
        let mut slots: Vec<u32> = mine.map(|element| element.slot).collect();
        if let Some(at) = self.number_at {
            let number = |slot| Some(self.values.head(slot)?.get(at)?.load(Ordering::Acquire));
            slots.sort_by_cached_key(|&slot| Reverse(number(slot)));
        }
        slots
    }
}
