//! A program's blocks, with functions in the places of their calls.
//!
//! Every call gets a copy of its callee's blocks, so that frames, and with them the addresses on the stack, are known.
//! That takes the calls to have an end; a program that calls itself, or would become many times as long, is not for us.

use sandbpf_isa::{Callee, FRAME_SIZE, Function, Insn, MAX_FRAMES, Pc, Program};

/// A node, by its number. The first is where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(pub(super) u32);

impl NodeId {
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Instructions that run one after the other, in one frame.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The first of them …
    pub(super) first: Pc,
    /// … and the one behind the last; what decides where to go on is not among them.
    pub(super) end: Pc,
    /// The frame, counted from 0.
    pub(super) depth: u32,
    pub(super) then: Then,
}

/// Where control goes after a node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// To one place; a jump back costs something, at this instruction.
    Go { to: NodeId, cost: Option<(u32, Pc)> },
    /// The instruction at `end` decides; taking it back costs something.
    Fork { taken: NodeId, cost: Option<(u32, Pc)>, next: NodeId },
    /// The function called at `end` follows, which costs this, and then what is behind the call, if it comes back.
    Call { entry: NodeId, cost: u32, back: NodeId },
    /// The caller goes on, and finds `r6` to `r9` as they were at the end of the node that called.
    Return { to: NodeId, call: NodeId },
    /// The run ends.
    Exit,
    /// Nobody comes here.
    Never,
    /// Not known yet.
    Unknown,
}

impl Node {
    /// The nodes that may follow.
    pub(super) fn successors(&self) -> impl Iterator<Item = NodeId> {
        let (first, second) = match self.then {
            Then::Go { to, .. } | Then::Return { to, .. } => (Some(to), None),
            // What is not taken comes first.
            Then::Fork { taken, next, .. } => (Some(next), Some(taken)),
            Then::Call { entry, .. } => (Some(entry), None),
            Then::Exit | Then::Never | Then::Unknown => (None, None),
        };
        first.into_iter().chain(second)
    }
}

/// A function in the place of one of its calls.
struct Instance {
    function: Function,
    depth: u32,
    /// The function that this is in, if it was called.
    caller: Option<usize>,
    /// Where its caller goes on, and the node that called.
    back: Option<(NodeId, NodeId)>,
    /// The nodes that start at its instructions.
    starts: Vec<Option<NodeId>>,
}

struct Expansion<'p, F> {
    program: &'p Program,
    reached: F,
    leaders: Vec<bool>,
    nodes: Vec<Node>,
    /// Which instance each node is in.
    homes: Vec<usize>,
    instances: Vec<Instance>,
    /// How many more instructions there may be.
    room: usize,
}

/// The nodes of a program; `None` if it is not for us. `reached` says whether a run can come to an instruction.
pub(super) fn expand(program: &Program, reached: impl Fn(Pc) -> bool) -> Option<Vec<Node>> {
    let mut expansion = Expansion {
        program,
        reached,
        leaders: leaders(program),
        nodes: Vec::new(),
        homes: Vec::new(),
        instances: Vec::new(),
        room: 4 * program.len() + 4096,
    };
    let main = *program.functions().first()?;
    expansion.instance(main, 0, None, None)?;
    expansion.node(0, Pc(0))?;
    let mut done = 0;
    while done < expansion.nodes.len() {
        expansion.complete(NodeId(done as u32))?;
        done += 1;
    }
    Some(expansion.nodes)
}

/// Where blocks start.
fn leaders(program: &Program) -> Vec<bool> {
    let mut leaders = vec![false; program.len() + 1];
    for (index, insn) in program.insns().iter().enumerate() {
        if let Some(to) = insn.target() {
            leaders[to.index()] = true;
        }
        let splits = matches!(insn, Insn::Call { callee: Callee::Local(_) });
        if insn.target().is_some() || splits || matches!(insn, Insn::Exit) {
            leaders[index + 1] = true;
        }
    }
    leaders
}

impl<F: Fn(Pc) -> bool> Expansion<'_, F> {
    fn instance(
        &mut self,
        function: Function,
        depth: u32,
        caller: Option<usize>,
        back: Option<(NodeId, NodeId)>,
    ) -> Option<usize> {
        let len = function.end.index() - function.entry.index();
        self.room = self.room.checked_sub(len)?;
        self.instances.push(Instance { function, depth, caller, back, starts: vec![None; len] });
        Some(self.instances.len() - 1)
    }

    /// The node that starts at an instruction of an instance.
    fn node(&mut self, home: usize, first: Pc) -> Option<NodeId> {
        let instance = &mut self.instances[home];
        let at = first.index().checked_sub(instance.function.entry.index())?;
        let start = instance.starts.get_mut(at)?;
        if let Some(node) = *start {
            return Some(node);
        }
        let node = NodeId(u32::try_from(self.nodes.len()).ok()?);
        *start = Some(node);
        let depth = instance.depth;
        self.nodes.push(Node { first, end: first, depth, then: Then::Unknown });
        self.homes.push(home);
        Some(node)
    }

    /// Finds a node's end, and what follows it.
    fn complete(&mut self, node: NodeId) -> Option<()> {
        let (home, mut pc) = (self.homes[node.index()], self.nodes[node.index()].first);
        if !(self.reached)(pc) {
            self.nodes[node.index()].then = Then::Never;
            return Some(());
        }
        let back = |from: Pc, to: Pc| (to <= from).then(|| (from.0 - to.0 + 1, from));
        let then = loop {
            let next = Pc(pc.0 + 1);
            match *self.program.get(pc)? {
                Insn::Jump { to, .. } => break Then::Go { to: self.node(home, to)?, cost: back(pc, to) },
                Insn::Branch { to, .. } | Insn::MayGoto { to } => {
                    let (next, taken) = (self.node(home, next)?, self.node(home, to)?);
                    break Then::Fork { taken, cost: back(pc, to), next };
                }
                Insn::Exit => {
                    break match self.instances[home].back {
                        Some((to, call)) => Then::Return { to, call },
                        None => Then::Exit,
                    };
                }
                Insn::Call { callee: Callee::Local(entry) } => {
                    break self.call(home, node, entry, next)?;
                }
                _ => {}
            }
            if self.leaders[next.index()] {
                self.nodes[node.index()].end = next;
                let then = Then::Go { to: self.node(home, next)?, cost: None };
                self.nodes[node.index()].then = then;
                return Some(());
            }
            pc = next;
        };
        let node = &mut self.nodes[node.index()];
        (node.end, node.then) = (pc, then);
        Some(())
    }

    /// A copy of the function at `entry` for the call at the end of `node`, which goes on at `next`.
    fn call(&mut self, home: usize, node: NodeId, entry: Pc, next: Pc) -> Option<Then> {
        let function = *self.program.function_at(entry)?;
        let depth = self.instances[home].depth + 1;
        if depth as usize >= MAX_FRAMES {
            return None;
        }
        let mut above = Some(home);
        while let Some(instance) = above {
            if self.instances[instance].function.entry == entry {
                return None;
            }
            above = self.instances[instance].caller;
        }
        let back = self.node(home, next)?;
        let callee = self.instance(function, depth, Some(home), Some((back, node)))?;
        let entry = self.node(callee, entry)?;
        Some(Then::Call { entry, cost: function.cost, back })
    }
}

/// The guest address of a frame's end: what `r10` holds there.
pub(super) const fn frame_pointer(depth: u32) -> u64 {
    sandbpf_runtime::address::FIRST_FRAME + FRAME_SIZE as u64 * depth as u64
}
