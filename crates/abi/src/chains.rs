//! The chains: which helpers each type of program has.
//!
//! A chain stands for a function of Linux that answers `get_func_proto`; its documentation says for whom.

use crate::availability::Chain;
use crate::availability::Condition::*;
use crate::availability::Rule::*;
use crate::helpers::*;
use crate::{AttachType as At, HelperSpec};

/// For programs that cannot be loaded by themselves.
pub(crate) static NOTHING: Chain = Chain { name: "nothing", rules: &[], then: &[] };

/// What everybody has.
static BASE: Chain = Chain {
    name: "base",
    rules: &[
        Give(&[
            MAP_LOOKUP_ELEM,
            MAP_UPDATE_ELEM,
            MAP_DELETE_ELEM,
            MAP_PUSH_ELEM,
            MAP_POP_ELEM,
            MAP_PEEK_ELEM,
            MAP_LOOKUP_PERCPU_ELEM,
            GET_PRANDOM_U32,
            GET_RAW_SMP_PROCESSOR_ID,
            GET_NUMA_NODE_ID,
            TAIL_CALL,
            KTIME_GET_NS,
            KTIME_GET_BOOT_NS,
            KTIME_GET_TAI_NS,
            RINGBUF_OUTPUT,
            RINGBUF_RESERVE,
            RINGBUF_SUBMIT,
            RINGBUF_DISCARD,
            RINGBUF_QUERY,
            STRNCMP,
            STRTOL,
            STRTOUL,
            GET_CURRENT_PID_TGID,
            GET_NS_CURRENT_PID_TGID,
            GET_CURRENT_UID_GID,
        ]),
        When(
            Bpf,
            &[
                SPIN_LOCK,
                SPIN_UNLOCK,
                JIFFIES64,
                PER_CPU_PTR,
                THIS_CPU_PTR,
                TIMER_INIT,
                TIMER_SET_CALLBACK,
                TIMER_START,
                TIMER_CANCEL,
                KPTR_XCHG,
                FOR_EACH_MAP_ELEM,
                LOOP,
                USER_RINGBUF_DRAIN,
                RINGBUF_RESERVE_DYNPTR,
                RINGBUF_SUBMIT_DYNPTR,
                RINGBUF_DISCARD_DYNPTR,
                DYNPTR_FROM_MEM,
                DYNPTR_READ,
                DYNPTR_WRITE,
                DYNPTR_DATA,
                CGRP_STORAGE_GET,
                CGRP_STORAGE_DELETE,
                GET_CURRENT_CGROUP_ID,
                GET_CURRENT_ANCESTOR_CGROUP_ID,
                CURRENT_TASK_UNDER_CGROUP,
                GET_CGROUP_CLASSID_CURRENT,
                TASK_STORAGE_GET,
                TASK_STORAGE_DELETE,
            ],
        ),
        When(All(&[Perfmon, Sleepable]), &[GET_TASK_STACK_SLEEPABLE]),
        When(
            Perfmon,
            &[
                TRACE_PRINTK,
                GET_CURRENT_TASK,
                GET_CURRENT_TASK_BTF,
                GET_CURRENT_COMM,
                PROBE_READ_USER,
                PROBE_READ_KERNEL,
                PROBE_READ_USER_STR,
                PROBE_READ_KERNEL_STR,
                SNPRINTF_BTF,
                SNPRINTF,
                TASK_PT_REGS,
                TRACE_VPRINTK,
                PERF_EVENT_READ,
                PERF_EVENT_READ_VALUE,
                SEND_SIGNAL,
                SEND_SIGNAL_THREAD,
                GET_TASK_STACK,
                COPY_FROM_USER,
                COPY_FROM_USER_TASK,
                FIND_VMA,
                GET_BRANCH_SNAPSHOT,
            ],
        ),
        When(All(&[Perfmon, ProbeWriteUser]), &[PROBE_WRITE_USER]),
    ],
    then: &[],
};

