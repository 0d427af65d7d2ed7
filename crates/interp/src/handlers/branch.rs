//! Branches.

use sandbpf_isa::{Cond, Width, for_each_cond};
use sandbpf_runtime::Machine;

use crate::meaning::{Narrow, Test, Wide, cond};
use crate::op::{Handler, Next, Op, Run, go, jump, read, take};

/// Goes to `to` if `dst` and `src` are in order.
fn registers<T: Test, const PAID: bool>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let value = read(machine, op.dst);
    if T::holds(value, read(machine, op.src)) {
        jump::<PAID>(machine, run, op, ops, value)
    } else {
        go(machine, run, rest, value)
    }
}

/// Goes to `to` if `dst` and the immediate are in order.
fn immediate<T: Test, const PAID: bool>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let value = read(machine, op.dst);
    if T::holds(value, op.imm()) {
        jump::<PAID>(machine, run, op, ops, value)
    } else {
        go(machine, run, rest, value)
    }
}

/// What decides a branch on a register or an immediate, that is paid for or not.
pub(crate) fn handler(cond: Cond, width: Width, register: bool, paid: bool) -> Handler {
    macro_rules! find {
        ($( $(#[doc = $doc:literal])* $Cond:ident ($c:literal) $s:literal |$a:ident, $b:ident| $m:expr; )*) => {
            match (cond, width) {
                $(
                    (Cond::$Cond, Width::W64) => of::<Wide<cond::$Cond>>(register, paid),
                    (Cond::$Cond, Width::W32) => of::<Narrow<cond::$Cond>>(register, paid),
                )*
            }
        };
    }
    for_each_cond!(find)
}

fn of<T: Test>(register: bool, paid: bool) -> Handler {
    match (register, paid) {
        (true, true) => registers::<T, true>,
        (true, false) => registers::<T, false>,
        (false, true) => immediate::<T, true>,
        (false, false) => immediate::<T, false>,
    }
}
