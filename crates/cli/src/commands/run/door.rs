//! What a program makes of a packet, whatever kind of packet program it is.

use sandbpf::isa::Insn;
use sandbpf::{
    AnyError, AnyInput, AnyProgram, Engine, Flow, FlowVerdict, KindName, PacketMeta, Program, Runner, Skb,
    SocketFilter, TcAction, Trap, Xdp, XdpAction, XdpFrame,
};
use sandbpf_capture::{LinkType, Packet};

use super::Job;
use crate::args::Dialect;
use crate::failure::Failure;
use crate::program::Program as Parsed;

/// A loaded program, ready for packets.
pub(super) enum Door {
    /// Which packets to keep.
    Filter {
        runner: Runner<SocketFilter>,
        /// Whether programs see what a packet socket would tell of a packet. libpcap tells them nothing.
        on_socket: bool,
    },
    /// What a driver does with them.
    Xdp { runner: Runner<Xdp>, frame: Box<XdpFrame> },
    /// What a program of another kind, or of an object, does with them.
    Any { program: AnyProgram, skb: Box<Skb> },
}

/// What it makes of one packet.
pub(super) struct Answer<'d> {
    /// What the program returned.
    pub(super) value: u32,
    /// Whether the packet goes on.
    pub(super) passes: bool,
    /// The packet as it is afterwards, where programs may change it.
    pub(super) data: Option<&'d [u8]>,
}

impl Door {
    /// Loads the program of a job.
    pub(super) fn load(job: &Job<'_>, kind: KindName) -> Result<Door, Failure> {
        let refused = |error| job.refused(error);
        Ok(match (kind, &job.loaded) {
            (KindName::SocketFilter, None) => {
                let filter: Program<SocketFilter> = job.loader.load(job.program.code()).map_err(refused)?;
                let on_socket =
                    job.args.dialect == Some(Dialect::Linux) || matches!(job.program, Parsed::Extended(_));
                Door::Filter { runner: filter.runner(), on_socket }
            }
            (KindName::Xdp, None) => {
                let program: Program<Xdp> = job.loader.load(job.program.code()).map_err(refused)?;
                Door::Xdp { runner: program.runner(), frame: Box::new(XdpFrame::new(&[])) }
            }
            (kind, _) => Door::Any { program: job.load_any(kind)?, skb: Box::new(Skb::ethernet(&[])) },
        })
    }

    /// Whether the program remembers nothing from packet to packet: it calls nobody who might.
    pub(super) fn forgets(&self) -> bool {
        match self {
            Door::Filter { runner, .. } => {
                let insns = runner.program().instructions().insns();
                insns.iter().all(|insn| {
                    !matches!(insn, Insn::Call { .. } | Insn::Atomic { .. } | Insn::LoadImm { .. })
                })
            }
            Door::Xdp { .. } | Door::Any { .. } => false,
        }
    }

    /// The same program for another thread, if it remembers nothing.
    #[cfg(unix)]
    pub(super) fn another(&self) -> Option<Door> {
        match self {
            Door::Filter { runner, on_socket } if self.forgets() => {
                Some(Door::Filter { runner: runner.program().runner(), on_socket: *on_socket })
            }
            _ => None,
        }
    }

    /// The engine that runs it.
    pub(super) fn engine(&self) -> Engine {
        match self {
            Door::Filter { runner, .. } => runner.program().engine(),
            Door::Xdp { runner, .. } => runner.program().engine(),
            Door::Any { program, .. } => program.engine(),
        }
    }

    /// How many instructions run.
    pub(super) fn instructions(&self) -> usize {
        match self {
            Door::Filter { runner, .. } => runner.program().instructions().len(),
            Door::Xdp { runner, .. } => runner.program().instructions().len(),
            Door::Any { program, .. } => program.instructions().len(),
        }
    }

