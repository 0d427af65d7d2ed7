//! Dissection of flows: from a packet to the addresses and ports that its flow has (`struct bpf_flow_keys`).
//!
//! Semantics: `bpf_flow_dissect` and `bpf_prog_test_run_flow_dissector` in Linux. The program sees the packet, may not
//! change it, and writes keys; what it says of the headers' places is held within the packet afterwards.

use sandbpf_abi::{FlowKeys, SkBuff};
use sandbpf_runtime::memory::Region;
use sandbpf_runtime::net::{PacketKind, PacketState};
use sandbpf_runtime::{Machine, Trap, address};

use super::{Enter, Kind};
use crate::KindName;
use crate::image::{Image, Scratch};

/// Programs that dissect flows (`BPF_PROG_TYPE_FLOW_DISSECTOR`).
#[derive(Clone, Copy, Debug)]
pub enum FlowDissector {}

/// A packet to dissect, and the keys that the program finds.
///
/// ```
/// use sandbpf::{Flow, FlowDissector, FlowVerdict, Loader, Program};
/// // Every flow is TCP to port 80 here.
/// let dissect: Program<FlowDissector> = Loader::new().load(
///     "r1 = *(u64 *)(r1 + 144)
///      *(u8 *)(r1 + 9) = 6
///      *(u16 *)(r1 + 14) = 0x5000
///      r0 = 0
///      exit",
/// )?;
/// let mut flow = Flow::ethernet(&[0; 60]);
/// assert_eq!(dissect.run(&mut flow)?, FlowVerdict::Ok);
/// assert_eq!((flow.keys.ip_proto, u16::from_be(flow.keys.dport), flow.keys.nhoff), (6, 80, 14));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Flow {
    packet: Vec<u8>,
    /// The EtherType of the packet, in host byte order.
    pub protocol: u16,
    /// Where its network header is.
    pub network: u16,
    /// How to dissect (`BPF_FLOW_DISSECTOR_F_*`).
    pub flags: u32,
    /// Whether the packet is in the stack already: only then `bpf_skb_load_bytes` reads it. A driver asks before, and so
    /// does the kernel's test run.
    pub in_stack: bool,
    /// What the program found out.
    pub keys: FlowKeys,
}

impl Flow {
    /// An Ethernet frame.
    pub fn ethernet(packet: &[u8]) -> Self {
        Flow { packet: packet.to_vec(), ..Flow::about(packet) }
    }

    /// What an Ethernet frame says of itself, without its bytes.
    fn about(packet: &[u8]) -> Self {
        let protocol = packet.get(12..14).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        Flow {
            packet: Vec::new(),
            protocol,
            network: packet.len().min(14) as u16,
            flags: 0,
            in_stack: false,
            keys: FlowKeys::default(),
        }
    }

    /// The packet.
    pub fn packet(&self) -> &[u8] {
        &self.packet
    }
}

/// The packet of one run.
#[derive(Debug)]
pub enum FlowInput<'i> {
    /// An Ethernet frame; the keys are forgotten.
    Bytes(&'i [u8]),
    /// A packet that keeps the keys.
    Flow(&'i mut Flow),
}

impl<'i> From<&'i [u8]> for FlowInput<'i> {
    fn from(bytes: &'i [u8]) -> Self {
        FlowInput::Bytes(bytes)
    }
}

impl<'i, const N: usize> From<&'i [u8; N]> for FlowInput<'i> {
    fn from(bytes: &'i [u8; N]) -> Self {
        FlowInput::Bytes(bytes)
    }
}

impl<'i> From<&'i Vec<u8>> for FlowInput<'i> {
    fn from(bytes: &'i Vec<u8>) -> Self {
        FlowInput::Bytes(bytes)
    }
}

impl<'i> From<&'i mut Flow> for FlowInput<'i> {
    fn from(flow: &'i mut Flow) -> Self {
        FlowInput::Flow(flow)
    }
}

impl Enter for FlowDissector {}

impl Kind for FlowDissector {
    type Input<'i> = FlowInput<'i>;
    type Verdict = FlowVerdict;
    const NAME: KindName = KindName::FlowDissector;

    fn verdict(r0: u64) -> FlowVerdict {
        FlowVerdict::from(r0 as u32)
    }

    fn enter(
        image: &Image,
        scratch: &mut Scratch,
        input: FlowInput<'_>,
        run: impl FnOnce(&mut Machine<'_>) -> Result<u64, Trap>,
    ) -> Result<u64, Trap> {
        let mut about;
        let (packet, flow) = match input {
            FlowInput::Flow(flow) => (None, flow),
            FlowInput::Bytes(bytes) => {
                about = Flow::about(bytes);
                (Some(bytes), &mut about)
            }
        };
        let Flow { packet: own, protocol, network, flags, in_stack, keys: found } = flow;
        let packet = packet.unwrap_or(own);
        let mut keys = FlowKeys {
            nhoff: *network,
            thoff: *network,
            n_proto: protocol.to_be(),
            flags: *flags,
            ..FlowKeys::default()
        }
        .to_bytes();
        let start = address::PACKET as u32;
        let fields = SkBuff {
            data: start,
            // A region ends before its addresses leave 32 bits; a longer packet is refused below and is not there.
            data_end: start.saturating_add(packet.len() as u32),
            flow_keys: address::BUFFER,
            ..SkBuff::default()
        };
        scratch.context = fields.to_bytes();
        let mut state = PacketState { kind: PacketKind::Flow, ..PacketState::default() };
        let mut machine = image.machine(&mut scratch.stack);
        machine.memory.set_objects(&mut scratch.objects);
        let _ = machine.memory.set_packet(Region::Read(packet));
        let _ = machine.memory.set_context(Region::Read(&scratch.context));
        let _ = machine.memory.set_buffer(Region::Write(&mut keys));
        machine.packet.network = (*network).into();
        if !*in_stack {
            machine.packet_state = Some(&mut state);
        }
        machine.registers[1] = address::CONTEXT;
        let result = run(&mut machine);
        *found = FlowKeys::from_bytes(&keys);
        // Offsets have 16 bits.
        let end = u16::try_from(packet.len()).unwrap_or(u16::MAX).max(*network);
        found.nhoff = found.nhoff.clamp(*network, end);
        found.thoff = found.thoff.clamp(found.nhoff, end);
        result
    }
}

/// What is done with the keys (`enum bpf_ret_code`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FlowVerdict {
    /// They describe the flow.
    Ok,
    /// The packet has no flow.
    Drop,
    /// The kernel's own dissector is asked (`BPF_FLOW_DISSECTOR_CONTINUE`).
    Continue,
    /// Another number: the packet has no flow.
    Other(u32),
}

impl From<u32> for FlowVerdict {
    fn from(value: u32) -> Self {
        match value {
            0 => FlowVerdict::Ok,
            2 => FlowVerdict::Drop,
            129 => FlowVerdict::Continue,
            other => FlowVerdict::Other(other),
        }
    }
}

impl std::fmt::Display for FlowVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FlowVerdict::Ok => f.pad("BPF_OK"),
            FlowVerdict::Drop => f.pad("BPF_DROP"),
            FlowVerdict::Continue => f.pad("BPF_FLOW_DISSECTOR_CONTINUE"),
            FlowVerdict::Other(number) => write!(f, "{number}"),
        }
    }
}
