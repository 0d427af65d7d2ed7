//! An address and a load from it.

use sandbpf_isa::{AluOp, Extend, Insn, Operand, Size, Width};
use sandbpf_runtime::Machine;

use super::Found;
use super::part::{Load, Part};
use crate::meaning::{Binary, Narrow, Wide, alu};
use crate::op::{ByRegister, Handler, Next, Op, Run, each_register, go, read, take, write};

/// `a = b; a += c; d = *(a + off)`.
fn at_sum<const N: usize>(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some(([copy, add, load], rest)) = take(ops) else { return Next::Fell };
    let sum = read(machine, copy.src).wrapping_add(read(machine, add.src));
    write(machine, copy.dst, sum);
    match machine.memory.read_near::<N>(load.address(sum)) {
        Some(value) => write(machine, load.dst, value),
        None => return Load::<N>::ALONE(machine, run, &ops[2..], sum),
    }
    go(machine, run, rest, sum)
}

/// `a += c; d = *(a + off)`.
fn at_moved<const N: usize>(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some(([add, load], rest)) = take(ops) else { return Next::Fell };
    let sum = read(machine, add.dst).wrapping_add(read(machine, add.src));
    write(machine, add.dst, sum);
    match machine.memory.read_near::<N>(load.address(sum)) {
        Some(value) => write(machine, load.dst, value),
        None => return Load::<N>::ALONE(machine, run, &ops[1..], sum),
    }
    go(machine, run, rest, sum)
}

/// `a = b; a += c; d = *(a + off); E = E op d`.
fn at_sum_into<B: Binary, const N: usize, const E: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([copy, add, load, _], rest)) = take(ops) else { return Next::Fell };
    let sum = read(machine, copy.src).wrapping_add(read(machine, add.src));
    write(machine, copy.dst, sum);
    let Some(value) = machine.memory.read_near::<N>(load.address(sum)) else {
        return Load::<N>::ALONE(machine, run, &ops[2..], sum);
    };
    write(machine, load.dst, value);
    let result = B::eval(machine.registers[E], value);
    machine.registers[E] = result;
    go(machine, run, rest, result)
}

/// `d = *(b + off); E = E op d`.
fn into<B: Binary, const N: usize, const E: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([load, _], rest)) = take(ops) else { return Next::Fell };
    let Some(value) = machine.memory.read_near::<N>(load.address(read(machine, load.src))) else {
        return Load::<N>::ALONE(machine, run, ops, 0);
    };
    write(machine, load.dst, value);
    let result = B::eval(machine.registers[E], value);
    machine.registers[E] = result;
    go(machine, run, rest, result)
}

struct Functions<B>(std::marker::PhantomData<B>);

impl<B: Binary> Functions<B> {
    const AT_SUM: [ByRegister; 4] = [
        each_register!(E => at_sum_into::<B, 1, E> as Handler),
        each_register!(E => at_sum_into::<B, 2, E> as Handler),
        each_register!(E => at_sum_into::<B, 4, E> as Handler),
        each_register!(E => at_sum_into::<B, 8, E> as Handler),
    ];
    const INTO: [ByRegister; 4] = [
        each_register!(E => into::<B, 1, E> as Handler),
        each_register!(E => into::<B, 2, E> as Handler),
        each_register!(E => into::<B, 4, E> as Handler),
        each_register!(E => into::<B, 8, E> as Handler),
    ];
}

const AT_SUM: [Handler; 4] = [at_sum::<1>, at_sum::<2>, at_sum::<4>, at_sum::<8>];
const AT_MOVED: [Handler; 4] = [at_moved::<1>, at_moved::<2>, at_moved::<4>, at_moved::<8>];

pub(super) fn find(insns: &[Insn], found: &mut Found) {
    if let [Insn::Load { size, extend: Extend::Zero, dst, .. }, ref rest @ ..] = *insns
        && let Some((op, width, result)) = takes(rest, dst)
        && let Some(functions) = functions(op, width, false)
    {
        found.add(2, functions[size as usize][result]);
    }
    if let [
        Insn::Alu { op: AluOp::Add, width: Width::W64, dst: sum, src: Operand::Reg(_) },
        Insn::Load { size, extend: Extend::Zero, base, .. },
        ..,
    ] = *insns
        && sum == base
    {
        found.add(2, AT_MOVED[size as usize]);
    }
    let [
        Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: copy, src: Operand::Reg(_) },
        Insn::Alu { op: AluOp::Add, width: Width::W64, dst: sum, src: Operand::Reg(addend) },
        Insn::Load { size, extend: Extend::Zero, dst, base, .. },
        ref rest @ ..,
    ] = *insns
    else {
        return;
    };
    if copy != sum || sum != base || addend == copy {
        return;
    }
    found.add(3, AT_SUM[size as usize]);
    if let Some((op, width, result)) = takes(rest, dst)
        && let Some(functions) = functions(op, width, true)
    {
        found.add(4, functions[size as usize][result]);
    }
}

/// Whether the first of these instructions puts `value` into another register: how, and into which.
fn takes(insns: &[Insn], value: sandbpf_isa::Reg) -> Option<(AluOp, Width, usize)> {
    match *insns {
        [Insn::Alu { op, width, dst, src: Operand::Reg(src) }, ..] if src == value && dst != value => {
            Some((op, width, dst.index()))
        }
        _ => None,
    }
}

fn functions(op: AluOp, width: Width, at_sum: bool) -> Option<&'static [ByRegister; 4]> {
    macro_rules! of {
        ($($Op:ident)*) => {
            match (op, width) {
                $(
                    (AluOp::$Op, Width::W64) if at_sum => &Functions::<Wide<alu::$Op>>::AT_SUM,
                    (AluOp::$Op, Width::W32) if at_sum => &Functions::<Narrow<alu::$Op>>::AT_SUM,
                    (AluOp::$Op, Width::W64) => &Functions::<Wide<alu::$Op>>::INTO,
                    (AluOp::$Op, Width::W32) => &Functions::<Narrow<alu::$Op>>::INTO,
                )*
                _ => return None,
            }
        };
    }
    Some(of!(Add Xor))
}

/// The sizes of loads, in order.
const _: () = assert!(Size::B as usize == 0 && Size::DW as usize == 3);
