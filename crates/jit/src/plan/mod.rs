//! The plan: what machine code is to compute, before it is machine code.
//!
//! ```text
//!   build        a program to a graph, its functions in the places of their calls; `lookups` what it asks of maps
//!   graph        values in blocks; `meaning` what operations compute, `show` as text, `check` its laws, `run` a judge
//!   passes       small steps from graph to graph, each of which may be left out
//!   emit         registers, instructions, bytes
//! ```

pub(crate) mod build;
#[cfg(test)]
pub(crate) mod check;
pub(crate) mod dominators;
mod effects;

#[cfg(all(target_arch = "x86_64", unix))]
pub(crate) mod emit;
mod expand;
pub(crate) mod graph;
mod lookups;
pub(crate) mod meaning;
pub(crate) mod passes;
#[cfg(test)]
pub(crate) mod random;
#[cfg(test)]
pub(crate) mod run;
pub(crate) mod show;
#[cfg(test)]
mod tests;
mod translate;
