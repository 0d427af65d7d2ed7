//! How large numbers can be: so that sums of an index and an offset need not be held against 2³², and tests whose outcome
//! is known need not be made.

use sandbpf_isa::{AluOp, Cond, Extend, Insn, Operand, Reg, Size, Width};

use super::blocks::{BlockId, Blocks, Check, Edge, End, Flow, Step, Test};

/// For every register the largest value that it can have.
type Ceilings = [u64; Reg::COUNT];

/// Finds loads whose sums cannot wrap, and branches that only go one way; whether there were any of these.
pub(crate) fn run(blocks: &mut Blocks, flow: &Flow) -> bool {
    let indexed = |step: &Step| matches!(step, Step::Packet { place, .. } if place.index.is_some());
    if !blocks.steps.iter().any(indexed) {
        return false;
    }
    let mut changed = false;
    // Of a way back nothing is known. What a register holds where a run starts is 0, but for addresses, which nobody
    // computes with.
    let start = |&head: &bool| if head { [u64::MAX; Reg::COUNT] } else { [0; Reg::COUNT] };
    let mut before: Vec<Ceilings> = flow.heads.iter().map(start).collect();
    for &id in &flow.order {
        let block = blocks.blocks[id.index()];
        let mut at = before[id.index()];
        for step in &mut blocks.steps[block.first as usize..block.last as usize] {
            // It is the sum that must not wrap; where the bytes end is compared on 64 bits.
            if let Step::Packet { place, check, .. } = step
                && let (Some(index), Some(end)) = (place.index, place.end())
                && at[index.index()].saturating_add(place.off as u64) <= i32::MAX as u64
            {
                *check = Check::Length(end);
            }
            after(step, &mut at);
        }
        let end = decided(block.end, &at);
        changed |= end != block.end;
        blocks.blocks[id.index()].end = end;
        let mut meet = |to: BlockId, there: &Ceilings| {
            for (old, &new) in before[to.index()].iter_mut().zip(there) {
                *old = (*old).max(new);
            }
        };
        match end {
            End::Branch { test, taken, otherwise } => {
                meet(taken.to, &refined(&test, true, at));
                meet(otherwise.to, &refined(&test, false, at));
            }
            end => blocks.each_edge(&end, |edge| meet(edge.to, &at)),
        }
    }
    changed
}

/// What a step makes of the ceilings.
fn after(step: &Step, at: &mut Ceilings) {
    match *step {
        Step::Insn(Insn::Alu { op, width, dst, src }) => {
            let most = most(width);
            let right = match src {
                Operand::Reg(src) => at[src.index()].min(most),
                Operand::Imm(imm) => imm as i64 as u64 & most,
            };
            // Of a wider number the lower half can be anything.
            let old = if at[dst.index()] > most { most } else { at[dst.index()] };
            let constant = matches!(src, Operand::Imm(_));
            at[dst.index()] = match op {
                AluOp::Mov => right,
                AluOp::And => old.min(right),
                AluOp::Or | AluOp::Xor => ones(old | right),
                AluOp::Add => old.checked_add(right).filter(|&sum| sum <= most).unwrap_or(most),
                AluOp::Lsh if constant => {
                    let count = right & (u64::from(width.bits()) - 1);
                    if old <= most >> count { old << count } else { most }
                }
                AluOp::Rsh if constant => old >> (right & (u64::from(width.bits()) - 1)),
                AluOp::Div | AluOp::Mod | AluOp::Rsh => old,
                _ => most,
            };
        }
        Step::Packet { dst, place, .. } => at[dst.index()] = largest(place.size),
        Step::Insn(Insn::Load { size, extend: Extend::Zero, dst, .. }) => at[dst.index()] = largest(size),
        Step::Insn(_) => {
            if let Some(reg) = step.target() {
                at[reg.index()] = u64::MAX;
            }
        }
    }
}

/// The end of a block, without a test whose outcome is known.
fn decided(end: End, at: &Ceilings) -> End {
    let End::Branch { test, taken, otherwise } = end else { return end };
    let (Some(number), ceiling) = (test.number(), at[test.lhs.index()]) else { return end };
    if ceiling > most(test.width) {
        return end;
    }
    let goes: Option<Edge> = match test.cond {
        Cond::Le if ceiling <= number => Some(taken),
        Cond::Lt if ceiling < number => Some(taken),
        Cond::Gt if ceiling <= number => Some(otherwise),
        Cond::Ge | Cond::Eq if ceiling < number => Some(otherwise),
        Cond::Ne if ceiling < number => Some(taken),
        _ => None,
    };
    goes.map_or(end, End::Goto)
}

/// What a comparison with a constant says of the register on one of the ways.
fn refined(test: &Test, taken: bool, mut at: Ceilings) -> Ceilings {
    let Some(number) = test.number() else { return at };
    let (reg, most) = (test.lhs.index(), most(test.width));
    if at[reg] > most {
        // The comparison looks at the low half only.
        return at;
    }
    let ceiling = match (test.cond, taken) {
        (Cond::Eq | Cond::Le, true) | (Cond::Ne | Cond::Gt, false) => number,
        (Cond::Lt, true) | (Cond::Ge, false) => number.saturating_sub(1),
        _ => most,
    };
    at[reg] = at[reg].min(ceiling);
    at
}

/// The largest number with no more bits than this one.
fn ones(number: u64) -> u64 {
    u64::MAX.checked_shr(number.leading_zeros()).unwrap_or(0)
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
