//! `struct bpf_sock_addr`: the address that a system call was given.

use crate::Value;
use crate::context::{View, context};

context! {
    /// An address on its way into or out of a system call (`struct bpf_sock_addr` of `linux/bpf.h`).
    pub struct SockAddr, "bpf_sock_addr", 72 bytes {
        /// The family of the address.
        user_family: u32 = USER_FAMILY @ 0,
        /// Its IPv4 address, big-endian.
        user_ip4: u32 = USER_IP4 @ 4 [load NARROW],
        /// Its IPv6 address, big-endian.
        user_ip6: [u32; 4] = USER_IP6 @ 8 [load ANY store FOUR_OR_EIGHT],
        /// Its port, big-endian.
        user_port: u32 = USER_PORT @ 24 [load NARROW],
        /// The socket's address family.
        family: u32 = FAMILY @ 28,
        /// The socket's type.
        r#type: u32 = TYPE @ 32,
        /// The socket's protocol.
        protocol: u32 = PROTOCOL @ 36,
        /// The IPv4 address to send from, big-endian.
        msg_src_ip4: u32 = MSG_SRC_IP4 @ 40 [load NARROW],
        /// The IPv6 address to send from, big-endian.
        msg_src_ip6: [u32; 4] = MSG_SRC_IP6 @ 44 [load ANY store FOUR_OR_EIGHT],
        /// The socket.
        sk: u64 = SK @ 64 [gives Value::Sock],
    }
}

/// IPv4 addresses.
pub(crate) const IPV4: View = View::readable(SockAddr::LAYOUT)
    .hides(&["user_ip6", "msg_src_ip4", "msg_src_ip6"])
    .writes(&["user_ip4", "user_port"]);
/// IPv6 addresses.
pub(crate) const IPV6: View = View::readable(SockAddr::LAYOUT)
    .hides(&["user_ip4", "msg_src_ip4", "msg_src_ip6"])
    .writes(&["user_ip6", "user_port"]);
/// A datagram sent over IPv4.
pub(crate) const SEND4: View = View::readable(SockAddr::LAYOUT)
    .hides(&["user_ip6", "msg_src_ip6"])
    .writes(&["user_ip4", "user_port", "msg_src_ip4"]);
/// A datagram sent over IPv6.
pub(crate) const SEND6: View = View::readable(SockAddr::LAYOUT)
    .hides(&["user_ip4", "msg_src_ip4"])
    .writes(&["user_ip6", "user_port", "msg_src_ip6"]);
/// A name of the file system.
pub(crate) const UNIX: View = View::readable(SockAddr::LAYOUT)
    .hides(&["user_ip4", "user_ip6", "msg_src_ip4", "msg_src_ip6"])
    .writes(&["user_port"]);
