//! What programs have that look into the kernel, and those that are part of it.

use super::{BASE, SOCKET_CASTS};
use crate::AttachType as At;
use crate::availability::Chain;
use crate::availability::Condition::*;
use crate::availability::Rule::*;
use crate::helpers::*;

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

pub(crate) static SYSCALL: Chain = Chain {
    name: "system calls",
    rules: &[When(Perfmon, &[SYS_BPF]), Give(&[BTF_FIND_BY_NAME_KIND, SYS_CLOSE, KALLSYMS_LOOKUP_NAME])],
    then: &[&TRACING],
};

/// What all tracing has.
pub(crate) static TRACING_BASE: Chain = Chain {
    name: "tracing base",
    rules: &[Give(&[GET_SMP_PROCESSOR_ID, PROBE_READ, PROBE_READ_STR, GET_FUNC_IP])],
    then: &[&BASE],
};

/// Many functions with one program.
pub(crate) static MULTI: &[At] =
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
pub(crate) static RAW_BASE: Chain = Chain {
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
pub(crate) static LSM_SOCKETS: Chain = Chain {
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
