//! Doors from machine code to Rust.
//!
//! # Contract
//!
//! Machine code calls these with the address of the [`State`] that `exec` gave it, having put all registers of the
//! program into `State::registers`. `exec` keeps the state, the machine and the program alive for the whole run and
//! touches none of them meanwhile, so for the time of a callback they are this callback's alone. No panic leaves: it
//! is caught, kept in the state, and resumed by `exec` when machine code has returned.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use sandbpf_abi::{Effect, helpers};
use sandbpf_isa::{Insn, Pc, Program, Reg, Size};
use sandbpf_runtime::maps::Errno;
use sandbpf_runtime::{Machine, Trap, address};

use crate::layout::{Disproved, State, status};
use crate::maps::Known;

/// The region of the stack in the view.
pub(crate) const STACK_REGION: usize = (address::STACK >> address::REGION_BITS) as usize;

/// What a function answers in two registers: `r0`, and a status.
#[repr(C)]
pub(crate) struct Answer {
    r0: u64,
    status: u64,
}

/// Calls the helper that the state names; `answer` is 1 if that ends the function.
pub(crate) unsafe extern "sysv64" fn helper(
    r1: u64,
    r2: u64,
    r3: u64,
    r4: u64,
    r5: u64,
    state: *mut State,
) -> Answer {
    // SAFETY: the contract above.
    unsafe {
        called(state, |state, machine| {
            let (id, pc) = (state.call_id, Pc(state.call_pc));
            machine.frame = state.depth as usize;
            let r0 = machine.call_helper(id, [r1, r2, r3, r4, r5], pc)?;
            state.answer = machine.take_ended().into();
            if state.answer != 0 {
                // Another program ran in this one's place, which does nothing more.
                return Ok(r0);
            }
            let may_move = || helpers::numbered(id).any(|spec| spec.has(Effect::ChangesPacket));
            let is_trusted = machine.helpers().is_quiet(id);
            state.look_again(machine, is_trusted, may_move).map_err(|Disproved| Trap::Disproved { pc })?;
            Ok(r0)
        })
    }
}

/// Calls the kernel function that the state names.
pub(crate) unsafe extern "sysv64" fn kfunc(
    r1: u64,
    r2: u64,
    r3: u64,
    r4: u64,
    r5: u64,
    state: *mut State,
) -> Answer {
    // SAFETY: the contract above.
    unsafe {
        called(state, |state, machine| {
            let (id, pc) = (state.call_id, Pc(state.call_pc));
            machine.frame = state.depth as usize;
            let r0 = machine.call_kfunc(id, [r1, r2, r3, r4, r5], pc)?;
            // Nobody but us writes their bodies.
            state.look_again(machine, false, || true).map_err(|Disproved| Trap::Disproved { pc })?;
            Ok(r0)
        })
    }
}

/// Where the value of a key in a map is on the host (the first, where there is one for each processor), or 0.
///
/// # Safety
///
/// `known` is one of the maps of the plan that calls, whose values lie in one piece, and `key` so many bytes as its keys have, which
/// nobody changes.
pub(crate) unsafe extern "sysv64" fn find(known: *const Known, key: *const u8) -> u64 {
    // SAFETY: the plan keeps its maps.
    let known = unsafe { &*known };
    // SAFETY: machine code waits, and gives what it was told is there.
    let key = unsafe { slice::from_raw_parts(key, known.key_size() as usize) };
    match (known.map.lookup(key, 0), known.flat) {
        (Some(place), Some(flat)) => flat.start + place,
        (None, _) | (_, None) => 0,
    }
}

/// Finds the value of a key in a map: its address, or 0.
///
/// # Safety
///
/// The contract of this file; and `known` is one of the maps of the code that calls, `key` so many bytes of the run's own as
/// its keys have.
pub(crate) unsafe extern "sysv64" fn lookup(
    known: *const Known,
    key: *const u8,
    state: *mut State,
) -> Answer {
    // SAFETY: the code keeps its maps.
    let known = unsafe { &*known };
    // SAFETY: machine code waits, so nobody changes these bytes.
    let key = unsafe { slice::from_raw_parts(key, known.key_size() as usize) };
    // SAFETY: the state is alive, and nobody else uses it.
    let cpu = unsafe { (*state).cpu };
    let place = known.map.lookup(key, cpu);
    Answer { r0: place.map_or(0, |place| known.values + place), status: status::RETURNED.into() }
}

/// Sets the value of a key in a map.
///
/// # Safety
///
/// That of [`lookup`]; and `value` is so many bytes of the run's own as the map's values have.
pub(crate) unsafe extern "sysv64" fn update(
    known: *const Known,
    key: *const u8,
    value: *const u8,
    flags: u64,
    state: *mut State,
) -> Answer {
    // SAFETY: the code keeps its maps.
    let known = unsafe { &*known };
    // SAFETY: machine code waits, so nobody changes these bytes.
    let key = unsafe { slice::from_raw_parts(key, known.key_size() as usize) };
    // SAFETY: as above.
    let value = unsafe { slice::from_raw_parts(value, known.value_size() as usize) };
    // SAFETY: the contract above.
    unsafe { answered(state, |cpu| known.map.update(key, value, flags, cpu)) }
}