/// Casts of sockets.
static SOCKET_CASTS: &[&HelperSpec] = &[
    SKC_TO_TCP6_SOCK,
    SKC_TO_TCP_SOCK,
    SKC_TO_TCP_TIMEWAIT_SOCK,
    SKC_TO_TCP_REQUEST_SOCK,
    SKC_TO_UDP6_SOCK,
    SKC_TO_UNIX_SOCK,
    SKC_TO_MPTCP_SOCK,
];

/// What everybody has who deals with sockets.
static SOCKET_BASE: Chain = Chain {
    name: "socket base",
    rules: &[When(Perfmon, SOCKET_CASTS), Give(&[KTIME_GET_COARSE_NS])],
    then: &[&BASE],
};

/// What is refused after the fact cannot be refused: no value for the caller.
static WITHOUT_RETVAL: &[At] = &[
    At::CGROUP_INET_INGRESS,
    At::CGROUP_INET_EGRESS,
    At::CGROUP_SOCK_OPS,
    At::CGROUP_UDP4_RECVMSG,
    At::CGROUP_UDP6_RECVMSG,
    At::CGROUP_UNIX_RECVMSG,
    At::CGROUP_INET4_GETPEERNAME,
    At::CGROUP_INET6_GETPEERNAME,
    At::CGROUP_UNIX_GETPEERNAME,
    At::CGROUP_INET4_GETSOCKNAME,
    At::CGROUP_INET6_GETSOCKNAME,
    At::CGROUP_UNIX_GETSOCKNAME,
];

/// What control groups offer.
static CGROUP_COMMON: Chain = Chain {
    name: "control groups",
    rules: &[Give(&[GET_LOCAL_STORAGE]), When(NotAttachedTo(WITHOUT_RETVAL), &[GET_RETVAL, SET_RETVAL])],
    then: &[],
};

pub(crate) static SOCKET_FILTER: Chain = Chain {
    name: "socket filters",
    rules: &[Give(&[
        SKB_LOAD_BYTES,
        SKB_LOAD_BYTES_RELATIVE,
        GET_SOCKET_COOKIE,
        GET_NETNS_COOKIE,
        GET_SOCKET_UID,
        PERF_EVENT_OUTPUT,
    ])],
    then: &[&SOCKET_BASE],
};

/// Finding sockets from a packet.
static LOOKUPS: &[&HelperSpec] = &[SK_LOOKUP_TCP, SK_LOOKUP_UDP, SK_RELEASE, SKC_LOOKUP_TCP];

/// SYN cookies without a socket.
static RAW_SYNCOOKIES: &[&HelperSpec] = &[
    TCP_RAW_GEN_SYNCOOKIE_IPV4,
    TCP_RAW_GEN_SYNCOOKIE_IPV6,
    TCP_RAW_CHECK_SYNCOOKIE_IPV4,
    TCP_RAW_CHECK_SYNCOOKIE_IPV6,
];

pub(crate) static CGROUP_SKB: Chain = Chain {
    name: "packets of control groups",
    rules: &[
        Give(&[
            SK_FULLSOCK,
            SK_STORAGE_GET,
            SK_STORAGE_DELETE,
            PERF_EVENT_OUTPUT,
            SKB_CGROUP_ID,
            SKB_ANCESTOR_CGROUP_ID,
            SK_CGROUP_ID,
            SK_ANCESTOR_CGROUP_ID,
            TCP_SOCK,
            GET_LISTENER_SOCK,
            SKB_ECN_SET_CE,
        ]),
        Give(LOOKUPS),
    ],
    then: &[&CGROUP_COMMON, &SOCKET_FILTER],
};

pub(crate) static CGROUP_SOCK: Chain = Chain {
    name: "sockets of control groups",
    rules: &[Give(&[
        GET_SOCKET_COOKIE,
        GET_NETNS_COOKIE,
        PERF_EVENT_OUTPUT,
        SK_STORAGE_GET_CGROUP_SOCK,
        KTIME_GET_COARSE_NS,
    ])],
    then: &[&CGROUP_COMMON, &BASE],
};