    #[inline]
    pub(super) fn run(&mut self, packet: &Packet<'_>) -> Result<Answer<'_>, Trap> {
        match self {
            Door::Filter { runner, on_socket } => {
                let meta;
                let mut input = sandbpf::Packet::from(packet.data).with_wire_len(packet.wire_len);
                if *on_socket {
                    meta = on_socket_meta(packet);
                    input = input.with_meta(&meta);
                }
                let accept = runner.run(input)?;
                Ok(Answer { value: accept.0, passes: accept.matched(), data: None })
            }
            Door::Xdp { runner, frame } => {
                **frame = XdpFrame::new(packet.data);
                let action = runner.run(frame.as_mut())?;
                let passes = matches!(action, XdpAction::Pass | XdpAction::Tx | XdpAction::Redirect);
                Ok(Answer { value: action.to_u32(), passes, data: Some(frame.bytes()) })
            }
            Door::Any { program, skb } => {
                let kind = program.kind();
                // The input is the kind's, so nothing but a trap can go wrong.
                let trap = |error| match error {
                    AnyError::Trap(trap) => trap,
                    AnyError::Input(_) => Trap::Unresolved { pc: sandbpf::Pc(0) },
                };
                if kind == KindName::SocketFilter {
                    let meta = on_socket_meta(packet);
                    let input = sandbpf::Packet::from(packet.data).with_wire_len(packet.wire_len);
                    let value = program.run(AnyInput::Packet(input.with_meta(&meta))).map_err(trap)? as u32;
                    return Ok(Answer { value, passes: value != 0, data: None });
                }
                if kind == KindName::Xdp {
                    let mut frame = XdpFrame::new(packet.data);
                    let value = program.run(AnyInput::Xdp((&mut frame).into())).map_err(trap)? as u32;
                    **skb = Skb::ethernet(frame.bytes());
                    let action = XdpAction::from(value);
                    let passes = matches!(action, XdpAction::Pass | XdpAction::Tx | XdpAction::Redirect);
                    return Ok(Answer { value, passes, data: Some(skb.frame()) });
                }
                if kind == KindName::FlowDissector {
                    let mut flow = Flow::ethernet(packet.data);
                    let value = program.run(AnyInput::Flow((&mut flow).into())).map_err(trap)? as u32;
                    return Ok(Answer { value, passes: value == 0, data: None });
                }
                let link = matches!(kind, KindName::SchedCls | KindName::SchedAct);
                **skb = if link { Skb::ethernet(packet.data) } else { Skb::network(packet.data) };
                let value = program.run(AnyInput::Skb(skb.as_mut().into())).map_err(trap)? as u32;
                Ok(Answer { value, passes: passes(kind, value), data: Some(skb.frame()) })
            }
        }
    }
}

/// Whether programs of a kind are given packets.
pub(super) fn takes_packets(kind: KindName) -> bool {
    use KindName::{CgroupSkb, FlowDissector, LwtIn, LwtOut, LwtXmit, SchedAct, SchedCls, SocketFilter, Xdp};
    matches!(
        kind,
        FlowDissector | SocketFilter | Xdp | SchedCls | SchedAct | CgroupSkb | LwtIn | LwtOut | LwtXmit
    )
}

/// Whether a packet in the stack goes on after this answer.
fn passes(kind: KindName, value: u32) -> bool {
    match kind {
        KindName::CgroupSkb => value & 1 != 0,
        KindName::SchedCls | KindName::SchedAct => !matches!(
            TcAction::from(value),
            TcAction::Shot | TcAction::Stolen | TcAction::Queued | TcAction::Trap
        ),
        // A light-weight tunnel: BPF_DROP.
        _ => value != 2,
    }
}

/// What a program of this kind calls its answer.
pub(super) fn name(kind: KindName, value: u32) -> String {
    match kind {
        KindName::Xdp => XdpAction::from(value).to_string(),
        KindName::SchedCls | KindName::SchedAct => TcAction::from(value).to_string(),
        KindName::FlowDissector => FlowVerdict::from(value).to_string(),
        _ => value.to_string(),
    }
}

/// What a packet socket knows of a captured packet.
fn on_socket_meta(packet: &Packet<'_>) -> PacketMeta {
    if packet.link_type == LinkType::EN10MB {
        return PacketMeta::ethernet(packet.data);
    }
    const ETH_P_IP: u16 = 0x0800;
    const ETH_P_IPV6: u16 = 0x86dd;
    let is_ip = [LinkType::RAW, LinkType::IPV4, LinkType::IPV6].contains(&packet.link_type);
    let protocol = match packet.data.first().map(|first| first >> 4) {
        Some(4) if is_ip => ETH_P_IP,
        Some(6) if is_ip => ETH_P_IPV6,
        _ => 0,
    };
    PacketMeta { protocol, ifindex: 1, ..PacketMeta::default() }
}
