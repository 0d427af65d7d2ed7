//! Lets addresses add up what programs add: constants become displacements, small shifts scales.
//!
//! A guest's address is a number like `0x3000_0000 + 14 + 4 * i`, computed step by step; on the host it is one operand
//! `[packet + i*4 + 14]`. What is left of the steps is removed where nobody else needs it.

use sandbpf_isa::Width;

use super::Walk;
use crate::plan::graph::{Address, BinOp, Graph, Key, Op, Value};

/// What is known of sums.
pub(super) struct Folding {
    /// How often values are used in addresses, up to many times.
    uses: Vec<u8>,
    /// Of sums that were split already: something without a constant, and the constant.
    split: Vec<Option<(Value, u64)>>,
}

impl Folding {
    pub(super) fn new(graph: &Graph, wanted: bool) -> Folding {
        let count = if wanted { graph.values.len() } else { 0 };
        let mut uses = vec![0u8; count];
        for &value in graph.blocks.iter().flat_map(|code| &code.body).filter(|_| wanted) {
            addresses(graph.op(value), |at| {
                if let Some((index, _)) = at.index {
                    uses[index.index()] = uses[index.index()].saturating_add(1);
                }
            });
        }
        Folding { uses, split: vec![None; count] }
    }

    fn split(&self, value: Value) -> Option<(Value, u64)> {
        self.split.get(value.index()).copied().flatten()
    }
}

fn addresses(op: &Op, mut each: impl FnMut(&Address)) {
    match op {
        Op::Load { at, .. } | Op::Store { at, .. } | Op::Atomic { at, .. } => each(at),
        Op::Bulk { what, .. } => what.to().into_iter().chain(what.from()).for_each(|at| each(&at)),
        Op::Lookup { key: Key::At(at), .. } => each(at),
        _ => {}
    }
}

fn addresses_mut(op: &mut Op, mut each: impl FnMut(&mut Address)) {
    match op {
        Op::Load { at, .. } | Op::Store { at, .. } | Op::Atomic { at, .. } => each(at),
        Op::Bulk { what, .. } => what.addresses_mut().for_each(each),
        Op::Lookup { key: Key::At(at), .. } => each(at),
        _ => {}
    }
}

impl Walk<'_> {
    /// Brings what addresses of an operation are sums of into them.
    pub(super) fn fold(&mut self, value: Value) {
        let mut op = &mut self.graph.values[value.index()];
        if let Op::Load { at, .. } | Op::Store { at, .. } | Op::Atomic { at, .. } = op {
            if at.index.is_some() {
                let at = *at;
                let folded = self.folded(at);
                addresses_mut(&mut self.graph.values[value.index()], |at| *at = folded);
            }
            return;
        }
        if matches!(op, Op::Bulk { .. } | Op::Lookup { .. }) {
            let mut rare = std::mem::replace(op, Op::Gone);
            addresses_mut(&mut rare, |at| *at = self.folded(*at));
            op = &mut self.graph.values[value.index()];
            *op = rare;
        }
    }

    /// Brings what an index is the sum or multiple of into the address.
    fn folded(&self, at: Address) -> Address {
        let Some((mut index, mut scale)) = at.index else { return at };
        let mut disp = i64::from(at.disp) as u64;
        let mut best = at;
        // Every step goes to an operand, and long chains of sums were made short before.
        for _ in 0..16 {
            let fits = i32::try_from(disp as i64);
            if let Ok(disp) = fits {
                best = Address { index: Some((index, scale)), disp, ..best };
            }
            if let Some(number) = self.graph.constant(index) {
                if let Ok(disp) = i32::try_from(disp.wrapping_add(number << scale) as i64) {
                    best = Address { index: None, disp, ..best };
                }
                break;
            }
            if let Some((rest, number)) = self.folding.split(index) {
                disp = disp.wrapping_add(number << scale);
                index = rest;
            } else if let Some((rest, count)) = self.as_shift(index) {
                if scale + count > 3 {
                    break;
                }
                (index, scale) = (rest, scale + count);
            } else {
                break;
            }
        }
        best
    }

    /// What is shifted left, and by how much, if that could be a scale.
    fn as_shift(&self, value: Value) -> Option<(Value, u8)> {
        let Op::Bin { op: BinOp::Lsh, width, a, b } = *self.graph.op(value) else { return None };
        let count = self.graph.constant(b).filter(|&count| count <= 3)? as u8;
        let whole = width == Width::W64 || self.bits.get(a) <= 0xffff_ffff >> count;
        whole.then_some((a, count))
    }

    /// Operands of a sum that is one in 64 bits as well.
    fn as_sum(&self, value: Value) -> Option<(Value, Value)> {
        let Op::Bin { op, width, a, b } = *self.graph.op(value) else { return None };
        let (left, right) = (self.bits.get(a), self.bits.get(b));
        let sums = match (op, width) {
            (BinOp::Add, Width::W64) => true,
            (BinOp::Add, Width::W32) => left.checked_add(right).is_some_and(|most| most <= 0xffff_ffff),
            (BinOp::Or, _) => left & right == 0 && (width == Width::W64 || left | right <= 0xffff_ffff),
            _ => false,
        };
        sums.then_some((a, b))
    }

    /// Remembers of a value what it is without a constant. Where nobody but addresses uses it, that is computed if it is not
    /// there.
    pub(super) fn split(&mut self, value: Value) {
        let Some((a, b)) = self.as_sum(value) else {
            // A sum that is scaled.
            let shifted = self.as_shift(value).and_then(|(a, count)| Some((self.folding.split(a)?, count)));
            if let (Some(((rest, number), count)), true) = (shifted, self.is_for_addresses(value)) {
                let b = self.number(count.into());
                let op = Op::Bin { op: BinOp::Lsh, width: Width::W64, a: rest, b };
                self.part(value, op, number << count);
            }
            return;
        };
        if let Some(number) = self.graph.constant(b) {
            let (rest, inner) = self.folding.split(a).unwrap_or((a, 0));
            self.remember_split(value, rest, number.wrapping_add(inner));
            return;
        }
        let (left, right) = (self.folding.split(a), self.folding.split(b));
        if left.is_none() && right.is_none() || !self.is_for_addresses(value) {
            return;
        }
        let ((a, c), (b, d)) = (left.unwrap_or((a, 0)), right.unwrap_or((b, 0)));
        let op = match (self.graph.constant(a), self.graph.constant(b)) {
            (None, None) => Op::Bin { op: BinOp::Add, width: Width::W64, a, b },
            _ => return,
        };
        self.part(value, op, c.wrapping_add(d));
    }

    fn part(&mut self, value: Value, op: Op, number: u64) {
        let rest = self.put(op);
        self.remember_split(value, rest, number);
    }

    fn remember_split(&mut self, value: Value, rest: Value, number: u64) {
        let split = &mut self.folding.split;
        if split.len() <= value.index() {
            split.resize(value.index() + 1, None);
        }
        split[value.index()] = Some((rest, number));
    }

    fn is_for_addresses(&self, value: Value) -> bool {
        let uses = (self.uses.get(value.index()), self.folding.uses.get(value.index()));
        matches!(uses, (Some(all), Some(here)) if all == here && *all < u8::MAX)
    }
}