pub(crate) static CGROUP_SOCK_ADDR: Chain = Chain {
    name: "socket addresses",
    rules: &[
        When(AttachedTo(&[At::CGROUP_INET4_CONNECT, At::CGROUP_INET6_CONNECT]), &[BIND]),
        Give(&[
            GET_SOCKET_COOKIE,
            GET_NETNS_COOKIE,
            PERF_EVENT_OUTPUT,
            SK_LOOKUP_TCP_SOCK_ADDR,
            SK_LOOKUP_UDP_SOCK_ADDR,
            SK_RELEASE,
            SKC_LOOKUP_TCP_SOCK_ADDR,
            SETSOCKOPT,
            GETSOCKOPT,
            SK_STORAGE_GET,
            SK_STORAGE_DELETE,
        ]),
    ],
    then: &[&CGROUP_COMMON, &SOCKET_BASE],
};

pub(crate) static CGROUP_DEVICE: Chain =
    Chain { name: "devices", rules: &[Give(&[PERF_EVENT_OUTPUT])], then: &[&CGROUP_COMMON, &BASE] };

pub(crate) static CGROUP_SYSCTL: Chain = Chain {
    name: "variables of the kernel",
    rules: &[Give(&[
        SYSCTL_GET_NAME,
        SYSCTL_GET_CURRENT_VALUE,
        SYSCTL_GET_NEW_VALUE,
        SYSCTL_SET_NEW_VALUE,
        KTIME_GET_COARSE_NS,
        PERF_EVENT_OUTPUT,
    ])],
    then: &[&CGROUP_COMMON, &BASE],
};

pub(crate) static CGROUP_SOCKOPT: Chain = Chain {
    name: "socket options",
    rules: &[
        Give(&[GET_NETNS_COOKIE, SK_STORAGE_GET, SK_STORAGE_DELETE, TCP_SOCK, PERF_EVENT_OUTPUT]),
        When(AttachedTo(&[At::CGROUP_SETSOCKOPT]), &[SETSOCKOPT_SK, GETSOCKOPT_SK]),
    ],
    then: &[&CGROUP_COMMON, &BASE],
};

pub(crate) static CLASSIFIER: Chain = Chain {
    name: "classifiers",
    rules: &[
        Give(&[
            SKB_STORE_BYTES,
            SKB_LOAD_BYTES,
            SKB_LOAD_BYTES_RELATIVE,
            SKB_PULL_DATA,
            CSUM_DIFF,
            CSUM_UPDATE,
            CSUM_LEVEL,
            L3_CSUM_REPLACE,
            L4_CSUM_REPLACE,
            CLONE_REDIRECT,
            GET_CGROUP_CLASSID,
            SKB_VLAN_PUSH,
            SKB_VLAN_POP,
            SKB_CHANGE_PROTO,
            SKB_CHANGE_TYPE,
            SKB_ADJUST_ROOM,
            SKB_CHANGE_TAIL,
            SKB_CHANGE_HEAD,
            SKB_GET_TUNNEL_KEY,
            SKB_SET_TUNNEL_KEY,
            SKB_GET_TUNNEL_OPT,
            SKB_SET_TUNNEL_OPT,
            REDIRECT,
            REDIRECT_NEIGH,
            REDIRECT_PEER,
            GET_ROUTE_REALM,
            GET_HASH_RECALC,
            SET_HASH_INVALID,
            SET_HASH,
            PERF_EVENT_OUTPUT,
            GET_SMP_PROCESSOR_ID,
            SKB_UNDER_CGROUP,
            GET_SOCKET_COOKIE,
            GET_NETNS_COOKIE,
            GET_SOCKET_UID,
            FIB_LOOKUP,
            CHECK_MTU,
            SK_FULLSOCK,
            SK_STORAGE_GET,
            SK_STORAGE_DELETE,
            SKB_GET_XFRM_STATE,
            SKB_CGROUP_CLASSID,
            SKB_CGROUP_ID,
            SKB_ANCESTOR_CGROUP_ID,
            TCP_SOCK,
            GET_LISTENER_SOCK,
            TCP_CHECK_SYNCOOKIE,
            SKB_ECN_SET_CE,
            TCP_GEN_SYNCOOKIE,
            SK_ASSIGN,
            SKB_SET_TSTAMP,
        ]),
        Give(LOOKUPS),
        Give(RAW_SYNCOOKIES),
    ],
    then: &[&SOCKET_BASE],
};

