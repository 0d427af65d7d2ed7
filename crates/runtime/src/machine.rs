//! Everything one run needs: memory, the packet's layout, the budget, helpers, the host.

use std::borrow::Cow;

use sandbpf_isa::{FRAME_SIZE, MAX_FRAMES, Pc, Program, Reg, Size};

use crate::address;
use crate::execute::Execute;
use crate::helpers::{self, HelperSet};
use crate::host::Host;
use crate::kfuncs;
use crate::memory::{Caller, Memory, Stack};
use crate::net::PacketState;
use crate::surroundings::{Around, Surroundings};
use crate::trap::{Fault, Trap};
use crate::world::World;

/// The registers `r0`…`r10`.
pub type Registers = [u64; Reg::COUNT];

/// One run: what the program can reach, and what is left of it.
///
/// A machine borrows all it shows to the program, so making one costs next to nothing; the stack is
/// the only thing worth keeping between runs.
///
/// The registers come first: an interpreter names them all the time, and what is near is named in fewer bytes. What is zero at
/// first lies together, so that it is made in few steps.
#[repr(C)]
pub struct Machine<'run> {
    /// The registers: at entry what the program starts with, after [`Execute::execute`] (if the engine
    /// was asked to export them) what it ended with.
    ///
    /// [`Execute::execute`]: crate::Execute::execute
    pub registers: Registers,
    /// What the program can address.
    pub memory: Memory<'run>,
    /// What is left of the run's instructions.
    pub budget: u64,
    around: Around<'run>,
    /// Where things are in the packet.
    pub packet: PacketLayout,
    /// What helpers know of the packet besides its bytes; nothing of one that nobody can change.
    pub packet_state: Option<&'run mut PacketState>,
    /// What the hooked system call returns, for helpers that read and set it.
    pub retval: i64,
    /// The frame of the function that runs, counted from 0. Engines keep it true around calls of helpers at least.
    pub frame: usize,
    /// Maps and programs, if others than those around.
    world: Option<&'run World>,
    /// What few runs need.
    aside: Option<Box<Aside>>,
    /// What runs, for helpers that call back into it, if it is something else than what is around.
    code: Option<&'run dyn Execute>,
    /// How many tail calls the run has made.
    pub tail_calls: u32,
    /// The processor, once somebody asked.
    cpu: Option<u32>,
    /// Whether a helper ended the function that called it.
    ended: bool,
}

