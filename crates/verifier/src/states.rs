//! The states that the verifier saw, kept so that runs can be held against them.
//!
//! Whatever a run does, its registers must lie in one of the states that were seen at the instruction it is at: that is
//! what it means for the walk to have covered all runs. Of numbers whose range did not matter to what was accepted
//! nothing is said, nor of registers that nobody reads again, for states were taken as covered whatever they were ([`facts`](crate::facts)).

use std::collections::HashSet;

use sandbpf_isa::Pc;

use crate::domain::Scalar;
use crate::facts::Region;
use crate::state::{Kind, Reg};

/// What a register may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Anything.
    Any,
    /// A number of these.
    Number(Scalar),
    /// An address, at an offset from `first` to `last` as [`Region`] counts.
    Pointer {
        /// Where.
        region: Region,
        /// The lowest offset.
        first: i64,
        /// The highest.
        last: i64,
        /// Or 0.
        null: bool,
    },
}

/// Registers `r0` … `r9`.
pub type Snapshot = [Value; 10];

/// The states by instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct States {
    at: Vec<HashSet<Snapshot>>,
}

/// No more than so many are kept of an instruction: beyond, nothing is said of it.
const MOST: usize = 2048;

impl States {
    pub(crate) fn new(insns: usize) -> States {
        States { at: vec![HashSet::new(); insns] }
    }

    /// Adds what registers hold, of those that matter (`live`, a bit each).
    pub(crate) fn add(&mut self, pc: Pc, registers: &[Reg], live: u16) {
        let seen = &mut self.at[pc.index()];
        if seen.len() <= MOST {
            let value = |number: usize| match live >> number & 1 {
                1 => Value::of(&registers[number]),
                _ => Value::Any,
            };
            seen.insert(std::array::from_fn(value));
        }
    }

    /// What was seen at an instruction; `None` if nothing was, or more than is kept.
    pub fn at(&self, pc: Pc) -> Option<impl Iterator<Item = &Snapshot>> {
        self.at.get(pc.index()).filter(|seen| (1..=MOST).contains(&seen.len())).map(|seen| seen.iter())
    }
}

impl Value {
    fn of(reg: &Reg) -> Value {
        let region = match reg.kind {
            Kind::Scalar if reg.precise => return Value::Number(reg.num),
            Kind::Stack => Region::Stack,
            Kind::Context => Region::Context,
            Kind::Packet => Region::Packet,
            Kind::PacketMeta => Region::PacketMeta,
            Kind::MapValue(map) => Region::MapValue(map),
            _ => return Value::Any,
        };
        let start = i64::from(reg.off);
        Value::Pointer {
            region,
            first: start.saturating_add(reg.num.smin),
            last: start.saturating_add(reg.num.smax),
            null: reg.may_be_null(),
        }
    }
}
