//! The program as a graph: what is reachable, and where exploring a path must stop and compare.

mod live;
mod scc;

use sandbpf_abi::{self as abi, Effect};
use sandbpf_isa::effects::Flow;
use sandbpf_isa::{Callee, Imm64, Insn, Pc, Program};

use crate::environment::Environment;
use crate::error::{Check, refuse};

/// What is true of an instruction before any path is walked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    /// States are compared here.
    pub(crate) prune: bool,
    /// How it was reached is written down.
    pub(crate) jump: bool,
    /// A state is always kept here.
    pub(crate) checkpoint: bool,
    /// It calls a function that calls back at once.
    pub(crate) calls_callback: bool,
    /// It advances an open-coded iterator.
    pub(crate) iter_next: bool,
    /// The loop that it is part of; 0 if none.
    pub(crate) scc: u32,
    /// The registers that may be read from here on.
    pub(crate) live: u16,
}

/// What is true of a function.
#[derive(Clone, Debug, Default)]
pub(crate) struct FunctionMarks {
    /// Whether pointers to the packet are worthless after it.
    pub(crate) changes_packet: bool,
    /// Whether it may sleep.
    pub(crate) might_sleep: bool,
    /// Whether it calls another program.
    pub(crate) tail_call: bool,
    /// Whether it loads the packet the classic way.
    pub(crate) packet_load: bool,
    /// Its instructions, each after those that follow it.
    pub(crate) postorder: Vec<Pc>,
}

/// The program as a graph.
#[derive(Debug)]
pub(crate) struct Graph {
    /// Of each instruction.
    pub(crate) marks: Vec<Marks>,
    /// Of each function, in the order of the program's.
    pub(crate) functions: Vec<FunctionMarks>,
    /// The function of each instruction.
    pub(crate) function_of: Vec<u32>,
}

/// Which instructions can follow, within the function: the next one and the target.
pub(crate) fn successors(insn: &Insn, pc: Pc) -> [Option<Pc>; 2] {
    let next = Some(Pc(pc.0 + 1));
    match insn.flow() {
        Flow::Next => [next, None],
        Flow::Fork => [next, insn.target()],
        Flow::Jump => [insn.target(), None],
        Flow::Stop => [None, None],
    }
}

/// What of the environment the graph depends on: which calls call back, advance iterators, change packets, sleep.
pub(crate) trait Calls {
    /// Of a call of a helper or of a function of the kernel.
    fn effects(&self, callee: Callee) -> CallEffects;
}

/// What matters of a call to the graph.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallEffects {
    pub(crate) callback_now: bool,
    pub(crate) callback_later: bool,
    pub(crate) iter_next: bool,
    pub(crate) changes_packet: bool,
    pub(crate) sleeps: bool,
    /// How many arguments it takes; none if that is not known.
    pub(crate) params: Option<u8>,
}

/// The effects of a call of a helper.
pub(crate) fn helper_effects(program: &abi::Program<'_>, id: i32) -> CallEffects {
    let helper = program.helper(id).ok().or_else(|| abi::helpers::numbered(id).next());
    let Some(helper) = helper else { return CallEffects::default() };
    let callback = abi::callback(helper);
    CallEffects {
        callback_now: callback.is_some_and(|callback| !callback.later),
        callback_later: callback.is_some_and(|callback| callback.later),
        iter_next: false,
        changes_packet: helper.has(Effect::ChangesPacket) || helper.has(Effect::ChangesForCallers),
        sleeps: helper.has(Effect::Sleeps),
        params: program.helper(id).ok().map(|helper| helper.args.len() as u8),
    }
}

