//! A program that only reads as blocks: steps in a row, then a decision.
//!
//! ```text
//! b0:  r0 = packet[12 : 2]
//!      if w0 == 0x800 goto b1 else b2
//! b1:  r0 = packet[23 : 1]
//!      switch w0 { 6, 17 → b3; else → b2 }
//! b2:  answer 0
//! b3:  answer 65535
//! ```
//!
//! Every load from the packet may end the run with the answer 0, and says itself how it is kept within the packet. Edges
//! that go back carry what they cost; without them blocks form no circle, which is how passes get along with one look at
//! each block.

use sandbpf_isa::{Cond, Insn, Operand, Reg, RegSet, Size, Width};

/// A block, by its number. The first is where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockId(pub(crate) u32);

impl BlockId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Bytes of the packet: at a constant offset, or behind an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) size: Size,
    pub(crate) index: Option<Reg>,
    pub(crate) off: i32,
}

impl Place {
    /// Where the bytes end, counted from the index or from the packet's start; nowhere if they lie before it.
    pub(crate) fn end(&self) -> Option<u32> {
        Some(u32::try_from(self.off).ok()? + u32::from(self.size.bytes()))
    }
}

/// How a load from the packet is kept within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The packet must have so many bytes behind the index, or behind its start; or the answer is 0.
    Length(u32),
    /// It has enough: this was asked before.
    Known,
    /// The sum of index and offset wraps at 2³², and where it is negative nobody here knows the answer.
    Sum,
}

/// What a block does besides deciding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `dst = ntoh(packet[place])`, or the answer is 0.
    Packet { dst: Reg, place: Place, check: Check },
    /// What cannot fail: arithmetic, the stack, the context.
    Insn(Insn),
}

impl Step {
    /// The registers whose values matter.
    #[inline]
    pub(crate) fn reads(&self) -> RegSet {
        let operand = |src: Operand| src.reg().map_or(RegSet::EMPTY, RegSet::of);
        match *self {
            Step::Packet { place, .. } => place.index.map_or(RegSet::EMPTY, RegSet::of),
            Step::Insn(Insn::Alu { op, dst, src, .. }) if op.reads_dst() => {
                RegSet::of(dst).union(operand(src))
            }
            Step::Insn(Insn::Alu { src, .. }) => operand(src),
            Step::Insn(Insn::Unary { dst, .. }) => RegSet::of(dst),
            Step::Insn(Insn::Load { base, .. }) => RegSet::of(base),
            Step::Insn(Insn::Store { base, src, .. }) => RegSet::of(base).union(operand(src)),
            // The constant; others are no steps.
            Step::Insn(_) => RegSet::EMPTY,
        }
    }

    /// The register that may have another value afterwards.
    #[inline]
    pub(crate) fn target(&self) -> Option<Reg> {
        match *self {
            Step::Packet { dst, .. }
            | Step::Insn(
                Insn::Alu { dst, .. }
                | Insn::Unary { dst, .. }
                | Insn::LoadImm { dst, .. }
                | Insn::Load { dst, .. },
            ) => Some(dst),
            Step::Insn(_) => None,
        }
    }

    /// The same as a set.
    #[inline]
    pub(crate) fn writes(&self) -> RegSet {
        self.target().map_or(RegSet::EMPTY, RegSet::of)
    }
}

/// A way to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) to: BlockId,
    /// What taking it costs: nothing but where it goes back.
    pub(crate) cost: u32,
}

impl Edge {
    /// A way forward.
    pub(crate) fn to(to: BlockId) -> Edge {
        Edge { to, cost: 0 }
    }
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) cond: Cond,
    pub(crate) width: Width,
    pub(crate) lhs: Reg,
    pub(crate) rhs: Operand,
}

impl Test {
    /// The number that is compared with, on the test's width, if it is a constant.
    pub(crate) fn number(&self) -> Option<u64> {
        match (self.rhs, self.width) {
            (Operand::Imm(imm), Width::W32) => Some(u64::from(imm as u32)),
            (Operand::Imm(imm), Width::W64) => Some(imm as i64 as u64),
            (Operand::Reg(_), _) => None,
        }
    }
}

