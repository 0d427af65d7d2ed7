//! Choices: short ways around one another become one way that chooses between values.
//!
//! ```text
//!     if gt32 v38, v28 then b12() else b9()          v60 = select gt32 v38, v28 ? v29 : v34
//! b12:                                               v61 = select gt32 v38, v28 ? 13 : 15
//!     charge 13, site 5                              v62 = budget
//!     b10(v29)                                       if lt64 v62, v61 then b20() else b21()
//! b9:                                            b21():
//!     charge 15, site 6                              spend v61
//!     b10(v34)                                       b10(v60)
//! ```
//!
//! A processor guesses where a branch leads, and a wrong guess costs as much as a few dozen operations; a choice costs one, but
//! what is chosen has to be waited for. In loops, tests of what was read can be guessed badly, and are chosen by; tests of
//! counters, and of what does not change, are guessed well and stay, as do those that would have to wait for what was chosen before
//! and what is loaded because of it. Outside of loops only what is next to nothing is computed in
//! vain. If the budget has too little for the way that is chosen, block b20 goes the ways as they were, and traps.

mod again;
mod chased;

use sandbpf_isa::{Cond, Width};

use self::chased::Chased;
use super::loops::Flow;
use super::renames::Renames;
use crate::plan::graph::{BinOp, Block, Edge, End, Graph, Op, Site, Test, Value};

/// Chooses values where short ways part and meet again.
pub(crate) fn choose(graph: &mut Graph) {
    let order = graph.order();
    let mut ways = vec![0u32; graph.blocks.len()];
    for &block in &order {
        graph.code(block).end.edges().for_each(|edge| ways[edge.to.index()] += 1);
    }
    again::again(graph, &order, &mut ways);
    let flow = Flow::of_loops(graph);
    let mut counts = vec![false; graph.values.len()];
    for inside in flow.iter().flat_map(|flow| &flow.loops) {
        for counter in flow.iter().flat_map(|flow| flow.counters(graph, inside)) {
            counts[counter.param.index()] = true;
        }
    }
    let renames = Renames::new(graph);
    let chased = flow.as_ref().map(|flow| Chased::of(graph, flow));
    let searches = searches(graph, &order, &ways);
    let mut choosing = Choosing { graph, flow: flow.as_ref(), chased, searches, counts, ways, renames };
    // What lies inside comes first.
    for &block in order.iter().rev() {
        choosing.look(block);
    }
    choosing.renames.apply(choosing.graph);
}

/// So many tests of one value, one behind the other, say where to go together, and become a table in the end.
const SEARCH: u32 = 5;

/// For every block, whether its test is one of so many.
fn searches(graph: &Graph, order: &[Block], ways: &[u32]) -> Vec<bool> {
    let asked = |block: Block| match &graph.code(block).end {
        End::Branch { test, .. } if graph.constant(test.rhs).is_some() => Some(test.lhs),
        _ => None,
    };
    // The first test of those that a block's is one of, and how many they are.
    let mut first: Vec<Block> = (0..graph.blocks.len() as u32).map(Block).collect();
    let mut counts = vec![0u32; graph.blocks.len()];
    for &block in order {
        let Some(value) = asked(block) else { continue };
        let root = first[block.index()];
        counts[root.index()] += 1;
        for edge in graph.code(block).end.edges() {
            let code = graph.code(edge.to);
            let alone = ways[edge.to.index()] == 1 && code.body.is_empty() && code.params.is_empty();
            if alone && asked(edge.to) == Some(value) {
                first[edge.to.index()] = root;
            }
        }
    }
    first.into_iter().map(|root| counts[root.index()] >= SEARCH).collect()
}

/// One of two ways.
struct Arm {
    /// The block on it, if there is one.
    block: Option<Block>,
    /// What it computes.
    body: Vec<Value>,
    charge: Option<(u32, Site)>,
    edge: Edge,
}

struct Choosing<'g> {
    graph: &'g mut Graph,
    flow: Option<&'g Flow>,
    chased: Option<Chased>,
    /// Whether the test at the end of a block is one of many of one value.
    searches: Vec<bool>,
    /// Whether a value is a parameter that counts.
    counts: Vec<bool>,
    /// How many edges lead to each block.
    ways: Vec<u32>,
    renames: Renames,
}

/// How much may be computed in vain in a loop, and how much besides; how many values may be chosen.
const IN_LOOPS: usize = 4;
const BESIDES: usize = 1;
const CHOICES: usize = 3;

