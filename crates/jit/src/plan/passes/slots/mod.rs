//! Makes values of stack slots: what is stored at a constant address and loaded from there never goes through memory.
//!
//! Compilers keep in memory what does not fit into ten registers, and whole structures. As long as nobody else can look
//! there, a slot of up to eight bytes is a value that changes, and blocks get a parameter for it where ways meet and
//! somebody reads it. Frames begin with zeros, which are needed only where something stays in memory.

mod frame;
mod promotion;

use sandbpf_isa::Size;

use super::incoming::Incoming;
use crate::plan::graph::{Address, Graph, Op, Region};
use frame::Frame;
use promotion::Promotion;

/// How many slots are made values in one go: a number has a bit for each.
const SLOTS: usize = 64;

/// Makes values of as many slots of the stack as possible.
pub(crate) fn slots(graph: &mut Graph) {
    let order = graph.order();
    let Some(mut frame) = Frame::of(graph, &order) else { return };
    let slots = frame.slots(graph);
    if !slots.is_empty() {
        let incoming = Incoming::of(graph, &order);
        for slots in slots.chunks(SLOTS) {
            Promotion::of(graph, &frame, slots, &incoming).run(&order);
        }
        frame.forget_gone(graph);
    }
    frame.trim(graph);
    if !slots.is_empty() {
        // Numbers that a loop keeps for others were put away and fetched again: now it carries them around for nothing.
        super::sweep::sweep(graph);
    }
}

/// A piece of the stack that is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    from: usize,
    bytes: usize,
}

/// Where the stack is accessed at a constant address, from its first byte on.
fn constant(graph: &Graph, at: &Address, size: Size) -> Option<(usize, usize)> {
    range(graph, at, size.bytes().into())
}

/// The same of any number of bytes.
fn range(graph: &Graph, at: &Address, bytes: u32) -> Option<(usize, usize)> {
    if !matches!(graph.op(at.base), Op::Base(Region::Stack)) {
        return None;
    }
    let index = match at.index {
        None => 0,
        Some((index, scale)) => graph.constant(index)? << scale,
    };
    let from = (at.disp as u64).wrapping_add(index);
    let fits = from <= u64::from(graph.stack) && from + u64::from(bytes) <= u64::from(graph.stack);
    fits.then_some((from as usize, bytes as usize))
}

/// Bytes of the stack, from its first on, that are cleared.
fn cleared(graph: &Graph, from: u64, bytes: u32) -> (usize, usize) {
    ((from - graph.start(Region::Stack)) as usize, bytes as usize)
}
