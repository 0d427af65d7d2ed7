//! Program types: what a program is for, and what follows from that.
//!
//! One row a type. Everything that depends on the type is found from here: the context, the helpers, the
//! values that it may return, what it may do with the packet.

use core::fmt;

use crate::availability::Chain;
use crate::chains;
use crate::contexts::{cgroup, sk_lookup, sk_msg, skb, sock, sock_addr, sock_ops, tracing, xdp};
use crate::returns::{self, Rule};
use crate::{AttachType as At, Effect, HelperSpec, View};

/// What a program is given in `r1`.
#[derive(Clone, Copy, Debug)]
pub enum Context {
    /// A struct. The first row that names the attach type, or names none, says what is seen of it.
    Struct(&'static [(&'static [At], &'static View)]),
    /// So many bytes that mean what the attach point says: those from `first` on may be read, and
    /// written if `writable`.
    Bytes {
        /// The first that may be accessed.
        first: u32,
        /// The first behind them; only where an access starts counts.
        end: u32,
        /// Whether they may be written.
        writable: bool,
        /// Whether offsets below zero are let through, as Linux does for tracepoints: it compares
        /// without signs.
        wraps: bool,
    },
    /// The arguments of a function of the kernel, eight bytes each; the type information of what the
    /// program is attached to says how many and of which types.
    Arguments,
    /// None: a program of this type cannot be loaded.
    None,
}

/// Which attach types a program may name when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// Any number: nobody looks.
    Any,
    /// One of these; the second is what the number 0 stands for, if it is not among them.
    OneOf(&'static [At], Option<At>),
    /// Only 0.
    Zero,
}

/// What a program may do with the bytes of its packet through a pointer, if it is given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketAccess {
    /// Read them, and nothing else.
    Look,
    /// Read them, and hand them to helpers that take memory of the packet.
    Read,
    /// The same, and write them.
    Write,
    /// Read and write them, and hand them to every helper: they are no packet, but the value of an
    /// option.
    Any,
}

impl PacketAccess {
    /// Whether they may be written.
    pub const fn may_write(self) -> bool {
        matches!(self, PacketAccess::Write | PacketAccess::Any)
    }

    /// Whether this helper takes them.
    ///
    /// ```
    /// use sandbpf_abi::{ProgramType, helpers};
    /// let packet = ProgramType::Xdp.packet();
    /// assert!(packet.goes_to(helpers::CSUM_DIFF) && !packet.goes_to(helpers::STRTOL));
    /// ```
    pub fn goes_to(self, helper: &HelperSpec) -> bool {
        match self {
            PacketAccess::Look => false,
            PacketAccess::Read | PacketAccess::Write => helper.has(Effect::PacketMemory),
            PacketAccess::Any => true,
        }
    }
}

/// When a program may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleeping {
    /// Never.
    Never,
    /// Always: it cannot be loaded otherwise.
    Always,
    /// When it says so.
    May,
    /// When it says so and is attached to one of these.
    MayAt(&'static [At]),
}

/// What is known of a type.
#[derive(Debug)]
pub struct Row {
    /// Its name, in lower case and without `BPF_PROG_TYPE_`.
    pub name: &'static str,
    /// What programs of it do.
    pub doc: &'static str,
    /// What they are given.
    pub context: Context,
    /// What they may do with packets.
    pub packet: PacketAccess,
    /// Where they may be attached.
    pub attach: Attach,
    /// When they may sleep.
    pub sleeping: Sleeping,
    /// Whether their license must be compatible with the GPL, whatever they call.
    pub needs_gpl: bool,
    /// Which helpers they have.
    pub(crate) helpers: &'static Chain,
    /// What they may return.
    pub(crate) returns: &'static [Rule],
}

