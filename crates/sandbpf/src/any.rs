//! Programs whose kind is known only at run time: for tools.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sandbpf_interp::Observer;
use sandbpf_isa as isa;
use sandbpf_runtime::{Machine, Trap};

use crate::compiled::Answer;
use crate::image::{Image, Scratch, with_scratch};
use crate::kinds;
use crate::kinds::raw::{
    CgroupDevice, CgroupSock, CgroupSockAddr, CgroupSockopt, CgroupSysctl, Extension, Kprobe, LircMode2, Lsm,
    LwtSeg6local, Netfilter, PerfEvent, RawTracepoint, RawTracepointWritable, SkLookup, SkMsg, SkReuseport,
    SkSkb, SockOps, StructOps, Syscall, Tracepoint, Tracing,
};
use crate::{
    Action, Buffer, BufferInput, CgroupSkb, Classifier, ContextInput, Engine, FlowDissector, FlowInput, Kind,
    LwtIn, LwtOut, LwtXmit, Packet, Proof, Seccomp, SkbInput, SocketFilter, SyscallData, Xdp, XdpInput,
};

macro_rules! kinds {
    ($($Kind:ident: $Name:ident, $text:literal, $Input:ident;)*) => {
        /// The kinds of programs, as values.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum KindName {
            $(
                #[doc = concat!("[`", stringify!($Kind), "`].")]
                $Name,
            )*
        }

        impl KindName {
            /// Every kind.
            pub const ALL: &'static [KindName] = &[$(KindName::$Name),*];

            /// Its name in options and messages.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( KindName::$Name => $text, )*
                }
            }

            /// Linux's type of program; none of plain memory and of seccomp, which Linux does not verify.
            pub fn program_type(self) -> Option<sandbpf_abi::ProgramType> {
                if matches!(self, KindName::Buffer | KindName::Seccomp) {
                    return None;
                }
                sandbpf_abi::ProgramType::from_name(&self.as_str().replace('-', "_"))
            }

            /// The kind of a type of program, by its name in the kernel's header without its prefix, in lower case.
            pub fn of_program_type(name: &str) -> Option<KindName> {
                Self::ALL.iter().copied().find(|kind| {
                    let own = kind.as_str().bytes().map(|byte| if byte == b'-' { b'_' } else { byte });
                    *kind != KindName::Buffer && *kind != KindName::Seccomp && own.eq(name.bytes())
                })
            }
        }

        impl AnyProgram {
            fn answer(&self, input: &AnyInput<'_>) -> Option<u64> {
                match (self.kind, input) {
                    $( (KindName::$Name, AnyInput::$Input(input)) => {
                        $Kind::answer(&self.image, input).or_else(|| $Kind::at_length(&self.image, input))
                    } )*
                    _ => None,
                }
            }

            fn at_once(&self, input: &mut AnyInput<'_>) -> Option<Answer> {
                match (self.kind, input) {
                    $( (KindName::$Name, AnyInput::$Input(input)) => $Kind::at_once(&self.image, input), )*
                    _ => None,
                }
            }

            fn otherwise(&self, scratch: &mut Scratch, input: AnyInput<'_>) -> Result<u64, AnyError> {
                let result = match (self.kind, input) {
                    $( (KindName::$Name, AnyInput::$Input(input)) => kinds::otherwise::<$Kind>(&self.image, scratch, input), )*
                    (kind, _) => return Err(AnyError::Input(kind)),
                };
                Ok(result?)
            }

            fn enter(
                &self,
                scratch: &mut Scratch,
                input: AnyInput<'_>,
                run: impl FnOnce(&mut Machine<'_>) -> Result<u64, Trap>,
            ) -> Result<u64, AnyError> {
                let result = match (self.kind, input) {
                    $( (KindName::$Name, AnyInput::$Input(input)) => $Kind::enter(&self.image, scratch, input, run), )*
                    (kind, _) => return Err(AnyError::Input(kind)),
                };
                Ok(result?)
            }
        }
    };
}

