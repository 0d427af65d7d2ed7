//! The specification, executable: a direct interpreter, for tests and fuzzing only.
//!
//! It follows McCanne and Jacobson's paper, bpf(4), `bpf_filter` of libpcap and
//! `Documentation/networking/filter.rst` of Linux, step by step and without a thought for speed. It shares
//! the table of opcodes with the rest of the crate and nothing else: what [`lower()`](crate::lower())
//! makes is judged by it. Programs that run filters use the lowered form.

use sandbpf_abi::SkBuff;
use sandbpf_isa::{AluOp, Cond, Size};

use crate::ancillary::{self, Ancillary};
use crate::shape::{Answer, Register, Shape, Source};
use crate::{Dialect, Filter};

/// What a filter looks at.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The bytes: of a packet, or of `struct seccomp_data`, little-endian.
    pub bytes: &'a [u8],
    /// The length on the wire.
    pub wire_len: u32,
    /// Where offset 0 of loads is in the bytes.
    pub data: usize,
    /// Where the network header is in the bytes.
    pub network: usize,
    /// Where the link header is in the bytes, if there is one.
    pub link: Option<usize>,
    /// What the socket knows of the packet.
    pub skb: SkBuff,
    /// The processor.
    pub cpu: u32,
    /// The next random number.
    pub random: u32,
    /// Where the payload starts, from offset 0 of loads.
    pub payload_offset: u32,
}

impl<'a> Packet<'a> {
    /// A packet of which nothing is known but its bytes, as on a UNIX socket.
    pub fn new(bytes: &'a [u8]) -> Self {
        Packet {
            bytes,
            wire_len: bytes.len() as u32,
            data: 0,
            network: 0,
            link: None,
            skb: SkBuff::default(),
            cpu: 0,
            random: 0,
            payload_offset: 0,
        }
    }
}

/// Why a run has no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The filter runs for ever, or nearly.
    #[error("more than {STEP_LIMIT} steps")]
    TooLong,
    /// It came to an opcode that means nothing.
    #[error("at {0}: the opcode has no meaning")]
    Undefined(usize),
}

/// How many steps a run may take.
pub const STEP_LIMIT: u32 = 1 << 22;

/// Runs a filter on a packet: the verdict that its dialect prescribes.
///
/// ```
/// use sandbpf_classic::{Dialect, Filter, parse, reference};
/// let filter = Filter::check(&parse("ldb [9]\n jeq #6, tcp, no\n tcp: ret #1\n no: ret #0")?, Dialect::Linux)?;
/// let packet = [0x45, 0, 0, 0, 0, 0, 0, 0, 0, 6];
/// assert_eq!(reference::run(&filter, &reference::Packet::new(&packet)), Ok(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run(filter: &Filter, packet: &Packet<'_>) -> Result<u32, Stopped> {
    let dialect = filter.dialect();
    let (mut a, mut x, mut memory) = (0u32, 0u32, [0u32; 16]);
    let mut at = 0;
    for _ in 0..STEP_LIMIT {
        let insn = filter.insns()[at];
        let k = insn.k;
        let shape = Shape::of(insn.code).ok_or(Stopped::Undefined(at))?;
        at += 1;
        match shape {
            Shape::LoadAbsolute(size) => match packet.absolute(dialect, size, k, a, x) {
                Loaded::Value(value) => a = value,
                Loaded::End(verdict) => return Ok(verdict),
            },
            Shape::LoadIndirect(size) => match packet.indirect(dialect, size, x, k) {
                Some(value) => a = value,
                None => return Ok(0),
            },
            Shape::LoadHeaderLength => match packet.indirect(dialect, Size::B, 0, k) {
                Some(value) => x = (value % 16) * 4,
                None => return Ok(0),
            },
            Shape::LoadConstant(Register::A) => a = k,
            Shape::LoadConstant(Register::X) => x = k,
            Shape::LoadMemory(Register::A) => a = memory[k as usize],
            Shape::LoadMemory(Register::X) => x = memory[k as usize],
            Shape::LoadLength(Register::A) => a = packet.length(dialect),
            Shape::LoadLength(Register::X) => x = packet.length(dialect),
            Shape::Store(Register::A) => memory[k as usize] = a,
            Shape::Store(Register::X) => memory[k as usize] = x,
            Shape::Alu(op, source) => {
                let constant = source == Source::K;
                match arithmetic(dialect, op, a, if constant { k } else { x }, constant) {
                    Some(value) => a = value,
                    None => return Ok(0),
                }
            }
            Shape::Negate => a = 0u32.wrapping_sub(a),
            Shape::Jump => at = (at as u32).wrapping_add(k) as usize,
            Shape::Branch(cond, source) => {
                let b = if source == Source::K { k } else { x };
                let holds = match cond {
                    Cond::Eq => a == b,
                    Cond::Gt => a > b,
                    Cond::Ge => a >= b,
                    _ => a & b != 0,
                };
                at += usize::from(if holds { insn.jt } else { insn.jf });
            }
            Shape::Return(Answer::K) => return Ok(k),
            Shape::Return(Answer::A) => return Ok(a),
            Shape::CopyToX => x = a,
            Shape::CopyToA => a = x,
        }
    }
    Err(Stopped::TooLong)
}

