//! From a program to its graph.
//!
//! Registers become values: where several ways with different values of a register meet, and somebody reads it, the block there
//! has a parameter. What is proved of an access makes an address of it; all others are checked where they are.

use sandbpf_isa::{Callee, Cond, Insn, MAY_GOTO_LIMIT, Operand, Pc, Program, Reg, RegSet, StackUse, Width};
use sandbpf_runtime::TAIL_CALL;
use sandbpf_runtime::address::{self, STACK};
use sandbpf_runtime::helpers::HelperSet;

use super::dominators::Dominators;
use super::expand::{self, Node, NodeId, Then, frame_pointer};
use super::graph::{BinOp, Block, Edge, End, Entry, Graph, Op, Test, Trapping, Value};
use super::translate::Translator;
use crate::proved::Proved;
use crate::{Input, Maps};

/// `r0` to `r9`, and how many `may_goto`s are left: all that changes.
pub(super) const REGISTERS: usize = 11;

/// Where the count of `may_goto`s is among them; `r10` needs no place.
const MAY_GOTO: usize = 10;

/// What a function keeps for its caller, as a mask.
const KEPT: u16 = 0b111_1100_0000;

/// A register's value, for each.
pub(super) type Registers = [Value; REGISTERS];

/// What is known of a program's runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'s> {
    /// What it is given.
    pub(crate) input: Input,
    /// What was proved of it.
    pub(crate) proved: Option<&'s Proved>,
    /// Its helpers, if they are always the same.
    pub(crate) helpers: Option<&'s HelperSet>,
    /// Whether runs have a machine.
    pub(crate) machine: bool,
    /// The maps that are always these.
    pub(crate) maps: Option<&'s Maps>,
}

/// The graph of a program; `None` if it does what graphs do not. With a `machine` it may call others, and look into its context
/// for its packet.
pub(crate) fn build(program: &Program, setting: Setting<'_>) -> Option<Graph> {
    let Setting { proved, helpers, machine, maps, .. } = setting;
    let insns = program.insns();
    if maps.is_some_and(|maps| maps.all().len() > usize::from(u16::MAX)) {
        return None;
    }
    if insns.iter().any(|insn| !Translator::knows(insn))
        || !machine && insns.iter().any(|insn| Translator::calls_out(insn, helpers, maps.is_some()))
    {
        return None;
    }
    // Who is replaced by another program in a function goes on in its caller.
    let tail_call = Insn::Call { callee: Callee::Helper(TAIL_CALL) };
    if program.functions().len() > 1 && insns.contains(&tail_call) {
        return None;
    }
    let nodes = expand::expand(program, |pc| proved.is_none_or(|proved| proved.reached(pc)))?;
    let order = order(&nodes);
    let mut number = vec![u32::MAX; nodes.len()];
    for (place, node) in order.iter().enumerate() {
        number[node.index()] = place as u32;
    }
    let shape = Shape { live: live(program, &nodes, &order), sources: sources(&nodes, &order), number };
    let written = written(program, &nodes, &order, &shape);
    let graph = connect(program, setting, &nodes, &order, &shape, Some(&written))?;
    if loops_have_heads(&graph) {
        return Some(graph);
    }
    // What nobody writes in a loop may change in one that can be entered in several places.
    connect(program, setting, &nodes, &order, &shape, None)
}

/// What is known of nodes before there are values.
struct Shape {
    /// The registers that somebody reads from the start of each on.
    live: Vec<u16>,
    /// The nodes that lead to each.
    sources: Vec<Vec<NodeId>>,
    /// The place of each in the order.
    number: Vec<u32>,
}

/// Whether every way back leads to a block that stands on all ways to where it comes from.
fn loops_have_heads(graph: &Graph) -> bool {
    let dominators = Dominators::of(graph);
    let mut number = vec![0; graph.blocks.len()];
    for (place, block) in dominators.order.iter().enumerate() {
        number[block.index()] = place;
    }
    dominators.order.iter().all(|&from| {
        let mut edges = graph.code(from).end.edges();
        edges
            .all(|edge| number[edge.to.index()] > number[from.index()] || dominators.dominates(edge.to, from))
    })
}

