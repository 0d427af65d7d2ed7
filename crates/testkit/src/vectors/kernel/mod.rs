//! Records that a kernel answered.

pub(crate) mod conformance;
pub(crate) mod context_access;
pub(crate) mod encoding;
pub(crate) mod filter_attach;
pub(crate) mod filter_passes;
pub(crate) mod filter_run;
pub(crate) mod helper_matrix;
pub(crate) mod map_create;
pub(crate) mod map_helper;
pub(crate) mod packet_runs;
mod program;
pub(crate) mod program_runs;
pub(crate) mod return_values;
pub(crate) mod semantics;
pub(crate) mod tail_calls;
pub(crate) mod test_bpf;
pub(crate) mod verdict;
pub(crate) mod verify_speed;
