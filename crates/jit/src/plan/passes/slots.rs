//! Makes values of stack slots: what is stored at a constant address and loaded from there never goes through memory.
//!
//! Compilers keep in memory what does not fit into ten registers, and whole structures. As long as nobody else can look
//! there, a slot of up to eight bytes is a value that changes, and blocks get a parameter for it where ways meet and
//! somebody reads it. Frames begin with zeros.

use std::ops::Range;

use sandbpf_isa::{Extend, Size, Width};

use super::incoming::Incoming;
use super::renames::Renames;
use crate::plan::graph::{Address, BinOp, Block, End, Graph, Op, Region, UnOp, Value};

/// How many slots are made values in one go: a number has a bit for each.
const SLOTS: usize = 64;

/// Makes values of as many slots of the stack as possible.
pub(crate) fn slots(graph: &mut Graph) {
    let order = graph.order();
    let Some(frame) = Frame::of(graph, &order) else { return };
    let slots = frame.slots(graph, &order);
    for slots in slots.chunks(SLOTS) {
        Promotion::of(graph, &order, slots).run(&order);
    }
    trim(graph, &order);
}

/// Where the stack is accessed at a constant address, from its first byte on.
fn constant(graph: &Graph, at: &Address, size: Size) -> Option<(usize, usize)> {
    if *graph.op(at.base) != Op::Base(Region::Stack) || at.index.is_some() {
        return None;
    }
    Some((usize::try_from(at.disp).ok()?, size.bytes().into()))
}

/// Bytes of the stack, from its first on, that are cleared.
fn cleared(graph: &Graph, from: u64, bytes: u32) -> (usize, usize) {
    ((from - graph.start(Region::Stack)) as usize, bytes as usize)
}

/// Whether an operation may look at the stack, or change it, in a place that is not known.
fn escapes(graph: &Graph, op: &Op) -> bool {
    let stack = |at: &Address| matches!(at.region, None | Some(Region::Stack));
    match op {
        Op::Load { at, size, .. } | Op::Store { at, size, .. } => {
            stack(at) && constant(graph, at, *size).is_none()
        }
        Op::Atomic { at, .. } => stack(at),
        Op::Bulk { what, .. } => what.to().into_iter().chain(what.from()).any(|at| stack(&at)),
        Op::Call { .. } => true,
        _ => false,
    }
}

/// A piece of the stack that is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    from: usize,
    bytes: usize,
}

/// How the bytes of the stack are accessed.
struct Frame {
    /// Whether a byte is loaded, or something is stored there that is no constant.
    used: Vec<bool>,
    /// Whether a byte and the next one are accessed together.
    joined: Vec<bool>,
    /// Whether a byte has to stay in memory.
    stays: Vec<bool>,
}

impl Frame {
    /// How the stack is accessed; `None` if it may be in places that are not known.
    fn of(graph: &Graph, order: &[Block]) -> Option<Frame> {
        let bytes = graph.stack as usize + 8;
        let none = vec![false; bytes];
        let mut frame = Frame { used: none.clone(), joined: none.clone(), stays: none };
        for &value in order.iter().flat_map(|&block| &graph.code(block).body) {
            let op = graph.op(value);
            if escapes(graph, op) {
                return None;
            }
            match op {
                Op::Store { value, swap: false, .. } if graph.constant(*value).is_some() => {}
                Op::Load { at, size, swap, .. } | Op::Store { at, size, swap, .. } => {
                    let Some((from, bytes)) = constant(graph, at, *size) else { continue };
                    frame.used.get_mut(from..from + bytes)?.fill(true);
                    frame.joined.get_mut(from..from + bytes - 1)?.fill(true);
                    // Nobody reverses bytes this early; whoever did will have a reason to leave them in memory.
                    frame.stays[from] |= swap;
                }
                _ => {}
            }
        }
        Some(frame)
    }

    /// Runs of bytes that are accessed together, of those that fit into a value.
    fn slots(&self, graph: &Graph, order: &[Block]) -> Vec<Slot> {
        let mut slots = Vec::new();
        let mut slot_of = vec![usize::MAX; self.used.len()];
        let mut from = 0;
        while from < self.used.len() {
            let mut end = from + 1;
            while self.joined[end - 1] {
                end += 1;
            }
            if self.used[from] && end - from <= 8 && !self.stays[from..end].contains(&true) {
                slot_of[from..end].fill(slots.len());
                slots.push(Slot { from, bytes: end - from });
            }
            from = end;
        }
        // Constants are put to whole slots, or to bytes of one.
        let mut crossed = vec![false; slots.len()];
        for &value in order.iter().flat_map(|&block| &graph.code(block).body) {
            let (from, bytes) = match graph.op(value) {
                Op::Store { at, size, value, .. } if graph.constant(*value).is_some() => {
                    match constant(graph, at, *size) {
                        Some(range) => range,
                        None => continue,
                    }
                }
                Op::Clear { from, bytes } if *bytes > 0 => cleared(graph, *from, *bytes),
                _ => continue,
            };
            let (first, last) = (slot_of[from], slot_of[from + bytes - 1]);
            if first == last && matches!(graph.op(value), Op::Store { .. }) {
                continue;
            }
            for slot in [first, last].into_iter().filter(|&slot| slot < slots.len()) {
                let Slot { from: start, bytes: length } = slots[slot];
                crossed[slot] |= start < from || start + length > from + bytes;
            }
        }
        let mut crossed = crossed.into_iter();
        slots.retain(|_| crossed.next() == Some(false));
        slots
    }
}