/// How a block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// `r0` is the answer.
    Exit,
    /// This is the answer.
    Answer(u64),
    Goto(Edge),
    Branch {
        test: Test,
        taken: Edge,
        otherwise: Edge,
    },
    /// The packet has so many bytes behind the index, or behind its start, or not. The sum cannot wrap.
    Enough {
        index: Option<Reg>,
        bytes: u32,
        taken: BlockId,
        otherwise: BlockId,
    },
    /// One of the [`Blocks::switches`].
    Switch(u32),
}

/// A block: steps, then its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// Its steps lie in [`Blocks::steps`] from here …
    pub(crate) first: u32,
    /// … to before here.
    pub(crate) last: u32,
    pub(crate) end: End,
}

/// Where each number leads that a register may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    pub(crate) reg: Reg,
    pub(crate) width: Width,
    /// Ranges of numbers that lead elsewhere than most, in the order of the numbers: no two overlap or could be one.
    pub(crate) items: Vec<Item>,
    /// Where the others lead.
    pub(crate) otherwise: BlockId,
}

/// A range of numbers and where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) to: BlockId,
    /// Its turn in the program; where few are told apart, they keep that order.
    pub(crate) turn: u32,
}

impl Item {
    /// Whether it is one number.
    pub(crate) fn single(&self) -> bool {
        self.first == self.last
    }
}

/// A program.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    pub(crate) steps: Vec<Step>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) switches: Vec<Switch>,
    /// The registers that hold the address of the context all the time.
    pub(crate) pointers: RegSet,
}

impl Blocks {
    pub(crate) fn steps(&self, id: BlockId) -> &[Step] {
        let Block { first, last, .. } = self.blocks[id.index()];
        &self.steps[first as usize..last as usize]
    }

    pub(crate) fn end(&self, id: BlockId) -> &End {
        &self.blocks[id.index()].end
    }

    /// A new block with these steps.
    pub(crate) fn add(&mut self, steps: &[Step], end: End) -> BlockId {
        let first = self.steps.len() as u32;
        self.steps.extend_from_slice(steps);
        self.blocks.push(Block { first, last: self.steps.len() as u32, end });
        BlockId(self.blocks.len() as u32 - 1)
    }

    /// The end that tells these numbers apart.
    pub(crate) fn switch(&mut self, switch: Switch) -> End {
        self.switches.push(switch);
        End::Switch(self.switches.len() as u32 - 1)
    }

    /// Looks at every way out of a block.
    pub(crate) fn each_edge(&self, end: &End, mut look: impl FnMut(Edge)) {
        match *end {
            End::Exit | End::Answer(_) => {}
            End::Goto(edge) => look(edge),
            End::Branch { taken, otherwise, .. } => {
                look(taken);
                look(otherwise);
            }
            End::Enough { taken, otherwise, .. } => {
                look(Edge::to(taken));
                look(Edge::to(otherwise));
            }
            End::Switch(number) => {
                let Switch { items, otherwise, .. } = &self.switches[number as usize];
                items.iter().for_each(|item| look(Edge::to(item.to)));
                look(Edge::to(*otherwise));
            }
        }
    }

    /// The registers that a block's decision reads.
    pub(crate) fn read_at_end(&self, end: &End) -> RegSet {
        match *end {
            End::Exit => RegSet::RESULT,
            End::Answer(_) | End::Goto(_) => RegSet::EMPTY,
            End::Branch { test: Test { lhs, rhs, .. }, .. } => {
                RegSet::of(lhs).union(rhs.reg().map_or(RegSet::EMPTY, RegSet::of))
            }
            End::Enough { index, .. } => index.map_or(RegSet::EMPTY, RegSet::of),
            End::Switch(number) => RegSet::of(self.switches[number as usize].reg),
        }
    }

