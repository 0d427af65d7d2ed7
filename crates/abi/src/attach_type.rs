//! Attach types: where a program will be attached, told when it is loaded.
//!
//! For most types of program the number is not even looked at; [`ProgramType::attach`] says for which it
//! must be one of a few, and where the rules depend on it.
//!
//! [`ProgramType::attach`]: crate::ProgramType::attach

use core::fmt;

/// An attach type (`enum bpf_attach_type` of `linux/bpf.h`).
///
/// ```
/// use sandbpf_abi::AttachType;
/// assert_eq!(AttachType::CGROUP_INET_EGRESS, AttachType(1));
/// assert_eq!(AttachType(1).name(), Some("cgroup_inet_egress"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttachType(pub u32);

/// Declares the attach types, in the order of their numbers.
macro_rules! attach_types {
    ($( $(#[doc = $doc:literal])* $NAME:ident = $number:literal $name:literal; )*) => {
        impl AttachType {
            $( $(#[doc = $doc])* pub const $NAME: AttachType = AttachType($number); )*

            /// All that Linux 6.18 knows.
            pub const ALL: &'static [AttachType] = &[$( AttachType::$NAME ),*];

            /// The name, in lower case and without `BPF_`.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( $number => Some($name), )*
                    _ => None,
                }
            }
        }
    };
}

attach_types! {
    /// Packets that a control group receives.
    CGROUP_INET_INGRESS = 0 "cgroup_inet_ingress";
    /// Packets that a control group sends.
    CGROUP_INET_EGRESS = 1 "cgroup_inet_egress";
    /// A socket is made.
    CGROUP_INET_SOCK_CREATE = 2 "cgroup_inet_sock_create";
    /// Events of TCP connections.
    CGROUP_SOCK_OPS = 3 "cgroup_sock_ops";
    /// Where a message of a stream ends.
    SK_SKB_STREAM_PARSER = 4 "sk_skb_stream_parser";
    /// What becomes of a message of a stream.
    SK_SKB_STREAM_VERDICT = 5 "sk_skb_stream_verdict";
    /// An access to a device.
    CGROUP_DEVICE = 6 "cgroup_device";
    /// What becomes of a message that is sent.
    SK_MSG_VERDICT = 7 "sk_msg_verdict";
    /// `bind` to an IPv4 address.
    CGROUP_INET4_BIND = 8 "cgroup_inet4_bind";
    /// `bind` to an IPv6 address.
    CGROUP_INET6_BIND = 9 "cgroup_inet6_bind";
    /// `connect` to an IPv4 address.
    CGROUP_INET4_CONNECT = 10 "cgroup_inet4_connect";
    /// `connect` to an IPv6 address.
    CGROUP_INET6_CONNECT = 11 "cgroup_inet6_connect";
    /// A socket has been bound to an IPv4 address.
    CGROUP_INET4_POST_BIND = 12 "cgroup_inet4_post_bind";
    /// A socket has been bound to an IPv6 address.
    CGROUP_INET6_POST_BIND = 13 "cgroup_inet6_post_bind";
    /// `sendmsg` of a datagram over IPv4.
    CGROUP_UDP4_SENDMSG = 14 "cgroup_udp4_sendmsg";
    /// `sendmsg` of a datagram over IPv6.
    CGROUP_UDP6_SENDMSG = 15 "cgroup_udp6_sendmsg";
    /// Samples of a remote control.
    LIRC_MODE2 = 16 "lirc_mode2";
    /// The dissection of packets.
    FLOW_DISSECTOR = 17 "flow_dissector";
    /// An access to a variable of the kernel.
    CGROUP_SYSCTL = 18 "cgroup_sysctl";
    /// `recvmsg` of a datagram over IPv4.
    CGROUP_UDP4_RECVMSG = 19 "cgroup_udp4_recvmsg";
    /// `recvmsg` of a datagram over IPv6.
    CGROUP_UDP6_RECVMSG = 20 "cgroup_udp6_recvmsg";
    /// `getsockopt`.
    CGROUP_GETSOCKOPT = 21 "cgroup_getsockopt";
    /// `setsockopt`.
    CGROUP_SETSOCKOPT = 22 "cgroup_setsockopt";
    /// A tracepoint, its arguments typed.
    TRACE_RAW_TP = 23 "trace_raw_tp";
    /// The entry of a function.
    TRACE_FENTRY = 24 "trace_fentry";
    /// The exit of a function.
    TRACE_FEXIT = 25 "trace_fexit";
    /// A function whose result may be replaced.
    MODIFY_RETURN = 26 "modify_return";
    /// A hook of a security module.
    LSM_MAC = 27 "lsm_mac";
    /// An iterator.
    TRACE_ITER = 28 "trace_iter";
    /// `getpeername` over IPv4.
    CGROUP_INET4_GETPEERNAME = 29 "cgroup_inet4_getpeername";
    /// `getpeername` over IPv6.
    CGROUP_INET6_GETPEERNAME = 30 "cgroup_inet6_getpeername";
    /// `getsockname` over IPv4.
    CGROUP_INET4_GETSOCKNAME = 31 "cgroup_inet4_getsockname";
    /// `getsockname` over IPv6.
    CGROUP_INET6_GETSOCKNAME = 32 "cgroup_inet6_getsockname";
    /// Frames that a device map sends.
    XDP_DEVMAP = 33 "xdp_devmap";
    /// A socket is released.
    CGROUP_INET_SOCK_RELEASE = 34 "cgroup_inet_sock_release";
    /// Frames that a processor map hands on.
    XDP_CPUMAP = 35 "xdp_cpumap";
    /// The lookup of a socket.
    SK_LOOKUP = 36 "sk_lookup";
    /// Frames that a device receives.
    XDP = 37 "xdp";
    /// What becomes of what a socket receives.
    SK_SKB_VERDICT = 38 "sk_skb_verdict";
    /// The choice of a socket from a group.
    SK_REUSEPORT_SELECT = 39 "sk_reuseport_select";
    /// The same, also when one goes.
    SK_REUSEPORT_SELECT_OR_MIGRATE = 40 "sk_reuseport_select_or_migrate";
    /// Samples of an event.
    PERF_EVENT = 41 "perf_event";
    /// Many functions of the kernel.
    TRACE_KPROBE_MULTI = 42 "trace_kprobe_multi";
    /// A hook of a security module, for a control group.
    LSM_CGROUP = 43 "lsm_cgroup";
    /// A function of a table of the kernel.
    STRUCT_OPS = 44 "struct_ops";
    /// A hook of netfilter.
    NETFILTER = 45 "netfilter";
    /// Packets that a device received.
    TCX_INGRESS = 46 "tcx_ingress";
    /// Packets that a device will send.
    TCX_EGRESS = 47 "tcx_egress";
    /// Many functions of processes.
    TRACE_UPROBE_MULTI = 48 "trace_uprobe_multi";
    /// `connect` to a unix address.
    CGROUP_UNIX_CONNECT = 49 "cgroup_unix_connect";
    /// `sendmsg` to a unix address.
    CGROUP_UNIX_SENDMSG = 50 "cgroup_unix_sendmsg";
    /// `recvmsg` from a unix address.
    CGROUP_UNIX_RECVMSG = 51 "cgroup_unix_recvmsg";
    /// `getpeername` of a unix socket.
    CGROUP_UNIX_GETPEERNAME = 52 "cgroup_unix_getpeername";
    /// `getsockname` of a unix socket.
    CGROUP_UNIX_GETSOCKNAME = 53 "cgroup_unix_getsockname";
    /// The inner end of a device pair.
    NETKIT_PRIMARY = 54 "netkit_primary";
    /// The outer end of a device pair.
    NETKIT_PEER = 55 "netkit_peer";
    /// Functions of the kernel, entry and exit.
    TRACE_KPROBE_SESSION = 56 "trace_kprobe_session";
    /// Functions of processes, entry and exit.
    TRACE_UPROBE_SESSION = 57 "trace_uprobe_session";
}

impl AttachType {
    /// What has happened when a program of a control group hears of it, so that it cannot refuse it.
    pub const AFTER_THE_FACT: &[AttachType] = &[
        AttachType::CGROUP_UDP4_RECVMSG,
        AttachType::CGROUP_UDP6_RECVMSG,
        AttachType::CGROUP_UNIX_RECVMSG,
        AttachType::CGROUP_INET4_GETPEERNAME,
        AttachType::CGROUP_INET6_GETPEERNAME,
        AttachType::CGROUP_UNIX_GETPEERNAME,
        AttachType::CGROUP_INET4_GETSOCKNAME,
        AttachType::CGROUP_INET6_GETSOCKNAME,
        AttachType::CGROUP_UNIX_GETSOCKNAME,
    ];
}

impl fmt::Display for AttachType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "attach type {}", self.0),
        }
    }
}
