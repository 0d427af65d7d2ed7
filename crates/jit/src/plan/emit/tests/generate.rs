//! Graphs at random: any control flow, loops with several entries included; every operation; memory that is addressed in and out
//! of bounds.
//!
//! Blocks lead wherever they like; values come from blocks that dominate, or as parameters. Every block pays from the budget, so
//! that runs end.

use sandbpf_isa::{Cond, Extend, Pc, Size, Width};
use sandbpf_runtime::address::{CONTEXT, STACK};

use crate::plan::dominators::Dominators;
use crate::plan::graph::{
    Address, BinOp, Block, Bulk, Edge, End, Entry, Graph, Lane, Op, Region, Site, Test, Trapping, UnOp, Value,
};

/// How many bytes the packet has, at least; it may have more.
pub(super) const PACKET: u32 = 96;
pub(super) const CONTEXT_BYTES: u32 = 64;
pub(super) const STACK_BYTES: u32 = 648;
const START: u64 = 0x4000_0000;

/// Numbers at random (Steele, Lea, Flood: SplitMix).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}

/// A function that depends on all that it is given, and whose caller may not count on any register.
extern "C" fn mix(a: u64, b: u64, c: u64, d: u64, e: u64) -> u64 {
    [a, b, c, d, e].into_iter().fold(7, |sum: u64, number| sum.rotate_left(9) ^ number.wrapping_mul(0x9e37))
}

struct Maker {
    graph: Graph,
    dice: Dice,
    /// For every block, the values that it computes or is given.
    own: Vec<Vec<Value>>,
    packet: Value,
    context: Value,
    stack: Value,
    length: Value,
    /// Whether operations that may trap are made.
    traps: bool,
    /// Whether functions are called.
    calls: bool,
}

const BINARY: &[BinOp] = &[
    BinOp::Add,
    BinOp::Add,
    BinOp::Sub,
    BinOp::Mul,
    BinOp::MulHigh,
    BinOp::Div,
    BinOp::Sdiv,
    BinOp::Mod,
    BinOp::Smod,
    BinOp::And,
    BinOp::Or,
    BinOp::Xor,
    BinOp::Lsh,
    BinOp::Rsh,
    BinOp::Arsh,
    BinOp::Rol,
];

const UNARY: &[UnOp] = &[
    UnOp::Neg64,
    UnOp::Neg32,
    UnOp::Swap16,
    UnOp::Swap32,
    UnOp::Swap64,
    UnOp::Zext8,
    UnOp::Zext16,
    UnOp::Zext32,
    UnOp::Zext32,
    UnOp::Sext8,
    UnOp::Sext16,
    UnOp::Sext32,
];

const SIZES: &[Size] = &[Size::B, Size::H, Size::W, Size::DW];

/// A graph of so many blocks of about so many operations.
pub(super) fn graph(seed: u64, blocks: u64, operations: u64, machine: bool) -> Graph {
    let mut graph = Graph::new(START, STACK_BYTES, CONTEXT_BYTES);
    graph.machine = machine;
    let packet = graph.add(Op::Base(Region::Packet));
    let context = graph.add(Op::Base(Region::Context));
    let stack = graph.add(Op::Base(Region::Stack));
    let length = graph.add(Op::Entry(Entry::Length));
    let mut dice = Dice(seed);
    let traps = !dice.one_in(3);
    let calls = dice.one_in(2);
    let mut maker = Maker { graph, dice, own: Vec::new(), packet, context, stack, length, traps, calls };
    maker.shape(blocks);
    maker.fill(operations);
    maker.graph
}

