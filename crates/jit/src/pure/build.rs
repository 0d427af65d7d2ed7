//! From instructions to blocks.
//!
//! What only goes elsewhere is gone afterwards: whoever jumps to a jump goes where that leads, and equal answers are one.

use sandbpf_isa::{AluOp, Insn, Operand, Pc, Program, Reg, Width};

use super::admit::Admitted;
use super::blocks::{Block, BlockId, Blocks, Check, Edge, End, Place, Step, Test};

/// The blocks of a program.
pub(crate) fn build(program: &Program, admitted: &Admitted) -> Blocks {
    let insns = program.insns();
    let numbers = numbers(insns, admitted);
    let mut blocks = Blocks {
        steps: Vec::with_capacity(insns.len()),
        blocks: Vec::with_capacity(insns.len()),
        switches: Vec::new(),
        pointers: admitted.pointers,
    };
    let edge = |from: usize, to: Pc| {
        let cost = (from + 1).saturating_sub(to.index()) as u32;
        Edge { to: BlockId(numbers[to.index()]), cost }
    };
    let (mut first, mut open) = (0, false);
    for (index, insn) in insns.iter().enumerate().filter(|&(index, _)| admitted.reached[index]) {
        let next = Pc(index as u32 + 1);
        open = true;
        let end = match *insn {
            Insn::Jump { to, .. } => Some(End::Goto(edge(index, to))),
            Insn::Branch { to, .. } if to == next => Some(End::Goto(edge(index, to))),
            Insn::Branch { cond, width, lhs, rhs, to } => Some(End::Branch {
                test: Test { cond, width, lhs, rhs },
                taken: edge(index, to),
                otherwise: edge(index, next),
            }),
            Insn::Exit => Some(match blocks.steps[first as usize..].last().and_then(answer) {
                Some(answer) => {
                    blocks.steps.pop();
                    End::Answer(answer)
                }
                None => End::Exit,
            }),
            _ => {
                if !admitted.copies(Pc(index as u32)) {
                    blocks.steps.push(step(insn));
                }
                // The next instruction starts a block: somebody jumps to it.
                let starts = numbers.get(next.index()) != Some(&numbers[index]);
                starts.then(|| End::Goto(edge(index, next)))
            }
        };
        if let Some(end) = end {
            let last = blocks.steps.len() as u32;
            blocks.blocks.push(Block { first, last, end });
            (first, open) = (last, false);
        }
    }
    debug_assert!(!open, "control does not run off the end");
    thread(&mut blocks);
    blocks
}

/// The number of the block that each instruction is in.
fn numbers(insns: &[Insn], admitted: &Admitted) -> Vec<u32> {
    let mut starts = vec![false; insns.len() + 1];
    for (index, insn) in insns.iter().enumerate().filter(|&(index, _)| admitted.reached[index]) {
        if let Some(to) = insn.target() {
            starts[to.index()] = true;
        }
        if matches!(insn, Insn::Jump { .. } | Insn::Branch { .. } | Insn::Exit) {
            starts[index + 1] = true;
        }
    }
    let mut number = 0;
    let reached = admitted.reached.iter().enumerate();
    reached
        .map(|(index, &reached)| {
            number += u32::from(reached && index != 0 && starts[index]);
            number
        })
        .collect()
}

fn step(insn: &Insn) -> Step {
    match *insn {
        Insn::LoadPacket { size, index, off } => {
            let place = Place { size, index, off };
            let check = match place.end() {
                Some(end) if index.is_none() => Check::Length(end),
                _ => Check::Sum,
            };
            Step::Packet { dst: Reg::R0, place, check }
        }
        insn => Step::Insn(insn),
    }
}

/// The number that a step puts into `r0`, whatever was there.
fn answer(step: &Step) -> Option<u64> {
    let Step::Insn(Insn::Alu { op: AluOp::Mov, width, dst: Reg::R0, src: Operand::Imm(imm) }) = *step else {
        return None;
    };
    Some(match width {
        Width::W32 => u64::from(imm as u32),
        Width::W64 => imm as i64 as u64,
    })
}

/// How many different answers are told apart, to make equal ones one.
const ANSWERS: usize = 16;

/// Makes every edge lead to where something happens.
pub(crate) fn thread(blocks: &mut Blocks) {
    let mut answers: Vec<(u64, BlockId)> = Vec::new();
    let mut leads: Vec<BlockId> = (0..blocks.blocks.len() as u32).map(BlockId).collect();
    for index in (0..blocks.blocks.len()).rev() {
        let Block { first, last, end } = blocks.blocks[index];
        if first != last {
            continue;
        }
        match end {
            // Blocks behind this one are done, and no way back is free.
            End::Goto(Edge { to, cost: 0 }) => leads[index] = leads[to.index()],
            End::Answer(answer) => match answers.iter().find(|&&(known, _)| known == answer) {
                Some(&(_, id)) => leads[index] = id,
                None if answers.len() < ANSWERS => answers.push((answer, leads[index])),
                None => {}
            },
            _ => {}
        }
    }
    for index in 0..blocks.blocks.len() {
        let lead = |edge: Edge| match edge.cost {
            0 => Edge::to(leads[edge.to.index()]),
            _ => edge,
        };
        let end = match blocks.blocks[index].end {
            End::Goto(edge) => End::Goto(lead(edge)),
            End::Branch { test, taken, otherwise } => {
                let (taken, otherwise) = (lead(taken), lead(otherwise));
                if taken == otherwise { End::Goto(taken) } else { End::Branch { test, taken, otherwise } }
            }
            end @ (End::Exit | End::Answer(_) | End::Enough { .. } | End::Switch(_)) => end,
        };
        // Where the answer is all that follows, it may as well be given here.
        blocks.blocks[index].end = match end {
            End::Goto(Edge { to, cost: 0 }) => {
                let Block { first, last, end: next } = blocks.blocks[to.index()];
                match next {
                    End::Answer(_) if first == last => next,
                    _ => end,
                }
            }
            _ => end,
        };
    }
}
