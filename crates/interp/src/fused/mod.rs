//! Sequences of operations that are done in one go.
//!
//! Which ones: what compilers write often, by counting which instructions follow each other in runs. A sequence stands
//! at its first operation and needs no room of its own: every operation stays where it is, as it is, but for the function of
//! the first. So a jump into a sequence lands on what was always there, and a fault inside has its own program counter.
//!
//! Several sequences may start at one place, and overlap with those that start at the next. What is chosen is what
//! leaves the fewest steps to the end of the straight code.

mod branches;
mod copies;
mod loads;
mod pairs;
pub(crate) mod part;
mod rotates;

use sandbpf_isa::{Insn, Program, Reg};

use crate::op::{Handler, Op};

/// Sequences that start at a place: how long each is, and what does it.
#[derive(Default)]
pub(crate) struct Found(Vec<(usize, Handler)>);

impl Found {
    fn add(&mut self, len: usize, run: Handler) {
        self.0.push((len, run));
    }
}

/// How long sequences are at most.
const LONGEST: usize = 6;

/// Puts sequences where they start. None has one of the `rests` inside.
pub(crate) fn fuse(program: &Program, ops: &mut [Op], rests: &[u32]) {
    let insns = program.insns();
    // For every instruction, how many steps lead to the end of the straight code it is in. The last may
    // be followed by nothing.
    let mut steps = vec![0_u32; insns.len() + 1];
    let mut rests = rests.iter().rev().map(|&rest| rest as usize).peekable();
    let mut end = insns.len();
    let mut found = Found::default();
    for at in (0..insns.len()).rev() {
        let window = &insns[at..end.min(at + LONGEST)];
        let after = |len: usize| match window[len - 1] {
            Insn::Jump { .. } | Insn::Exit => 0,
            _ => steps[at + len],
        };
        found.0.clear();
        // Who writes to the frame pointer traps alone.
        let traps = insns[at].writes().contains(Reg::R10);
        if !traps {
            find(window, &mut found);
        }
        let best = found.0.iter().min_by_key(|(len, _)| after(*len));
        let alone = after(1);
        steps[at] = 1 + match best {
            Some(&(len, run)) if after(len) < alone => {
                ops[at].run = run;
                after(len)
            }
            _ => alone,
        };
        if rests.next_if_eq(&at).is_some() || traps {
            end = at;
        }
    }
}

/// Finds the sequences at the start of these instructions.
fn find(insns: &[Insn], found: &mut Found) {
    copies::find(insns, found);
    rotates::find(insns, found);
    loads::find(insns, found);
    pairs::find(insns, found);
    branches::find(insns, found);
}
