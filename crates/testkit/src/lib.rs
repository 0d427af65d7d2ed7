//! What the tests of sandbpf share.
//!
//! | module | question |
//! |---|---|
//! | [`vectors`] | do the engines answer as the kernel and libpcap did, when somebody wrote it down? |
//!
//! Nothing here is published; the command `sandbpf vectors` is a thin skin over [`vectors::run`].
#![forbid(unsafe_code)]

pub mod vectors;
