//! What a program may assume of Linux 6.18: what its context looks like and what it may do with it, which
//! helpers it has and what they take and return, what it may return itself.
//!
//! Declarations only, as tables that everybody reads. How a context is filled and a helper implemented is
//! the runtime's business; that a program keeps to all this, the verifier's.
//!
//! ```
//! use sandbpf_abi::{Program, ProgramType, SkBuff};
//! let skb = SkBuff { len: 60, mark: 7, ..SkBuff::default() };
//! let bytes = skb.to_bytes();
//! assert_eq!(bytes[SkBuff::MARK], 7);
//! assert_eq!(SkBuff::FIELDS[0].name, "len");
//!
//! let filter = Program::new(ProgramType::SocketFilter);
//! assert!(filter.helpers().any(|helper| helper.name == "skb_load_bytes"));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod access;
pub mod arguments;
mod attach_type;
mod availability;
mod callback;
mod chains;
mod context;
mod contexts;
pub mod helper;
pub mod helpers;
mod kfunc;
pub mod kfuncs;
mod list;
mod map_type;
pub mod pointers;
mod program;
mod program_type;
pub mod reference;
mod returns;
mod row;

pub use access::{Access, Direction, Sizes, Value};
pub use attach_type::AttachType;
pub use callback::{CallbackArg, CallbackSpec, callback};
pub use context::{Field, Layout, View};
pub use contexts::{
    cgroup::{CgroupDevice, Sockopt, Sysctl},
    flow_keys::FlowKeys,
    seccomp::SeccompData,
    sk_lookup::{SkLookup, SkReuseport},
    sk_msg::SkMsg,
    skb::SkBuff,
    sock::{Sock, TcpSock, XdpSock},
    sock_addr::SockAddr,
    sock_ops::SockOps,
    tracing::{LircSample, Netfilter, PerfEventData, RawTracepoint, RawTracepointWritable, Registers},
    xdp::XdpMd,
};
pub use helper::{ArgSpec, DynptrKind, Effect, HelperSpec, RetSpec};
pub use kfunc::{Hooks, KfuncFlag, KfuncMark, KfuncParam, KfuncSpec};
pub use map_type::{MapType, ValueKind};
pub use program::{AccessError, FieldAccess, Powers, Program, Unavailable};
pub use program_type::ProgramType;
pub use returns::{ASYNC_CALLBACK, Returns};
pub use row::{Attach, Context, PacketAccess, Row, Sleeping};
