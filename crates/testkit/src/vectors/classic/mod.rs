//! Records about classic filters: libpcap's answers, and the kernel's where they differ.

pub(crate) mod ancillary;
pub(crate) mod capture;
pub(crate) mod disagreement;
pub(crate) mod edge;
pub(crate) mod filter;
pub(crate) mod frame;
pub(crate) mod seccomp;
pub(crate) mod text;
pub(crate) mod verdict;
