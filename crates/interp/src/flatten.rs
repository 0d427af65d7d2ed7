//! From instructions to operations.

use sandbpf_isa::{AddressSpace, Callee, Imm64, Insn, Operand, Program, Reg};
use sandbpf_runtime::{address, arena};

use crate::fused::part::Equality;
use crate::handlers::{arithmetic, branch, control, memory};
use crate::op::{BEYOND, Handler, Op};
use crate::rest;

/// The operations of a program that rests at these places, one for each instruction, and what stands behind the last.
pub(crate) fn flatten(program: &Program, rests: &[u32]) -> Box<[Op]> {
    let insns = program.insns().iter().enumerate();
    let ops = insns.map(|(at, insn)| flat(program, rests, at as u32, insn));
    ops.chain([plain(control::fell)]).collect()
}

fn plain(run: Handler) -> Op {
    Op { run, imm: 0, to: 0, cost: 0, dst: 0, src: 0, test: 0 }
}

fn flat(program: &Program, rests: &[u32], at: u32, insn: &Insn) -> Op {
    let op = |run: Handler, dst: Reg, src: Operand| {
        let dst = dst.number();
        match src {
            Operand::Reg(src) => Op { dst, src: src.number(), ..plain(run) },
            Operand::Imm(imm) => Op { dst, imm, ..plain(run) },
        }
    };
    let index = |operand: Operand| operand.reg().map(Reg::index);
    let cost = |to: u32| match to {
        _ if to <= at => at - to + 1,
        _ if rest::is_beyond(rests, at, to) => BEYOND,
        _ => 0,
    };
    if insn.writes().contains(Reg::R10) {
        return plain(control::frame_pointer);
    }
    match *insn {
        Insn::Alu { op: alu, width, dst, src } => {
            op(arithmetic::handler(alu, width, dst.index(), index(src)), dst, src)
        }
        Insn::Unary { op: unary, dst } => {
            op(arithmetic::unary_handler(unary, dst.index()), dst, Operand::Imm(0))
        }
        Insn::Cast { dst, src, to } => match (program.arena(), to) {
            (Some(_), AddressSpace::Kernel) => op(arithmetic::to_kernel, dst, src.into()),
            (Some(arena), AddressSpace::User) if arena.converts => {
                let to = (arena::upper(arena) >> 32) as u32;
                Op { to, ..op(arithmetic::to_user, dst, src.into()) }
            }
            _ => op(arithmetic::low_half, dst, src.into()),
        },
        Insn::LoadImm { dst, value } => {
            let value = match value {
                Imm64::Number(value) => value,
                Imm64::Function(entry) => address::function(entry),
                Imm64::Map(_) | Imm64::MapValue(..) | Imm64::Variable { .. } => {
                    return plain(control::unresolved);
                }
            };
            let run = arithmetic::CONSTANT[dst.index()];
            Op { to: (value >> 32) as u32, ..op(run, dst, Operand::Imm(value as i32)) }
        }
        Insn::Load { size, extend, dst, base, off } => {
            let run = memory::load_handler(size, extend, dst.index(), base.index());
            Op { to: off as u32, ..op(run, dst, base.into()) }
        }
        Insn::Store { size, base, off, src } => {
            let run = memory::store_handler(size, base.index(), src.reg().is_some());
            Op { to: off as u32, ..op(run, base, src) }
        }
        Insn::Atomic { op: atomic, size, base, off, reg } => {
            let imm = i32::from(size.bytes()) << 16 | atomic.encoding();
            Op { to: off as u32, imm, ..op(memory::atomic, base, reg.into()) }
        }
        Insn::LoadPacket { size, index, off } => {
            let run = memory::packet_handler(size, index.is_some());
            Op { imm: off, ..op(run, Reg::R0, index.unwrap_or(Reg::R0).into()) }
        }
        Insn::Jump { to, reach: _ } => {
            let cost = cost(to.0);
            let run = if cost > 0 { control::jump::<true> } else { control::jump::<false> };
            Op { to: to.0, cost, ..plain(run) }
        }
        Insn::MayGoto { to } => Op { to: to.0, cost: cost(to.0), ..plain(control::may_goto) },
        Insn::Branch { cond, width, lhs, rhs, to } => {
            let cost = cost(to.0);
            let run = branch::handler(cond, width, rhs.reg().is_some(), cost > 0);
            Op { to: to.0, cost, test: Equality::code(cond, width), ..op(run, lhs, rhs) }
        }
        Insn::Call { callee } => match callee {
            Callee::Helper(id) => Op { imm: id, ..plain(control::helper) },
            Callee::Local(entry) => {
                let cost = program.function_of(entry).cost;
                Op { cost, to: entry.0, ..plain(control::call) }
            }
            Callee::Register(reg) => op(control::call_register, Reg::R0, reg.into()),
            Callee::Kfunc { id, module: 0 } => Op { imm: id, ..plain(control::kfunc) },
            Callee::Kfunc { .. } => plain(control::unresolved),
        },
        Insn::Exit => plain(control::exit),
    }
}
