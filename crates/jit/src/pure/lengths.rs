//! One test of the packet's length for several loads.
//!
//! A load beyond the packet's end ends the program with 0. If every way from a load on either needs more of the packet
//! or answers 0 anyway, the packet may be asked for all of that at once; and what was asked for need not be asked again.

use sandbpf_isa::{AluOp, Insn, Operand, Pc, Program, Reg};

use super::admit::{Admitted, next};

/// No packet is this long: from here on the answer is 0.
const NEVER: u64 = u64::MAX;

/// How long the packet must be at every load with a constant offset: `None` where that is known already.
pub(crate) fn tests(program: &Program, admitted: &Admitted) -> Vec<Option<u64>> {
    let insns = program.insns();
    let needed = needed(insns, admitted);
    // Of a way back nothing is known.
    let mut known: Vec<u64> = admitted.heads.iter().map(|&head| if head { 0 } else { NEVER }).collect();
    known[0] = 0;
    let mut tests = vec![None; insns.len()];
    for (index, insn) in insns.iter().enumerate() {
        if !admitted.reached[index] {
            continue;
        }
        let mut here = known[index];
        if let Some(end) = end(insn)
            && here < end
        {
            // Beyond all packets nothing is gained by asking for more.
            here = if needed[index] == NEVER { end } else { needed[index] };
            tests[index] = Some(here);
        }
        for to in next(Pc(index as u32), insn) {
            known[to.index()] = known[to.index()].min(here);
        }
    }
    tests
}

/// The largest length of which it is true that any shorter packet is answered with 0 from this instruction on.
fn needed(insns: &[Insn], admitted: &Admitted) -> Vec<u64> {
    let mut needed = vec![0; insns.len()];
    for (index, insn) in insns.iter().enumerate().rev() {
        if !admitted.reached[index] {
            continue;
        }
        let after = |to: Pc| if to.index() > index { needed[to.index()] } else { 0 };
        let after = next(Pc(index as u32), insn).map(after).min();
        needed[index] = match insn {
            Insn::Alu { op: AluOp::Mov, dst: Reg::R0, src: Operand::Imm(0), .. }
                if insns.get(index + 1) == Some(&Insn::Exit) =>
            {
                NEVER
            }
            _ => after.unwrap_or(0).max(end(insn).unwrap_or(0)),
        };
    }
    needed
}

/// Where the bytes end that a load at a constant offset reads.
fn end(insn: &Insn) -> Option<u64> {
    match *insn {
        Insn::LoadPacket { size, index: None, off } => {
            Some(u64::try_from(off).ok()? + u64::from(size.bytes()))
        }
        _ => None,
    }
}
