//! What Linux makes of functions that no path reaches: it removes them, and then does not find those that are still named.
//!
//! A pointer to such a function may be loaded without being used. Linux verifies that, removes the function, and stumbles over
//! the pointer when it compiles (`jit_subprogs`): the program is not loaded, with a message that calls it a bug.

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
    let stays = |at: usize| {
        let function = &program.functions()[at];
        (function.entry.index()..function.end.index()).any(|index| reached[index])
    };
    let functions = (0..program.functions().len()).filter(|&at| stays(at)).count();
    // A single function is compiled without looking for others.
    if functions < 2 {
        return Ok(());
    }
    let mut slot = 0;
    for (index, insn) in program.insns().iter().enumerate().filter(|&(index, _)| reached[index]) {
        if let Insn::LoadImm { value: Imm64::Function(entry), .. } = *insn {
            let found = program.functions().binary_search_by_key(&entry, |function| function.entry);
            if found.is_ok_and(|at| !stays(at)) {
                return Err(Box::new(Rejection {
                    errno: Errno::Fault,
                    pc: None,
                    message: format!("verifier bug: No program to jit at insn {slot} (subprog < 0)"),
                    path: Vec::new(),
                }));
            }
        }
        slot += program.slot(Pc(index as u32 + 1)) - program.slot(Pc(index as u32));
    }
    Ok(())
}
