//! Where jumps go: names and indices to distances, once all instructions are known.

use alloc::collections::BTreeMap;
use alloc::{format, vec::Vec};
use core::ops::Range;

use super::TextError;
use crate::ClassicInsn;

/// What a jump names.
pub(super) enum Target<'a> {
    Label { place: Range<usize>, name: &'a str },
    Index { place: Range<usize>, index: u32 },
}

/// Which field of an instruction holds the distance.
#[derive(Clone, Copy)]
pub(super) enum Place {
    K,
    True,
    False,
}

/// The labels of a text and what refers to them.
#[derive(Default)]
pub(super) struct Labels<'a> {
    defined: BTreeMap<&'a str, usize>,
    referred: Vec<(usize, Place, Target<'a>)>,
}

impl<'a> Labels<'a> {
    /// Names an instruction. The first of equal names counts.
    pub(super) fn define(&mut self, name: &'a str, insn: usize) {
        self.defined.entry(name).or_insert(insn);
    }

    /// Says that a field of an instruction is to hold the distance to a target.
    pub(super) fn refer(&mut self, insn: usize, place: Place, target: Target<'a>) {
        self.referred.push((insn, place, target));
    }

    /// Writes the distances into the instructions.
    pub(super) fn resolve(&self, text: &str, insns: &mut [ClassicInsn]) -> Result<(), TextError> {
        for (from, field, target) in &self.referred {
            let (place, to) = match target {
                Target::Index { place, index } => (place, *index),
                Target::Label { place, name } => match self.defined.get(name) {
                    Some(&to) => (place, to as u32),
                    None => {
                        let error = TextError::new(text, place.clone(), "a label of this program");
                        return Err(error.because(format!("no such label '{name}'")));
                    }
                },
            };
            // Back is modulo 2³², as far as the field allows.
            let distance = to.wrapping_sub(*from as u32 + 1);
            let short = || {
                u8::try_from(distance).map_err(|_| {
                    TextError::new(text, place.clone(), "a target 0 to 255 instructions after the next")
                        .because(format!("insn #{from} jumps to insn #{to}, which is out of range"))
                })
            };
            match field {
                Place::K => insns[*from].k = distance,
                Place::True => insns[*from].jt = short()?,
                Place::False => insns[*from].jf = short()?,
            }
        }
        Ok(())
    }
}