/// Finds what there is to know of the program's shape, or why it has none that is accepted.
pub(crate) fn graph(program: &Program, env: &Environment<'_>, calls: &dyn Calls) -> Check<Graph> {
    let mut function_of = vec![0; program.len()];
    for (index, function) in program.functions().iter().enumerate() {
        function_of[function.entry.index()..function.end.index()].fill(index as u32);
    }
    let mut graph = Graph {
        marks: vec![Marks::default(); program.len()],
        functions: vec![FunctionMarks::default(); program.functions().len()],
        function_of,
    };
    walk(program, env, calls, &mut graph)?;
    for (index, function) in program.functions().iter().enumerate() {
        graph.functions[index].postorder = postorder(program, function.entry);
    }
    // Without a jump back nothing comes again.
    let back = |(at, insn): (usize, &Insn)| insn.target().is_some_and(|to| to.index() <= at);
    let loops = program.insns().iter().enumerate().any(back);
    if loops {
        scc::mark(program, &mut graph);
    }
    live::mark(program, calls, loops, &mut graph);
    Ok(graph)
}

#[derive(Clone, Copy, PartialEq)]
enum Seen {
    No,
    Open,
    Done,
}

/// Walks the graph depth first from the entry, through calls (`check_cfg`).
fn walk(program: &Program, env: &Environment<'_>, calls: &dyn Calls, graph: &mut Graph) -> Check {
    let insns = program.insns();
    let mut seen = vec![Seen::No; insns.len()];
    // An instruction, and how many of its edges were followed.
    let mut stack: Vec<(Pc, u8)> = vec![(Pc(0), 0)];
    seen[0] = Seen::Open;
    // The function that catches what is thrown is called by no instruction.
    let mut catches = env.exception_callback;
    loop {
        let Some(&(pc, edge)) = stack.last() else {
            match catches.take() {
                Some(entry) if seen.get(entry.index()) == Some(&Seen::No) => {
                    seen[entry.index()] = Seen::Open;
                    stack.push((entry, 0));
                    continue;
                }
                _ => break,
            }
        };
        let insn = &insns[pc.index()];
        if edge == 0 {
            mark_insn(insn, pc, calls, graph);
        }
        let edges = edges(insn, pc);
        let Some(&(to, is_branch)) = edges.iter().flatten().nth(usize::from(edge)) else {
            seen[pc.index()] = Seen::Done;
            stack.pop();
            continue;
        };
        if let Some(last) = stack.last_mut() {
            last.1 += 1;
        }
        if to.index() >= insns.len() {
            refuse!(Inval, "jump out of range from insn {} to {}", program.slot(pc), program.slot_count());
        }
        if is_branch {
            graph.marks[to.index()].prune = true;
            graph.marks[to.index()].jump = true;
        }
        match seen[to.index()] {
            Seen::No => {
                seen[to.index()] = Seen::Open;
                stack.push((to, 0));
            }
            Seen::Open if !env.program.powers.bpf => {
                refuse!(Inval, "back-edge from insn {} to {}", program.slot(pc), program.slot(to));
            }
            _ => {}
        }
        // A callee's effects are its callers'; without recursion it is done when the walk comes back.
        if insn.function().is_some() && seen[to.index()] == Seen::Done {
            merge(graph, pc, to);
        }
    }
    // Once more over the calls, now that every function is known.
    let function_of = |pc: Pc| graph.function_of[pc.index()];
    let calls = insns.iter().enumerate().filter_map(|(at, insn)| Some((Pc(at as u32), insn.function()?)));
    let mut calls: Vec<_> = calls.map(|(pc, to)| ((function_of(pc), function_of(to)), (pc, to))).collect();
    calls.sort_unstable_by_key(|&(functions, _)| functions);
    calls.dedup_by_key(|&mut (functions, _)| functions);
    for _ in 0..program.functions().len() {
        let mut changed = false;
        for &(_, (pc, to)) in &calls {
            changed |= merge(graph, pc, to);
        }
        if !changed {
            break;
        }
    }
    match seen.iter().position(|seen| *seen == Seen::No) {
        Some(index) => refuse!(Inval, "unreachable insn {}", program.slot(Pc(index as u32))),
        None => Ok(()),
    }
}

