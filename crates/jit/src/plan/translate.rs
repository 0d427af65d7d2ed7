//! One instruction after the other, from registers to values.

use sandbpf_isa::{
    AluOp, AtomicOp, Callee, Cond, Extend, Imm64, Insn, Pc, Reg, Size, StackUse, UnaryOp, Width,
};
use sandbpf_runtime::address::{self, CONTEXT, PACKET};
use sandbpf_runtime::helpers::{HelperSet, Plain};

use super::build::{REGISTERS, Registers, Setting};
use super::expand::frame_pointer;
use super::graph::{Address, BinOp, Block, Graph, Op, Reach, Region, Site, Test, Trapping, UnOp, Value};
use super::lookups::Found;
use crate::maps::LOOKUP;
use crate::proved::{self, Proved};
use crate::{Input, Maps};

/// The function of a helper that needs nothing of the run.
fn plain(id: i32, helpers: Option<&HelperSet>) -> Option<Plain> {
    helpers?.get(id)?.as_plain()
}

/// How many numbers are remembered to be values already.
const NUMBERS: usize = 64;

/// What is known where translation stands.
pub(super) struct Translator<'p> {
    pub(super) graph: Graph,
    pub(super) input: Input,
    pub(super) proved: Option<&'p Proved>,
    helpers: Option<&'p HelperSet>,
    /// The block that grows.
    pub(super) block: Block,
    pub(super) registers: Registers,
    depth: u32,
    /// How many bytes of the stack every function has.
    frame: u32,
    pub(super) length: Option<Value>,
    /// The maps that are known.
    pub(super) maps: Option<&'p Maps>,
    pub(super) cpu: Option<Value>,
    /// What look-ups found, in the order of its values.
    pub(super) found: Vec<(Value, Found)>,
    /// Whether something was called without a machine.
    pub(super) stuck: bool,
    bases: Vec<(Region, Value)>,
    numbers: [Option<(u64, Value)>; NUMBERS],
    /// For values, the region that they probably point into.
    hints: Vec<Option<Region>>,
}

