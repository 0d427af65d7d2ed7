//! What operations do besides computing values, and what they use.

use super::graph::{Address, Bulk, Key, Op, Region, Test, Value};

impl Bulk {
    /// Where it writes to.
    pub(crate) fn to(&self) -> Option<Address> {
        match *self {
            Bulk::Copy { to, .. } | Bulk::Combine { to, .. } => Some(to),
            Bulk::Apply { to, .. } | Bulk::Fill { to, .. } => Some(to),
            Bulk::Sum { .. } | Bulk::Ramp { .. } => None,
        }
    }

    /// Where it reads from, besides that.
    pub(crate) fn from(&self) -> Option<Address> {
        match *self {
            Bulk::Copy { from, .. } | Bulk::Combine { from, .. } => Some(from),
            Bulk::Apply { from, .. } | Bulk::Sum { from, .. } | Bulk::Ramp { from } => Some(from),
            Bulk::Fill { .. } => None,
        }
    }

    /// Its addresses, to change them.
    pub(crate) fn addresses_mut(&mut self) -> impl Iterator<Item = &mut Address> {
        let (to, from) = match self {
            Bulk::Copy { to, from, .. } | Bulk::Combine { to, from, .. } => (Some(to), Some(from)),
            Bulk::Apply { to, from, .. } => (Some(to), Some(from)),
            Bulk::Fill { to, .. } => (Some(to), None),
            Bulk::Sum { from, .. } | Bulk::Ramp { from } => (None, Some(from)),
        };
        to.into_iter().chain(from)
    }
}

/// What an operation does besides computing its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it may stand anywhere, be computed twice or not at all.
    None,
    /// It looks at memory.
    Read,
    /// It writes to memory.
    Write,
    /// It may trap, or looks at or changes the budget; what was written before must have been, and what comes after it must not have
    /// been written.
    Order,
    /// All of these.
    All,
}

impl Op {
    /// What it does besides computing a value.
    pub(crate) fn effect(&self) -> Effect {
        match self {
            Op::Gone | Op::Const(_) | Op::Param(_) | Op::Entry(_) | Op::Base(_) => Effect::None,
            Op::Bin { .. } | Op::Un { .. } | Op::Compare(_) | Op::Select { .. } => Effect::None,
            Op::Load { .. } => Effect::Read,
            Op::Bulk { what, .. } if what.to().is_none() => Effect::Read,
            Op::Store { .. } | Op::Clear { .. } | Op::Bulk { .. } => Effect::Write,
            Op::Host { .. } | Op::Budget | Op::Charge { .. } | Op::Spend { .. } => Effect::Order,
            Op::Plain { .. } => Effect::Order,
            Op::Call { .. } | Op::Atomic { .. } => Effect::All,
            // Who goes next from a full map depends on what was looked up.
            Op::Lookup { marks: true, .. } => Effect::Order,
            Op::Lookup { marks: false, .. } => Effect::Read,
        }
    }

    /// Whether it may write to this region.
    pub(crate) fn writes_to(&self, region: Region) -> bool {
        let here = |at: Address| at.region.is_none_or(|other| other == region);
        match self {
            Op::Store { at, .. } | Op::Atomic { at, .. } => here(*at),
            Op::Bulk { what, .. } => what.to().is_some_and(here),
            Op::Clear { .. } => region == Region::Stack,
            _ => false,
        }
    }

    /// Whether it stands in no block: it is the same everywhere.
    pub(crate) fn is_everywhere(&self) -> bool {
        matches!(self, Op::Const(_) | Op::Entry(_) | Op::Base(_))
    }

    /// Whether it computes a value that others may use.
    pub(crate) fn has_value(&self) -> bool {
        match self {
            Op::Gone | Op::Store { .. } | Op::Clear { .. } | Op::Charge { .. } | Op::Spend { .. } => false,
            Op::Bulk { what, .. } => what.to().is_none(),
            _ => true,
        }
    }

    /// Calls `each` with every operand.
    #[inline]
    pub(crate) fn uses_mut(&mut self, mut each: impl FnMut(&mut Value)) {
        match self {
            Op::Bin { a, b, .. } => {
                each(a);
                each(b);
            }
            Op::Un { a, .. } => each(a),
            Op::Compare(test) => test.uses_mut(&mut each),
            Op::Load { at, .. } => at.uses_mut(&mut each),
            Op::Store { at, value, .. } => {
                at.uses_mut(&mut each);
                each(value);
            }
            rare => rare.rare_uses_mut(&mut each),
        }
    }

