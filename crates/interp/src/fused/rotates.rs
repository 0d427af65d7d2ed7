//! Rotates: BPF has none, so compilers write two shifts and an `or`.

use sandbpf_isa::{AluOp, Insn, Operand, Reg, Width};
use sandbpf_runtime::Machine;

use super::Found;
use crate::meaning::{Binary, Narrow, Wide, alu};
use crate::op::{ByPair, ByRegister, Handler, Next, Op, Run, each_register, go, take, write};

/// `t = X; t = t first imm; X = X second imm; X = X | t`: one half of the result is made in another register.
fn in_place<F: Binary, S: Binary, O: Binary, const X: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([copy, first, second, _], rest)) = take(ops) else { return Next::Fell };
    let whole = machine.registers[X];
    let half = F::eval(whole, first.imm());
    write(machine, copy.dst, half);
    let value = O::eval(S::eval(whole, second.imm()), half);
    machine.registers[X] = value;
    go(machine, run, rest, value)
}

/// `t = X; t = t first imm; Y = X; Y = Y second imm; Y = Y | t`: both halves are.
fn apart<F: Binary, S: Binary, O: Binary, const Y: usize, const X: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([copy, first, _, second, _], rest)) = take(ops) else { return Next::Fell };
    let whole = machine.registers[X];
    let half = F::eval(whole, first.imm());
    write(machine, copy.dst, half);
    let value = O::eval(S::eval(whole, second.imm()), half);
    machine.registers[Y] = value;
    go(machine, run, rest, value)
}

struct Functions<F, S, O>(std::marker::PhantomData<(F, S, O)>);

impl<F: Binary, S: Binary, O: Binary> Functions<F, S, O> {
    const IN_PLACE: ByRegister = each_register!(X => in_place::<F, S, O, X> as Handler);
    const APART: ByPair = each_register!(Y => each_register!(X => apart::<F, S, O, Y, X> as Handler));
}

/// `dst = src`, which is `(width, dst, src)`.
fn copy(insn: Insn) -> Option<(Width, Reg, Reg)> {
    match insn {
        Insn::Alu { op: AluOp::Mov, width, dst, src: Operand::Reg(src) } if src != Reg::R10 => {
            Some((width, dst, src))
        }
        _ => None,
    }
}

/// A shift of a register by a constant: whether to the left.
fn shift(insn: Insn, reg: Reg, on: Width) -> Option<bool> {
    match insn {
        Insn::Alu { op, width, dst, src: Operand::Imm(_) } if dst == reg && width == on => match op {
            AluOp::Lsh => Some(true),
            AluOp::Rsh => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// `reg |= half`.
fn is_or(insn: Insn, reg: Reg, half: Reg, on: Width) -> bool {
    insn == Insn::Alu { op: AluOp::Or, width: on, dst: reg, src: Operand::Reg(half) }
}

pub(super) fn find(insns: &[Insn], found: &mut Found) {
    macro_rules! functions {
        ($width:expr, $left:expr => $TABLE:ident) => {
            match ($width, $left) {
                (Width::W64, true) => &Functions::<Wide<alu::Lsh>, Wide<alu::Rsh>, Wide<alu::Or>>::$TABLE,
                (Width::W64, false) => &Functions::<Wide<alu::Rsh>, Wide<alu::Lsh>, Wide<alu::Or>>::$TABLE,
                (Width::W32, true) => {
                    &Functions::<Narrow<alu::Lsh>, Narrow<alu::Rsh>, Narrow<alu::Or>>::$TABLE
                }
                (Width::W32, false) => {
                    &Functions::<Narrow<alu::Rsh>, Narrow<alu::Lsh>, Narrow<alu::Or>>::$TABLE
                }
            }
        };
    }
    let [first, second, third, fourth, ..] = *insns else { return };
    let Some((width, half, whole)) = copy(first) else { return };
    let Some(left) = shift(second, half, width) else { return };
    if half == whole {
        return;
    }
    if shift(third, whole, width) == Some(!left) {
        if is_or(fourth, whole, half, width) {
            found.add(4, functions!(width, left => IN_PLACE)[whole.index()]);
        }
        return;
    }
    let (Some((again, result, from)), Some(&fifth)) = (copy(third), insns.get(4)) else { return };
    if again == width
        && from == whole
        && result != half
        && result != whole
        && shift(fourth, result, width) == Some(!left)
        && is_or(fifth, result, half, width)
    {
        found.add(5, functions!(width, left => APART)[result.index()][whole.index()]);
    }
}
