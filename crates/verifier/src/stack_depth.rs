//! How much stack all frames together need, along the deepest chain of calls (`check_max_stack_depth`).

use sandbpf_abi::ProgramType;
use sandbpf_isa::{Callee, Imm64, Insn, Pc};

use crate::error::{Check, refuse};
use crate::explore::Verifier;

/// A stack of its own is worth it from this size on.
const PRIVATE_FROM: i32 = 64;

/// Checks every chain of calls, from the entry and from every function that runs later.
pub(crate) fn check(verifier: &Verifier<'_>) -> Check {
    let functions = verifier.program.functions().len();
    for function in 0..functions {
        if function == 0 || verifier.known.runs_later[function] {
            walk(verifier, function)?;
        }
    }
    Ok(())
}

/// Whether programs of this type may have stacks of their own (`bpf_enable_priv_stack`).
fn has_private_stacks(verifier: &Verifier<'_>) -> bool {
    use ProgramType as T;
    if verifier.program.functions().iter().enumerate().any(|(at, _)| verifier.graph.functions[at].tail_call) {
        return false;
    }
    matches!(
        verifier.env.program.program_type,
        T::Kprobe | T::Tracepoint | T::PerfEvent | T::RawTracepoint | T::Tracing | T::Lsm
    )
}

fn rounded(verifier: &Verifier<'_>, function: usize) -> i32 {
    // Machine code keeps its stack in steps of 16 bytes.
    (verifier.known.stack_depth[function] + 15) / 16 * 16
}

struct Frame {
    function: usize,
    next: Pc,
    depth: i32,
}

fn walk(verifier: &Verifier<'_>, start: usize) -> Check {
    let program = verifier.program;
    let private = has_private_stacks(verifier);
    let limit = verifier.env.limits.stack;
    let mut stack: Vec<Frame> = Vec::new();
    let enter = |stack: &mut Vec<Frame>, function: usize| -> Check {
        let before = stack.last().map_or(0, |frame| frame.depth);
        let marks = &verifier.graph.functions[function];
        if function > 0
            && marks.packet_load
            && stack.iter().any(|frame| verifier.known.is_callback[frame.function])
        {
            refuse!(Inval, "cannot use BPF_LD_[ABS|IND] within callback");
        }
        if function > 0 && marks.tail_call && before >= 256 {
            refuse!(
                Acces,
                "tail_calls are not allowed when call stack of previous frames is {before} bytes. Too large"
            );
        }
        let own = rounded(verifier, function);
        let depth = if private && own >= PRIVATE_FROM {
            if own > limit {
                refuse!(Acces, "stack size of subprog {function} is {own}. Too large");
            }
            before
        } else {
            before + own
        };
        if depth > limit {
            refuse!(Acces, "combined stack size of {} calls is {depth}. Too large", stack.len() + 1);
        }
        stack.push(Frame { function, next: program.functions()[function].entry, depth });
        Ok(())
    };
    enter(&mut stack, start)?;
    while let Some(frame) = stack.last_mut() {
        let end = program.functions()[frame.function].end;
        if frame.next >= end {
            stack.pop();
            continue;
        }
        let insn = &program.insns()[frame.next.index()];
        frame.next = Pc(frame.next.0 + 1);
        let (to, by_call) = match *insn {
            Insn::Call { callee: Callee::Local(to) } => (to, true),
            Insn::LoadImm { value: Imm64::Function(to), .. } => (to, false),
            _ => continue,
        };
        let at = program.functions().binary_search_by_key(&to, |function| function.entry);
        let Ok(callee) = at else { continue };
        if verifier.known.runs_later[callee] && !by_call {
            continue;
        }
        if stack.len() >= verifier.env.limits.frames {
            refuse!(TooBig, "the call stack of {} frames is too deep !", stack.len());
        }
        enter(&mut stack, callee)?;
    }
    Ok(())
}