    fn rare_uses_mut(&mut self, mut each: &mut dyn FnMut(&mut Value)) {
        match self {
            Op::Gone | Op::Const(_) | Op::Param(_) | Op::Entry(_) | Op::Base(_) => {}
            Op::Clear { .. } | Op::Budget | Op::Charge { .. } => {}
            Op::Bin { .. } | Op::Un { .. } | Op::Compare(_) | Op::Load { .. } | Op::Store { .. } => {
                unreachable!("these are frequent")
            }
            Op::Select { test, yes, no } => {
                test.uses_mut(&mut each);
                each(yes);
                each(no);
            }
            Op::Host { at, .. } => each(at),
            Op::Spend { amount } => each(amount),
            Op::Call { arguments, .. } | Op::Plain { arguments, .. } => arguments.iter_mut().for_each(each),
            Op::Atomic { at, value, expected, .. } => {
                at.uses_mut(&mut each);
                each(value);
                each(expected);
            }
            Op::Bulk { what, count } => {
                match what {
                    Bulk::Copy { to, from, .. } | Bulk::Combine { to, from, .. } => {
                        to.uses_mut(&mut each);
                        from.uses_mut(&mut each);
                    }
                    Bulk::Apply { to, from, key, .. } => {
                        to.uses_mut(&mut each);
                        from.uses_mut(&mut each);
                        each(key);
                    }
                    Bulk::Fill { to, value, .. } => {
                        to.uses_mut(&mut each);
                        each(value);
                    }
                    Bulk::Sum { from, .. } | Bulk::Ramp { from } => from.uses_mut(&mut each),
                }
                each(count);
            }
            Op::Lookup { key: Key::At(at), .. } => at.uses_mut(&mut each),
            Op::Lookup { key: Key::Words(words), .. } => words.iter_mut().for_each(each),
        }
    }

    /// The same, to look at them.
    #[inline]
    pub(crate) fn uses(&self, mut each: impl FnMut(Value)) {
        match self {
            Op::Bin { a, b, .. } => {
                each(*a);
                each(*b);
            }
            Op::Un { a, .. } => each(*a),
            Op::Compare(test) => {
                each(test.lhs);
                each(test.rhs);
            }
            Op::Load { at, .. } => at.uses(&mut each),
            Op::Store { at, value, .. } => {
                at.uses(&mut each);
                each(*value);
            }
            rare => rare.rare_uses(&mut each),
        }
    }

    fn rare_uses(&self, mut each: &mut dyn FnMut(Value)) {
        match self {
            Op::Gone | Op::Const(_) | Op::Param(_) | Op::Entry(_) | Op::Base(_) => {}
            Op::Clear { .. } | Op::Budget | Op::Charge { .. } => {}
            Op::Bin { .. } | Op::Un { .. } | Op::Compare(_) | Op::Load { .. } | Op::Store { .. } => {
                unreachable!("these are frequent")
            }
            Op::Select { test, yes, no } => [test.lhs, test.rhs, *yes, *no].into_iter().for_each(each),
            Op::Host { at, .. } => each(*at),
            Op::Spend { amount } => each(*amount),
            Op::Call { arguments, .. } | Op::Plain { arguments, .. } => {
                arguments.iter().for_each(|&value| each(value));
            }
            Op::Atomic { at, value, expected, .. } => {
                at.uses(&mut each);
                each(*value);
                each(*expected);
            }
            Op::Bulk { what, count } => {
                what.to().into_iter().chain(what.from()).for_each(|at| at.uses(&mut each));
                if let Bulk::Apply { key: value, .. } | Bulk::Fill { value, .. } = what {
                    each(*value);
                }
                each(*count);
            }
            Op::Lookup { key: Key::At(at), .. } => at.uses(&mut each),
            Op::Lookup { key: Key::Words(words), .. } => words.iter().for_each(|&word| each(word)),
        }
    }
}

impl Test {
    pub(super) fn uses_mut(&mut self, each: &mut impl FnMut(&mut Value)) {
        each(&mut self.lhs);
        each(&mut self.rhs);
    }
}

impl Address {
    pub(super) fn uses(&self, each: &mut impl FnMut(Value)) {
        each(self.base);
        if let Some((index, _)) = self.index {
            each(index);
        }
    }

    pub(super) fn uses_mut(&mut self, each: &mut impl FnMut(&mut Value)) {
        each(&mut self.base);
        if let Some((index, _)) = &mut self.index {
            each(index);
        }
    }
}
