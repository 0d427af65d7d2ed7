//! What verifying comes to: a proof, or a rejection with the way that leads to it.

use std::fmt;

use sandbpf_isa::{self as isa, DecodeError};
use sandbpf_verifier::{Facts, Rejected, States, Statistics, Verified};

/// That a program was accepted, and what was found out on the way.
#[derive(Clone, Debug)]
pub struct Proof {
    verified: Verified,
}

impl Proof {
    pub(super) fn of(verified: Verified) -> Proof {
        Proof { verified }
    }

    /// How much work it was.
    pub fn statistics(&self) -> Statistics {
        self.verified.statistics
    }

    /// Bytes of stack of each function, in the order of their places.
    pub fn stack(&self) -> &[i32] {
        &self.verified.stack
    }

    /// Whether some path reaches this instruction.
    pub fn reaches(&self, pc: isa::Pc) -> bool {
        self.verified.reached.get(pc.index()).copied().unwrap_or(false)
    }

    /// What machine code may assume of the program.
    pub fn facts(&self) -> &Facts {
        &self.verified.facts
    }

    /// The states that were seen, if they were kept ([`Verifier::keeping_states`](super::Verifier::keeping_states)).
    pub fn states(&self) -> Option<&States> {
        self.verified.states.as_ref()
    }

    /// What was written down ([`Verifier::log_level`](super::Verifier::log_level)).
    pub fn log(&self) -> &str {
        &self.verified.log
    }
}

/// Why Linux would not load a program.
///
/// `Display` is one line: the kernel's words, the instruction and the errno.
#[derive(Clone, Debug)]
pub struct VerifyError {
    rejected: Box<Rejected>,
    /// The instruction in slots, and those of the path.
    slot: Option<u32>,
    path: Vec<(u32, u32)>,
}

impl VerifyError {
    pub(super) fn of(rejected: Box<Rejected>, program: &isa::Program) -> VerifyError {
        let rejection = &rejected.rejection;
        let slot = rejection.pc.map(|pc| program.slot(pc));
        let path = rejection.path.iter().map(|&(from, to)| (program.slot(from), program.slot(to))).collect();
        VerifyError { rejected, slot, path }
    }

    pub(super) fn undecodable(error: &DecodeError, code: &[u8], log_level: u32) -> VerifyError {
        let mut rejected = Box::new(sandbpf_verifier::undecodable(error, code));
        if log_level > 0 {
            rejected.log = format!("{}\n", rejected.rejection.message);
        }
        VerifyError { rejected, slot: Some(error.slot()), path: Vec::new() }
    }

    /// The name of the errno: `EACCES`.
    pub fn errno(&self) -> &'static str {
        self.rejected.rejection.errno.name()
    }

    /// Its number.
    pub fn errno_number(&self) -> i32 {
        super::number(self.rejected.rejection.errno)
    }

    /// The instruction that was looked at, in slots as the kernel counts; none if the program was refused as a whole.
    pub fn instruction(&self) -> Option<u32> {
        self.slot
    }

    /// The same, by its place among the instructions.
    pub fn pc(&self) -> Option<isa::Pc> {
        self.rejected.rejection.pc
    }

    /// The kernel's words; several lines if it says several things.
    pub fn message(&self) -> &str {
        &self.rejected.rejection.message
    }

    /// The line of the message that says it best: the last.
    pub fn line(&self) -> &str {
        self.message().lines().next_back().unwrap_or_default()
    }

    /// The jumps by which the instruction was reached, in slots: from, to.
    pub fn path(&self) -> &[(u32, u32)] {
        &self.path
    }

    /// The instructions of the rejected program that made what a register held there, the last first: followed along the
    /// path through moves, arithmetic, slots of the stack and functions.
    ///
    /// ```
    /// use sandbpf::{Verifier, abi::ProgramType, isa::Reg};
    /// let program = sandbpf::isa::parse("r6 = 7\nr1 = r6\nr0 = *(u8 *)(r1 + 0)\nexit")?;
    /// let error = Verifier::new(ProgramType::Xdp).verify(&program).unwrap_err();
    /// let origin = error.origin(&program, Reg::R1);
    /// assert_eq!(origin.iter().map(|pc| pc.0).collect::<Vec<_>>(), [1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn origin(&self, program: &isa::Program, register: isa::Reg) -> Vec<isa::Pc> {
        let rejection = &self.rejected.rejection;
        rejection.pc.map(|pc| super::origin::of(program, pc, &rejection.path, register)).unwrap_or_default()
    }

    /// What was known of each register at the instruction, in the kernel's notation: `(3, "scalar(umax=255)")`.
    pub fn registers(&self) -> &[(u8, String)] {
        &self.rejected.registers
    }

    /// What was known of registers and stack, in one line.
    pub fn state(&self) -> &str {
        &self.rejected.state
    }

    /// How much work it was until then.
    pub fn statistics(&self) -> Statistics {
        self.rejected.statistics
    }

    /// What was written down ([`Verifier::log_level`](super::Verifier::log_level)).
    pub fn log(&self) -> &str {
        &self.rejected.log
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(slot) = self.slot {
            write!(f, "at {slot}: ")?;
        }
        let lines: Vec<&str> = self.message().lines().collect();
        write!(f, "{} ({})", lines.join("; "), self.errno())
    }
}

impl std::error::Error for VerifyError {}
