//! How a program uses its stack: where it looks at which bytes, as far as that is known.

use sandbpf_isa::FRAME_SIZE;
use sandbpf_runtime::address::{FIRST_FRAME, STACK};

use super::{Slot, cleared, constant, range};
use crate::plan::graph::{Address, Block, Graph, Key, Op, Region, Value};

/// Accesses at constant addresses, and what others leave alone.
pub(super) struct Frame {
    /// Operations that load from the stack, store to it, or clear some of it, at constant addresses, block by block.
    pub(super) accesses: Vec<Value>,
    /// The blocks of these, and where the accesses of each end.
    pub(super) blocks: Vec<(Block, u32)>,
    /// Whether a byte is loaded, or something is stored there that is no constant.
    used: Vec<bool>,
    /// Whether a byte and the next one are accessed together.
    joined: Vec<bool>,
    /// Whether a byte has to stay in memory.
    stays: Vec<bool>,
}

impl Frame {
    /// How the stack is used; `None` if it may be in places that are not known.
    pub(super) fn of(graph: &Graph, order: &[Block]) -> Option<Frame> {
        let none = vec![false; graph.stack as usize + 16];
        let (used, joined, stays) = (none.clone(), none.clone(), none);
        let mut frame = Frame { accesses: Vec::new(), blocks: Vec::new(), used, joined, stays };
        for &block in order {
            let before = frame.accesses.len();
            for &value in &graph.code(block).body {
                frame.look(graph, value)?;
            }
            if frame.accesses.len() > before {
                frame.blocks.push((block, frame.accesses.len() as u32));
            }
        }
        Some(frame)
    }

    /// Learns what an operation does to the stack; `None` if nobody knows.
    fn look(&mut self, graph: &Graph, value: Value) -> Option<()> {
        let stack = |at: &Address| matches!(at.region, None | Some(Region::Stack));
        match graph.op(value) {
            Op::Bin { .. } | Op::Un { .. } => {}
            Op::Load { at, size, swap, .. } | Op::Store { at, size, swap, .. } if stack(at) => {
                let Some((from, bytes)) = constant(graph, at, *size) else { return self.reach(graph, value) };
                self.accesses.push(value);
                let plain = |stored: &Value| graph.constant(*stored).is_some() && !swap;
                if matches!(graph.op(value), Op::Store { value, .. } if plain(value)) {
                    return Some(());
                }
                self.used.get_mut(from..from + bytes)?.fill(true);
                self.joined.get_mut(from..from + bytes - 1)?.fill(true);
                // Nobody reverses bytes this early; whoever did will have a reason to leave them in memory.
                self.stays[from] |= swap;
            }
            Op::Clear { bytes, .. } if *bytes > 0 => self.accesses.push(value),
            Op::Atomic { at, .. } if stack(at) => return None,
            Op::Bulk { what, .. } => {
                if what.to().iter().chain(&what.from()).any(stack) {
                    return None;
                }
            }
            Op::Lookup { map, key: Key::At(at), .. } if stack(at) => {
                let (from, bytes) = range(graph, at, graph.key_size(*map))?;
                self.stays.get_mut(from..from + bytes)?.fill(true);
            }
            Op::Call { .. } => return None,
            _ => {}
        }
        Some(())
    }

    /// An access at an address that is not constant, of which something may be known.
    fn reach(&mut self, graph: &Graph, value: Value) -> Option<()> {
        let place = graph.reaches.binary_search_by_key(&value, |reach| reach.value).ok()?;
        let reach = &graph.reaches[place];
        // Nobody knows of which frame.
        let first = (FIRST_FRAME - STACK) as i64;
        for pointer in (first..=graph.stack.into()).step_by(FRAME_SIZE as usize) {
            let (from, end) = (pointer.checked_add(reach.first)?, pointer.checked_add(reach.end)?);
            let range = usize::try_from(from).ok()?..usize::try_from(end).ok()?;
            self.stays.get_mut(range)?.fill(true);
        }
        Some(())
    }

    /// Runs of bytes that are accessed together, of those that fit into a value.
    pub(super) fn slots(&self, graph: &Graph) -> Vec<Slot> {
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
        for &value in &self.accesses {
            let ((from, bytes), store) = match graph.op(value) {
                Op::Store { at, size, value, .. } if graph.constant(*value).is_some() => {
                    match constant(graph, at, *size) {
                        Some(range) => (range, true),
                        None => continue,
                    }
                }
                Op::Clear { from, bytes } => (cleared(graph, *from, *bytes), false),
                _ => continue,
            };
            let (first, last) = (slot_of[from], slot_of[from + bytes - 1]);
            if first == last && store {
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

    /// Takes note that accesses were made values.
    pub(super) fn forget_gone(&mut self, graph: &Graph) {
        self.accesses.retain(|&value| {
            matches!(graph.op(value), Op::Load { .. } | Op::Store { .. } | Op::Clear { .. })
        });
    }

    /// Clears only what somebody may load.
    pub(super) fn trim(self, graph: &mut Graph) {
        let mut loaded = self.stays;
        for &value in &self.accesses {
            if let Op::Load { at, size, .. } = graph.op(value) {
                if let Some((from, bytes)) = constant(graph, at, *size) {
                    loaded[from..from + bytes].fill(true);
                }
            }
        }
        let mut gone = false;
        for &value in &self.accesses {
            let Op::Clear { from, bytes } = *graph.op(value) else { continue };
            let (first, length) = cleared(graph, from, bytes);
            let range = &loaded[first..first + length];
            let ends = (range.iter().position(|&it| it), range.iter().rposition(|&it| it));
            graph.values[value.index()] = match ends {
                (Some(low), Some(high)) => {
                    Op::Clear { from: from + low as u64, bytes: (high - low + 1) as u32 }
                }
                _ => Op::Gone,
            };
            gone |= ends.0.is_none();
        }
        if gone {
            for &(block, _) in &self.blocks {
                let (values, body) = (&graph.values, &mut graph.blocks[block.index()].body);
                body.retain(|value| !matches!(values[value.index()], Op::Gone));
            }
        }
    }
}
