//! Takes away what nobody needs: values without users, blocks that nobody comes to or that do nothing, parameters that are
//! always the same.

use super::renames::Renames;
use crate::plan::graph::{Block, Edge, Effect, End, Graph, Op, Test, Value};

/// No value.
const NONE: Value = Value(u32::MAX);

/// Removes values without users and blocks without a way to them, goes around empty blocks, and joins those that follow one another.
pub(crate) fn sweep(graph: &mut Graph) {
    let mut renames = Renames::new(graph);
    decide(graph, &mut renames);
    let mut order = graph.order();
    settle(graph, &order, &mut renames);
    if thread(graph, &order, &mut renames) {
        order = graph.order();
    }
    join(graph, &order, &mut renames);
    let live = live(graph, &order, &mut renames);
    bury(graph, &order, &live);
}

/// Makes jumps of branches that go one way only.
fn decide(graph: &mut Graph, renames: &mut Renames) {
    for at in 0..graph.blocks.len() {
        let End::Branch { test, yes, no } = &graph.blocks[at].end else { continue };
        let never = |edge: &Edge| {
            let code = graph.code(edge.to);
            code.body.is_empty() && matches!(code.end, End::Unreachable)
        };
        let edge = match decided(graph, renames, test) {
            Some(true) => yes,
            Some(false) => no,
            None if yes == no || never(no) => yes,
            None if never(yes) => no,
            None => continue,
        };
        graph.blocks[at].end = End::Jump(edge.clone());
    }
}

/// How a test ends, if that is known from its operands alone.
fn decided(graph: &Graph, renames: &mut Renames, test: &Test) -> Option<bool> {
    let left = graph.constant(renames.of(test.lhs))?;
    Some(test.eval(left, graph.constant(renames.of(test.rhs))?))
}

/// Uses the argument instead of the parameter where all edges carry the same one.
fn settle(graph: &Graph, order: &[Block], renames: &mut Renames) {
    let mut waiting = vec![0u32; graph.blocks.len()];
    // What all edges seen so far carry for a parameter: nothing yet, one value, or the parameter itself for different values.
    let mut carried = vec![NONE; graph.values.len()];
    // Every round finds what stands in the way of the next; nests of loops deeper than this keep a few parameters too many.
    for _ in 0..8 {
        waiting.fill(0);
        for &block in order {
            for edge in graph.code(block).end.edges() {
                waiting[edge.to.index()] += 1;
            }
            for &param in &graph.code(block).params {
                carried[param.index()] = NONE;
            }
        }
        let mut back = false;
        for &block in order {
            let code = graph.code(block);
            if waiting[block.index()] == 0 {
                resolve(&code.params, &carried, renames);
            } else {
                back |= !code.params.is_empty();
            }
            for edge in code.end.edges() {
                waiting[edge.to.index()] -= 1;
                for (&param, &argument) in graph.code(edge.to).params.iter().zip(&edge.arguments) {
                    let argument = renames.of(argument);
                    let carried = &mut carried[param.index()];
                    if *carried == argument || argument == param {
                        continue;
                    }
                    // A number may be there several times.
                    if *carried == NONE {
                        *carried = argument;
                    } else if !same_number(graph, *carried, argument) {
                        *carried = param;
                    }
                }
            }
        }
        // Where a way back leads to, it is known now only.
        if !back
            || !order
                .iter()
                .fold(false, |late, &block| resolve(&graph.code(block).params, &carried, renames) | late)
        {
            break;
        }
    }
}

fn same_number(graph: &Graph, a: Value, b: Value) -> bool {
    matches!((graph.op(a), graph.op(b)), (Op::Const(a), Op::Const(b)) if a == b)
}

/// Renames parameters that carry one value. Whether there were some.
fn resolve(params: &[Value], carried: &[Value], renames: &mut Renames) -> bool {
    let mut any = false;
    for &param in params {
        let carried = carried[param.index()];
        any |= carried != NONE && carried != param && renames.rename(param, carried);
    }
    any
}