/// `None` ends the program: division by zero.
fn arithmetic(dialect: Dialect, op: AluOp, a: u32, b: u32, constant: bool) -> Option<u32> {
    let shift = |shifted: u32| match dialect {
        Dialect::Libpcap if b >= 32 && !constant => 0,
        _ => shifted,
    };
    Some(match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b)?,
        AluOp::Mod => a.checked_rem(b)?,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => shift(a.wrapping_shl(b)),
        AluOp::Rsh => shift(a.wrapping_shr(b)),
        _ => unreachable!("classic BPF has ten operations"),
    })
}

/// What comes of an absolute load.
enum Loaded {
    Value(u32),
    End(u32),
}

impl Packet<'_> {
    fn length(&self, dialect: Dialect) -> u32 {
        match dialect {
            Dialect::Libpcap => self.wire_len,
            Dialect::Linux => self.bytes.len().saturating_sub(self.data) as u32,
            Dialect::Seccomp => 64,
        }
    }

    fn absolute(&self, dialect: Dialect, size: Size, k: u32, a: u32, x: u32) -> Loaded {
        if let (Dialect::Linux, Some(row)) = (dialect, ancillary::Row::of(k)) {
            return self.ancillary(row.what, a, x);
        }
        let loaded = match dialect {
            Dialect::Seccomp => self
                .bytes
                .get(k as usize..k as usize + 4)
                .map(|word| word.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte))),
            Dialect::Libpcap | Dialect::Linux => self.indirect(dialect, size, 0, k),
        };
        loaded.map_or(Loaded::End(0), Loaded::Value)
    }

    /// The value at `x + k`, in network order.
    fn indirect(&self, dialect: Dialect, size: Size, x: u32, k: u32) -> Option<u32> {
        let start = match dialect {
            Dialect::Libpcap => self.data as u64 + u64::from(x) + u64::from(k),
            Dialect::Linux | Dialect::Seccomp => self.header_offset(x.wrapping_add(k) as i32)?,
        };
        let start = usize::try_from(start).ok()?;
        let bytes = self.bytes.get(start..)?.get(..usize::from(size.bytes()))?;
        Some(bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)))
    }

    /// Negative offsets count from headers: `SKF_NET_OFF`, `SKF_LL_OFF`.
    fn header_offset(&self, offset: i32) -> Option<u64> {
        const NETWORK: i32 = -0x10_0000;
        const LINK: i32 = -0x20_0000;
        let (base, offset) = match offset {
            0.. => (self.data, offset),
            NETWORK.. => (self.network, offset - NETWORK),
            LINK.. => (self.link?, offset - LINK),
            _ => return None,
        };
        Some(base as u64 + offset as u64)
    }

    fn ancillary(&self, what: Ancillary, a: u32, x: u32) -> Loaded {
        let skb = &self.skb;
        let no_device = skb.ifindex == 0;
        Loaded::Value(match what {
            Ancillary::Ifindex | Ancillary::Hatype if no_device => return Loaded::End(a),
            Ancillary::Protocol => u16::from_be(skb.protocol as u16).into(),
            Ancillary::PacketType => skb.pkt_type,
            Ancillary::Ifindex => skb.ifindex,
            Ancillary::Nlattr => self.attribute(a, x),
            Ancillary::NlattrNest => self.nested_attribute(a, x),
            Ancillary::Mark => skb.mark,
            Ancillary::Queue => skb.queue_mapping,
            Ancillary::Hatype => skb.hatype,
            Ancillary::Hash => skb.hash,
            Ancillary::Cpu => self.cpu,
            Ancillary::XorX => a ^ x,
            Ancillary::VlanTci => skb.vlan_tci,
            Ancillary::VlanPresent => skb.vlan_present,
            Ancillary::PayloadOffset => self.payload_offset,
            Ancillary::Random => self.random,
            Ancillary::VlanProtocol => u16::from_be(skb.vlan_proto as u16).into(),
        })
    }

    /// The first netlink attribute of type `x` at or after offset `a`: its offset, or 0.
    fn attribute(&self, a: u32, x: u32) -> u32 {
        let data = self.bytes.get(self.data..).unwrap_or_default();
        find(data, u64::from(a), data.len() as u64, x)
    }

    /// The same inside the attribute at offset `a`.
    fn nested_attribute(&self, a: u32, x: u32) -> u32 {
        let data = self.bytes.get(self.data..).unwrap_or_default();
        let start = u64::from(a);
        let Some(len) = u16_at(data, start).filter(|_| start + 4 <= data.len() as u64) else { return 0 };
        let end = start + u64::from(len);
        if end > data.len() as u64 { 0 } else { find(data, start + 4, end, x) }
    }
}

fn find(data: &[u8], mut at: u64, end: u64, wanted: u32) -> u32 {
    while at + 4 <= end {
        let (Some(len), Some(kind)) = (u16_at(data, at), u16_at(data, at + 2)) else { return 0 };
        if len < 4 || at + u64::from(len) > end {
            return 0;
        }
        if u32::from(kind & 0x3fff) == wanted {
            return at as u32;
        }
        at += u64::from(len.div_ceil(4)) * 4;
    }
    0
}

fn u16_at(data: &[u8], at: u64) -> Option<u16> {
    let at = usize::try_from(at).ok()?;
    data.get(at..)?.first_chunk().map(|&bytes| u16::from_le_bytes(bytes))
}
