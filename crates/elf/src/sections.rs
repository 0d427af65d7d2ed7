//! What a section's name says about the programs in it: the rows of libbpf 1.8's table, in its order, and the looser
//! rule of the loaders before it.

use crate::{AttachType, ProgramType};

/// What is known about a program from the name of its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionKind {
    /// Its type.
    pub program_type: ProgramType,
    /// Where it expects to be attached; zero where the kernel asks for nothing.
    pub attach_type: AttachType,
    /// It may sleep (`BPF_F_SLEEPABLE`).
    pub sleepable: bool,
    /// It reads packets in fragments (`BPF_F_XDP_HAS_FRAGS`).
    pub fragments: bool,
    /// What stands behind the slash names something in the kernel's types that it is attached to.
    pub attaches_to_type: bool,
    /// It is a statically defined probe of a user program; attached through multiple user probes where the kernel
    /// has them, and then its attach type is [`AttachType::TRACE_UPROBE_MULTI`].
    pub usdt: bool,
}

impl SectionKind {
    /// What libbpf 1.x takes from a section's name; none if it does not know the name.
    ///
    /// ```
    /// use sandbpf_elf::{ProgramType, SectionKind};
    /// let kind = SectionKind::of("lsm.s/file_open").unwrap();
    /// assert_eq!(kind.program_type, ProgramType::LSM);
    /// assert!(kind.sleepable);
    /// assert_eq!(SectionKind::of("lsm.x/file_open"), None);
    /// ```
    pub fn of(section: &str) -> Option<Self> {
        SECTIONS.iter().find(|row| row.matches(section)).map(Row::kind)
    }

    /// What loaders before libbpf 1.0 took from it: the first row that the name begins with.
    pub fn legacy(section: &str) -> Option<Self> {
        let longest = SECTIONS
            .iter()
            .filter(|row| section.starts_with(row.name.trim_end_matches('+')))
            .max_by_key(|row| row.name.len());
        longest.map(Row::kind)
    }

    /// What bpftrace means by a section's name: `s_`, the probe, `_` and a number. It does not tell a loader, but sets the
    /// type itself.
    ///
    /// ```
    /// use sandbpf_elf::{ProgramType, SectionKind};
    /// assert_eq!(SectionKind::bpftrace("s_kretprobe:vfs_read_1"), Some(ProgramType::KPROBE));
    /// assert_eq!(SectionKind::bpftrace("s_interval_s_1_2"), Some(ProgramType::PERF_EVENT));
    /// assert_eq!(SectionKind::bpftrace("kprobe/vfs_read"), None);
    /// ```
    pub fn bpftrace(section: &str) -> Option<ProgramType> {
        let probe = section.strip_prefix("s_")?.split([':', '_']).next()?;
        Some(match probe {
            "kprobe" | "kretprobe" | "uprobe" | "uretprobe" | "usdt" | "BEGIN" | "END" => ProgramType::KPROBE,
            "tracepoint" => ProgramType::TRACEPOINT,
            "profile" | "interval" | "software" | "hardware" | "watchpoint" | "asyncwatchpoint" => {
                ProgramType::PERF_EVENT
            }
            "rawtracepoint" => ProgramType::RAW_TRACEPOINT,
            "kfunc" | "kretfunc" | "fentry" | "fexit" | "iter" => ProgramType::TRACING,
            _ => return None,
        })
    }

    /// The flags of loading that follow (`BPF_F_…`).
    pub fn program_flags(&self) -> u32 {
        u32::from(self.sleepable) << 4 | u32::from(self.fragments) << 5
    }
}

const SLEEPABLE: u8 = 1;
const XDP_FRAGS: u8 = 2;
const ATTACH_BTF: u8 = 4;
const USDT: u8 = 8;

struct Row {
    /// A `+` at the end: `/` and more may follow.
    name: &'static str,
    program_type: ProgramType,
    attach_type: AttachType,
    flags: u8,
}

const fn row(name: &'static str, program_type: ProgramType, attach_type: AttachType, flags: u8) -> Row {
    Row { name, program_type, attach_type, flags }
}