/// Leads edges to empty blocks on to where these lead. Whether there were some.
fn thread(graph: &mut Graph, order: &[Block], renames: &mut Renames) -> bool {
    let mut empty = vec![false; graph.blocks.len()];
    let (mut any, mut any_params) = (false, false);
    for &block in order {
        let code = graph.code(block);
        if !code.body.is_empty() || block == Block::ENTRY {
            continue;
        }
        let constant = |value: &Value| graph.constant(*value).is_some();
        empty[block.index()] = match &code.end {
            End::Jump(edge) => edge.to != block,
            // It may be known to those who come.
            End::Branch { test, .. } => {
                !code.params.is_empty() && (constant(&test.lhs) || constant(&test.rhs))
            }
            End::Return(_) | End::Unreachable => false,
        };
        any |= empty[block.index()];
        any_params |= empty[block.index()] && !code.params.is_empty();
    }
    if !any {
        return false;
    }
    if any_params {
        keep_homes(graph, order, &mut empty, renames);
    }
    // What comes later goes first, so that one step is enough, but around loops.
    for &block in order.iter().rev() {
        if !graph.code(block).end.edges().any(|edge| empty[edge.to.index()]) {
            continue;
        }
        let mut end = std::mem::replace(&mut graph.blocks[block.index()].end, End::Unreachable);
        for edge in end.edges_mut() {
            if empty[edge.to.index()] && edge.to != block {
                if let Some(further) = past(graph, renames, edge) {
                    *edge = further;
                }
            }
        }
        graph.blocks[block.index()].end = end;
    }
    decide(graph, renames);
    true
}

/// Blocks whose parameters others use are not empty.
fn keep_homes(graph: &Graph, order: &[Block], empty: &mut [bool], renames: &mut Renames) {
    let mut home = |value: Value| match graph.op(renames.of(value)) {
        Op::Param(block) => Some(*block),
        _ => None,
    };
    for &block in order {
        let code = graph.code(block);
        for &value in &code.body {
            graph.op(value).uses(|used| {
                if let Some(home) = home(used) {
                    empty[home.index()] = false;
                }
            });
        }
        code.end.uses(|used| match home(used) {
            Some(home) if home != block || !empty[home.index()] => empty[home.index()] = false,
            _ => {}
        });
    }
}

/// The edge that leads past the empty block which this one leads to, if it is known which.
fn past(graph: &Graph, renames: &mut Renames, edge: &Edge) -> Option<Edge> {
    let code = graph.code(edge.to);
    let carried = |value: Value, renames: &mut Renames| {
        let value = renames.of(value);
        let place = code.params.iter().position(|&param| param == value);
        place.map_or(value, |place| edge.arguments[place])
    };
    let further = match &code.end {
        End::Jump(further) => further,
        End::Branch { test, yes, no } => {
            let (lhs, rhs) = (carried(test.lhs, renames), carried(test.rhs, renames));
            let test = Test { lhs, rhs, ..*test };
            if decided(graph, renames, &test)? { yes } else { no }
        }
        End::Return(_) | End::Unreachable => return None,
    };
    let arguments = further.arguments.iter().map(|&value| carried(value, renames)).collect();
    Some(Edge { to: further.to, arguments })
}

