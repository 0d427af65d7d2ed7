//! Slots on their way to be values: static single assignment, with parameters where somebody reads.

use std::ops::Range;

use sandbpf_isa::{Extend, Size, Width};

use super::super::incoming::Incoming;
use super::super::renames::Renames;
use super::frame::Frame;
use super::{Slot, cleared, constant};
use crate::plan::graph::{BinOp, Block, Graph, Op, UnOp, Value};

/// What an operation does to the slots.
enum Act {
    /// It loads some bytes of one.
    Load { slot: usize, offset: usize, size: Size, extend: Extend },
    /// It stores to some bytes of one.
    Store { slot: usize, offset: usize, size: Size, value: Value },
    /// It puts these bytes everywhere from `from` on; those of slots are not needed any more if it does nothing else.
    Fill { from: usize, bytes: usize, number: u64 },
}

/// Slots, and where they are read and written.
pub(super) struct Promotion<'g> {
    graph: &'g mut Graph,
    frame: &'g Frame,
    incoming: &'g Incoming,
    slots: &'g [Slot],
    /// For every byte of the stack, the slot that it is of.
    slot_of: Vec<u8>,
    /// New operations, and those before which they stand.
    inserted: Vec<(Value, Value)>,
}

const NO_SLOT: u8 = u8::MAX;