kinds! {
    SocketFilter: SocketFilter, "socket-filter", Packet;
    Seccomp: Seccomp, "seccomp", Syscall;
    Buffer: Buffer, "buffer", Buffer;
    Xdp: Xdp, "xdp", Xdp;
    Classifier: SchedCls, "sched-cls", Skb;
    Action: SchedAct, "sched-act", Skb;
    CgroupSkb: CgroupSkb, "cgroup-skb", Skb;
    LwtIn: LwtIn, "lwt-in", Skb;
    LwtOut: LwtOut, "lwt-out", Skb;
    LwtXmit: LwtXmit, "lwt-xmit", Skb;
    Kprobe: Kprobe, "kprobe", Context;
    Tracepoint: Tracepoint, "tracepoint", Context;
    PerfEvent: PerfEvent, "perf-event", Context;
    CgroupSock: CgroupSock, "cgroup-sock", Context;
    SockOps: SockOps, "sock-ops", Context;
    SkSkb: SkSkb, "sk-skb", Context;
    CgroupDevice: CgroupDevice, "cgroup-device", Context;
    SkMsg: SkMsg, "sk-msg", Context;
    RawTracepoint: RawTracepoint, "raw-tracepoint", Context;
    CgroupSockAddr: CgroupSockAddr, "cgroup-sock-addr", Context;
    LwtSeg6local: LwtSeg6local, "lwt-seg6local", Context;
    LircMode2: LircMode2, "lirc-mode2", Context;
    SkReuseport: SkReuseport, "sk-reuseport", Context;
    FlowDissector: FlowDissector, "flow-dissector", Flow;
    CgroupSysctl: CgroupSysctl, "cgroup-sysctl", Context;
    RawTracepointWritable: RawTracepointWritable, "raw-tracepoint-writable", Context;
    CgroupSockopt: CgroupSockopt, "cgroup-sockopt", Context;
    Tracing: Tracing, "tracing", Context;
    StructOps: StructOps, "struct-ops", Context;
    Extension: Ext, "ext", Context;
    Lsm: Lsm, "lsm", Context;
    SkLookup: SkLookup, "sk-lookup", Context;
    Syscall: Syscall, "syscall", Context;
    Netfilter: Netfilter, "netfilter", Context;
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No kind has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no kind of program is called `{0}`; there are {all}", all = KindName::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", "))]
pub struct UnknownKind(String);

impl FromStr for KindName {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name).ok_or_else(|| UnknownKind(name.into()))
    }
}

/// The input of a kind known only at run time.
#[derive(Debug)]
#[non_exhaustive]
pub enum AnyInput<'i> {
    /// For socket filters.
    Packet(Packet<'i>),
    /// For seccomp policies.
    Syscall(&'i SyscallData),
    /// For programs over plain memory.
    Buffer(BufferInput<'i>),
    /// For XDP programs.
    Xdp(XdpInput<'i>),
    /// For programs on packets in the stack.
    Skb(SkbInput<'i>),
    /// For programs that dissect flows.
    Flow(FlowInput<'i>),
    /// For programs whose context is bytes.
    Context(ContextInput<'i>),
}

/// A loaded program whose kind is known only at run time; its answer is the bare `r0`.
///
/// ```
/// use sandbpf::{AnyInput, KindName, Loader};
/// let program = Loader::new().load_any(KindName::Buffer, "r0 = r2\nexit")?;
/// assert_eq!(program.run(AnyInput::Buffer((&[1u8, 2, 3]).into()))?, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AnyProgram {
    kind: KindName,
    pub(crate) image: Arc<Image>,
}

/// Why a run of an [`AnyProgram`] gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnyError {
    /// The program trapped.
    #[error(transparent)]
    Trap(#[from] Trap),
    /// The input is not what this kind of program takes.
    #[error("the input is not one for {0} programs")]
    Input(KindName),
}

impl AnyProgram {
    pub(crate) fn from_image(kind: KindName, image: Arc<Image>) -> Self {
        AnyProgram { kind, image }
    }

    /// Its kind.
    pub fn kind(&self) -> KindName {
        self.kind
    }

    /// The proof that Linux would load it, if it was verified.
    pub fn proof(&self) -> Option<&Proof> {
        self.image.proof.as_ref()
    }

    /// The engine that was chosen.
    pub fn engine(&self) -> Engine {
        self.image.engine
    }

    /// The instructions that run: for a classic filter, what it was lowered to.
    pub fn instructions(&self) -> &isa::Program {
        &self.image.program
    }

    /// Runs the program once and returns `r0`.
    pub fn run(&self, mut input: AnyInput<'_>) -> Result<u64, AnyError> {
        if let Some(r0) = self.answer(&input) {
            return Ok(r0);
        }
        match self.at_once(&mut input) {
            Some(answer) => match answer.returned() {
                Some(r0) => Ok(r0),
                None => Ok(kinds::trapped(&self.image, answer)?),
            },
            None => with_scratch(|scratch| self.otherwise(scratch, input)),
        }
    }

    /// Runs in the readable interpreter, telling `observer` about every step.
    pub fn run_observed(&self, input: AnyInput<'_>, observer: &mut impl Observer) -> Result<u64, AnyError> {
        with_scratch(|scratch| self.enter(scratch, input, |machine| self.image.observe(machine, observer)))
    }

    /// Runs on a machine that [`AnyProgram::run_by`] prepared.
    #[doc(hidden)]
    pub fn run_prepared(&self, machine: &mut Machine<'_>) -> Result<u64, Trap> {
        self.image.execute(machine)
    }

    /// Prepares a machine as [`AnyProgram::run`] does and has `run` run it: for tests that hold engines
    /// against each other.
    #[doc(hidden)]
    pub fn run_by(
        &self,
        input: AnyInput<'_>,
        run: impl FnOnce(&mut Machine<'_>) -> Result<u64, Trap>,
    ) -> Result<u64, AnyError> {
        with_scratch(|scratch| self.enter(scratch, input, run))
    }
}
