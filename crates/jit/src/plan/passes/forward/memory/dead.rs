//! Stores that nobody sees: what they store is overwritten first, or the run ends and the stack with it.

use super::place::Place;
use crate::plan::graph::{Block, Bulk, End, Graph, Key, Op, Region, Value};

/// How many places are remembered.
const PLACES: usize = 16;

/// Removes stores, and cleared memory, that nobody sees.
pub(in super::super) fn remove(graph: &mut Graph) {
    let writes = |op: &Op| matches!(op, Op::Store { .. } | Op::Clear { .. });
    if !graph.blocks.iter().flat_map(|code| &code.body).any(|&value| writes(graph.op(value))) {
        return;
    }
    let order = graph.order();
    let seen = stack_is_seen(graph, &order);
    let mut later = Later { overwritten: Vec::new(), read: Vec::new(), stack_ends: false };
    for &block in &order {
        later.overwritten.clear();
        later.read.clear();
        let code = graph.code(block);
        let ends = match &code.end {
            End::Return(_) | End::Unreachable => true,
            end => end.edges().all(|edge| !seen[edge.to.index()]),
        };
        later.stack_ends = ends && !graph.machine;
        let mut body = std::mem::take(&mut graph.blocks[block.index()].body);
        let mut any = false;
        for &value in body.iter().rev() {
            if later.step(graph, value) {
                graph.values[value.index()] = Op::Gone;
                any = true;
            }
        }
        if any {
            body.retain(|&value| *graph.op(value) != Op::Gone);
        }
        graph.blocks[block.index()].body = body;
    }
}

/// Of every block, whether somebody may read the stack from its start on.
fn stack_is_seen(graph: &Graph, order: &[Block]) -> Vec<bool> {
    let mut seen = vec![false; graph.blocks.len()];
    for &block in order {
        seen[block.index()] = graph.code(block).body.iter().any(|&value| reads_stack(graph, value));
    }
    let mut changed = true;
    while changed {
        changed = false;
        for &block in order.iter().rev() {
            if !seen[block.index()] && graph.code(block).end.edges().any(|edge| seen[edge.to.index()]) {
                seen[block.index()] = true;
                changed = true;
            }
        }
    }
    seen
}

fn reads_stack(graph: &Graph, value: Value) -> bool {
    let stack = |region: Option<Region>| matches!(region, None | Some(Region::Stack));
    match graph.op(value) {
        Op::Load { at, .. } | Op::Atomic { at, .. } => stack(at.region),
        Op::Call { .. } => true,
        Op::Lookup { key: Key::At(at), .. } => stack(at.region),
        Op::Bulk { what, .. } => {
            let combined = what.to().filter(|_| matches!(what, Bulk::Combine { .. }));
            what.from().into_iter().chain(combined).any(|at| stack(at.region))
        }
        _ => false,
    }
}

/// What happens to memory from some point of a block on.
struct Later {
    /// Places that are overwritten before anybody reads them.
    overwritten: Vec<Place>,
    /// Places that may be of the stack and are read.
    read: Vec<Place>,
    /// Whether nobody reads any other place of the stack.
    stack_ends: bool,
}

impl Later {
    /// Goes before an operation. Whether nobody sees what it does.
    fn step(&mut self, graph: &Graph, value: Value) -> bool {
        match graph.op(value) {
            Op::Store { at, size, .. } => {
                let place = Place::of(graph, at, *size);
                return place.is_ours(graph) && self.write(place);
            }
            Op::Clear { from, bytes } => {
                let from = from.wrapping_sub(graph.start(Region::Stack)) as i64;
                return self.write(Place::stack(from, (*bytes).into()));
            }
            Op::Load { at, size, .. } => self.look(Place::of(graph, at, *size)),
            // A trap shows what was stored before it; not the stack, but in a machine.
            Op::Host { .. } | Op::Charge { .. } | Op::Budget | Op::Spend { .. } => {
                self.overwritten.retain(|place| place.is_stack() && !graph.machine);
            }
            Op::Lookup { map, key: Key::At(at), .. } => {
                self.look(Place::new(graph, at, graph.key_size(*map).into()));
            }
            Op::Call { .. } | Op::Atomic { .. } => self.forget(),
            Op::Bulk { what, .. } => {
                let combined = what.to().filter(|_| matches!(what, Bulk::Combine { .. }));
                for at in what.from().into_iter().chain(combined) {
                    self.look(Place::anywhere(graph, &at));
                }
            }
            _ => {}
        }
        false
    }

    fn forget(&mut self) {
        self.overwritten.clear();
        self.read.clear();
        self.stack_ends = false;
    }

    fn look(&mut self, place: Place) {
        self.overwritten.retain(|overwritten| !overwritten.overlaps(&place));
        if !self.stack_ends || !place.may_be_stack() {
            return;
        }
        if self.read.len() == PLACES {
            self.stack_ends = false;
        } else {
            self.read.push(place);
        }
    }

    fn write(&mut self, place: Place) -> bool {
        let ends = self.stack_ends && place.is_stack() && !self.read.iter().any(|read| read.overlaps(&place));
        if ends || self.overwritten.iter().any(|overwritten| overwritten.covers(&place)) {
            return true;
        }
        if self.overwritten.len() == PLACES {
            self.overwritten.remove(0);
        }
        self.overwritten.push(place);
        false
    }
}
