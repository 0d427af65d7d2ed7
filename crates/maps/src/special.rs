//! Operations of one type of map each: rings, storages, stacks, events, walks.
//!
//! They are methods of [`Map`] that answer `EINVAL` (or nothing) on any other type.

use crate::MapType;
use crate::body::Body;
use crate::errno::Errno;
use crate::flags::{LOCAL_STORAGE_GET_F_CREATE, RB_FORCE_WAKEUP, RB_NO_WAKEUP};
use crate::map::Map;
use crate::perf::PerfRecord;
use crate::ring::{Consuming, Ring, RingQuery};

/// Elements in the order in which `bpf_for_each_map_elem` visits them.
#[derive(Debug)]
pub struct Elements<'m> {
    map: &'m Map,
    cpu: u32,
    /// The next bucket, or the next index.
    next: u64,
    /// What is left of the bucket.
    bucket: std::vec::IntoIter<(Vec<u8>, u32, ())>,
}

impl Iterator for Elements<'_> {
    type Item = (Vec<u8>, u64);

    fn next(&mut self) -> Option<(Vec<u8>, u64)> {
        match &self.map.body {
            Body::Array(_) => {
                let index = u32::try_from(self.next).ok().filter(|&i| i < self.map.spec().max_entries)?;
                self.next += 1;
                let key = index.to_ne_bytes();
                Some((key.to_vec(), self.map.lookup(&key, self.cpu)?))
            }
            Body::Hash(hash) => loop {
                for (key, slot, ()) in self.bucket.by_ref() {
                    // An element that went meanwhile is not visited.
                    if hash.lookup(&key, false) == Some(slot) {
                        let copies = hash.values.copies();
                        return Some((key, hash.values.offset(slot.into(), self.cpu % copies)));
                    }
                }
                let bucket = hash.next_bucket(self.next)?;
                self.next = u64::from(bucket) + 1;
                self.bucket = hash.bucket(bucket, |_| ()).into_iter();
            },
            _ => None,
        }
    }
}