/// Turns nodes into blocks. `written` says what changes in loops; without it every register that is read is a parameter where
/// ways meet. Nothing where only a machine could tell what a call does.
fn connect(
    program: &Program,
    setting: Setting<'_>,
    nodes: &[Node],
    order: &[NodeId],
    shape: &Shape,
    written: Option<&[u16]>,
) -> Option<Graph> {
    let Shape { live, sources, number } = shape;

    let depth = nodes.iter().map(|node| node.depth).max().unwrap_or_default();
    let (packet, context) = match setting.input {
        Input::Memory => (address::BUFFER, 0),
        Input::Context { bytes, .. } => (address::PACKET, bytes),
    };
    let mut graph = Graph::new(packet, 512 * (depth + 1), context);
    graph.machine = setting.machine;
    if let Some(maps) = setting.maps {
        graph.far = maps.all().iter().map(|known| known.bias().unwrap_or_default()).collect();
        graph.maps = Some(maps.clone());
    }
    let mut translator = Translator::new(graph, setting, program.stack_use());
    let before = translator.initial();
    if !setting.machine {
        translator.clear(program, 0);
    }
    let blocks: Vec<Block> = nodes.iter().map(|_| translator.graph.block()).collect();
    translator.graph.blocks[Block::ENTRY.index()].end = jump(blocks[0]);

    // Which registers are parameters of each node's block, and the registers at its end.
    let mut params = vec![0u16; nodes.len()];
    let mut after: Vec<Option<Registers>> = vec![None; nodes.len()];
    // The blocks whose edges lead from a node.
    let mut holders = vec![(Block::ENTRY, None)];
    for &id in order {
        let (node, at) = (&nodes[id.index()], id.index());
        let block = blocks[at];
        let mut registers = before;
        let ways = || {
            let first = (id == NodeId(0)).then_some(before);
            first
                .into_iter()
                .chain(sources[at].iter().filter_map(|&from| arriving(nodes, &after, from, before[MAY_GOTO])))
        };
        let back = sources[at].iter().any(|from| number[from.index()] >= number[at]);
        for reg in (0..REGISTERS).filter(|reg| live[at] >> reg & 1 != 0) {
            let mut values = ways().map(|registers| registers[reg]);
            let value = values.next().unwrap_or(before[reg]);
            let changes = written.is_none_or(|written| written[at] >> reg & 1 != 0);
            let meets = sources[at].len() > 1 || id == NodeId(0);
            if values.any(|other| other != value) || changes && (back || meets && written.is_none()) {
                params[at] |= 1 << reg;
                registers[reg] = translator.graph.param(block);
                translator.same_hint(registers[reg], value);
            } else {
                registers[reg] = value;
            }
        }
        translator.start(block, registers, node.depth);
        for index in node.first.0..node.end.0 {
            translator.instruction(Pc(index), &program.insns()[index as usize]);
        }
        end(&mut translator, program, node, &blocks, &mut holders, id);
        after[at] = Some(translator.registers);
    }
    // Now that the ends of all nodes are known, edges get their arguments.
    let node_of = |block: Block| block.index().checked_sub(1).filter(|&node| node < nodes.len());
    for (holder, from) in holders {
        let registers = match from {
            None => before,
            Some(from) => arriving(nodes, &after, from, before[MAY_GOTO]).unwrap_or(before),
        };
        for edge in translator.graph.blocks[holder.index()].end.edges_mut() {
            let Some(to) = node_of(edge.to) else { continue };
            let wanted = (0..REGISTERS).filter(|reg| params[to] >> reg & 1 != 0);
            edge.arguments = wanted.map(|reg| registers[reg]).collect();
        }
    }
    (!translator.stuck).then_some(translator.graph)
}

/// The registers that arrive from a node, if its end is known.
fn arriving(nodes: &[Node], after: &[Option<Registers>], from: NodeId, limit: Value) -> Option<Registers> {
    let mut registers = after[from.index()]?;
    match nodes[from.index()].then {
        Then::Return { call, .. } => registers[6..].copy_from_slice(&after[call.index()]?[6..]),
        Then::Call { .. } => registers[MAY_GOTO] = limit,
        _ => {}
    }
    Some(registers)
}

fn jump(to: Block) -> End {
    End::Jump(edge(to))
}

fn edge(to: Block) -> Edge {
    Edge { to, arguments: Vec::new() }
}