/// What an operation does to the slots.
enum Act {
    /// It loads some bytes of one.
    Load { slot: usize, offset: usize, size: Size, extend: Extend },
    /// It stores to some bytes of one.
    Store { slot: usize, offset: usize, size: Size, value: Value },
    /// It puts these bytes everywhere from `from` on; those of slots are not needed any more if it does nothing else.
    Fill { from: usize, bytes: usize, number: u64 },
}

/// Slots on their way to be values.
struct Promotion<'g> {
    graph: &'g mut Graph,
    slots: Vec<Slot>,
    /// For every byte of the stack, the slot that it is of.
    slot_of: Vec<u8>,
    /// For every block, the slots that are read from its start on.
    live: Vec<u64>,
    incoming: Incoming,
}

const NO_SLOT: u8 = u8::MAX;

impl<'g> Promotion<'g> {
    fn of(graph: &'g mut Graph, order: &[Block], slots: &[Slot]) -> Promotion<'g> {
        let mut slot_of = vec![NO_SLOT; graph.stack as usize + 16];
        for (number, slot) in slots.iter().enumerate() {
            slot_of[slot.from..slot.from + slot.bytes].fill(number as u8);
        }
        let incoming = Incoming::of(graph, order);
        let live = vec![0; graph.blocks.len()];
        let mut promotion = Promotion { graph, slots: slots.to_vec(), slot_of, live, incoming };
        promotion.find_live(order);
        promotion
    }

    fn act(&self, op: &Op) -> Option<Act> {
        match op {
            Op::Load { at, size, extend, .. } => {
                let (from, _) = constant(self.graph, at, *size)?;
                let (slot, offset) = self.slot(from)?;
                Some(Act::Load { slot, offset, size: *size, extend: *extend })
            }
            Op::Store { at, size, value, .. } => {
                let (from, bytes) = constant(self.graph, at, *size)?;
                match (self.graph.constant(*value), self.slot(from)) {
                    (None, Some((slot, offset))) => {
                        Some(Act::Store { slot, offset, size: *size, value: *value })
                    }
                    (None, None) => None,
                    (Some(_), Some((slot, offset))) if offset > 0 || self.slots[slot].bytes > bytes => {
                        Some(Act::Store { slot, offset, size: *size, value: *value })
                    }
                    (Some(number), _) => Some(Act::Fill { from, bytes, number }),
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

    fn find_live(&mut self, order: &[Block]) {
        // What a block reads before it writes it, and what it writes.
        let mut effects = vec![(0u64, 0u64); self.graph.blocks.len()];
        for &block in order {
            let (mut reads, mut writes) = (0u64, 0u64);
            for &value in &self.graph.code(block).body {
                match self.act(self.graph.op(value)) {
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
        }
        let mut changed = true;
        while changed {
            changed = false;
            for &block in order.iter().rev() {
                let edges = self.graph.code(block).end.edges();
                let after = edges.fold(0, |live, edge| live | self.live[edge.to.index()]);
                let (reads, writes) = effects[block.index()];
                let live = reads | after & !writes;
                if live != self.live[block.index()] {
                    self.live[block.index()] = live;
                    changed = true;
                }
            }
        }
    }

    /// Goes through all blocks with the values that slots have.
    fn run(mut self, order: &[Block]) {
        let count = self.slots.len();
        let zero = self.graph.add(Op::Const(0));
        let mut renames = Renames::new(self.graph);
        let mut values = vec![zero; count];
        // The values at the ends of blocks.
        let mut ends = vec![zero; count * self.graph.blocks.len()];
        let mut done = vec![false; self.graph.blocks.len()];
        // Parameters, and the slots that they are of.
        let mut added: Vec<(Block, usize)> = Vec::new();
        let mut old = Vec::new();
        for &block in order {
            values.fill(zero);
            let ways = self.incoming.to(block);
            let known = ways.iter().all(|way| done[way.from.index()]);
            let mut live = self.live[block.index()];
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
            old.clear();
            old.append(&mut self.graph.blocks[block.index()].body);
            for &value in &old {
                let mut op = std::mem::replace(&mut self.graph.values[value.index()], Op::Gone);
                renames.apply_to(&mut op);
                let stays = match self.act(&op) {
                    None => true,
                    Some(Act::Load { slot, offset, size, extend }) => {
                        let loaded = self.load(block, values[slot], offset, size, extend);
                        renames.rename(value, loaded);
                        false
                    }
                    Some(Act::Store { slot, offset, size, value }) => {
                        values[slot] = self.store(block, slot, values[slot], offset, size, value);
                        false
                    }
                    Some(Act::Fill { from, bytes, number }) => {
                        let mut covered = 0;
                        for slot in self.within(from, bytes) {
                            covered += self.slots[slot].bytes;
                            let shift = (self.slots[slot].from - from) as u32 * 8;
                            values[slot] = self.graph.add(Op::Const(number.checked_shr(shift).unwrap_or(0)));
                        }
                        covered < bytes
                    }
                };
                if stays {
                    self.graph.values[value.index()] = op;
                    self.graph.blocks[block.index()].body.push(value);
                }
            }
            let mut end = std::mem::replace(&mut self.graph.blocks[block.index()].end, End::Unreachable);
            end.uses_mut(|used| *used = renames.of(*used));
            self.graph.blocks[block.index()].end = end;
            ends[block.index() * count..][..count].copy_from_slice(&values);
            done[block.index()] = true;
        }
        renames.apply_to_edges(self.graph);
        for (block, slot) in added {
            for way in self.incoming.to(block) {
                let value = renames.of(ends[way.from.index() * count + slot]);
                way.edge_mut(self.graph).arguments.push(value);
            }
        }
    }

    fn with(&mut self, block: Block, op: BinOp, a: Value, number: u64) -> Value {
        let b = self.graph.add(Op::Const(number));
        self.graph.append(block, Op::Bin { op, width: Width::W64, a, b })
    }

    /// Some bytes of a slot.
    fn load(&mut self, block: Block, whole: Value, offset: usize, size: Size, extend: Extend) -> Value {
        let a = match offset {
            0 => whole,
            _ => self.with(block, BinOp::Rsh, whole, offset as u64 * 8),
        };
        let op = match (size, extend) {
            (Size::B, Extend::Zero) => UnOp::Zext8,
            (Size::H, Extend::Zero) => UnOp::Zext16,
            (Size::W, Extend::Zero) => UnOp::Zext32,
            (Size::B, Extend::Sign) => UnOp::Sext8,
            (Size::H, Extend::Sign) => UnOp::Sext16,
            (Size::W, Extend::Sign) => UnOp::Sext32,
            (Size::DW, _) => return a,
        };
        match self.graph.constant(a) {
            Some(number) => self.graph.add(Op::Const(op.eval(number))),
            None => self.graph.append(block, Op::Un { op, a }),
        }
    }

    /// A slot with some bytes changed.
    fn store(
        &mut self,
        block: Block,
        slot: usize,
        whole: Value,
        offset: usize,
        size: Size,
        value: Value,
    ) -> Value {
        if usize::from(size.bytes()) == self.slots[slot].bytes {
            return value;
        }
        let mask = size.truncate(u64::MAX);
        let new = self.with(block, BinOp::And, value, mask);
        let new = self.with(block, BinOp::Lsh, new, offset as u64 * 8);
        let rest = self.with(block, BinOp::And, whole, !(mask << (offset * 8)));
        self.graph.append(block, Op::Bin { op: BinOp::Or, width: Width::W64, a: rest, b: new })
    }
}

/// Clears only what somebody may load.
fn trim(graph: &mut Graph, order: &[Block]) {
    let mut loaded = vec![false; graph.stack as usize + 16];
    for &value in order.iter().flat_map(|&block| &graph.code(block).body) {
        if let Op::Load { at, size, .. } = graph.op(value) {
            if let Some((from, bytes)) = constant(graph, at, *size) {
                loaded[from..from + bytes].fill(true);
            }
        }
    }
    for &block in order {
        let mut body = std::mem::take(&mut graph.blocks[block.index()].body);
        let start = graph.start(Region::Stack);
        body.retain(|value| {
            let Op::Clear { from, bytes } = &mut graph.values[value.index()] else { return true };
            let first = (*from - start) as usize;
            let range = &loaded[first..first + *bytes as usize];
            let (Some(low), Some(high)) = (range.iter().position(|&it| it), range.iter().rposition(|&it| it))
            else {
                return false;
            };
            (*from, *bytes) = (*from + low as u64, (high - low + 1) as u32);
            true
        });
        graph.blocks[block.index()].body = body;
    }
}
