//! Operations, and how one leads to the next.
//!
//! An operation is a function and what it needs to know: the function does the work and calls that of the following
//! operation, in place of returning. Compilers make a jump of such a call, so that a program runs from function to
//! function without a loop in between, and the processor predicts each step by where it comes from.
//!
//! Nobody promises that jump: where the compiler is told not to optimise, calls pile up on the host's stack. So
//! every way through a program comes back to [`Code`](crate::Code) after a bounded number of operations: jumps back use up
//! a [window](WINDOW), and straight code has [rests](crate::rest). Then there are at most about a thousand calls, whatever the
//! program does.

use sandbpf_isa::{MAY_GOTO_LIMIT, Pc};
use sandbpf_runtime::{Machine, Trap};

/// One operation. What the fields mean depends on the function.
#[derive(Clone, Copy)]
pub(crate) struct Op {
    /// What does it.
    pub(crate) run: Handler,
    /// An immediate, sign-extended where it is used.
    pub(crate) imm: i32,
    /// A target, an offset, or the upper half of a wide immediate.
    pub(crate) to: u32,
    /// What a jump or a call costs of the [window](WINDOW).
    pub(crate) cost: u32,
    pub(crate) dst: u8,
    pub(crate) src: u8,
    /// How a branch compares, for sequences that look.
    pub(crate) test: u8,
}

impl Op {
    /// The immediate, sign-extended.
    #[inline(always)]
    pub(crate) fn imm(&self) -> u64 {
        self.imm as u64
    }

    /// The address `base + off`, where the offset is in `to`.
    #[inline(always)]
    pub(crate) fn address(&self, base: u64) -> u64 {
        base.wrapping_add(self.to as i32 as u64)
    }
}

/// Does the first of these operations and those after it.
pub(crate) type Handler = fn(&mut Machine<'_>, &mut Run<'_>, &[Op], u64) -> Next;

/// How much of the budget a run may use before it comes back to [`Code`](crate::Code), which has the rest.
pub(crate) const WINDOW: u32 = 512;

/// What a jump costs that leads past a [rest](crate::rest): more than any window has.
pub(crate) const BEYOND: u32 = u32::MAX;

/// What operations know of the run besides the machine.
pub(crate) struct Run<'p> {
    /// All operations of the program.
    pub(crate) ops: &'p [Op],
    /// What is left of the window.
    pub(crate) window: u32,
    /// How many operations there are from the jump back on that was taken last, and those it led to.
    pub(crate) from: usize,
    pub(crate) again: &'p [Op],
    /// The operation that came back.
    pub(crate) at: u32,
    /// The frame that was entered first.
    pub(crate) lowest: usize,
    /// How many `may_goto`s the frame has left.
    pub(crate) may_goto: u64,
    /// Why the run stops.
    pub(crate) trap: Option<Trap>,
}

/// Why an operation came back instead of going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The function ends.
    Exit,
    /// The operation at `at` is to be done, after a rest.
    Rest,
    /// The jump at `at` was taken, but costs more than the window has.
    Spent,
    /// So does the call at `at`.
    Call,
    /// The call through a register at `at` is to be made.
    CallRegister,
    /// So is the call of a helper.
    Helper,
    /// So is that of a kernel function.
    Kfunc,
    /// There is no operation after the last.
    Fell,
    /// It trapped.
    Trap,
}

impl<'p> Run<'p> {
    /// A run of these operations that has just entered frame `lowest`.
    #[inline]
    pub(crate) fn new(ops: &'p [Op], lowest: usize) -> Self {
        Run { ops, window: 0, from: 0, again: &[], at: 0, lowest, may_goto: MAY_GOTO_LIMIT, trap: None }
    }

    /// Where the first of these operations stands.
    #[inline(always)]
    pub(crate) fn index(&self, ops: &[Op]) -> u32 {
        (self.ops.len() - ops.len()) as u32
    }

