//! Takes away what nobody needs: values without users, blocks that nobody comes to or that do nothing, parameters that are
//! always the same.

use super::incoming::Incoming;
use super::renames::Renames;
use crate::plan::graph::{Block, Edge, Effect, End, Graph, Op, Test, Value};

/// No value.
const NONE: Value = Value(u32::MAX);

/// Removes values without users and blocks without a way to them, goes around empty blocks, and joins those that follow one another.
pub(crate) fn sweep(graph: &mut Graph) {
    decide(graph);
    settle(graph);
    thread(graph);
    join(graph);
    bury(graph);
}

/// Makes jumps of branches that go one way only.
fn decide(graph: &mut Graph) {
    for at in 0..graph.blocks.len() {
        let End::Branch { test, yes, no } = &graph.blocks[at].end else { continue };
        let never = |edge: &Edge| {
            let code = graph.code(edge.to);
            code.body.is_empty() && code.end == End::Unreachable
        };
        let edge = match decided(graph, test) {
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
fn decided(graph: &Graph, test: &Test) -> Option<bool> {
    Some(test.eval(graph.constant(test.lhs)?, graph.constant(test.rhs)?))
}

/// Uses the argument instead of the parameter where all edges carry the same one.
fn settle(graph: &mut Graph) {
    let order = graph.order();
    let mut waiting = vec![0u32; graph.blocks.len()];
    let mut renames = Renames::new(graph);
    let constants = constants(graph);
    let one = |value: Value| constants[value.index()];
    // What all edges seen so far carry for a parameter: nothing yet, one value, or the parameter itself for different values.
    let mut carried = vec![NONE; graph.values.len()];
    // Every round finds what stands in the way of the next; nests of loops deeper than this keep a few parameters too many.
    for _ in 0..8 {
        waiting.fill(0);
        for &block in &order {
            for edge in graph.code(block).end.edges() {
                waiting[edge.to.index()] += 1;
            }
            for &param in &graph.code(block).params {
                carried[param.index()] = NONE;
            }
        }
        let mut late = false;
        for &block in &order {
            let code = graph.code(block);
            if waiting[block.index()] == 0 {
                resolve(&code.params, &carried, &mut renames);
            }
            for edge in code.end.edges() {
                for (&param, &argument) in graph.code(edge.to).params.iter().zip(&edge.arguments) {
                    let argument = one(renames.of(argument));
                    let carried = &mut carried[param.index()];
                    if *carried == NONE && argument != param {
                        *carried = argument;
                    } else if *carried != argument && argument != param {
                        *carried = param;
                    }
                }
                waiting[edge.to.index()] -= 1;
            }
        }
        // Where a way back leads to, it is known now only.
        for &block in &order {
            late |= resolve(&graph.code(block).params, &carried, &mut renames);
        }
        if !late {
            break;
        }
    }
    renames.apply(graph);
}

/// For every value, itself, or a constant of the same number: constants may be there several times.
fn constants(graph: &Graph) -> Vec<Value> {
    // One for each place of a small table; others stay different.
    let mut known: [(u64, Value); 64] = [(0, NONE); 64];
    let mut constants: Vec<Value> = (0..graph.values.len() as u32).map(Value).collect();
    for (at, op) in graph.values.iter().enumerate() {
        let Op::Const(number) = op else { continue };
        let place = &mut known[(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize];
        if place.1 == NONE {
            *place = (*number, Value(at as u32));
        }
        if place.0 == *number {
            constants[at] = place.1;
        }
    }
    constants
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

/// Leads edges to empty blocks on to where these lead.
fn thread(graph: &mut Graph) {
    let order = graph.order();
    let mut empty = vec![false; graph.blocks.len()];
    let mut any = false;
    for &block in &order {
        let code = graph.code(block);
        let constant = |value: &Value| graph.constant(*value).is_some();
        empty[block.index()] = block != Block::ENTRY
            && code.body.is_empty()
            && match &code.end {
                End::Jump(edge) => edge.to != block,
                // It may be known to those who come.
                End::Branch { test, .. } => {
                    !code.params.is_empty() && (constant(&test.lhs) || constant(&test.rhs))
                }
                End::Return(_) | End::Unreachable => false,
            };
        any |= empty[block.index()];
    }
    if !any {
        return;
    }
    // Parameters that others use have to stay where they are.
    let mut uses = vec![0i32; graph.values.len()];
    for &block in &order {
        let code = graph.code(block);
        for &value in &code.body {
            graph.op(value).uses(|used| uses[used.index()] += 1);
        }
        if !empty[block.index()] {
            code.end.uses(|used| uses[used.index()] += 1);
        } else {
            code.end.uses(|used| {
                let own = matches!(graph.op(used), Op::Param(of) if *of == block);
                uses[used.index()] += i32::from(!own);
            });
        }
    }
    for &block in &order {
        empty[block.index()] &= graph.code(block).params.iter().all(|param| uses[param.index()] == 0);
    }
    // What comes later goes first, so that one step is enough, but around loops.
    for &block in order.iter().rev() {
        let mut end = std::mem::replace(&mut graph.blocks[block.index()].end, End::Unreachable);
        for edge in end.edges_mut() {
            if empty[edge.to.index()] && edge.to != block {
                if let Some(further) = past(graph, edge) {
                    *edge = further;
                }
            }
        }
        graph.blocks[block.index()].end = end;
    }
    decide(graph);
}

/// The edge that leads past the empty block which this one leads to, if it is known which.
fn past(graph: &Graph, edge: &Edge) -> Option<Edge> {
    let code = graph.code(edge.to);
    let carried = |value: Value| match code.params.iter().position(|&param| param == value) {
        Some(place) if *graph.op(value) == Op::Param(edge.to) => edge.arguments[place],
        _ => value,
    };
    let further = match &code.end {
        End::Jump(further) => further,
        End::Branch { test, yes, no } => {
            let test = Test { lhs: carried(test.lhs), rhs: carried(test.rhs), ..*test };
            if decided(graph, &test)? { yes } else { no }
        }
        End::Return(_) | End::Unreachable => return None,
    };
    Some(Edge { to: further.to, arguments: further.arguments.iter().map(|&value| carried(value)).collect() })
}

/// Joins blocks with the only one that leads to them and nowhere else.
fn join(graph: &mut Graph) {
    let order = graph.order();
    let mut incoming = vec![0u32; graph.blocks.len()];
    incoming[Block::ENTRY.index()] = 1;
    for &block in &order {
        graph.code(block).end.edges().for_each(|edge| incoming[edge.to.index()] += 1);
    }
    let mut renames = Renames::new(graph);
    let mut gone = vec![false; graph.blocks.len()];
    for &block in &order {
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
    renames.apply(graph);
}

/// Removes blocks that nobody comes to, and values that nobody uses.
fn bury(graph: &mut Graph) {
    let order = graph.order();
    let incoming = Incoming::of(graph, &order);
    let mut reached = vec![false; graph.blocks.len()];
    let mut place = vec![0u32; graph.values.len()];
    let mut live = Live { is: vec![false; graph.values.len()], waiting: Vec::new() };
    for &block in &order {
        reached[block.index()] = true;
        let code = graph.code(block);
        for (at, &param) in code.params.iter().enumerate() {
            place[param.index()] = at as u32;
        }
        for &value in &code.body {
            if needed(graph.op(value)) {
                live.add(value);
            }
        }
        match &code.end {
            End::Branch { test, .. } => [test.lhs, test.rhs].into_iter().for_each(|value| live.add(value)),
            End::Return(value) => live.add(*value),
            End::Jump(_) | End::Unreachable => {}
        }
    }
    while let Some(value) = live.waiting.pop() {
        match graph.op(value) {
            Op::Param(block) => {
                for way in incoming.to(*block) {
                    live.add(way.edge(graph).arguments[place[value.index()] as usize]);
                }
            }
            op => op.uses(|used| live.add(used)),
        }
    }
    let live = live.is;
    for (code, reached) in graph.blocks.iter_mut().zip(reached) {
        if !reached {
            code.params.clear();
            code.body.clear();
            code.end = End::Unreachable;
        }
    }
    for &block in &order {
        let mut end = std::mem::replace(&mut graph.blocks[block.index()].end, End::Unreachable);
        for edge in end.edges_mut() {
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
    for code in &mut graph.blocks {
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

/// Values with users, and those whose operands were not looked at yet.
struct Live {
    is: Vec<bool>,
    waiting: Vec<Value>,
}

impl Live {
    fn add(&mut self, value: Value) {
        if !std::mem::replace(&mut self.is[value.index()], true) {
            self.waiting.push(value);
        }
    }
}
