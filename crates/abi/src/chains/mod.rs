//! The chains: which helpers each type of program has.
//!
//! A chain stands for a function of Linux that answers `get_func_proto`; the table of types says whom each
//! one answers for.

mod base;
mod cgroups;
mod packets;
mod sockets;
mod tracing;

pub(crate) use base::*;
pub(crate) use cgroups::*;
pub(crate) use packets::*;
pub(crate) use sockets::*;
pub(crate) use tracing::*;
