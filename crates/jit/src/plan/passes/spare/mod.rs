//! Sparing: loops whose rounds are counted pay for all of them at once.
//!
//! Where it is known what a run through a loop costs, or at most, a copy of it that pays for nothing is entered if the budget
//! has so much; the loop itself is left for when it has not, and traps where it should. Costs that depend on the way are added
//! up and paid behind the copy. Rounds of the copy are put one behind the other, if there are few, or a multiple of few: then
//! only the last of them asks whether it was the last.
//!
//! ```text
//! b1:                                b1:
//!     b2(0, 1, 1)                        v20 = budget
//! b2(v5, v6, v7):                        if ge64 v20, 495 then b8 else b2(0, 1, 1)     ; cold from here on
//!     v8 = add64 v6, v7              b8:
//!     v9 = add64 v5, 1                   spend 495
//!     if eq64 v9, 100 then b4 else b3    b9(0, 1, 1)
//! b3:                                b9(v21, v22, v23):
//!     charge 5                           v24 = add64 v22, v23
//!     b2(v9, v7, v8)                     v25 = add64 v23, v24
//!                                        …
//!                                        if eq64 v28, 100 then b10(v27) else b9(v28, v26, v27)
//! ```

mod copy;
mod cost;

use sandbpf_isa::{Cond, Width};

use self::copy::Copier;
use self::cost::costs;
use super::loops::{Flow, Loop, entrance};
use crate::plan::graph::{Block, Edge, End, Graph, Op, Test, Value};

/// Lets loops pay at once.
pub(crate) fn spare(graph: &mut Graph) {
    let Some(flow) = Flow::of_loops(graph) else { return };
    let costs = costs(graph, &flow);
    let mut roots: Vec<&Loop> = Vec::new();
    let mut covered = vec![false; flow.loops.len()];
    // What may be added to the graph: in proportion to it, so that many loops do not make it many times as large.
    let mut room = 2048 + graph.values.len() / 4;
    for inside in flow.loops.iter().rev() {
        if inside.parent.is_some_and(|parent| covered[parent as usize]) {
            covered[inside.number] = true;
            continue;
        }
        let Some(cost) = costs[inside.number].as_ref().filter(|cost| cost.is_worth_it()) else { continue };
        if graph.code(inside.head).cold {
            continue;
        }
        if let Some(left) = room.checked_sub(cost.size) {
            room = left;
            covered[inside.number] = true;
            roots.push(inside);
        }
    }
    if roots.is_empty() {
        return;
    }
    let befores: Vec<Block> = roots.iter().map(|inside| entrance(graph, &flow, inside)).collect();
    let escaping = Escaping::of(graph, &flow, &roots, &befores);
    let mut copier = Copier::new(graph, &flow, &costs);
    let mut left: Vec<Option<(usize, Value)>> = Vec::new();
    for (inside, before) in roots.into_iter().zip(befores) {
        version(&mut copier, &escaping, inside, before, &mut left);
    }
    let Copier { graph, origin, .. } = copier;
    replace(graph, &flow, &origin, &left);
    // Rounds one behind the other are one block for all who look further.
    super::sweep::sweep(graph);
}

/// Puts a copy beside a loop, and a choice before.
fn version(
    copier: &mut Copier<'_>,
    escaping: &Escaping,
    inside: &Loop,
    before: Block,
    left: &mut Vec<Option<(usize, Value)>>,
) {
    let flow = copier.flow;
    let Some(cost) = &copier.costs[inside.number] else { return };
    let End::Jump(enter) = copier.graph.code(before).end.clone() else { return };
    // Behind both, what is used of the loop is a parameter.
    let behind = copier.graph.block();
    let escaped = escaping.of_loop(copier.graph, flow, inside);
    let exit = cost.exit;
    let leaving = copier.leaving(exit).clone();
    let arguments = leaving.arguments.iter().map(|_| copier.graph.param(behind)).collect();
    copier.graph.blocks[behind.index()].end = End::Jump(Edge { to: leaving.to, arguments });
    for &value in &escaped {
        let param = copier.graph.param(behind);
        if left.len() <= value.index() {
            left.resize(value.index() + 1, None);
        }
        left[value.index()] = Some((inside.number, param));
    }
    let outwards =
        Edge { to: behind, arguments: leaving.arguments.iter().chain(&escaped).copied().collect() };
    *copier.leaving_mut(exit) = outwards;

    copier.adds = !cost.is_exact;
    let mut target = behind;
    if copier.adds {
        // The copy says what it cost: that is paid there.
        target = copier.graph.block();
        let params = copier.graph.code(behind).params.len();
        let arguments = (0..params).map(|_| copier.graph.param(target)).collect();
        let amount = copier.graph.param(target);
        copier.graph.append(target, Op::Spend { amount });
        copier.graph.blocks[target.index()].end = End::Jump(Edge { to: behind, arguments });
    }
    copier.out = Some((behind, target));
    let head = copier.copy(inside);

    let graph = &mut *copier.graph;
    if cost.charges == 0 {
        graph.blocks[before.index()].end = End::Jump(Edge { to: head, ..enter });
        forget(copier, inside);
        return;
    }
    let total = graph.add(Op::Const(cost.total));
    let budget = graph.append(before, Op::Budget);
    let rich = graph.block();
    let mut arguments = enter.arguments.clone();
    if copier.adds {
        arguments.push(graph.add(Op::Const(0)));
    } else if cost.total > 0 {
        graph.append(rich, Op::Spend { amount: total });
    }
    graph.blocks[rich.index()].end = End::Jump(Edge { to: head, arguments });
    let test = Test { cond: Cond::Ge, width: Width::W64, lhs: budget, rhs: total };
    let yes = Edge { to: rich, arguments: Vec::new() };
    graph.blocks[before.index()].end = End::Branch { test, yes, no: enter };
    forget(copier, inside);
}

