//! The contexts, one file each.

pub(crate) mod seccomp;
pub(crate) mod skb;
pub(crate) mod xdp;
