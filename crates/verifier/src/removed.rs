//! What Linux makes of functions that no path reaches: it removes them, and then may not find those that are still named.
//!
//! A pointer to such a function may be loaded without being used. Linux verifies that and removes the function
//! (`opt_remove_dead_code`), and the pointer goes on to name the place where the function began. Where another function now
//! begins there, it is taken for the one that was meant, which does no harm to a pointer that nothing uses; where none does,
//! compilation stumbles (`jit_subprogs`), and the program is not loaded, with a message that calls it a bug.

use sandbpf_isa::{Imm64, Insn, Pc, Program};

use crate::environment::Environment;
use crate::error::{Errno, Rejection};

pub(crate) fn check(
    program: &Program,
    env: &Environment<'_>,
    reached: &[bool],
) -> Result<(), Box<Rejection>> {
    // Without these rights code that is not reached stays, and is made harmless.
    if !env.rights().bpf {
        return Ok(());
    }
    let entries: Vec<Pc> = program.functions().iter().map(|function| function.entry).collect();
    let stays = |at: usize| reached[entries[at].index()];
    // A single function is compiled without looking for others.
    if (0..entries.len()).filter(|&at| stays(at)).count() < 2 {
        return Ok(());
    }
    let removed = removed(program, reached);
    let start = |at: usize| moved(&removed, program.slot(entries[at]));
    let starts: Vec<u32> = (0..entries.len()).filter(|&at| stays(at)).map(start).collect();
    let is_there: Vec<bool> = (0..entries.len()).map(|at| starts.binary_search(&start(at)).is_ok()).collect();
    for (index, insn) in program.insns().iter().enumerate().filter(|&(index, _)| reached[index]) {
        if let Insn::LoadImm { value: Imm64::Function(entry), .. } = *insn
            && entries.binary_search(&entry).is_ok_and(|at| !is_there[at])
        {
            let slot = moved(&removed, program.slot(Pc(index as u32)));
            return Err(Box::new(Rejection {
                errno: Errno::Fault,
                pc: None,
                message: format!("verifier bug: No program to jit at insn {slot} (subprog < 0)"),
                path: Vec::new(),
            }));
        }
    }
    Ok(())
}

/// The runs of slots that are removed, one after the other: where each starts once those before it are gone, and its length.
fn removed(program: &Program, reached: &[bool]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    let mut kept = 0;
    for (index, &reached) in reached.iter().enumerate() {
        let slots = program.slot(Pc(index as u32 + 1)) - program.slot(Pc(index as u32));
        if reached {
            kept += slots;
        } else {
            match runs.last_mut().filter(|run| run.0 == kept) {
                Some(run) => run.1 += slots,
                None => runs.push((kept, slots)),
            }
        }
    }
    runs
}

/// Where a slot is after the removals. What is itself removed keeps its number until slots before it go.
fn moved(removed: &[(u32, u32)], slot: u32) -> u32 {
    removed.iter().fold(slot, |slot, &(start, slots)| if slot >= start + slots { slot - slots } else { slot })
}
