//! An embeddable virtual machine for classic and extended BPF.
//!
//! One call does the work: [`Program::run`]. Load a program once, run it on every packet; share it
//! between threads; nothing it does can reach outside of what it is given.
//!
//! ```
//! use sandbpf::{Program, SocketFilter};
//!
//! // What `tcpdump -ddd ip` prints: does the EtherType say IPv4?
//! let filter: Program<SocketFilter> = "4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0".parse()?;
//! let mut packet = [0; 34];
//! packet[12..14].copy_from_slice(&[0x08, 0x00]);
//! assert!(filter.run(&packet)?.matched());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A seccomp policy, as a list of `sock_filter`:
//!
//! ```
//! use sandbpf::{ClassicInsn, Program, Seccomp, SeccompAction, SyscallData};
//! let insn = |code, jt, jf, k| ClassicInsn { code, jt, jf, k };
//! let policy = Program::<Seccomp>::from_classic(&[
//!     insn(0x20, 0, 0, 0),           // A = nr
//!     insn(0x15, 0, 1, 59),          // execve?
//!     insn(0x06, 0, 0, 0x0005_0001), // EPERM
//!     insn(0x06, 0, 0, 0x7fff_0000), // allow
//! ])?;
//! let call = SyscallData { nr: 59, ..SyscallData::default() };
//! assert_eq!(policy.run(&call)?, SeccompAction::Errno(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Extended BPF on plain memory, `r1` its address and `r2` its length:
//!
//! ```
//! use sandbpf::{Buffer, Loader, Program};
//! let sum: Program<Buffer> = Loader::new().load(
//!     "r0 = 0
//!      r2 += r1
//!      next:
//!      if r1 == r2 goto end
//!      r3 = *(u8 *)(r1 + 0)
//!      r0 += r3
//!      r1 += 1
//!      goto next
//!      end:
//!      exit",
//! )?;
//! assert_eq!(sum.run(&[1u8, 2, 3, 4])?, 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Would Linux load it?
//!
//! [`Loader::verified`] has programs verified before they are prepared, as Linux 6.18 does; [`Verifier`] asks without
//! loading.
//!
//! ```
//! use sandbpf::{Loader, Program, Xdp};
//! let loader = Loader::new().verified(true);
//! let reads = "r0 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r0 + 0)\nexit";
//! let error = loader.load::<Xdp>(reads).unwrap_err();
//! let rejection = error.verify().unwrap();
//! assert_eq!((rejection.errno(), rejection.instruction()), ("EACCES", Some(1)));
//! let passes: Program<Xdp> = loader.load("r0 = 2\nexit")?;
//! assert_eq!(passes.proof().unwrap().statistics().processed, 2);
//! # Ok::<(), sandbpf::LoadError>(())
//! ```
//!
//! # What runs a program
//!
//! [`Engine::Auto`] compiles to machine code where that exists and interprets elsewhere; all engines
//! give the same results to the bit. Every access a program makes is checked, every jump back is
//! paid for from a [budget](Limits), so code from anywhere can be run: the worst it can do is
//! [trap](Trap).
#![forbid(unsafe_code)]

mod any;
mod compiled;
mod error;
mod image;
mod kinds;
mod loader;
mod map_set;
#[cfg(feature = "object")]
pub mod object;
mod program;
mod runner;
mod timers;
mod verify;

pub use any::{AnyError, AnyInput, AnyProgram, KindName, UnknownKind};
pub use error::LoadError;
pub use kinds::Kind;
pub use kinds::buffer::{Buffer, BufferInput};
pub use kinds::filter::{Accept, Packet, PacketMeta, SocketFilter, VlanTag};
pub use kinds::flow::{Flow, FlowDissector, FlowInput, FlowVerdict};
pub use kinds::raw::{
    CgroupDevice, CgroupSock, CgroupSockAddr, CgroupSockopt, CgroupSysctl, ContextInput, Extension, Kprobe,
    LircMode2, Lsm, LwtSeg6local, Netfilter, PerfEvent, RawTracepoint, RawTracepointWritable, SkLookup,
    SkMsg, SkReuseport, SkSkb, SockOps, StructOps, Syscall, Tracepoint, Tracing,
};
pub use kinds::seccomp::{Seccomp, SeccompAction, SyscallData};
pub use kinds::skb::{
    Action, CgroupSkb, CgroupVerdict, Classifier, LwtIn, LwtOut, LwtVerdict, LwtXmit, Skb, SkbInput, TcAction,
};
pub use kinds::verdicts::{
    Ignored, LsmVerdict, NetfilterVerdict, Permission, Recorded, Returned, SkAction, StreamAnswer, Traced,
};
pub use kinds::xdp::{Xdp, XdpAction, XdpFrame, XdpInput};
pub use loader::{Checks, Code, Engine, Limits, Loader};
pub use map_set::{MapError, Maps};
pub use program::Program;
pub use runner::Runner;
pub use timers::{Fired, LaterKind};
#[cfg(feature = "object")]
pub use verify::linked_code;
pub use verify::{Advice, Example, FunctionInfo, Proof, Rights, SharedTypes, Verifier, VerifyError};

pub use sandbpf_abi::{SkBuff, XdpMd};
pub use sandbpf_classic::{ClassicInsn, Dialect};
pub use sandbpf_interp::Observer;
pub use sandbpf_isa::{Pc, Reserved};
pub use sandbpf_runtime::memory::shared::SharedBytes;
pub use sandbpf_runtime::net::{Redirect, Tunnel};
pub use sandbpf_runtime::{
    Act, DescribedHost, Device, Fault, FrozenHost, Host, Machine, Registers, Space, Sysctl, SystemHost, Task,
    Trap, helpers,
};

/// What programs may assume: contexts, helpers, types of programs.
pub use sandbpf_abi as abi;

/// Maps: types, specifications, operations.
pub use sandbpf_maps as maps;

/// Classic BPF: instructions, dialects, text forms.
pub use sandbpf_classic as classic;
/// The instruction set: decode, encode, print, parse.
pub use sandbpf_isa as isa;
/// The verifier's own terms: shapes of maps, types, figures.
pub use sandbpf_verifier as verifier;
