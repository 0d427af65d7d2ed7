//! Which registers may still be read at each instruction.

use std::collections::VecDeque;

use sandbpf_isa::{AtomicOp, Callee, Insn, Pc, Program, Reg};

use super::{Calls, Graph, Marks, successors};

/// So often all instructions are looked at in their order.
const SWEEPS: usize = 6;

const ALL: u16 = 0xffff;
/// `r0` … `r5`: what a call leaves undefined.
const CALLER_SAVED: u16 = 0x3f;

fn bit(reg: Reg) -> u16 {
    1 << reg.number()
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
        _ => (insn.reads().bits(), insn.writes().bits()),
    }
}

/// Solves liveness over each function and writes it into the marks.
pub(super) fn mark(program: &Program, calls: &dyn Calls, loops: bool, graph: &mut Graph) {
    let uses: Vec<_> = program.insns().iter().map(|insn| uses(insn, calls)).collect();
    for function in 0..graph.functions.len() {
        let order = std::mem::take(&mut graph.functions[function].postorder);
        let mut equations = Equations { program, uses: &uses, marks: &mut graph.marks };
        if !loops {
            // What follows was looked at before.
            order.iter().for_each(|&pc| _ = equations.solve_insn(pc));
            graph.functions[function].postorder = order;
            continue;
        }
        // Loops within loops need a few sweeps; those that are entangled need as many as there are jumps back.
        if (0..SWEEPS).all(|_| order.iter().fold(false, |changed, &pc| equations.solve_insn(pc) | changed)) {
            equations.settle(&order);
        }
        graph.functions[function].postorder = order;
    }
}

/// What may be read from each instruction on follows from what may be read after it.
struct Equations<'e> {
    program: &'e Program,
    uses: &'e [(u16, u16)],
    marks: &'e mut [Marks],
}

impl Equations<'_> {
    /// Whether that is news.
    fn solve_insn(&mut self, pc: Pc) -> bool {
        let next = successors(&self.program.insns()[pc.index()], pc);
        let live = |to: &Pc| self.marks.get(to.index()).map_or(0, |marks| marks.live);
        let out = next.iter().flatten().fold(0, |out, to| out | live(to));
        let (read, written) = self.uses[pc.index()];
        let live = (out & !written) | read;
        let marks = &mut self.marks[pc.index()];
        std::mem::replace(&mut marks.live, live) != live
    }

    /// Solves all of a function, and again whatever comes before what changed.
    fn settle(&mut self, order: &[Pc]) {
        let edges =
            |pc: Pc| successors(&self.program.insns()[pc.index()], pc).map(|to| to.map(|to| (to, pc)));
        let mut before: Vec<(Pc, Pc)> = order.iter().flat_map(|&pc| edges(pc)).flatten().collect();
        before.sort_unstable();
        let mut waiting = VecDeque::from(order.to_vec());
        while let Some(pc) = waiting.pop_front() {
            if self.solve_insn(pc) {
                let first = before.partition_point(|edge| edge.0 < pc);
                waiting.extend(before[first..].iter().take_while(|edge| edge.0 == pc).map(|edge| edge.1));
            }
        }
    }
}
