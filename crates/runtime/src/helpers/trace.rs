//! Helpers that look at what is traced: stacks, symbols, paths, branches.

use super::errno::{EFAULT, EINVAL, ENOENT, fail};
use super::{Context, Out, Scalar};
use crate::{HelperResult, Machine, Space};

/// The stack of the task and not of the kernel.
const USER_STACK: u64 = 1 << 8;
const SKIP: u64 = 0xff;
/// Build identifiers and not addresses: the host describes addresses.
const BUILD_ID: u64 = 1 << 11;

crate::helpers! {
    pub(super) static HELPERS;

    /// The addresses on the stack: fills memory, and gives how many bytes.
    67 fn get_stack(machine, _ctx: Context, to: Out, flags: Scalar) {
        stack(machine, to, flags.0)
    }

    /// The same of another task.
    141 fn get_task_stack(machine, _task: Scalar, to: Out, flags: Scalar) {
        stack(machine, to, flags.0)
    }

    /// The full name of an open file.
    147 fn d_path(machine, path: Scalar, to: Out) {
        if to.len == 0 {
            return Ok(0);
        }
        let Some(mut name) = machine.host().path(path.0).map(String::into_bytes) else { return fail(ENOENT) };
        name.push(0);
        if name.len() as u64 > to.len {
            return fail(super::errno::ENAMETOOLONG);
        }
        machine.memory.copy_in(to.address, &name)?;
        Ok(name.len() as u64)
    }

    /// A per-CPU variable on a CPU: there is one copy, of CPU 0.
    153 fn per_cpu_ptr(machine, variable: Scalar, cpu: Scalar) {
        if machine.is_object(variable.0) {
            return Ok(machine.copy_of(variable.0, cpu.0 as u32));
        }
        Ok(if cpu.0 as u32 == 0 { variable.0 } else { 0 })
    }

    /// A per-CPU variable on this CPU.
    154 fn this_cpu_ptr(machine, variable: Scalar) {
        if machine.is_object(variable.0) {
            let cpu = machine.cpu();
            return Ok(machine.copy_of(variable.0, cpu));
        }
        Ok(variable.0)
    }

    /// The branches that the processor took before an event; no processor is traced.
    119 fn read_branch_records(_machine, _ctx: Context, _to: Out, flags: Scalar) {
        fail(if flags.0 & !1 != 0 { EINVAL } else { ENOENT })
    }

    /// The registers of a task when it entered the kernel.
    175 fn task_pt_regs(machine, _task: Scalar) {
        Ok(machine.host().task().registers)
    }

    /// The branches that the processor took; no processor is traced.
    176 fn get_branch_snapshot(_machine, _to: Out, flags: Scalar) {
        fail(if flags.0 != 0 { EINVAL } else { ENOENT })
    }

    /// The address of a symbol of the kernel.
    179 fn kallsyms_lookup_name(machine, name: super::Bytes, flags: Scalar, to: Scalar) {
        let name = machine.bytes(name.address, name.len)?;
        machine.memory.write::<8>(to.0, 0)?;
        let Some(name) = name.strip_suffix(&[0]).and_then(|name| std::str::from_utf8(name).ok()) else {
            return fail(EINVAL);
        };
        if flags.0 != 0 || name.is_empty() {
            return fail(EINVAL);
        }
        match machine.host().symbol(name) {
            Some(address) => {
                machine.memory.write::<8>(to.0, address)?;
                Ok(0)
            }
            None => fail(ENOENT),
        }
    }

    /// The counter of a performance event; none is open.
    56 fn perf_prog_read_value(machine, _ctx: Context, to: Out) {
        to.clear(machine)?;
        fail(EINVAL)
    }
}

fn stack(machine: &mut Machine<'_>, to: Out, flags: u64) -> HelperResult {
    const KNOWN: u64 = SKIP | USER_STACK | BUILD_ID;
    let space = if flags & USER_STACK != 0 { Space::User } else { Space::Kernel };
    if flags & !KNOWN != 0 || flags & BUILD_ID != 0 && space == Space::Kernel || !to.len.is_multiple_of(8) {
        to.clear(machine)?;
        return fail(EINVAL);
    }
    let addresses = machine.host().stack(space);
    let kept = addresses.iter().skip((flags & SKIP) as usize).take((to.len / 8) as usize);
    let bytes: Vec<u8> = kept.flat_map(|address| address.to_le_bytes()).collect();
    to.clear(machine)?;
    if bytes.is_empty() {
        return fail(EFAULT);
    }
    machine.memory.copy_in(to.address, &bytes)?;
    Ok(bytes.len() as u64)
}