pub(crate) static XDP: Chain = Chain {
    name: "frames",
    rules: &[
        Give(&[
            PERF_EVENT_OUTPUT,
            GET_SMP_PROCESSOR_ID,
            CSUM_DIFF,
            XDP_ADJUST_HEAD,
            XDP_ADJUST_META,
            REDIRECT,
            REDIRECT_MAP,
            XDP_ADJUST_TAIL,
            XDP_GET_BUFF_LEN,
            XDP_LOAD_BYTES,
            XDP_STORE_BYTES,
            FIB_LOOKUP,
            CHECK_MTU,
            TCP_CHECK_SYNCOOKIE,
            TCP_GEN_SYNCOOKIE,
        ]),
        Give(LOOKUPS),
        Give(RAW_SYNCOOKIES),
    ],
    then: &[&SOCKET_BASE],
};

pub(crate) static SOCK_OPS: Chain = Chain {
    name: "connections",
    rules: &[Give(&[
        SETSOCKOPT,
        GETSOCKOPT,
        SOCK_OPS_CB_FLAGS_SET,
        SOCK_MAP_UPDATE,
        SOCK_HASH_UPDATE,
        GET_SOCKET_COOKIE,
        PERF_EVENT_OUTPUT,
        SK_STORAGE_GET,
        SK_STORAGE_DELETE,
        GET_NETNS_COOKIE,
        LOAD_HDR_OPT,
        STORE_HDR_OPT,
        RESERVE_HDR_OPT,
        TCP_SOCK,
    ])],
    then: &[&CGROUP_COMMON, &SOCKET_BASE],
};

pub(crate) static SK_MSG: Chain = Chain {
    name: "messages",
    rules: &[Give(&[
        MSG_REDIRECT_MAP,
        MSG_REDIRECT_HASH,
        MSG_APPLY_BYTES,
        MSG_CORK_BYTES,
        MSG_PULL_DATA,
        MSG_PUSH_DATA,
        MSG_POP_DATA,
        PERF_EVENT_OUTPUT,
        SK_STORAGE_GET,
        SK_STORAGE_DELETE,
        GET_NETNS_COOKIE,
    ])],
    then: &[&SOCKET_BASE],
};

pub(crate) static SK_SKB: Chain = Chain {
    name: "streams",
    rules: &[
        Give(&[
            SKB_STORE_BYTES,
            SKB_LOAD_BYTES,
            SKB_PULL_DATA,
            SKB_CHANGE_TAIL,
            SKB_CHANGE_HEAD,
            SKB_ADJUST_ROOM,
            GET_SOCKET_COOKIE,
            GET_SOCKET_UID,
            SK_REDIRECT_MAP,
            SK_REDIRECT_HASH,
            PERF_EVENT_OUTPUT,
        ]),
        Give(LOOKUPS),
    ],
    then: &[&SOCKET_BASE],
};

pub(crate) static FLOW_DISSECTOR: Chain =
    Chain { name: "the flow dissector", rules: &[Give(&[SKB_LOAD_BYTES])], then: &[&SOCKET_BASE] };

pub(crate) static LWT_OUT: Chain = Chain {
    name: "tunnels",
    rules: &[Give(&[
        SKB_LOAD_BYTES,
        SKB_PULL_DATA,
        CSUM_DIFF,
        GET_CGROUP_CLASSID,
        GET_ROUTE_REALM,
        GET_HASH_RECALC,
        PERF_EVENT_OUTPUT,
        GET_SMP_PROCESSOR_ID,
        SKB_UNDER_CGROUP,
    ])],
    then: &[&SOCKET_BASE],
};

