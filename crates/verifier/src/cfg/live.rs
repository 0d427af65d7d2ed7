//! Which registers may still be read at each instruction.

use sandbpf_isa::{AtomicOp, Callee, Insn, Program, Reg, RegSet};

use super::{Calls, Graph, successors};

const ALL: u16 = 0xffff;
/// `r0` … `r5`: what a call leaves undefined.
const CALLER_SAVED: u16 = 0x3f;

fn bit(reg: Reg) -> u16 {
    1 << reg.number()
}

fn bits(set: RegSet) -> u16 {
    set.iter().fold(0, |bits, reg| bits | bit(reg))
}

/// What an instruction reads, and what it overwrites.
fn uses(insn: &Insn, calls: &dyn Calls) -> (u16, u16) {
    match *insn {
        // Ends the function at times: everything counts.
        Insn::LoadPacket { .. } => (ALL, 0),
        Insn::Call { callee } => {
            let read = match callee {
                Callee::Helper(_) | Callee::Kfunc { .. } => match calls.effects(callee).params {
                    Some(params) => ((1u16 << (params + 1)) - 1) & !1,
                    None => CALLER_SAVED & !1,
                },
                _ => CALLER_SAVED & !1,
            };
            (read, CALLER_SAVED)
        }
        Insn::Atomic { op: AtomicOp::Cmpxchg, base, reg, .. } => (1 | bit(base) | bit(reg), 1),
        _ => (bits(insn.reads()), bits(insn.writes())),
    }
}

/// Solves liveness over each function and writes it into the marks.
pub(super) fn mark(program: &Program, calls: &dyn Calls, graph: &mut Graph) {
    let uses: Vec<_> = program.insns().iter().map(|insn| uses(insn, calls)).collect();
    for function in 0..graph.functions.len() {
        let order = std::mem::take(&mut graph.functions[function].postorder);
        loop {
            let mut changed = false;
            for &pc in &order {
                let next = successors(&program.insns()[pc.index()], pc);
                let out = next
                    .iter()
                    .flatten()
                    .fold(0, |out, to| out | graph.marks.get(to.index()).map_or(0, |marks| marks.live));
                let (read, written) = uses[pc.index()];
                let live = (out & !written) | read;
                changed |= live != graph.marks[pc.index()].live;
                graph.marks[pc.index()].live = live;
            }
            if !changed {
                break;
            }
        }
        graph.functions[function].postorder = order;
    }
}
