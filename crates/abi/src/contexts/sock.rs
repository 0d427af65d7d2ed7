//! Sockets: `struct bpf_sock`, what is left of it without a full socket, and the parts that TCP and
//! XDP sockets have beside it.

use crate::context::{View, context};

context! {
    /// A socket (`struct bpf_sock` of `linux/bpf.h`).
    pub struct Sock, "bpf_sock", 80 bytes {
        /// The interface that it is bound to; 0 without one.
        bound_dev_if: u32 = BOUND_DEV_IF @ 0,
        /// The address family.
        family: u32 = FAMILY @ 4 [load FIRST_NARROW],
        /// `SOCK_STREAM`, `SOCK_DGRAM`, …
        r#type: u32 = TYPE @ 8 [load FIRST_NARROW],
        /// The protocol (`IPPROTO_*`).
        protocol: u32 = PROTOCOL @ 12 [load FIRST_NARROW],
        /// The mark of the packets that it sends.
        mark: u32 = MARK @ 16,
        /// Their priority.
        priority: u32 = PRIORITY @ 20,
        /// The local IPv4 address, big-endian.
        src_ip4: u32 = SRC_IP4 @ 24 [load NARROW],
        /// The local IPv6 address, big-endian.
        src_ip6: [u32; 4] = SRC_IP6 @ 28 [load NARROW],
        /// The local port, host order.
        src_port: u32 = SRC_PORT @ 44 [load FIRST_NARROW],
        /// The remote port, big-endian in the first two bytes; the others are zero.
        dst_port: u32 = DST_PORT @ 48 [load Port],
        /// The remote IPv4 address, big-endian.
        dst_ip4: u32 = DST_IP4 @ 52 [load NARROW],
        /// The remote IPv6 address, big-endian.
        dst_ip6: [u32; 4] = DST_IP6 @ 56 [load NARROW],
        /// The state (`BPF_TCP_*`).
        state: u32 = STATE @ 72 [load FIRST_NARROW],
        /// The queue that received for it; -1 without one.
        rx_queue_mapping: i32 = RX_QUEUE_MAPPING @ 76 [load FIRST_NARROW],
    }
}

context! {
    /// What a TCP socket knows of its connection (`struct bpf_tcp_sock` of `linux/bpf.h`).
    pub struct TcpSock, "bpf_tcp_sock", 112 bytes {
        /// The congestion window.
        snd_cwnd: u32 = SND_CWND @ 0,
        /// The smoothed round trip, in eighths of a microsecond.
        srtt_us: u32 = SRTT_US @ 4,
        /// The shortest round trip.
        rtt_min: u32 = RTT_MIN @ 8,
        /// The slow start threshold.
        snd_ssthresh: u32 = SND_SSTHRESH @ 12,
        /// The next byte expected.
        rcv_nxt: u32 = RCV_NXT @ 16,
        /// The next byte to send.
        snd_nxt: u32 = SND_NXT @ 20,
        /// The first byte not acknowledged.
        snd_una: u32 = SND_UNA @ 24,
        /// The segment size in use.
        mss_cache: u32 = MSS_CACHE @ 28,
        /// The state of congestion notification.
        ecn_flags: u32 = ECN_FLAGS @ 32,
        /// Packets delivered while the rate was measured.
        rate_delivered: u32 = RATE_DELIVERED @ 36,
        /// How long it was measured, in microseconds.
        rate_interval_us: u32 = RATE_INTERVAL_US @ 40,
        /// Packets in flight.
        packets_out: u32 = PACKETS_OUT @ 44,
        /// Packets sent again.
        retrans_out: u32 = RETRANS_OUT @ 48,
        /// Packets sent again in all.
        total_retrans: u32 = TOTAL_RETRANS @ 52,
        /// Segments received.
        segs_in: u32 = SEGS_IN @ 56,
        /// Segments received with data.
        data_segs_in: u32 = DATA_SEGS_IN @ 60,
        /// Segments sent.
        segs_out: u32 = SEGS_OUT @ 64,
        /// Segments sent with data.
        data_segs_out: u32 = DATA_SEGS_OUT @ 68,
        /// Packets thought lost.
        lost_out: u32 = LOST_OUT @ 72,
        /// Packets acknowledged selectively.
        sacked_out: u32 = SACKED_OUT @ 76,
        /// Bytes acknowledged to the peer.
        bytes_received: u64 = BYTES_RECEIVED @ 80,
        /// Bytes that the peer acknowledged.
        bytes_acked: u64 = BYTES_ACKED @ 88,
        /// Duplicate selective acknowledgements.
        dsack_dups: u32 = DSACK_DUPS @ 96,
        /// Packets delivered.
        delivered: u32 = DELIVERED @ 100,
        /// Packets delivered that had met congestion.
        delivered_ce: u32 = DELIVERED_CE @ 104,
        /// Retransmission timeouts in a row.
        icsk_retransmits: u32 = ICSK_RETRANSMITS @ 108,
    }
}

context! {
    /// An XDP socket (`struct bpf_xdp_sock` of `linux/bpf.h`).
    pub struct XdpSock, "bpf_xdp_sock", 4 bytes {
        /// The queue that it is bound to.
        queue_id: u32 = QUEUE_ID @ 0,
    }
}

/// A socket that is being made or released.
pub(crate) const CREATED: View =
    View::readable(Sock::LAYOUT).hides(&["src_ip4", "src_ip6", "src_port"]).writes(SETTINGS);
/// An IPv4 socket that has been bound.
pub(crate) const BOUND4: View = View::readable(Sock::LAYOUT).hides(&["src_ip6"]).hides(SETTINGS);
/// An IPv6 socket that has been bound.
pub(crate) const BOUND6: View = View::readable(Sock::LAYOUT).hides(&["src_ip4"]).hides(SETTINGS);
/// A full socket behind a pointer.
pub(crate) const FULL: View = View::readable(Sock::LAYOUT);
/// What every socket behind a pointer has.
pub(crate) const COMMON: View = View::readable(Sock::LAYOUT).hides(&["type", "protocol", "mark", "priority"]);
/// A TCP socket behind a pointer.
pub(crate) const TCP: View = View::readable(TcpSock::LAYOUT);
/// An XDP socket behind a pointer.
pub(crate) const XDP: View = View::readable(XdpSock::LAYOUT);

/// What programs may set while a socket is made.
const SETTINGS: &[&str] = &["bound_dev_if", "mark", "priority"];
