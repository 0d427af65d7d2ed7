//! Short programs that only compute: without a machine.
//!
//! A program that calls nobody, never goes back and has no stack needs little: its registers, and the memory that it is
//! about. Preparing a [machine](sandbpf_runtime::Machine) takes as long as doing a dozen instructions, so a program
//! of no more than that is done without one.
//!
//! ```text
//!   op      an instruction as an operation, which leads to the next
//!   reach   the memory of one run
//! ```

mod op;
mod reach;

#[cfg(test)]
mod tests;

use sandbpf_isa::{Insn, Pc, Program, Reg, StackUse};
use sandbpf_runtime::{Trap, address};

use op::{Live, Next, Op};
pub use reach::{Lent, Reach};

/// A short program: a function of its memory.
///
/// ```
/// use sandbpf_interp::{Brief, Lent, Reach};
/// use sandbpf_runtime::address::BUFFER;
/// let program = sandbpf_isa::parse("r0 = *(u8 *)(r1 + 1)\n*(u8 *)(r1 + 0) = r0\nexit")?;
/// let brief = Brief::new(&program).expect("it is short");
/// let mut memory = [1, 7];
/// let reach = Reach { at: BUFFER, bytes: Lent::Write(&mut memory), context: &mut [] };
/// assert_eq!(brief.run([BUFFER, 2], reach), Ok(7));
/// assert_eq!(memory, [7, 7]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Brief {
    /// One for each instruction, and what stands behind the last.
    ops: Box<[Op]>,
    writes: bool,
}

/// How long a program is done sooner in this way than with a machine, in code where what is often done together is one operation.
const MOST: usize = 16;

impl Brief {
    /// The program, if it is of this kind. There must be nothing for it but what a run [reaches](Reach): no maps.
    pub fn new(program: &Program) -> Option<Brief> {
        let insns = program.insns();
        if insns.len() > MOST || program.stack_use() != StackUse::None || program.arena().is_some() {
            return None;
        }
        let ops = insns.iter().enumerate().map(|(at, insn)| Op::of(at, insn)).chain([Some(Op::FELL)]);
        let ops = ops.collect::<Option<_>>()?;
        let writes = insns.iter().any(|insn| matches!(insn, Insn::Store { .. }));
        Some(Brief { ops, writes })
    }

    /// Whether it writes to memory.
    #[inline]
    pub fn writes(&self) -> bool {
        self.writes
    }

    /// Runs the program with these `r1` and `r2`.
    #[inline]
    pub fn run(&self, [r1, r2]: [u64; 2], reach: Reach<'_>) -> Result<u64, Trap> {
        let mut live = Live::new(&self.ops, reach);
        live.registers[1] = r1;
        live.registers[2] = r2;
        live.registers[Reg::R10.index()] = address::FIRST_FRAME;
        match live.go(&self.ops) {
            Next::Exit => Ok(live.registers[0]),
            Next::Fell => Err(Trap::FellOff { pc: Pc(self.ops.len() as u32 - 2) }),
            Next::Fault => Err(live.trap()),
        }
    }
}

impl std::fmt::Debug for Brief {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Brief").field("operations", &self.ops.len()).finish_non_exhaustive()
    }
}
