//! XDP: from a frame, before the stack has seen it, to what the driver does with it.

use sandbpf_abi::XdpMd;
use sandbpf_interp::{Brief, Lent, Reach};
use sandbpf_runtime::memory::Region;
use sandbpf_runtime::memory::frame::Frame;
use sandbpf_runtime::net::{PacketKind, PacketState, Redirect};
use sandbpf_runtime::{Machine, Trap, address};

use super::{Enter, Kind};
use crate::KindName;
use crate::compiled::{Answer, Plan};
use crate::image::{Image, Scratch};

/// XDP programs.
#[derive(Clone, Copy, Debug)]
pub enum Xdp {}

/// A frame as a driver received it, with room before and behind it, and what the program made of it.
///
/// ```
/// use sandbpf::{Loader, Program, Xdp, XdpAction, XdpFrame};
/// // Cuts the frame to its Ethernet header and sends it back.
/// let reply: Program<Xdp> = Loader::new().load(
///     "r2 = -46
///      call 65
///      r0 = 3
///      exit",
/// )?;
/// let mut frame = XdpFrame::new(&[7; 60]);
/// assert_eq!(reply.run(&mut frame)?, XdpAction::Tx);
/// assert_eq!(frame.bytes(), [7; 14]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct XdpFrame {
    frame: Frame,
    /// The index of the device that it came through.
    pub ingress_ifindex: u32,
    /// The receive queue.
    pub rx_queue_index: u32,
    /// The index of the device that it leaves through, for programs of device maps.
    pub egress_ifindex: u32,
    /// Where the program sends it, if it answers [`XdpAction::Redirect`].
    pub redirect: Option<Redirect>,
}

/// What drivers keep before a frame (`XDP_PACKET_HEADROOM`).
const HEADROOM: usize = 256;
/// What a page has for headroom and frame, less the `struct skb_shared_info` at its end.
const PAGE: usize = 4096 - 320;

/// What is left of a page behind a frame.
fn tailroom(bytes: &[u8]) -> usize {
    PAGE.saturating_sub(HEADROOM + bytes.len())
}

impl XdpFrame {
    /// A frame that came through the loopback device (index 1), in a page of its own.
    pub fn new(bytes: &[u8]) -> XdpFrame {
        XdpFrame::of(Frame::new(bytes, HEADROOM, tailroom(bytes)))
    }

    fn of(frame: Frame) -> XdpFrame {
        XdpFrame { frame, ingress_ifindex: 1, rx_queue_index: 0, egress_ifindex: 0, redirect: None }
    }

    /// The frame.
    pub fn bytes(&self) -> &[u8] {
        self.frame.data()
    }

    /// The metadata that a program put before it.
    pub fn metadata(&self) -> &[u8] {
        self.frame.meta()
    }
}

