//! Programs on packets in the stack (`struct __sk_buff`): traffic control, cgroups, light-weight tunnels.

use sandbpf_abi::{ProgramType, SkBuff};
use sandbpf_runtime::memory::Region;
use sandbpf_runtime::memory::frame::Frame;
use sandbpf_runtime::net::{PacketKind, PacketState, Redirect, Tunnel};
use sandbpf_runtime::{Machine, PacketLayout, Trap, address};

use super::{Enter, Kind, PacketMeta};
use crate::KindName;
use crate::compiled::{Answer, NETWORK, Plan};
use crate::image::{Image, Scratch};

/// A packet in the stack, and what the program made of it.
///
/// ```
/// use sandbpf::{Classifier, Loader, Program, Skb, TcAction};
/// let mark: Program<Classifier> = Loader::new().load("*(u32 *)(r1 + 8) = 7\nr0 = 2\nexit")?;
/// let mut skb = Skb::ethernet(&[0; 60]);
/// assert_eq!(mark.run(&mut skb)?, TcAction::Shot);
/// assert_eq!(skb.fields.mark, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Skb {
    frame: Frame,
    layout: PacketLayout,
    /// What programs read and write of it. Length and pointers are filled in for each run.
    pub fields: SkBuff,
    /// The tunnel that it came through.
    pub tunnel: Option<Tunnel>,
    /// The tunnel that the program sends it into.
    pub sent_tunnel: Option<Tunnel>,
    /// Where the program sends it.
    pub redirect: Option<Redirect>,
    /// The socket that it belongs to, as `struct bpf_sock`; programs reach it through `fields.sk`, which is filled in.
    pub socket: Option<Box<[u8; 80]>>,
}

/// What the stack keeps before a packet (`NET_SKB_PAD`).
const HEADROOM: usize = 64;

impl Skb {
    /// A packet that came through an Ethernet device (the loopback device, index 1), its link header part of the data:
    /// what traffic control sees.
    pub fn ethernet(bytes: &[u8]) -> Skb {
        let meta = PacketMeta::ethernet(bytes);
        Skb::new(bytes, &meta)
    }

    /// The same packet without its link header in the data: what cgroups, light-weight tunnels and sockets see.
    pub fn network(bytes: &[u8]) -> Skb {
        let mut skb = Skb::ethernet(bytes);
        skb.layout.data = skb.layout.network;
        skb
    }

    /// A packet with these headers and fields.
    pub fn new(bytes: &[u8], meta: &PacketMeta) -> Skb {
        Skb {
            frame: Frame::new(bytes, HEADROOM, 0),
            layout: PacketLayout { data: meta.data, network: meta.network, link: meta.link },
            fields: meta.context(0, bytes.len() as u32),
            tunnel: None,
            sent_tunnel: None,
            redirect: None,
            socket: None,
        }
    }

    /// Fills in where it lies, and how long it is.
    fn describe(&mut self) {
        let (start, all) = (address::PACKET as u32, self.frame.visible().len() as u32);
        self.fields.len = all.saturating_sub(self.layout.data);
        self.fields.data = start + self.layout.data;
        self.fields.data_end = start + all;
        self.fields.data_meta = self.fields.data;
    }

    /// The data.
    pub fn bytes(&self) -> &[u8] {
        self.frame.visible().get(self.layout.data as usize..).unwrap_or_default()
    }

    /// The frame: the data and the headers before them.
    pub fn frame(&self) -> &[u8] {
        self.frame.visible()
    }
}

/// The packet of one run.
#[derive(Debug)]
pub enum SkbInput<'i> {
    /// An Ethernet frame that stays as it is; what the program writes is forgotten.
    Bytes(&'i [u8]),
    /// A packet that keeps what the program makes of it.
    Skb(&'i mut Skb),
}

impl<'i> From<&'i [u8]> for SkbInput<'i> {
    fn from(bytes: &'i [u8]) -> Self {
        SkbInput::Bytes(bytes)
    }
}

impl<'i, const N: usize> From<&'i [u8; N]> for SkbInput<'i> {
    fn from(bytes: &'i [u8; N]) -> Self {
        SkbInput::Bytes(bytes)
    }
}

impl<'i> From<&'i Vec<u8>> for SkbInput<'i> {
    fn from(bytes: &'i Vec<u8>) -> Self {
        SkbInput::Bytes(bytes)
    }
}

