//! What is done to programs that only read, by name, so that each can be left out; and how their code is called.

/// What is done to programs that only read, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PurePass {
    /// Keeps words of the stack in registers.
    Words,
    /// Undoes copies between registers.
    Copies,
    /// Finds sums that cannot wrap, and tests whose outcome is known.
    Ranges,
    /// Brings lists of rules into an order that saves work.
    Rules,
    /// Leaves out loads of what a register holds.
    Reuse,
    /// Makes tests of one number that follow each other one decision.
    Switches,
    /// Tests the packet's length once for several loads.
    Lengths,
    /// Compares bytes where they lie, in the order in which they lie.
    Fusion,
    /// Gives one of two answers without a jump, and answers that are expected at once.
    Choices,
}

impl PurePass {
    /// All of them.
    pub const ALL: [PurePass; 9] = [
        PurePass::Words,
        PurePass::Copies,
        PurePass::Ranges,
        PurePass::Rules,
        PurePass::Reuse,
        PurePass::Switches,
        PurePass::Lengths,
        PurePass::Fusion,
        PurePass::Choices,
    ];
}

/// A set of passes that are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WithoutPure(u16);

impl WithoutPure {
    /// No pass runs.
    pub const ALL: WithoutPure = WithoutPure(u16::MAX);

    /// These, and another one.
    pub const fn and(self, pass: PurePass) -> WithoutPure {
        WithoutPure(self.0 | 1 << pass as u16)
    }

    #[cfg_attr(not(all(target_arch = "x86_64", unix)), allow(dead_code))]
    pub(crate) fn has(self, pass: PurePass) -> bool {
        self.0 >> pass as u16 & 1 != 0
    }
}

/// What code wants to know to give an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The packet. It always knows the answer.
    Packet,
    /// The packet, and the first word of the context. It always knows the answer.
    Word,
    /// The packet, the first word of the context, and the budget; even then it may not know.
    Unsure,
    /// The packet, and more of the context: so many bytes as [`Pure::context`](crate::Pure::context) says. It always knows
    /// the answer.
    Context,
    /// The same, and the budget; even then it may not know.
    Everything,
}