impl Choosing<'_> {
    fn look(&mut self, block: Block) {
        let End::Branch { test, yes, no } = &self.graph.code(block).end else { return };
        let may_meet = |edge: &Edge| {
            self.ways[edge.to.index()] == 1 && matches!(self.graph.code(edge.to).end, End::Jump(_))
        };
        if yes.to != no.to && !may_meet(yes) && !may_meet(no) {
            return;
        }
        if self.searches.get(block.index()) == Some(&true) {
            return;
        }
        let test = *test;
        let (yes, no) = (yes.clone(), no.clone());
        let (Some(yes), Some(no)) = (self.arm(block, &yes, &no), self.arm(block, &no, &yes)) else { return };
        if yes.edge.to != no.edge.to || yes.edge.to == block {
            return;
        }
        let depth = self.flow.and_then(|flow| flow.innermost(block)).map_or(0, |inside| inside.depth);
        let pairs =
            yes.edge.arguments.iter().zip(&no.edge.arguments).zip(&self.graph.code(yes.edge.to).params);
        let (mut chosen, mut waits) = (0, false);
        for ((&a, &b), &param) in pairs {
            if !self.same(a, b) {
                chosen += 1;
                waits |= self.chased.as_ref().is_some_and(|chased| chased.waits(block, param));
            }
        }
        let vain = yes.body.len() + no.body.len();
        let paid = yes.charge.is_some() || no.charge.is_some();
        let worth = if depth == 0 {
            !paid && vain <= BESIDES && chosen <= 1
        } else {
            let guessed = waits || self.is_steady(block, &test);
            vain <= IN_LOOPS && chosen <= CHOICES && (!guessed || vain + chosen == 0)
        };
        if worth {
            self.choose(block, test, yes, no);
        }
    }

    /// A way from a block, by an edge of it; the other edge may meet it at once.
    fn arm(&self, from: Block, edge: &Edge, other: &Edge) -> Option<Arm> {
        let direct = || Arm { block: None, body: Vec::new(), charge: None, edge: edge.clone() };
        if edge.to == other.to {
            return Some(direct());
        }
        let code = self.graph.code(edge.to);
        let End::Jump(onwards) = &code.end else { return Some(direct()) };
        if self.ways[edge.to.index()] != 1
            || edge.to == Block::ENTRY
            || edge.to == from
            || !code.params.is_empty()
        {
            return Some(direct());
        }
        // A block that the other edge leads to is where they meet.
        if onwards.to != other.to && !self.leads(other.to, onwards.to) {
            return Some(direct());
        }
        let (mut body, mut charge) = (Vec::new(), None);
        for &value in &code.body {
            match *self.graph.op(value) {
                Op::Charge { cost, site } if charge.is_none() => charge = Some((cost, site)),
                _ if self.is_cheap(value) => body.push(value),
                _ => return None,
            }
        }
        Some(Arm { block: Some(edge.to), body, charge, edge: onwards.clone() })
    }

    /// Whether a block leads to another and nowhere else.
    fn leads(&self, from: Block, to: Block) -> bool {
        matches!(&self.graph.code(from).end, End::Jump(edge) if edge.to == to)
    }

    /// Whether an operation takes little time, and may be done in vain.
    fn is_cheap(&self, value: Value) -> bool {
        match self.graph.op(value) {
            Op::Bin { op, .. } => {
                !matches!(op, BinOp::Div | BinOp::Sdiv | BinOp::Mod | BinOp::Smod | BinOp::MulHigh)
            }
            Op::Un { .. } | Op::Compare(_) | Op::Select { .. } => true,
            _ => false,
        }
    }

    fn same(&self, a: Value, b: Value) -> bool {
        let (a, b) = (self.renames.get(a), self.renames.get(b));
        a == b || self.graph.constant(a).is_some() && self.graph.constant(a) == self.graph.constant(b)
    }

    /// Whether a test in a loop is of what counts, or does not change: it ends as it did before, or as often.
    fn is_steady(&self, block: Block, test: &Test) -> bool {
        let Some(flow) = self.flow else { return true };
        let Some(inside) = flow.innermost(block) else { return true };
        let mut ahead = vec![(test.lhs, 0), (test.rhs, 0)];
        while let Some((value, depth)) = ahead.pop() {
            let value = self.renames.get(value);
            match self.graph.op(value) {
                Op::Const(_) | Op::Entry(_) | Op::Base(_) => {}
                Op::Param(at) if !flow.is_in(*at, inside) => {}
                Op::Param(_) => {
                    if !self.counts[value.index()] {
                        return false;
                    }
                }
                Op::Bin { .. } | Op::Un { .. } | Op::Compare(_) if depth < 4 => {
                    self.graph.op(value).uses(|used| ahead.push((used, depth + 1)));
                }
                _ => return false,
            }
        }
        true
    }

    fn choose(&mut self, block: Block, test: Test, yes: Arm, no: Arm) {
        let to = yes.edge.to;
        for arm in [&yes, &no] {
            self.graph.blocks[block.index()].body.extend(&arm.body);
            if let Some(gone) = arm.block {
                let code = &mut self.graph.blocks[gone.index()];
                code.body.clear();
                code.end = End::Unreachable;
            }
        }
        let pairs = yes.edge.arguments.iter().zip(&no.edge.arguments);
        let arguments = pairs.map(|(&yes, &no)| self.select(block, test, yes, no)).collect();
        self.ways[to.index()] -= 1;
        let mut block = block;
        if yes.charge.is_some() || no.charge.is_some() {
            block = self.pay(block, test, yes.charge, no.charge);
        }
        self.graph.blocks[block.index()].end = End::Jump(Edge { to, arguments });
        self.join(block);
    }

    /// `yes` or `no`, at the end of a block.
    fn select(&mut self, block: Block, test: Test, yes: Value, no: Value) -> Value {
        if self.same(yes, no) {
            return yes;
        }
        let op = match (self.graph.constant(yes), self.graph.constant(no), test.cond.opposite()) {
            (Some(1), Some(0), _) => Op::Compare(test),
            (Some(0), Some(1), Some(cond)) => Op::Compare(Test { cond, ..test }),
            _ => Op::Select { test, yes, no },
        };
        self.graph.append(block, op)
    }

    /// Pays for the way that is chosen; the block where that is done.
    fn pay(&mut self, block: Block, test: Test, yes: Option<(u32, Site)>, no: Option<(u32, Site)>) -> Block {
        let cost = |charge: Option<(u32, Site)>| u64::from(charge.map_or(0, |(cost, _)| cost));
        let (yes_cost, no_cost) = (cost(yes), cost(no));
        let (yes_value, no_value) = (self.graph.add(Op::Const(yes_cost)), self.graph.add(Op::Const(no_cost)));
        let amount = self.select(block, test, yes_value, no_value);
        let left = self.graph.append(block, Op::Budget);
        let cold = self.graph.code(block).cold;
        let (poor, paid) = (self.new_block(true), self.new_block(cold));
        let edge = |to: Block| Edge { to, arguments: Vec::new() };
        let short = Test { cond: Cond::Lt, width: Width::W64, lhs: left, rhs: amount };
        self.graph.blocks[block.index()].end = End::Branch { test: short, yes: edge(poor), no: edge(paid) };
        self.graph.append(paid, Op::Spend { amount });
        // Too little: the ways as they were, each of which traps. One that costs nothing does not lead here.
        match (yes, no) {
            (Some(yes), Some(no)) => {
                let traps = [yes, no].map(|(cost, site)| {
                    let block = self.new_block(true);
                    self.graph.append(block, Op::Charge { cost, site });
                    block
                });
                self.graph.blocks[poor.index()].end =
                    End::Branch { test, yes: edge(traps[0]), no: edge(traps[1]) };
            }
            (Some((cost, site)), None) | (None, Some((cost, site))) => {
                self.graph.append(poor, Op::Charge { cost, site });
            }
            (None, None) => {}
        }
        paid
    }

    fn new_block(&mut self, cold: bool) -> Block {
        self.ways.push(1);
        let block = self.graph.block();
        self.graph.blocks[block.index()].cold = cold;
        block
    }

    /// Goes on with the next block, if nobody else leads there, so that a way around all of this may be chosen, too.
    fn join(&mut self, block: Block) {
        let End::Jump(Edge { to, arguments }) = self.graph.code(block).end.clone() else { return };
        if self.ways[to.index()] != 1 || to == block || to == Block::ENTRY {
            return;
        }
        let code = &mut self.graph.blocks[to.index()];
        let (params, mut body) = (std::mem::take(&mut code.params), std::mem::take(&mut code.body));
        let end = std::mem::replace(&mut code.end, End::Unreachable);
        for (param, argument) in params.into_iter().zip(arguments) {
            self.renames.rename(param, argument);
        }
        let code = &mut self.graph.blocks[block.index()];
        code.body.append(&mut body);
        code.end = end;
    }
}

