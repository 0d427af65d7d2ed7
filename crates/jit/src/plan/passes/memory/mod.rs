//! What is known to lie in memory is not loaded again, what is overwritten before somebody looks is not stored, and pieces
//! that lie side by side are loaded and stored in one go.

mod dead;
mod known;
mod pieces;
mod place;
mod stores;

use crate::plan::graph::Graph;

/// Forwards what is stored and loaded, joins accesses, and removes stores that nobody sees.
pub(crate) fn memory(graph: &mut Graph) {
    known::forward(graph);
    dead::remove(graph);
}
