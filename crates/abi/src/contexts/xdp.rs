//! `struct xdp_md`: a frame as it comes from the device.

use crate::Value;
use crate::context::{View, context};

context! {
    /// A frame before the kernel has looked at it (`struct xdp_md` of `linux/bpf.h`).
    pub struct XdpMd, "xdp_md", 24 bytes {
        /// Where the frame starts.
        data: u32 = DATA @ 0 [gives Value::Packet],
        /// Where it ends.
        data_end: u32 = DATA_END @ 4 [gives Value::PacketEnd],
        /// Where the metadata before it starts.
        data_meta: u32 = DATA_META @ 8 [gives Value::PacketMeta],
        /// The interface that received it.
        ingress_ifindex: u32 = INGRESS_IFINDEX @ 12,
        /// The queue that received it.
        rx_queue_index: u32 = RX_QUEUE_INDEX @ 16,
        /// The interface that will send it; only programs of a device map know.
        egress_ifindex: u32 = EGRESS_IFINDEX @ 20,
    }
}

/// A received frame.
pub(crate) const RECEIVED: View = View::readable(XdpMd::LAYOUT).hides(&["egress_ifindex"]);
/// A frame on its way out through a device map.
pub(crate) const REDIRECTED: View = View::readable(XdpMd::LAYOUT);
