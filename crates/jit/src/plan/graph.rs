//! The graph: what a program computes, as values in blocks.
//!
//! Every value is computed once and never changes (static single assignment). A block has parameters where ways with
//! different values meet; the edges that lead to it carry arguments for them. Operations that touch memory or the
//! budget, or may trap, happen in the order of their block; all others may stand anywhere below their operands.
//!
//! ```text
//! b1(v7, v9):
//!     v10 = load u32 [packet + v7]
//!     v11 = add64 v9, v10
//!     v12 = add64 v7, v4            ; v4 = const 4
//!     if ne64 v12, v5 then b2(v12, v11) else b3()
//! ```
//!
//! Integers have 64 bits. An operation of width 32 looks at the low halves of its operands and leaves zeros in the upper half of
//! its result, as the instructions of RFC 9669 do. Guest addresses are numbers as anywhere in sandbpf; only
//! [`Address`]es lie on the host: a region's [`Base`](Op::Base), values, and a displacement.

pub(crate) use super::effects::Effect;
use sandbpf_isa::{AtomicOp, Callee, Cond, Extend, Pc, Size, Width};
use sandbpf_runtime::address;
use sandbpf_runtime::helpers::Plain;

use crate::Maps;

/// A value, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Value(pub(crate) u32);

/// A block, by its number. The first is where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Block(pub(crate) u32);

impl Value {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Block {
    /// Where a run begins.
    pub(crate) const ENTRY: Block = Block(0);

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A region of guest memory whose bytes lie together on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Region {
    /// The stack, all frames: guest addresses from [`address::STACK`](sandbpf_runtime::address::STACK) on.
    Stack,
    /// The context, from [`address::CONTEXT`](sandbpf_runtime::address::CONTEXT) on.
    Context,
    /// The packet, or the plain memory, that a run is about: from [`Graph::packet`] on.
    Packet,
    /// Values of a map, which other threads may read and write as well, by their number in [`Graph::far`].
    Far(u16),
}

/// An address on the host: `base + (index << scale) + disp`, modulo 2⁶⁴.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    /// A [`Op::Base`], or a [`Op::Host`], or a sum with one of them in it.
    pub(crate) base: Value,
    /// What is added, shifted left by 0 to 3.
    pub(crate) index: Option<(Value, u8)>,
    /// What is added besides.
    pub(crate) disp: i32,
    /// The region that the bytes are of, if that is known: accesses to different regions never overlap.
    pub(crate) region: Option<Region>,
}

/// Operations on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum BinOp {
    Add,
    Sub,
    Mul,
    /// The upper half of the product of two numbers without sign: 64 bits wide only.
    MulHigh,
    /// Division as RFC 9669 has it: by zero it is zero, or what is divided for remainders.
    Div,
    Sdiv,
    Mod,
    Smod,
    And,
    Or,
    Xor,
    /// Shifts and rotations count modulo the width.
    Lsh,
    Rsh,
    Arsh,
    /// Rotation to the left.
    Rol,
}

/// Operations on one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum UnOp {
    Neg64,
    Neg32,
    /// The low 16, 32, or all bits with their bytes reversed; zeros above.
    Swap16,
    Swap32,
    Swap64,
    /// The low 8, 16 or 32 bits; zeros above.
    Zext8,
    Zext16,
    Zext32,
    /// The low 8, 16 or 32 bits; copies of their sign above, in all 64 bits.
    Sext8,
    Sext16,
    Sext32,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Test {
    pub(crate) cond: Cond,
    pub(crate) width: Width,
    pub(crate) lhs: Value,
    pub(crate) rhs: Value,
}

/// What a run begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Entry {
    /// How many bytes the packet has.
    Length,
    /// Which processor it is on, for maps that have a value for each: with a machine only.
    Cpu,
}

/// A key that is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Its bytes lie here.
    At(Address),
    /// They are the low bytes of a number, zeros above, and, of more than eight, of another one; if there is none it is the same.
    Words([Value; 2]),
}

