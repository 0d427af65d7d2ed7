//! Numbers that Linux gives to kinds of programs, maps and attachments (`include/uapi/linux/bpf.h`), with their names.
//!
//! They are plain numbers and not enumerations: an object may name one that is newer than these tables.

/// Defines a number with its names; row *n* is number *n*.
macro_rules! numbers {
    ($(#[$doc:meta])* $ty:ident, $prefix:literal: $($name:ident $text:literal)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $ty(pub u32);

        impl $ty {
            const NAMES: &[&str] = &[$($text),*];
            numbers!(@consts 0u32, $prefix; $($name)*);

            /// Its name in lower case, without the prefix; none for a number that is not known here.
            pub fn name(self) -> Option<&'static str> {
                Self::NAMES.get(self.0 as usize).copied()
            }

            /// The number of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                let position = Self::NAMES.iter().position(|known| *known == name)?;
                Some(Self(position as u32))
            }
        }

        impl std::fmt::Display for $ty {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}", self.0),
                }
            }
        }
    };
    (@consts $n:expr, $prefix:literal; $name:ident $($rest:ident)*) => {
        #[doc = concat!("`", $prefix, stringify!($name), "`.")]
        pub const $name: Self = Self($n);
        numbers!(@consts $n + 1, $prefix; $($rest)*);
    };
    (@consts $n:expr, $prefix:literal;) => {};
}

numbers! {
    /// What a program is (`enum bpf_prog_type`).
    ///
    /// ```
    /// use sandbpf_elf::ProgramType;
    /// assert_eq!(ProgramType::from_name("socket_filter"), Some(ProgramType::SOCKET_FILTER));
    /// ```
    ProgramType, "BPF_PROG_TYPE_":
    UNSPEC "unspec" SOCKET_FILTER "socket_filter" KPROBE "kprobe" SCHED_CLS "sched_cls" SCHED_ACT "sched_act"
    TRACEPOINT "tracepoint" XDP "xdp" PERF_EVENT "perf_event" CGROUP_SKB "cgroup_skb" CGROUP_SOCK "cgroup_sock"
    LWT_IN "lwt_in" LWT_OUT "lwt_out" LWT_XMIT "lwt_xmit" SOCK_OPS "sock_ops" SK_SKB "sk_skb"
    CGROUP_DEVICE "cgroup_device" SK_MSG "sk_msg" RAW_TRACEPOINT "raw_tracepoint"
    CGROUP_SOCK_ADDR "cgroup_sock_addr" LWT_SEG6LOCAL "lwt_seg6local" LIRC_MODE2 "lirc_mode2"
    SK_REUSEPORT "sk_reuseport" FLOW_DISSECTOR "flow_dissector" CGROUP_SYSCTL "cgroup_sysctl"
    RAW_TRACEPOINT_WRITABLE "raw_tracepoint_writable" CGROUP_SOCKOPT "cgroup_sockopt" TRACING "tracing"
    STRUCT_OPS "struct_ops" EXT "ext" LSM "lsm" SK_LOOKUP "sk_lookup" SYSCALL "syscall" NETFILTER "netfilter"
}

