//! Copies of loops, without their charges, with several rounds one behind the other.

use sandbpf_isa::Width;

use super::cost::Cost;
use crate::plan::graph::{BinOp, Block, Edge, End, Graph, Op, Value};
use crate::plan::passes::loops::{Exit, Flow, Loop};

/// Copies loops.
pub(super) struct Copier<'g> {
    pub(super) graph: &'g mut Graph,
    pub(super) flow: &'g Flow,
    pub(super) costs: &'g [Option<Cost>],
    /// For every block that was added, the one that it is a copy of, or itself.
    pub(super) origin: Vec<Block>,
    /// Where the loop leads to when it is left, and where its copy does.
    pub(super) out: Option<(Block, Block)>,
    /// Whether what the copy would pay is added up: the last argument of every edge that needs it.
    pub(super) adds: bool,
    /// What values are in the copy.
    map: Vec<Value>,
    /// Where edges to a block lead in the copy.
    target: Vec<Block>,
    /// What was added up where a block ends.
    spent: Vec<Value>,
}

impl<'g> Copier<'g> {
    pub(super) fn new(graph: &'g mut Graph, flow: &'g Flow, costs: &'g [Option<Cost>]) -> Copier<'g> {
        let map = (0..graph.values.len() as u32).map(Value).collect();
        let target: Vec<Block> = (0..graph.blocks.len() as u32).map(Block).collect();
        let (origin, spent) = (target.clone(), vec![Value(0); graph.blocks.len()]);
        Copier { graph, flow, costs, origin, out: None, adds: false, map, target, spent }
    }

    /// The edge that leaves a loop.
    pub(super) fn leaving(&self, exit: Exit) -> &Edge {
        match &self.graph.code(exit.block).end {
            End::Branch { yes, no, .. } => {
                if exit.yes {
                    yes
                } else {
                    no
                }
            }
            End::Jump(_) | End::Return(_) | End::Unreachable => unreachable!("exits are branches"),
        }
    }

    pub(super) fn leaving_mut(&mut self, exit: Exit) -> &mut Edge {
        match &mut self.graph.blocks[exit.block.index()].end {
            End::Branch { yes, no, .. } => {
                if exit.yes {
                    yes
                } else {
                    no
                }
            }
            End::Jump(_) | End::Return(_) | End::Unreachable => unreachable!("exits are branches"),
        }
    }

    fn get(&self, value: Value) -> Value {
        self.map.get(value.index()).copied().unwrap_or(value)
    }

    fn block(&mut self, of: Block) -> Block {
        let block = self.graph.block();
        self.origin.resize(block.index(), Block(u32::MAX));
        self.origin.push(of);
        block
    }

    /// Whether a block has a parameter for what was added up: where ways meet, and where a loop begins.
    fn takes(&self, block: Block) -> bool {
        let is_head = self.flow.innermost(block).is_some_and(|inside| inside.head == block);
        is_head || self.flow.incoming.to(block).len() > 1
    }

    /// Copies a loop with all that is in it; its first head.
    pub(super) fn copy(&mut self, inside: &Loop) -> Block {
        let heads = self.heads(inside);
        self.rounds(inside, &heads);
        heads[0]
    }

    fn cost(&self, inside: &Loop) -> &'g Cost {
        let costs = self.costs;
        costs[inside.number].as_ref().expect("only loops with known costs are copied")
    }

    /// The heads of a copy, one for each of its rounds; edges to the loop's lead to the first.
    fn heads(&mut self, inside: &Loop) -> Vec<Block> {
        let heads: Vec<Block> = (0..self.cost(inside).rounds).map(|_| self.block(inside.head)).collect();
        self.target[inside.head.index()] = heads[0];
        heads
    }

    fn rounds(&mut self, inside: &Loop, heads: &[Block]) {
        let &Cost { trips, rounds, exit, .. } = self.cost(inside);
        let flow = self.flow;
        let mut inner: Vec<&Loop> = inside.inner.iter().map(|&number| &flow.loops[number as usize]).collect();
        inner.sort_unstable_by_key(|inner| flow.place[inner.head.index()]);
        for (round, &head) in heads.iter().enumerate() {
            for &block in &inside.blocks {
                let copy = if block == inside.head { head } else { self.block(block) };
                self.target[block.index()] = copy;
                self.allocate(block, copy);
            }
            // Where ways back lead, from here or from loops inside, which may lead to one another.
            self.target[inside.head.index()] = heads[(round + 1) % heads.len()];
            let all: Vec<Vec<Block>> = inner.iter().map(|inner| self.heads(inner)).collect();
            for (inner, heads) in inner.iter().zip(&all) {
                self.rounds(inner, heads);
            }
            for &block in &inside.blocks {
                let copy = if block == inside.head { head } else { self.target[block.index()] };
                self.fill(block, copy);
                if block == exit.block {
                    let is_last = round + 1 == heads.len();
                    self.decide(copy, exit, is_last, is_last && rounds == trips);
                }
            }
        }
        self.target[inside.head.index()] = heads[0];
    }