pub(crate) static LWT_IN: Chain =
    Chain { name: "tunnels, receiving", rules: &[Give(&[LWT_PUSH_ENCAP])], then: &[&LWT_OUT] };

pub(crate) static LWT_XMIT: Chain = Chain {
    name: "tunnels, transmitting",
    rules: &[Give(&[
        SKB_GET_TUNNEL_KEY,
        SKB_SET_TUNNEL_KEY,
        SKB_GET_TUNNEL_OPT,
        SKB_SET_TUNNEL_OPT,
        REDIRECT,
        CLONE_REDIRECT,
        SKB_CHANGE_TAIL,
        SKB_CHANGE_HEAD,
        SKB_STORE_BYTES,
        CSUM_UPDATE,
        CSUM_LEVEL,
        L3_CSUM_REPLACE,
        L4_CSUM_REPLACE,
        SET_HASH_INVALID,
        LWT_PUSH_ENCAP,
    ])],
    then: &[&LWT_OUT],
};

pub(crate) static LWT_SEG6LOCAL: Chain = Chain {
    name: "segment routing",
    rules: &[Give(&[LWT_SEG6_STORE_BYTES, LWT_SEG6_ACTION, LWT_SEG6_ADJUST_SRH])],
    then: &[&LWT_OUT],
};

pub(crate) static LIRC_MODE2: Chain = Chain {
    name: "remote controls",
    rules: &[
        Give(&[
            RC_REPEAT,
            RC_KEYDOWN,
            RC_POINTER_REL,
            MAP_LOOKUP_ELEM,
            MAP_UPDATE_ELEM,
            MAP_DELETE_ELEM,
            MAP_PUSH_ELEM,
            MAP_POP_ELEM,
            MAP_PEEK_ELEM,
            KTIME_GET_NS,
            KTIME_GET_BOOT_NS,
            TAIL_CALL,
            GET_PRANDOM_U32,
        ]),
        When(Perfmon, &[TRACE_PRINTK]),
    ],
    then: &[],
};

pub(crate) static SK_REUSEPORT: Chain = Chain {
    name: "groups of sockets",
    rules: &[Give(&[
        SK_SELECT_REUSEPORT,
        SKB_LOAD_BYTES,
        SKB_LOAD_BYTES_RELATIVE,
        GET_SOCKET_COOKIE_SK,
        KTIME_GET_COARSE_NS,
    ])],
    then: &[&BASE],
};

pub(crate) static SK_LOOKUP: Chain = Chain {
    name: "lookups of sockets",
    rules: &[Give(&[PERF_EVENT_OUTPUT, SK_ASSIGN_LOOKUP, SK_RELEASE])],
    then: &[&SOCKET_BASE],
};

pub(crate) static NETFILTER: Chain = Chain { name: "netfilter", rules: &[], then: &[&BASE] };

pub(crate) static SYSCALL: Chain = Chain {
    name: "system calls",
    rules: &[When(Perfmon, &[SYS_BPF]), Give(&[BTF_FIND_BY_NAME_KIND, SYS_CLOSE, KALLSYMS_LOOKUP_NAME])],
    then: &[&TRACING],
};

/// What all tracing has.
static TRACING_BASE: Chain = Chain {
    name: "tracing base",
    rules: &[Give(&[GET_SMP_PROCESSOR_ID, PROBE_READ, PROBE_READ_STR, GET_FUNC_IP])],
    then: &[&BASE],
};

/// Many functions with one program.
static MULTI: &[At] =
    &[At::TRACE_KPROBE_MULTI, At::TRACE_KPROBE_SESSION, At::TRACE_UPROBE_MULTI, At::TRACE_UPROBE_SESSION];

pub(crate) static KPROBE: Chain = Chain {
    name: "probes",
    rules: &[
        When(Sleepable, &[GET_STACK_SLEEPABLE]),
        Give(&[PERF_EVENT_OUTPUT, GET_STACKID, GET_STACK, GET_ATTACH_COOKIE]),
        When(OverrideReturn, &[OVERRIDE_RETURN]),
        When(AttachedTo(MULTI), &[GET_FUNC_IP_MULTI]),
    ],
    then: &[&TRACING_BASE],
};

