//! Doors from machine code to Rust.
//!
//! # Contract
//!
//! Machine code calls these with the address of the [`State`] that `exec` gave it, having put all registers of the
//! program into `State::registers`. `exec` keeps the state, the machine and the program alive for the whole run and
//! touches none of them meanwhile, so for the time of a callback they are this callback's alone. No panic leaves: it
//! is caught, kept in the state, and resumed by `exec` when machine code has returned.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sandbpf_abi::{Effect, helpers};
use sandbpf_isa::{Insn, Pc, Program, Reg, Size};
use sandbpf_runtime::{Machine, Trap, address};

use crate::layout::{Disproved, State, status};

/// The region of the stack in the view.
pub(crate) const STACK_REGION: usize = (address::STACK >> address::REGION_BITS) as usize;

/// Calls helper `id`; `r0` is its result. `answer` is 1 if that ends the function.
pub(crate) unsafe extern "sysv64" fn helper(state: *mut State, id: i32, pc: u32) -> u32 {
    // SAFETY: the contract above.
    unsafe {
        enter(state, |state, machine, _| {
            let [_, r1, r2, r3, r4, r5, ..] = state.registers;
            machine.frame = state.depth as usize;
            state.registers[0] = machine.call_helper(id, [r1, r2, r3, r4, r5], Pc(pc))?;
            state.answer = machine.take_ended().into();
            if state.answer != 0 {
                // Another program ran in this one's place, which does nothing more.
                return Ok(());
            }
            let may_move = || helpers::numbered(id).any(|spec| spec.has(Effect::ChangesPacket));
            state.look_again(machine, may_move).map_err(|Disproved| Trap::Disproved { pc: Pc(pc) })
        })
    }
}

/// Calls the kernel function with number `id`; `r0` is its result.
pub(crate) unsafe extern "sysv64" fn kfunc(state: *mut State, id: i32, pc: u32) -> u32 {
    // SAFETY: the contract above.
    unsafe {
        enter(state, |state, machine, _| {
            let [_, r1, r2, r3, r4, r5, ..] = state.registers;
            machine.frame = state.depth as usize;
            state.registers[0] = machine.call_kfunc(id, [r1, r2, r3, r4, r5], Pc(pc))?;
            // Nobody but us writes their bodies.
            state.look_again(machine, || true).map_err(|Disproved| Trap::Disproved { pc: Pc(pc) })
        })
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
    // SAFETY: the state is alive and nobody else uses it.
    let state = unsafe { &mut *state };
    // SAFETY: so is the machine.
    let machine = unsafe { &mut *state.machine };
    // SAFETY: so is the program, which nobody changes.
    let program = unsafe { &*state.program };
    machine.memory.set_active_stack(state.regions[STACK_REGION].readable as usize);
    machine.budget = state.budget;
    machine.memory.settle();
    let result = catch_unwind(AssertUnwindSafe(|| body(state, machine, program)));
    state.budget = machine.budget;
    state.status = match result {
        Ok(Ok(())) => status::RETURNED,
        Ok(Err(trap)) => {
            state.trap = Some(trap);
            status::TRAP
        }
        Err(panic) => {
            state.panic = Some(panic);
            status::PANIC
        }
    };
    state.status
}