    /// Forgets the copy of a block and its values: other loops that use them are to use them as they are.
    pub(super) fn forget(&mut self, block: Block) {
        self.target[block.index()] = block;
        let code = &self.graph.blocks[block.index()];
        for &value in code.params.iter().chain(&code.body) {
            self.map[value.index()] = value;
        }
    }

    /// Leaves the copy of an exit's block one way only, if it is known which.
    fn decide(&mut self, copy: Block, exit: Exit, is_last: bool, leaves: bool) {
        let code = &mut self.graph.blocks[copy.index()];
        let End::Branch { yes, no, .. } = &code.end else { return };
        let (out, stays) = if exit.yes { (yes, no) } else { (no, yes) };
        match (is_last, leaves) {
            (false, _) => code.end = End::Jump(stays.clone()),
            (true, true) => code.end = End::Jump(out.clone()),
            (true, false) => {}
        }
    }

    /// Gives the copy of a block values, whose operands are not copied yet.
    fn allocate(&mut self, block: Block, copy: Block) {
        self.graph.blocks[copy.index()].cold = self.graph.code(block).cold;
        for place in 0..self.graph.code(block).params.len() {
            let param = self.graph.code(block).params[place];
            self.map[param.index()] = self.graph.param(copy);
        }
        if self.adds && self.takes(block) {
            self.spent[block.index()] = self.graph.param(copy);
        }
        for place in 0..self.graph.code(block).body.len() {
            let value = self.graph.code(block).body[place];
            if !matches!(self.graph.op(value), Op::Charge { .. }) {
                let op = self.graph.op(value).clone();
                self.map[value.index()] = self.graph.append(copy, op);
            }
        }
    }

    /// Copies operands and edges.
    fn fill(&mut self, block: Block, copy: Block) {
        for place in 0..self.graph.code(copy).body.len() {
            let value = self.graph.code(copy).body[place];
            let mut op = std::mem::replace(&mut self.graph.values[value.index()], Op::Gone);
            op.uses_mut(|used| *used = self.get(*used));
            self.graph.values[value.index()] = op;
        }
        if self.adds {
            self.add_up(block, copy);
        }
        let mut end = self.graph.code(block).end.clone();
        let spent = self.spent[block.index()];
        match &mut end {
            End::Branch { test, .. } => (test.lhs, test.rhs) = (self.get(test.lhs), self.get(test.rhs)),
            End::Return(value) => *value = self.get(*value),
            End::Jump(_) | End::Unreachable => {}
        }
        for edge in end.edges_mut() {
            edge.arguments.iter_mut().for_each(|value| *value = self.get(*value));
            let out = self.out.filter(|(behind, _)| *behind == edge.to);
            if self.adds && (out.is_some() || self.takes(edge.to)) {
                edge.arguments.push(spent);
            }
            edge.to = match out {
                Some((_, target)) => target,
                None => self.target[edge.to.index()],
            };
        }
        self.graph.blocks[copy.index()].end = end;
    }

    /// Adds what a block costs to what came before it.
    fn add_up(&mut self, block: Block, copy: Block) {
        let mut spent = self.spent[block.index()];
        if !self.takes(block)
            && let [way] = self.flow.incoming.to(block)
        {
            spent = self.spent[way.from.index()];
        }
        let charges = self.graph.code(block).body.iter().map(|&value| match self.graph.op(value) {
            Op::Charge { cost, .. } => u64::from(*cost),
            _ => 0,
        });
        let cost: u64 = charges.sum();
        if cost > 0 {
            let cost = self.graph.add(Op::Const(cost));
            let sum = Op::Bin { op: BinOp::Add, width: Width::W64, a: spent, b: cost };
            spent = self.graph.append(copy, sum);
        }
        self.spent[block.index()] = spent;
    }
}
