//! The tables as pages: `docs/helpers.md` and `docs/contexts.md`.
//!
//! Tests compare the pages with what this writes, so that they cannot say anything that the tables do
//! not.

mod contexts;
mod helpers;

pub use contexts::contexts;
pub use helpers::helpers;
