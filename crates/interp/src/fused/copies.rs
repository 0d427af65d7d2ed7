//! A copy and arithmetic on it: operations with three operands.

use sandbpf_isa::{AluOp, Insn, Operand, Width};
use sandbpf_runtime::Machine;

use super::Found;
use crate::meaning::{Binary, Narrow, Wide, alu};
use crate::op::{ByPair, Handler, Next, Op, Run, each_register, go, read, take};

/// `D = S; D = D op src`, where `src` is not `D`.
fn registers<B: Binary, const D: usize, const S: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    last: u64,
) -> Next {
    let Some(([_, op], rest)) = take(ops) else { return Next::Fell };
    machine.registers[D] = B::eval(machine.registers[S], read(machine, op.src));
    go(machine, run, rest, last)
}

/// `D = S; D = D op imm`.
fn immediate<B: Binary, const D: usize, const S: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    last: u64,
) -> Next {
    let Some(([_, op], rest)) = take(ops) else { return Next::Fell };
    machine.registers[D] = B::eval(machine.registers[S], op.imm());
    go(machine, run, rest, last)
}

struct Functions<B>(std::marker::PhantomData<B>);

impl<B: Binary> Functions<B> {
    const REGISTERS: ByPair = each_register!(D => each_register!(S => registers::<B, D, S> as Handler));
    const IMMEDIATE: ByPair = each_register!(D => each_register!(S => immediate::<B, D, S> as Handler));
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
    macro_rules! table {
        ($TABLE:ident: $($Wide:ident)* ; $($Narrow:ident)*) => {
            match (op, width) {
                $( (AluOp::$Wide, Width::W64) => &Functions::<Wide<alu::$Wide>>::$TABLE, )*
                $( (AluOp::$Narrow, Width::W32) => &Functions::<Narrow<alu::$Narrow>>::$TABLE, )*
                _ => return,
            }
        };
    }
    let table = match src {
        Operand::Imm(_) => table!(IMMEDIATE: Add And Lsh Rsh; Add And Lsh Rsh),
        Operand::Reg(src) if src != dst => table!(REGISTERS: Add Sub Mul Or And Xor; Add Sub Or And Xor),
        Operand::Reg(_) => return,
    };
    if let Some(&run) = table[dst.index()].get(from.index()) {
        found.add(2, run);
    }
}