impl<'g> Promotion<'g> {
    pub(super) fn of(
        graph: &'g mut Graph,
        frame: &'g Frame,
        slots: &'g [Slot],
        incoming: &'g Incoming,
    ) -> Promotion<'g> {
        let mut slot_of = vec![NO_SLOT; graph.stack as usize + 16];
        for (number, slot) in slots.iter().enumerate() {
            slot_of[slot.from..slot.from + slot.bytes].fill(number as u8);
        }
        Promotion { graph, frame, incoming, slots, slot_of, inserted: Vec::new() }
    }

    fn act(&self, value: Value) -> Option<Act> {
        match self.graph.op(value) {
            Op::Load { at, size, extend, .. } => {
                let (from, _) = constant(self.graph, at, *size)?;
                let (slot, offset) = self.slot(from)?;
                Some(Act::Load { slot, offset, size: *size, extend: *extend })
            }
            Op::Store { at, size, value, .. } => {
                let (from, bytes) = constant(self.graph, at, *size)?;
                match (self.graph.constant(*value), self.slot(from)) {
                    (None, None) => None,
                    (Some(number), None) => Some(Act::Fill { from, bytes, number }),
                    (Some(number), Some((slot, 0))) if self.slots[slot].bytes <= bytes => {
                        Some(Act::Fill { from, bytes, number })
                    }
                    (_, Some((slot, offset))) => {
                        Some(Act::Store { slot, offset, size: *size, value: *value })
                    }
                }
            }
            Op::Clear { from, bytes } => {
                let (from, bytes) = cleared(self.graph, *from, *bytes);
                Some(Act::Fill { from, bytes, number: 0 })
            }
            _ => None,
        }
    }

    fn slot(&self, from: usize) -> Option<(usize, usize)> {
        let slot = usize::from(self.slot_of[from]);
        Some((slot, from - self.slots.get(slot)?.from))
    }

    /// The slots all of whose bytes are in a range.
    fn within(&self, from: usize, bytes: usize) -> Range<usize> {
        let first = self.slots.partition_point(|slot| slot.from < from);
        let behind = self.slots.partition_point(|slot| slot.from + slot.bytes <= from + bytes);
        first..behind.max(first)
    }

    /// For every block, the slots that are read from its start on.
    fn live(&self, order: &[Block]) -> Vec<u64> {
        // What a block reads before it writes it, and what it writes.
        let mut effects = vec![(0u64, 0u64); self.graph.blocks.len()];
        let mut start = 0;
        for &(block, end) in &self.frame.blocks {
            let (mut reads, mut writes) = (0u64, 0u64);
            for &value in &self.frame.accesses[start as usize..end as usize] {
                match self.act(value) {
                    None => {}
                    Some(Act::Load { slot, .. }) => reads |= 1 << slot & !writes,
                    Some(Act::Store { slot, size, .. }) => {
                        if usize::from(size.bytes()) < self.slots[slot].bytes {
                            reads |= 1 << slot & !writes;
                        }
                        writes |= 1 << slot;
                    }
                    Some(Act::Fill { from, bytes, .. }) => {
                        writes = self.within(from, bytes).fold(writes, |writes, slot| writes | 1 << slot);
                    }
                }
            }
            effects[block.index()] = (reads, writes);
            start = end;
        }
        let mut live = vec![0u64; self.graph.blocks.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for &block in order.iter().rev() {
                let edges = self.graph.code(block).end.edges();
                let after = edges.fold(0, |mask, edge| mask | live[edge.to.index()]);
                let (reads, writes) = effects[block.index()];
                let before = reads | after & !writes;
                changed |= before != live[block.index()];
                live[block.index()] = before;
            }
        }
        live
    }

    /// Goes through all blocks with the values that slots have.
    pub(super) fn run(mut self, order: &[Block]) {
        let live = self.live(order);
        let count = self.slots.len();
        let zero = self.graph.add(Op::Const(0));
        let mut renames = Renames::new(self.graph);
        let mut values = vec![zero; count];
        // The values at the ends of blocks.
        let mut ends = vec![zero; count * self.graph.blocks.len()];
        let mut done = vec![false; self.graph.blocks.len()];
        // Parameters, and the slots that they are of.
        let mut added: Vec<(Block, usize)> = Vec::new();
        let (mut accesses, mut start) = (self.frame.blocks.iter().peekable(), 0);
        for &block in order {
            let ways = self.incoming.to(block);
            let known = ways.iter().all(|way| done[way.from.index()]);
            let mut live = live[block.index()];
            while live != 0 {
                let slot = live.trailing_zeros() as usize;
                live &= live - 1;
                let mut arriving = ways.iter().map(|way| ends[way.from.index() * count + slot]);
                let first = arriving.next().unwrap_or(zero);
                values[slot] = if known && arriving.all(|other| other == first) {
                    first
                } else {
                    added.push((block, slot));
                    self.graph.param(block)
                };
            }
            if let Some(&(_, end)) = accesses.next_if(|(of, _)| *of == block) {
                for place in start..end {
                    self.step(self.frame.accesses[place as usize], &mut values, &mut renames);
                }
                start = end;
                self.fill(block);
            }
            ends[block.index() * count..][..count].copy_from_slice(&values);
            done[block.index()] = true;
        }
        for (block, slot) in added {
            for way in self.incoming.to(block) {
                way.edge_mut(self.graph).arguments.push(ends[way.from.index() * count + slot]);
            }
        }
        renames.apply(self.graph);
    }

    /// Does to values what an operation does to slots, and makes it one of them.
    fn step(&mut self, value: Value, values: &mut [Value], renames: &mut Renames) {
        self.graph.values[value.index()] = match self.act(value) {
            None => return,
            Some(Act::Load { slot, offset, size, extend }) => {
                match self.load(value, values[slot], offset, size, extend) {
                    Ok(op) => op,
                    Err(whole) => {
                        renames.rename(value, whole);
                        Op::Gone
                    }
                }
            }
            Some(Act::Store { slot, offset, size, value: stored }) => {
                let stored = renames.of(stored);
                if usize::from(size.bytes()) == self.slots[slot].bytes {
                    values[slot] = stored;
                    Op::Gone
                } else {
                    let whole = std::mem::replace(&mut values[slot], value);
                    self.store(value, whole, offset, size, stored)
                }
            }
            Some(Act::Fill { from, bytes, number }) => {
                let mut covered = 0;
                for slot in self.within(from, bytes) {
                    covered += self.slots[slot].bytes;
                    let shift = (self.slots[slot].from - from) as u32 * 8;
                    values[slot] = self.graph.add(Op::Const(number.checked_shr(shift).unwrap_or(0)));
                }
                if covered < bytes {
                    return;
                }
                Op::Gone
            }
        };
    }

    /// Puts new operations into a block, and takes those out that are gone.
    fn fill(&mut self, block: Block) {
        let (values, body) = (&self.graph.values, &mut self.graph.blocks[block.index()].body);
        if self.inserted.is_empty() {
            body.retain(|value| !matches!(values[value.index()], Op::Gone));
            return;
        }
        let mut new = Vec::with_capacity(body.len() + self.inserted.len());
        let mut inserted = self.inserted.drain(..).peekable();
        for &value in &*body {
            while let Some((_, before)) = inserted.next_if(|&(at, _)| at == value) {
                new.push(before);
            }
            if !matches!(values[value.index()], Op::Gone) {
                new.push(value);
            }
        }
        drop(inserted);
        *body = new;
    }

    fn before(&mut self, value: Value, op: BinOp, a: Value, number: u64) -> Value {
        let b = self.graph.add(Op::Const(number));
        let new = self.graph.add(Op::Bin { op, width: Width::W64, a, b });
        self.inserted.push((value, new));
        new
    }

    /// What is some bytes of a slot, or the value that is.
    fn load(
        &mut self,
        value: Value,
        whole: Value,
        offset: usize,
        size: Size,
        extend: Extend,
    ) -> Result<Op, Value> {
        let Some(op) = UnOp::extension(size, extend) else { return Err(whole) };
        if let Some(number) = self.graph.constant(whole) {
            return Err(self.graph.add(Op::Const(op.eval(number >> (offset * 8)))));
        }
        let a = match offset {
            0 => whole,
            _ => self.before(value, BinOp::Rsh, whole, offset as u64 * 8),
        };
        Ok(Op::Un { op, a })
    }

    /// A slot with some bytes changed.
    fn store(&mut self, value: Value, whole: Value, offset: usize, size: Size, stored: Value) -> Op {
        let mask = size.truncate(u64::MAX);
        let new = self.before(value, BinOp::And, stored, mask);
        let new = self.before(value, BinOp::Lsh, new, offset as u64 * 8);
        let rest = self.before(value, BinOp::And, whole, !(mask << (offset * 8)));
        Op::Bin { op: BinOp::Or, width: Width::W64, a: rest, b: new }
    }
}
