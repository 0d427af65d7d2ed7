//! The user's side where `bpf(2)` takes descriptors: of things to put into maps, and of the owners of storages.
//!
//! Nobody has descriptors here, so what they stand for is passed itself; all else is answered as the system call would.

use crate::MapType;
use crate::body::Body;
use crate::errno::Errno;
use crate::flags::F_LOCK;
use crate::objects::Object;
use crate::storage::Storage;
use crate::user::User;

impl User<'_> {
    /// `BPF_MAP_UPDATE_ELEM` with the descriptor of a thing: [`crate::Map::set_object`], if this handle may.
    ///
    /// ```
    /// use sandbpf_maps::{Environment, Errno, Map, MapSpec, MapType, Object};
    /// let calls = Map::create(MapSpec::new(MapType::ProgArray, 4, 4, 2), &Environment::default())?;
    /// calls.user().set_object(&1u32.to_ne_bytes(), Object::Program(12), 0)?;
    /// calls.user().freeze()?;
    /// assert_eq!(calls.user().set_object(&[0; 4], Object::Program(12), 0), Err(Errno::EPERM));
    /// # Ok::<(), Errno>(())
    /// ```
    pub fn set_object(&self, key: &[u8], object: Object, flags: u64) -> Result<(), Errno> {
        self.may_write()?;
        self.check_lock(flags)?;
        self.map().set_object(key, object, flags)
    }

    /// `BPF_MAP_LOOKUP_ELEM` of a storage: the value of an owner.
    ///
    /// ```
    /// use sandbpf_maps::{BtfSizes, Environment, Errno, Map, MapSpec, MapType, flags};
    /// let mut spec = MapSpec::new(MapType::SkStorage, 4, 8, 0).with_flags(flags::NO_PREALLOC);
    /// spec.btf = Some(BtfSizes { key: Some(4), value: 8 });
    /// let storage = Map::create(spec, &Environment::default())?;
    /// let socket = 7u64.to_ne_bytes();
    /// assert_eq!(storage.user().owned(&socket, 0), Err(Errno::ENOENT));
    /// storage.user().set_owned(&socket, &[1; 8], 0)?;
    /// assert_eq!(storage.user().owned(&socket, 0)?, [1; 8]);
    /// storage.user().remove_owned(&socket)?;
    /// assert_eq!(storage.storage_get(&socket, None, 0, 0), None);
    /// # Ok::<(), Errno>(())
    /// ```
    pub fn owned(&self, owner: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        if flags & !F_LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        self.may_read()?;
        self.check_lock(flags)?;
        let storage = self.storage()?;
        let slot = storage.lookup(owner).ok_or(Errno::ENOENT)?.into();
        let mut value = vec![0; self.value_size()];
        let _guard = (flags & F_LOCK != 0).then(|| storage.values.lock(slot, 0)).transpose()?;
        storage.values.read(slot, 0, &mut value);
        Ok(value)
    }

    /// `BPF_MAP_UPDATE_ELEM` of a storage.
    pub fn set_owned(&self, owner: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.may_write()?;
        self.check_lock(flags)?;
        if value.len() != self.value_size() {
            return Err(Errno::EINVAL);
        }
        self.storage()?.update(owner, value, flags)
    }

    /// `BPF_MAP_DELETE_ELEM` of a storage.
    pub fn remove_owned(&self, owner: &[u8]) -> Result<(), Errno> {
        self.may_write()?;
        self.storage()?.delete(owner)
    }

    /// The storage of owners that users name by descriptors.
    fn storage(&self) -> Result<&Storage, Errno> {
        use MapType::*;
        match (&self.map().body, self.map().map_type()) {
            (Body::Storage(storage), SkStorage | InodeStorage | TaskStorage | CgrpStorage) => Ok(storage),
            _ => Err(Errno::EINVAL),
        }
    }
}