/// Declares the types, in the order of their numbers.
macro_rules! program_types {
    ($( $(#[doc = $doc:literal])* $Name:ident = $number:literal $name:literal: $context:expr, $packet:ident, $attach:expr, $sleeping:expr, $gpl:literal, $helpers:ident, $returns:expr; )*) => {
        /// What a program is for (`enum bpf_prog_type` of `linux/bpf.h`).
        ///
        /// ```
        /// use sandbpf_abi::ProgramType;
        /// let xdp = ProgramType::from_number(6).unwrap();
        /// assert_eq!((xdp, xdp.name()), (ProgramType::Xdp, "xdp"));
        /// assert_eq!(ProgramType::from_name("sched_cls"), Some(ProgramType::SchedCls));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ProgramType { $( $(#[doc = $doc])* $Name = $number, )* }

        impl ProgramType {
            /// All of them, by number.
            pub const ALL: &'static [ProgramType] = &[$( ProgramType::$Name ),*];

            /// What is known of it.
            pub const fn row(self) -> &'static Row {
                match self {
                    $( ProgramType::$Name => &const { Row {
                        name: $name,
                        doc: concat!($($doc),*),
                        context: $context,
                        packet: PacketAccess::$packet,
                        attach: $attach,
                        sleeping: $sleeping,
                        needs_gpl: $gpl,
                        helpers: &chains::$helpers,
                        returns: $returns,
                    } }, )*
                }
            }
        }
    };
}

/// A struct that is seen the same way wherever the program is attached.
const fn always(rows: &'static [(&'static [At], &'static View); 1]) -> Context {
    Context::Struct(rows)
}

const ANY: Attach = Attach::Any;
const NEVER: Sleeping = Sleeping::Never;

program_types! {
    /// None.
    Unspec = 0 "unspec": Context::None, Look, ANY, NEVER, false, NOTHING, returns::ANY;
    /// Looks at what a socket receives and says how much of it to keep.
    SocketFilter = 1 "socket_filter": always(&[(&[], &skb::SOCKET_FILTER)]), Look, ANY, NEVER, false, SOCKET_FILTER, returns::ANY;
    /// Runs at a function or an instruction of the kernel or of a process.
    Kprobe = 2 "kprobe": always(&[(&[], &tracing::PROBE)]), Look, ANY, Sleeping::May, false, KPROBE, returns::PROBE;
    /// Classifies packets of a device, and does to them what it likes.
    SchedCls = 3 "sched_cls": always(&[(&[], &skb::CLASSIFIER)]), Write, ANY, NEVER, false, CLASSIFIER, returns::ANY;
    /// The same as an action of a classifier.
    SchedAct = 4 "sched_act": always(&[(&[], &skb::CLASSIFIER)]), Write, ANY, NEVER, false, CLASSIFIER, returns::ANY;
    /// Runs at a tracepoint, with its record.
    Tracepoint = 5 "tracepoint": Context::Bytes { first: 8, end: 8192, writable: false, wraps: true }, Look, ANY, NEVER, false, TRACEPOINT, returns::ANY;
    /// Runs on frames before the kernel has looked at them.
    Xdp = 6 "xdp": Context::Struct(&[(&[At::XDP_DEVMAP], &xdp::REDIRECTED), (&[], &xdp::RECEIVED)]), Write, ANY, NEVER, false, XDP, returns::ANY;
    /// Runs at samples of an event.
    PerfEvent = 7 "perf_event": always(&[(&[], &tracing::PERF_EVENT)]), Look, ANY, NEVER, false, PERF_EVENT, returns::ANY;
    /// Lets packets of a control group pass or not.
    CgroupSkb = 8 "cgroup_skb": always(&[(&[], &skb::CGROUP)]), Read, Attach::OneOf(&[At::CGROUP_INET_INGRESS, At::CGROUP_INET_EGRESS], None), NEVER, false, CGROUP_SKB, returns::CGROUP_SKB;
    /// Lets a control group make, bind and release sockets or not.
    CgroupSock = 9 "cgroup_sock": Context::Struct(&[(&[At::CGROUP_INET4_POST_BIND], &sock::BOUND4), (&[At::CGROUP_INET6_POST_BIND], &sock::BOUND6), (&[], &sock::CREATED)]), Look, Attach::OneOf(&[At::CGROUP_INET_SOCK_CREATE, At::CGROUP_INET_SOCK_RELEASE, At::CGROUP_INET4_POST_BIND, At::CGROUP_INET6_POST_BIND], Some(At::CGROUP_INET_SOCK_CREATE)), NEVER, false, CGROUP_SOCK, returns::BOOLEAN;
    /// Runs on packets that a lightweight tunnel receives.
    LwtIn = 10 "lwt_in": always(&[(&[], &skb::TUNNEL)]), Read, ANY, NEVER, false, LWT_IN, returns::ANY;
    /// Runs on packets that a lightweight tunnel routes out.
    LwtOut = 11 "lwt_out": always(&[(&[], &skb::TUNNEL)]), Read, ANY, NEVER, false, LWT_OUT, returns::ANY;
    /// Runs on packets that a lightweight tunnel transmits.
    LwtXmit = 12 "lwt_xmit": always(&[(&[], &skb::TUNNEL)]), Write, ANY, NEVER, false, LWT_XMIT, returns::ANY;
    /// Runs at events of TCP connections.
    SockOps = 13 "sock_ops": always(&[(&[], &sock_ops::EVENT)]), Look, ANY, NEVER, false, SOCK_OPS, returns::BOOLEAN;
    /// Parses streams of sockets in a map, and says what becomes of their messages.
    SkSkb = 14 "sk_skb": always(&[(&[], &skb::STREAM)]), Write, ANY, NEVER, false, SK_SKB, returns::ANY;
    /// Lets a control group access devices or not.
    CgroupDevice = 15 "cgroup_device": always(&[(&[], &cgroup::DEVICE)]), Look, ANY, NEVER, false, CGROUP_DEVICE, returns::BOOLEAN;
    /// Says what becomes of messages that sockets in a map send.
    SkMsg = 16 "sk_msg": always(&[(&[], &sk_msg::MESSAGE)]), Write, ANY, NEVER, false, SK_MSG, returns::ANY;
    /// Runs at a tracepoint, with its raw arguments.
    RawTracepoint = 17 "raw_tracepoint": always(&[(&[], &tracing::RAW)]), Look, ANY, NEVER, false, RAW_TRACEPOINT, returns::ANY;
    /// Sees and changes the addresses that system calls are given.
    CgroupSockAddr = 18 "cgroup_sock_addr": Context::Struct(&[
        (&[At::CGROUP_UDP4_SENDMSG], &sock_addr::SEND4),
        (&[At::CGROUP_UDP6_SENDMSG], &sock_addr::SEND6),
        (&[At::CGROUP_INET4_BIND, At::CGROUP_INET4_CONNECT, At::CGROUP_UDP4_RECVMSG, At::CGROUP_INET4_GETPEERNAME, At::CGROUP_INET4_GETSOCKNAME], &sock_addr::IPV4),
        (&[At::CGROUP_INET6_BIND, At::CGROUP_INET6_CONNECT, At::CGROUP_UDP6_RECVMSG, At::CGROUP_INET6_GETPEERNAME, At::CGROUP_INET6_GETSOCKNAME], &sock_addr::IPV6),
        (&[], &sock_addr::UNIX),
    ]), Look, Attach::OneOf(&[
        At::CGROUP_INET4_BIND, At::CGROUP_INET6_BIND, At::CGROUP_INET4_CONNECT, At::CGROUP_INET6_CONNECT, At::CGROUP_UNIX_CONNECT,
        At::CGROUP_UDP4_SENDMSG, At::CGROUP_UDP6_SENDMSG, At::CGROUP_UNIX_SENDMSG, At::CGROUP_UDP4_RECVMSG, At::CGROUP_UDP6_RECVMSG, At::CGROUP_UNIX_RECVMSG,
        At::CGROUP_INET4_GETPEERNAME, At::CGROUP_INET6_GETPEERNAME, At::CGROUP_UNIX_GETPEERNAME, At::CGROUP_INET4_GETSOCKNAME, At::CGROUP_INET6_GETSOCKNAME, At::CGROUP_UNIX_GETSOCKNAME,
    ], None), NEVER, false, CGROUP_SOCK_ADDR, returns::SOCK_ADDR;
    /// Runs on packets of segment routing.
    LwtSeg6local = 19 "lwt_seg6local": always(&[(&[], &skb::TUNNEL)]), Read, ANY, NEVER, false, LWT_SEG6LOCAL, returns::ANY;
    /// Decodes the samples of a remote control.
    LircMode2 = 20 "lirc_mode2": always(&[(&[], &tracing::LIRC)]), Look, ANY, NEVER, false, LIRC_MODE2, returns::ANY;
    /// Chooses the socket of a group that takes a packet.
    SkReuseport = 21 "sk_reuseport": always(&[(&[], &sk_lookup::REUSEPORT)]), Read, Attach::OneOf(&[At::SK_REUSEPORT_SELECT, At::SK_REUSEPORT_SELECT_OR_MIGRATE], Some(At::SK_REUSEPORT_SELECT)), NEVER, false, SK_REUSEPORT, returns::ANY;
    /// Finds out what flow a packet belongs to.
    FlowDissector = 22 "flow_dissector": always(&[(&[], &skb::DISSECTOR)]), Read, ANY, NEVER, false, FLOW_DISSECTOR, returns::ANY;
    /// Lets a control group access variables of the kernel or not.
    CgroupSysctl = 23 "cgroup_sysctl": always(&[(&[], &cgroup::SYSCTL)]), Look, ANY, NEVER, false, CGROUP_SYSCTL, returns::BOOLEAN;
    /// Runs at a tracepoint that lets it write into its buffer.
    RawTracepointWritable = 24 "raw_tracepoint_writable": always(&[(&[], &tracing::RAW_WRITABLE)]), Look, ANY, NEVER, false, RAW_TRACEPOINT, returns::ANY;
    /// Sees and changes socket options.
    CgroupSockopt = 25 "cgroup_sockopt": Context::Struct(&[(&[At::CGROUP_SETSOCKOPT], &cgroup::SET), (&[], &cgroup::GET)]), Any, Attach::OneOf(&[At::CGROUP_GETSOCKOPT, At::CGROUP_SETSOCKOPT], None), NEVER, false, CGROUP_SOCKOPT, returns::BOOLEAN;
    /// Runs at functions, tracepoints and iterators, with typed arguments.
    Tracing = 26 "tracing": Context::Arguments, Look, ANY, Sleeping::MayAt(&[At::TRACE_FENTRY, At::TRACE_FEXIT, At::MODIFY_RETURN, At::TRACE_ITER]), false, TRACING, returns::TRACING;
    /// Is a function of a table of the kernel: congestion control, a scheduler.
    StructOps = 27 "struct_ops": Context::Arguments, Look, ANY, Sleeping::May, true, STRUCT_OPS, returns::ANY;
    /// Replaces a function of another program.
    Ext = 28 "ext": Context::Arguments, Look, Attach::Zero, NEVER, false, NOTHING, returns::ANY;
    /// Decides at a hook of a security module.
    Lsm = 29 "lsm": Context::Arguments, Look, ANY, Sleeping::MayAt(&[At::LSM_MAC]), true, LSM, returns::LSM;
    /// Chooses the socket for a new connection or a datagram.
    SkLookup = 30 "sk_lookup": always(&[(&[], &sk_lookup::LOOKUP)]), Look, Attach::OneOf(&[At::SK_LOOKUP], None), NEVER, false, SK_LOOKUP, returns::BOOLEAN;
    /// Makes system calls.
    Syscall = 31 "syscall": Context::Bytes { first: 0, end: 65535, writable: true, wraps: false }, Look, Attach::Zero, Sleeping::Always, false, SYSCALL, returns::ANY;
    /// Lets packets pass a hook of netfilter or not.
    Netfilter = 32 "netfilter": always(&[(&[], &tracing::NETFILTER)]), Look, Attach::OneOf(&[At::NETFILTER], None), NEVER, false, NETFILTER, returns::BOOLEAN;
}

impl ProgramType {
    /// The number that `bpf(2)` knows it by.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The type with this number.
    pub fn from_number(number: u32) -> Option<ProgramType> {
        Self::ALL.get(number as usize).copied()
    }

    /// Its name, in lower case and without `BPF_PROG_TYPE_`.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<ProgramType> {
        Self::ALL.iter().copied().find(|of| of.name() == name)
    }

    /// Which attach types it knows.
    pub const fn attach(self) -> Attach {
        self.row().attach
    }

    /// What it may do with the bytes of its packet.
    pub const fn packet(self) -> PacketAccess {
        self.row().packet
    }

    /// The attach type that counts when a program of this type names `at`; none if Linux refuses it.
    ///
    /// ```
    /// use sandbpf_abi::{AttachType, ProgramType};
    /// let socket = ProgramType::CgroupSock;
    /// assert_eq!(socket.attached(AttachType(0)), Some(AttachType::CGROUP_INET_SOCK_CREATE));
    /// assert_eq!(socket.attached(AttachType::XDP), None);
    /// ```
    pub fn attached(self, at: At) -> Option<At> {
        match self.attach() {
            Attach::Any => Some(at),
            Attach::Zero => (at == At(0)).then_some(at),
            Attach::OneOf(all, _) if all.contains(&at) => Some(at),
            Attach::OneOf(_, default) => default.filter(|_| at == At(0)),
        }
    }

    /// Whether a program of this type that is attached there may, must, or may not sleep: which values
    /// of `BPF_F_SLEEPABLE` Linux takes.
    pub fn takes_sleepable(self, at: At, sleepable: bool) -> bool {
        match self.row().sleeping {
            Sleeping::Never => !sleepable,
            Sleeping::Always => sleepable,
            Sleeping::May => true,
            Sleeping::MayAt(all) => !sleepable || all.contains(&at),
        }
    }
}

impl fmt::Display for ProgramType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
