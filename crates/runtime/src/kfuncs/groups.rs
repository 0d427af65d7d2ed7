//! Control groups: the task's, and those above it, as the host describes them.
//!
//! A pointer to a group says which one it is; what is in the kernel's structure there the host describes.

use super::kfuncs;
use crate::helpers::errno::{ENOENT, fail};
use crate::{Machine, address};

/// Bytes of the address space for each group.
const SIZE: u64 = 4096;
/// Groups with larger numbers have no pointers.
const MOST: u64 = 1 << 24;

fn pointer(id: u64) -> u64 {
    if id < MOST { address::CGROUPS + SIZE * id } else { 0 }
}

impl Machine<'_> {
    /// The number of the control group that a pointer points to.
    pub(super) fn cgroup_of(&self, pointer: u64) -> Option<u64> {
        let at = pointer.checked_sub(address::CGROUPS)?;
        (at.is_multiple_of(SIZE) && at / SIZE < MOST).then_some(at / SIZE)
    }

    /// The groups from the root on down to this one, if the host describes it.
    fn cgroup_path(&self, pointer: u64) -> Vec<u64> {
        let mut groups = self.host().task().cgroups;
        let own = self.cgroup_of(pointer).and_then(|id| groups.iter().position(|&group| group == id));
        groups.truncate(own.map_or(0, |own| own + 1));
        groups
    }

    /// The group above another.
    pub(super) fn cgroup_above(&self, group: u64) -> Option<u64> {
        let path = self.cgroup_path(group);
        path.len().checked_sub(2).map(|above| pointer(path[above]))
    }
}

kfuncs! {
    pub(super) static KFUNCS;

    fn bpf_cgroup_acquire(_machine, group) {
        Ok(group)
    }

    fn bpf_cgroup_release(_machine, _group) {
        Ok(0)
    }

    fn bpf_cgroup_ancestor(machine, group, level) {
        let level = usize::try_from(level as i32).ok();
        let path = machine.cgroup_path(group);
        Ok(level.and_then(|level| path.get(level)).map_or(0, |&id| pointer(id)))
    }

    fn bpf_cgroup_from_id(machine, id) {
        let is_known = machine.host().task().cgroups.contains(&id);
        Ok(if is_known { pointer(id) } else { 0 })
    }

    fn bpf_task_under_cgroup(machine, task, group) {
        let own = machine.host().task();
        let id = machine.cgroup_of(group);
        let is_under = own.address == task && id.is_some_and(|id| own.cgroups.contains(&id));
        Ok(is_under.into())
    }

    fn bpf_task_get_cgroup1(_machine, _task, _hierarchy) {
        Ok(0)
    }

    fn bpf_cgroup_read_xattr(_machine, _group, _name, _value) {
        fail(ENOENT)
    }

    fn css_rstat_updated(_machine, _group, _cpu) {
        Ok(0)
    }

    fn css_rstat_flush(_machine, _group) {
        Ok(0)
    }
}
