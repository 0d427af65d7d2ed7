//! Loads of what a register holds already, left out.

use sandbpf_isa::{AluOp, Insn, Operand, Reg, Width};

use super::blocks::{Block, BlockId, Blocks, Check, Flow, Place, Step};

/// What was loaded last from the packet, while a register holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) reg: Reg,
    pub(crate) place: Place,
    /// The bits of it that the register holds, if not all.
    pub(crate) mask: Option<u32>,
    /// Whether its place is where a sum that may wrap leads.
    pub(crate) sum: bool,
}

/// The mask that a step puts on what is held.
pub(crate) fn mask(step: &Step, reg: Reg) -> Option<u32> {
    match *step {
        Step::Insn(Insn::Alu { op: AluOp::And, width: Width::W32, dst, src: Operand::Imm(imm) }) => {
            (dst == reg).then_some(imm as u32)
        }
        _ => None,
    }
}

/// What is held after a step.
pub(crate) fn after(step: &Step, held: Option<Held>) -> Option<Held> {
    if let Step::Packet { dst, place, check } = *step {
        let sum = check == Check::Sum;
        return (place.index != Some(dst)).then_some(Held { reg: dst, place, mask: None, sum });
    }
    let held = held?;
    if held.mask.is_none()
        && let Some(mask) = mask(step, held.reg)
    {
        return Some(Held { mask: Some(mask), ..held });
    }
    let writes = step.writes();
    let lost = writes.contains(held.reg) || held.place.index.is_some_and(|index| writes.contains(index));
    (!lost).then_some(held)
}

/// What is held before each block, on all ways to it.
pub(crate) fn before(blocks: &Blocks, flow: &Flow) -> Vec<Option<Held>> {
    let mut before = Before::new(blocks, flow);
    for &id in &flow.order {
        let held = blocks.steps(id).iter().fold(before.held[id.index()], |held, step| after(step, held));
        before.leave(blocks, id, held);
    }
    before.held
}

struct Before {
    held: Vec<Option<Held>>,
    /// Whether a way to the block was seen.
    seen: Vec<bool>,
}

impl Before {
    fn new(blocks: &Blocks, flow: &Flow) -> Before {
        // Of a way back nothing is known.
        let mut seen = flow.heads.clone();
        seen[0] = true;
        Before { held: vec![None; blocks.blocks.len()], seen }
    }

    fn leave(&mut self, blocks: &Blocks, from: BlockId, held: Option<Held>) {
        blocks.each_edge(blocks.end(from), |edge| {
            let to = edge.to.index();
            if !std::mem::replace(&mut self.seen[to], true) {
                self.held[to] = held;
            } else if self.held[to] != held {
                self.held[to] = None;
            }
        });
    }
}

/// Leaves loads out.
pub(crate) fn run(blocks: &mut Blocks, flow: &Flow) {
    if !any_twice(blocks) {
        return;
    }
    let mut before = Before::new(blocks, flow);
    for &id in &flow.order {
        let Block { first, last, .. } = blocks.blocks[id.index()];
        let mut held = before.held[id.index()];
        let (mut from, mut to) = (first as usize, first as usize);
        while from < last as usize {
            let step = blocks.steps[from];
            let next = (from + 1 < last as usize).then(|| blocks.steps[from + 1]);
            let known = match (held, step) {
                (Some(held), Step::Packet { dst, place, .. }) if (held.reg, held.place) == (dst, place) => {
                    match held.mask {
                        None => 1,
                        // The same bits again.
                        Some(bits) if next.and_then(|next| mask(&next, dst)) == Some(bits) => 2,
                        Some(_) => 0,
                    }
                }
                _ => 0,
            };
            if known != 0 {
                from += known;
                continue;
            }
            held = after(&step, held);
            blocks.steps[to] = step;
            (from, to) = (from + 1, to + 1);
        }
        blocks.blocks[id.index()].last = to as u32;
        before.leave(blocks, id, held);
    }
}

/// Whether something may be loaded twice.
fn any_twice(blocks: &Blocks) -> bool {
    const FEW: usize = 8;
    let mut places: Vec<Place> = Vec::with_capacity(FEW);
    for step in &blocks.steps {
        if let Step::Packet { place, .. } = *step {
            if places.len() == FEW || places.contains(&place) {
                return true;
            }
            places.push(place);
        }
    }
    false
}
