//! Everything one run needs: memory, the packet's layout, the budget, helpers, the host.

use sandbpf_isa::{Pc, Program, Reg, Size};

use crate::address;
use crate::helpers::HelperSet;
use crate::host::Host;
use crate::memory::{Memory, Stack};
use crate::trap::{Fault, Trap};

/// The registers `r0`…`r10`.
pub type Registers = [u64; Reg::COUNT];

/// One run: what the program can reach, and what is left of it.
///
/// A machine borrows all it shows to the program, so making one costs next to nothing; the stack is
/// the only thing worth keeping between runs.
pub struct Machine<'run> {
    /// What the program can address.
    pub memory: Memory<'run>,
    /// Where things are in the packet.
    pub packet: PacketLayout,
    /// What is left of the run's instructions.
    pub budget: u64,
    /// The registers: at entry what the program starts with, after [`Execute::execute`] (if the engine
    /// was asked to export them) what it ended with.
    ///
    /// [`Execute::execute`]: crate::Execute::execute
    pub registers: Registers,
    helpers: &'run HelperSet,
    host: &'run dyn Host,
}

/// Where the data and the headers of a packet start in the packet region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketLayout {
    /// Offset 0 of packet loads (`skb->data`).
    pub data: u32,
    /// The network header, base of negative offsets from `SKF_NET_OFF`.
    pub network: u32,
    /// The link header, base of negative offsets from `SKF_LL_OFF`, if the packet has one.
    pub link: Option<u32>,
}

/// Negative offsets from here on address the network header (`SKF_NET_OFF`).
pub const NETWORK_OFFSET: i32 = -0x10_0000;

/// Negative offsets from here on, below [`NETWORK_OFFSET`], address the link header (`SKF_LL_OFF`).
pub const LINK_OFFSET: i32 = -0x20_0000;

impl<'run> Machine<'run> {
    /// A machine with an empty memory and zero registers but for the frame pointer.
    pub fn new(stack: &'run mut Stack, helpers: &'run HelperSet, host: &'run dyn Host, budget: u64) -> Self {
        let mut registers = [0; Reg::COUNT];
        registers[Reg::R10.index()] = address::FIRST_FRAME;
        Machine {
            memory: Memory::new(stack),
            packet: PacketLayout::default(),
            budget,
            registers,
            helpers,
            host,
        }
    }

    /// The world outside.
    pub fn host(&self) -> &'run dyn Host {
        self.host
    }

    /// Prepares for the first instruction of `program`. Engines call it; nobody else needs to.
    pub fn enter(&mut self, program: &Program) {
        self.memory.enter_first(program.stack_use());
        self.registers[Reg::R10.index()] = address::FIRST_FRAME;
    }

    /// Takes `cost` from the budget, for the jump or call at `pc`.
    #[inline(always)]
    pub fn charge(&mut self, cost: u32, pc: Pc) -> Result<(), Trap> {
        match self.budget.checked_sub(cost.into()) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(Trap::OutOfInstructions { pc }),
        }
    }

    /// Calls helper `id`, for the call at `pc`.
    pub fn call_helper(&mut self, id: i32, arguments: [u64; 5], pc: Pc) -> Result<u64, Trap> {
        let Some(helper) = self.helpers.get(id) else { return Err(Trap::UnknownHelper { pc, id }) };
        helper.call(self, arguments).map_err(|fault| fault.at(pc))
    }

    /// Reads `size` bytes of the packet in network byte order; `None` if they are not all there.
    ///
    /// Offsets from 0 count from the start of the data; negative ones address headers
    /// (`bpf_internal_load_pointer_neg_helper` in `kernel/bpf/core.c`).
    #[inline(always)]
    pub fn load_packet(&self, size: Size, offset: i32) -> Option<u64> {
        let bytes = self.memory.packet_bytes();
        let at = if offset >= 0 { self.packet.data as usize + offset as usize } else { self.header(offset)? };
        let bytes = bytes.get(at..)?;
        match size {
            Size::B => bytes.first().map(|&byte| byte.into()),
            Size::H => bytes.first_chunk().map(|&chunk| u16::from_be_bytes(chunk).into()),
            Size::W => bytes.first_chunk().map(|&chunk| u32::from_be_bytes(chunk).into()),
            Size::DW => bytes.first_chunk().map(|&chunk| u64::from_be_bytes(chunk)),
        }
    }

    /// Where a negative offset points to in the packet region.
    #[cold]
    fn header(&self, offset: i32) -> Option<usize> {
        let (base, from) = match offset {
            NETWORK_OFFSET.. => (self.packet.network, NETWORK_OFFSET),
            LINK_OFFSET.. => (self.packet.link?, LINK_OFFSET),
            _ => return None,
        };
        Some(base as usize + (offset - from) as usize)
    }
}

impl std::fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("memory", &self.memory)
            .field("packet", &self.packet)
            .field("budget", &self.budget)
            .field("registers", &self.registers)
            .finish_non_exhaustive()
    }
}

/// Frames that wait for their callee, for engines that keep them in memory.
#[derive(Debug, Default)]
pub struct Frames {
    waiting: [Frame; sandbpf_isa::MAX_FRAMES - 1],
    depth: usize,
}

/// What a caller finds again when its callee returns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frame {
    /// Where to go on.
    pub return_to: u32,
    /// `r6`…`r9`.
    pub preserved: [u64; 4],
    /// How many `may_goto`s the caller has left.
    pub may_goto: u64,
}

impl Frames {
    /// Puts a frame aside; `Err` when there are too many.
    pub fn push(&mut self, frame: Frame, pc: Pc) -> Result<(), Trap> {
        *self.waiting.get_mut(self.depth).ok_or(Trap::CallDepth { pc })? = frame;
        self.depth += 1;
        Ok(())
    }

    /// The frame to go back to; `None` when the program ends.
    pub fn pop(&mut self) -> Option<Frame> {
        self.depth = self.depth.checked_sub(1)?;
        Some(self.waiting[self.depth])
    }
}

/// What a helper's body may answer.
pub type HelperResult = Result<u64, Fault>;
