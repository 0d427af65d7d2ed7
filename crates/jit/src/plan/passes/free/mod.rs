//! Freedom from payment: programs without calls that are known to cost so much at most pay for nothing if they have as much.
//!
//! Nobody sees what is left of the budget when such a program returns or traps elsewhere; all that there is to know of it
//! is whether it lasts. So before the first loop stands one question, and behind it a copy of all that follows, without
//! charges, however many ways its loops have and wherever they end. The rest is for those who have less.
//!
//! ```text
//!     b2(0)                                 v9 = budget
//! b2(v5):                                   if ge64 v9, 700 then b7(0) else b2(0)     ; cold from here on
//!     v6 = load u8 [packet + v5]        b7(v10):
//!     v7 = add64 v5, 1                      v11 = load u8 [packet + v10]
//!     if eq64 v6, 7 then b4(v5) else b3     v12 = add64 v10, 1
//! b3:                                       if eq64 v11, 7 then b9(v10) else b8
//!     if eq64 v7, 100 then b5 else b6   b8:
//! b6:                                       if eq64 v12, 100 then b10 else b7(v12)
//!     charge 7
//!     b2(v7)
//! ```

mod most;
#[cfg(test)]
mod tests;

use sandbpf_isa::{Cond, Width};

use self::most::{Most, most};
use crate::plan::graph::{BinOp, Block, Edge, End, Entry, Graph, Op, Test, Value};
use crate::plan::passes::loops::Flow;

/// The most values that are copied.
const LARGEST: usize = 1024;

/// Puts a copy without charges beside all that pays.
pub(crate) fn free(graph: &mut Graph) {
    if graph.machine {
        return;
    }
    let Some(flow) = Flow::of_loops(graph) else { return };
    let Some((total, paying)) = most(graph, &flow) else { return };
    let Some(root) = root(&flow, &paying) else { return };
    let follow = |block: &&Block| flow.dominators.dominates(root, **block);
    let blocks: Vec<Block> = flow.dominators.order.iter().filter(follow).copied().collect();
    let size = |block: &Block| graph.code(*block).params.len() + graph.code(*block).body.len() + 2;
    if blocks.iter().map(size).sum::<usize>() > LARGEST {
        return;
    }
    let part = part(graph, &flow, root);
    let rich = copy(graph, &blocks, root, part.poor);
    ask(graph, total, &part, rich);
    for block in blocks {
        graph.blocks[if block == root { part.poor.index() } else { block.index() }].cold = true;
    }
    // Who jumped back to pay first is one block with who did not.
    super::sweep::sweep(graph);
}

/// The block, in no loop or the head of one that is in none, that all of these come after.
fn root(flow: &Flow, blocks: &[Block]) -> Option<Block> {
    let place = |block: Block| flow.place[block.index()];
    let mut root = *blocks.first()?;
    for &block in blocks {
        let mut block = block;
        while root != block {
            if place(root) > place(block) {
                root = flow.dominators.immediate(root)?;
            } else {
                block = flow.dominators.immediate(block)?;
            }
        }
    }
    let mut around = flow.innermost(root);
    while let Some(one) = around {
        root = one.head;
        around = one.parent.map(|parent| &flow.loops[parent as usize]);
    }
    let entered = root != Block::ENTRY || flow.incoming.to(root).is_empty();
    entered.then_some(root)
}

/// What comes before a block and a copy of it.
struct Part {
    before: Block,
    /// Where the block is now.
    poor: Block,
    /// What either is given.
    arguments: Vec<Value>,
}

/// Puts a block before this one, but for ways back.
fn part(graph: &mut Graph, flow: &Flow, root: Block) -> Part {
    let before = graph.block();
    graph.blocks[before.index()].cold = graph.code(root).cold;
    if root == Block::ENTRY {
        graph.blocks.swap(root.index(), before.index());
        return Part { before: root, poor: before, arguments: Vec::new() };
    }
    let ways = || flow.incoming.to(root).iter().filter(|way| !flow.leads_back(way.from, root));
    // What all bring along is known here; the rest are parameters.
    let (mut params, mut arguments) = (Vec::new(), Vec::new());
    for place in 0..graph.code(root).params.len() {
        let mut given = ways().map(|way| way.edge(graph).arguments[place]);
        let first = given.next();
        let same = first.filter(|&first| given.all(|other| other == first));
        params.push(same.is_none());
        arguments.push(same.unwrap_or_else(|| graph.param(before)));
    }
    for way in ways() {
        let edge = way.edge_mut(graph);
        edge.to = before;
        let mut keep = params.iter();
        edge.arguments.retain(|_| keep.next().copied().unwrap_or(false));
    }
    Part { before, poor: root, arguments }
}

/// Copies blocks without their charges; the copy of the first, which is `root`, or now `poor`.
fn copy(graph: &mut Graph, blocks: &[Block], root: Block, poor: Block) -> Block {
    let mut map: Vec<Value> = (0..graph.values.len() as u32).map(Value).collect();
    let mut target: Vec<Block> = (0..graph.blocks.len() as u32).map(Block).collect();
    let origin = |block: Block| if block == root { poor } else { block };
    for &block in blocks {
        let (from, to) = (origin(block), graph.block());
        target[block.index()] = to;
        graph.blocks[to.index()].cold = graph.code(from).cold;
        for place in 0..graph.code(from).params.len() {
            let param = graph.code(from).params[place];
            map[param.index()] = graph.param(to);
        }
        for place in 0..graph.code(from).body.len() {
            let value = graph.code(from).body[place];
            if !matches!(graph.op(value), Op::Charge { .. }) {
                let op = graph.op(value).clone();
                map[value.index()] = graph.append(to, op);
            }
        }
    }
    for &block in blocks {
        let to = target[block.index()];
        for place in 0..graph.code(to).body.len() {
            let value = graph.code(to).body[place];
            graph.values[value.index()].uses_mut(|used| *used = map[used.index()]);
        }
        let mut end = graph.code(origin(block)).end.clone();
        end.uses_mut(|used| *used = map[used.index()]);
        end.edges_mut().for_each(|edge| edge.to = target[edge.to.index()]);
        graph.blocks[to.index()].end = end;
    }
    target[root.index()]
}

/// Asks whether the budget has as much.
fn ask(graph: &mut Graph, total: Most, part: &Part, rich: Block) {
    let before = part.before;
    let budget = graph.append(before, Op::Budget);
    let mut needed = graph.add(Op::Const(total.fixed));
    if total.each > 0 {
        let fixed = needed;
        let each = graph.add(Op::Const(total.each));
        let is_length = |op: &Op| matches!(op, Op::Entry(Entry::Length));
        let length = match graph.values.iter().position(is_length) {
            Some(at) => Value(at as u32),
            None => graph.add(Op::Entry(Entry::Length)),
        };
        let bin = |op, a, b| Op::Bin { op, width: Width::W64, a, b };
        let bytes = graph.append(before, bin(BinOp::Mul, length, each));
        needed = graph.append(before, bin(BinOp::Add, bytes, fixed));
    }
    let edge = |to: Block| Edge { to, arguments: part.arguments.clone() };
    let test = Test { cond: Cond::Ge, width: Width::W64, lhs: budget, rhs: needed };
    graph.blocks[before.index()].end = End::Branch { test, yes: edge(rich), no: edge(part.poor) };
}