/// Ends a node's block.
fn end(
    translator: &mut Translator<'_>,
    program: &Program,
    node: &Node,
    blocks: &[Block],
    holders: &mut Vec<(Block, Option<NodeId>)>,
    id: NodeId,
) {
    let block = blocks[id.index()];
    holders.push((block, Some(id)));
    let end = match node.then {
        Then::Go { to, cost } => {
            if let Some((cost, pc)) = cost {
                translator.charge(block, cost, pc);
            }
            jump(blocks[to.index()])
        }
        Then::Fork { taken, cost, next } => {
            let test = match program.insns()[node.end.index()] {
                Insn::Branch { cond, width, lhs, rhs, .. } => {
                    let (lhs, rhs) = (translator.get(lhs), translator.operand(rhs));
                    translator.tested(Test { cond, width, lhs, rhs })
                }
                _ => translator.may_goto(),
            };
            let yes = match cost {
                None => blocks[taken.index()],
                Some((cost, pc)) => {
                    let paying = translator.graph.block();
                    translator.charge(paying, cost, pc);
                    translator.graph.blocks[paying.index()].end = jump(blocks[taken.index()]);
                    holders.push((paying, Some(id)));
                    paying
                }
            };
            End::Branch { test, yes: edge(yes), no: edge(blocks[next.index()]) }
        }
        Then::Call { entry, cost, .. } => {
            translator.charge(block, cost, node.end);
            translator.clear(program, node.depth + 1);
            jump(blocks[entry.index()])
        }
        Then::Return { to, .. } => jump(blocks[to.index()]),
        Then::Exit => End::Return(translator.registers[0]),
        Then::Never | Then::Unknown => End::Unreachable,
    };
    translator.graph.blocks[block.index()].end = end;
}

/// Nodes in reverse postorder.
fn order(nodes: &[Node]) -> Vec<NodeId> {
    let mut seen = vec![false; nodes.len()];
    let mut order = Vec::with_capacity(nodes.len());
    let mut path: Vec<(NodeId, usize)> = vec![(NodeId(0), 0)];
    seen[0] = true;
    while let Some((node, followed)) = path.last_mut() {
        // The last goes first, so that the first comes first when all is reversed.
        let (count, place) = (nodes[node.index()].successors().count(), *followed);
        *followed += 1;
        if place == count {
            order.push(*node);
            path.pop();
            continue;
        }
        let to = nodes[node.index()].successors().nth(count - 1 - place);
        if let Some(to) = to.filter(|to| !seen[to.index()]) {
            seen[to.index()] = true;
            path.push((to, 0));
        }
    }
    order.reverse();
    order
}

/// The nodes that lead to each.
fn sources(nodes: &[Node], order: &[NodeId]) -> Vec<Vec<NodeId>> {
    let mut sources = vec![Vec::new(); nodes.len()];
    for &from in order {
        for to in nodes[from.index()].successors() {
            sources[to.index()].push(from);
        }
    }
    sources
}

fn mask(set: RegSet) -> u16 {
    (0..MAY_GOTO as u8)
        .filter(|&number| Reg::new(number).is_some_and(|reg| set.contains(reg)))
        .fold(0, |mask, number| mask | 1 << number)
}

/// What a node reads before it writes it, and what it writes.
fn reads_and_writes(program: &Program, node: &Node) -> (u16, u16) {
    let (mut reads, mut writes) = (0, 0);
    for insn in &program.insns()[node.first.index()..node.end.index()] {
        reads |= mask(insn.reads()) & !writes;
        writes |= mask(insn.writes());
    }
    match node.then {
        Then::Fork { .. } => match &program.insns()[node.end.index()] {
            Insn::MayGoto { .. } => {
                reads |= 1 << MAY_GOTO;
                writes |= 1 << MAY_GOTO;
            }
            insn => reads |= mask(insn.reads()) & !writes,
        },
        Then::Exit => reads |= 1 & !writes,
        _ => {}
    }
    (reads, writes)
}

