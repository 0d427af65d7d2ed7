//! What programs have that deal with sockets.

use super::{BASE, CGROUP_COMMON};
use crate::HelperSpec;
use crate::availability::Chain;
use crate::availability::Condition::*;
use crate::availability::Rule::*;
use crate::helpers::*;

/// Casts of sockets.
pub(crate) static SOCKET_CASTS: &[&HelperSpec] = &[
    SKC_TO_TCP6_SOCK,
    SKC_TO_TCP_SOCK,
    SKC_TO_TCP_TIMEWAIT_SOCK,
    SKC_TO_TCP_REQUEST_SOCK,
    SKC_TO_UDP6_SOCK,
    SKC_TO_UNIX_SOCK,
    SKC_TO_MPTCP_SOCK,
];

/// What everybody has who deals with sockets.
pub(crate) static SOCKET_BASE: Chain = Chain {
    name: "socket base",
    rules: &[When(Perfmon, SOCKET_CASTS), Give(&[KTIME_GET_COARSE_NS])],
    then: &[&BASE],
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
pub(crate) static LOOKUPS: &[&HelperSpec] = &[SK_LOOKUP_TCP, SK_LOOKUP_UDP, SK_RELEASE, SKC_LOOKUP_TCP];

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
