//! From a graph to bytes.
//!
//! A function `(packet, length, context, budget, env)` of the `sysv64` convention that answers `r0` and 0, or a trap:
//! the guest's address of the access that failed (0 of the budget), and the number of the site and one.
//!
//! ```text
//!   nest, layout   the loops, and the order of blocks
//!   guess          which choices are better guessed
//!   lower          values to machine instructions without registers (inst)
//!   allocate       where variables live, and in which registers
//!   write          bytes (encode), and jumps as short as they can be (relax)
//! ```

mod allocate;
pub(crate) mod bulk;
mod encode;
pub(crate) mod env;
pub(crate) mod features;
mod guess;
mod inst;
mod layout;
mod lookup;
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

/// How to emit. The default is for running on this processor; the rest is for tests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EmitOptions {
    /// Whether only instructions are used that every x86-64 processor has.
    pub(crate) baseline: bool,
    /// Registers, by number, that no variable may be in; at least six have to be left.
    pub(crate) forbidden: u16,
    /// Whether all choices are guessed.
    pub(crate) guess: bool,
}

/// What code is made for.
#[derive(Clone, Copy, Debug)]
struct Target {
    features: Features,
    /// The registers that variables may be in, by number.
    registers: u16,
    /// Whether all choices are guessed.
    guess: bool,
}

impl Target {
    fn of(options: &EmitOptions) -> Target {
        let features = if options.baseline { Features::BASELINE } else { Features::detect() };
        Target { features, registers: !(options.forbidden | 1 << machine::reg::RSP), guess: options.guess }
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
    let target = Target::of(options);
    let body = lower::lower(graph, &target, &nest, &layout);
    let allocation = allocate::allocate(&body, target.registers);
    Emitted { bytes: write::write(graph, &target, &body, allocation) }
}