/// Joins blocks with the only one that leads to them and nowhere else.
fn join(graph: &mut Graph, order: &[Block], renames: &mut Renames) {
    let mut incoming = vec![0u32; graph.blocks.len()];
    incoming[Block::ENTRY.index()] = 1;
    // Of blocks that nobody comes to any more, edges still count: they are not many.
    for &block in order {
        graph.code(block).end.edges().for_each(|edge| incoming[edge.to.index()] += 1);
    }
    let mut gone = vec![false; graph.blocks.len()];
    for &block in order {
        if gone[block.index()] {
            continue;
        }
        while let End::Jump(Edge { to, arguments }) = &graph.code(block).end {
            let to = *to;
            if incoming[to.index()] != 1 || to == block || to == Block::ENTRY {
                break;
            }
            for (&param, &argument) in graph.code(to).params.iter().zip(arguments) {
                renames.rename(param, argument);
            }
            gone[to.index()] = true;
            let code = &mut graph.blocks[to.index()];
            code.params.clear();
            let mut body = std::mem::take(&mut code.body);
            let end = std::mem::replace(&mut code.end, End::Unreachable);
            let cold = code.cold;
            let code = &mut graph.blocks[block.index()];
            code.body.append(&mut body);
            code.end = end;
            code.cold |= cold;
        }
    }
}

/// Which values somebody uses. On the way, uses learn what was renamed.
fn live(graph: &mut Graph, order: &[Block], renames: &mut Renames) -> Vec<bool> {
    let mut live = vec![false; graph.values.len()];
    loop {
        for &block in order.iter().rev() {
            let mut end = std::mem::replace(&mut graph.blocks[block.index()].end, End::Unreachable);
            match &mut end {
                End::Branch { test, .. } => {
                    for used in [&mut test.lhs, &mut test.rhs] {
                        *used = renames.of(*used);
                        live[used.index()] = true;
                    }
                }
                End::Return(used) => {
                    *used = renames.of(*used);
                    live[used.index()] = true;
                }
                End::Jump(_) | End::Unreachable => {}
            }
            for edge in end.edges_mut() {
                let params = &graph.blocks[edge.to.index()].params;
                for (argument, param) in edge.arguments.iter_mut().zip(params) {
                    *argument = renames.of(*argument);
                    live[argument.index()] |= live[param.index()];
                }
            }
            graph.blocks[block.index()].end = end;
            for &value in graph.blocks[block.index()].body.iter().rev() {
                let op = &mut graph.values[value.index()];
                if live[value.index()] || needed(op) {
                    live[value.index()] = true;
                    op.uses_mut(|used| {
                        *used = renames.of(*used);
                        live[used.index()] = true;
                    });
                }
            }
        }
        // Around loops, users stand before what they use.
        let mut again = false;
        for edge in order.iter().flat_map(|&block| graph.code(block).end.edges()) {
            for (argument, param) in edge.arguments.iter().zip(&graph.code(edge.to).params) {
                again |= live[param.index()] && !live[argument.index()];
                live[argument.index()] |= live[param.index()];
            }
        }
        if !again {
            return live;
        }
    }
}

/// Removes blocks that nobody comes to, and values that nobody uses.
fn bury(graph: &mut Graph, order: &[Block], live: &[bool]) {
    let mut reached = vec![false; graph.blocks.len()];
    for &block in order {
        reached[block.index()] = true;
        let mut end = std::mem::replace(&mut graph.blocks[block.index()].end, End::Unreachable);
        for edge in end.edges_mut().filter(|edge| !edge.arguments.is_empty()) {
            let params = &graph.code(edge.to).params;
            if params.iter().any(|param| !live[param.index()]) {
                let mut at = 0;
                edge.arguments.retain(|_| {
                    at += 1;
                    live[params[at - 1].index()]
                });
            }
        }
        graph.blocks[block.index()].end = end;
    }
    for (at, code) in graph.blocks.iter_mut().enumerate() {
        if !reached[at] {
            code.params.clear();
            code.body.clear();
            code.end = End::Unreachable;
            continue;
        }
        code.params.retain(|param| live[param.index()]);
        code.body.retain(|value| live[value.index()]);
    }
    for (op, live) in graph.values.iter_mut().zip(live) {
        if !live {
            *op = Op::Gone;
        }
    }
}

/// Whether an operation does something besides computing a value.
fn needed(op: &Op) -> bool {
    match op.effect() {
        Effect::None | Effect::Read => false,
        Effect::Write | Effect::Order | Effect::All => !matches!(op, Op::Budget),
    }
}
