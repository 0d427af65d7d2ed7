//! What is known to lie in memory is not loaded again, what is overwritten before somebody looks is not stored, and pieces
//! that lie side by side are loaded and stored in one go.

pub(super) mod dead;
pub(super) mod known;
mod pieces;
mod place;
pub(super) mod reverse;
mod stores;
