//! Lets addresses add up what programs add: constants become displacements, small shifts scales.
//!
//! A guest's address is a number like `0x3000_0000 + 14 + 4 * i`, computed step by step; on the host it is one operand
//! `[packet + i*4 + 14]`. What is left of the steps is removed where nobody else needs it.

use sandbpf_isa::Width;

use super::bits::{Possible, possible};
use crate::plan::graph::{Address, BinOp, Block, Graph, Op, Value};

/// Folds sums and shifts into addresses.
pub(crate) fn address(graph: &mut Graph) {
    let order = graph.order();
    let bits = Possible::new(graph);
    let uses = uses(graph, &order);
    let known = graph.values.len();
    let mut folding = Folding { graph, bits, uses, split: vec![None; known], old: Vec::new() };
    for &block in &order {
        folding.block(block);
    }
}

/// How often values are used, and how often of these in addresses.
fn uses(graph: &Graph, order: &[Block]) -> Vec<(u32, u32)> {
    let mut uses = vec![(0, 0); graph.values.len()];
    for &block in order {
        let code = graph.code(block);
        for &value in &code.body {
            graph.op(value).uses(|used| uses[used.index()].0 += 1);
            addresses(graph.op(value), |at| {
                if let Some((index, _)) = at.index {
                    uses[index.index()].1 += 1;
                }
            });
        }
        code.end.uses(|used| uses[used.index()].0 += 1);
    }
    uses
}

fn addresses(op: &Op, mut each: impl FnMut(&Address)) {
    match op {
        Op::Load { at, .. } | Op::Store { at, .. } | Op::Atomic { at, .. } => each(at),
        Op::Bulk { what, .. } => what.to().into_iter().chain(what.from()).for_each(|at| each(&at)),
        _ => {}
    }
}

fn addresses_mut(op: &mut Op, mut each: impl FnMut(&mut Address)) {
    match op {
        Op::Load { at, .. } | Op::Store { at, .. } | Op::Atomic { at, .. } => each(at),
        Op::Bulk { what, .. } => what.addresses_mut().for_each(each),
        _ => {}
    }
}

struct Folding<'g> {
    graph: &'g mut Graph,
    bits: Possible,
    uses: Vec<(u32, u32)>,
    /// Of sums that were split already: something without a constant, and the constant.
    split: Vec<Option<(Value, u64)>>,
    old: Vec<Value>,
}

impl Folding<'_> {
    fn block(&mut self, block: Block) {
        let mut old = std::mem::take(&mut self.old);
        old.clear();
        old.append(&mut self.graph.blocks[block.index()].body);
        for &value in &old {
            let mut op = std::mem::replace(&mut self.graph.values[value.index()], Op::Gone);
            addresses_mut(&mut op, |at| self.fold(at));
            let mask = possible(self.graph, &op, |used| self.bits.get(used));
            self.bits.set(value, mask);
            self.graph.values[value.index()] = op;
            self.graph.blocks[block.index()].body.push(value);
            self.split(block, value);
        }
        self.old = old;
    }

    /// Brings what an index is the sum or multiple of into the address.
    fn fold(&mut self, at: &mut Address) {
        let Some((mut index, mut scale)) = at.index else { return };
        let mut disp = i64::from(at.disp) as u64;
        let mut best = *at;
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
            if let Some((rest, number)) = self.split[index.index()] {
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
        *at = best;
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
    fn split(&mut self, block: Block, value: Value) {
        let Some((a, b)) = self.as_sum(value) else {
            // A sum that is scaled.
            let shifted = self.as_shift(value).and_then(|(a, count)| Some((self.split[a.index()]?, count)));
            if let (Some(((rest, number), count)), true) = (shifted, self.is_for_addresses(value)) {
                let b = self.graph.add(Op::Const(count.into()));
                self.bits.set(b, count.into());
                self.part(
                    block,
                    value,
                    Op::Bin { op: BinOp::Lsh, width: Width::W64, a: rest, b },
                    number << count,
                );
            }
            return;
        };
        if let Some(number) = self.graph.constant(b) {
            let (rest, inner) = self.split[a.index()].unwrap_or((a, 0));
            self.remember(value, rest, number.wrapping_add(inner));
            return;
        }
        let (left, right) = (self.split[a.index()], self.split[b.index()]);
        if left.is_none() && right.is_none() || !self.is_for_addresses(value) {
            return;
        }
        let ((a, c), (b, d)) = (left.unwrap_or((a, 0)), right.unwrap_or((b, 0)));
        let op = match (self.graph.constant(a), self.graph.constant(b)) {
            (None, None) => Op::Bin { op: BinOp::Add, width: Width::W64, a, b },
            _ => return,
        };
        self.part(block, value, op, c.wrapping_add(d));
    }

    fn part(&mut self, block: Block, value: Value, op: Op, number: u64) {
        let mask = possible(self.graph, &op, |used| self.bits.get(used));
        let rest = self.graph.append(block, op);
        self.bits.set(rest, mask);
        self.remember(value, rest, number);
    }

    fn remember(&mut self, value: Value, rest: Value, number: u64) {
        self.split.resize(self.graph.values.len(), None);
        self.split[value.index()] = Some((rest, number));
    }

    fn is_for_addresses(&self, value: Value) -> bool {
        self.uses.get(value.index()).is_none_or(|&(all, here)| all == here)
    }
}
