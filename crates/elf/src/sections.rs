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
    /// assert_eq!(kind.program_type, ProgramType::Lsm);
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
    /// assert_eq!(SectionKind::bpftrace("s_kretprobe:vfs_read_1"), Some(ProgramType::Kprobe));
    /// assert_eq!(SectionKind::bpftrace("s_interval_s_1_2"), Some(ProgramType::PerfEvent));
    /// assert_eq!(SectionKind::bpftrace("kprobe/vfs_read"), None);
    /// ```
    pub fn bpftrace(section: &str) -> Option<ProgramType> {
        let probe = section.strip_prefix("s_")?.split([':', '_']).next()?;
        Some(match probe {
            "kprobe" | "kretprobe" | "uprobe" | "uretprobe" | "usdt" | "BEGIN" | "END" => ProgramType::Kprobe,
            "tracepoint" => ProgramType::Tracepoint,
            "profile" | "interval" | "software" | "hardware" | "watchpoint" | "asyncwatchpoint" => {
                ProgramType::PerfEvent
            }
            "rawtracepoint" => ProgramType::RawTracepoint,
            "kfunc" | "kretfunc" | "fentry" | "fexit" | "iter" => ProgramType::Tracing,
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

/// Places that libbpf knows and Linux 6.18 does not have yet.
mod newer {
    use crate::AttachType;

    pub(super) const TRACE_FSESSION: AttachType = AttachType(58);
    pub(super) const TRACE_FENTRY_MULTI: AttachType = AttachType(59);
    pub(super) const TRACE_FEXIT_MULTI: AttachType = AttachType(60);
    pub(super) const TRACE_FSESSION_MULTI: AttachType = AttachType(61);
}

#[rustfmt::skip]
static SECTIONS: &[Row] = &[
    row("socket", ProgramType::SocketFilter, AttachType(0), 0),
    row("sk_reuseport/migrate", ProgramType::SkReuseport, AttachType::SK_REUSEPORT_SELECT_OR_MIGRATE, 0),
    row("sk_reuseport", ProgramType::SkReuseport, AttachType::SK_REUSEPORT_SELECT, 0),
    row("kprobe+", ProgramType::Kprobe, AttachType(0), 0),
    row("uprobe+", ProgramType::Kprobe, AttachType(0), 0),
    row("uprobe.s+", ProgramType::Kprobe, AttachType(0), SLEEPABLE),
    row("kretprobe+", ProgramType::Kprobe, AttachType(0), 0),
    row("uretprobe+", ProgramType::Kprobe, AttachType(0), 0),
    row("uretprobe.s+", ProgramType::Kprobe, AttachType(0), SLEEPABLE),
    row("kprobe.multi+", ProgramType::Kprobe, AttachType::TRACE_KPROBE_MULTI, 0),
    row("kretprobe.multi+", ProgramType::Kprobe, AttachType::TRACE_KPROBE_MULTI, 0),
    row("kprobe.session+", ProgramType::Kprobe, AttachType::TRACE_KPROBE_SESSION, 0),
    row("uprobe.multi+", ProgramType::Kprobe, AttachType::TRACE_UPROBE_MULTI, 0),
    row("uretprobe.multi+", ProgramType::Kprobe, AttachType::TRACE_UPROBE_MULTI, 0),
    row("uprobe.session+", ProgramType::Kprobe, AttachType::TRACE_UPROBE_SESSION, 0),
    row("uprobe.multi.s+", ProgramType::Kprobe, AttachType::TRACE_UPROBE_MULTI, SLEEPABLE),
    row("uretprobe.multi.s+", ProgramType::Kprobe, AttachType::TRACE_UPROBE_MULTI, SLEEPABLE),
    row("uprobe.session.s+", ProgramType::Kprobe, AttachType::TRACE_UPROBE_SESSION, SLEEPABLE),
    row("ksyscall+", ProgramType::Kprobe, AttachType(0), 0),
    row("kretsyscall+", ProgramType::Kprobe, AttachType(0), 0),
    row("usdt+", ProgramType::Kprobe, AttachType(0), USDT),
    row("usdt.s+", ProgramType::Kprobe, AttachType(0), USDT | SLEEPABLE),
    row("tc/ingress", ProgramType::SchedCls, AttachType::TCX_INGRESS, 0),
    row("tc/egress", ProgramType::SchedCls, AttachType::TCX_EGRESS, 0),
    row("tcx/ingress", ProgramType::SchedCls, AttachType::TCX_INGRESS, 0),
    row("tcx/egress", ProgramType::SchedCls, AttachType::TCX_EGRESS, 0),
    row("tc", ProgramType::SchedCls, AttachType(0), 0),
    row("classifier", ProgramType::SchedCls, AttachType(0), 0),
    row("action", ProgramType::SchedAct, AttachType(0), 0),
    row("netkit/primary", ProgramType::SchedCls, AttachType::NETKIT_PRIMARY, 0),
    row("netkit/peer", ProgramType::SchedCls, AttachType::NETKIT_PEER, 0),
    row("tracepoint+", ProgramType::Tracepoint, AttachType(0), 0),
    row("tp+", ProgramType::Tracepoint, AttachType(0), 0),
    row("tracepoint.s+", ProgramType::Tracepoint, AttachType(0), SLEEPABLE),
    row("tp.s+", ProgramType::Tracepoint, AttachType(0), SLEEPABLE),
    row("raw_tracepoint+", ProgramType::RawTracepoint, AttachType(0), 0),
    row("raw_tp+", ProgramType::RawTracepoint, AttachType(0), 0),
    row("raw_tracepoint.s+", ProgramType::RawTracepoint, AttachType(0), SLEEPABLE),
    row("raw_tp.s+", ProgramType::RawTracepoint, AttachType(0), SLEEPABLE),
    row("raw_tracepoint.w+", ProgramType::RawTracepointWritable, AttachType(0), 0),
    row("raw_tp.w+", ProgramType::RawTracepointWritable, AttachType(0), 0),
    row("tp_btf+", ProgramType::Tracing, AttachType::TRACE_RAW_TP, ATTACH_BTF),
    row("tp_btf.s+", ProgramType::Tracing, AttachType::TRACE_RAW_TP, ATTACH_BTF | SLEEPABLE),
    row("fentry+", ProgramType::Tracing, AttachType::TRACE_FENTRY, ATTACH_BTF),
    row("fmod_ret+", ProgramType::Tracing, AttachType::MODIFY_RETURN, ATTACH_BTF),
    row("fexit+", ProgramType::Tracing, AttachType::TRACE_FEXIT, ATTACH_BTF),
    row("fentry.s+", ProgramType::Tracing, AttachType::TRACE_FENTRY, ATTACH_BTF | SLEEPABLE),
    row("fmod_ret.s+", ProgramType::Tracing, AttachType::MODIFY_RETURN, ATTACH_BTF | SLEEPABLE),
    row("fexit.s+", ProgramType::Tracing, AttachType::TRACE_FEXIT, ATTACH_BTF | SLEEPABLE),
    row("fsession+", ProgramType::Tracing, newer::TRACE_FSESSION, ATTACH_BTF),
    row("fsession.s+", ProgramType::Tracing, newer::TRACE_FSESSION, ATTACH_BTF | SLEEPABLE),
    row("fsession.multi+", ProgramType::Tracing, newer::TRACE_FSESSION_MULTI, 0),
    row("fsession.multi.s+", ProgramType::Tracing, newer::TRACE_FSESSION_MULTI, SLEEPABLE),
    row("fentry.multi+", ProgramType::Tracing, newer::TRACE_FENTRY_MULTI, 0),
    row("fexit.multi+", ProgramType::Tracing, newer::TRACE_FEXIT_MULTI, 0),
    row("fentry.multi.s+", ProgramType::Tracing, newer::TRACE_FENTRY_MULTI, SLEEPABLE),
    row("fexit.multi.s+", ProgramType::Tracing, newer::TRACE_FEXIT_MULTI, SLEEPABLE),
    row("freplace+", ProgramType::Ext, AttachType(0), ATTACH_BTF),
    row("lsm+", ProgramType::Lsm, AttachType::LSM_MAC, ATTACH_BTF),
    row("lsm.s+", ProgramType::Lsm, AttachType::LSM_MAC, ATTACH_BTF | SLEEPABLE),
    row("lsm_cgroup+", ProgramType::Lsm, AttachType::LSM_CGROUP, ATTACH_BTF),
    row("iter+", ProgramType::Tracing, AttachType::TRACE_ITER, ATTACH_BTF),
    row("iter.s+", ProgramType::Tracing, AttachType::TRACE_ITER, ATTACH_BTF | SLEEPABLE),
    row("syscall", ProgramType::Syscall, AttachType(0), SLEEPABLE),
    row("xdp.frags/devmap", ProgramType::Xdp, AttachType::XDP_DEVMAP, XDP_FRAGS),
    row("xdp/devmap", ProgramType::Xdp, AttachType::XDP_DEVMAP, 0),
    row("xdp.frags/cpumap", ProgramType::Xdp, AttachType::XDP_CPUMAP, XDP_FRAGS),
    row("xdp/cpumap", ProgramType::Xdp, AttachType::XDP_CPUMAP, 0),
    row("xdp.frags", ProgramType::Xdp, AttachType::XDP, XDP_FRAGS),
    row("xdp", ProgramType::Xdp, AttachType::XDP, 0),
    row("perf_event", ProgramType::PerfEvent, AttachType(0), 0),
    row("lwt_in", ProgramType::LwtIn, AttachType(0), 0),
    row("lwt_out", ProgramType::LwtOut, AttachType(0), 0),
    row("lwt_xmit", ProgramType::LwtXmit, AttachType(0), 0),
    row("lwt_seg6local", ProgramType::LwtSeg6local, AttachType(0), 0),
    row("sockops", ProgramType::SockOps, AttachType::CGROUP_SOCK_OPS, 0),
    row("sk_skb/stream_parser", ProgramType::SkSkb, AttachType::SK_SKB_STREAM_PARSER, 0),
    row("sk_skb/stream_verdict", ProgramType::SkSkb, AttachType::SK_SKB_STREAM_VERDICT, 0),
    row("sk_skb/verdict", ProgramType::SkSkb, AttachType::SK_SKB_VERDICT, 0),
    row("sk_skb", ProgramType::SkSkb, AttachType(0), 0),
    row("sk_msg", ProgramType::SkMsg, AttachType::SK_MSG_VERDICT, 0),
    row("lirc_mode2", ProgramType::LircMode2, AttachType::LIRC_MODE2, 0),
    row("flow_dissector", ProgramType::FlowDissector, AttachType::FLOW_DISSECTOR, 0),
    row("cgroup_skb/ingress", ProgramType::CgroupSkb, AttachType::CGROUP_INET_INGRESS, 0),
    row("cgroup_skb/egress", ProgramType::CgroupSkb, AttachType::CGROUP_INET_EGRESS, 0),
    row("cgroup/skb", ProgramType::CgroupSkb, AttachType(0), 0),
    row("cgroup/sock_create", ProgramType::CgroupSock, AttachType::CGROUP_INET_SOCK_CREATE, 0),
    row("cgroup/sock_release", ProgramType::CgroupSock, AttachType::CGROUP_INET_SOCK_RELEASE, 0),
    row("cgroup/sock", ProgramType::CgroupSock, AttachType::CGROUP_INET_SOCK_CREATE, 0),
    row("cgroup/post_bind4", ProgramType::CgroupSock, AttachType::CGROUP_INET4_POST_BIND, 0),
    row("cgroup/post_bind6", ProgramType::CgroupSock, AttachType::CGROUP_INET6_POST_BIND, 0),
    row("cgroup/bind4", ProgramType::CgroupSockAddr, AttachType::CGROUP_INET4_BIND, 0),
    row("cgroup/bind6", ProgramType::CgroupSockAddr, AttachType::CGROUP_INET6_BIND, 0),
    row("cgroup/connect4", ProgramType::CgroupSockAddr, AttachType::CGROUP_INET4_CONNECT, 0),
    row("cgroup/connect6", ProgramType::CgroupSockAddr, AttachType::CGROUP_INET6_CONNECT, 0),
    row("cgroup/connect_unix", ProgramType::CgroupSockAddr, AttachType::CGROUP_UNIX_CONNECT, 0),
    row("cgroup/sendmsg4", ProgramType::CgroupSockAddr, AttachType::CGROUP_UDP4_SENDMSG, 0),
    row("cgroup/sendmsg6", ProgramType::CgroupSockAddr, AttachType::CGROUP_UDP6_SENDMSG, 0),
    row("cgroup/sendmsg_unix", ProgramType::CgroupSockAddr, AttachType::CGROUP_UNIX_SENDMSG, 0),
    row("cgroup/recvmsg4", ProgramType::CgroupSockAddr, AttachType::CGROUP_UDP4_RECVMSG, 0),
    row("cgroup/recvmsg6", ProgramType::CgroupSockAddr, AttachType::CGROUP_UDP6_RECVMSG, 0),
    row("cgroup/recvmsg_unix", ProgramType::CgroupSockAddr, AttachType::CGROUP_UNIX_RECVMSG, 0),
    row("cgroup/getpeername4", ProgramType::CgroupSockAddr, AttachType::CGROUP_INET4_GETPEERNAME, 0),
    row("cgroup/getpeername6", ProgramType::CgroupSockAddr, AttachType::CGROUP_INET6_GETPEERNAME, 0),
    row("cgroup/getpeername_unix", ProgramType::CgroupSockAddr, AttachType::CGROUP_UNIX_GETPEERNAME, 0),
    row("cgroup/getsockname4", ProgramType::CgroupSockAddr, AttachType::CGROUP_INET4_GETSOCKNAME, 0),
    row("cgroup/getsockname6", ProgramType::CgroupSockAddr, AttachType::CGROUP_INET6_GETSOCKNAME, 0),
    row("cgroup/getsockname_unix", ProgramType::CgroupSockAddr, AttachType::CGROUP_UNIX_GETSOCKNAME, 0),
    row("cgroup/sysctl", ProgramType::CgroupSysctl, AttachType::CGROUP_SYSCTL, 0),
    row("cgroup/getsockopt", ProgramType::CgroupSockopt, AttachType::CGROUP_GETSOCKOPT, 0),
    row("cgroup/setsockopt", ProgramType::CgroupSockopt, AttachType::CGROUP_SETSOCKOPT, 0),
    row("cgroup/dev", ProgramType::CgroupDevice, AttachType::CGROUP_DEVICE, 0),
    row("struct_ops+", ProgramType::StructOps, AttachType(0), 0),
    row("struct_ops.s+", ProgramType::StructOps, AttachType(0), SLEEPABLE),
    row("sk_lookup", ProgramType::SkLookup, AttachType::SK_LOOKUP, 0),
    row("netfilter", ProgramType::Netfilter, AttachType::NETFILTER, 0),
];
