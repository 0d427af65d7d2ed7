//! How large the numbers can be that index the packet, so that sums with them cannot overflow.

use sandbpf_isa::{AluOp, Cond, Extend, Insn, Operand, Pc, Program, Reg, Size, Width};

use super::admit::{Admitted, next};

/// For every register the largest value that it can have.
type Ceilings = [u64; Reg::COUNT];

/// The largest value of the index before every load that has one; the largest number elsewhere.
pub(crate) fn of_indices(program: &Program, admitted: &Admitted) -> Vec<u64> {
    let insns = program.insns();
    if !insns.iter().any(|insn| matches!(insn, Insn::LoadPacket { index: Some(_), .. })) {
        return vec![u64::MAX; insns.len()];
    }
    // Of a way back nothing is known.
    let start = |&head: &bool| if head { [u64::MAX; Reg::COUNT] } else { [0; Reg::COUNT] };
    let mut before: Vec<Ceilings> = admitted.heads.iter().map(start).collect();
    let mut found = vec![u64::MAX; insns.len()];
    // What a register holds where a run starts is 0, but for addresses, which nobody computes with.
    for (index, insn) in insns.iter().enumerate() {
        if !admitted.reached[index] {
            continue;
        }
        let here = before[index];
        if let Insn::LoadPacket { index: Some(reg), .. } = *insn {
            found[index] = here[reg.index()];
        }
        let after = after(insn, here);
        for to in next(Pc(index as u32), insn) {
            let there = refined(insn, to == Pc(index as u32 + 1), after);
            for (old, new) in before[to.index()].iter_mut().zip(there) {
                *old = (*old).max(new);
            }
        }
    }
    found
}

fn after(insn: &Insn, mut at: Ceilings) -> Ceilings {
    match *insn {
        Insn::Alu { op, width, dst, src } => {
            let most = most(width);
            let src = match src {
                Operand::Reg(src) => at[src.index()].min(most),
                Operand::Imm(imm) => imm as i64 as u64 & most,
            };
            let old = at[dst.index()].min(most);
            let constant = matches!(insn, Insn::Alu { src: Operand::Imm(_), .. });
            at[dst.index()] = match op {
                AluOp::Mov => src,
                AluOp::And => old.min(src),
                AluOp::Add => old.checked_add(src).filter(|&sum| sum <= most).unwrap_or(most),
                AluOp::Lsh if constant => {
                    let count = src & (u64::from(width.bits()) - 1);
                    if old <= most >> count { old << count } else { most }
                }
                AluOp::Rsh if constant => old >> (src & (u64::from(width.bits()) - 1)),
                AluOp::Div | AluOp::Mod => old,
                _ => most,
            };
        }
        Insn::LoadPacket { size, .. } => at[Reg::R0.index()] = largest(size),
        Insn::Load { size, extend: Extend::Zero, dst, .. } => at[dst.index()] = largest(size),
        _ => {
            for reg in insn.writes().iter() {
                at[reg.index()] = u64::MAX;
            }
        }
    }
    at
}

/// What a comparison with a constant says of the register on the way that was taken.
fn refined(insn: &Insn, fell_through: bool, mut at: Ceilings) -> Ceilings {
    let Insn::Branch { cond, width, lhs, rhs: Operand::Imm(imm), .. } = *insn else { return at };
    let (reg, most) = (lhs.index(), most(width));
    if at[reg] > most {
        // The comparison looks at the low half only.
        return at;
    }
    let imm = imm as i64 as u64 & most;
    let ceiling = match (cond, fell_through) {
        (Cond::Eq, false) | (Cond::Ne, true) | (Cond::Le, false) | (Cond::Gt, true) => imm,
        (Cond::Lt, false) | (Cond::Ge, true) => imm.saturating_sub(1),
        _ => most,
    };
    at[reg] = at[reg].min(ceiling);
    at
}

fn most(width: Width) -> u64 {
    match width {
        Width::W32 => u64::from(u32::MAX),
        Width::W64 => u64::MAX,
    }
}

fn largest(size: Size) -> u64 {
    u64::MAX >> (64 - 8 * u32::from(size.bytes()))
}
