//! Hoisting: what is the same each time round is computed before the loop.
//!
//! That is so of operations whose operands come from outside, or are hoisted themselves, and of loads at the very start of a
//! loop if nothing in it writes to their region. Sums with constants stay: they become parts of addresses.

use super::loops::{Flow, Loop, entrance};
use crate::plan::graph::{Address, BinOp, Block, Bulk, Graph, Op, Region, Value};

/// Computes before loops what does not change in them.
pub(crate) fn hoist(graph: &mut Graph) {
    let Some(flow) = Flow::of_loops(graph) else { return };
    let mut hoisting = Hoisting::new(graph, &flow);
    for &block in &flow.dominators.order {
        if flow.innermost(block).is_some() {
            hoisting.block(block);
        }
    }
    hoisting.apply();
}

/// No loop, as a number of one.
const OUTSIDE: u32 = u32::MAX;

struct Hoisting<'g> {
    graph: &'g mut Graph,
    flow: &'g Flow,
    /// For every value, the innermost loop that it is computed in now.
    at: Vec<u32>,
    /// What each loop writes to: a bit for each region, or all of them.
    writes: Vec<u8>,
    /// What is to be computed before a loop, in order.
    before: Vec<Vec<Value>>,
    moved: Vec<bool>,
}

fn bit(region: Option<Region>) -> u8 {
    match region {
        Some(Region::Stack) => 1,
        Some(Region::Context) => 2,
        Some(Region::Packet) => 4,
        // What others share changes at any time.
        Some(Region::Far(_)) | None => u8::MAX,
    }
}