    /// Comes back from the first of these operations.
    #[inline(always)]
    pub(crate) fn back(&mut self, ops: &[Op], why: Next) -> Next {
        self.at = self.index(ops);
        why
    }

    /// Stops the run at the first of these operations.
    #[cold]
    #[inline(never)]
    pub(crate) fn stop(&mut self, ops: &[Op], trap: impl FnOnce(Pc) -> Trap) -> Next {
        self.trap = Some(trap(Pc(self.index(ops))));
        Next::Trap
    }
}

/// The first `N` operations, and those after them; `None` if there are none after them, which is so of the
/// last one only: it stands behind the program.
#[inline(always)]
pub(crate) fn take<const N: usize>(ops: &[Op]) -> Option<(&[Op; N], &[Op])> {
    if ops.len() > N { ops.split_first_chunk() } else { None }
}

/// What a register holds that an operation gives the number of. Programs have no other numbers than registers have: a test
/// that never fails costs less than the call of what would complain.
#[inline(always)]
pub(crate) fn read(machine: &Machine<'_>, register: u8) -> u64 {
    machine.registers.get(usize::from(register)).copied().unwrap_or_default()
}

/// Sets a register that an operation gives the number of.
#[inline(always)]
pub(crate) fn write(machine: &mut Machine<'_>, register: u8, value: u64) {
    if let Some(register) = machine.registers.get_mut(usize::from(register)) {
        *register = value;
    }
}

/// Does these operations.
#[inline(always)]
pub(crate) fn go(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], last: u64) -> Next {
    match ops {
        [op, ..] => (op.run)(machine, run, ops, last),
        [] => Next::Fell,
    }
}

/// Takes the jump of `op`, which is the first of `ops`. One that goes back, or [far](BEYOND), is paid for.
#[inline(always)]
pub(crate) fn jump<const PAID: bool>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    op: &Op,
    ops: &[Op],
    last: u64,
) -> Next {
    let target = if PAID && op.cost > 0 {
        match run.window.checked_sub(op.cost) {
            Some(left) => run.window = left,
            None => return run.back(ops, Next::Spent),
        }
        // Loops go back again and again. That this is the jump back which was taken last is soon guessed; where it leads would
        // be known only when the operation is read, and the operation it leads to is waited for.
        if run.from == ops.len() {
            Some(run.again)
        } else {
            let target = run.ops.get(op.to as usize..);
            (run.from, run.again) = (ops.len(), target.unwrap_or_default());
            target
        }
    } else {
        run.ops.get(op.to as usize..)
    };
    match target {
        Some(ops) => go(machine, run, ops, last),
        None => Next::Fell,
    }
}

/// An array with one element for each register that can be written, in which `$D` is the register's number.
macro_rules! each_register {
    ($D:ident => $element:expr) => {
        [
            {
                const $D: usize = 0;
                $element
            },
            {
                const $D: usize = 1;
                $element
            },
            {
                const $D: usize = 2;
                $element
            },
            {
                const $D: usize = 3;
                $element
            },
            {
                const $D: usize = 4;
                $element
            },
            {
                const $D: usize = 5;
                $element
            },
            {
                const $D: usize = 6;
                $element
            },
            {
                const $D: usize = 7;
                $element
            },
            {
                const $D: usize = 8;
                $element
            },
            {
                const $D: usize = 9;
                $element
            },
        ]
    };
}
pub(crate) use each_register;

/// The same with one for the frame pointer, which can only be read.
macro_rules! each_base {
    ($S:ident => $element:expr) => {{
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = crate::op::each_register!($S => $element);
        let r10 = { const $S: usize = 10; $element };
        [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10]
    }};
}
pub(crate) use each_base;

/// Functions by the register that they write.
pub(crate) type ByRegister = [Handler; 10];
/// Functions by the register that they write, and the one that they read.
pub(crate) type ByPair = [[Handler; 10]; 10];