impl<'p> Translator<'p> {
    pub(super) fn new(graph: Graph, setting: Setting<'p>, stack: StackUse) -> Translator<'p> {
        let registers = [Value(0); REGISTERS];
        Translator {
            graph,
            input: setting.input,
            proved: setting.proved,
            helpers: setting.helpers,
            block: Block::ENTRY,
            registers,
            depth: 0,
            frame: if stack == StackUse::None { 0 } else { 512 },
            length: None,
            maps: setting.maps,
            cpu: None,
            found: Vec::new(),
            stuck: false,
            bases: Vec::new(),
            numbers: [None; NUMBERS],
            hints: Vec::new(),
        }
    }

    /// Whether there are operations for an instruction.
    pub(super) fn knows(insn: &Insn) -> bool {
        if insn.writes().contains(Reg::R10) {
            return false;
        }
        match insn {
            Insn::LoadImm { value, .. } => matches!(value, Imm64::Number(_) | Imm64::Function(_)),
            Insn::Call { callee } => match callee {
                Callee::Helper(_) | Callee::Local(_) | Callee::Kfunc { module: 0, .. } => true,
                Callee::Kfunc { .. } | Callee::Register(_) => false,
            },
            Insn::Cast { .. } | Insn::LoadPacket { .. } => false,
            Insn::Alu { .. } | Insn::Unary { .. } | Insn::Load { .. } | Insn::Atomic { .. } => {
                !insn.writes().contains(Reg::R10)
            }
            Insn::Store { .. }
            | Insn::Jump { .. }
            | Insn::MayGoto { .. }
            | Insn::Branch { .. }
            | Insn::Exit => true,
        }
    }

    /// Whether an instruction calls somebody outside of the program who may look at the run. With maps a look-up may not.
    pub(super) fn calls_out(insn: &Insn, helpers: Option<&HelperSet>, maps: bool) -> bool {
        match *insn {
            Insn::Call { callee: Callee::Helper(LOOKUP) } if maps => false,
            Insn::Call { callee: Callee::Helper(id) } => plain(id, helpers).is_none(),
            Insn::Call { callee: Callee::Kfunc { .. } } => true,
            _ => false,
        }
    }

    fn plain(&self, callee: Callee) -> Option<Plain> {
        match callee {
            Callee::Helper(id) => plain(id, self.helpers),
            _ => None,
        }
    }

    /// Goes on in another block.
    pub(super) fn start(&mut self, block: Block, registers: Registers, depth: u32) {
        (self.block, self.registers, self.depth) = (block, registers, depth);
    }

    pub(super) fn number(&mut self, number: u64) -> Value {
        let slot = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        match self.numbers[slot as usize] {
            Some((known, value)) if known == number => value,
            _ => {
                let value = self.graph.add(Op::Const(number));
                self.numbers[slot as usize] = Some((number, value));
                value
            }
        }
    }

    pub(super) fn base(&mut self, region: Region) -> Value {
        if let Some(&(_, value)) = self.bases.iter().find(|(known, _)| *known == region) {
            return value;
        }
        let value = self.graph.add(Op::Base(region));
        self.bases.push((region, value));
        value
    }

    pub(super) fn site(&mut self, trapping: Trapping) -> Site {
        self.graph.sites.push(trapping);
        Site(self.graph.sites.len() as u32 - 1)
    }

    pub(super) fn get(&mut self, reg: Reg) -> Value {
        match reg {
            Reg::R10 => self.number(frame_pointer(self.depth)),
            _ => self.registers[reg.index()],
        }
    }

    fn set(&mut self, reg: Reg, value: Value) {
        // Nothing writes to r10 (`knows`), whose place another counter has.
        debug_assert!(reg != Reg::R10);
        self.registers[reg.index()] = value;
    }

    pub(super) fn append(&mut self, op: Op) -> Value {
        self.graph.append(self.block, op)
    }

    pub(super) fn instruction(&mut self, pc: Pc, insn: &Insn) {
        match *insn {
            Insn::Alu { op, width, dst, src } => {
                let right = self.operand(src);
                let value = match BinOp::of_alu(op) {
                    Some(op) => {
                        let left = self.get(dst);
                        self.binary(op, width, left, right)
                    }
                    None => self.copy(op, width, right),
                };
                self.set(dst, value);
            }
            Insn::Unary { op, dst } => {
                let value = self.get(dst);
                let value = match op {
                    UnaryOp::Le64 => value,
                    UnaryOp::Neg64 => self.unary(UnOp::Neg64, value),
                    UnaryOp::Neg32 => self.unary(UnOp::Neg32, value),
                    UnaryOp::Le16 => self.unary(UnOp::Zext16, value),
                    UnaryOp::Le32 => self.unary(UnOp::Zext32, value),
                    UnaryOp::Be16 | UnaryOp::Swap16 => self.unary(UnOp::Swap16, value),
                    UnaryOp::Be32 | UnaryOp::Swap32 => self.unary(UnOp::Swap32, value),
                    UnaryOp::Be64 | UnaryOp::Swap64 => self.unary(UnOp::Swap64, value),
                };
                self.set(dst, value);
            }
            Insn::LoadImm { dst, value } => {
                let value = match value {
                    Imm64::Number(number) => number,
                    Imm64::Function(entry) => address::function(entry),
                    Imm64::Map(_) | Imm64::MapValue(..) | Imm64::Variable { .. } => {
                        unreachable!("`knows` takes none of these")
                    }
                };
                let value = self.number(value);
                self.set(dst, value);
            }
            Insn::Load { size, extend, dst, base, off } => {
                let base = self.get(base);
                let value = match self.field(pc, base, off, size, extend) {
                    Some(value) => value,
                    None => {
                        let at = self.place(pc, base, off, size, false);
                        self.reach(pc, &at);
                        self.append(Op::Load { at, size, extend, swap: false })
                    }
                };
                self.set(dst, value);
            }
            Insn::Store { size, base, off, src } => {
                let (base, value) = (self.get(base), self.operand(src));
                let at = self.place(pc, base, off, size, true);
                self.reach(pc, &at);
                self.append(Op::Store { at, size, value, swap: false });
            }
            Insn::Atomic { op, size, base, off, reg } => self.atomic(pc, op, size, base, off, reg),
            Insn::Call { callee } => {
                let arguments = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5].map(|reg| self.get(reg));
                let looked_up = if callee == Callee::Helper(LOOKUP) { self.look_up(pc) } else { None };
                let value = match (looked_up, self.plain(callee)) {
                    (Some(value), _) => value,
                    (None, Some(function)) => self.append(Op::Plain { function, arguments }),
                    (None, None) => {
                        self.stuck |= !self.graph.machine;
                        let site = self.site(Trapping::Call { pc, callee, depth: self.depth });
                        self.append(Op::Call { arguments, site })
                    }
                };
                self.set(Reg::R0, value);
            }
            Insn::Jump { .. } | Insn::MayGoto { .. } | Insn::Branch { .. } | Insn::Exit => {
                unreachable!("these end nodes")
            }
            Insn::Cast { .. } | Insn::LoadPacket { .. } => unreachable!("`knows` takes none of these"),
        }
    }