impl Maker {
    /// Which block leads to which.
    fn shape(&mut self, blocks: u64) {
        for _ in 1..blocks {
            let block = self.graph.block();
            self.graph.blocks[block.index()].cold = self.dice.one_in(6);
        }
        let placeholder = self.graph.add(Op::Const(0));
        for number in 0..blocks {
            // Mostly forwards.
            let edge = |dice: &mut Dice| {
                let to = match dice.below(4) {
                    0 => 1 + dice.below(blocks.max(2) - 1),
                    _ => (number + 1 + dice.below(3)).min(blocks - 1).max(1),
                };
                Edge { to: Block(to as u32), arguments: Vec::new() }
            };
            let test = Test { cond: Cond::Eq, width: Width::W64, lhs: placeholder, rhs: placeholder };
            let last = number + 1 == blocks;
            let end = match self.dice.below(8) {
                _ if last && (blocks == 1 || !self.dice.one_in(4)) => End::Return(placeholder),
                0 if number > 0 => End::Return(placeholder),
                1 | 2 => End::Jump(edge(&mut self.dice)),
                _ => End::Branch { test, yes: edge(&mut self.dice), no: edge(&mut self.dice) },
            };
            self.graph.blocks[number as usize].end = end;
        }
        self.own = vec![Vec::new(); blocks as usize];
    }

    fn fill(&mut self, operations: u64) {
        let dominators = Dominators::of(&self.graph);
        let order = dominators.order.clone();
        for &block in &order {
            if block != Block::ENTRY {
                for _ in 0..self.dice.below(5) {
                    let param = self.graph.param(block);
                    self.own[block.index()].push(param);
                }
            }
        }
        for &block in &order {
            let mut pool: Vec<Value> = Vec::new();
            let mut above = Some(block);
            while let Some(at) = above {
                pool.extend(&self.own[at.index()]);
                above = dominators.immediate(at);
            }
            let site = self.site(Trapping::Budget { pc: Pc(block.0) });
            let cost = 1 + self.dice.below(9) as u32;
            if block == Block::ENTRY {
                self.graph.append(block, Op::Clear { from: STACK, bytes: STACK_BYTES });
            }
            self.graph.append(block, Op::Charge { cost, site });
            for _ in 0..self.dice.below(operations + 1) {
                let inherited = pool.len();
                self.operation(block, &mut pool);
                let new = pool[inherited..].to_vec();
                self.own[block.index()].extend(new);
            }
            self.finish(block, &pool);
        }
    }

    fn finish(&mut self, block: Block, pool: &[Value]) {
        let mut end = self.graph.blocks[block.index()].end.clone();
        match &mut end {
            End::Return(value) => *value = self.pick(pool),
            End::Branch { test, .. } => *test = self.test(pool),
            End::Jump(_) | End::Unreachable => {}
        }
        for edge in end.edges_mut() {
            let count = self.graph.code(edge.to).params.len();
            edge.arguments = (0..count).map(|_| self.pick(pool)).collect();
        }
        self.graph.blocks[block.index()].end = end;
    }

    fn site(&mut self, what: Trapping) -> Site {
        self.graph.sites.push(what);
        Site(self.graph.sites.len() as u32 - 1)
    }

    fn constant(&mut self) -> Value {
        let number = match self.dice.below(10) {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => self.dice.below(256),
            4 => 0xffff_ffff,
            5 => self.dice.next() as i32 as u64,
            6 => 1 << self.dice.below(64),
            7 => self.dice.below(70000),
            8 => self.dice.of(&[0x80, 0xff, 0xffff, 0x8000_0000, 1 << 63, 0x7fff_ffff, 255 << 8]),
            _ => self.dice.next(),
        };
        self.graph.add(Op::Const(number))
    }

    fn pick(&mut self, pool: &[Value]) -> Value {
        match self.dice.below(12) {
            0 | 1 => self.constant(),
            2 => self.length,
            _ if pool.is_empty() => self.constant(),
            // What was computed last is used most.
            3..7 => pool[pool.len() - 1 - self.dice.below(pool.len().min(3) as u64) as usize],
            _ => self.dice.of(pool),
        }
    }

    fn width(&mut self) -> Width {
        if self.dice.one_in(2) { Width::W32 } else { Width::W64 }
    }

