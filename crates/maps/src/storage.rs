//! Storages: bytes that belong to a socket, an inode, a task or a control group and go with it.
//!
//! The owner is an opaque key: the kernel's `struct bpf_cgroup_storage_key` or cgroup id for the storages
//! of attachments, eight bytes of the embedder's choice for the others. See
//! `kernel/bpf/local_storage.c` and `kernel/bpf/bpf_local_storage.c`.

use std::collections::{BTreeMap, HashMap, VecDeque};

use parking_lot::RwLock;

use crate::errno::Errno;
use crate::flags::{EXIST, F_LOCK, NOEXIST};
use crate::values::Values;

/// How many slots rest before the first is used again.
const RESTING: usize = 64;
/// Bytes of an owner's key, at most.
const LONGEST_OWNER: usize = 32;
/// What an owner costs besides the value.
const OWNER: u64 = 160;

/// Values by owner.
#[derive(Debug)]
pub(crate) struct Storage {
    owners: RwLock<Owners>,
    pub(crate) values: Values,
}

#[derive(Debug, Default)]
struct Owners {
    /// The slot of each owner's value and when it came.
    slots: HashMap<Box<[u8]>, (u32, u64)>,
    /// By when they came.
    order: BTreeMap<u64, Box<[u8]>>,
    came: u64,
    fresh: u32,
    /// Slots of values that went, the oldest first: who still looks at one should not see another.
    free: VecDeque<u32>,
}

impl Storage {
    pub(crate) fn new(values: impl FnOnce(u64) -> Values) -> Self {
        Storage { owners: RwLock::default(), values: values(1 << 32) }
    }

    pub(crate) fn lookup(&self, owner: &[u8]) -> Option<u32> {
        self.owners.read().slots.get(owner).map(|&(slot, _)| slot)
    }

    /// The owner's value, created with these bytes or zeros if it is absent.
    pub(crate) fn create(&self, owner: &[u8], value: Option<&[u8]>) -> Result<u32, Errno> {
        let mut owners = self.owners.write();
        match owners.slots.get(owner) {
            Some(&(slot, _)) => Ok(slot),
            None => self.add(&mut owners, owner, value),
        }
    }

    /// `bpf_local_storage_update`: a new value takes another slot, the old one stays readable.
    pub(crate) fn update(&self, owner: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let mut owners = self.owners.write();
        let old = owners.slots.get(owner).copied();
        match (old, flags & !F_LOCK) {
            (_, flags) if flags > EXIST => return Err(Errno::EINVAL),
            (Some(_), NOEXIST) => return Err(Errno::EEXIST),
            (None, EXIST) => return Err(Errno::ENOENT),
            _ => {}
        }
        if let (Some((slot, _)), true) = (old, flags & F_LOCK != 0) {
            return self.values.put(slot.into(), 0, value, true);
        }
        self.add(&mut owners, owner, Some(value))?;
        if let Some((slot, came)) = old {
            owners.order.remove(&came);
            self.values.clear_fields(slot.into());
            owners.free.push_back(slot);
        }
        Ok(())
    }

    pub(crate) fn delete(&self, owner: &[u8]) -> Result<(), Errno> {
        let mut owners = self.owners.write();
        let (slot, came) = owners.slots.remove(owner).ok_or(Errno::ENOENT)?;
        owners.order.remove(&came);
        self.values.clear_fields(slot.into());
        owners.free.push_back(slot);
        Ok(())
    }

    /// The owner that came before this one; the newest, if none is named.
    pub(crate) fn next_key(&self, owner: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let owners = self.owners.read();
        let end = match owner {
            Some(owner) => owners.slots.get(owner).ok_or(Errno::ENOENT)?.1,
            None => u64::MAX,
        };
        let (_, key) = owners.order.range(..end).next_back().ok_or(Errno::ENOENT)?;
        Ok(key.to_vec())
    }

    fn add(&self, owners: &mut Owners, owner: &[u8], value: Option<&[u8]>) -> Result<u32, Errno> {
        if owner.len() > LONGEST_OWNER {
            return Err(Errno::EINVAL);
        }
        let rested = if owners.free.len() > RESTING { owners.free.pop_front() } else { None };
        let slot = match rested {
            Some(slot) => slot,
            None => {
                self.values.charge(OWNER)?;
                let next = owners.fresh.checked_add(1).ok_or(Errno::ENOMEM)?;
                std::mem::replace(&mut owners.fresh, next)
            }
        };
        let cleared = (0..self.values.copies()).try_for_each(|copy| self.values.clear(slot.into(), copy));
        let written = cleared.and_then(|()| match value {
            Some(value) => self.values.write(slot.into(), 0, value),
            None => Ok(()),
        });
        if let Err(errno) = written {
            owners.free.push_front(slot);
            return Err(errno);
        }
        owners.came += 1;
        let came = owners.came;
        owners.slots.insert(owner.into(), (slot, came));
        owners.order.insert(came, owner.into());
        Ok(slot)
    }
}
