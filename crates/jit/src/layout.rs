//! The state of a run as machine code sees it.
//!
//! One structure, its address in a register. Emitters name its fields by [`offset_of`](core::mem::offset_of), so
//! that the two cannot disagree.

use core::any::Any;

use crate::proved::Needs;
use sandbpf_isa::Pc;
use sandbpf_runtime::address::{CONTEXT, PACKET, REGION_BITS, STACK};
use sandbpf_runtime::memory::view::View;
use sandbpf_runtime::{Machine, Registers, Trap};

/// What machine code knows of a run.
#[repr(C)]
pub(crate) struct State {
    /// The regions of guest memory.
    pub(crate) regions: View,
    /// For stack, context and packet: the address of the host less the guest's.
    pub(crate) biases: [u64; 3],
    /// The first byte of the packet's data …
    pub(crate) packet: *const u8,
    /// … and how many there are.
    pub(crate) packet_len: u64,
    /// What is left of the budget.
    pub(crate) budget: u64,
    /// What is left of the frame's `may_goto`s.
    pub(crate) may_goto: u64,
    /// The frame that runs, counted from 0.
    pub(crate) depth: u64,
    /// Where the code is that runs first.
    pub(crate) first: u64,
    /// The host's stack pointer to go back to.
    pub(crate) host_stack: u64,
    /// The host's stack pointer to return to from a callback.
    pub(crate) callback_stack: u64,
    /// For every function: where its code is, and its cost.
    pub(crate) functions: *const [u64; 2],
    /// What a callback answers besides its status.
    pub(crate) answer: u64,
    /// The helper or kernel function that is called …
    pub(crate) call_id: i32,
    /// … and where.
    pub(crate) call_pc: u32,
    /// The processor, for code that looks at values of its own.
    pub(crate) cpu: u32,
    /// The value of a map that was found last: its address, …
    pub(crate) near: u64,
    /// … what is added to addresses in it for the host, …
    pub(crate) near_bias: u64,
    /// … and how many of its bytes may be read and written.
    pub(crate) near_readable: u32,
    pub(crate) near_writable: u32,
    /// The machine's registers, as the program finds them at entry.
    pub(crate) entry: *const Registers,
    /// The registers around callbacks, and (if exported) at the end.
    pub(crate) registers: Registers,
    /// Why the run ended.
    pub(crate) status: u32,
    /// The instruction that trapped, when machine code knows it.
    pub(crate) trap_pc: u32,
    /// Where an access failed: the address of code behind it …
    pub(crate) fault_at: u64,
    /// … the guest address …
    pub(crate) fault_address: u64,
    /// … how many bytes …
    pub(crate) fault_size: u32,
    /// … and whether it was a write.
    pub(crate) fault_write: u32,
    /// What proved code needs to be so, if it is.
    pub(crate) needs: Option<Needs>,
    /// The machine, for callbacks: a `Machine<'run>` that nobody else touches meanwhile.
    pub(crate) machine: *mut Machine<'static>,
    /// The program, for callbacks.
    pub(crate) program: *const sandbpf_isa::Program,
    /// The trap that a callback found.
    pub(crate) trap: Option<Trap>,
    /// The panic that a callback caught.
    pub(crate) panic: Option<Box<dyn Any + Send>>,
}

/// What was proved is not so any more.
#[derive(Debug)]
pub(crate) struct Disproved;

/// Why a run ended.
pub(crate) mod status {
    /// It returned.
    pub(crate) const RETURNED: u32 = 0;
    /// The budget is used up, at `trap_pc`.
    pub(crate) const OUT_OF_INSTRUCTIONS: u32 = 1;
    /// Too many frames, at `trap_pc`.
    pub(crate) const CALL_DEPTH: u32 = 2;
    /// A map, variable or kernel function, at `trap_pc`.
    pub(crate) const UNRESOLVED: u32 = 3;
    /// A write to the frame pointer, at `trap_pc`.
    pub(crate) const FRAME_POINTER: u32 = 4;
    /// Control ran past the end, behind `trap_pc`.
    pub(crate) const FELL_OFF: u32 = 5;
    /// An access failed, at `fault_at`.
    pub(crate) const FAULT: u32 = 6;
    /// A callback found a trap.
    pub(crate) const TRAP: u32 = 7;
    /// A callback panicked.
    pub(crate) const PANIC: u32 = 8;
}

impl State {
    /// Looks where memory is.
    pub(crate) fn look(&mut self, machine: &mut Machine<'_>) {
        machine.memory.view_into(&mut self.regions);
        let bias =
            |start: u64| (self.regions[(start >> REGION_BITS) as usize].start as u64).wrapping_sub(start);
        self.biases = [STACK, CONTEXT, PACKET].map(bias);
        let data = machine.memory.packet_bytes().get(machine.packet.data as usize..).unwrap_or_default();
        (self.packet, self.packet_len) = (data.as_ptr(), data.len() as u64);
    }

    /// Looks where memory is after a call, if it moved. What a proof says must still be so, unless the callee is trusted: the
    /// packet moved only if the callee may move it, and the context says where it is.
    pub(crate) fn look_again(
        &mut self,
        machine: &mut Machine<'_>,
        is_trusted: bool,
        may_move: impl FnOnce() -> bool,
    ) -> Result<(), Disproved> {
        let before = self.regions[(PACKET >> REGION_BITS) as usize];
        if machine.memory.take_moved() {
            self.look(machine);
        }
        let Some(needs) = self.needs.filter(|_| !is_trusted) else { return Ok(()) };
        let now = self.regions[(PACKET >> REGION_BITS) as usize];
        let moved = (before.start, before.readable) != (now.start, now.readable);
        let field = |off: u32| machine.memory.read::<4>(CONTEXT + u64::from(off)).unwrap_or_default();
        let holds = (!moved || may_move()) && needs.met(None, &self.regions, field);
        if holds { Ok(()) } else { Err(Disproved) }
    }

    /// The trap that `status` stands for; `pc_of` finds the instruction of an address of code.
    pub(crate) fn trap(&mut self, pc_of: impl FnOnce(u64) -> Pc) -> Trap {
        let pc = Pc(self.trap_pc);
        match self.status {
            status::OUT_OF_INSTRUCTIONS => Trap::OutOfInstructions { pc },
            status::CALL_DEPTH => Trap::CallDepth { pc },
            status::UNRESOLVED => Trap::Unresolved { pc },
            status::FRAME_POINTER => Trap::FramePointer { pc },
            status::FELL_OFF => Trap::FellOff { pc },
            status::FAULT => Trap::BadAccess {
                pc: pc_of(self.fault_at),
                address: self.fault_address,
                size: self.fault_size,
                write: self.fault_write != 0,
            },
            _ => self.trap.take().unwrap_or(Trap::Unresolved { pc }),
        }
    }
}
