//! Comparisons of bytes as they lie in the packet, least significant first or not: what is compared for equality is turned
//! round when the code is made, and not when it runs.
//!
//! ```text
//! r0 = packet[12 : 2]                 cmp word [rdi + 12], 0x0008
//! if w0 == 0x800 goto b1 else b2      je  b1
//! ```

use sandbpf_isa::{Cond, Operand, Reg, Size, Width};

use super::blocks::{BlockId, Blocks, Check, End, Item, Place, Step, Switch, Test};
use super::live::Live;
use super::reuse;

/// Bytes that are compared as they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fused {
    pub(crate) reg: Reg,
    pub(crate) place: Place,
    pub(crate) check: Check,
    /// The bits that count, as they lie, if not all do.
    pub(crate) mask: Option<u32>,
    /// What they are compared with, as it would lie there; nothing in a switch.
    pub(crate) number: u32,
    pub(crate) cond: Cond,
    /// How many of the block's steps are part of the comparison.
    pub(crate) steps: usize,
}

/// A number with its bytes as they lie in a packet.
pub(crate) fn lying(size: Size, number: u32) -> u32 {
    match size {
        Size::B => number,
        Size::H => u32::from((number as u16).swap_bytes()),
        Size::W | Size::DW => number.swap_bytes(),
    }
}

/// The decision at the end of a block, if it can be made on bytes as they lie.
pub(crate) fn end(blocks: &Blocks, live: &Live, id: BlockId) -> Option<Fused> {
    let (reg, width) = match *blocks.end(id) {
        End::Branch { test: Test { lhs, width, .. }, .. } => (lhs, width),
        End::Switch(number) => {
            let switch = &blocks.switches[number as usize];
            (switch.reg, switch.width)
        }
        _ => return None,
    };
    if live.behind(blocks, id).contains(reg) {
        return None;
    }
    let steps = blocks.steps(id);
    let mask = steps.last().and_then(|step| reuse::mask(step, reg));
    let count = 1 + usize::from(mask.is_some());
    let &Step::Packet { dst, place, check } = steps.len().checked_sub(count).map(|at| &steps[at])? else {
        return None;
    };
    let most = match place.size {
        Size::B => 0xff,
        Size::H => 0xffff,
        Size::W => u32::MAX,
        Size::DW => return None,
    };
    if dst != reg {
        return None;
    }
    let fused = Fused { reg, place, check, mask: None, number: 0, cond: Cond::Eq, steps: count };
    match *blocks.end(id) {
        // A byte need not be turned round.
        End::Switch(_) => (mask.is_none() && width == Width::W32 && place.size != Size::B).then_some(fused),
        End::Branch { test: Test { cond, rhs: Operand::Imm(imm), .. }, .. } => {
            let (number, mask) = (imm as u32, mask.map(|mask| mask & most));
            let fits = match cond {
                Cond::Eq | Cond::Ne => imm >= 0 || width == Width::W32,
                // Bits that are never set would leave no test.
                Cond::Set => mask.is_none() && number & most != 0,
                // A byte is the same either way.
                Cond::Gt | Cond::Ge | Cond::Lt | Cond::Le => {
                    place.size == Size::B && mask.is_none() && (imm >= 0 || width == Width::W32)
                }
                Cond::Sgt | Cond::Sge | Cond::Slt | Cond::Sle => false,
            };
            let number = if cond == Cond::Set { number & most } else { number };
            let number = (fits && number <= most && mask != Some(0)).then(|| lying(place.size, number))?;
            Some(Fused { mask: mask.map(|mask| lying(place.size, mask)), number, cond, ..fused })
        }
        _ => None,
    }
}

impl Switch {
    /// The same for numbers as they lie in a packet, if each item is one.
    pub(crate) fn lying(&self, size: Size) -> Switch {
        let lying = |number: u64| u64::from(self::lying(size, number as u32));
        // A number of more bytes is not there.
        let there = |item: &&Item| size == Size::W || item.first < 1 << (8 * u32::from(size.bytes()));
        let items = self.items.iter().filter(there);
        let mut items: Vec<Item> =
            items.map(|item| Item { first: lying(item.first), last: lying(item.last), ..*item }).collect();
        items.sort_unstable_by_key(|item| item.first);
        Switch { items, ..*self }
    }
}