/// The frame of one run.
#[derive(Debug)]
pub enum XdpInput<'i> {
    /// Bytes that stay as they are; what the program writes is forgotten.
    Bytes(&'i [u8]),
    /// A frame that keeps what the program makes of it.
    Frame(&'i mut XdpFrame),
}

impl XdpFrame {
    fn context(&self) -> XdpMd {
        XdpMd {
            ingress_ifindex: self.ingress_ifindex,
            rx_queue_index: self.rx_queue_index,
            egress_ifindex: self.egress_ifindex,
            ..describe(self.frame.meta().len(), self.frame.visible().len())
        }
    }
}

/// The context of so many bytes, of which the first are metadata.
fn describe(meta: usize, all: usize) -> XdpMd {
    let start = address::PACKET as u32;
    XdpMd { data: start + meta as u32, data_end: start + all as u32, data_meta: start, ..XdpMd::default() }
}

impl Enter for Xdp {}

impl Kind for Xdp {
    type Input<'i> = XdpInput<'i>;
    type Verdict = XdpAction;
    const NAME: KindName = KindName::Xdp;

    fn verdict(r0: u64) -> XdpAction {
        XdpAction::from(r0 as u32)
    }

    #[inline(always)]
    fn at_once(image: &Image, input: &mut XdpInput<'_>) -> Option<Answer> {
        // Most programs look at nothing but where the packet is.
        let (plan, budget) = (&image.plan, image.limits.instructions);
        match input {
            XdpInput::Bytes(bytes) => plan.read_alone(bytes, budget),
            XdpInput::Frame(frame) if !frame.frame.has_meta() => {
                frame.redirect = None;
                plan.run_alone(frame.frame.data_mut(), budget)
            }
            XdpInput::Frame(_) => None,
        }
    }

    fn planned(
        plan: &Plan,
        image: &Image,
        scratch: &mut Scratch,
        input: &mut XdpInput<'_>,
    ) -> Option<Answer> {
        let budget = image.limits.instructions;
        match input {
            XdpInput::Bytes(bytes) => {
                let mut context = XdpMd { ingress_ifindex: 1, ..describe(0, bytes.len()) }.to_bytes();
                match plan.writes() {
                    true => plan.run(scratch.copy(bytes), &mut context, budget),
                    false => plan.read(bytes, &mut context, budget),
                }
            }
            XdpInput::Frame(frame) if !frame.frame.has_meta() => {
                let mut context = frame.context().to_bytes();
                let answer = plan.run(frame.frame.data_mut(), &mut context, budget)?;
                frame.redirect = None;
                Some(answer)
            }
            XdpInput::Frame(_) => None,
        }
    }

    #[inline]
    fn brief(brief: &Brief, input: &mut XdpInput<'_>) -> Option<Result<u64, Trap>> {
        let (context, bytes, len) = match input {
            // A copy would be written to.
            XdpInput::Bytes(_) if brief.writes() => return None,
            XdpInput::Bytes(bytes) => {
                let context = XdpMd { ingress_ifindex: 1, ..describe(0, bytes.len()) };
                (context, Lent::Read(bytes), bytes.len())
            }
            XdpInput::Frame(frame) => {
                let (context, len) = (frame.context(), frame.frame.visible().len());
                (context, Lent::Write(frame.frame.visible_mut()), len)
            }
        };
        if len as u64 > address::REGION_SIZE {
            return None;
        }
        let reach = Reach { at: address::PACKET, bytes, context: &mut context.to_bytes() };
        let result = brief.run([address::CONTEXT, 0], reach);
        if let XdpInput::Frame(frame) = input {
            frame.redirect = None;
        }
        Some(result)
    }

    fn enter(
        image: &Image,
        scratch: &mut Scratch,
        input: XdpInput<'_>,
        run: impl FnOnce(&mut Machine<'_>) -> Result<u64, Trap>,
    ) -> Result<u64, Trap> {
        let mut copy = None;
        let frame = match input {
            XdpInput::Frame(frame) => frame,
            XdpInput::Bytes(bytes) => {
                // Who runs next finds the memory again.
                let mut frame = std::mem::take(&mut scratch.frame);
                frame.reset(bytes, HEADROOM, tailroom(bytes));
                copy.insert(XdpFrame::of(frame))
            }
        };
        let meta = frame.frame.meta().len() as u32;
        let mut context = frame.context().to_bytes();
        let mut state = PacketState { kind: PacketKind::Xdp, ..PacketState::default() };
        let mut machine = image.machine(&mut scratch.stack);
        machine.memory.set_objects(&mut scratch.objects);
        // Where nothing is called, nothing moves the frame's ends.
        let region = if image.traits.calls {
            Region::Frame(&mut frame.frame)
        } else {
            Region::Write(frame.frame.visible_mut())
        };
        let _ = machine.memory.set_packet(region);
        let _ = machine.memory.set_context(Region::Write(&mut context));
        machine.packet.data = meta;
        machine.packet_state = Some(&mut state);
        machine.registers[1] = address::CONTEXT;
        let result = run(&mut machine);
        frame.redirect = state.redirect;
        if let Some(copy) = copy {
            scratch.frame = copy.frame;
        }
        result
    }
}

impl<'i> From<&'i [u8]> for XdpInput<'i> {
    fn from(bytes: &'i [u8]) -> Self {
        XdpInput::Bytes(bytes)
    }
}

impl<'i, const N: usize> From<&'i [u8; N]> for XdpInput<'i> {
    fn from(bytes: &'i [u8; N]) -> Self {
        XdpInput::Bytes(bytes)
    }
}

impl<'i> From<&'i Vec<u8>> for XdpInput<'i> {
    fn from(bytes: &'i Vec<u8>) -> Self {
        XdpInput::Bytes(bytes)
    }
}

impl<'i> From<&'i mut XdpFrame> for XdpInput<'i> {
    fn from(frame: &'i mut XdpFrame) -> Self {
        XdpInput::Frame(frame)
    }
}

/// What the driver does with a frame (`enum xdp_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum XdpAction {
    /// It is dropped, and somebody is told: the program failed.
    Aborted,
    /// It is dropped.
    Drop,
    /// It goes to the stack.
    Pass,
    /// It goes back to where it came from.
    Tx,
    /// It goes where [`XdpFrame::redirect`] says.
    Redirect,
    /// A number that means nothing: it is dropped, and somebody is told.
    Unknown(u32),
}

impl From<u32> for XdpAction {
    fn from(value: u32) -> Self {
        match value {
            0 => XdpAction::Aborted,
            1 => XdpAction::Drop,
            2 => XdpAction::Pass,
            3 => XdpAction::Tx,
            4 => XdpAction::Redirect,
            other => XdpAction::Unknown(other),
        }
    }
}

impl XdpAction {
    /// The number that stands for it.
    pub fn to_u32(self) -> u32 {
        match self {
            XdpAction::Aborted => 0,
            XdpAction::Drop => 1,
            XdpAction::Pass => 2,
            XdpAction::Tx => 3,
            XdpAction::Redirect => 4,
            XdpAction::Unknown(number) => number,
        }
    }
}

impl std::fmt::Display for XdpAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            XdpAction::Aborted => f.pad("XDP_ABORTED"),
            XdpAction::Drop => f.pad("XDP_DROP"),
            XdpAction::Pass => f.pad("XDP_PASS"),
            XdpAction::Tx => f.pad("XDP_TX"),
            XdpAction::Redirect => f.pad("XDP_REDIRECT"),
            XdpAction::Unknown(number) => write!(f, "{number}"),
        }
    }
}
