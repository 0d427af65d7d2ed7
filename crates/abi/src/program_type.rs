//! Program types: what a program is for, and what follows from that.
//!
//! One row a type. Everything that depends on the type is found from here: the context, the helpers, the
//! values that it may return, what it may do with the packet.

use core::fmt;

use crate::AttachType as At;
use crate::chains;
use crate::contexts::{cgroup, sk_lookup, sk_msg, skb, sock, sock_addr, sock_ops, tracing, xdp};
use crate::list::join;
use crate::returns;
use crate::row::{Attach, Context, PacketAccess, Row, Sleeping, always};

/// Declares the types, in the order of their numbers: a row says where it differs from [`Row::PLAIN`].
macro_rules! program_types {
    ($( $(#[doc = $doc:literal])* $Name:ident = $number:literal $name:literal { $($column:ident: $value:expr,)* } )*) => {
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
                        $( $column: $value, )*
                        ..Row::PLAIN
                    } }, )*
                }
            }
        }
    };
}

program_types! {
    /// None.
    Unspec = 0 "unspec" {
    }
    /// Looks at what a socket receives and says how much of it to keep.
    SocketFilter = 1 "socket_filter" {
        context: always(&[(&[], &skb::SOCKET_FILTER)]),
        helpers: &chains::SOCKET_FILTER,
    }
    /// Runs at a function or an instruction of the kernel or of a process.
    Kprobe = 2 "kprobe" {
        context: always(&[(&[], &tracing::PROBE)]),
        sleeping: Sleeping::May,
        helpers: &chains::KPROBE,
        returns: returns::PROBE,
    }
    /// Classifies packets of a device, and does to them what it likes.
    SchedCls = 3 "sched_cls" {
        context: always(&[(&[], &skb::CLASSIFIER)]),
        packet: PacketAccess::Write,
        helpers: &chains::CLASSIFIER,
    }
    /// The same as an action of a classifier.
    SchedAct = 4 "sched_act" {
        context: always(&[(&[], &skb::CLASSIFIER)]),
        packet: PacketAccess::Write,
        helpers: &chains::CLASSIFIER,
    }
    /// Runs at a tracepoint, with its record.
    Tracepoint = 5 "tracepoint" {
        context: Context::Bytes { first: 8, end: 8192, writable: false, wraps: true },
        helpers: &chains::TRACEPOINT,
    }
    /// Runs on frames before the kernel has looked at them.
    Xdp = 6 "xdp" {
        context: Context::Struct(&[(&[At::XDP_DEVMAP], &xdp::REDIRECTED), (&[], &xdp::RECEIVED)]),
        packet: PacketAccess::Write,
        helpers: &chains::XDP,
    }
    /// Runs at samples of an event.
    PerfEvent = 7 "perf_event" {
        context: always(&[(&[], &tracing::PERF_EVENT)]),
        helpers: &chains::PERF_EVENT,
    }
    /// Lets packets of a control group pass or not.
    CgroupSkb = 8 "cgroup_skb" {
        context: always(&[(&[], &skb::CGROUP)]),
        packet: PacketAccess::Read,
        attach: Attach::OneOf(&[At::CGROUP_INET_INGRESS, At::CGROUP_INET_EGRESS], None),
        helpers: &chains::CGROUP_SKB,
        returns: returns::CGROUP_SKB,
    }
    /// Lets a control group make, bind and release sockets or not.
    CgroupSock = 9 "cgroup_sock" {
        context: Context::Struct(&[
            (&[At::CGROUP_INET4_POST_BIND], &sock::BOUND4),
            (&[At::CGROUP_INET6_POST_BIND], &sock::BOUND6),
            (&[], &sock::CREATED),
        ]),
        attach: Attach::OneOf(
            &[
                At::CGROUP_INET_SOCK_CREATE,
                At::CGROUP_INET_SOCK_RELEASE,
                At::CGROUP_INET4_POST_BIND,
                At::CGROUP_INET6_POST_BIND,
            ],
            Some(At::CGROUP_INET_SOCK_CREATE),
        ),
        helpers: &chains::CGROUP_SOCK,
        returns: returns::BOOLEAN,
    }
    /// Runs on packets that a lightweight tunnel receives.
    LwtIn = 10 "lwt_in" {
        context: always(&[(&[], &skb::TUNNEL)]),
        packet: PacketAccess::Read,
        helpers: &chains::LWT_IN,
    }
    /// Runs on packets that a lightweight tunnel routes out.
    LwtOut = 11 "lwt_out" {
        context: always(&[(&[], &skb::TUNNEL)]),
        packet: PacketAccess::Read,
        helpers: &chains::LWT_OUT,
    }
    /// Runs on packets that a lightweight tunnel transmits.
    LwtXmit = 12 "lwt_xmit" {
        context: always(&[(&[], &skb::TUNNEL)]),
        packet: PacketAccess::Write,
        helpers: &chains::LWT_XMIT,
    }
    /// Runs at events of TCP connections.
    SockOps = 13 "sock_ops" {
        context: always(&[(&[], &sock_ops::EVENT)]),
        helpers: &chains::SOCK_OPS,
        returns: returns::BOOLEAN,
    }
    /// Parses streams of sockets in a map, and says what becomes of their messages.
    SkSkb = 14 "sk_skb" {
        context: always(&[(&[], &skb::STREAM)]),
        packet: PacketAccess::Write,
        helpers: &chains::SK_SKB,
    }
    /// Lets a control group access devices or not.
    CgroupDevice = 15 "cgroup_device" {
        context: always(&[(&[], &cgroup::DEVICE)]),
        helpers: &chains::CGROUP_DEVICE,
        returns: returns::BOOLEAN,
    }
    /// Says what becomes of messages that sockets in a map send.
    SkMsg = 16 "sk_msg" {
        context: always(&[(&[], &sk_msg::MESSAGE)]),
        packet: PacketAccess::Write,
        helpers: &chains::SK_MSG,
    }
    /// Runs at a tracepoint, with its raw arguments.
    RawTracepoint = 17 "raw_tracepoint" {
        context: always(&[(&[], &tracing::RAW)]),
        helpers: &chains::RAW_TRACEPOINT,
    }
    /// Sees and changes the addresses that system calls are given.
    CgroupSockAddr = 18 "cgroup_sock_addr" {
        context: Context::Struct(&[
            (&[At::CGROUP_UDP4_SENDMSG], &sock_addr::SEND4),
            (&[At::CGROUP_UDP6_SENDMSG], &sock_addr::SEND6),
            (SOCK_ADDR_IPV4, &sock_addr::IPV4),
            (SOCK_ADDR_IPV6, &sock_addr::IPV6),
            (&[], &sock_addr::UNIX),
        ]),
        attach: Attach::OneOf(SOCK_ADDR, None),
        helpers: &chains::CGROUP_SOCK_ADDR,
        returns: returns::SOCK_ADDR,
    }
    /// Runs on packets of segment routing.
    LwtSeg6local = 19 "lwt_seg6local" {
        context: always(&[(&[], &skb::TUNNEL)]),
        packet: PacketAccess::Read,
        helpers: &chains::LWT_SEG6LOCAL,
    }
    /// Decodes the samples of a remote control.
    LircMode2 = 20 "lirc_mode2" {
        context: always(&[(&[], &tracing::LIRC)]),
        helpers: &chains::LIRC_MODE2,
    }
    /// Chooses the socket of a group that takes a packet.
    SkReuseport = 21 "sk_reuseport" {
        context: always(&[(&[], &sk_lookup::REUSEPORT)]),
        packet: PacketAccess::Read,
        attach: Attach::OneOf(
            &[At::SK_REUSEPORT_SELECT, At::SK_REUSEPORT_SELECT_OR_MIGRATE],
            Some(At::SK_REUSEPORT_SELECT),
        ),
        helpers: &chains::SK_REUSEPORT,
    }
    /// Finds out what flow a packet belongs to.
    FlowDissector = 22 "flow_dissector" {
        context: always(&[(&[], &skb::DISSECTOR)]),
        packet: PacketAccess::Read,
        helpers: &chains::FLOW_DISSECTOR,
    }
    /// Lets a control group access variables of the kernel or not.
    CgroupSysctl = 23 "cgroup_sysctl" {
        context: always(&[(&[], &cgroup::SYSCTL)]),
        helpers: &chains::CGROUP_SYSCTL,
        returns: returns::BOOLEAN,
    }
    /// Runs at a tracepoint that lets it write into its buffer.
    RawTracepointWritable = 24 "raw_tracepoint_writable" {
        context: always(&[(&[], &tracing::RAW_WRITABLE)]),
        helpers: &chains::RAW_TRACEPOINT,
    }
    /// Sees and changes socket options.
    CgroupSockopt = 25 "cgroup_sockopt" {
        context: Context::Struct(&[(&[At::CGROUP_SETSOCKOPT], &cgroup::SET), (&[], &cgroup::GET)]),
        packet: PacketAccess::Any,
        attach: Attach::OneOf(&[At::CGROUP_GETSOCKOPT, At::CGROUP_SETSOCKOPT], None),
        helpers: &chains::CGROUP_SOCKOPT,
        returns: returns::BOOLEAN,
    }
    /// Runs at functions, tracepoints and iterators, with typed arguments.
    Tracing = 26 "tracing" {
        context: Context::Arguments,
        sleeping: Sleeping::MayAt(&[
            At::TRACE_FENTRY,
            At::TRACE_FEXIT,
            At::MODIFY_RETURN,
            At::TRACE_ITER,
        ]),
        helpers: &chains::TRACING,
        returns: returns::TRACING,
    }
    /// Is a function of a table of the kernel: congestion control, a scheduler.
    StructOps = 27 "struct_ops" {
        context: Context::Arguments,
        sleeping: Sleeping::May,
        needs_gpl: true,
        helpers: &chains::STRUCT_OPS,
    }
    /// Replaces a function of another program.
    Ext = 28 "ext" {
        context: Context::Arguments,
        attach: Attach::Zero,
    }
    /// Decides at a hook of a security module.
    Lsm = 29 "lsm" {
        context: Context::Arguments,
        sleeping: Sleeping::MayAt(&[At::LSM_MAC]),
        needs_gpl: true,
        helpers: &chains::LSM,
        returns: returns::LSM,
    }
    /// Chooses the socket for a new connection or a datagram.
    SkLookup = 30 "sk_lookup" {
        context: always(&[(&[], &sk_lookup::LOOKUP)]),
        attach: Attach::OneOf(&[At::SK_LOOKUP], None),
        helpers: &chains::SK_LOOKUP,
        returns: returns::BOOLEAN,
    }
    /// Makes system calls.
    Syscall = 31 "syscall" {
        context: Context::Bytes { first: 0, end: 65535, writable: true, wraps: false },
        attach: Attach::Zero,
        sleeping: Sleeping::Always,
        helpers: &chains::SYSCALL,
    }
    /// Lets packets pass a hook of netfilter or not.
    Netfilter = 32 "netfilter" {
        context: always(&[(&[], &tracing::NETFILTER)]),
        attach: Attach::OneOf(&[At::NETFILTER], None),
        helpers: &chains::NETFILTER,
        returns: returns::BOOLEAN,
    }
}

