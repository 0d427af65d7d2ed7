//! How much stack all frames together need, along the deepest chain of calls (`check_max_stack_depth`).

use std::collections::HashSet;

use sandbpf_abi::{AttachType, ProgramType, kfuncs};
use sandbpf_isa::{Callee, Imm64, Insn, Pc};

use crate::error::{Check, refuse};
use crate::explore::Verifier;

/// A stack of its own is worth it from this size on.
const PRIVATE_FROM: i32 = 64;

/// Checks every chain of calls, from the entry and from every function that runs later.
///
/// Those that run later come first: a function that they call too has its frame on the stack of the kernel, whoever
/// calls it.
pub(crate) fn check(verifier: &Verifier<'_>) -> Check {
    let functions = verifier.program.functions().len();
    let mut chains =
        Chains { verifier, stacks: vec![Stack::Unknown; functions], leads: vec![None; functions] };
    let private = has_private_stacks(verifier);
    for start in (0..functions).rev() {
        if start == 0 || verifier.known.runs_later[start] {
            chains.walk(start, private && start == 0)?;
        }
    }
    Ok(())
}

/// Whether programs of this type may have stacks of their own (`bpf_enable_priv_stack`).
fn has_private_stacks(verifier: &Verifier<'_>) -> bool {
    use ProgramType as T;
    if verifier.graph.functions.iter().any(|function| function.tail_call) {
        return false;
    }
    let program = &verifier.env.program;
    match program.program_type {
        T::Kprobe | T::Tracepoint | T::PerfEvent | T::RawTracepoint => true,
        // Iterators cannot be entered again while they run.
        T::Tracing => program.attach_type != AttachType::TRACE_ITER,
        _ => false,
    }
}

/// Where the frame of a function is (`priv_stack_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stack {
    /// Not decided yet.
    Unknown,
    /// On the stack of the kernel.
    Kernels,
    /// On a stack of its own.
    Private,
}

struct Frame {
    function: usize,
    /// How many of its instructions that lead elsewhere were followed.
    next: usize,
    depth: i32,
}

/// What of a chain of calls matters to the function at its end, and to those that it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Within {
    function: usize,
    frames: usize,
    depth: i32,
    in_callback: bool,
    catches: bool,
    tail_call_reachable: bool,
}

struct Chains<'c> {
    verifier: &'c Verifier<'c>,
    stacks: Vec<Stack>,
    /// The instructions of each function that may lead into others, or throw.
    leads: Vec<Option<Vec<Pc>>>,
}