fn merge(graph: &mut Graph, from: Pc, to: Pc) -> bool {
    let callee = &graph.functions[graph.function_of[to.index()] as usize];
    let (changes_packet, might_sleep) = (callee.changes_packet, callee.might_sleep);
    let caller = &mut graph.functions[graph.function_of[from.index()] as usize];
    let before = (caller.changes_packet, caller.might_sleep);
    caller.changes_packet |= changes_packet;
    caller.might_sleep |= might_sleep;
    before != (caller.changes_packet, caller.might_sleep)
}

/// The edges out of an instruction in the order they are followed, and which of them are branches.
fn edges(insn: &Insn, pc: Pc) -> [Option<(Pc, bool)>; 2] {
    let next = Pc(pc.0 + 1);
    match *insn {
        Insn::Exit => [None, None],
        Insn::Jump { to, .. } => [Some((to, false)), None],
        Insn::MayGoto { to } | Insn::Branch { to, .. } => [Some((next, false)), Some((to, true))],
        _ => [Some((next, false)), insn.function().map(|to| (to, true))],
    }
}

fn mark_insn(insn: &Insn, pc: Pc, calls: &dyn Calls, graph: &mut Graph) {
    let next = pc.index() + 1;
    let function = graph.function_of[pc.index()] as usize;
    match *insn {
        Insn::Jump { to, .. } => {
            graph.marks[to.index()].prune = true;
            graph.marks[to.index()].jump = true;
        }
        Insn::Branch { .. } => graph.marks[pc.index()].prune = true,
        Insn::MayGoto { .. } => {
            graph.marks[pc.index()].prune = true;
            graph.marks[pc.index()].checkpoint = true;
        }
        Insn::LoadImm { value: Imm64::Function(_), .. } => {
            mark_return(graph, next);
            graph.marks[pc.index()].prune = true;
        }
        Insn::LoadPacket { .. } => graph.functions[function].packet_load = true,
        Insn::Call { callee } => {
            mark_return(graph, next);
            if let Callee::Local(_) = callee {
                graph.marks[pc.index()].prune = true;
                return;
            }
            let effects = calls.effects(callee);
            let marks = &mut graph.marks[pc.index()];
            marks.prune |= effects.callback_later;
            if effects.callback_now {
                marks.calls_callback = true;
                marks.checkpoint = true;
                marks.prune = true;
                marks.jump = true;
            }
            if effects.iter_next {
                marks.prune = true;
                marks.checkpoint = true;
                marks.iter_next = true;
            }
            graph.functions[function].changes_packet |= effects.changes_packet;
            graph.functions[function].might_sleep |= effects.sleeps;
            graph.functions[function].tail_call |= callee == Callee::Helper(abi::helper::TAIL_CALL);
        }
        _ => {}
    }
}

/// Paths come back here from a function.
fn mark_return(graph: &mut Graph, next: usize) {
    if let Some(marks) = graph.marks.get_mut(next) {
        marks.prune = true;
        marks.jump = true;
    }
}

/// A function's instructions, each after those that can follow it, loops aside.
fn postorder(program: &Program, entry: Pc) -> Vec<Pc> {
    let function = program.function_of(entry);
    let base = entry.index();
    let mut seen = vec![false; function.end.index() - base];
    let mut order = Vec::with_capacity(seen.len());
    let mut stack = vec![(entry, 0u8)];
    seen[0] = true;
    while let Some((pc, edge)) = stack.pop() {
        let next = successors(&program.insns()[pc.index()], pc);
        let Some(to) = next.iter().flatten().nth(usize::from(edge)) else {
            order.push(pc);
            continue;
        };
        stack.push((pc, edge + 1));
        let inside = to.index().checked_sub(base).filter(|&at| at < seen.len());
        if let Some(at) = inside
            && !seen[at]
        {
            seen[at] = true;
            stack.push((*to, 0));
        }
    }
    order
}
