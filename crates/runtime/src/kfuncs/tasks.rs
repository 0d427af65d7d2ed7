//! Tasks, files and keys of the kernel: one task is there, as the host describes it, and nothing else.

use super::kfuncs;
use crate::helpers::errno::{EINVAL, ENAMETOOLONG, ENOENT, EOPNOTSUPP, ESRCH, fail};
use crate::{Act, Machine};

/// The task with this number, or null.
fn task(machine: &Machine<'_>, pid: u64) -> u64 {
    let task = machine.host().task();
    if task.pid == pid as u32 { task.address } else { 0 }
}

kfuncs! {
    pub(super) static KFUNCS;

    fn bpf_task_acquire(_machine, task) {
        Ok(task)
    }

    fn bpf_task_release(_machine, _task) {
        Ok(0)
    }

    fn bpf_task_from_pid(machine, pid) {
        Ok(task(machine, pid))
    }

    fn bpf_task_from_vpid(machine, pid) {
        Ok(task(machine, pid))
    }

    fn bpf_send_signal_task(machine, task, signal, kind) {
        /// `PIDTYPE_PID` and `PIDTYPE_TGID`.
        const KINDS: [u32; 2] = [0, 1];
        if !KINDS.contains(&(kind as u32)) || signal as u32 > 64 {
            return fail(EINVAL);
        }
        if task != machine.host().task().address {
            return fail(ESRCH);
        }
        machine.host().act(Act::Signal { signal: signal as u32, thread: kind as u32 == 0 });
        Ok(0)
    }

    fn bpf_get_kmem_cache(_machine, _address) {
        Ok(0)
    }

    fn bpf_get_task_exe_file(_machine, _task) {
        Ok(0)
    }

    fn bpf_put_file(_machine, _file) {
        Ok(0)
    }

    fn bpf_path_d_path(machine, path, to, size) {
        if size == 0 {
            return fail(EINVAL);
        }
        let Some(mut name) = machine.host().path(path).map(String::into_bytes) else { return fail(ENOENT) };
        name.push(0);
        if name.len() as u64 > size {
            return fail(ENAMETOOLONG);
        }
        machine.memory.copy_in(to, &name)?;
        Ok(name.len() as u64)
    }

    fn bpf_get_dentry_xattr(_machine, _entry, _name, _value) {
        fail(EOPNOTSUPP)
    }

    fn bpf_get_file_xattr(_machine, _file, _name, _value) {
        fail(EOPNOTSUPP)
    }

    fn bpf_set_dentry_xattr(_machine, _entry, _name, _value) {
        fail(EOPNOTSUPP)
    }

    fn bpf_remove_dentry_xattr(_machine, _entry, _name) {
        fail(EOPNOTSUPP)
    }

    fn bpf_lookup_user_key(_machine, _serial, _flags) {
        Ok(0)
    }

    fn bpf_lookup_system_key(_machine, _id) {
        Ok(0)
    }

    fn bpf_key_put(_machine, _key) {
        Ok(0)
    }

    // No cipher is there.
    fn bpf_crypto_ctx_create(machine, _params, _size, errno) {
        machine.memory.write::<4>(errno, (-ENOENT) as u64)?;
        Ok(0)
    }

    fn bpf_crypto_ctx_acquire(_machine, _context) {
        Ok(0)
    }

    fn bpf_crypto_ctx_release(_machine, _context) {
        Ok(0)
    }

    fn bpf_crypto_encrypt(_machine, _context, _from, _to, _state) {
        fail(EINVAL)
    }

    fn bpf_crypto_decrypt(_machine, _context, _from, _to, _state) {
        fail(EINVAL)
    }

    fn bpf_modify_return_test_tp(_machine, _nonce) {
        Ok(0)
    }
}