/// The registers that somebody reads from the start of each node on.
fn live(program: &Program, nodes: &[Node], order: &[NodeId]) -> Vec<u16> {
    let text: Vec<(u16, u16)> = nodes.iter().map(|node| reads_and_writes(program, node)).collect();
    let mut live = vec![0u16; nodes.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for &id in order.iter().rev() {
            let at = |node: NodeId| live[node.index()];
            let after = match nodes[id.index()].then {
                Then::Return { to, .. } => at(to) & !KEPT,
                Then::Call { entry, back, .. } => at(entry) | at(back) & KEPT,
                _ => nodes[id.index()].successors().fold(0, |mask, to| mask | at(to)),
            };
            let (reads, writes) = text[id.index()];
            let now = reads | after & !writes;
            if now != live[id.index()] {
                live[id.index()] = now;
                changed = true;
            }
        }
    }
    live
}

/// How many nodes a loop may have for us to look which registers it writes; of larger ones that is taken to be all.
const LARGEST_LOOP: u32 = 2048;

/// For nodes to which a way leads back, the registers that may be written before it does.
fn written(
    program: &Program,
    nodes: &[Node],
    order: &[NodeId],
    Shape { number, sources, .. }: &Shape,
) -> Vec<u16> {
    let mut written = vec![0; nodes.len()];
    let last = |node: &NodeId| sources[node.index()].iter().map(|from| number[from.index()]).max();
    for (start, head) in order.iter().enumerate() {
        let Some(mut length) = last(head).and_then(|last| last.checked_sub(start as u32)) else { continue };
        // What leads back into a loop from behind it is of the loop as well.
        let mut at = 1;
        while at <= length && length < LARGEST_LOOP {
            let further =
                last(&order[start + at as usize]).map_or(0, |last| last.saturating_sub(start as u32));
            length = length.max(further);
            at += 1;
        }
        let last = start as u32 + length;
        written[head.index()] = match length {
            0..LARGEST_LOOP => order[start..=last as usize].iter().fold(0, |mask, node| {
                let node = &nodes[node.index()];
                // Callers find their own registers again, but here it is enough that they might not.
                mask | reads_and_writes(program, node).1
            }),
            _ => u16::MAX,
        };
    }
    written
}

impl Translator<'_> {
    /// The registers with which a run starts.
    fn initial(&mut self) -> Registers {
        let zero = self.number(0);
        let mut registers = [zero; REGISTERS];
        registers[MAY_GOTO] = self.number(MAY_GOTO_LIMIT);
        match self.input {
            Input::Memory => {
                registers[1] = self.number(address::BUFFER);
                registers[2] = self.length();
            }
            Input::Context { .. } => registers[1] = self.number(address::CONTEXT),
        }
        registers
    }

    /// Whether the `may_goto`s of this frame are used up; if not, there is one less.
    fn may_goto(&mut self) -> Test {
        let (left, zero, less) = (self.registers[MAY_GOTO], self.number(0), self.number(u64::MAX));
        // Who goes away does not look at the count where it was 0, but for another `may_goto` there.
        let rest =
            self.graph.append(self.block, Op::Bin { op: BinOp::Add, width: Width::W64, a: left, b: less });
        let test = Test { cond: Cond::Eq, width: Width::W64, lhs: left, rhs: zero };
        self.registers[MAY_GOTO] = self.graph.append(self.block, Op::Select { test, yes: zero, no: rest });
        test
    }

    /// How long the packet is.
    pub(super) fn length(&mut self) -> Value {
        match self.length {
            Some(value) => value,
            None => {
                let value = self.graph.add(Op::Entry(Entry::Length));
                self.length = Some(value);
                value
            }
        }
    }

    /// Makes a frame zero, where a function starts.
    fn clear(&mut self, program: &Program, depth: u32) {
        let bytes = match program.stack_use() {
            StackUse::None => return,
            StackUse::Top(bytes) => u32::from(bytes),
            StackUse::Whole => 512,
        };
        let from = frame_pointer(depth) - u64::from(bytes);
        debug_assert!(from >= STACK);
        self.graph.append(self.block, Op::Clear { from, bytes });
    }

    fn charge(&mut self, block: Block, cost: u32, pc: Pc) {
        let site = self.site(Trapping::Budget { pc });
        self.graph.append(block, Op::Charge { cost, site });
    }

    pub(super) fn operand(&mut self, operand: Operand) -> Value {
        match operand {
            Operand::Reg(reg) => self.get(reg),
            Operand::Imm(imm) => self.number(imm as u64),
        }
    }
}
