//! Watching a run.

use sandbpf_isa::Pc;
use sandbpf_runtime::Registers;

/// Follows an interpreted run: for traces, coverage, profiles. Every method does nothing by default.
///
/// ```
/// use sandbpf_interp::Observer;
/// use sandbpf_isa::Pc;
///
/// #[derive(Default)]
/// struct Edges(std::collections::HashSet<(Pc, Pc)>);
/// impl Observer for Edges {
///     fn branch(&mut self, pc: Pc, to: Pc) { self.0.insert((pc, to)); }
/// }
/// ```
pub trait Observer {
    /// The instruction at `pc` is about to run with these registers.
    fn step(&mut self, _pc: Pc, _registers: &Registers) {}

    /// A jump, branch, call or return at `pc` goes to `to`. A branch that is not taken goes to the
    /// instruction after it.
    fn branch(&mut self, _pc: Pc, _to: Pc) {}
}

/// An observer that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
