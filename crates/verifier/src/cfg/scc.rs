//! Loops: the strongly connected parts of each function (Tarjan's algorithm, without recursion).

use sandbpf_isa::{Pc, Program};

use super::{Graph, successors};

/// Numbers the loops, from 1, and marks the instructions that are part of them.
///
/// A single instruction is a loop if it jumps to itself.
pub(super) fn mark(program: &Program, graph: &mut Graph) {
    let insns = program.insns();
    let mut next_number = 1;
    let mut next_scc = 1;
    let mut number = vec![0u32; insns.len()];
    let mut low = vec![0u32; insns.len()];
    let mut on_stack = vec![false; insns.len()];
    let mut stack: Vec<Pc> = Vec::new();
    for start in 0..insns.len() {
        if number[start] != 0 {
            continue;
        }
        let mut walk = vec![(Pc(start as u32), 0u8)];
        while let Some((pc, edge)) = walk.pop() {
            let at = pc.index();
            if edge == 0 && number[at] == 0 {
                number[at] = next_number;
                low[at] = next_number;
                next_number += 1;
                on_stack[at] = true;
                stack.push(pc);
            }
            let next = successors(&insns[at], pc);
            if let Some(&to) = next.iter().flatten().nth(usize::from(edge)) {
                walk.push((pc, edge + 1));
                if to.index() >= insns.len() {
                    continue;
                }
                if number[to.index()] == 0 {
                    walk.push((to, 0));
                } else if on_stack[to.index()] {
                    low[at] = low[at].min(number[to.index()]);
                }
                continue;
            }
            // All that follows is known: what came back earlier counts here too.
            for &to in next.iter().flatten() {
                if to.index() < insns.len() && on_stack[to.index()] {
                    low[at] = low[at].min(low[to.index()]);
                }
            }
            if low[at] != number[at] {
                continue;
            }
            let from = stack.iter().rposition(|&member| member == pc).unwrap_or(0);
            let members: Vec<Pc> = stack.split_off(from);
            let alone = members.len() == 1;
            let to_itself = next.iter().flatten().any(|&to| to == pc);
            let is_loop = !alone || to_itself;
            for member in members {
                on_stack[member.index()] = false;
                if is_loop {
                    graph.marks[member.index()].scc = next_scc;
                }
            }
            next_scc += u32::from(is_loop);
        }
    }
}
