//! Arithmetic, copies and constants.

use sandbpf_isa::{AluOp, UnaryOp, Width, for_each_unary_op};
use sandbpf_runtime::{Machine, arena};

use crate::meaning::{Binary, Narrow, Unary, Wide, alu, unary};
use crate::op::{ByPair, ByRegister, Handler, Next, Op, Run, each_register, go, read, take, write};

/// `D = D op S`.
pub(crate) fn registers<B: Binary, const D: usize, const S: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some((_, rest)) = take::<1>(ops) else { return Next::Fell };
    let r = &mut machine.registers;
    let value = B::eval(r[D], r[S]);
    r[D] = value;
    go(machine, run, rest, value)
}

/// `D = D op imm`.
pub(crate) fn immediate<B: Binary, const D: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let r = &mut machine.registers;
    let value = B::eval(r[D], op.imm());
    r[D] = value;
    go(machine, run, rest, value)
}

/// `D = D op src`, of any register.
fn any<B: Binary, const D: usize>(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let value = B::eval(machine.registers[D], read(machine, op.src));
    machine.registers[D] = value;
    go(machine, run, rest, value)
}

/// `D = op D`.
fn one<U: Unary, const D: usize>(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some((_, rest)) = take::<1>(ops) else { return Next::Fell };
    let r = &mut machine.registers;
    r[D] = U::eval(r[D]);
    go(machine, run, rest, 0)
}

/// `D` gets the wide immediate.
pub(crate) fn constant<const D: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    machine.registers[D] = u64::from(op.imm as u32) | u64::from(op.to) << 32;
    go(machine, run, rest, 0)
}

/// `dst` gets the low half of `src`.
pub(crate) fn low_half(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let low = read(machine, op.src) as u32;
    write(machine, op.dst, low.into());
    go(machine, run, rest, 0)
}

/// A pointer into the arena becomes one that the program can use.
pub(crate) fn to_kernel(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let low = read(machine, op.src) as u32;
    let alias = if arena::is_taken(low) { arena::ALIAS } else { 0 };
    write(machine, op.dst, alias + u64::from(low));
    go(machine, run, rest, 0)
}

/// A pointer into the arena becomes one that its user can use; the upper half is in `to`.
pub(crate) fn to_user(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let low = read(machine, op.src) as u32;
    let upper = if low == 0 { 0 } else { u64::from(op.to) << 32 };
    write(machine, op.dst, upper | u64::from(low));
    go(machine, run, rest, 0)
}

/// `dst = dst op src`, of any registers.
fn anything<B: Binary>(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let value = B::eval(read(machine, op.dst), read(machine, op.src));
    write(machine, op.dst, value);
    go(machine, run, rest, value)
}

/// `dst = dst op imm`, of any register.
fn any_immediate<B: Binary>(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let value = B::eval(read(machine, op.dst), op.imm());
    write(machine, op.dst, value);
    go(machine, run, rest, value)
}

/// The functions of one operation.
struct Functions<B>(std::marker::PhantomData<B>);

impl<B: Binary> Functions<B> {
    const REGISTERS: ByPair = each_register!(D => each_register!(S => registers::<B, D, S> as Handler));
    const ANY: ByRegister = each_register!(D => any::<B, D> as Handler);
    const IMMEDIATE: ByRegister = each_register!(D => immediate::<B, D> as Handler);

    /// One for every pair of registers.
    fn pairs(dst: usize, src: Option<usize>) -> Handler {
        match src {
            // No column for the frame pointer.
            Some(src) => Self::REGISTERS[dst].get(src).copied().unwrap_or(Self::ANY[dst]),
            None => Self::IMMEDIATE[dst],
        }
    }

    /// One for every register that is written.
    fn written(dst: usize, src: Option<usize>) -> Handler {
        if src.is_some() { Self::ANY[dst] } else { Self::IMMEDIATE[dst] }
    }

    /// One for all.
    fn rare(src: Option<usize>) -> Handler {
        if src.is_some() { anything::<B> } else { any_immediate::<B> }
    }
}

struct UnaryFunctions<U>(std::marker::PhantomData<U>);

impl<U: Unary> UnaryFunctions<U> {
    const ALL: ByRegister = each_register!(D => one::<U, D> as Handler);
}

/// What does an operation of the table on `dst` and `src`, an immediate where there is no `src`.
pub(crate) fn handler(op: AluOp, width: Width, dst: usize, src: Option<usize>) -> Handler {
    /// What programs do all the time has more functions than what they seldom do.
    macro_rules! find {
        ($($Pairs:ident)* ; $($Written:ident)*; $($Rare:ident)*) => {
            match (op, width) {
                $(
                    (AluOp::$Pairs, Width::W64) => Functions::<Wide<alu::$Pairs>>::pairs(dst, src),
                    (AluOp::$Pairs, Width::W32) => Functions::<Narrow<alu::$Pairs>>::pairs(dst, src),
                )*
                $(
                    (AluOp::$Written, Width::W64) => Functions::<Wide<alu::$Written>>::written(dst, src),
                    (AluOp::$Written, Width::W32) => Functions::<Narrow<alu::$Written>>::written(dst, src),
                )*
                $(
                    (AluOp::$Rare, Width::W64) => Functions::<Wide<alu::$Rare>>::rare(src),
                    (AluOp::$Rare, Width::W32) => Functions::<Narrow<alu::$Rare>>::rare(src),
                )*
            }
        };
    }
    find!(Add Sub Or And Xor Mov; Mul Lsh Rsh Arsh Div Mod; Sdiv Smod Movs8 Movs16 Movs32)
}

/// What does a one-operand operation.
pub(crate) fn unary_handler(op: UnaryOp, dst: usize) -> Handler {
    macro_rules! find {
        ($( $(#[doc = $doc:literal])* $Op:ident ($class:ident, $src:ident, $c:literal, $imm:literal) $s:literal |$a:ident| $m:expr; )*) => {
            match op {
                $( UnaryOp::$Op => UnaryFunctions::<unary::$Op>::ALL[dst], )*
            }
        };
    }
    for_each_unary_op!(find)
}

/// What loads a wide immediate.
pub(crate) const CONSTANT: ByRegister = each_register!(D => constant::<D> as Handler);
