//! Objects of the program's own types.

use super::kfuncs;
use crate::{Fault, HelperResult, Machine, Stop};

impl Machine<'_> {
    /// What is freed, or never was an object, is no memory of the program.
    pub(super) fn no_object(address: u64) -> Fault {
        Fault { address, size: 1, write: false }
    }

    /// Gives a reference to the object back that an address lies in.
    pub(super) fn release_object(&self, address: u64) -> Result<(), Fault> {
        let released = self.world().is_some_and(|world| world.heap().release(address));
        released.then_some(()).ok_or(Self::no_object(address))
    }

    /// Whether an address is that of an object that a program made.
    pub(crate) fn is_object(&self, address: u64) -> bool {
        self.world().is_some_and(|world| world.heap().base(address).is_some())
    }

    /// A processor's copy of an object with one for each, or null.
    pub(crate) fn copy_of(&self, address: u64, cpu: u32) -> u64 {
        self.world().and_then(|world| world.heap().copy_of(address, cpu)).unwrap_or(0)
    }

    /// Takes a reference to the object that an address lies in.
    pub(super) fn acquire_object(&self, address: u64) -> bool {
        self.world().is_some_and(|world| world.heap().acquire(address))
    }
}

/// Makes an object of a type of the program; null if there is no room.
fn make(machine: &Machine<'_>, number: u64, copies: u32) -> HelperResult {
    let world = machine.world().ok_or(Stop::UnknownType(number))?;
    let size = world.heap().size_of(number).ok_or(Stop::UnknownType(number))?;
    Ok(world.heap().allocate(size, copies).unwrap_or(0))
}

kfuncs! {
    pub(super) static KFUNCS;

    fn bpf_obj_new_impl(machine, number) {
        make(machine, number, 1)
    }

    fn bpf_obj_drop_impl(machine, object) {
        machine.release_object(object)?;
        Ok(0)
    }

    fn bpf_percpu_obj_new_impl(machine, number) {
        let cpus = machine.world().map_or(1, |world| world.cpus());
        // The verifier refuses larger ones (`BPF_GLOBAL_PERCPU_MA_MAX_SIZE`).
        make(machine, number, cpus)
    }

    fn bpf_percpu_obj_drop_impl(machine, object) {
        machine.release_object(object)?;
        Ok(0)
    }

    fn bpf_refcount_acquire_impl(machine, object) {
        Ok(if machine.acquire_object(object) { object } else { 0 })
    }
}