    /// On memory that is the run's own, an operation is a load and a store; who shares the rest sees one step.
    fn atomic(&mut self, pc: Pc, op: AtomicOp, size: Size, base: Reg, off: i16, reg: Reg) {
        let at = self.get(base);
        let (value, expected) = (self.get(reg), self.get(Reg::R0));
        let write = op != AtomicOp::LoadAcquire;
        let own = match self.proved.and_then(|proved| proved.region(pc, self.maps)) {
            Some(proved::Region::Value { map, bias }) => {
                let at = self.in_map(map, bias, at, off);
                if self.is_aligned(&at, size) {
                    let old = self.append(Op::Atomic { op, size, at, value, expected });
                    return self.fetched(op, reg, old);
                }
                self.stuck |= !self.graph.machine;
                false
            }
            Some(_) => true,
            None => self.known(at, off, size.bytes().into()).is_some(),
        };
        if self.graph.machine && !own {
            let site = Trapping::Atomic { pc, op, size, off };
            let site = self.site(site);
            let arguments = [at, value, expected, expected, expected];
            let old = self.append(Op::Call { arguments, site });
            return self.fetched(op, reg, old);
        }
        let at = self.place(pc, at, off, size, write);
        let width = if size == Size::DW { Width::W64 } else { Width::W32 };
        if op == AtomicOp::StoreRelease {
            self.append(Op::Store { at, size, value, swap: false });
            return;
        }
        let old = self.append(Op::Load { at, size, extend: Extend::Zero, swap: false });
        let new = match op {
            AtomicOp::Add | AtomicOp::FetchAdd => Some((BinOp::Add, value)),
            AtomicOp::Or | AtomicOp::FetchOr => Some((BinOp::Or, value)),
            AtomicOp::And | AtomicOp::FetchAnd => Some((BinOp::And, value)),
            AtomicOp::Xor | AtomicOp::FetchXor => Some((BinOp::Xor, value)),
            AtomicOp::Xchg => {
                self.append(Op::Store { at, size, value, swap: false });
                None
            }
            AtomicOp::Cmpxchg => {
                let test = Test { cond: Cond::Eq, width, lhs: old, rhs: expected };
                // With the same width the comparison sees of `r0` what the operation does.
                let value = self.append(Op::Select { test, yes: value, no: old });
                self.append(Op::Store { at, size, value, swap: false });
                None
            }
            AtomicOp::LoadAcquire | AtomicOp::StoreRelease => None,
        };
        if let Some((op, value)) = new {
            let value = self.append(Op::Bin { op, width, a: old, b: value });
            self.append(Op::Store { at, size, value, swap: false });
        }
        self.fetched(op, reg, old);
    }

    /// Puts what memory held where the operation wants it.
    fn fetched(&mut self, op: AtomicOp, reg: Reg, old: Value) {
        if let Some(to) = op.fetches(reg) {
            self.set(to, old);
        }
    }

    fn binary(&mut self, op: BinOp, width: Width, a: Value, b: Value) -> Value {
        if let (Some(left), Some(right)) = (self.graph.constant(a), self.graph.constant(b)) {
            return self.number(op.eval(width, left, right));
        }
        let value = self.append(Op::Bin { op, width, a, b });
        if self.proved.is_none() && matches!(op, BinOp::Add | BinOp::Sub) {
            let hint = self.hint(a).or_else(|| self.hint(b));
            self.put_hint(value, hint);
        }
        value
    }

    fn unary(&mut self, op: UnOp, a: Value) -> Value {
        match self.graph.constant(a) {
            Some(number) => self.number(op.eval(number)),
            None => self.append(Op::Un { op, a }),
        }
    }

    fn copy(&mut self, op: AluOp, width: Width, value: Value) -> Value {
        let value = match op {
            AluOp::Movs8 => self.unary(UnOp::Sext8, value),
            AluOp::Movs16 => self.unary(UnOp::Sext16, value),
            AluOp::Movs32 => self.unary(UnOp::Sext32, value),
            _ => value,
        };
        match width {
            Width::W64 => value,
            Width::W32 => self.unary(UnOp::Zext32, value),
        }
    }

