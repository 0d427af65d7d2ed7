//! Helpers about who is running: tasks, users, cgroups, clocks.

use super::errno::{EINVAL, fail};
use super::{Context, Out, Scalar};

crate::helpers! {
    pub(super) static HELPERS;

    /// The process (upper half) and the thread (lower half) that is running.
    14 fn get_current_pid_tgid(machine) {
        let task = machine.host().task();
        Ok(u64::from(task.tgid) << 32 | u64::from(task.pid))
    }

    /// Its group (upper half) and its user (lower half).
    15 fn get_current_uid_gid(machine) {
        let task = machine.host().task();
        Ok(u64::from(task.gid) << 32 | u64::from(task.uid))
    }

    /// Its name, cut to fit, with a NUL.
    16 fn get_current_comm(machine, to: Out) {
        let mut name = machine.host().task().comm.into_bytes();
        let room = to.len as usize;
        if room == 0 {
            return fail(EINVAL);
        }
        name.resize(room.max(name.len()), 0);
        name.truncate(room);
        name[room - 1] = 0;
        machine.memory.copy_in(to.address, &name)?;
        Ok(0)
    }

    /// The class of its network control group.
    17 fn get_cgroup_classid(_machine, _ctx: Context) {
        Ok(0)
    }

    /// The realm of the packet's route.
    24 fn get_route_realm(_machine, _ctx: Context) {
        Ok(0)
    }

    /// Its `struct task_struct`.
    35 fn get_current_task(machine) {
        Ok(machine.host().task().address)
    }

    /// The memory node that the program runs on.
    42 fn get_numa_node_id(_machine) {
        Ok(0)
    }

    /// A number that stays with the packet's socket.
    46 fn get_socket_cookie(_machine, _ctx: Scalar) {
        Ok(1)
    }

    /// The user of the packet's socket.
    47 fn get_socket_uid(machine, _ctx: Context) {
        Ok(machine.host().task().uid.into())
    }

    /// The identifier of its cgroup.
    80 fn get_current_cgroup_id(machine) {
        Ok(machine.host().task().cgroups.last().copied().unwrap_or(0))
    }

    /// The time in units of `1 / HZ` seconds, here 250.
    118 fn jiffies64(machine) {
        Ok(machine.now_ns() / 4_000_000)
    }

    /// Its process and thread as a namespace numbers them.
    120 fn get_ns_current_pid_tgid(machine, dev: Scalar, ino: Scalar, to: Out) {
        const SIZE: u64 = 8;
        let task = machine.host().task();
        if to.len != SIZE || task.pid_namespace != (dev.0, ino.0) {
            to.clear(machine)?;
            return fail(EINVAL);
        }
        let numbers = [task.pid.to_le_bytes(), task.tgid.to_le_bytes()];
        machine.memory.copy_in(to.address, numbers.as_flattened())?;
        Ok(0)
    }

    /// The identifier of its cgroup's ancestor at a level, the root being 0.
    123 fn get_current_ancestor_cgroup_id(machine, level: Scalar) {
        Ok(machine.host().task().cgroups.get(level.0 as u32 as usize).copied().unwrap_or(0))
    }

    /// Nanoseconds since boot, suspension included.
    125 fn ktime_get_boot_ns(machine) {
        Ok(machine.now_ns())
    }

    /// Its `struct task_struct`, as a typed pointer.
    158 fn get_current_task_btf(machine) {
        Ok(machine.host().task().address)
    }

    /// Nanoseconds since boot, read cheaply.
    160 fn ktime_get_coarse_ns(machine) {
        Ok(machine.now_ns())
    }

    /// International atomic time in nanoseconds.
    208 fn ktime_get_tai_ns(machine) {
        Ok(machine.now_ns())
    }

    /// The cookie of the hook that the program is attached to.
    174 fn get_attach_cookie(machine, _ctx: Context) {
        Ok(machine.host().attach_cookie())
    }

    /// The address of the traced function.
    173 fn get_func_ip(machine, _ctx: Context) {
        Ok(machine.host().function())
    }
}