    /// Whether every register's upper half is zero all the time.
    pub(crate) fn is_narrow(&self) -> bool {
        use sandbpf_isa::{AluOp, Extend, UnaryOp};
        self.steps.iter().all(|step| match *step {
            Step::Packet { place, .. } => place.size != Size::DW,
            Step::Insn(Insn::Alu { width: Width::W32, op, .. }) => {
                !matches!(op, AluOp::Movs8 | AluOp::Movs16 | AluOp::Movs32)
            }
            Step::Insn(Insn::Unary { op, .. }) => {
                !matches!(op, UnaryOp::Neg64 | UnaryOp::Le64 | UnaryOp::Be64 | UnaryOp::Swap64)
            }
            Step::Insn(Insn::Load { size, extend, .. }) => size != Size::DW && extend == Extend::Zero,
            Step::Insn(Insn::Store { .. }) => true,
            Step::Insn(_) => false,
        })
    }
}

/// In which order blocks are looked at, and how many ways lead to each.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Blocks that are reached, each behind all that lead forward to it. What most likely follows a block follows it here
    /// where it can.
    pub(crate) order: Vec<BlockId>,
    /// How many ways lead to each block.
    pub(crate) ways: Vec<u32>,
    /// Whether one of them goes back.
    pub(crate) heads: Vec<bool>,
    /// Whether there is a loop.
    pub(crate) loops: bool,
}

impl Flow {
    /// The flow of blocks that stand as instructions do, those that only lead elsewhere left out.
    pub(crate) fn straight(blocks: &Blocks) -> Flow {
        let count = blocks.blocks.len();
        let (mut ways, mut back) = (vec![0; count], false);
        ways[0] = 1;
        let mut order = Vec::with_capacity(count);
        for id in (0..count as u32).map(BlockId) {
            if ways[id.index()] != 0 {
                order.push(id);
                blocks.each_edge(blocks.end(id), |edge| {
                    ways[edge.to.index()] += 1;
                    back |= edge.cost != 0;
                });
            }
        }
        // Who goes back may lead where nobody else does.
        if back { Flow::of(blocks) } else { Flow { order, ways, heads: vec![false; count], loops: false } }
    }

    pub(crate) fn of(blocks: &Blocks) -> Flow {
        let count = blocks.blocks.len();
        let mut flow = Flow {
            order: Vec::with_capacity(count),
            ways: vec![0; count],
            heads: vec![false; count],
            loops: false,
        };
        let mut reached = vec![false; count];
        // A block is here until it is looked at, and again until all are done that follow it.
        let mut waiting = Vec::with_capacity(count);
        waiting.push((BlockId(0), false));
        flow.ways[0] = 1;
        while let Some((id, done)) = waiting.pop() {
            if done {
                flow.order.push(id);
                continue;
            }
            if std::mem::replace(&mut reached[id.index()], true) {
                continue;
            }
            waiting.push((id, true));
            let from = waiting.len();
            blocks.each_edge(blocks.end(id), |Edge { to, cost }| {
                flow.ways[to.index()] += 1;
                if cost != 0 {
                    flow.heads[to.index()] = true;
                    flow.loops = true;
                }
                waiting.push((to, false));
            });
            // What is looked at last stands next in the order, which is turned round: what is otherwise, unless that is an
            // answer.
            waiting[from..].reverse();
            let answers = |to: BlockId| matches!(blocks.end(to), End::Answer(_));
            let next = match blocks.end(id) {
                End::Branch { taken, otherwise, .. } if answers(otherwise.to) => Some(taken.to),
                &End::Switch(number) if answers(blocks.switches[number as usize].otherwise) => {
                    let items = blocks.switches[number as usize].items.iter();
                    let items = items.filter(|item| !answers(item.to));
                    items.min_by_key(|item| item.turn).map(|item| item.to)
                }
                _ => None,
            };
            if let Some(next) = next.filter(|&next| !answers(next))
                && let Some(at) = waiting[from..].iter().position(|&(to, _)| to == next)
            {
                waiting.swap(from, from + at);
            }
        }
        flow.order.reverse();
        flow
    }
}
