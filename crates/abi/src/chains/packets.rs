//! What programs have that see packets.

use super::{BASE, CGROUP_COMMON, LOOKUPS, SOCKET_BASE, SOCKET_FILTER};
use crate::HelperSpec;
use crate::availability::Chain;
use crate::availability::Rule::*;
use crate::helpers::*;

/// SYN cookies without a socket.
pub(crate) static RAW_SYNCOOKIES: &[&HelperSpec] = &[
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

pub(crate) static NETFILTER: Chain = Chain { name: "netfilter", rules: &[], then: &[&BASE] };
