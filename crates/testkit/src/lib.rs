//! What the tests of sandbpf share.
//!
//! | module | question |
//! |---|---|
//! | [`vectors`] | do the engines answer as the kernel and libpcap did, when somebody wrote it down? |
//! | [`case`] | do they do what a file of one page says? |
//! | [`agree()`], [`classic_agree`] | do they agree with each other on programs nobody would write? |
//! | [`generate`] | where do such programs come from? |
//! | [`subject`] | who is asked? |
//! | [`proved`] | do accepted programs do what was proved of them, whoever trusts the proof? |
//! | [`audit`] | is everything that was proved of a program true of its runs? |
//!
//! Nothing here is published; the command `sandbpf vectors` is a thin skin over [`vectors::run`].
#![cfg_attr(not(feature = "kernel"), forbid(unsafe_code))]

mod agree;
pub mod audit;
pub mod case;
pub mod generate;
#[cfg(feature = "kernel")]
pub mod kernel_maps;
pub mod proved;
mod reference;
pub mod subject;
pub mod vectors;

pub use agree::{agree, classic_agree};
