//! Connections, frames, sockets, congestion control.

use crate::kfunc::{Hooks, KfuncFlag::*, kfuncs};

kfuncs! {
    pub(super) static ROWS;

    /// Makes an entry of connection tracking, or gives null.
    fn bpf_xdp_ct_alloc(xdp_ctx: "struct xdp_md *", bpf_tuple: "struct bpf_sock_tuple *", tuple__sz: "u32", opts: "struct bpf_ct_opts *", opts__sz: "u32") -> "struct nf_conn___init *", CONNECTIONS, [Acquire, RetNull];

    /// Finds an entry of connection tracking, or gives null.
    fn bpf_xdp_ct_lookup(xdp_ctx: "struct xdp_md *", bpf_tuple: "struct bpf_sock_tuple *", tuple__sz: "u32", opts: "struct bpf_ct_opts *", opts__sz: "u32") -> "struct nf_conn *", CONNECTIONS, [Acquire, RetNull];

    /// Makes an entry of connection tracking, or gives null.
    fn bpf_skb_ct_alloc(skb_ctx: "struct __sk_buff *", bpf_tuple: "struct bpf_sock_tuple *", tuple__sz: "u32", opts: "struct bpf_ct_opts *", opts__sz: "u32") -> "struct nf_conn___init *", CONNECTIONS, [Acquire, RetNull];

    /// Finds an entry of connection tracking, or gives null.
    fn bpf_skb_ct_lookup(skb_ctx: "struct __sk_buff *", bpf_tuple: "struct bpf_sock_tuple *", tuple__sz: "u32", opts: "struct bpf_ct_opts *", opts__sz: "u32") -> "struct nf_conn *", CONNECTIONS, [Acquire, RetNull];

    /// Puts an entry into connection tracking.
    fn bpf_ct_insert_entry(nfct_i: "struct nf_conn___init *") -> "struct nf_conn *", CONNECTIONS, [Acquire, RetNull, Release];

    /// Gives an entry back.
    fn bpf_ct_release(nfct: "struct nf_conn *") -> "void", CONNECTIONS, [Release];

    /// Says how long a new entry stays.
    fn bpf_ct_set_timeout(nfct: "struct nf_conn___init *", timeout: "u32") -> "void", CONNECTIONS, [TrustedArgs];

    /// Says how long an entry stays.
    fn bpf_ct_change_timeout(nfct: "struct nf_conn *", timeout: "u32") -> "int", CONNECTIONS, [TrustedArgs];

    /// Sets bits of a new entry.
    fn bpf_ct_set_status(nfct: "const struct nf_conn___init *", status: "u32") -> "int", CONNECTIONS, [TrustedArgs];

    /// Sets bits of an entry.
    fn bpf_ct_change_status(nfct: "struct nf_conn *", status: "u32") -> "int", CONNECTIONS, [TrustedArgs];

    /// Says how addresses are translated.
    fn bpf_ct_set_nat_info(nfct: "struct nf_conn___init *", addr: "union nf_inet_addr *", port: "int", manip: "enum nf_nat_manip_type") -> "int", CONNECTIONS, [TrustedArgs];

    /// When the device received a frame.
    fn bpf_xdp_metadata_rx_timestamp(ctx: "const struct xdp_md *", timestamp: "u64 *") -> "int", XDP, [TrustedArgs];

    /// The hash that the device made of a frame.
    fn bpf_xdp_metadata_rx_hash(ctx: "const struct xdp_md *", hash: "u32 *", rss_type: "enum xdp_rss_hash_type *") -> "int", XDP, [TrustedArgs];

    /// The VLAN tag that the device took off a frame.
    fn bpf_xdp_metadata_rx_vlan_tag(ctx: "const struct xdp_md *", vlan_proto: "__be16 *", vlan_tci: "u16 *") -> "int", XDP, [TrustedArgs];

    /// Makes bytes of a frame directly accessible.
    fn bpf_xdp_pull_data(x: "struct xdp_md *", len: "u32") -> "int", XDP, [];

    /// Finds a state of IPsec, or gives null.
    fn bpf_xdp_get_xfrm_state(ctx: "struct xdp_md *", opts: "struct bpf_xfrm_state_opts *", opts__sz: "u32") -> "struct xfrm_state *", XDP, [RetNull, Acquire];

    /// Gives it back.
    fn bpf_xdp_xfrm_state_release(x: "struct xfrm_state *") -> "void", XDP, [Release];

    /// Sets the path of a UNIX address.
    fn bpf_sock_addr_set_sun_path(sa_kern: "struct bpf_sock_addr_kern *", sun_path: "const u8 *", sun_path__sz: "u32") -> "int", ADDRESSES, [];

    /// Asks for timestamps of sent packets.
    fn bpf_sock_ops_enable_tx_tstamp(skops: "struct bpf_sock_ops_kern *", flags: "u64") -> "int", OPERATIONS, [TrustedArgs];

    /// Makes a request socket and gives it a packet.
    fn bpf_sk_assign_tcp_reqsk(s: "struct __sk_buff *", sk: "struct sock *", attrs: "struct bpf_tcp_req_attrs *", attrs__sz: "int") -> "int", CLASSIFIERS, [TrustedArgs];

    /// Ends a socket's connection.
    fn bpf_sock_destroy(sock: "struct sock_common *") -> "int", ITERATIONS, [TrustedArgs];

    /// Congestion control: Reno's slow start threshold.
    fn tcp_reno_ssthresh(sk: "struct sock *") -> "u32", OPERATORS, [];

    /// Congestion control: Reno's avoidance.
    fn tcp_reno_cong_avoid(sk: "struct sock *", ack: "u32", acked: "u32") -> "void", OPERATORS, [];

    /// Congestion control: Reno's window before the last loss.
    fn tcp_reno_undo_cwnd(sk: "struct sock *") -> "u32", OPERATORS, [];

    /// Congestion control: slow start.
    fn tcp_slow_start(tp: "struct tcp_sock *", acked: "u32") -> "u32", OPERATORS, [];

    /// Congestion control: additive increase.
    fn tcp_cong_avoid_ai(tp: "struct tcp_sock *", w: "u32", acked: "u32") -> "void", OPERATORS, [];

    /// Congestion control: CUBIC's beginning.
    fn cubictcp_init(sk: "struct sock *") -> "void", OPERATORS, [];

    /// Congestion control: CUBIC's slow start threshold.
    fn cubictcp_recalc_ssthresh(sk: "struct sock *") -> "u32", OPERATORS, [];

    /// Congestion control: CUBIC's avoidance.
    fn cubictcp_cong_avoid(sk: "struct sock *", ack: "u32", acked: "u32") -> "void", OPERATORS, [];

    /// Congestion control: CUBIC's change of state.
    fn cubictcp_state(sk: "struct sock *", new_state: "u8") -> "void", OPERATORS, [];

    /// Congestion control: CUBIC's events.
    fn cubictcp_cwnd_event(sk: "struct sock *", event: "enum tcp_ca_event") -> "void", OPERATORS, [];

    /// Congestion control: CUBIC's acknowledgements.
    fn cubictcp_acked(sk: "struct sock *", sample: "const struct ack_sample *") -> "void", OPERATORS, [];

    /// Congestion control: the beginning of BBR.
    fn bbr_init(sk: "struct sock *") -> "void", OPERATORS, [];

    /// Congestion control: what BBR does at an acknowledgement.
    fn bbr_main(sk: "struct sock *", ack: "u32", flag: "int", rs: "const struct rate_sample *") -> "void", OPERATORS, [];

    /// Congestion control: how much more BBR buffers.
    fn bbr_sndbuf_expand(sk: "struct sock *") -> "u32", OPERATORS, [];

    /// Congestion control: the window of BBR before the last loss.
    fn bbr_undo_cwnd(sk: "struct sock *") -> "u32", OPERATORS, [];

    /// Congestion control: events of BBR.
    fn bbr_cwnd_event(sk: "struct sock *", event: "enum tcp_ca_event") -> "void", OPERATORS, [];

    /// Congestion control: the slow start threshold of BBR.
    fn bbr_ssthresh(sk: "struct sock *") -> "u32", OPERATORS, [];

    /// Congestion control: how many segments BBR sends at least.
    fn bbr_min_tso_segs(sk: "struct sock *") -> "u32", OPERATORS, [];

    /// Congestion control: changes of state of BBR.
    fn bbr_set_state(sk: "struct sock *", new_state: "u8") -> "void", OPERATORS, [];
}