/// What few runs need of a machine, so that others need not prepare it.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// The time, where it is not the host's.
    clock: Option<u64>,
    /// The timer whose callback runs.
    pub(crate) firing: Option<u64>,
    /// Locks that the run holds.
    pub(crate) locks: Vec<u64>,
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
    #[inline]
    pub fn new(stack: &'run mut Stack, helpers: &'run HelperSet, host: &'run dyn Host, budget: u64) -> Self {
        Machine::around(Around::Given { helpers, host }, stack, budget)
    }

    /// The same, for helpers that call functions of `code`, which will run.
    pub fn running(
        code: Option<&'run dyn Execute>,
        stack: &'run mut Stack,
        helpers: &'run HelperSet,
        host: &'run dyn Host,
        budget: u64,
    ) -> Self {
        let mut machine = Machine::new(stack, helpers, host, budget);
        machine.code = code;
        machine
    }

    /// A machine for a program that has these surroundings. If there is a world, what lies [far](Memory::set_far) is it,
    /// too.
    #[inline]
    pub fn within(surroundings: &'run dyn Surroundings, stack: &'run mut Stack, budget: u64) -> Self {
        Machine::around(Around::Of(surroundings), stack, budget)
    }

    #[inline(always)]
    fn around(around: Around<'run>, stack: &'run mut Stack, budget: u64) -> Self {
        let mut registers = [0; Reg::COUNT];
        registers[Reg::R10.index()] = address::FIRST_FRAME;
        Machine {
            memory: Memory::new(stack),
            packet: PacketLayout::default(),
            packet_state: None,
            budget,
            registers,
            tail_calls: 0,
            retval: 0,
            frame: 0,
            around,
            world: None,
            code: None,
            cpu: None,
            aside: None,
            ended: false,
        }
    }

    /// Gives the program maps, and other programs to call.
    pub fn set_world(&mut self, world: &'run World) {
        self.world = Some(world);
        self.memory.set_far(world);
    }

    /// Maps and programs.
    pub fn world(&self) -> Option<&'run World> {
        self.world.or_else(|| self.around.world())
    }

    /// What runs.
    pub(crate) fn code(&self) -> Option<&'run dyn Execute> {
        self.code.or_else(|| self.around.code())
    }

    /// Which helpers there are.
    pub fn helpers(&self) -> &'run HelperSet {
        self.around.helpers()
    }

    /// The processor that the program runs on: the host is asked once, for a run stays where it is.
    #[inline]
    pub fn cpu(&mut self) -> u32 {
        let around = self.around;
        *self.cpu.get_or_insert_with(|| around.host().cpu())
    }

    /// The world outside.
    pub fn host(&self) -> &'run dyn Host {
        self.around.host()
    }

    /// Prepares for the first instruction of `program`. Engines call it; nobody else needs to.
    #[inline]
    pub fn enter(&mut self, program: &Program) {
        self.memory.enter_lowest(self.frame, program.stack_use());
        self.memory.set_arena(program.arena());
        self.registers[Reg::R10.index()] = address::FIRST_FRAME + (FRAME_SIZE * self.frame) as u64;
    }

    /// Prepares for the function at `entry` of `program`, which a helper calls: one frame higher, and paid for.
    /// Engines call it.
    pub fn enter_function(&mut self, program: &Program, entry: Pc) -> Result<(), Trap> {
        let Some(function) = program.function_at(entry) else {
            return Err(Trap::BadCallTarget { pc: entry, address: address::function(entry) });
        };
        self.charge(function.cost, entry)?;
        self.enter(program);
        Ok(())
    }

    /// Calls the function that `address` points to, in a frame of its own: how helpers call back.
    ///
    /// What the function left of the budget is what is left.
    pub fn call_back(&mut self, address: u64, arguments: [u64; 5]) -> Result<u64, Stop> {
        let (Some(entry), Some(code)) = (address::as_function(address), self.code()) else {
            return Err(Stop::Target(address));
        };
        if self.frame + 1 >= MAX_FRAMES {
            return Err(Stop::Depth);
        }
        self.nested(self.frame + 1, |machine| {
            machine.registers = [0; Reg::COUNT];
            machine.registers[1..6].copy_from_slice(&arguments);
            Ok(code.call(machine, entry)?)
        })
    }

    /// Runs another program in the place of the function that called the helper, whose result becomes that function's:
    /// a tail call.
    pub fn replace(&mut self, code: &'run dyn Execute, context: u64) -> Result<u64, Stop> {
        let before = self.code.replace(code);
        let result = self.nested(self.frame, |machine| {
            machine.registers = [0; Reg::COUNT];
            machine.registers[1] = context;
            // A program that throws ends itself, and not who called it.
            match code.execute(machine) {
                Err(Trap::Thrown { cookie, .. }) => Ok(cookie),
                result => Ok(result?),
            }
        });
        self.code = before;
        self.ended = result.is_ok();
        result
    }

    /// Whether the helper that was called ended the function that called it. Engines ask after calls of
    /// [`TAIL_CALL`](sandbpf_abi::helper::TAIL_CALL), which is the only one that can.
    pub fn take_ended(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// Runs something else in frame `frame`, and comes back to everything but memory and budget as it was.
    fn nested(
        &mut self,
        frame: usize,
        run: impl FnOnce(&mut Self) -> Result<u64, Stop>,
    ) -> Result<u64, Stop> {
        let (registers, here, frames) = (self.registers, self.frame, self.memory.frames());
        let arena = self.memory.arena();
        self.frame = frame;
        let result = run(self);
        (self.registers, self.frame) = (registers, here);
        self.memory.set_frames(frames);
        self.memory.set_arena(arena);
        self.ended = false;
        result
    }

    /// Enters the next frame, for the call at `pc`. Engines that keep frames in memory call it.
    #[inline(always)]
    pub fn push_frame(&mut self, caller: Caller, pc: Pc) -> Result<(), Trap> {
        if self.frame + 1 >= MAX_FRAMES {
            return Err(Trap::CallDepth { pc });
        }
        if let Some(place) = self.memory.caller(self.frame) {
            *place = caller;
        }
        self.frame += 1;
        Ok(())
    }

    /// Goes back to the frame before; `None` from the `lowest`, with which the run ends.
    #[inline(always)]
    pub fn pop_frame(&mut self, lowest: usize) -> Option<&Caller> {
        if self.frame <= lowest {
            return None;
        }
        self.frame -= 1;
        self.memory.caller(self.frame).map(|caller| &*caller)
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
        let Some(helper) = self.around.helpers().get(id) else { return Err(Trap::UnknownHelper { pc, id }) };
        helper.call(self, arguments).map_err(|stop| stop.at(pc))
    }

    /// Calls the kernel function with this number of the [table](sandbpf_abi::kfuncs), for the call at `pc`.
    pub fn call_kfunc(&mut self, number: i32, arguments: [u64; 5], pc: Pc) -> Result<u64, Trap> {
        let (body, returns) = kfuncs::body(number).map_err(|refused| refused.at(pc))?;
        let result = body(self, arguments).map_err(|stop| stop.at(pc))?;
        Ok(match returns {
            kfuncs::Returns::Whole => result,
            kfuncs::Returns::Half => u64::from(result as u32),
        })
    }

    /// Takes what a helper's work costs from the budget.
    pub(crate) fn spend(&mut self, cost: u64) -> Result<(), Stop> {
        self.budget = self.budget.checked_sub(cost).ok_or(Stop::Budget)?;
        Ok(())
    }

    /// Sets the clock, where it is not the host's.
    pub fn set_clock(&mut self, now_ns: u64) {
        self.aside_mut().clock = Some(now_ns);
    }

    /// What few runs have.
    pub(crate) fn aside(&self) -> Option<&Aside> {
        self.aside.as_deref()
    }

    /// The same, made if it is not there.
    pub(crate) fn aside_mut(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }

    /// Nanoseconds of the clock: the host's, or the time at which a timer's callback runs.
    pub fn now_ns(&self) -> u64 {
        let clock = self.aside.as_ref().and_then(|aside| aside.clock);
        clock.unwrap_or_else(|| self.host().now_ns())
    }

    /// Copies bytes of the program's memory; a fault if they are not all its own.
    pub fn bytes(&self, address: u64, len: u64) -> Result<Vec<u8>, Fault> {
        helpers::Bytes { address, len }.read(self)
    }

    /// The same without a copy, where they are the run's alone.
    #[inline(always)]
    pub(crate) fn look(&self, address: u64, len: u64) -> Result<Cow<'_, [u8]>, Fault> {
        helpers::Bytes { address, len }.look(self)
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

/// What a helper's body may answer.
pub type HelperResult = Result<u64, Stop>;

/// Why a helper stops the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// It was given memory that is not the program's.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// What it called stopped.
    #[error(transparent)]
    Trap(#[from] Trap),
    /// It was to call what is no function.
    #[error("{0:#x} is not the address of a function")]
    Target(u64),
    /// It was to call a function where no frame is left.
    #[error("no frame is left for the function to call")]
    Depth,
    /// Its work costs more than what is left of the budget.
    #[error("the budget of instructions is used up")]
    Budget,
    /// It was to make an object of a type whose size nobody said.
    #[error("nothing says how long objects of type {0} are")]
    UnknownType(u64),
    /// It was to wait for a lock that the run itself has, or that nobody gives back.
    #[error("the lock at {0:#x} is never given back")]
    Deadlock(u64),
    /// It ends the program.
    #[error("the program threw {0}")]
    Thrown(u64),
}

impl Stop {
    /// The trap of the call at `pc`.
    pub fn at(self, pc: Pc) -> Trap {
        match self {
            Stop::Fault(fault) => fault.at(pc),
            Stop::Trap(trap) => trap,
            Stop::Target(address) => Trap::BadCallTarget { pc, address },
            Stop::Depth => Trap::CallDepth { pc },
            Stop::Budget => Trap::OutOfInstructions { pc },
            Stop::UnknownType(number) => Trap::UnknownType { pc, number },
            Stop::Deadlock(address) => Trap::Deadlock { pc, address },
            Stop::Thrown(cookie) => Trap::Thrown { pc, cookie },
        }
    }
}