    /// What a load of a field of the context gives that says where the packet is: known without a look.
    fn field(&mut self, pc: Pc, base: Value, off: i16, size: Size, extend: Extend) -> Option<Value> {
        let Input::Context { at, data, end, meta, .. } = self.input else { return None };
        if self.graph.machine || size != Size::W || extend != Extend::Zero {
            return None;
        }
        let offset = match (self.proved.and_then(|proved| proved.context_word(pc)), self.graph.constant(base))
        {
            (Some(offset), _) => offset,
            (None, Some(base)) => u32::try_from(base.wrapping_add(off as u64).wrapping_sub(CONTEXT)).ok()?,
            (None, None) => return None,
        };
        if offset == data || Some(offset) == meta {
            return Some(self.number(PACKET + u64::from(at)));
        }
        if offset == end {
            let (length, start) = (self.length(), self.number(PACKET));
            return Some(self.append(Op::Bin { op: BinOp::Add, width: Width::W64, a: length, b: start }));
        }
        None
    }

    /// Where an access goes on the host.
    fn place(&mut self, pc: Pc, base: Value, off: i16, size: Size, write: bool) -> Address {
        let size = u32::from(size.bytes());
        let region = match self.proved.and_then(|proved| proved.region(pc, self.maps)) {
            Some(proved::Region::Value { map, bias }) => return self.in_map(map, bias, base, off),
            Some(region) => Some(region.of_graph()),
            None => self.known(base, off, size),
        };
        if let Some(region) = region {
            return self.address(region, base, off);
        }
        let likely = self.hint(base).unwrap_or(Region::Packet);
        let site = self.site(Trapping::Access { pc, size, write });
        let stack = self.frame * (self.depth + 1);
        let host = self.append(Op::Host { at: base, off: off.into(), size, likely, stack, site });
        Address { base: host, index: None, disp: 0, region: None }
    }

    /// Where an address lies on the host that is one of a region, or a number less than that.
    pub(super) fn address(&mut self, region: Region, base: Value, off: i16) -> Address {
        // A region of the run's own starts below 2^31, and an offset is small.
        let off = i64::from(off) - self.graph.start(region) as i64;
        let (index, disp) = match (self.graph.constant(base), region) {
            (Some(number), Region::Stack | Region::Context | Region::Packet) => {
                (None, (number as i64).wrapping_add(off) as i32)
            }
            _ => (Some((base, 0)), off as i32),
        };
        Address { base: self.base(region), index, disp, region: Some(region) }
    }

    /// Remembers which bytes of the stack the next operation accesses at most.
    fn reach(&mut self, pc: Pc, at: &Address) {
        if at.region != Some(Region::Stack) || at.index.is_none() {
            return;
        }
        if let Some((first, end)) = self.proved.and_then(|proved| proved.stack(pc)) {
            let value = Value(self.graph.values.len() as u32);
            self.graph.reaches.push(Reach { value, first, end });
        }
    }

    /// The region in which all bytes of an access at a constant address lie, whatever the run is about.
    pub(super) fn known(&self, base: Value, off: i16, size: u32) -> Option<Region> {
        let address = self.graph.constant(base)?.wrapping_add(off as u64);
        let within = |region: Region, bytes: u32| {
            let from = address.wrapping_sub(self.graph.start(region));
            from <= u64::from(bytes) && from + u64::from(size) <= u64::from(bytes)
        };
        let stack = self.frame * (self.depth + 1);
        let context = within(Region::Context, self.graph.context).then_some(Region::Context);
        context.or(within(Region::Stack, stack).then_some(Region::Stack))
    }

    fn hint(&self, value: Value) -> Option<Region> {
        if let Some(number) = self.graph.constant(value) {
            let regions = [Region::Stack, Region::Context, Region::Packet];
            return regions
                .into_iter()
                .find(|&region| number.wrapping_sub(self.graph.start(region)) < address::REGION_SIZE);
        }
        self.hints.get(value.index()).copied().flatten()
    }

    fn put_hint(&mut self, value: Value, hint: Option<Region>) {
        if hint.is_some() {
            self.hints.resize(self.graph.values.len(), None);
            self.hints[value.index()] = hint;
        }
    }

    /// Lets a value point where another does.
    pub(super) fn same_hint(&mut self, value: Value, other: Value) {
        if self.proved.is_none() {
            let hint = self.hint(other);
            self.put_hint(value, hint);
        }
    }
}

impl proved::Region {
    /// The region that it is in graphs.
    pub(super) fn of_graph(self) -> Region {
        match self {
            proved::Region::Stack => Region::Stack,
            proved::Region::Context => Region::Context,
            proved::Region::Packet => Region::Packet,
            proved::Region::Value { map, .. } => Region::Far(map as u16),
        }
    }
}
