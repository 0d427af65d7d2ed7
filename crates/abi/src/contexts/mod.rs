//! The contexts, one file a family: each declares its structs, and which of their fields each kind of
//! program may read and write.

pub(crate) mod cgroup;
pub(crate) mod flow_keys;
pub(crate) mod seccomp;
pub(crate) mod sk_lookup;
pub(crate) mod sk_msg;
pub(crate) mod skb;
pub(crate) mod sock;
pub(crate) mod sock_addr;
pub(crate) mod sock_ops;
pub(crate) mod tracing;
pub(crate) mod xdp;