/// What a loop over bytes does that is done many bytes at once. All counts are in bytes, whole elements, and may be zero. Where
/// what is written overlaps what is read, it is as a loop from the lowest to the highest element would have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bulk {
    /// `to[i] = from[i]`
    Copy { to: Address, from: Address, element: Size },
    /// `to[i] = op(to[i], from[i])`
    Combine { op: Lane, to: Address, from: Address, element: Size },
    /// `to[i] = op(from[i], key)`
    Apply { op: Lane, to: Address, from: Address, key: Value, element: Size },
    /// `to[i] = value`
    Fill { to: Address, value: Value, element: Size },
    /// The sum of elements, their bytes reversed if `swap` says so, extended to 64 bits without sign, modulo 2⁶⁴. Only those
    /// of two bytes are reversed. Has a value, as has
    Sum { from: Address, element: Size, swap: bool },
    /// the sum of the sums of the first one, two and so on, up to all, bytes.
    Ramp { from: Address },
}

/// An operation on elements, which overflows into none beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    Xor,
    And,
    Or,
    Add,
}

/// How a value is computed.
#[allow(
    unpredictable_function_pointer_comparisons,
    reason = "two calls of one function are two calls anyway"
)]
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// It was removed; nobody uses it.
    Gone,
    /// A number. Constants stand in no block.
    Const(u64),
    /// A parameter of this block.
    Param(Block),
    /// What a run begins with. Stands in no block.
    Entry(Entry),
    /// The host's address of the first byte of a region; of far memory, what is to be added to the guest's addresses. Stands in no
    /// block.
    Base(Region),
    /// `op(a, b)`
    Bin { op: BinOp, width: Width, a: Value, b: Value },
    /// `op(a)`
    Un { op: UnOp, a: Value },
    /// 1 if it is so, 0 if not.
    Compare(Test),
    /// `yes` if it is so, `no` if not.
    Select { test: Test, yes: Value, no: Value },
    /// What lies at an address that needs no check; with its bytes reversed (before it is extended) if `swap` says so.
    Load { at: Address, size: Size, extend: Extend, swap: bool },
    /// Puts the low bytes of a value, reversed if `swap` says so, to an address that needs no check. Has no value.
    Store { at: Address, size: Size, value: Value, swap: bool },
    /// The host's address of `size` bytes at the guest's address `at + off`, if all of them lie in one of the regions; a trap
    /// otherwise. `likely` is the region that is looked at first. Of the stack there are `stack` bytes.
    Host { at: Value, off: i32, size: u32, likely: Region, stack: u32, site: Site },
    /// Makes bytes of the stack zero: those from this guest address on, so many. Has no value.
    Clear { from: u64, bytes: u32 },
    /// What is left of the budget.
    Budget,
    /// Takes so much from the budget; a trap if that is not there, and the budget stays. Has no value.
    Charge { cost: u32, site: Site },
    /// Takes as much from the budget as was found to be there. Has no value.
    Spend { amount: Value },
    /// Calls what the site says, which may change everything in memory. Its value is `r0`.
    Call { arguments: [Value; 5], site: Site },
    /// Calls a function of the host with five numbers, which sees nothing else of the run. Its value is `r0`.
    Plain { function: Plain, arguments: [Value; 5] },
    /// An atomic operation on far memory, whose address fits its size; its value is what memory held. `expected` is what
    /// it is compared with, if it is.
    Atomic { op: AtomicOp, size: Size, at: Address, value: Value, expected: Value },
    /// Many bytes at once.
    Bulk { what: Bulk, count: Value },
    /// Looks a key up in one of [`Graph::maps`]. Its value is the host's address of the key's value there (the first, where there
    /// is one for each processor), or 0.
    Lookup { map: u16, key: Key, marks: bool },
}

/// Where a run can trap, by its number in [`Graph::sites`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Site(pub(crate) u32);

