//! Views of bytes that are no elements of a table: of owners, of stacks, of arenas.

use super::*;
use crate::spec::PAGE_SIZE;

views! {
    /// Bytes that belong to sockets, inodes, tasks or control groups, named as programs name them.
    ///
    /// ```
    /// use sandbpf_maps::{BtfSizes, Environment, Map, MapSpec, MapType, flags, typed::{Storage, View}};
    /// let mut spec = MapSpec::new(MapType::TaskStorage, 4, 8, 0).with_flags(flags::NO_PREALLOC);
    /// spec.btf = Some(BtfSizes { key: Some(4), value: 8 });
    /// let starts = Storage::<u64>::of(Map::create(spec, &Environment::default())?, "starts")?;
    /// starts.insert(7, 1000)?;
    /// assert_eq!((starts.get(7)?, starts.get(8)?, starts.remove(7)?), (Some(1000), None, true));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Storage<V: Value> "storage" [SkStorage InodeStorage TaskStorage CgrpStorage] None, Some(V::SIZE);

    /// Stacks by their ids.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Map, MapSpec, MapType, typed::{StackTrace, View}};
    /// let map = Map::create(MapSpec::new(MapType::StackTrace, 4, 8 * 16, 64), &Environment::default())?;
    /// let entries = [0xffff_0010u64, 0xffff_0020].map(u64::to_ne_bytes).concat();
    /// let id = map.stack_insert(&entries, 0)?;
    /// let stacks = StackTrace::of(map, "stacks")?;
    /// assert_eq!(stacks.get(id)?, Some(vec![0xffff_0010, 0xffff_0020]));
    /// assert_eq!(stacks.ids().collect::<Vec<_>>(), [id]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    StackTrace<> "stack_trace" [StackTrace] Some(4), None;

    /// Pages that programs and their user share.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Errno, Map, MapSpec, MapType, flags, typed::{Arena, View}};
    /// let spec = MapSpec::new(MapType::Arena, 0, 0, 2).with_flags(flags::MMAPABLE);
    /// let arena = Arena::of(Map::create(spec, &Environment::default())?, "arena")?;
    /// arena.write(4090, b"across pages")?;
    /// let mut read = [0; 12];
    /// arena.read(4090, &mut read)?;
    /// assert_eq!((&read, arena.pages()), (b"across pages", 2));
    /// assert_eq!(arena.read(8190, &mut read), Err(Errno::EFAULT));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Arena<> "arena" [Arena] None, None;
}

impl<V: Value> Storage<V> {
    /// The value of an owner.
    pub fn get(&self, owner: u64) -> Result<Option<V>, Errno> {
        let value = optional(self.map.user().owned(&owner.to_le_bytes(), 0))?;
        Ok(value.map(|value| V::read(&value)))
    }

    /// Inserts or replaces the value of an owner.
    pub fn insert(&self, owner: u64, value: V) -> Result<(), Errno> {
        self.map.user().set_owned(&owner.to_le_bytes(), &value.to_bytes(), ANY)
    }

    /// Removes the value of an owner; says whether there was one.
    pub fn remove(&self, owner: u64) -> Result<bool, Errno> {
        optional(self.map.user().remove_owned(&owner.to_le_bytes())).map(|gone| gone.is_some())
    }
}

impl StackTrace {
    /// The addresses of a stack, the innermost first.
    pub fn get(&self, id: u32) -> Result<Option<Vec<u64>>, Errno> {
        let stack = optional(self.map.user().lookup(&id.to_ne_bytes(), 0))?;
        let words = |bytes: Vec<u8>| bytes.chunks(8).map(u64::read).take_while(|&word| word != 0).collect();
        Ok(stack.map(words))
    }

    /// Removes a stack; says whether it was there.
    pub fn remove(&self, id: u32) -> Result<bool, Errno> {
        optional(self.map.user().delete(&id.to_ne_bytes())).map(|gone| gone.is_some())
    }

    /// The ids of all stacks.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        pairs(&self.map).map(|(id, _)| u32::read(&id))
    }
}

impl Arena {
    /// Copies bytes out, as a user reads memory: pages come to exist. `EFAULT` where the arena has none.
    pub fn read(&self, at: u64, to: &mut [u8]) -> Result<(), Errno> {
        self.touch(at, to.len())?;
        for (at, byte) in (at..).zip(to) {
            *byte = self.map.load(at, 1).ok_or(Errno::EFAULT)? as u8;
        }
        Ok(())
    }

    /// Copies bytes in.
    pub fn write(&self, at: u64, from: &[u8]) -> Result<(), Errno> {
        self.touch(at, from.len())?;
        (at..).zip(from).try_for_each(|(at, &byte)| self.map.store(at, 1, byte.into()).ok_or(Errno::EFAULT))
    }

    /// The address that programs and users have for byte `at`: what stands in pointers.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Map, MapSpec, MapType, flags, typed::{Arena, View}};
    /// let mut spec = MapSpec::new(MapType::Arena, 0, 0, 2).with_flags(flags::MMAPABLE);
    /// spec.map_extra = 1 << 44;
    /// let arena = Arena::of(Map::create(spec, &Environment::default())?, "arena")?;
    /// let pointer = arena.address(4096);
    /// assert_eq!((pointer, arena.offset(pointer), arena.offset(7)), (0x1000_0000_1000, Some(4096), None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn address(&self, at: u64) -> u64 {
        self.map.arena_start().wrapping_add(at)
    }

    /// Which byte a pointer is to, if it is one into the arena.
    pub fn offset(&self, address: u64) -> Option<u64> {
        address.checked_sub(self.map.arena_start()).filter(|&at| at < self.map.arena_bytes())
    }

    /// How many pages exist.
    pub fn pages(&self) -> u64 {
        self.map.arena_pages()
    }

    fn touch(&self, at: u64, len: usize) -> Result<(), Errno> {
        let size = u64::from(PAGE_SIZE);
        let end =
            at.checked_add(len as u64).filter(|end| *end <= size * u64::from(self.map.spec().max_entries));
        let end = end.ok_or(Errno::EFAULT)?;
        (at / size..end.div_ceil(size)).try_for_each(|page| self.map.arena_touch(page as u32))
    }
}