impl<'i> From<&'i mut Skb> for SkbInput<'i> {
    fn from(skb: &'i mut Skb) -> Self {
        SkbInput::Skb(skb)
    }
}

/// Runs on a packet; with `link`, the link header is part of the data of plain bytes, and with `read_only` dynamic
/// pointers to it are for looking only.
pub(crate) fn enter(
    image: &Image,
    scratch: &mut Scratch,
    input: SkbInput<'_>,
    [link, read_only]: [bool; 2],
    run: impl FnOnce(&mut Machine<'_>) -> Result<u64, Trap>,
) -> Result<u64, Trap> {
    let mut copy;
    let skb = match input {
        SkbInput::Skb(skb) => skb,
        SkbInput::Bytes(bytes) => {
            copy = if link { Skb::ethernet(bytes) } else { Skb::network(bytes) };
            &mut copy
        }
    };
    skb.describe();
    let mut state =
        PacketState { kind: PacketKind::Skb, read_only, tunnel: skb.tunnel, ..PacketState::default() };
    let mut machine = image.machine(&mut scratch.stack);
    machine.memory.set_objects(&mut scratch.objects);
    skb.fields.sk = match &skb.socket {
        Some(socket) => machine.memory.add_object(socket.as_slice()).unwrap_or(0),
        None => 0,
    };
    scratch.context = skb.fields.to_bytes();
    let _ = machine.memory.set_packet(Region::Frame(&mut skb.frame));
    let _ = machine.memory.set_context(Region::Write(&mut scratch.context));
    machine.packet = skb.layout;
    machine.packet_state = Some(&mut state);
    machine.registers[1] = address::CONTEXT;
    let result = run(&mut machine);
    skb.layout = machine.packet;
    skb.redirect = state.redirect;
    (skb.tunnel, skb.sent_tunnel) = (state.tunnel, state.sent_tunnel);
    skb.fields = SkBuff::from_bytes(&scratch.context);
    result
}

/// Whether a packet is as plans take it to be; with `link` its link header is part of what programs see.
#[inline]
fn fits(bytes: &[u8], link: bool) -> bool {
    link || bytes.len() as u64 >= NETWORK.into() && PacketMeta::ethernet(bytes).network == NETWORK
}

/// Runs the plan of a program that looks at nothing but its packet.
#[inline]
fn at_once(image: &Image, input: &mut SkbInput<'_>, link: bool) -> Option<Answer> {
    let (plan, budget) = (&image.plan, image.limits.instructions);
    let start = if link { 0 } else { NETWORK };
    match input {
        SkbInput::Bytes(bytes) if fits(bytes, link) => plan.read_alone(bytes, budget),
        SkbInput::Bytes(_) => None,
        SkbInput::Skb(skb) => {
            if skb.socket.is_some() || skb.layout.data != start || skb.frame.visible().len() < start as usize
            {
                return None;
            }
            let result = plan.run_alone(skb.frame.visible_mut(), budget)?;
            skb.describe();
            skb.fields.sk = 0;
            (skb.redirect, skb.sent_tunnel) = (None, None);
            Some(result)
        }
    }
}

macro_rules! kinds {
    ($( $(#[doc = $doc:literal])* $Kind:ident: $Name:ident, $Type:ident, link $link:literal, $Verdict:ty; )*) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $Kind {}

        impl Enter for $Kind {}

        impl Kind for $Kind {
            type Input<'i> = SkbInput<'i>;
            type Verdict = $Verdict;
            const NAME: KindName = KindName::$Name;

            fn verdict(r0: u64) -> $Verdict {
                <$Verdict>::from(r0 as u32)
            }

            #[inline]
            fn at_once(image: &Image, input: &mut SkbInput<'_>) -> Option<Answer> {
                at_once(image, input, $link)
            }

            fn planned(
                plan: &Plan,
                image: &Image,
                scratch: &mut Scratch,
                input: &mut SkbInput<'_>,
            ) -> Option<Answer> {
                match input {
                    // What it writes is forgotten.
                    SkbInput::Bytes(bytes) if fits(bytes, $link) => {
                        plan.run_alone(scratch.copy(bytes), image.limits.instructions)
                    }
                    SkbInput::Bytes(_) | SkbInput::Skb(_) => None,
                }
            }

            fn enter(
                image: &Image,
                scratch: &mut Scratch,
                input: SkbInput<'_>,
                run: impl FnOnce(&mut Machine<'_>) -> Result<u64, Trap>,
            ) -> Result<u64, Trap> {
                let read_only = !ProgramType::$Type.packet().may_write();
                enter(image, scratch, input, [$link, read_only], run)
            }
        }
    )* };
}

kinds! {
    /// Classifiers of traffic control, with or without direct action (`BPF_PROG_TYPE_SCHED_CLS`).
    Classifier: SchedCls, SchedCls, link true, TcAction;
    /// Actions of traffic control (`BPF_PROG_TYPE_SCHED_ACT`).
    Action: SchedAct, SchedAct, link true, TcAction;
    /// Programs on a cgroup's packets (`BPF_PROG_TYPE_CGROUP_SKB`).
    CgroupSkb: CgroupSkb, CgroupSkb, link false, CgroupVerdict;
    /// Programs on packets that come out of a light-weight tunnel.
    LwtIn: LwtIn, LwtIn, link false, LwtVerdict;
    /// Programs on packets that go into a light-weight tunnel.
    LwtOut: LwtOut, LwtOut, link false, LwtVerdict;
    /// Programs on packets that a light-weight tunnel sends.
    LwtXmit: LwtXmit, LwtXmit, link false, LwtVerdict;
}

/// What traffic control does with a packet (`TC_ACT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TcAction {
    /// As configured.
    Unspec,
    /// It goes on.
    Ok,
    /// Classification starts again.
    Reclassify,
    /// It is dropped.
    Shot,
    /// The next action decides.
    Pipe,
    /// It is gone, without being dropped.
    Stolen,
    /// It waits.
    Queued,
    /// The action is repeated.
    Repeat,
    /// It goes where [`Skb::redirect`] says.
    Redirect,
    /// It goes to the processor of a switch.
    Trap,
    /// Another number: a class, without direct action.
    Other(u32),
}

impl From<u32> for TcAction {
    fn from(value: u32) -> Self {
        match value {
            u32::MAX => TcAction::Unspec,
            0 => TcAction::Ok,
            1 => TcAction::Reclassify,
            2 => TcAction::Shot,
            3 => TcAction::Pipe,
            4 => TcAction::Stolen,
            5 => TcAction::Queued,
            6 => TcAction::Repeat,
            7 => TcAction::Redirect,
            8 => TcAction::Trap,
            other => TcAction::Other(other),
        }
    }
}

impl std::fmt::Display for TcAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TcAction::Unspec => f.pad("TC_ACT_UNSPEC"),
            TcAction::Ok => f.pad("TC_ACT_OK"),
            TcAction::Reclassify => f.pad("TC_ACT_RECLASSIFY"),
            TcAction::Shot => f.pad("TC_ACT_SHOT"),
            TcAction::Pipe => f.pad("TC_ACT_PIPE"),
            TcAction::Stolen => f.pad("TC_ACT_STOLEN"),
            TcAction::Queued => f.pad("TC_ACT_QUEUED"),
            TcAction::Repeat => f.pad("TC_ACT_REPEAT"),
            TcAction::Redirect => f.pad("TC_ACT_REDIRECT"),
            TcAction::Trap => f.pad("TC_ACT_TRAP"),
            TcAction::Other(number) => write!(f, "{number}"),
        }
    }
}

/// What happens to a cgroup's packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CgroupVerdict {
    /// Whether it passes.
    pub pass: bool,
    /// Whether its sender is told of congestion.
    pub congested: bool,
}

impl From<u32> for CgroupVerdict {
    fn from(value: u32) -> Self {
        CgroupVerdict { pass: value & 1 != 0, congested: value & 2 != 0 }
    }
}

/// What a light-weight tunnel does with a packet (`enum bpf_ret_code`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LwtVerdict {
    /// It goes on.
    Ok,
    /// It is dropped.
    Drop,
    /// It goes where [`Skb::redirect`] says.
    Redirect,
    /// It is routed again.
    Reroute,
    /// Another number: it is dropped.
    Other(u32),
}

impl From<u32> for LwtVerdict {
    fn from(value: u32) -> Self {
        match value {
            0 => LwtVerdict::Ok,
            2 => LwtVerdict::Drop,
            7 => LwtVerdict::Redirect,
            128 => LwtVerdict::Reroute,
            other => LwtVerdict::Other(other),
        }
    }
}