/// What a trap says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trapping {
    /// The access at this instruction failed.
    Access { pc: Pc, size: u32, write: bool },
    /// The budget is used up at this instruction.
    Budget { pc: Pc },
    /// A call did not come back.
    Call { pc: Pc, callee: Callee, depth: u32 },
    /// An atomic operation did not come back: the call's arguments are the address without this offset, the operand, and what
    /// memory is compared with.
    Atomic { pc: Pc, op: AtomicOp, size: Size, off: i16 },
}

/// A way from one block to another, with arguments for the parameters there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Edge {
    pub(crate) to: Block,
    pub(crate) arguments: Vec<Value>,
}

/// How a block ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// It goes on there.
    Jump(Edge),
    /// It goes on here or there.
    Branch { test: Test, yes: Edge, no: Edge },
    /// The run ends with this `r0`.
    Return(Value),
    /// Nobody comes here.
    Unreachable,
}

/// What happens without a branch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Code {
    pub(crate) params: Vec<Value>,
    /// The operations, in order.
    pub(crate) body: Vec<Value>,
    pub(crate) end: End,
    /// Whether it seldom runs: it is laid out behind everything else.
    pub(crate) cold: bool,
}

/// A program.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    pub(crate) values: Vec<Op>,
    pub(crate) blocks: Vec<Code>,
    pub(crate) sites: Vec<Trapping>,
    /// The guest address of the first byte of [`Region::Packet`].
    pub(crate) packet: u64,
    /// How many bytes the stack region has, from its start on.
    pub(crate) stack: u32,
    /// How many bytes the context has.
    pub(crate) context: u32,
    /// Whether runs have a machine: then there are calls, the stack is the machine's, there is memory elsewhere, and somebody
    /// looks at what is left of the budget when a run ends.
    pub(crate) machine: bool,
    /// For far memory, the host's addresses less the guest's.
    pub(crate) far: Vec<u64>,
    /// The maps that are known.
    pub(crate) maps: Option<Maps>,
    /// What is known of accesses to the stack at addresses that are no constants, in the order of their values.
    pub(crate) reaches: Vec<Reach>,
}

/// Which bytes of the stack an operation accesses at most, from the end of its frame, or of a caller's, on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) value: Value,
    pub(crate) first: i64,
    pub(crate) end: i64,
}

impl Graph {
    /// A graph of nothing but its first block, which nobody filled yet.
    pub(crate) fn new(packet: u64, stack: u32, context: u32) -> Graph {
        let (values, blocks, sites) = (Vec::new(), Vec::new(), Vec::new());
        let (machine, far, maps, reaches) = (false, Vec::new(), None, Vec::new());
        let mut graph = Graph { values, blocks, sites, packet, stack, context, machine, far, maps, reaches };
        graph.block();
        graph
    }

    /// The guest's address of the first byte of a region.
    pub(crate) fn start(&self, region: Region) -> u64 {
        match region {
            Region::Stack => address::STACK,
            Region::Context => address::CONTEXT,
            Region::Packet => self.packet,
            Region::Far(_) => 0,
        }
    }

    /// Bytes of the keys of a map.
    pub(crate) fn key_size(&self, map: u16) -> u32 {
        self.maps.as_ref().map_or(0, |maps| maps.get(map.into()).key_size())
    }

    /// Adds an empty block.
    pub(crate) fn block(&mut self) -> Block {
        self.blocks.push(Code { params: Vec::new(), body: Vec::new(), end: End::Unreachable, cold: false });
        Block(self.blocks.len() as u32 - 1)
    }

    /// Adds a parameter to a block; whoever leads there has to give an argument.
    pub(crate) fn param(&mut self, block: Block) -> Value {
        let value = self.add(Op::Param(block));
        self.blocks[block.index()].params.push(value);
        value
    }

    /// Adds a value that stands in no block yet.
    pub(crate) fn add(&mut self, op: Op) -> Value {
        self.values.push(op);
        Value(self.values.len() as u32 - 1)
    }

    /// Adds a value at the end of a block.
    pub(crate) fn append(&mut self, block: Block, op: Op) -> Value {
        let value = self.add(op);
        self.blocks[block.index()].body.push(value);
        value
    }

