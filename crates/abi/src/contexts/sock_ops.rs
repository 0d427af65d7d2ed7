//! `struct bpf_sock_ops`: an event in the life of a TCP connection.

use crate::Value;
use crate::context::{View, context};

context! {
    /// An event of a TCP connection (`struct bpf_sock_ops` of `linux/bpf.h`).
    pub struct SockOps, "bpf_sock_ops", 224 bytes {
        /// The event (`BPF_SOCK_OPS_*`).
        op: u32 = OP @ 0,
        /// What comes with the event; the first word is also the answer.
        args: [u32; 4] = ARGS @ 4 [store FIRST_FOUR],
        /// The address family.
        family: u32 = FAMILY @ 20,
        /// The remote IPv4 address, big-endian.
        remote_ip4: u32 = REMOTE_IP4 @ 24,
        /// The local IPv4 address, big-endian.
        local_ip4: u32 = LOCAL_IP4 @ 28,
        /// The remote IPv6 address, big-endian.
        remote_ip6: [u32; 4] = REMOTE_IP6 @ 32,
        /// The local IPv6 address, big-endian.
        local_ip6: [u32; 4] = LOCAL_IP6 @ 48,
        /// The remote port, big-endian.
        remote_port: u32 = REMOTE_PORT @ 64,
        /// The local port, host order.
        local_port: u32 = LOCAL_PORT @ 68,
        /// Whether the fields of TCP below are there.
        is_fullsock: u32 = IS_FULLSOCK @ 72,
        /// The congestion window.
        snd_cwnd: u32 = SND_CWND @ 76,
        /// The smoothed round trip, in eighths of a microsecond.
        srtt_us: u32 = SRTT_US @ 80,
        /// The events that the socket reports.
        bpf_sock_ops_cb_flags: u32 = BPF_SOCK_OPS_CB_FLAGS @ 84,
        /// The state (`BPF_TCP_*`).
        state: u32 = STATE @ 88,
        /// The shortest round trip.
        rtt_min: u32 = RTT_MIN @ 92,
        /// The slow start threshold.
        snd_ssthresh: u32 = SND_SSTHRESH @ 96,
        /// The next byte expected.
        rcv_nxt: u32 = RCV_NXT @ 100,
        /// The next byte to send.
        snd_nxt: u32 = SND_NXT @ 104,
        /// The first byte not acknowledged.
        snd_una: u32 = SND_UNA @ 108,
        /// The segment size in use.
        mss_cache: u32 = MSS_CACHE @ 112,
        /// The state of congestion notification.
        ecn_flags: u32 = ECN_FLAGS @ 116,
        /// Packets delivered while the rate was measured.
        rate_delivered: u32 = RATE_DELIVERED @ 120,
        /// How long it was measured, in microseconds.
        rate_interval_us: u32 = RATE_INTERVAL_US @ 124,
        /// Packets in flight.
        packets_out: u32 = PACKETS_OUT @ 128,
        /// Packets sent again.
        retrans_out: u32 = RETRANS_OUT @ 132,
        /// Packets sent again in all.
        total_retrans: u32 = TOTAL_RETRANS @ 136,
        /// Segments received.
        segs_in: u32 = SEGS_IN @ 140,
        /// Segments received with data.
        data_segs_in: u32 = DATA_SEGS_IN @ 144,
        /// Segments sent.
        segs_out: u32 = SEGS_OUT @ 148,
        /// Segments sent with data.
        data_segs_out: u32 = DATA_SEGS_OUT @ 152,
        /// Packets thought lost.
        lost_out: u32 = LOST_OUT @ 156,
        /// Packets acknowledged selectively.
        sacked_out: u32 = SACKED_OUT @ 160,
        /// The hash that picks the path of what it sends.
        sk_txhash: u32 = SK_TXHASH @ 164,
        /// Bytes acknowledged to the peer.
        bytes_received: u64 = BYTES_RECEIVED @ 168,
        /// Bytes that the peer acknowledged.
        bytes_acked: u64 = BYTES_ACKED @ 176,
        /// The socket.
        sk: u64 = SK @ 184 [gives Value::SockOrNull],
        /// Where the packet of the event starts.
        skb_data: u64 = SKB_DATA @ 192 [gives Value::Packet],
        /// Where it ends.
        skb_data_end: u64 = SKB_DATA_END @ 200 [gives Value::PacketEnd],
        /// How long it is.
        skb_len: u32 = SKB_LEN @ 208,
        /// The flags of its TCP header.
        skb_tcp_flags: u32 = SKB_TCP_FLAGS @ 212 [load FIRST_NARROW],
        /// The device's time stamp of it.
        skb_hwtstamp: u64 = SKB_HWTSTAMP @ 216,
    }
}

/// Every event.
pub(crate) const EVENT: View = View::readable(SockOps::LAYOUT).writes(&["args", "sk_txhash"]);