/// System calls with an IPv4 address, but `sendmsg`.
const SOCK_ADDR_IPV4: &[At] = &[
    At::CGROUP_INET4_BIND,
    At::CGROUP_INET4_CONNECT,
    At::CGROUP_UDP4_RECVMSG,
    At::CGROUP_INET4_GETPEERNAME,
    At::CGROUP_INET4_GETSOCKNAME,
];

/// System calls with an IPv6 address, but `sendmsg`.
const SOCK_ADDR_IPV6: &[At] = &[
    At::CGROUP_INET6_BIND,
    At::CGROUP_INET6_CONNECT,
    At::CGROUP_UDP6_RECVMSG,
    At::CGROUP_INET6_GETPEERNAME,
    At::CGROUP_INET6_GETSOCKNAME,
];

/// System calls with an address.
const SOCK_ADDR: &[At] = &join::<_, 17>(
    At(0),
    &[
        &[
            At::CGROUP_INET4_BIND,
            At::CGROUP_INET6_BIND,
            At::CGROUP_INET4_CONNECT,
            At::CGROUP_INET6_CONNECT,
            At::CGROUP_UNIX_CONNECT,
            At::CGROUP_UDP4_SENDMSG,
            At::CGROUP_UDP6_SENDMSG,
            At::CGROUP_UNIX_SENDMSG,
        ],
        At::AFTER_THE_FACT,
    ],
);

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
