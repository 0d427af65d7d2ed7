//! Batches of `bpf(2)`: many elements in one call.
//!
//! Arrays and tries are walked key by key, hash tables bucket by bucket: a batch of a hash table never
//! cuts a bucket in two, and where it goes on is the number of a bucket.

use crate::MapType;
use crate::body::Body;
use crate::errno::Errno;
use crate::flags::F_LOCK;
use crate::map::index;
use crate::user::User;

/// What a batch of lookups brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Keys and values.
    pub elements: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the next batch starts.
    pub next: Option<Vec<u8>>,
    /// Why it ended before as many as were asked for: `ENOENT` at the end of the map.
    pub end: Option<Errno>,
}

/// How far a batch of changes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Elements that were changed.
    pub count: usize,
    /// Why it ended early.
    pub end: Option<Errno>,
}

impl User<'_> {
    /// `BPF_MAP_LOOKUP_BATCH`: up to `count` elements after `from`.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Errno, Map, MapSpec, MapType};
    /// let map = Map::create(MapSpec::new(MapType::Array, 4, 4, 3), &Environment::default())?;
    /// let first = map.user().lookup_batch(None, 2, 0)?;
    /// assert_eq!((first.elements.len(), first.end), (2, None));
    /// let rest = map.user().lookup_batch(first.next.as_deref(), 2, 0)?;
    /// assert_eq!((rest.elements.len(), rest.end), (1, Some(Errno::ENOENT)));
    /// # Ok::<(), Errno>(())
    /// ```
    pub fn lookup_batch(&self, from: Option<&[u8]>, count: u32, flags: u64) -> Result<Batch, Errno> {
        use MapType::*;
        self.may_read()?;
        match self.map().map_type() {
            Hash | LruHash | PercpuHash | LruPercpuHash | HashOfMaps => {
                self.bucket_batch(from, count, flags, false)
            }
            Array | PercpuArray | ArrayOfMaps | LpmTrie => {
                self.check_batch_flags(flags)?;
                self.key_batch(from, count)
            }
            _ => Err(Errno::ENOTSUPP),
        }
    }

    /// `BPF_MAP_LOOKUP_AND_DELETE_BATCH`, for hash tables.
    pub fn lookup_and_delete_batch(
        &self,
        from: Option<&[u8]>,
        count: u32,
        flags: u64,
    ) -> Result<Batch, Errno> {
        use MapType::*;
        self.may_read()?;
        self.may_write()?;
        match self.map().map_type() {
            Hash | LruHash | PercpuHash | LruPercpuHash | HashOfMaps => {
                self.bucket_batch(from, count, flags, true)
            }
            _ => Err(Errno::ENOTSUPP),
        }
    }

    /// `BPF_MAP_UPDATE_BATCH`.
    pub fn update_batch(&self, elements: &[(&[u8], &[u8])], flags: u64) -> Result<Changed, Errno> {
        use MapType::*;
        self.may_write()?;
        match self.map().map_type() {
            Hash | LruHash | PercpuHash | LruPercpuHash | HashOfMaps | Array | PercpuArray | ArrayOfMaps
            | LpmTrie => {
                self.check_batch_flags(flags)?;
                Ok(changed(elements.iter().map(|&(key, value)| self.update(key, value, flags))))
            }
            _ => Err(Errno::ENOTSUPP),
        }
    }

    /// `BPF_MAP_DELETE_BATCH`.
    pub fn delete_batch(&self, keys: &[&[u8]], flags: u64) -> Result<Changed, Errno> {
        use MapType::*;
        self.may_write()?;
        match self.map().map_type() {
            Hash | LruHash | PercpuHash | LruPercpuHash | HashOfMaps | LpmTrie => {
                self.check_batch_flags(flags)?;
                Ok(changed(keys.iter().map(|key| self.delete(key))))
            }
            _ => Err(Errno::ENOTSUPP),
        }
    }

    fn check_batch_flags(&self, flags: u64) -> Result<(), Errno> {
        if flags & !F_LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        self.check_lock(flags)
    }

    fn key_batch(&self, from: Option<&[u8]>, count: u32) -> Result<Batch, Errno> {
        let mut batch = Batch::default();
        let mut at = from.map(<[u8]>::to_vec);
        while batch.elements.len() < count as usize {
            let key = match self.key_after(at.as_deref()) {
                Ok(key) => self.skip_absent(key),
                Err(errno) => {
                    batch.end = Some(errno);
                    break;
                }
            };
            let mut value = vec![0; self.value_size()];
            match self.copy(&key, &mut value) {
                Ok(()) => batch.elements.push((key.clone(), value)),
                // An element that went meanwhile, or was never there.
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
            at = Some(key);
        }
        batch.next = at;
        Ok(batch)
    }

    /// Where nothing stands a batch has nothing to say; the walk goes on at the next thing or at the end.
    fn skip_absent(&self, key: Vec<u8>) -> Vec<u8> {
        let (Body::Objects(objects), Some(at)) = (&self.map().body, index(&key)) else { return key };
        let next = objects.next_present(at).unwrap_or(objects.len() - 1);
        next.to_ne_bytes().to_vec()
    }

    fn bucket_batch(
        &self,
        from: Option<&[u8]>,
        count: u32,
        flags: u64,
        delete: bool,
    ) -> Result<Batch, Errno> {
        self.check_batch_flags(flags)?;
        if count == 0 {
            return Ok(Batch::default());
        }
        let (hash, objects) = match &self.map().body {
            Body::Hash(hash) => (hash, None),
            Body::ObjectHash(objects) => (&objects.hash, Some(objects)),
            _ => return Err(Errno::ENOTSUPP),
        };
        let start = from.and_then(index).unwrap_or_default();
        if start >= hash.buckets() {
            return Err(Errno::ENOENT);
        }
        let mut batch = Batch::default();
        let mut at = u64::from(start);
        while let Some(bucket) = hash.next_bucket(at) {
            let elements = hash.bucket(bucket, |slot| {
                let mut value = vec![0; self.value_size()];
                match objects {
                    // Their bytes are not their values'.
                    Some(_) => {}
                    None if self.map().map_type().is_per_cpu() => {
                        hash.values.read_copies(slot.into(), &mut value)
                    }
                    None => hash.values.read(slot.into(), 0, &mut value),
                }
                value
            });
            if elements.len() > count as usize - batch.elements.len() {
                batch.end = batch.elements.is_empty().then_some(Errno::ENOSPC);
                batch.next = Some(bucket.to_ne_bytes().to_vec());
                return Ok(batch);
            }
            for (key, slot, mut value) in elements {
                match objects {
                    Some(objects) => {
                        let Some(object) = objects.get_slot(slot) else { continue };
                        value.copy_from_slice(&object.to_bytes()[..4]);
                        if delete && objects.remove(&key).is_err() {
                            continue;
                        }
                    }
                    None if delete => match self.lookup_and_delete(&key, flags) {
                        Ok(taken) => value = taken,
                        Err(_) => continue,
                    },
                    None => {}
                }
                batch.elements.push((key, value));
            }
            at = u64::from(bucket) + 1;
        }
        batch.end = Some(Errno::ENOENT);
        batch.next = Some(hash.buckets().to_ne_bytes().to_vec());
        Ok(batch)
    }
}

fn changed(results: impl Iterator<Item = Result<(), Errno>>) -> Changed {
    let mut count = 0;
    for result in results {
        match result {
            Ok(()) => count += 1,
            Err(errno) => return Changed { count, end: Some(errno) },
        }
    }
    Changed { count, end: None }
}
