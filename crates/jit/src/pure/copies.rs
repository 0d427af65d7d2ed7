//! Copies between registers, undone: who reads a copy reads what it is a copy of, who makes a value to be copied makes it
//! where it goes, and what nobody reads is not made.
//!
//! ```text
//! r0 = packet[14 : 1]          r7 = packet[14 : 1]
//! w0 &= 15                     w7 &= 15
//! w0 <<= 2                     w7 <<= 2
//! w7 = w0                      r0 = packet[r7 + 14 : 2]
//! r0 = packet[r7 + 14 : 2]
//! ```

use sandbpf_isa::{AluOp, Insn, Operand, Reg, RegSet};

use super::blocks::{BlockId, Blocks, End, Flow, Step, Test};
use super::live::{self, Live};

/// How far a copy may be from what made its value.
const FAR: usize = 16;

/// Undoes copies within each block. Registers' upper halves are zero: a copy of the lower half is a copy.
pub(crate) fn run(blocks: &mut Blocks, flow: &Flow) {
    if !blocks.steps.iter().any(|step| copied(step).is_some()) || !blocks.is_narrow() {
        return;
    }
    let mut steps = Vec::new();
    // From the end to the start, so that a block knows what its followers no longer read.
    let mut live = Live::of(blocks, flow);
    for &id in flow.order.iter().rev() {
        let behind = live.behind(blocks, id);
        steps.clear();
        steps.extend_from_slice(blocks.steps(id));
        if steps.iter().any(|step| copied(step).is_some()) {
            let at_end = behind.union(blocks.read_at_end(blocks.end(id)));
            make_in_place(blocks, &mut steps, at_end);
            let end = forward(&mut steps, *blocks.end(id));
            blocks.blocks[id.index()].end = end;
        }
        let at_end = behind.union(blocks.read_at_end(blocks.end(id)));
        let before = sweep(blocks, &mut steps, at_end);
        live.set(id, before);
        put(blocks, id, &steps);
    }
}

/// Gives a block these steps, which are no more than it has.
fn put(blocks: &mut Blocks, id: BlockId, steps: &[Step]) {
    let block = &mut blocks.blocks[id.index()];
    let first = block.first as usize;
    block.last = (first + steps.len()) as u32;
    blocks.steps[first..first + steps.len()].copy_from_slice(steps);
}

/// From where to where a step copies.
fn copied(step: &Step) -> Option<(Reg, Reg)> {
    match *step {
        Step::Insn(Insn::Alu { op: AluOp::Mov, dst, src: Operand::Reg(src), .. }) => Some((src, dst)),
        _ => None,
    }
}

/// Has values made where they are copied to, if nobody reads them where they were made.
fn make_in_place(blocks: &Blocks, steps: &mut [Step], at_end: RegSet) {
    let mut after = at_end;
    let mut index = steps.len();
    while index > 0 {
        index -= 1;
        if let Some((src, dst)) = copied(&steps[index])
            && src != dst
            && !after.contains(src)
            && let Some(made) = made(&steps[..index], src, dst)
        {
            for step in &mut steps[made..index] {
                *step = renamed(*step, src, dst);
            }
            // `forward` drops what copies nowhere.
            steps[index] = renamed(steps[index], src, dst);
            continue;
        }
        after = live::before(blocks, &steps[index], after);
    }
}

/// Where the value of `src` is made, if nothing from there on has to do with `dst`.
fn made(steps: &[Step], src: Reg, dst: Reg) -> Option<usize> {
    for (index, step) in steps.iter().enumerate().rev().take(FAR) {
        let touched = step.reads().union(step.writes());
        if touched.contains(dst) {
            return None;
        }
        if step.writes().contains(src) && !step.reads().contains(src) {
            return Some(index);
        }
    }
    None
}

/// A step with one register in place of another.
fn renamed(step: Step, from: Reg, to: Reg) -> Step {
    let reg = |reg: Reg| if reg == from { to } else { reg };
    let operand = |operand: Operand| match operand {
        Operand::Reg(it) => Operand::Reg(reg(it)),
        imm => imm,
    };
    match step {
        Step::Packet { dst, mut place, check } => {
            place.index = place.index.map(reg);
            Step::Packet { dst: reg(dst), place, check }
        }
        Step::Insn(insn) => Step::Insn(match insn {
            Insn::Alu { op, width, dst, src } => Insn::Alu { op, width, dst: reg(dst), src: operand(src) },
            Insn::Unary { op, dst } => Insn::Unary { op, dst: reg(dst) },
            Insn::Load { size, extend, dst, base, off } => {
                Insn::Load { size, extend, dst: reg(dst), base, off }
            }
            Insn::Store { size, base, off, src } => Insn::Store { size, base, off, src: operand(src) },
            other => other,
        }),
    }
}

/// Lets who reads a copy read what it is a copy of; the end, too.
fn forward(steps: &mut Vec<Step>, end: End) -> End {
    let mut originals = [None::<Reg>; Reg::COUNT];
    let mut sources = RegSet::EMPTY;
    let original = |originals: &[Option<Reg>; Reg::COUNT], reg: Reg| originals[reg.index()].unwrap_or(reg);
    steps.retain_mut(|step| {
        let source = |reg| original(&originals, reg);
        match step {
            Step::Packet { place, .. } => place.index = place.index.map(source),
            Step::Insn(
                Insn::Alu { src: Operand::Reg(src), .. } | Insn::Store { src: Operand::Reg(src), .. },
            ) => {
                *src = source(*src);
            }
            Step::Insn(_) => {}
        }
        let copied = copied(step);
        if copied.is_some_and(|(src, dst)| src == dst) {
            return false;
        }
        if let Some(reg) = step.target() {
            originals[reg.index()] = None;
            // Few copies are of something that changes.
            if sources.contains(reg) {
                sources = sources.without(RegSet::of(reg));
                let its = originals.iter_mut().filter(|original| **original == Some(reg));
                its.for_each(|original| *original = None);
            }
        }
        if let Some((src, dst)) = copied {
            originals[dst.index()] = Some(src);
            sources = sources.union(RegSet::of(src));
        }
        true
    });
    let source = |reg| original(&originals, reg);
    match end {
        End::Branch { test: Test { cond, width, lhs, rhs }, taken, otherwise } => {
            let rhs = match rhs {
                Operand::Reg(rhs) => Operand::Reg(source(rhs)),
                imm => imm,
            };
            End::Branch { test: Test { cond, width, lhs: source(lhs), rhs }, taken, otherwise }
        }
        end => end,
    }
}

/// Takes away what nobody reads; the registers that matter before the rest. Loads from the packet stay, for they may end
/// the run.
fn sweep(blocks: &Blocks, steps: &mut Vec<Step>, at_end: RegSet) -> RegSet {
    let mut after = at_end;
    // What stays moves to the end, and then to the start.
    let mut kept = steps.len();
    for index in (0..steps.len()).rev() {
        let step = steps[index];
        let idle = match step {
            Step::Packet { .. } | Step::Insn(Insn::Store { .. }) => false,
            Step::Insn(_) => step.target().is_some_and(|reg| !after.contains(reg)),
        };
        if !idle {
            after = live::before(blocks, &step, after);
            kept -= 1;
            steps[kept] = step;
        }
    }
    steps.drain(..kept);
    after
}
