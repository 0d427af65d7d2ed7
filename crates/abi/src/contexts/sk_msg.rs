//! `struct sk_msg_md`: a message that a socket is about to send.

use crate::Value;
use crate::context::{View, context};

context! {
    /// A message on its way into a socket (`struct sk_msg_md` of `linux/bpf.h`).
    pub struct SkMsg, "sk_msg_md", 80 bytes {
        /// Where the readable part starts.
        data: u64 = DATA @ 0 [gives Value::Packet],
        /// Where it ends.
        data_end: u64 = DATA_END @ 8 [gives Value::PacketEnd],
        /// The address family.
        family: u32 = FAMILY @ 16,
        /// The remote IPv4 address, big-endian.
        remote_ip4: u32 = REMOTE_IP4 @ 20,
        /// The local IPv4 address, big-endian.
        local_ip4: u32 = LOCAL_IP4 @ 24,
        /// The remote IPv6 address, big-endian.
        remote_ip6: [u32; 4] = REMOTE_IP6 @ 28,
        /// The local IPv6 address, big-endian.
        local_ip6: [u32; 4] = LOCAL_IP6 @ 44,
        /// The remote port, big-endian.
        remote_port: u32 = REMOTE_PORT @ 60,
        /// The local port, host order.
        local_port: u32 = LOCAL_PORT @ 64,
        /// How long the message is.
        size: u32 = LENGTH @ 68,
        /// The socket.
        sk: u64 = SK @ 72 [gives Value::Sock],
    }
}

/// Every message.
pub(crate) const MESSAGE: View = View::readable(SkMsg::LAYOUT);
