//! From a graph to bytes.
//!
//! A function `(packet, length, context, budget, env)` of the `sysv64` convention that answers `r0` and 0, or a trap:
//! the guest's address of the access that failed (0 of the budget), and the number of the site and one.
//!
//! ```text
//!   nest, layout   the loops, and the order of blocks
//!   lower          values to machine instructions without registers (inst)
//!   allocate       where variables live, and in which registers
//!   write          bytes (encode), and jumps as short as they can be (relax)
//! ```

mod allocate;
pub(crate) mod bulk;
mod encode;
pub(crate) mod env;
pub(crate) mod features;
mod inst;
mod layout;
mod lower;
mod machine;
mod nest;
mod relax;
#[cfg(test)]
mod tests;
mod vectors;
mod write;

use super::graph::Graph;
use features::Features;

/// How to emit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmitOptions {
    /// What the processor can do.
    pub(crate) features: Features,
    /// The registers that variables may be in, by number. For tests; some instructions need more than three.
    pub(crate) registers: u16,
}

impl EmitOptions {
    /// All registers but the stack pointer.
    pub(crate) const ALL: u16 = !(1 << 4);

    /// For running on this processor.
    pub(crate) fn new(features: Features) -> EmitOptions {
        EmitOptions { features, registers: EmitOptions::ALL }
    }
}

/// Machine code that lies nowhere yet.
#[derive(Clone, Debug)]
pub(crate) struct Emitted {
    pub(crate) bytes: Vec<u8>,
}

/// Emits the code of a graph, in time in proportion to its size.
pub(crate) fn emit(graph: &Graph, options: &EmitOptions) -> Emitted {
    let nest = nest::Nest::of(graph);
    let layout = layout::Layout::of(graph, &nest);
    let body = lower::lower(graph, options, &nest, &layout);
    let allocation = allocate::allocate(&body, options.registers);
    Emitted { bytes: write::write(graph, options, &body, allocation) }
}