    pub(crate) fn op(&self, value: Value) -> &Op {
        &self.values[value.index()]
    }

    pub(crate) fn code(&self, block: Block) -> &Code {
        &self.blocks[block.index()]
    }

    /// The number that a value is, if it is a constant.
    pub(crate) fn constant(&self, value: Value) -> Option<u64> {
        match self.op(value) {
            Op::Const(number) => Some(*number),
            _ => None,
        }
    }

    /// All blocks from which or to which nobody removed the way, in reverse postorder: a block stands before those that it
    /// dominates, and, but for ways back, before those that it leads to.
    pub(crate) fn order(&self) -> Vec<Block> {
        const DONE: u32 = 1 << 31;
        let mut seen = vec![false; self.blocks.len()];
        let mut order = Vec::with_capacity(self.blocks.len());
        // Blocks that are to be seen, and behind what a block leads to, the block again to be put into the order.
        let mut waiting = Vec::with_capacity(64);
        waiting.push(Block::ENTRY.0);
        while let Some(at) = waiting.pop() {
            if at & DONE != 0 {
                order.push(Block(at & !DONE));
                continue;
            }
            if std::mem::replace(&mut seen[at as usize], true) {
                continue;
            }
            waiting.push(at | DONE);
            // The edge that is not taken is followed first, so that the other comes first when all is reversed.
            match &self.blocks[at as usize].end {
                End::Jump(edge) => waiting.push(edge.to.0),
                End::Branch { yes, no, .. } => waiting.extend([yes.to.0, no.to.0]),
                End::Return(_) | End::Unreachable => {}
            }
        }
        order.reverse();
        order
    }
}

impl End {
    /// The ways on: `yes` before `no`.
    pub(crate) fn edges(&self) -> impl DoubleEndedIterator<Item = &Edge> {
        let edges = match self {
            End::Jump(edge) => [Some(edge), None],
            End::Branch { yes, no, .. } => [Some(yes), Some(no)],
            End::Return(_) | End::Unreachable => [None, None],
        };
        edges.into_iter().flatten()
    }

    /// The same, to change them.
    pub(crate) fn edges_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Edge> {
        let edges = match self {
            End::Jump(edge) => [Some(edge), None],
            End::Branch { yes, no, .. } => [Some(yes), Some(no)],
            End::Return(_) | End::Unreachable => [None, None],
        };
        edges.into_iter().flatten()
    }

    /// Calls `each` with every value that is used here, arguments of edges included.
    pub(crate) fn uses_mut(&mut self, mut each: impl FnMut(&mut Value)) {
        match self {
            End::Branch { test, .. } => test.uses_mut(&mut each),
            End::Return(value) => each(value),
            End::Jump(_) | End::Unreachable => {}
        }
        self.arguments_mut(each);
    }

    /// The same, to look at them.
    pub(crate) fn uses(&self, mut each: impl FnMut(Value)) {
        match self {
            End::Branch { test, .. } => [test.lhs, test.rhs].into_iter().for_each(&mut each),
            End::Return(value) => each(*value),
            End::Jump(_) | End::Unreachable => {}
        }
        let [first, second] = match self {
            End::Jump(edge) => [&edge.arguments[..], &[]],
            End::Branch { yes, no, .. } => [&yes.arguments[..], &no.arguments[..]],
            End::Return(_) | End::Unreachable => return,
        };
        first.iter().for_each(|&value| each(value));
        second.iter().for_each(|&value| each(value));
    }

    /// Calls `each` with all arguments of edges.
    #[inline]
    pub(crate) fn arguments_mut(&mut self, mut each: impl FnMut(&mut Value)) {
        let [first, second] = match self {
            End::Jump(edge) => [&mut edge.arguments[..], &mut []],
            End::Branch { yes, no, .. } => [&mut yes.arguments[..], &mut no.arguments[..]],
            End::Return(_) | End::Unreachable => return,
        };
        first.iter_mut().for_each(&mut each);
        second.iter_mut().for_each(each);
    }
}
