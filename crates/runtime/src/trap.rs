//! What stops a run.

use sandbpf_isa::Pc;

/// An access to memory that was not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of {size} bytes at {address:#x} is not allowed", if *write { "write" } else { "read" })]
pub struct Fault {
    /// The guest address.
    pub address: u64,
    /// How many bytes.
    pub size: u32,
    /// Whether it would have changed memory.
    pub write: bool,
}

impl Fault {
    /// The trap of the instruction at `pc` that caused it.
    pub fn at(self, pc: Pc) -> Trap {
        Trap::BadAccess { pc, address: self.address, size: self.size, write: self.write }
    }
}

/// Why a run stopped early. A verified program within its limits never traps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trap {
    /// The budget does not cover the jump back, or the call, at `pc`.
    #[error("at {pc}: the budget of instructions is used up")]
    OutOfInstructions {
        /// The jump or call.
        pc: Pc,
    },
    /// An access outside the program's memory, or a write to what is read only.
    #[error("at {pc}: {} of {size} bytes at {address:#x} is outside the program's memory", if *write { "write" } else { "read" })]
    BadAccess {
        /// The instruction.
        pc: Pc,
        /// The guest address.
        address: u64,
        /// How many bytes.
        size: u32,
        /// Whether it would have changed memory.
        write: bool,
    },
    /// More nested calls than [`MAX_FRAMES`](sandbpf_isa::MAX_FRAMES) allows.
    #[error("at {pc}: the call would need frame {}; there are {}", sandbpf_isa::MAX_FRAMES + 1, sandbpf_isa::MAX_FRAMES)]
    CallDepth {
        /// The call.
        pc: Pc,
    },
    /// No helper has this number.
    #[error("at {pc}: there is no helper {id}")]
    UnknownHelper {
        /// The call.
        pc: Pc,
        /// The number.
        id: i32,
    },
    /// A call through a register that does not point to a function.
    #[error("at {pc}: {address:#x} is not the address of a function")]
    BadCallTarget {
        /// The call.
        pc: Pc,
        /// What the register holds.
        address: u64,
    },
    /// A map, kernel variable or kernel function that nothing stands for.
    #[error("at {pc}: the instruction names a map, kernel variable or kernel function that is not there")]
    Unresolved {
        /// The instruction.
        pc: Pc,
    },
    /// A helper did what was proved not to happen: it moved the packet although its declaration does not say so, or
    /// left a context that does not say where the packet is. Linux's helpers do not; those of an embedder might.
    #[error("at {pc}: the helper did to packet or context what its declaration excludes")]
    Disproved {
        /// The call.
        pc: Pc,
    },
    /// No memory could be had for code that the run needs.
    #[error("at {pc}: no memory could be had for machine code")]
    NoMemory {
        /// The instruction that would run first.
        pc: Pc,
    },
    /// A call of a kernel function that means nothing outside of a kernel.
    #[error("at {pc}: the kernel function `{name}` means nothing outside of a kernel")]
    NoKfunc {
        /// The call.
        pc: Pc,
        /// Its name.
        name: &'static str,
    },
    /// An object of a type whose size nobody said.
    #[error("at {pc}: nothing says how long objects of type {number} are")]
    UnknownType {
        /// The call.
        pc: Pc,
        /// The type's number.
        number: u64,
    },
    /// A lock that the run already has, or that nobody gives back for a second.
    #[error("at {pc}: the lock at {address:#x} is never given back")]
    Deadlock {
        /// The call.
        pc: Pc,
        /// Where the lock is.
        address: u64,
    },
    /// `bpf_throw` ended the program, which has no callback for that: the number is its answer.
    #[error("at {pc}: the program threw {cookie}")]
    Thrown {
        /// The call.
        pc: Pc,
        /// The number.
        cookie: u64,
    },
    /// A write to `r10`, the frame pointer.
    #[error("at {pc}: r10, the frame pointer, is read only")]
    FramePointer {
        /// The instruction.
        pc: Pc,
    },
    /// Control ran past the last instruction, which stands at `pc`.
    #[error("after {pc}: control runs past the last instruction")]
    FellOff {
        /// The last instruction.
        pc: Pc,
    },
}

impl Trap {
    /// The instruction that trapped.
    pub fn pc(&self) -> Pc {
        match *self {
            Trap::OutOfInstructions { pc }
            | Trap::BadAccess { pc, .. }
            | Trap::CallDepth { pc }
            | Trap::UnknownHelper { pc, .. }
            | Trap::BadCallTarget { pc, .. }
            | Trap::Unresolved { pc }
            | Trap::NoMemory { pc }
            | Trap::Disproved { pc }
            | Trap::NoKfunc { pc, .. }
            | Trap::UnknownType { pc, .. }
            | Trap::Deadlock { pc, .. }
            | Trap::Thrown { pc, .. }
            | Trap::FramePointer { pc }
            | Trap::FellOff { pc } => pc,
        }
    }
}