impl Chains<'_> {
    /// Follows every call from this function on (`check_max_stack_depth_subprog`).
    fn walk(&mut self, start: usize, private: bool) -> Check {
        let verifier = self.verifier;
        let program = verifier.program;
        let mut frames: Vec<Frame> = Vec::new();
        // Chains are many, but what comes of one is the same as of another that is like it in all that matters.
        let mut seen: HashSet<Within> = HashSet::new();
        self.enter(&mut frames, start, private)?;
        let mut tail_call_reachable = false;
        while let Some(frame) = frames.last_mut() {
            let Some(pc) = self.lead(frame.function, frame.next) else {
                frames.pop();
                if tail_call_reachable
                    && frames.iter().any(|frame| verifier.exception_callback() == Some(frame.function))
                {
                    refuse!(Inval, "cannot tail call within exception cb");
                }
                continue;
            };
            frame.next += 1;
            let (to, by_call) = match program.insns()[pc.index()] {
                Insn::Call { callee: Callee::Local(to) } => (to, true),
                Insn::LoadImm { value: Imm64::Function(to), .. } => (to, false),
                Insn::Call { callee: Callee::Kfunc { id, .. } } if throws(id) => {
                    if frames.iter().any(|frame| verifier.known.is_callback[frame.function]) {
                        let at = frames.last().map_or(0, |frame| frame.function);
                        let pc = verifier.slot(pc);
                        refuse!(
                            Inval,
                            "bpf_throw kfunc (insn {pc}) cannot be called from callback subprog {at}"
                        );
                    }
                    continue;
                }
                _ => continue,
            };
            let Some(callee) = verifier.function_at(to).map(|at| at as usize) else { continue };
            if verifier.known.runs_later[callee] {
                // What runs later has a stack of its own, unless it is called as well.
                if !by_call {
                    continue;
                }
                if verifier.exception_callback() == Some(callee) {
                    refuse!(Inval, "insn {} cannot call exception cb directly", verifier.slot(pc));
                }
            }
            tail_call_reachable |= verifier.graph.functions[callee].tail_call;
            if frames.len() >= verifier.env.limits.frames {
                refuse!(TooBig, "the call stack of {} frames is too deep !", frames.len());
            }
            self.enter(&mut frames, callee, private)?;
            let is_callback = |frame: &Frame| verifier.known.is_callback[frame.function];
            let catches = |frame: &Frame| verifier.exception_callback() == Some(frame.function);
            let within = Within {
                function: callee,
                frames: frames.len(),
                depth: frames.last().map_or(0, |frame| frame.depth),
                in_callback: frames.iter().any(is_callback),
                catches: frames.iter().any(catches),
                tail_call_reachable,
            };
            if !seen.insert(within) {
                frames.pop();
                if tail_call_reachable && frames.iter().any(catches) {
                    refuse!(Inval, "cannot tail call within exception cb");
                }
            }
        }
        Ok(())
    }

    /// An instruction of a function that may lead elsewhere, by number.
    fn lead(&mut self, function: usize, number: usize) -> Option<Pc> {
        let program = self.verifier.program;
        let throws_or_calls = |pc: &Pc| {
            matches!(
                program.insns()[pc.index()],
                Insn::Call { callee: Callee::Local(_) | Callee::Kfunc { .. } }
                    | Insn::LoadImm { value: Imm64::Function(_), .. }
            )
        };
        let leads = self.leads[function].get_or_insert_with(|| {
            let span = &program.functions()[function];
            (span.entry.0..span.end.0).map(Pc).filter(throws_or_calls).collect()
        });
        leads.get(number).copied()
    }

    fn enter(&mut self, frames: &mut Vec<Frame>, function: usize, private: bool) -> Check {
        let verifier = self.verifier;
        let limit = verifier.env.limits.stack;
        let before = frames.last().map_or(0, |frame| frame.depth);
        let marks = &verifier.graph.functions[function];
        let is_callback = |at: usize| verifier.known.is_callback[at];
        if marks.packet_load
            && (is_callback(function) || frames.iter().any(|frame| is_callback(frame.function)))
        {
            refuse!(Inval, "cannot use BPF_LD_[ABS|IND] within callback");
        }
        if function > 0 && marks.tail_call && before >= 256 {
            refuse!(
                Acces,
                "tail_calls are not allowed when call stack of previous frames is {before} bytes. Too large"
            );
        }
        // Machine code keeps its stack in steps of 16 bytes.
        let own = (verifier.known.stack_depth[function] + 15) / 16 * 16;
        let stack = &mut self.stacks[function];
        if !private {
            *stack = Stack::Kernels;
        } else if *stack == Stack::Unknown && own >= PRIVATE_FROM {
            *stack = Stack::Private;
        }
        let depth = match stack {
            Stack::Private if own > limit => {
                refuse!(Acces, "stack size of subprog {function} is {own}. Too large");
            }
            Stack::Private => before,
            Stack::Unknown | Stack::Kernels => before + own,
        };
        if depth > limit {
            refuse!(Acces, "combined stack size of {} calls is {depth}. Too large", frames.len() + 1);
        }
        frames.push(Frame { function, next: 0, depth });
        Ok(())
    }
}

fn throws(id: i32) -> bool {
    kfuncs::numbered(id).is_some_and(|kfunc| kfunc.name == "bpf_throw")
}
