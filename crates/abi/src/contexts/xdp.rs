//! The context of XDP programs.

use crate::context::context;

context! {
    /// A frame before the stack has seen it (`struct xdp_md`).
    pub struct XdpMd, 24 bytes {
        /// Where the frame starts.
        data: u32 = DATA @ 0,
        /// Where it ends.
        data_end: u32 = DATA_END @ 4,
        /// Where metadata before it start.
        data_meta: u32 = DATA_META @ 8,
        /// The index of the device that it came through.
        ingress_ifindex: u32 = INGRESS_IFINDEX @ 12,
        /// The receive queue.
        rx_queue_index: u32 = RX_QUEUE_INDEX @ 16,
        /// The index of the device that it leaves through.
        egress_ifindex: u32 = EGRESS_IFINDEX @ 20,
    }
}