impl Row {
    fn matches(&self, section: &str) -> bool {
        match self.name.strip_suffix('+') {
            Some(prefix) => {
                section.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            None => section == self.name,
        }
    }

    fn kind(&self) -> SectionKind {
        SectionKind {
            program_type: self.program_type,
            attach_type: self.attach_type,
            sleepable: self.flags & SLEEPABLE != 0,
            fragments: self.flags & XDP_FRAGS != 0,
            attaches_to_type: self.flags & ATTACH_BTF != 0,
            usdt: self.flags & USDT != 0,
        }
    }
}

#[rustfmt::skip]
static SECTIONS: &[Row] = &[
    row("socket", ProgramType::SOCKET_FILTER, AttachType(0), 0),
    row("sk_reuseport/migrate", ProgramType::SK_REUSEPORT, AttachType::SK_REUSEPORT_SELECT_OR_MIGRATE, 0),
    row("sk_reuseport", ProgramType::SK_REUSEPORT, AttachType::SK_REUSEPORT_SELECT, 0),
    row("kprobe+", ProgramType::KPROBE, AttachType(0), 0),
    row("uprobe+", ProgramType::KPROBE, AttachType(0), 0),
    row("uprobe.s+", ProgramType::KPROBE, AttachType(0), SLEEPABLE),
    row("kretprobe+", ProgramType::KPROBE, AttachType(0), 0),
    row("uretprobe+", ProgramType::KPROBE, AttachType(0), 0),
    row("uretprobe.s+", ProgramType::KPROBE, AttachType(0), SLEEPABLE),
    row("kprobe.multi+", ProgramType::KPROBE, AttachType::TRACE_KPROBE_MULTI, 0),
    row("kretprobe.multi+", ProgramType::KPROBE, AttachType::TRACE_KPROBE_MULTI, 0),
    row("kprobe.session+", ProgramType::KPROBE, AttachType::TRACE_KPROBE_SESSION, 0),
    row("uprobe.multi+", ProgramType::KPROBE, AttachType::TRACE_UPROBE_MULTI, 0),
    row("uretprobe.multi+", ProgramType::KPROBE, AttachType::TRACE_UPROBE_MULTI, 0),
    row("uprobe.session+", ProgramType::KPROBE, AttachType::TRACE_UPROBE_SESSION, 0),
    row("uprobe.multi.s+", ProgramType::KPROBE, AttachType::TRACE_UPROBE_MULTI, SLEEPABLE),
    row("uretprobe.multi.s+", ProgramType::KPROBE, AttachType::TRACE_UPROBE_MULTI, SLEEPABLE),
    row("uprobe.session.s+", ProgramType::KPROBE, AttachType::TRACE_UPROBE_SESSION, SLEEPABLE),
    row("ksyscall+", ProgramType::KPROBE, AttachType(0), 0),
    row("kretsyscall+", ProgramType::KPROBE, AttachType(0), 0),
    row("usdt+", ProgramType::KPROBE, AttachType(0), USDT),
    row("usdt.s+", ProgramType::KPROBE, AttachType(0), USDT | SLEEPABLE),
    row("tc/ingress", ProgramType::SCHED_CLS, AttachType::TCX_INGRESS, 0),
    row("tc/egress", ProgramType::SCHED_CLS, AttachType::TCX_EGRESS, 0),
    row("tcx/ingress", ProgramType::SCHED_CLS, AttachType::TCX_INGRESS, 0),
    row("tcx/egress", ProgramType::SCHED_CLS, AttachType::TCX_EGRESS, 0),
    row("tc", ProgramType::SCHED_CLS, AttachType(0), 0),
    row("classifier", ProgramType::SCHED_CLS, AttachType(0), 0),
    row("action", ProgramType::SCHED_ACT, AttachType(0), 0),
    row("netkit/primary", ProgramType::SCHED_CLS, AttachType::NETKIT_PRIMARY, 0),
    row("netkit/peer", ProgramType::SCHED_CLS, AttachType::NETKIT_PEER, 0),
    row("tracepoint+", ProgramType::TRACEPOINT, AttachType(0), 0),
    row("tp+", ProgramType::TRACEPOINT, AttachType(0), 0),
    row("tracepoint.s+", ProgramType::TRACEPOINT, AttachType(0), SLEEPABLE),
    row("tp.s+", ProgramType::TRACEPOINT, AttachType(0), SLEEPABLE),
    row("raw_tracepoint+", ProgramType::RAW_TRACEPOINT, AttachType(0), 0),
    row("raw_tp+", ProgramType::RAW_TRACEPOINT, AttachType(0), 0),
    row("raw_tracepoint.s+", ProgramType::RAW_TRACEPOINT, AttachType(0), SLEEPABLE),
    row("raw_tp.s+", ProgramType::RAW_TRACEPOINT, AttachType(0), SLEEPABLE),
    row("raw_tracepoint.w+", ProgramType::RAW_TRACEPOINT_WRITABLE, AttachType(0), 0),
    row("raw_tp.w+", ProgramType::RAW_TRACEPOINT_WRITABLE, AttachType(0), 0),
    row("tp_btf+", ProgramType::TRACING, AttachType::TRACE_RAW_TP, ATTACH_BTF),
    row("tp_btf.s+", ProgramType::TRACING, AttachType::TRACE_RAW_TP, ATTACH_BTF | SLEEPABLE),
    row("fentry+", ProgramType::TRACING, AttachType::TRACE_FENTRY, ATTACH_BTF),
    row("fmod_ret+", ProgramType::TRACING, AttachType::MODIFY_RETURN, ATTACH_BTF),
    row("fexit+", ProgramType::TRACING, AttachType::TRACE_FEXIT, ATTACH_BTF),
    row("fentry.s+", ProgramType::TRACING, AttachType::TRACE_FENTRY, ATTACH_BTF | SLEEPABLE),
    row("fmod_ret.s+", ProgramType::TRACING, AttachType::MODIFY_RETURN, ATTACH_BTF | SLEEPABLE),
    row("fexit.s+", ProgramType::TRACING, AttachType::TRACE_FEXIT, ATTACH_BTF | SLEEPABLE),
    row("fsession+", ProgramType::TRACING, AttachType::TRACE_FSESSION, ATTACH_BTF),
    row("fsession.s+", ProgramType::TRACING, AttachType::TRACE_FSESSION, ATTACH_BTF | SLEEPABLE),
    row("fsession.multi+", ProgramType::TRACING, AttachType::TRACE_FSESSION_MULTI, 0),
    row("fsession.multi.s+", ProgramType::TRACING, AttachType::TRACE_FSESSION_MULTI, SLEEPABLE),
    row("fentry.multi+", ProgramType::TRACING, AttachType::TRACE_FENTRY_MULTI, 0),
    row("fexit.multi+", ProgramType::TRACING, AttachType::TRACE_FEXIT_MULTI, 0),
    row("fentry.multi.s+", ProgramType::TRACING, AttachType::TRACE_FENTRY_MULTI, SLEEPABLE),
    row("fexit.multi.s+", ProgramType::TRACING, AttachType::TRACE_FEXIT_MULTI, SLEEPABLE),
    row("freplace+", ProgramType::EXT, AttachType(0), ATTACH_BTF),
    row("lsm+", ProgramType::LSM, AttachType::LSM_MAC, ATTACH_BTF),
    row("lsm.s+", ProgramType::LSM, AttachType::LSM_MAC, ATTACH_BTF | SLEEPABLE),
    row("lsm_cgroup+", ProgramType::LSM, AttachType::LSM_CGROUP, ATTACH_BTF),
    row("iter+", ProgramType::TRACING, AttachType::TRACE_ITER, ATTACH_BTF),
    row("iter.s+", ProgramType::TRACING, AttachType::TRACE_ITER, ATTACH_BTF | SLEEPABLE),
    row("syscall", ProgramType::SYSCALL, AttachType(0), SLEEPABLE),
    row("xdp.frags/devmap", ProgramType::XDP, AttachType::XDP_DEVMAP, XDP_FRAGS),
    row("xdp/devmap", ProgramType::XDP, AttachType::XDP_DEVMAP, 0),
    row("xdp.frags/cpumap", ProgramType::XDP, AttachType::XDP_CPUMAP, XDP_FRAGS),
    row("xdp/cpumap", ProgramType::XDP, AttachType::XDP_CPUMAP, 0),
    row("xdp.frags", ProgramType::XDP, AttachType::XDP, XDP_FRAGS),
    row("xdp", ProgramType::XDP, AttachType::XDP, 0),
    row("perf_event", ProgramType::PERF_EVENT, AttachType(0), 0),
    row("lwt_in", ProgramType::LWT_IN, AttachType(0), 0),
    row("lwt_out", ProgramType::LWT_OUT, AttachType(0), 0),
    row("lwt_xmit", ProgramType::LWT_XMIT, AttachType(0), 0),
    row("lwt_seg6local", ProgramType::LWT_SEG6LOCAL, AttachType(0), 0),
    row("sockops", ProgramType::SOCK_OPS, AttachType::CGROUP_SOCK_OPS, 0),
    row("sk_skb/stream_parser", ProgramType::SK_SKB, AttachType::SK_SKB_STREAM_PARSER, 0),
    row("sk_skb/stream_verdict", ProgramType::SK_SKB, AttachType::SK_SKB_STREAM_VERDICT, 0),
    row("sk_skb/verdict", ProgramType::SK_SKB, AttachType::SK_SKB_VERDICT, 0),
    row("sk_skb", ProgramType::SK_SKB, AttachType(0), 0),
    row("sk_msg", ProgramType::SK_MSG, AttachType::SK_MSG_VERDICT, 0),
    row("lirc_mode2", ProgramType::LIRC_MODE2, AttachType::LIRC_MODE2, 0),
    row("flow_dissector", ProgramType::FLOW_DISSECTOR, AttachType::FLOW_DISSECTOR, 0),
    row("cgroup_skb/ingress", ProgramType::CGROUP_SKB, AttachType::CGROUP_INET_INGRESS, 0),
    row("cgroup_skb/egress", ProgramType::CGROUP_SKB, AttachType::CGROUP_INET_EGRESS, 0),
    row("cgroup/skb", ProgramType::CGROUP_SKB, AttachType(0), 0),
    row("cgroup/sock_create", ProgramType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_CREATE, 0),
    row("cgroup/sock_release", ProgramType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_RELEASE, 0),
    row("cgroup/sock", ProgramType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_CREATE, 0),
    row("cgroup/post_bind4", ProgramType::CGROUP_SOCK, AttachType::CGROUP_INET4_POST_BIND, 0),
    row("cgroup/post_bind6", ProgramType::CGROUP_SOCK, AttachType::CGROUP_INET6_POST_BIND, 0),
    row("cgroup/bind4", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_BIND, 0),
    row("cgroup/bind6", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_BIND, 0),
    row("cgroup/connect4", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_CONNECT, 0),
    row("cgroup/connect6", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_CONNECT, 0),
    row("cgroup/connect_unix", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_CONNECT, 0),
    row("cgroup/sendmsg4", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_SENDMSG, 0),
    row("cgroup/sendmsg6", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_SENDMSG, 0),
    row("cgroup/sendmsg_unix", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_SENDMSG, 0),
    row("cgroup/recvmsg4", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_RECVMSG, 0),
    row("cgroup/recvmsg6", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_RECVMSG, 0),
    row("cgroup/recvmsg_unix", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_RECVMSG, 0),
    row("cgroup/getpeername4", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETPEERNAME, 0),
    row("cgroup/getpeername6", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETPEERNAME, 0),
    row("cgroup/getpeername_unix", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_GETPEERNAME, 0),
    row("cgroup/getsockname4", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETSOCKNAME, 0),
    row("cgroup/getsockname6", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETSOCKNAME, 0),
    row("cgroup/getsockname_unix", ProgramType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_GETSOCKNAME, 0),
    row("cgroup/sysctl", ProgramType::CGROUP_SYSCTL, AttachType::CGROUP_SYSCTL, 0),
    row("cgroup/getsockopt", ProgramType::CGROUP_SOCKOPT, AttachType::CGROUP_GETSOCKOPT, 0),
    row("cgroup/setsockopt", ProgramType::CGROUP_SOCKOPT, AttachType::CGROUP_SETSOCKOPT, 0),
    row("cgroup/dev", ProgramType::CGROUP_DEVICE, AttachType::CGROUP_DEVICE, 0),
    row("struct_ops+", ProgramType::STRUCT_OPS, AttachType(0), 0),
    row("struct_ops.s+", ProgramType::STRUCT_OPS, AttachType(0), SLEEPABLE),
    row("sk_lookup", ProgramType::SK_LOOKUP, AttachType::SK_LOOKUP, 0),
    row("netfilter", ProgramType::NETFILTER, AttachType::NETFILTER, 0),
];
