//! Helpers that read memory which may not be there: the kernel's and a task's.
//!
//! What is the program's own can be read as kernel memory too; everything else is asked from the host, which describes
//! what lies where.

use super::errno::{EFAULT, EINVAL, EPERM, fail};
use super::{Bytes, Out, Scalar};
use crate::{HelperResult, Machine, Space};

impl Machine<'_> {
    /// Copies kernel memory: the program's own, or what the host describes.
    pub(crate) fn read_kernel(&self, address: u64, to: &mut [u8]) -> bool {
        self.memory.copy_out(address, to).is_ok() || self.host().read(Space::Kernel, address, to)
    }

    fn read_space(&self, space: Space, address: u64, to: &mut [u8]) -> bool {
        match space {
            Space::Kernel => self.read_kernel(address, to),
            Space::User => self.host().read(Space::User, address, to),
        }
    }

    /// A string of kernel memory, without its NUL and no longer than `most`; `None` if its first byte is not there.
    pub(crate) fn read_string(&self, address: u64, most: usize) -> Option<Vec<u8>> {
        self.string(Space::Kernel, address, most).map(|(string, _)| string)
    }

    /// The same, and whether a NUL ended it. What is not there ends it too, but at the start.
    fn string(&self, space: Space, address: u64, most: usize) -> Option<(Vec<u8>, bool)> {
        let mut string = Vec::new();
        while string.len() < most {
            let mut byte = [0];
            if !self.read_space(space, address.wrapping_add(string.len() as u64), &mut byte) {
                return None;
            }
            if byte[0] == 0 {
                return Some((string, true));
            }
            string.push(byte[0]);
        }
        Some((string, false))
    }
}

/// Copies memory, or makes the destination zero.
fn read(machine: &mut Machine<'_>, space: Space, to: Out, from: u64) -> HelperResult {
    let mut bytes = Bytes { address: to.address, len: to.len }.read(machine)?;
    let found = machine.read_space(space, from, &mut bytes);
    if !found {
        bytes.fill(0);
    }
    machine.memory.copy_in(to.address, &bytes)?;
    if found { Ok(0) } else { fail(EFAULT) }
}

/// Copies a string with its NUL, cut to fit; gives its length with the NUL.
fn read_string(machine: &mut Machine<'_>, space: Space, to: Out, from: u64) -> HelperResult {
    let mut bytes = Bytes { address: to.address, len: to.len }.read(machine)?;
    if bytes.is_empty() {
        return if to.len == 0 { Ok(0) } else { fail(EINVAL) };
    }
    let result = machine.string(space, from, bytes.len());
    bytes.fill(0);
    let Some((mut string, _)) = result else {
        machine.memory.copy_in(to.address, &bytes)?;
        return fail(EFAULT);
    };
    string.truncate(bytes.len() - 1);
    string.push(0);
    machine.memory.copy_in(to.address, &string)?;
    Ok(string.len() as u64)
}

/// The space that an address belongs to by its number alone.
fn space_of(address: u64) -> Space {
    if address >> 47 == 0 && address >= crate::address::REGION_SIZE * 8 { Space::User } else { Space::Kernel }
}

crate::helpers! {
    pub(super) static HELPERS;

    /// Reads memory of the kernel or of a task, by its address.
    4 fn probe_read(machine, to: Out, from: Scalar) {
        read(machine, space_of(from.0), to, from.0)
    }

    /// Reads a string of the kernel or of a task.
    45 fn probe_read_str(machine, to: Out, from: Scalar) {
        read_string(machine, space_of(from.0), to, from.0)
    }

    /// Writes a task's memory: nothing here may.
    36 fn probe_write_user(_machine, _to: Scalar, _from: Bytes) {
        fail(EPERM)
    }

    /// Reads a task's memory.
    112 fn probe_read_user(machine, to: Out, from: Scalar) {
        read(machine, Space::User, to, from.0)
    }

    /// Reads the kernel's memory.
    113 fn probe_read_kernel(machine, to: Out, from: Scalar) {
        read(machine, Space::Kernel, to, from.0)
    }

    /// Reads a string of a task.
    114 fn probe_read_user_str(machine, to: Out, from: Scalar) {
        read_string(machine, Space::User, to, from.0)
    }

    /// Reads a string of the kernel.
    115 fn probe_read_kernel_str(machine, to: Out, from: Scalar) {
        read_string(machine, Space::Kernel, to, from.0)
    }

    /// Reads a task's memory, waiting for it if need be.
    148 fn copy_from_user(machine, to: Out, from: Scalar) {
        read(machine, Space::User, to, from.0)
    }

    /// Reads memory of this task, waiting for it if need be.
    191 fn copy_from_user_task(machine, to: Out, from: Scalar, _task: Scalar, flags: Scalar) {
        if flags.0 != 0 {
            return fail(EINVAL);
        }
        read(machine, Space::User, to, from.0)
    }
}