impl Map {
    /// Walks arrays and hashes as `bpf_for_each_map_elem` does: keys and offsets of values.
    pub fn elements(&self, cpu: u32) -> Elements<'_> {
        Elements { map: self, cpu, next: 0, bucket: Vec::new().into_iter() }
    }

    fn ring(&self) -> Result<&Ring, Errno> {
        match &self.body {
            Body::Ring(ring) => Ok(ring),
            _ => Err(Errno::EINVAL),
        }
    }

    fn user_ring(&self) -> Result<&Ring, Errno> {
        match &self.body {
            Body::UserRing(ring) => Ok(ring),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `bpf_ringbuf_reserve`: the offset of room for a record. The room may wrap around the end of the
    /// buffer; [`Map::bytes`] continues there at higher offsets.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Map, MapSpec, MapType};
    /// let ring = Map::create(MapSpec::new(MapType::Ringbuf, 0, 0, 4096), &Environment::default())?;
    /// let record = ring.ring_reserve(8, 0).expect("there is room");
    /// ring.store(record, 8, 42);
    /// assert_eq!(ring.ring_consume(|_| ()), Ok(0), "it is being written");
    /// ring.ring_submit(record, 0)?;
    /// let mut records = Vec::new();
    /// ring.ring_consume(|record| records.push(record.to_vec()))?;
    /// assert_eq!(records, [[42, 0, 0, 0, 0, 0, 0, 0]]);
    /// # Ok::<(), sandbpf_maps::Errno>(())
    /// ```
    pub fn ring_reserve(&self, size: u64, flags: u64) -> Option<u64> {
        let ring = self.ring().ok().filter(|_| flags == 0)?;
        ring.reserve(size)
    }

    /// The size of the reserved record at `offset`, if there is one.
    pub fn ring_reserved(&self, offset: u64) -> Option<u32> {
        self.ring().ok()?.reserved(offset)
    }

    /// `bpf_ringbuf_submit`.
    pub fn ring_submit(&self, offset: u64, flags: u64) -> Result<(), Errno> {
        self.ring()?.commit(offset, flags, false)
    }

    /// `bpf_ringbuf_discard`.
    pub fn ring_discard(&self, offset: u64, flags: u64) -> Result<(), Errno> {
        self.ring()?.commit(offset, flags, true)
    }

    /// `bpf_ringbuf_output`.
    pub fn ring_output(&self, data: &[u8], flags: u64) -> Result<(), Errno> {
        if flags & !(RB_NO_WAKEUP | RB_FORCE_WAKEUP) != 0 {
            return Err(Errno::EINVAL);
        }
        let ring = self.ring()?;
        let offset = ring.reserve(data.len() as u64).ok_or(Errno::EAGAIN)?;
        ring.write(offset, data);
        ring.commit(offset, flags, false)
    }

    /// `bpf_ringbuf_query`; on a user ring, what its user can see.
    pub fn ring_query(&self, query: RingQuery) -> Result<u64, Errno> {
        self.ring().or_else(|_| self.user_ring()).map(|ring| ring.query(query))
    }

    /// How often a consumer that waits would have been woken.
    pub fn ring_wakeups(&self) -> Result<u32, Errno> {
        self.ring().or_else(|_| self.user_ring()).map(Ring::wakeups)
    }

    /// Hands every finished record to `consumer` and gives its room back; how many there were.
    /// `EBUSY` if another thread is at it.
    pub fn ring_consume(&self, mut consumer: impl FnMut(&[u8])) -> Result<u64, Errno> {
        let ring = self.ring()?;
        let consuming = ring.begin()?;
        let (mut count, mut record) = (0, Vec::new());
        while let Some((offset, size)) = consuming.next() {
            record.resize(size as usize, 0);
            ring.read(offset, &mut record);
            consumer(&record);
            consuming.release(size);
            count += 1;
        }
        Ok(count)
    }

    /// The user's side of a user ring: room for a sample; `ENOSPC` if there is none now, `E2BIG` if
    /// there will never be.
    pub fn user_ring_reserve(&self, size: u32) -> Result<u64, Errno> {
        self.user_ring()?.user_reserve(size)
    }

    /// The sample at `offset` is complete, or to be skipped.
    pub fn user_ring_commit(&self, offset: u64, discard: bool) -> Result<(), Errno> {
        self.user_ring()?.commit(offset, RB_NO_WAKEUP, discard)
    }

    /// Puts a whole sample into a user ring.
    pub fn user_ring_output(&self, data: &[u8]) -> Result<(), Errno> {
        let size = u32::try_from(data.len()).map_err(|_| Errno::E2BIG)?;
        let offset = self.user_ring_reserve(size)?;
        self.user_ring()?.write(offset, data);
        self.user_ring_commit(offset, false)
    }

    /// Says where the samples of a user ring end, whatever stands there: users map the page with the position, so programs
    /// must bear any.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Errno, Map, MapSpec, MapType};
    /// let ring = Map::create(MapSpec::new(MapType::UserRingbuf, 0, 0, 4096), &Environment::default())?;
    /// ring.user_ring_set_producer(4)?;
    /// assert_eq!(ring.user_ring_drain()?.peek(), Err(Errno::EINVAL), "no multiple of 8");
    /// # Ok::<(), sandbpf_maps::Errno>(())
    /// ```
    pub fn user_ring_set_producer(&self, position: u64) -> Result<(), Errno> {
        self.user_ring().map(|ring| ring.set_producer(position))
    }

    /// `bpf_user_ringbuf_drain`: takes samples one by one; `EBUSY` if somebody else does.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Errno, Map, MapSpec, MapType};
    /// let ring = Map::create(MapSpec::new(MapType::UserRingbuf, 0, 0, 4096), &Environment::default())?;
    /// ring.user_ring_output(&[1, 2, 3])?;
    /// let drain = ring.user_ring_drain()?;
    /// let (offset, size) = drain.peek()?;
    /// assert_eq!((ring.load(offset, 3), size), (Some(0x030201), 3));
    /// drain.release(size);
    /// assert_eq!(drain.peek(), Err(Errno::ENODATA));
    /// # Ok::<(), sandbpf_maps::Errno>(())
    /// ```
    pub fn user_ring_drain(&self) -> Result<Drain<'_>, Errno> {
        self.user_ring()?.begin().map(Drain)
    }

    /// `bpf_spin_lock` on the lock at `offset`: a word that is 1 while somebody has it. `false` if somebody
    /// does; `bpf(2)` with `BPF_F_LOCK` waits for the same word.
    pub fn try_lock(&self, offset: u64) -> bool {
        self.bytes(offset).is_some_and(|(bytes, at, left)| left >= 4 && bytes.update(at, 4, |_| 1) == Some(0))
    }

    /// `bpf_spin_unlock`.
    pub fn unlock(&self, offset: u64) {
        if let Some((bytes, at, 4..)) = self.bytes(offset) {
            let _ = bytes.store(at, 4, 0);
        }
    }

    /// `bpf_sk_storage_get` and its like: the offset of the owner's value; with
    /// `BPF_LOCAL_STORAGE_GET_F_CREATE` it is created, from `value` or as zeros. The owner is an opaque
    /// key; for storages of attachments it is the key of the attachment, and who attaches creates it.
    pub fn storage_get(&self, owner: &[u8], value: Option<&[u8]>, flags: u64, cpu: u32) -> Option<u64> {
        let Body::Storage(storage) = &self.body else { return None };
        if flags & !LOCAL_STORAGE_GET_F_CREATE != 0 {
            return None;
        }
        let fits = value.is_none_or(|value| value.len() == self.spec().value_size as usize);
        let slot = match flags & LOCAL_STORAGE_GET_F_CREATE != 0 && fits {
            true => storage.create(owner, value).ok()?,
            false => storage.lookup(owner)?,
        };
        Some(storage.values.offset(slot.into(), cpu % storage.values.copies()))
    }

    /// `bpf_sk_storage_delete` and its like, and what happens when the owner goes.
    pub fn storage_delete(&self, owner: &[u8]) -> Result<(), Errno> {
        match &self.body {
            Body::Storage(storage) => storage.delete(owner),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `bpf_get_stackid` after somebody collected the stack: entries of 8 bytes, or 32 with build ids.
    pub fn stack_insert(&self, entries: &[u8], flags: u64) -> Result<u32, Errno> {
        match &self.body {
            Body::Stacks(stacks) => stacks.insert(entries, flags),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `bpf_perf_event_output`: `index` is the CPU whose buffer is meant, or `u32::MAX` for this one.
    pub fn perf_output(&self, index: u32, cpu: u32, data: &[u8]) -> Result<(), Errno> {
        let Body::Perf(buffers, records) = &self.body else { return Err(Errno::EINVAL) };
        let index = if index == u32::MAX { cpu } else { index };
        if index >= buffers.len() {
            return Err(Errno::E2BIG);
        }
        buffers.get(index).ok_or(Errno::ENOENT)?;
        if index != cpu {
            return Err(Errno::EOPNOTSUPP);
        }
        records.push(cpu, data)
    }

    /// Takes out what programs wrote, and how many records were lost since the last time.
    pub fn perf_take(&self) -> Result<(Vec<PerfRecord>, u64), Errno> {
        match &self.body {
            Body::Perf(_, records) => Ok(records.take()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether elements of this type of map can be walked by programs.
    pub fn can_be_walked(&self) -> bool {
        use MapType::*;
        matches!(self.map_type(), Hash | PercpuHash | LruHash | LruPercpuHash | Array | PercpuArray)
    }
}

/// The right to take samples out of a user ring.
#[derive(Debug)]
pub struct Drain<'m>(Consuming<'m>);

impl Drain<'_> {
    /// The next sample, its offset and size: `EAGAIN` for one that was skipped, `ENODATA` if there is
    /// none, other numbers if the user wrote nonsense.
    pub fn peek(&self) -> Result<(u64, u32), Errno> {
        self.0.peek_user()
    }

    /// Ends: with the helper's flags, and how many samples it looked at, who waits for room is woken or not.
    pub fn finish(self, flags: u64, samples: u32) {
        self.0.drained(flags, samples);
    }

    /// Gives the sample's room back.
    pub fn release(&self, size: u32) {
        self.0.release(size);
    }
}