impl<'g> Hoisting<'g> {
    fn new(graph: &'g mut Graph, flow: &'g Flow) -> Hoisting<'g> {
        let mut at = vec![OUTSIDE; graph.values.len()];
        let mut writes = vec![0; flow.loops.len()];
        for inside in &flow.loops {
            for &block in &inside.blocks {
                let code = graph.code(block);
                for &value in code.params.iter().chain(&code.body) {
                    at[value.index()] = inside.number as u32;
                    writes[inside.number] |= match graph.op(value) {
                        Op::Store { at, .. } => bit(at.region),
                        Op::Clear { .. } => bit(Some(Region::Stack)),
                        Op::Bulk { what: Bulk::Sum { .. }, .. } => 0,
                        Op::Bulk { what, .. } => bit(what.to().and_then(|to: Address| to.region)),
                        Op::Call { .. } | Op::Atomic { .. } => u8::MAX,
                        _ => 0,
                    };
                }
            }
            // Loops inside come before those around them.
            let all =
                inside.inner.iter().fold(writes[inside.number], |all, &inner| all | writes[inner as usize]);
            writes[inside.number] = all;
        }
        let (before, moved) = (vec![Vec::new(); flow.loops.len()], vec![false; graph.values.len()]);
        Hoisting { graph, flow, at, writes, before, moved }
    }

    fn the(&self, number: u32) -> Option<&'g Loop> {
        self.flow.loops.get(number as usize)
    }

    fn block(&mut self, block: Block) {
        let Some(inside) = self.flow.innermost(block) else { return };
        let always = self.flow.is_always_passed(block, inside);
        // Whether a load here is made by whoever enters the loop, and does not rely on a check in it.
        let mut first = block == inside.head;
        for place in 0..self.graph.code(block).body.len() {
            let value = self.graph.code(block).body[place];
            let op = self.graph.op(value);
            let until = match op {
                Op::Bin { op: BinOp::Add, a, b, .. }
                    if self.graph.constant(*a).is_some() || self.graph.constant(*b).is_some() =>
                {
                    continue;
                }
                Op::Bin { op: BinOp::Div | BinOp::Mod | BinOp::Sdiv | BinOp::Smod, .. } => {
                    if always {
                        OUTSIDE
                    } else {
                        continue;
                    }
                }
                Op::Bin { .. } | Op::Un { .. } | Op::Compare(_) | Op::Select { .. } => OUTSIDE,
                // Others may be waited for who share it.
                Op::Load { at, .. } if matches!(at.region, Some(Region::Far(_))) => continue,
                // Out of the loop that it begins, and no further.
                Op::Load { at, .. } if first && self.writes[inside.number] & bit(at.region) == 0 => {
                    inside.parent.unwrap_or(OUTSIDE)
                }
                Op::Host { .. } | Op::Charge { .. } | Op::Call { .. } | Op::Atomic { .. } => {
                    first = false;
                    continue;
                }
                _ => continue,
            };
            let mut needed = until;
            op.uses(|used| needed = self.inner(needed, self.common(self.at[used.index()], inside)));
            // The loop before which it can be computed: the outermost that has none of its operands.
            let (mut out, mut around) = (None, Some(inside));
            while let Some(one) = around.filter(|one| one.number as u32 != needed) {
                out = Some(one);
                around = one.parent.and_then(|parent| self.the(parent));
            }
            if let Some(out) = out {
                self.at[value.index()] = out.parent.unwrap_or(OUTSIDE);
                self.before[out.number].push(value);
                self.moved[value.index()] = true;
            }
        }
    }

    /// The innermost loop that is around both.
    fn common(&self, number: u32, inside: &'g Loop) -> u32 {
        let (mut a, mut b) = (self.the(number), Some(inside));
        while let (Some(one), Some(other)) = (a, b) {
            if one.number == other.number {
                return one.number as u32;
            }
            let up = |of: &Loop| of.parent.and_then(|parent| self.the(parent));
            if one.depth >= other.depth {
                a = up(one);
            } else {
                b = up(other);
            }
        }
        OUTSIDE
    }

    /// Of two loops one in the other, the inner.
    fn inner(&self, a: u32, b: u32) -> u32 {
        let depth = |number: u32| self.the(number).map_or(0, |inside| inside.depth);
        if depth(a) >= depth(b) { a } else { b }
    }

    fn apply(self) {
        let Hoisting { graph, flow, before, moved, .. } = self;
        if before.iter().all(Vec::is_empty) {
            return;
        }
        for &block in &flow.dominators.order {
            if flow.innermost(block).is_some() {
                graph.blocks[block.index()].body.retain(|value| !moved[value.index()]);
            }
        }
        // What was hoisted furthest may be an operand of what was not hoisted as far.
        for inside in flow.loops.iter().rev() {
            if !before[inside.number].is_empty() {
                let block = entrance(graph, flow, inside);
                graph.blocks[block.index()].body.extend(&before[inside.number]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::hoist;
    use crate::plan::graph::{Graph, Op};
    use crate::plan::passes::Pass;
    use crate::plan::passes::loops::Flow;
    use crate::plan::passes::trial::{Trial, built};
    use crate::plan::random::{EVERYTHING, MEMORY, NUMBERS, agree};

    fn all(graph: &mut Graph) {
        for pass in [Pass::Sweep, Pass::Simplify, Pass::Share, Pass::Bounds, Pass::Hoist, Pass::Sweep] {
            pass.run(graph);
        }
    }

    /// How many multiplications and loads are left in loops of a program that was looked at.
    fn inside(text: &str) -> (usize, usize) {
        let before = built(text);
        let mut after = before.clone();
        all(&mut after);
        Trial::default().hold(&before, &after);
        let flow = Flow::of_loops(&after).expect("a loop is left");
        let blocks = flow.loops.iter().flat_map(|inside| &inside.blocks);
        let ops = blocks.flat_map(|&block| &after.code(block).body).map(|&value| after.op(value));
        ops.fold((0, 0), |(products, loads), op| match op {
            Op::Bin { op: crate::plan::graph::BinOp::Mul, .. } => (products + 1, loads),
            Op::Load { .. } => (products, loads + 1),
            _ => (products, loads),
        })
    }

    #[test]
    fn what_does_not_change_is_computed_before() {
        let product = |factor: &str| {
            format!(
                "r0 = 0\nr3 = 0\nL1:\nr4 = {factor}\nr4 *= r2\nr4 *= r2\nr0 += r4\nr3 += 1\nif r3 != 9 goto L1\nexit"
            )
        };
        assert_eq!(inside(&product("r2")), (0, 0));
        assert_eq!(inside(&product("r3")), (2, 0));
    }

    #[test]
    fn loads_leave_loops_that_do_not_write_there() {
        let text = |body: &str| {
            format!(
                "r0 = 0\nr3 = 0\nif r2 < 64 goto L9\nL1:\nr4 = *(u64 *)(r1 + 8)\n{body}\nr0 ^= r4\nr3 += 1\nif r3 != 9 goto L1\nL9:\nexit"
            )
        };
        assert_eq!(inside(&text("r0 += r3")), (0, 0));
        assert_eq!(inside(&text("*(u64 *)(r10 - 8) = r0")), (0, 0));
        assert_eq!(inside(&text("*(u64 *)(r1 + 0) = r0")), (0, 1));
    }

    #[test]
    fn random_graphs_keep_their_meaning() {
        for tastes in [NUMBERS, MEMORY, EVERYTHING] {
            agree(tastes, 0..4000, hoist);
        }
        Trial::default().programs(3000, all);
    }
}