/// Removes a key from a map.
///
/// # Safety
///
/// That of [`lookup`].
pub(crate) unsafe extern "sysv64" fn delete(
    known: *const Known,
    key: *const u8,
    state: *mut State,
) -> Answer {
    // SAFETY: the code keeps its maps.
    let known = unsafe { &*known };
    // SAFETY: machine code waits, so nobody changes these bytes.
    let key = unsafe { slice::from_raw_parts(key, known.key_size() as usize) };
    // SAFETY: the contract above.
    unsafe { answered(state, |_| known.map.delete(key)) }
}

/// What a map says, as `r0`.
///
/// # Safety
///
/// The contract of this file.
unsafe fn answered(state: *mut State, body: impl FnOnce(u32) -> Result<(), Errno>) -> Answer {
    // SAFETY: the state is alive, and nobody else uses it.
    let state = unsafe { &mut *state };
    let r0 = |result: Result<(), Errno>| result.map_or_else(Errno::to_r0, |()| 0);
    match catch_unwind(AssertUnwindSafe(|| body(state.cpu))) {
        Ok(result) => Answer { r0: r0(result), status: status::RETURNED.into() },
        Err(panic) => {
            state.panic = Some(panic);
            state.status = status::PANIC;
            Answer { r0: 0, status: status::PANIC.into() }
        }
    }
}

/// Loads from the packet at `offset` where machine code does not: `answer` is 1 if the bytes are there, and `r0`
/// holds them.
pub(crate) unsafe extern "sysv64" fn packet(state: *mut State, offset: i32, size: u32) -> u32 {
    // SAFETY: the contract above.
    unsafe {
        enter(state, |state, machine, _| {
            let value = Size::of_bytes(size.into()).and_then(|size| machine.load_packet(size, offset));
            state.answer = value.is_some().into();
            if let Some(value) = value {
                state.registers[0] = value;
            }
            Ok(())
        })
    }
}

/// Finds the bytes at `fault_address`, which lies in no region, for an access of `size` bytes: `answer` is where they
/// are for the host, or 0.
pub(crate) unsafe extern "sysv64" fn locate(state: *mut State, size: u32, write: u32) -> u32 {
    // SAFETY: the contract above.
    unsafe {
        enter(state, |state, machine, _| {
            let found = Size::of_bytes(size.into())
                .and_then(|size| machine.memory.locate(state.fault_address, size, write != 0).ok());
            state.answer = found.map_or(0, |start| start as u64);
            Ok(())
        })
    }
}

/// Does the atomic operation at `pc` on an address that is no multiple of its size.
pub(crate) unsafe extern "sysv64" fn atomic(state: *mut State, pc: u32, _unused: u32) -> u32 {
    // SAFETY: the contract above.
    unsafe {
        enter(state, |state, machine, program| {
            let Some(&Insn::Atomic { op, size, base, off, reg }) = program.get(Pc(pc)) else {
                return Err(Trap::Unresolved { pc: Pc(pc) });
            };
            let r = &mut state.registers;
            let address = r[base.index()].wrapping_add(off as u64);
            let (operand, r0) = (r[reg.index()], r[Reg::R0.index()]);
            let old = machine.memory.atomic(op, size, address, operand, r0);
            let old = old.map_err(|fault| fault.at(Pc(pc)))?;
            if let Some(to) = op.fetches(reg) {
                r[to.index()] = old;
            }
            Ok(())
        })
    }
}

/// Finds the function that register `reg` points to, for the call at `pc`: `answer` is its number.
pub(crate) unsafe extern "sysv64" fn function(state: *mut State, pc: u32, reg: u32) -> u32 {
    // SAFETY: the contract above.
    unsafe {
        enter(state, |state, _, program| {
            let address = state.registers[reg as usize];
            let entry = address::as_function(address).and_then(|entry| program.function_at(entry));
            let Some(entry) = entry else { return Err(Trap::BadCallTarget { pc: Pc(pc), address }) };
            state.answer = program.functions().partition_point(|f| f.entry < entry.entry) as u64;
            Ok(())
        })
    }
}

/// Runs `body` on the machine as machine code left it, and gives the status.
///
/// # Safety
///
/// The contract of this file.
unsafe fn enter(
    state: *mut State,
    body: impl FnOnce(&mut State, &mut Machine<'_>, &Program) -> Result<(), Trap>,
) -> u32 {
    // SAFETY: the program is alive, and nobody changes it.
    let program = unsafe { (*state).program };
    // SAFETY: so is what it points to.
    let program = unsafe { &*program };
    // SAFETY: the caller's contract is this one.
    unsafe { called(state, |state, machine| body(state, machine, program).map(|()| 0)).status as u32 }
}

/// Runs `body` on the machine as machine code left it.
///
/// # Safety
///
/// The contract of this file.
unsafe fn called(
    state: *mut State,
    body: impl FnOnce(&mut State, &mut Machine<'_>) -> Result<u64, Trap>,
) -> Answer {
    // SAFETY: the state is alive and nobody else uses it.
    let state = unsafe { &mut *state };
    // SAFETY: so is the machine.
    let machine = unsafe { &mut *state.machine };
    machine.memory.set_active_stack(state.regions[STACK_REGION].readable as usize);
    machine.budget = state.budget;
    machine.memory.settle();
    let result = catch_unwind(AssertUnwindSafe(|| body(state, machine)));
    state.budget = machine.budget;
    let (r0, status) = match result {
        Ok(Ok(r0)) => (r0, status::RETURNED),
        Ok(Err(trap)) => {
            state.trap = Some(trap);
            (0, status::TRAP)
        }
        Err(panic) => {
            state.panic = Some(panic);
            (0, status::PANIC)
        }
    };
    state.status = status;
    Answer { r0, status: status.into() }
}