    fn test(&mut self, pool: &[Value]) -> Test {
        let cond = self.dice.of(Cond::ALL);
        Test { cond, width: self.width(), lhs: self.pick(pool), rhs: self.pick(pool) }
    }

    /// An address of a region at which so many bytes are.
    fn address(&mut self, block: Block, pool: &mut Vec<Value>, bytes: u64) -> Address {
        let (base, region, size) = match self.dice.below(3) {
            0 => (self.packet, Region::Packet, PACKET),
            1 => (self.context, Region::Context, CONTEXT_BYTES),
            _ => (self.stack, Region::Stack, STACK_BYTES),
        };
        let room = u64::from(size) - bytes;
        let mut at = Address { base, index: None, disp: 0, region: Some(region) };
        if self.dice.one_in(8) {
            at.region = None;
        }
        if self.dice.one_in(2) {
            at.disp = self.dice.below(room + 1) as i32;
        } else {
            // Masked, so that it lies within whatever it is.
            let scale = self.dice.below(4) as u8;
            let mask = (room + 1).next_power_of_two() / 2 - 1;
            let (value, mask) = (self.pick(pool), mask >> scale);
            let disp = self.dice.below(room - (mask << scale) + 1) as i32;
            let mask = self.graph.add(Op::Const(mask));
            let index =
                self.append(block, pool, Op::Bin { op: BinOp::And, width: Width::W64, a: value, b: mask });
            (at.index, at.disp) = (Some((index, scale)), disp);
        }
        at
    }

    fn append(&mut self, block: Block, pool: &mut Vec<Value>, op: Op) -> Value {
        let value = self.graph.append(block, op);
        if self.graph.op(value).has_value() {
            pool.push(value);
        }
        value
    }

    fn operation(&mut self, block: Block, pool: &mut Vec<Value>) {
        let op = match self.dice.below(25) {
            0..9 => {
                let (op, width) = (self.dice.of(BINARY), self.width());
                let width = if op == BinOp::MulHigh { Width::W64 } else { width };
                Op::Bin { op, width, a: self.pick(pool), b: self.pick(pool) }
            }
            9..11 => Op::Un { op: self.dice.of(UNARY), a: self.pick(pool) },
            11 => Op::Compare(self.test(pool)),
            12 => Op::Select { test: self.test(pool), yes: self.pick(pool), no: self.pick(pool) },
            13..16 => {
                let size = self.dice.of(SIZES);
                let extend = if self.dice.one_in(2) { Extend::Zero } else { Extend::Sign };
                let at = self.address(block, pool, size.bytes().into());
                Op::Load { at, size, extend, swap: self.dice.one_in(3) }
            }
            16..19 => return self.store(block, pool),
            19 => {
                let from = self.dice.below(STACK_BYTES.into());
                let bytes = self.dice.below(u64::from(STACK_BYTES) - from + 1) as u32;
                Op::Clear { from: STACK + from, bytes }
            }
            20 if self.traps => return self.host(block, pool),
            21 => {
                let budget = self.append(block, pool, Op::Budget);
                let mask = self.graph.add(Op::Const(7));
                let op = Op::Bin { op: BinOp::And, width: Width::W64, a: budget, b: mask };
                let amount = self.append(block, pool, op);
                Op::Spend { amount }
            }
            22 => return self.bulk(block, pool),
            23 if self.calls && self.graph.machine && self.dice.one_in(2) => {
                let callee = sandbpf_isa::Callee::Helper(1);
                let site = self.site(Trapping::Call { pc: Pc(3), callee, depth: 0 });
                Op::Call { arguments: std::array::from_fn(|_| self.pick(pool)), site }
            }
            23 if self.calls => {
                let arguments = std::array::from_fn(|_| self.pick(pool));
                Op::Plain { function: mix, arguments }
            }
            _ if self.traps => {
                let site = self.site(Trapping::Budget { pc: Pc(7) });
                Op::Charge { cost: self.dice.below(4) as u32, site }
            }
            _ => return,
        };
        self.append(block, pool, op);
    }