numbers! {
    /// Where a program is attached (`enum bpf_attach_type`).
    ///
    /// ```
    /// use sandbpf_elf::AttachType;
    /// assert_eq!(AttachType::from_name("cgroup_inet_egress"), Some(AttachType::CGROUP_INET_EGRESS));
    /// ```
    AttachType, "BPF_":
    CGROUP_INET_INGRESS "cgroup_inet_ingress" CGROUP_INET_EGRESS "cgroup_inet_egress"
    CGROUP_INET_SOCK_CREATE "cgroup_inet_sock_create" CGROUP_SOCK_OPS "cgroup_sock_ops"
    SK_SKB_STREAM_PARSER "sk_skb_stream_parser" SK_SKB_STREAM_VERDICT "sk_skb_stream_verdict"
    CGROUP_DEVICE "cgroup_device" SK_MSG_VERDICT "sk_msg_verdict" CGROUP_INET4_BIND "cgroup_inet4_bind"
    CGROUP_INET6_BIND "cgroup_inet6_bind" CGROUP_INET4_CONNECT "cgroup_inet4_connect"
    CGROUP_INET6_CONNECT "cgroup_inet6_connect" CGROUP_INET4_POST_BIND "cgroup_inet4_post_bind"
    CGROUP_INET6_POST_BIND "cgroup_inet6_post_bind" CGROUP_UDP4_SENDMSG "cgroup_udp4_sendmsg"
    CGROUP_UDP6_SENDMSG "cgroup_udp6_sendmsg" LIRC_MODE2 "lirc_mode2" FLOW_DISSECTOR "flow_dissector"
    CGROUP_SYSCTL "cgroup_sysctl" CGROUP_UDP4_RECVMSG "cgroup_udp4_recvmsg"
    CGROUP_UDP6_RECVMSG "cgroup_udp6_recvmsg" CGROUP_GETSOCKOPT "cgroup_getsockopt"
    CGROUP_SETSOCKOPT "cgroup_setsockopt" TRACE_RAW_TP "trace_raw_tp" TRACE_FENTRY "trace_fentry"
    TRACE_FEXIT "trace_fexit" MODIFY_RETURN "modify_return" LSM_MAC "lsm_mac" TRACE_ITER "trace_iter"
    CGROUP_INET4_GETPEERNAME "cgroup_inet4_getpeername" CGROUP_INET6_GETPEERNAME "cgroup_inet6_getpeername"
    CGROUP_INET4_GETSOCKNAME "cgroup_inet4_getsockname" CGROUP_INET6_GETSOCKNAME "cgroup_inet6_getsockname"
    XDP_DEVMAP "xdp_devmap" CGROUP_INET_SOCK_RELEASE "cgroup_inet_sock_release" XDP_CPUMAP "xdp_cpumap"
    SK_LOOKUP "sk_lookup" XDP "xdp" SK_SKB_VERDICT "sk_skb_verdict" SK_REUSEPORT_SELECT "sk_reuseport_select"
    SK_REUSEPORT_SELECT_OR_MIGRATE "sk_reuseport_select_or_migrate" PERF_EVENT "perf_event"
    TRACE_KPROBE_MULTI "trace_kprobe_multi" LSM_CGROUP "lsm_cgroup" STRUCT_OPS "struct_ops" NETFILTER "netfilter"
    TCX_INGRESS "tcx_ingress" TCX_EGRESS "tcx_egress" TRACE_UPROBE_MULTI "trace_uprobe_multi"
    CGROUP_UNIX_CONNECT "cgroup_unix_connect" CGROUP_UNIX_SENDMSG "cgroup_unix_sendmsg"
    CGROUP_UNIX_RECVMSG "cgroup_unix_recvmsg" CGROUP_UNIX_GETPEERNAME "cgroup_unix_getpeername"
    CGROUP_UNIX_GETSOCKNAME "cgroup_unix_getsockname" NETKIT_PRIMARY "netkit_primary" NETKIT_PEER "netkit_peer"
    TRACE_KPROBE_SESSION "trace_kprobe_session" TRACE_UPROBE_SESSION "trace_uprobe_session"
    TRACE_FSESSION "trace_fsession" TRACE_FENTRY_MULTI "trace_fentry_multi" TRACE_FEXIT_MULTI "trace_fexit_multi"
    TRACE_FSESSION_MULTI "trace_fsession_multi"
}

numbers! {
    /// What a map is (`enum bpf_map_type`).
    ///
    /// ```
    /// use sandbpf_elf::MapType;
    /// assert_eq!(MapType::from_name("hash"), Some(MapType::HASH));
    /// ```
    MapType, "BPF_MAP_TYPE_":
    UNSPEC "unspec" HASH "hash" ARRAY "array" PROG_ARRAY "prog_array" PERF_EVENT_ARRAY "perf_event_array"
    PERCPU_HASH "percpu_hash" PERCPU_ARRAY "percpu_array" STACK_TRACE "stack_trace" CGROUP_ARRAY "cgroup_array"
    LRU_HASH "lru_hash" LRU_PERCPU_HASH "lru_percpu_hash" LPM_TRIE "lpm_trie" ARRAY_OF_MAPS "array_of_maps"
    HASH_OF_MAPS "hash_of_maps" DEVMAP "devmap" SOCKMAP "sockmap" CPUMAP "cpumap" XSKMAP "xskmap"
    SOCKHASH "sockhash" CGROUP_STORAGE "cgroup_storage" REUSEPORT_SOCKARRAY "reuseport_sockarray"
    PERCPU_CGROUP_STORAGE "percpu_cgroup_storage" QUEUE "queue" STACK "stack" SK_STORAGE "sk_storage"
    DEVMAP_HASH "devmap_hash" STRUCT_OPS "struct_ops" RINGBUF "ringbuf" INODE_STORAGE "inode_storage"
    TASK_STORAGE "task_storage" BLOOM_FILTER "bloom_filter" USER_RINGBUF "user_ringbuf" CGRP_STORAGE "cgrp_storage"
    ARENA "arena" INSN_ARRAY "insn_array" RHASH "rhash"
}