pub(crate) static TRACEPOINT: Chain = Chain {
    name: "tracepoints",
    rules: &[Give(&[PERF_EVENT_OUTPUT, GET_STACKID, GET_STACK, GET_ATTACH_COOKIE])],
    then: &[&TRACING_BASE],
};

pub(crate) static PERF_EVENT: Chain = Chain {
    name: "events",
    rules: &[Give(&[
        PERF_EVENT_OUTPUT,
        GET_STACKID_PERF_EVENT,
        GET_STACK,
        PERF_PROG_READ_VALUE,
        READ_BRANCH_RECORDS,
        GET_ATTACH_COOKIE,
    ])],
    then: &[&TRACING_BASE],
};

/// What tracepoints without a record have.
static RAW_BASE: Chain = Chain {
    name: "raw tracing",
    rules: &[Give(&[PERF_EVENT_OUTPUT, GET_STACKID, GET_STACK])],
    then: &[&TRACING_BASE],
};

pub(crate) static RAW_TRACEPOINT: Chain =
    Chain { name: "raw tracepoints", rules: &[Give(&[GET_ATTACH_COOKIE])], then: &[&RAW_BASE] };

pub(crate) static TRACING: Chain = Chain {
    name: "typed tracing",
    rules: &[
        Give(SOCKET_CASTS),
        Give(&[
            SKB_OUTPUT,
            XDP_OUTPUT,
            SK_STORAGE_GET_TRACING,
            SK_STORAGE_DELETE_TRACING,
            SOCK_FROM_FILE,
            GET_SOCKET_COOKIE_SK,
            XDP_GET_BUFF_LEN_TRACING,
            D_PATH,
        ]),
        When(AttachedTo(&[At::TRACE_ITER]), &[SEQ_PRINTF, SEQ_WRITE, SEQ_PRINTF_BTF]),
        When(Trampoline, &[GET_FUNC_ARG, GET_FUNC_RET, GET_FUNC_ARG_CNT, GET_ATTACH_COOKIE]),
        When(AttachedTo(&[At::TRACE_RAW_TP]), &[GET_ATTACH_COOKIE]),
        When(Target(&["bpf_iter_tcp", "bpf_iter_unix"]), &[SETSOCKOPT_SK, GETSOCKOPT_SK]),
    ],
    then: &[&RAW_BASE],
};

pub(crate) static LSM: Chain = Chain {
    name: "security hooks",
    rules: &[
        When(AttachedTo(&[At::LSM_CGROUP]), &[GET_LOCAL_STORAGE, GET_RETVAL, SET_RETVAL]),
        Give(&[
            INODE_STORAGE_GET,
            INODE_STORAGE_DELETE,
            SK_STORAGE_GET,
            SK_STORAGE_DELETE,
            BPRM_OPTS_SET,
            IMA_INODE_HASH,
            IMA_FILE_HASH,
        ]),
    ],
    then: &[&LSM_SOCKETS, &TRACING],
};

/// Options of sockets, where a hook of a control group is called with one.
static LSM_SOCKETS: Chain = Chain {
    name: "security hooks of sockets",
    rules: &[When(
        Target(&[
            "sock_graft",
            "inet_csk_clone",
            "inet_conn_established",
            "socket_post_create",
            "socket_socketpair",
        ]),
        &[SETSOCKOPT_SK, GETSOCKOPT_SK],
    )],
    then: &[],
};

pub(crate) static STRUCT_OPS: Chain = Chain {
    name: "tables of the kernel",
    rules: &[
        When(
            Target(&["tcp_congestion_ops"]),
            &[TCP_SEND_ACK, SK_STORAGE_GET, SK_STORAGE_DELETE, KTIME_GET_COARSE_NS],
        ),
        // A socket that is being released has no options any more.
        When(TargetBut("tcp_congestion_ops", ".release"), &[SETSOCKOPT_SK, GETSOCKOPT_SK]),
    ],
    then: &[&BASE],
};