    /// A store: of something, or of what was there with something.
    fn store(&mut self, block: Block, pool: &mut Vec<Value>) {
        let size = self.dice.of(SIZES);
        let at = self.address(block, pool, size.bytes().into());
        let mut value = self.pick(pool);
        if self.dice.one_in(3) {
            let load = Op::Load { at, size, extend: Extend::Zero, swap: false };
            let was = self.append(block, pool, load);
            let op = self.dice.of(&[BinOp::Add, BinOp::Sub, BinOp::And, BinOp::Or, BinOp::Xor]);
            let (a, b) = if self.dice.one_in(4) { (value, was) } else { (was, value) };
            let width = self.width_of(size);
            value = self.append(block, pool, Op::Bin { op, width, a, b });
        }
        let swap = self.dice.one_in(4);
        self.append(block, pool, Op::Store { at, size, value, swap });
    }

    fn width_of(&mut self, size: Size) -> Width {
        match size {
            Size::W => Width::W32,
            Size::DW => Width::W64,
            Size::B | Size::H => self.width(),
        }
    }

    /// An access with a check, near what is there.
    fn host(&mut self, block: Block, pool: &mut Vec<Value>) {
        let start = self.dice.of(&[START, CONTEXT, STACK]);
        let mask = self.graph.add(Op::Const(if self.dice.one_in(6) { u64::MAX } else { 63 }));
        let value = self.pick(pool);
        let off = self.append(block, pool, Op::Bin { op: BinOp::And, width: Width::W64, a: value, b: mask });
        let start = self.graph.add(Op::Const(start));
        let at = self.append(block, pool, Op::Bin { op: BinOp::Add, width: Width::W64, a: off, b: start });
        let likely = self.dice.of(&[Region::Packet, Region::Context, Region::Stack]);
        let element = self.dice.of(SIZES);
        let (pc, size) = (Pc(1), u32::from(element.bytes()));
        let site = self.site(Trapping::Access { pc, size, write: false });
        let off = self.dice.below(24) as i32 - 8;
        let stack = self.dice.of(&[STACK_BYTES, 64]);
        let base = self.graph.append(block, Op::Host { at, off, size, likely, stack, site });
        let at = Address { base, index: None, disp: 0, region: None };
        if self.dice.one_in(2) {
            self.append(block, pool, Op::Load { at, size: element, extend: Extend::Zero, swap: false });
        } else {
            let value = self.pick(pool);
            self.append(block, pool, Op::Store { at, size: element, value, swap: false });
        }
    }

    fn bulk(&mut self, block: Block, pool: &mut Vec<Value>) {
        let element = self.dice.of(SIZES);
        let scale = u64::from(element.bytes()).trailing_zeros();
        let most = 31 >> scale;
        let (value, mask) = (self.pick(pool), self.graph.add(Op::Const(most)));
        let masked =
            self.append(block, pool, Op::Bin { op: BinOp::And, width: Width::W64, a: value, b: mask });
        let shift = self.graph.add(Op::Const(scale.into()));
        let count =
            self.append(block, pool, Op::Bin { op: BinOp::Lsh, width: Width::W64, a: masked, b: shift });
        let from = self.address(block, pool, 32);
        let to = self.address(block, pool, 32);
        let (op, number) = (self.dice.of(Lane::ALL), self.pick(pool));
        let what = match self.dice.below(5) {
            0 => Bulk::Sum { from, element, swap: element == Size::H && self.dice.one_in(2) },
            1 => Bulk::Copy { to, from, element },
            2 => Bulk::Combine { op, to, from, element },
            3 => Bulk::Apply { op, to, from, key: number, element },
            _ => Bulk::Fill { to, value: number, element },
        };
        self.append(block, pool, Op::Bulk { what, count });
    }
}
