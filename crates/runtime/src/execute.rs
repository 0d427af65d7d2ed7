//! What all engines do.

use sandbpf_isa::Pc;

use crate::{Machine, Trap};

/// An engine with a program in it.
pub trait Execute: Send + Sync + std::fmt::Debug {
    /// Runs the program from its first instruction with the machine's registers, and returns `r0`.
    ///
    /// Afterwards the machine's memory and budget are as the program left them. A run that traps
    /// leaves what it wrote before.
    fn execute(&self, machine: &mut Machine<'_>) -> Result<u64, Trap>;

    /// Runs the function that starts at `entry`, with the machine's registers, and returns its `r0`: how helpers
    /// call back into the program that called them.
    fn call(&self, machine: &mut Machine<'_>, entry: Pc) -> Result<u64, Trap>;

    /// The machine code, of an engine that has some.
    fn machine_code(&self) -> Option<&[u8]> {
        None
    }
}
