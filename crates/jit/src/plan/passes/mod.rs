//! Passes: small steps from graph to graph. Each keeps what the graph means, down to traps and the budget, and each may be
//! left out.

mod bits;
mod bounds;
mod bulk;
mod choose;
mod divide;
mod forward;
mod free;
mod hoist;
pub(crate) mod incoming;
mod loops;
mod narrow;
mod recall;
mod renames;
mod search;
mod slots;
mod spare;
mod sweep;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod trial;

use super::graph::Graph;
use forward::{Tasks, forward};

macro_rules! passes {
    ($( $(#[doc = $doc:literal])* $Pass:ident = $bit:literal, $run:expr; )*) => {
        /// A pass, by its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Pass { $( $(#[doc = $doc])* $Pass = $bit, )* }

        impl Pass {
            /// All of them.
            pub const ALL: &'static [Pass] = &[$(Pass::$Pass),*];

            fn run(self, graph: &mut Graph) {
                let run: fn(&mut Graph) = match self { $(Pass::$Pass => $run,)* };
                run(graph);
            }
        }
    };
}

passes! {
    /// Takes away what nobody uses, and blocks that nobody comes to.
    Sweep = 0, sweep::sweep;
    /// Folds constants, and says the same with less.
    Simplify = 1, |graph| forward(graph, Tasks { simplify: true, ..Tasks::default() });
    /// Computes once what is computed twice.
    Share = 2, |graph| forward(graph, Tasks { share: true, ..Tasks::default() });
    /// Removes checks that cannot fail and tests that can end in one way only, by what numbers can be.
    Bounds = 10, bounds::bounds;
    /// Multiplies where division by a constant is meant.
    Divide = 3, divide::divide;
    /// Lets addresses add up what programs add.
    Address = 4, |graph| forward(graph, Tasks { address: true, ..Tasks::default() });
    /// Loads what is known already from where it is known, and stores what is seen.
    Memory = 5, |graph| forward(graph, Tasks { memory: true, ..Tasks::default() });
    /// Makes values of stack slots.
    Slots = 6, slots::slots;
    /// Asks again what was kept as a number.
    Recall = 9, recall::recall;
    /// Lets programs that have enough for whatever they do pay for nothing.
    Free = 8, free::free;
    /// Does at once what loops do to ranges of memory.
    Bulk = 11, bulk::bulk;
    /// Makes searches of chains and trees of tests of one value.
    Search = 15, search::search;
    /// Computes before loops what does not change in them.
    Hoist = 12, hoist::hoist;
    /// Lets loops whose rounds are counted pay for all of them at once, and puts rounds one behind the other.
    Spare = 13, spare::spare;
    /// Chooses values where short ways part and meet again.
    Choose = 14, choose::choose;
    /// Computes no more bits than somebody looks at.
    Narrow = 7, narrow::narrow;
}

/// A set of passes that are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without(u32);

impl Without {
    /// These as well.
    pub const fn and(self, pass: Pass) -> Without {
        Without(self.0 | 1 << pass as u32)
    }

    fn has(self, pass: Pass) -> bool {
        self.0 >> pass as u32 & 1 != 0
    }
}

/// In which order passes run, some more than once; those that stand together take one walk as far as they can.
const SCHEDULE: &[&[Pass]] = &[
    &[Pass::Sweep],
    &[Pass::Slots],
    &[Pass::Recall],
    &[Pass::Simplify, Pass::Share, Pass::Address],
    &[Pass::Bounds],
    &[Pass::Search],
    &[Pass::Free],
    &[Pass::Bulk],
    &[Pass::Hoist],
    &[Pass::Spare],
    &[Pass::Choose],
    &[Pass::Divide],
    &[Pass::Simplify, Pass::Share, Pass::Address, Pass::Memory],
    &[Pass::Narrow],
    &[Pass::Simplify, Pass::Share, Pass::Address],
    &[Pass::Sweep],
];

/// Runs all passes but those.
pub(crate) fn run(graph: &mut Graph, without: Without) {
    each(graph, without, |_, _| {});
}

/// The same, showing the graph after every step and the last pass of it.
pub(crate) fn each(graph: &mut Graph, without: Without, mut look: impl FnMut(&Graph, Pass)) {
    for step in SCHEDULE {
        let mut tasks = Tasks::default();
        let mut last = None;
        for &pass in step.iter().filter(|&&pass| !without.has(pass)) {
            match pass {
                Pass::Simplify => tasks.simplify = true,
                Pass::Share => tasks.share = true,
                Pass::Address => tasks.address = true,
                Pass::Memory => tasks.memory = true,
                _ => pass.run(graph),
            }
            last = Some(pass);
        }
        if tasks.any() {
            forward(graph, tasks);
        }
        if let Some(last) = last {
            look(graph, last);
        }
    }
}
