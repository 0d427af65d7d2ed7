//! What control groups have.

use super::{BASE, SOCKET_BASE};
use crate::AttachType as At;
use crate::availability::Chain;
use crate::availability::Condition::*;
use crate::availability::Rule::*;
use crate::helpers::*;
use crate::list::join;

/// What is refused after the fact cannot be refused: no value for the caller.
pub(crate) static WITHOUT_RETVAL: &[At] = &join::<_, 12>(
    At(0),
    &[&[At::CGROUP_INET_INGRESS, At::CGROUP_INET_EGRESS, At::CGROUP_SOCK_OPS], At::AFTER_THE_FACT],
);

/// What control groups offer.
pub(crate) static CGROUP_COMMON: Chain = Chain {
    name: "control groups",
    rules: &[Give(&[GET_LOCAL_STORAGE]), When(NotAttachedTo(WITHOUT_RETVAL), &[GET_RETVAL, SET_RETVAL])],
    then: &[],
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
