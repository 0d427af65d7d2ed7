//! What a run is given: memory, a packet, a system call, a budget.

use sandbpf::{PacketMeta, SyscallData, VlanTag};

/// The input of a run. What a case does not say is empty or zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The plain memory of buffer programs.
    pub memory: Vec<u8>,
    /// Whether the program may write it.
    pub read_only: bool,
    /// The packet of socket filters.
    pub packet: Vec<u8>,
    /// Its length on the wire; what is there if nothing else is said.
    pub wire_len: Option<u32>,
    /// What the socket knows of it.
    pub meta: PacketMeta,
    /// The system call of seccomp policies.
    pub call: SyscallData,
    /// How many instructions the run may take.
    pub budget: u64,
}

impl Default for Given {
    fn default() -> Self {
        Given {
            memory: Vec::new(),
            read_only: false,
            packet: Vec::new(),
            wire_len: None,
            meta: PacketMeta::default(),
            call: SyscallData::default(),
            budget: 100_000_000,
        }
    }
}

impl Given {
    /// Takes one `given` line; the error says what was expected.
    pub(super) fn set(&mut self, words: &[&str]) -> Result<(), &'static str> {
        let (Some((&what, rest)), Some(&last)) = (words.split_first(), words.last()) else {
            return Err("what is given");
        };
        let as_number = || if rest.len() == 1 { number(last) } else { None }.ok_or("one number");
        let as_u32 = || as_number().and_then(|n| u32::try_from(n).map_err(|_| "a number of 32 bits"));
        let as_u16 = || as_number().and_then(|n| u16::try_from(n).map_err(|_| "a number of 16 bits"));
        let as_u8 = || as_number().and_then(|n| u8::try_from(n).map_err(|_| "a number of 8 bits"));
        match what {
            "memory" => (self.memory, self.read_only) = (bytes(rest).ok_or("bytes")?, false),
            "constant-memory" => (self.memory, self.read_only) = (bytes(rest).ok_or("bytes")?, true),
            "packet" => self.packet = bytes(rest).ok_or("bytes")?,
            "wire-length" => self.wire_len = Some(as_u32()?),
            "budget" => self.budget = as_number()?,
            "protocol" => self.meta.protocol = as_u16()?,
            "packet-type" => self.meta.packet_type = as_u8()?,
            "ifindex" => self.meta.ifindex = as_u32()?,
            "hatype" => self.meta.hatype = as_u16()?,
            "mark" => self.meta.mark = as_u32()?,
            "priority" => self.meta.priority = as_u32()?,
            "queue" => self.meta.queue = as_u32()?,
            "hash" => self.meta.hash = as_u32()?,
            "data" => self.meta.data = as_u32()?,
            "network" => self.meta.network = as_u32()?,
            "link" => self.meta.link = Some(as_u32()?),
            "vlan" => {
                let field = |at: usize| number(rest.get(at)?)?.try_into().ok();
                let vlan = || Some(VlanTag { tpid: field(0)?, tci: field(1)? });
                self.meta.vlan = Some(vlan().ok_or("a protocol and a tag")?);
            }
            "nr" => self.call.nr = as_u32()? as i32,
            "arch" => self.call.arch = as_u32()?,
            "ip" => self.call.instruction_pointer = as_number()?,
            "args" => {
                let args: Option<Vec<u64>> = rest.iter().map(|word| number(word)).collect();
                let args = args.and_then(|args| args.try_into().ok());
                self.call.args = args.ok_or("six numbers")?;
            }
            _ => return Err("something that can be given"),
        }
        Ok(())
    }
}

/// A number: decimal or `0x…`, perhaps negative.
pub(super) fn number(word: &str) -> Option<u64> {
    let (negative, digits) = word.strip_prefix('-').map_or((false, word), |digits| (true, digits));
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { value.wrapping_neg() } else { value })
}

/// Bytes in hexadecimal; `00*12` is twelve zeros.
pub(super) fn bytes(words: &[&str]) -> Option<Vec<u8>> {
    const MOST: usize = 1 << 20;
    let mut all = Vec::new();
    for word in words {
        let (unit, count) = word.split_once('*').unwrap_or((word, "1"));
        let (unit, count) = (hex::decode(unit).ok()?, count.parse::<usize>().ok()?);
        if unit.len().checked_mul(count)? > MOST {
            return None;
        }
        all.extend(unit.repeat(count));
    }
    Some(all)
}
