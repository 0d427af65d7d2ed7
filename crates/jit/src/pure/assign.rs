//! Which of the host's registers hold which of the program's.

use sandbpf_isa::{Reg, RegSet};

use super::blocks::{BlockId, Blocks, Flow};
use super::live::Live;
use crate::x86_64::RAX;

const RDX: u8 = 2;
const RSP: u8 = 4;
/// Registers of the host that are free in such a function and need not be kept for the caller, `rdx` only if nobody needs
/// the context.
const CHEAP: [u8; 4] = [RAX, 1, 8, RDX];
/// Those that the caller wants to find again.
const KEPT: [u8; 6] = [3, 5, 12, 13, 14, 15];

/// How many registers need not be kept for the caller, of a program that reads so much of its context.
pub(crate) fn cheap(context: u32) -> usize {
    CHEAP.len() - usize::from(context != 0)
}

/// Where registers are.
pub(crate) struct Homes {
    /// The host's register for each of the program.
    pub(crate) map: [u8; Reg::COUNT],
    /// Those among them that must be kept for the caller.
    pub(crate) kept: Vec<u8>,
}

pub(crate) fn assign(blocks: &Blocks, flow: &Flow, live: &Live, context: u32, rotation: u8) -> Homes {
    let mut counts = [0u32; Reg::COUNT];
    let mut count = |set: RegSet| set.iter().for_each(|reg| counts[reg.index()] += 1);
    // It holds the answer.
    count(RegSet::RESULT);
    count(live.before(BlockId(0)));
    for &id in &flow.order {
        blocks.steps(id).iter().for_each(|step| {
            count(step.reads());
            count(step.writes());
        });
        count(blocks.read_at_end(blocks.end(id)));
    }
    let named = |reg: &Reg| counts[reg.index()] != 0 && *reg != Reg::R10 && !blocks.pointers.contains(*reg);
    let mut used: Vec<Reg> = Reg::all().filter(named).collect();
    // The most used first, but for the answer, which is wanted where the caller looks for it.
    used.sort_by_key(|reg| (*reg != Reg::R0, u32::MAX - counts[reg.index()]));
    let free: Vec<u8> = CHEAP[..cheap(context)].iter().chain(&KEPT).copied().collect();
    let mut map = [RSP; Reg::COUNT];
    for pointer in blocks.pointers.iter() {
        map[pointer.index()] = RDX;
    }
    for (number, reg) in used.iter().enumerate() {
        map[reg.index()] = free[(number + usize::from(rotation)) % free.len()];
    }
    let kept = KEPT.into_iter().filter(|host| used.iter().any(|reg| map[reg.index()] == *host)).collect();
    Homes { map, kept }
}
