//! Operations as parts of sequences.

use std::marker::PhantomData;

use sandbpf_isa::{Cond, Width};
use sandbpf_runtime::Machine;

use crate::handlers::memory::{load_elsewhere, store_elsewhere};
use crate::meaning::{Binary, Test};
use crate::op::{Handler, Next, Op, Run, go, jump, read, take, write};

/// What one operation of a sequence does.
pub(crate) trait Part {
    /// Does it; `false`, and nothing has happened, if that takes more than a sequence has.
    fn act(machine: &mut Machine<'_>, op: &Op) -> Option<u64>;

    /// What does it then, and goes on behind it.
    const ALONE: Handler;
}

/// How a branch of a sequence decides.
pub(crate) trait Decide {
    fn decide(machine: &Machine<'_>, op: &Op) -> bool;
}

/// `D = D op S`.
pub(crate) struct Both<B, const D: usize, const S: usize>(PhantomData<B>);
/// `D = D op imm`.
pub(crate) struct Fixed<B, const D: usize>(PhantomData<B>);
/// `dst = imm`.
pub(crate) struct Set;
/// A load.
pub(crate) struct Load<const N: usize>;
/// A store.
pub(crate) struct Store<const N: usize>;
/// A branch on registers.
pub(crate) struct OnRegisters<T>(PhantomData<T>);
/// A branch on a register and an immediate.
pub(crate) struct OnImmediate<T>(PhantomData<T>);

/// Arithmetic is never left to others.
fn never(_: &mut Machine<'_>, _: &mut Run<'_>, _: &[Op], _: u64) -> Next {
    Next::Fell
}

impl<B: Binary, const D: usize, const S: usize> Part for Both<B, D, S> {
    #[inline(always)]
    fn act(machine: &mut Machine<'_>, _: &Op) -> Option<u64> {
        let value = B::eval(machine.registers[D], machine.registers[S]);
        machine.registers[D] = value;
        Some(value)
    }

    const ALONE: Handler = never;
}

impl<B: Binary, const D: usize> Part for Fixed<B, D> {
    #[inline(always)]
    fn act(machine: &mut Machine<'_>, op: &Op) -> Option<u64> {
        let value = B::eval(machine.registers[D], op.imm());
        machine.registers[D] = value;
        Some(value)
    }

    const ALONE: Handler = never;
}

impl Part for Set {
    #[inline(always)]
    fn act(machine: &mut Machine<'_>, op: &Op) -> Option<u64> {
        write(machine, op.dst, op.imm());
        Some(op.imm())
    }

    const ALONE: Handler = never;
}

impl<const N: usize> Part for Load<N> {
    #[inline(always)]
    fn act(machine: &mut Machine<'_>, op: &Op) -> Option<u64> {
        let value = machine.memory.read_near::<N>(op.address(read(machine, op.src)));
        write(machine, op.dst, value?);
        value
    }

    const ALONE: Handler = load_elsewhere::<N>;
}

impl<const N: usize> Part for Store<N> {
    #[inline(always)]
    fn act(machine: &mut Machine<'_>, op: &Op) -> Option<u64> {
        let (address, value) = (op.address(read(machine, op.dst)), read(machine, op.src));
        machine.memory.write_near::<N>(address, value).map(|()| value)
    }

    const ALONE: Handler = store_elsewhere::<N>;
}

impl<T: Test> Decide for OnRegisters<T> {
    #[inline(always)]
    fn decide(machine: &Machine<'_>, op: &Op) -> bool {
        T::holds(read(machine, op.dst), read(machine, op.src))
    }
}

impl<T: Test> Decide for OnImmediate<T> {
    #[inline(always)]
    fn decide(machine: &Machine<'_>, op: &Op) -> bool {
        T::holds(read(machine, op.dst), op.imm())
    }
}

/// A test whether a register and an immediate are equal, or different, on 64 or 32 bits: [`Op::test`] says which, where a
/// function for each would be too many.
pub(crate) struct Equality;
/// The same of two registers.
pub(crate) struct EqualRegisters;

impl Equality {
    /// What the operation of a branch has as `test`.
    pub(crate) fn code(cond: Cond, width: Width) -> u8 {
        u8::from(cond == Cond::Ne) | u8::from(width == Width::W32) << 1
    }

    #[inline(always)]
    fn holds(test: u8, a: u64, b: u64) -> bool {
        let upper = u64::from(test >> 1).wrapping_sub(1);
        let difference = (a ^ b) & (upper | u64::from(u32::MAX));
        (difference != 0) == (test & 1 != 0)
    }
}

impl Decide for Equality {
    #[inline(always)]
    fn decide(machine: &Machine<'_>, op: &Op) -> bool {
        Equality::holds(op.test, read(machine, op.dst), op.imm())
    }
}

impl Decide for EqualRegisters {
    #[inline(always)]
    fn decide(machine: &Machine<'_>, op: &Op) -> bool {
        Equality::holds(op.test, read(machine, op.dst), read(machine, op.src))
    }
}

/// Two parts.
pub(crate) fn two<A: Part, B: Part>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([a, b], rest)) = take(ops) else { return Next::Fell };
    let Some(last) = A::act(machine, a) else { return A::ALONE(machine, run, ops, 0) };
    let Some(other) = B::act(machine, b) else { return B::ALONE(machine, run, &ops[1..], last) };
    go(machine, run, rest, last.wrapping_add(other))
}

/// A part and a branch.
pub(crate) fn then_branch<A: Part, T: Decide>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([a, branch], rest)) = take(ops) else { return Next::Fell };
    let Some(last) = A::act(machine, a) else { return A::ALONE(machine, run, ops, 0) };
    if T::decide(machine, branch) {
        jump::<true>(machine, run, branch, &ops[1..], last)
    } else {
        go(machine, run, rest, last)
    }
}

/// A part, a branch, and a jump if it is not taken: how a loop ends that clang writes.
pub(crate) fn then_branch_jump<A: Part, T: Decide>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([a, branch, otherwise], _)) = take(ops) else { return Next::Fell };
    let Some(last) = A::act(machine, a) else { return A::ALONE(machine, run, ops, 0) };
    if T::decide(machine, branch) {
        jump::<true>(machine, run, branch, &ops[1..], last)
    } else {
        jump::<true>(machine, run, otherwise, &ops[2..], last)
    }
}

/// A branch, and a jump if it is not taken.
pub(crate) fn branch_jump<T: Decide>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    last: u64,
) -> Next {
    let Some(([branch, otherwise], _)) = take(ops) else { return Next::Fell };
    if T::decide(machine, branch) {
        jump::<true>(machine, run, branch, ops, last)
    } else {
        jump::<true>(machine, run, otherwise, &ops[1..], last)
    }
}

/// Two branches.
pub(crate) fn two_branches<T: Decide, U: Decide>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    last: u64,
) -> Next {
    let Some(([a, b], rest)) = take(ops) else { return Next::Fell };
    if T::decide(machine, a) {
        jump::<true>(machine, run, a, ops, last)
    } else if U::decide(machine, b) {
        jump::<true>(machine, run, b, &ops[1..], last)
    } else {
        go(machine, run, rest, last)
    }
}
