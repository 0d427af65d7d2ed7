//! A copy and arithmetic on it: operations with three operands.

use sandbpf_isa::{AluOp, Insn, Operand, Width};
use sandbpf_runtime::Machine;

use super::Found;
use crate::meaning::{Binary, Narrow, Wide, alu};
use crate::op::{ByPair, ByRegister, Handler, Next, Op, Run, each_register, go, read, take};

/// `D = S; D = D op src`, where `src` is not `D`.
fn registers<B: Binary, const D: usize, const S: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([_, op], rest)) = take(ops) else { return Next::Fell };
    let value = B::eval(machine.registers[S], read(machine, op.src));
    machine.registers[D] = value;
    go(machine, run, rest, value)
}

/// `D = S; D = D op imm`.
fn immediate<B: Binary, const D: usize, const S: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([_, op], rest)) = take(ops) else { return Next::Fell };
    let value = B::eval(machine.registers[S], op.imm());
    machine.registers[D] = value;
    go(machine, run, rest, value)
}

/// `D = src; D = D op src`, where the second `src` is not `D`.
fn any_registers<B: Binary, const D: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([copy, op], rest)) = take(ops) else { return Next::Fell };
    let value = B::eval(read(machine, copy.src), read(machine, op.src));
    machine.registers[D] = value;
    go(machine, run, rest, value)
}

/// `D = src; D = D op imm`.
fn any_immediate<B: Binary, const D: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([copy, op], rest)) = take(ops) else { return Next::Fell };
    let value = B::eval(read(machine, copy.src), op.imm());
    machine.registers[D] = value;
    go(machine, run, rest, value)
}

struct Functions<B>(std::marker::PhantomData<B>);

impl<B: Binary> Functions<B> {
    const REGISTERS: ByPair = each_register!(D => each_register!(S => registers::<B, D, S> as Handler));
    const IMMEDIATE: ByPair = each_register!(D => each_register!(S => immediate::<B, D, S> as Handler));
    const ANY_REGISTERS: ByRegister = each_register!(D => any_registers::<B, D> as Handler);
    const ANY_IMMEDIATE: ByRegister = each_register!(D => any_immediate::<B, D> as Handler);
}

pub(super) fn find(insns: &[Insn], found: &mut Found) {
    let [
        Insn::Alu { op: AluOp::Mov, width, dst, src: Operand::Reg(from) },
        Insn::Alu { op, width: second, dst: to, src },
        ..,
    ] = *insns
    else {
        return;
    };
    if to != dst || second != width {
        return;
    }
    macro_rules! find {
        ($BOTH:ident: $($Both:ident)* ; $ANY:ident: $($Wide:ident)* ; $($Narrow:ident)*) => {
            match (op, width) {
                $(
                    (AluOp::$Both, Width::W64) =>
                        Functions::<Wide<alu::$Both>>::$BOTH[dst.index()].get(from.index()).copied(),
                    (AluOp::$Both, Width::W32) =>
                        Functions::<Narrow<alu::$Both>>::$BOTH[dst.index()].get(from.index()).copied(),
                )*
                $( (AluOp::$Wide, Width::W64) => Some(Functions::<Wide<alu::$Wide>>::$ANY[dst.index()]), )*
                $( (AluOp::$Narrow, Width::W32) => Some(Functions::<Narrow<alu::$Narrow>>::$ANY[dst.index()]), )*
                _ => None,
            }
        };
    }
    let run = match src {
        Operand::Imm(_) => find!(IMMEDIATE: Lsh Rsh; ANY_IMMEDIATE: Add And; Add And),
        Operand::Reg(src) if src != dst => {
            find!(REGISTERS: Add; ANY_REGISTERS: Sub Mul Or And Xor; Sub Or And Xor)
        }
        Operand::Reg(_) => None,
    };
    if let Some(run) = run {
        found.add(2, run);
    }
}
