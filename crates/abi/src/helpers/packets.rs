//! Packets: their bytes, checksums, headers, and where they go.

use super::table;

table! {
    /// Writes bytes into the packet, keeping its checksum or hash in step when `flags` asks.
    SKB_STORE_BYTES = 9 skb_store_bytes(skb: Context, offset: Anything, from: ReadMem, len: MemLen, flags: Anything) -> Scalar, [ChangesPacket];
    /// Corrects the network header's checksum for a field that changed.
    L3_CSUM_REPLACE = 10 l3_csum_replace(skb: Context, offset: Anything, from: Anything, to: Anything, size: Anything) -> Scalar, [ChangesPacket];
    /// Corrects the transport header's checksum, with the pseudo-header when asked.
    L4_CSUM_REPLACE = 11 l4_csum_replace(skb: Context, offset: Anything, from: Anything, to: Anything, flags: Anything) -> Scalar, [ChangesPacket];
    /// Sends a copy of the packet to another device.
    CLONE_REDIRECT = 13 clone_redirect(skb: Context, ifindex: Anything, flags: Anything) -> Scalar, [ChangesPacket];
    /// Pushes a VLAN tag.
    SKB_VLAN_PUSH = 18 skb_vlan_push(skb: Context, vlan_proto: Anything, vlan_tci: Anything) -> Scalar, [ChangesPacket];
    /// Pops a VLAN tag.
    SKB_VLAN_POP = 19 skb_vlan_pop(skb: Context) -> Scalar, [ChangesPacket];
    /// Reads what the tunnel that delivered the packet said of it.
    SKB_GET_TUNNEL_KEY = 20 skb_get_tunnel_key(skb: Context, key: WriteMem, size: MemLen, flags: Anything) -> Scalar, [];
    /// Says how a tunnel shall encapsulate the packet.
    SKB_SET_TUNNEL_KEY = 21 skb_set_tunnel_key(skb: Context, key: ReadMem, size: MemLen, flags: Anything) -> Scalar, [];
    /// Sends the packet to another device once the program returns.
    REDIRECT = 23 redirect(ifindex: Anything, flags: Anything) -> Scalar, [];
    /// The realm of the packet's route.
    GET_ROUTE_REALM = 24 get_route_realm(skb: Context) -> Scalar, [];
    /// Copies bytes out of the packet.
    SKB_LOAD_BYTES = 26 skb_load_bytes(skb: Context, offset: Anything, to: WriteMem, len: MemLen) -> Scalar, [];
    /// Sums the difference between two buffers, to feed a checksum.
    CSUM_DIFF = 28 csum_diff(from: ReadMemOrNull, from_size: MemLenOrZero, to: ReadMemOrNull, to_size: MemLenOrZero, seed: Anything) -> Scalar, [PacketMemory];
    /// Reads the tunnel's options.
    SKB_GET_TUNNEL_OPT = 29 skb_get_tunnel_opt(skb: Context, opt: WriteMem, size: MemLen) -> Scalar, [];
    /// Sets the tunnel's options.
    SKB_SET_TUNNEL_OPT = 30 skb_set_tunnel_opt(skb: Context, opt: ReadMem, size: MemLen) -> Scalar, [];
    /// Turns an IPv4 packet into IPv6 or back, headers left to the program.
    SKB_CHANGE_PROTO = 31 skb_change_proto(skb: Context, proto: Anything, flags: Anything) -> Scalar, [ChangesPacket];
    /// Changes whom the packet is for (`PACKET_HOST`, …).
    SKB_CHANGE_TYPE = 32 skb_change_type(skb: Context, r#type: Anything) -> Scalar, [];
    /// Whether the packet's socket is below a cgroup.
    SKB_UNDER_CGROUP = 33 skb_under_cgroup(skb: Context, map: Map, index: Anything) -> Scalar, [];
    /// The packet's flow hash, computed when it is not there.
    GET_HASH_RECALC = 34 get_hash_recalc(skb: Context) -> Scalar, [];
    /// Grows or trims the packet at its end.
    SKB_CHANGE_TAIL = 38 skb_change_tail(skb: Context, len: Anything, flags: Anything) -> Scalar, [ChangesPacket];
    /// Makes so many bytes of the packet directly readable.
    SKB_PULL_DATA = 39 skb_pull_data(skb: Context, len: Anything) -> Scalar, [ChangesPacket];
    /// Adds to the packet's checksum.
    CSUM_UPDATE = 40 csum_update(skb: Context, csum: Anything) -> Scalar, [];
    /// Forgets the packet's flow hash.
    SET_HASH_INVALID = 41 set_hash_invalid(skb: Context) -> Scalar, [];
    /// Makes room before the packet for another link-layer header.
    SKB_CHANGE_HEAD = 43 skb_change_head(skb: Context, len: Anything, flags: Anything) -> Scalar, [ChangesPacket];
    /// Moves the start of the packet.
    XDP_ADJUST_HEAD = 44 xdp_adjust_head(xdp_md: Context, delta: Anything) -> Scalar, [ChangesPacket];
    /// Sets the packet's flow hash.
    SET_HASH = 48 set_hash(skb: Context, hash: Anything) -> Scalar, [];
    /// Grows or shrinks the packet between its headers.
    SKB_ADJUST_ROOM = 50 skb_adjust_room(skb: Context, len_diff: Anything, mode: Anything, flags: Anything) -> Scalar, [ChangesPacket];
    /// Sends the packet to a device, processor or socket that a map names.
    REDIRECT_MAP = 51 redirect_map(map: Map, key: Anything, flags: Anything) -> Scalar, [];
    /// Moves the start of the metadata before the packet.
    XDP_ADJUST_META = 54 xdp_adjust_meta(xdp_md: Context, delta: Anything) -> Scalar, [ChangesPacket];
    /// Lets the verdict hold for so many bytes of the stream.
    MSG_APPLY_BYTES = 61 msg_apply_bytes(msg: Context, bytes: Anything) -> Scalar, [];
    /// Waits for so many bytes before a verdict is asked.
    MSG_CORK_BYTES = 62 msg_cork_bytes(msg: Context, bytes: Anything) -> Scalar, [];
    /// Makes a range of the message directly readable.
    MSG_PULL_DATA = 63 msg_pull_data(msg: Context, start: Anything, end: Anything, flags: Anything) -> Scalar, [ChangesPacket];
    /// Moves the end of the packet.
    XDP_ADJUST_TAIL = 65 xdp_adjust_tail(xdp_md: Context, delta: Anything) -> Scalar, [ChangesPacket];
    /// Reads one state of the packet's security path.
    SKB_GET_XFRM_STATE = 66 skb_get_xfrm_state(skb: Context, index: Anything, xfrm_state: WriteMem, size: MemLen, flags: Anything) -> Scalar, [];
    /// Copies bytes out of the packet, counted from its link or network header.
    SKB_LOAD_BYTES_RELATIVE = 68 skb_load_bytes_relative(skb: Context, offset: Anything, to: WriteMem, len: MemLen, start_header: Anything) -> Scalar, [];
    /// Asks the routing table where the packet would go.
    FIB_LOOKUP = 69 fib_lookup(ctx: Context, params: UpdateMem, plen: MemLen, flags: Anything) -> Scalar, [GplOnly];
    /// Puts another header before the packet's.
    LWT_PUSH_ENCAP = 73 lwt_push_encap(skb: Context, r#type: Anything, hdr: ReadMem, len: MemLen) -> Scalar, [ChangesPacket];
    /// Writes bytes of a segment routing header.
    LWT_SEG6_STORE_BYTES = 74 lwt_seg6_store_bytes(skb: Context, offset: Anything, from: ReadMem, len: MemLen) -> Scalar, [ChangesPacket];
    /// Grows or shrinks the options of a segment routing header.
    LWT_SEG6_ADJUST_SRH = 75 lwt_seg6_adjust_srh(skb: Context, offset: Anything, delta: Anything) -> Scalar, [ChangesPacket];
    /// Applies an action of segment routing.
    LWT_SEG6_ACTION = 76 lwt_seg6_action(skb: Context, action: Anything, param: ReadMem, param_len: MemLen) -> Scalar, [ChangesPacket];
    /// The id of the cgroup of the packet's socket.
    SKB_CGROUP_ID = 79 skb_cgroup_id(skb: Context) -> Scalar, [];
    /// The id of an ancestor of the cgroup of the packet's socket.
    SKB_ANCESTOR_CGROUP_ID = 83 skb_ancestor_cgroup_id(skb: Context, ancestor_level: Anything) -> Scalar, [];
    /// Inserts bytes into a message.
    MSG_PUSH_DATA = 90 msg_push_data(msg: Context, start: Anything, len: Anything, flags: Anything) -> Scalar, [ChangesPacket];
    /// Takes bytes out of a message.
    MSG_POP_DATA = 91 msg_pop_data(msg: Context, start: Anything, len: Anything, flags: Anything) -> Scalar, [ChangesPacket];
    /// Marks the packet as having met congestion.
    SKB_ECN_SET_CE = 97 skb_ecn_set_ce(skb: Context) -> Scalar, [];
    /// Changes or asks how many checksums of the packet the device has checked.
    CSUM_LEVEL = 135 csum_level(skb: Context, level: Anything) -> Scalar, [];
    /// The traffic control class of the packet's socket.
    SKB_CGROUP_CLASSID = 151 skb_cgroup_classid(skb: Context) -> Scalar, [];
    /// Sends the packet to another device, its link header filled in by the neighbour table.
    REDIRECT_NEIGH = 152 redirect_neigh(ifindex: Anything, params: ReadMemOrNull, plen: MemLenOrZero, flags: Anything) -> Scalar, [];
    /// Sends the packet to the other end of a device pair, in its namespace.
    REDIRECT_PEER = 155 redirect_peer(ifindex: Anything, flags: Anything) -> Scalar, [];
    /// Whether the packet, changed by so many bytes, still fits a device.
    CHECK_MTU = 163 check_mtu(ctx: Context, ifindex: Anything, mtu_len: FixedUpdate(4), len_diff: Anything, flags: Anything) -> Scalar, [GplOnly];
    /// The length of the packet with all its fragments.
    XDP_GET_BUFF_LEN = 188 xdp_get_buff_len(xdp_md: Context) -> Scalar, [];
    /// The length of the packet with all its fragments.
    XDP_GET_BUFF_LEN_TRACING = 188 xdp_get_buff_len(xdp: Btf("xdp_buff")) -> Scalar, [];
    /// Copies bytes out of the packet, fragments included.
    XDP_LOAD_BYTES = 189 xdp_load_bytes(xdp_md: Context, offset: Anything, buf: WriteMem, len: MemLen) -> Scalar, [];
    /// Writes bytes into the packet, fragments included.
    XDP_STORE_BYTES = 190 xdp_store_bytes(xdp_md: Context, offset: Anything, buf: ReadMem, len: MemLen) -> Scalar, [];
    /// Sets the packet's time and its clock.
    SKB_SET_TSTAMP = 192 skb_set_tstamp(skb: Context, tstamp: Anything, tstamp_type: Anything) -> Scalar, [];
}
