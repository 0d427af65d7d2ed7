//! Jumps, calls, the end, and what stops a run.

use sandbpf_isa::{FRAME_SIZE, MAY_GOTO_LIMIT, Pc, Reg};
use sandbpf_runtime::memory::Caller;
use sandbpf_runtime::{Machine, Trap};

use crate::op::{self, Next, Op, Run, go, take};

const R10: usize = Reg::R10.index();

/// Goes to `to`.
pub(crate) fn jump<const PAID: bool>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([op], _)) = take(ops) else { return Next::Fell };
    op::jump::<PAID>(machine, run, op, ops, 0)
}

/// Goes to `to` if the frame has been here often enough.
pub(crate) fn may_goto(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    match run.may_goto.checked_sub(1) {
        Some(left) => {
            run.may_goto = left;
            go(machine, run, rest, 0)
        }
        None => op::jump::<true>(machine, run, op, ops, 0),
    }
}

/// Calls the function at `to`.
pub(crate) fn call(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some(([op], _)) = take(ops) else { return Next::Fell };
    let Some(left) = run.window.checked_sub(op.cost) else { return run.back(ops, Next::Call) };
    let pc = Pc(run.index(ops));
    if let Err(trap) = push(machine, run, pc) {
        return run.stop(ops, |_| trap);
    }
    run.window = left;
    enter(machine, run);
    match run.ops.get(op.to as usize..) {
        Some(ops) => go(machine, run, ops, 0),
        None => Next::Fell,
    }
}

/// Has the frame wait for a callee, from which control comes back behind `pc`.
#[inline(always)]
pub(crate) fn push(machine: &mut Machine<'_>, run: &Run<'_>, pc: Pc) -> Result<(), Trap> {
    let [.., r6, r7, r8, r9, _] = machine.registers;
    let preserved = [r6, r7, r8, r9];
    machine.push_frame(Caller { return_to: pc.0 + 1, preserved, may_goto: run.may_goto }, pc)
}

/// Makes the frame of a callee, which is paid for.
#[inline(always)]
pub(crate) fn enter(machine: &mut Machine<'_>, run: &mut Run<'_>) {
    machine.memory.enter();
    machine.registers[R10] += FRAME_SIZE as u64;
    run.may_goto = MAY_GOTO_LIMIT;
}

/// Goes back to the frame that waits, and says where to go on; `None` from the first.
#[inline(always)]
pub(crate) fn leave(machine: &mut Machine<'_>, run: &mut Run<'_>) -> Option<u32> {
    let &caller = machine.pop_frame(run.lowest)?;
    let [.., r6, r7, r8, r9, r10] = &mut machine.registers;
    [*r6, *r7, *r8, *r9] = caller.preserved;
    *r10 -= FRAME_SIZE as u64;
    machine.memory.leave();
    run.may_goto = caller.may_goto;
    Some(caller.return_to)
}

pub(crate) fn call_register(_: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    run.back(ops, Next::CallRegister)
}

pub(crate) fn helper(_: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    run.back(ops, Next::Helper)
}

pub(crate) fn kfunc(_: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    run.back(ops, Next::Kfunc)
}

/// Ends the function.
pub(crate) fn exit(machine: &mut Machine<'_>, run: &mut Run<'_>, _: &[Op], _: u64) -> Next {
    match leave(machine, run).and_then(|to| run.ops.get(to as usize..)) {
        Some(ops) => go(machine, run, ops, 0),
        None => Next::Exit,
    }
}

/// Stands behind the last operation.
pub(crate) fn fell(_: &mut Machine<'_>, _: &mut Run<'_>, _: &[Op], _: u64) -> Next {
    Next::Fell
}

/// Stands in for an operation that is done after a [rest](crate::rest).
pub(crate) fn rest(_: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    run.back(ops, Next::Rest)
}

/// Would write the frame pointer.
pub(crate) fn frame_pointer(_: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    run.stop(ops, |pc| Trap::FramePointer { pc })
}

/// Names what nothing stands for.
pub(crate) fn unresolved(_: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    run.stop(ops, |pc| Trap::Unresolved { pc })
}