#[cfg(test)]
mod tests {
    use super::choose;
    use crate::plan::graph::{End, Graph, Op};
    use crate::plan::passes::Pass;
    use crate::plan::passes::trial::{Trial, built};
    use crate::plan::random::{EVERYTHING, MEMORY, NUMBERS, agree};

    fn all(graph: &mut Graph) {
        for pass in [Pass::Sweep, Pass::Simplify, Pass::Share, Pass::Choose, Pass::Simplify, Pass::Sweep] {
            pass.run(graph);
        }
    }

    /// How many branches and choices are left in a program that was looked at.
    fn left(text: &str) -> (usize, usize) {
        let before = built(text);
        let mut after = before.clone();
        all(&mut after);
        let trial = Trial { lengths: vec![64, 100], budgets: vec![100_000, 400, 100, 61, 60, 17, 8, 5, 0] };
        trial.hold(&before, &after);
        let codes = after.order().into_iter().map(|block| after.code(block));
        codes.fold((0, 0), |(branches, choices), code| {
            let chosen = code
                .body
                .iter()
                .filter(|&&value| matches!(after.op(value), Op::Select { .. } | Op::Compare(_)));
            (branches + usize::from(matches!(code.end, End::Branch { .. })), choices + chosen.count())
        })
    }

    /// A loop over 16 bytes, each of them in `r4`.
    fn repeated(body: &str) -> (usize, usize) {
        left(&format!(
            "r0 = 0\nr5 = 0\nr3 = 0\nL1:\nr4 = r1\nr4 += r3\nr4 = *(u8 *)(r4 + 0)\n{body}\nr3 += 1\nif r3 != 16 goto L1\nexit"
        ))
    }