/// Leaves a loop to those who cannot pay for all of it.
fn forget(copier: &mut Copier<'_>, inside: &Loop) {
    let flow = copier.flow;
    let mut all = vec![inside];
    while let Some(one) = all.pop() {
        for &block in &one.blocks {
            copier.forget(block);
            copier.graph.blocks[block.index()].cold = true;
        }
        all.extend(one.inner.iter().map(|&inner| &flow.loops[inner as usize]));
    }
}

/// Where values are used, by loops.
struct Escaping {
    /// For every value, how deep the innermost loop is that is around it and all its uses.
    depth: Vec<u32>,
}

impl Escaping {
    fn of(graph: &Graph, flow: &Flow, roots: &[&Loop], befores: &[Block]) -> Escaping {
        let mut home = vec![u32::MAX; graph.values.len()];
        for inside in &flow.loops {
            for &block in &inside.blocks {
                let code = graph.code(block);
                for &value in code.params.iter().chain(&code.body) {
                    home[value.index()] = inside.number as u32;
                }
            }
        }
        let mut depth = vec![u32::MAX; graph.values.len()];
        let places = flow.dominators.order.iter().map(|&block| (block, flow.innermost(block)));
        // Blocks before loops may be new.
        let parents = roots.iter().map(|inside| inside.parent.map(|parent| &flow.loops[parent as usize]));
        for (block, here) in places.chain(befores.iter().copied().zip(parents)) {
            let code = graph.code(block);
            let mut used = |value: Value| {
                let Some(at) = home.get(value.index()).and_then(|&at| flow.loops.get(at as usize)) else {
                    return;
                };
                let mut around = Some(at);
                // The loop of the value that is around the use.
                while let Some(one) = around.filter(|one| here.is_none_or(|here| !within(flow, here, one))) {
                    around = one.parent.map(|parent| &flow.loops[parent as usize]);
                }
                let common = around.map_or(0, |one| one.depth);
                depth[value.index()] = depth[value.index()].min(common);
            };
            for &value in &code.body {
                graph.op(value).uses(&mut used);
            }
            code.end.uses(&mut used);
        }
        Escaping { depth }
    }

    /// The values of a loop that are used outside of it.
    fn of_loop(&self, graph: &Graph, flow: &Flow, inside: &Loop) -> Vec<Value> {
        let mut escaped = Vec::new();
        let mut all = vec![inside];
        while let Some(one) = all.pop() {
            for &block in &one.blocks {
                let code = graph.code(block);
                let values = code.params.iter().chain(&code.body).copied();
                escaped.extend(values.filter(|value| self.depth[value.index()] < inside.depth));
            }
            all.extend(one.inner.iter().map(|&inner| &flow.loops[inner as usize]));
        }
        escaped
    }
}

/// Whether a loop is in another, or is it.
fn within<'f>(flow: &'f Flow, mut here: &'f Loop, around: &Loop) -> bool {
    while here.depth > around.depth {
        match here.parent {
            Some(parent) => here = &flow.loops[parent as usize],
            None => return false,
        }
    }
    here.number == around.number
}

/// Uses the parameters behind loops instead of their values, wherever that is outside.
fn replace(graph: &mut Graph, flow: &Flow, origin: &[Block], left: &[Option<(usize, Value)>]) {
    if left.is_empty() {
        return;
    }
    let Graph { values, blocks, .. } = graph;
    for (at, code) in blocks.iter_mut().enumerate() {
        // Copies stand where what they copy stands.
        let here = origin.get(at).copied().unwrap_or(Block(at as u32));
        let change = |used: &mut Value| {
            if let Some(&Some((inside, param))) = left.get(used.index())
                && !flow.is_in(here, &flow.loops[inside])
            {
                *used = param;
            }
        };
        for &value in &code.body {
            values[value.index()].uses_mut(change);
        }
        code.end.uses_mut(change);
    }
}

#[cfg(test)]
mod tests;
