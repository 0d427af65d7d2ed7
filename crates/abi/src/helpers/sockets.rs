//! Sockets: finding them, their options and identities; the hooks around them.

use super::table;

table! {
    /// A number that identifies the socket for its lifetime.
    GET_SOCKET_COOKIE = 46 get_socket_cookie(skb: Context) -> Scalar, [];
    /// A number that identifies the socket for its lifetime.
    GET_SOCKET_COOKIE_SK = 46 get_socket_cookie(sk: AnySockOrNull) -> Scalar, [];
    /// The user who owns the packet's socket.
    GET_SOCKET_UID = 47 get_socket_uid(skb: Context) -> Scalar, [];
    /// Sets an option of a socket.
    SETSOCKOPT = 49 setsockopt(bpf_socket: Context, level: Anything, optname: Anything, optval: ReadMem, optlen: MemLen) -> Scalar, [];
    /// Sets an option of a socket.
    SETSOCKOPT_SK = 49 setsockopt(sk: AnySock, level: Anything, optname: Anything, optval: ReadMem, optlen: MemLen) -> Scalar, [];
    /// Sends the packet to a socket of a sockmap.
    SK_REDIRECT_MAP = 52 sk_redirect_map(skb: Context, map: Map, key: Anything, flags: Anything) -> Scalar, [];
    /// Reads an option of a socket.
    GETSOCKOPT = 57 getsockopt(bpf_socket: Context, level: Anything, optname: Anything, optval: WriteMem, optlen: MemLen) -> Scalar, [];
    /// Reads an option of a socket.
    GETSOCKOPT_SK = 57 getsockopt(sk: AnySock, level: Anything, optname: Anything, optval: WriteMem, optlen: MemLen) -> Scalar, [];
    /// Chooses the events that the socket reports from now on.
    SOCK_OPS_CB_FLAGS_SET = 59 sock_ops_cb_flags_set(bpf_sock: Context, argval: Anything) -> Scalar, [];
    /// Sends the message to a socket of a sockmap.
    MSG_REDIRECT_MAP = 60 msg_redirect_map(msg: Context, map: Map, key: Anything, flags: Anything) -> Scalar, [];
    /// Binds the connecting socket to a local address.
    BIND = 64 bind(ctx: Context, addr: ReadMem, addr_len: MemLen) -> Scalar, [];
    /// Puts the socket into a sockhash.
    SOCK_HASH_UPDATE = 70 sock_hash_update(skops: Context, map: Map, key: MapKey, flags: Anything) -> Scalar, [PacketMemory];
    /// Sends the message to a socket of a sockhash.
    MSG_REDIRECT_HASH = 71 msg_redirect_hash(msg: Context, map: Map, key: MapKey, flags: Anything) -> Scalar, [];
    /// Sends the packet to a socket of a sockhash.
    SK_REDIRECT_HASH = 72 sk_redirect_hash(skb: Context, map: Map, key: MapKey, flags: Anything) -> Scalar, [];
    /// Reports that the last key of a remote control is still held.
    RC_REPEAT = 77 rc_repeat(ctx: Context) -> Scalar, [GplOnly];
    /// Reports a key of a remote control.
    RC_KEYDOWN = 78 rc_keydown(ctx: Context, protocol: Anything, scancode: Anything, toggle: Anything) -> Scalar, [GplOnly];
    /// Chooses the socket of a reuseport group that takes the packet.
    SK_SELECT_REUSEPORT = 82 sk_select_reuseport(reuse: Context, map: Map, key: MapKey, flags: Anything) -> Scalar, [];
    /// Finds a TCP socket by addresses and ports; what it finds must be released.
    SK_LOOKUP_TCP = 84 sk_lookup_tcp(ctx: Context, tuple: ReadMem, tuple_size: MemLenOrZero, netns: Anything, flags: Anything) -> SocketOrNull, [PacketMemory, Acquires];
    /// Finds a TCP socket by addresses and ports; what it finds must be released.
    SK_LOOKUP_TCP_SOCK_ADDR = 84 sk_lookup_tcp(ctx: Context, tuple: ReadMem, tuple_size: MemLenOrZero, netns: Anything, flags: Anything) -> SocketOrNull, [Acquires];
    /// Finds a UDP socket by addresses and ports; what it finds must be released.
    SK_LOOKUP_UDP = 85 sk_lookup_udp(ctx: Context, tuple: ReadMem, tuple_size: MemLenOrZero, netns: Anything, flags: Anything) -> SocketOrNull, [PacketMemory, Acquires];
    /// Finds a UDP socket by addresses and ports; what it finds must be released.
    SK_LOOKUP_UDP_SOCK_ADDR = 85 sk_lookup_udp(ctx: Context, tuple: ReadMem, tuple_size: MemLenOrZero, netns: Anything, flags: Anything) -> SocketOrNull, [Acquires];
    /// Gives a socket back.
    SK_RELEASE = 86 sk_release(sock: ReleasedSock) -> Scalar, [];
    /// Reports a movement of a remote control's pointer.
    RC_POINTER_REL = 92 rc_pointer_rel(ctx: Context, rel_x: Anything, rel_y: Anything) -> Scalar, [GplOnly];
    /// The full socket of a socket, when it is one.
    SK_FULLSOCK = 95 sk_fullsock(sk: SockCommon) -> SocketOrNull, [];
    /// The TCP socket of a socket, when it is one.
    TCP_SOCK = 96 tcp_sock(sk: SockCommon) -> TcpSockOrNull, [];
    /// The listening socket of a socket.
    GET_LISTENER_SOCK = 98 get_listener_sock(sk: SockCommon) -> SocketOrNull, [];
    /// Finds a TCP socket, also one that is only being set up; what it finds must be released.
    SKC_LOOKUP_TCP = 99 skc_lookup_tcp(ctx: Context, tuple: ReadMem, tuple_size: MemLenOrZero, netns: Anything, flags: Anything) -> SockCommonOrNull, [PacketMemory, Acquires];
    /// Finds a TCP socket, also one that is only being set up; what it finds must be released.
    SKC_LOOKUP_TCP_SOCK_ADDR = 99 skc_lookup_tcp(ctx: Context, tuple: ReadMem, tuple_size: MemLenOrZero, netns: Anything, flags: Anything) -> SockCommonOrNull, [Acquires];
    /// Whether an acknowledgement carries a valid SYN cookie.
    TCP_CHECK_SYNCOOKIE = 100 tcp_check_syncookie(sk: AnySock, iph: ReadMem, iph_len: MemLen, th: ReadMem, th_len: MemLen) -> Scalar, [GplOnly, PacketMemory];
    /// The name of the variable.
    SYSCTL_GET_NAME = 101 sysctl_get_name(ctx: Context, buf: UpdateMem, buf_len: MemLen, flags: Anything) -> Scalar, [];
    /// The value that the variable has.
    SYSCTL_GET_CURRENT_VALUE = 102 sysctl_get_current_value(ctx: Context, buf: WriteMem, buf_len: MemLen) -> Scalar, [];
    /// The value that is about to be written.
    SYSCTL_GET_NEW_VALUE = 103 sysctl_get_new_value(ctx: Context, buf: WriteMem, buf_len: MemLen) -> Scalar, [];
    /// Replaces the value that is about to be written.
    SYSCTL_SET_NEW_VALUE = 104 sysctl_set_new_value(ctx: Context, buf: ReadMem, buf_len: MemLen) -> Scalar, [];
    /// Makes a SYN cookie for a packet and a listening socket.
    TCP_GEN_SYNCOOKIE = 110 tcp_gen_syncookie(sk: AnySock, iph: ReadMem, iph_len: MemLen, th: ReadMem, th_len: MemLen) -> Scalar, [GplOnly, PacketMemory];
    /// Sends an acknowledgement (congestion control only).
    TCP_SEND_ACK = 116 tcp_send_ack(tp: Btf("tcp_sock"), rcv_nxt: Anything) -> Scalar, [];
    /// A number that identifies the network namespace.
    GET_NETNS_COOKIE = 122 get_netns_cookie(ctx: ContextOrNull) -> Scalar, [];
    /// Gives the packet, or the lookup, to a socket.
    SK_ASSIGN = 124 sk_assign(skb: Context, sk: AnySock, flags: Anything) -> Scalar, [];
    /// Gives the packet, or the lookup, to a socket.
    SK_ASSIGN_LOOKUP = 124 sk_assign(skb: Context, sk: SocketOrNull, flags: Anything) -> Scalar, [];
    /// The id of a socket's cgroup.
    SK_CGROUP_ID = 128 sk_cgroup_id(sk: AnySock) -> Scalar, [];
    /// The id of an ancestor of a socket's cgroup.
    SK_ANCESTOR_CGROUP_ID = 129 sk_ancestor_cgroup_id(sk: AnySock, ancestor_level: Anything) -> Scalar, [];
    /// The socket as `struct tcp6_sock`, when it is one.
    SKC_TO_TCP6_SOCK = 136 skc_to_tcp6_sock(sk: AnySock) -> BtfOrNull("tcp6_sock"), [];
    /// The socket as `struct tcp_sock`, when it is one.
    SKC_TO_TCP_SOCK = 137 skc_to_tcp_sock(sk: AnySock) -> BtfOrNull("tcp_sock"), [];
    /// The socket as `struct tcp_timewait_sock`, when it is one.
    SKC_TO_TCP_TIMEWAIT_SOCK = 138 skc_to_tcp_timewait_sock(sk: AnySock) -> BtfOrNull("tcp_timewait_sock"), [];
    /// The socket as `struct tcp_request_sock`, when it is one.
    SKC_TO_TCP_REQUEST_SOCK = 139 skc_to_tcp_request_sock(sk: AnySock) -> BtfOrNull("tcp_request_sock"), [];
    /// The socket as `struct udp6_sock`, when it is one.
    SKC_TO_UDP6_SOCK = 140 skc_to_udp6_sock(sk: AnySock) -> BtfOrNull("udp6_sock"), [];
    /// Reads an option of the TCP header.
    LOAD_HDR_OPT = 142 load_hdr_opt(skops: Context, searchby_res: UpdateMem, len: MemLen, flags: Anything) -> Scalar, [];
    /// Writes an option of the TCP header.
    STORE_HDR_OPT = 143 store_hdr_opt(skops: Context, from: ReadMem, len: MemLen, flags: Anything) -> Scalar, [ChangesPacket];
    /// Reserves room for an option of the TCP header.
    RESERVE_HDR_OPT = 144 reserve_hdr_opt(skops: Context, len: Anything, flags: Anything) -> Scalar, [];
    /// The socket behind a file, when it is one.
    SOCK_FROM_FILE = 162 sock_from_file(file: Btf("file")) -> BtfOrNull("socket"), [];
    /// The socket as `struct unix_sock`, when it is one.
    SKC_TO_UNIX_SOCK = 178 skc_to_unix_sock(sk: AnySock) -> BtfOrNull("unix_sock"), [];
    /// The value that the hook will return to the caller.
    GET_RETVAL = 186 get_retval() -> Scalar, [];
    /// Sets the value that the hook will return to the caller.
    SET_RETVAL = 187 set_retval(retval: Anything) -> Scalar, [];
    /// The socket as `struct mptcp_sock`, when it is one.
    SKC_TO_MPTCP_SOCK = 196 skc_to_mptcp_sock(sk: SockCommon) -> BtfOrNull("mptcp_sock"), [];
    /// Makes a SYN cookie from IPv4 and TCP headers, without a socket.
    TCP_RAW_GEN_SYNCOOKIE_IPV4 = 204 tcp_raw_gen_syncookie_ipv4(iph: FixedMem(20), th: ReadMem, th_len: MemLenOrZero) -> Scalar, [GplOnly, PacketMemory];
    /// Makes a SYN cookie from IPv6 and TCP headers, without a socket.
    TCP_RAW_GEN_SYNCOOKIE_IPV6 = 205 tcp_raw_gen_syncookie_ipv6(iph: FixedMem(40), th: ReadMem, th_len: MemLenOrZero) -> Scalar, [GplOnly, PacketMemory];
    /// Checks a SYN cookie against IPv4 and TCP headers, without a socket.
    TCP_RAW_CHECK_SYNCOOKIE_IPV4 = 206 tcp_raw_check_syncookie_ipv4(iph: FixedMem(20), th: FixedMem(20)) -> Scalar, [GplOnly, PacketMemory];
    /// Checks a SYN cookie against IPv6 and TCP headers, without a socket.
    TCP_RAW_CHECK_SYNCOOKIE_IPV6 = 207 tcp_raw_check_syncookie_ipv6(iph: FixedMem(40), th: FixedMem(20)) -> Scalar, [GplOnly, PacketMemory];
}