    #[test]
    fn minima_and_conditional_sums_in_loops() {
        assert_eq!(repeated("if r4 < r0 goto L5\nr0 = r4\nL5:"), (1, 1));
        assert_eq!(repeated("if r4 & 1 goto L5\nr0 += r4\nL5:"), (1, 1));
        assert_eq!(repeated("if r4 & 1 goto L5\nr0 ^= 0x1021\ngoto L6\nL5:\nr0 <<= 1\nL6:"), (1, 1));
    }

    #[test]
    fn counters_are_guessed_well() {
        assert_eq!(repeated("if r3 < 9 goto L5\nr0 += r4\nL5:"), (2, 0));
        assert_eq!(repeated("if r2 < 70 goto L5\nr0 += r4\nL5:"), (2, 0));
    }

    #[test]
    fn what_leads_to_the_next_load_is_guessed() {
        // The place of the smallest.
        assert_eq!(
            repeated("r5 = r1\nr5 += r0\nr5 = *(u8 *)(r5 + 0)\nif r4 >= r5 goto L5\nr0 = r3\nL5:").1,
            0
        );
        // Its value.
        assert_eq!(repeated("if r4 >= r0 goto L5\nr0 = r4\nL5:"), (1, 1));
    }

    #[test]
    fn choices_by_one_test_are_made_at_once() {
        let one = "if r4 >= 9 goto L5\nr0 += 1\nL5:";
        let other = "r5 = 7\nif r4 >= 9 goto L6\nr5 = r3\nL6:\nr0 ^= r5";
        assert_eq!(repeated(&format!("{one}\n{other}")), (1, 2));
        // One branch, and the loop's.
        let long = "if r4 >= 9 goto L5\nr0 /= r2\nL5:\nr5 = 7\nif r4 >= 9 goto L6\nr5 = r3\nr5 /= 3\nL6:\nr0 ^= r5\nr6 = r5";
        let (branches, _) = repeated(long);
        assert!(branches <= 3);
    }

    #[test]
    fn divisions_and_memory_are_not_for_nothing() {
        assert_eq!(repeated("if r4 & 1 goto L5\nr0 /= r4\nL5:"), (2, 0));
        assert_eq!(repeated("if r4 & 1 goto L5\n*(u8 *)(r1 + 0) = r4\nL5:"), (2, 0));
    }

    #[test]
    fn ways_that_cost_differently() {
        // Each way pays for a jump back of its own.
        let text = "r0 = 0\nr3 = 0\ngoto L1\nL3:\nr3 += 1\nif r3 == 16 goto L9\nL1:\nr4 = r1\nr4 += r3\nr4 = *(u8 *)(r4 + 0)\nif r4 > r0 goto L3\nr0 = r4\ngoto L3\nL9:\nexit";
        let (branches, choices) = left(text);
        assert_eq!(choices, 2);
        // The end of the loop, whether it can be paid, and which way it could not.
        assert_eq!(branches, 3);
        let text = "r0 = 0\nr3 = 0\ngoto L1\nL3:\nr3 += 1\nif r3 == 16 goto L9\nL1:\nr4 = r1\nr4 += r3\nr4 = *(u8 *)(r4 + 0)\nif r4 > r0 goto L4\nr0 = r4\nL4:\ngoto L3\nL9:\nexit";
        assert_eq!(left(text), (1, 1));
    }

    #[test]
    fn answers_outside_of_loops() {
        assert_eq!(left("r0 = 1\nif r2 < 70 goto L1\nr0 = 2\nL1:\nexit"), (0, 1));
        assert_eq!(
            left("r0 = 1\nif r2 < 70 goto L1\nr0 = r2\nr0 *= 7\nr0 ^= r2\nr0 >>= 2\nL1:\nexit"),
            (1, 0)
        );
    }

    #[test]
    fn random_graphs_keep_their_meaning() {
        for tastes in [NUMBERS, MEMORY, EVERYTHING] {
            agree(tastes, 0..4000, choose);
        }
        Trial::default().programs(3000, all);
    }
}
