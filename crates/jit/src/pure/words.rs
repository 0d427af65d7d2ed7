//! Words of the stack in registers that the program has left over: the scratch memory of classic filters.

use sandbpf_isa::{AluOp, Extend, Insn, Operand, Reg, RegSet, Size, Width};

use super::blocks::{Blocks, Flow, Step};

/// How often a word must be named to be worth a register that the caller wants to find again.
const OFTEN: u32 = 8;

/// What an instruction does with the stack.
enum Access {
    None,
    /// A word at this offset, which nothing overlaps but the same word.
    Word(i16),
    Other,
}

fn access(insn: &Insn) -> Access {
    match *insn {
        Insn::Load { size: Size::W, extend: Extend::Zero, base: Reg::R10, off, .. }
        | Insn::Store { size: Size::W, base: Reg::R10, off, .. }
            if off % 4 == 0 =>
        {
            Access::Word(off)
        }
        Insn::Load { base: Reg::R10, .. } | Insn::Store { base: Reg::R10, .. } => Access::Other,
        _ => Access::None,
    }
}

/// Turns words into registers, so many without need, the others if it pays; whether none is left in the stack.
pub(crate) fn run(blocks: &mut Blocks, flow: &Flow, cheap: usize) -> bool {
    let Some(words) = words(blocks, flow) else { return false };
    let used = used(blocks, flow);
    let free = Reg::all().filter(|&reg| !used.contains(reg) && reg != Reg::R10);
    let cheap =
        cheap.saturating_sub(used.without(blocks.pointers).without(RegSet::of(Reg::R10)).iter().count());
    let homes: Vec<(i16, Reg)> = words
        .iter()
        .zip(free)
        .enumerate()
        .filter(|&(number, ((_, count), _))| number < cheap || *count >= OFTEN)
        .map(|(_, (&(off, _), reg))| (off, reg))
        .collect();
    let home = |off: i16| homes.iter().find(|&&(word, _)| word == off).map(|&(_, reg)| reg);
    for step in &mut blocks.steps {
        let Step::Insn(insn) = step else { continue };
        let Access::Word(off) = access(insn) else { continue };
        let Some(home) = home(off) else { continue };
        let mov = |dst, src| Insn::Alu { op: AluOp::Mov, width: Width::W32, dst, src };
        match *insn {
            Insn::Load { dst, .. } => *insn = mov(dst, Operand::Reg(home)),
            Insn::Store { src, .. } => *insn = mov(home, src),
            _ => unreachable!("only loads and stores touch the stack"),
        }
    }
    homes.len() == words.len()
}

/// Every word, the one first that is named most often; `None` if the stack is used in another way, too.
fn words(blocks: &Blocks, flow: &Flow) -> Option<Vec<(i16, u32)>> {
    let mut words: Vec<(i16, u32)> = Vec::new();
    for step in flow.order.iter().flat_map(|&id| blocks.steps(id)) {
        let Step::Insn(insn) = step else { continue };
        match access(insn) {
            Access::None => {}
            Access::Word(off) => match words.iter_mut().find(|(word, _)| *word == off) {
                Some((_, count)) => *count += 1,
                None => words.push((off, 1)),
            },
            Access::Other => return None,
        }
    }
    words.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    Some(words)
}

/// The registers that a program names.
pub(crate) fn used(blocks: &Blocks, flow: &Flow) -> RegSet {
    flow.order.iter().fold(blocks.pointers, |used, &id| {
        let steps = blocks.steps(id).iter();
        let used = steps.fold(used, |used, step| used.union(step.reads()).union(step.writes()));
        used.union(blocks.read_at_end(blocks.end(id)))
    })
}
