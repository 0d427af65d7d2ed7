//! Computes no more bits than somebody looks at.
//!
//! From the ends of a program to its start, every use says which bits of its operands matter. What only fills other bits
//! is left out; where the upper half does not matter, or is known to be zero, 32 bits are enough, which take shorter
//! instructions.

use sandbpf_isa::{Cond, Extend, Size, Width};

use super::bits::{Possible, filled, ones, rounded};
use super::renames::Renames;
use crate::plan::graph::{Address, BinOp, Block, End, Graph, Op, Test, UnOp, Value};

const LOW: u64 = 0xffff_ffff;

/// Leaves out bits that nobody looks at.
pub(crate) fn narrow(graph: &mut Graph) {
    let order = graph.order();
    let possible = Possible::of(graph, &order);
    let wanted = Wanted::of(graph, &order);
    let mut narrowing = Narrowing { renames: Renames::new(graph), possible, wanted, graph };
    let mut old = Vec::new();
    for &block in &order {
        old.clear();
        old.append(&mut narrowing.graph.blocks[block.index()].body);
        for &value in &old {
            let mut op = std::mem::replace(&mut narrowing.graph.values[value.index()], Op::Gone);
            narrowing.renames.apply_to(&mut op);
            match narrowing.narrowed(value, &op) {
                Narrowed::Same => {}
                Narrowed::Is(other) => {
                    narrowing.renames.rename(value, other);
                    continue;
                }
                Narrowed::Now(new) => op = new,
            }
            narrowing.graph.values[value.index()] = op;
            narrowing.graph.blocks[block.index()].body.push(value);
        }
        let mut end = std::mem::replace(&mut narrowing.graph.blocks[block.index()].end, End::Unreachable);
        end.uses_mut(|used| *used = narrowing.renames.of(*used));
        narrowing.graph.blocks[block.index()].end = end;
    }
    narrowing.renames.apply_to_edges(narrowing.graph);
}

/// For every value, the bits that somebody looks at.
struct Wanted {
    bits: Vec<u64>,
    /// Whether addresses are made of it: there it is to stay a sum of 64 bits.
    address: Vec<bool>,
}

impl Wanted {
    fn of(graph: &Graph, order: &[Block]) -> Wanted {
        let count = graph.values.len();
        let mut wanted = Wanted { bits: vec![0; count], address: vec![false; count] };
        let mut number = vec![0; graph.blocks.len()];
        for (at, block) in order.iter().enumerate() {
            number[block.index()] = at;
        }
        for round in 0u32.. {
            let mut again = false;
            for &block in order.iter().rev() {
                let code = graph.code(block);
                match &code.end {
                    End::Return(value) => wanted.add(*value, u64::MAX),
                    End::Branch { test, .. } => wanted.test(graph, test),
                    End::Jump(_) | End::Unreachable => {}
                }
                for edge in code.end.edges() {
                    for (&param, &argument) in graph.code(edge.to).params.iter().zip(&edge.arguments) {
                        let bits = wanted.bits[param.index()];
                        wanted.add(argument, bits);
                    }
                }
                for &value in code.body.iter().rev() {
                    wanted.operands(graph, value);
                }
            }
            // Around loops it takes several rounds, with larger steps from one to the next.
            for (at, &block) in order.iter().enumerate() {
                for edge in graph.code(block).end.edges().filter(|edge| number[edge.to.index()] <= at) {
                    for (param, &argument) in graph.code(edge.to).params.iter().zip(&edge.arguments) {
                        let bits = wanted.bits[param.index()];
                        if bits & !wanted.bits[argument.index()] != 0 {
                            let bits = match round {
                                0 | 1 => bits,
                                2 | 3 => rounded(bits),
                                _ => u64::MAX,
                            };
                            wanted.add(argument, bits);
                            again = true;
                        }
                    }
                }
            }
            if !again {
                break;
            }
        }
        wanted
    }

    fn add(&mut self, value: Value, bits: u64) {
        self.bits[value.index()] |= bits;
    }

    fn test(&mut self, graph: &Graph, test: &Test) {
        let all = ones(test.width);
        let bits = match (test.cond, graph.constant(test.rhs)) {
            (Cond::Set, Some(number)) => number & all,
            _ => all,
        };
        self.add(test.lhs, bits);
        self.add(test.rhs, all);
    }

    /// Says what an operation wants of its operands.
    fn operands(&mut self, graph: &Graph, value: Value) {
        let wanted = self.bits[value.index()];
        match graph.op(value) {
            Op::Bin { op, width, a, b } => {
                if wanted & ones(*width) != 0 {
                    let (left, right) = binary(*op, *width, wanted, graph.constant(*b));
                    self.add(*a, left);
                    self.add(*b, right);
                }
            }
            Op::Un { op, a } => self.add(*a, unary(*op, wanted)),
            Op::Compare(test) => {
                if wanted & 1 != 0 {
                    self.test(graph, test);
                }
            }
            Op::Select { test, yes, no } => {
                if wanted != 0 {
                    self.test(graph, test);
                    self.add(*yes, wanted);
                    self.add(*no, wanted);
                }
            }
            Op::Store { value, size, .. } => self.add(*value, size.truncate(u64::MAX)),
            _ => {}
        }
        let addresses: [Option<Address>; 2] = match graph.op(value) {
            Op::Load { at, .. } | Op::Store { at, .. } | Op::Atomic { at, .. } => [Some(*at), None],
            Op::Bulk { what, .. } => [what.to(), what.from()],
            _ => [None, None],
        };
        for at in addresses.into_iter().flatten() {
            self.add(at.base, u64::MAX);
            if let Some((index, _)) = at.index {
                self.add(index, u64::MAX);
                self.address[index.index()] = true;
            }
        }
        match graph.op(value) {
            Op::Bin { .. } | Op::Un { .. } | Op::Compare(_) | Op::Select { .. } => {}
            Op::Load { .. } | Op::Store { .. } => {}
            op => op.uses(|used| self.add(used, u64::MAX)),
        }
        // Sums of what is in an address are brought into it.
        if self.address[value.index()] {
            if let Op::Bin { op: BinOp::Add | BinOp::Lsh | BinOp::Or, a, b, .. } = graph.op(value) {
                self.address[a.index()] = true;
                self.address[b.index()] = true;
            }
        }
    }
}

/// The bits of operands that those of a result depend on.
fn binary(op: BinOp, width: Width, wanted: u64, right: Option<u64>) -> (u64, u64) {
    let all = ones(width);
    let wanted = wanted & all;
    let low = filled(wanted);
    let count = right.map(|right| right as u32 & (width.bits() - 1));
    let counting = u64::from(width.bits() - 1);
    match op {
        BinOp::Add | BinOp::Sub | BinOp::Mul => (low, low),
        BinOp::And => (right.map_or(wanted, |right| wanted & right), wanted),
        BinOp::Or => (right.map_or(wanted, |right| wanted & !right), wanted),
        BinOp::Xor => (wanted, wanted),
        BinOp::Lsh => (count.map_or(low, |count| wanted >> count), counting),
        BinOp::Rsh => (count.map_or(all, |count| wanted << count & all), counting),
        BinOp::Arsh => {
            let bits = count.map(|count| {
                let sign = all ^ all >> 1;
                let copies = wanted & !(all >> count) != 0;
                wanted << count & all | if copies { sign } else { 0 }
            });
            (bits.unwrap_or(all), counting)
        }
        BinOp::Rol => {
            let back = |count: u32| BinOp::Rol.eval(width, wanted, u64::from(width.bits() - count));
            (count.map_or(all, back), counting)
        }
        BinOp::MulHigh | BinOp::Div | BinOp::Sdiv | BinOp::Mod | BinOp::Smod => (all, all),
    }
}

fn unary(op: UnOp, wanted: u64) -> u64 {
    match op {
        UnOp::Neg64 => filled(wanted),
        UnOp::Neg32 => filled(wanted & LOW),
        UnOp::Swap16 | UnOp::Swap32 | UnOp::Swap64 => op.eval(wanted),
        UnOp::Zext8 | UnOp::Zext16 | UnOp::Zext32 => op.eval(wanted),
        UnOp::Sext8 | UnOp::Sext16 | UnOp::Sext32 => {
            let kept = op.kept().unwrap_or(0);
            wanted & kept | if wanted & !kept != 0 { kept ^ kept >> 1 } else { 0 }
        }
    }
}

/// What is to become of an operation.
enum Narrowed {
    Same,
    Is(Value),
    Now(Op),
}

use Narrowed::{Is, Now, Same};

struct Narrowing<'g> {
    graph: &'g mut Graph,
    renames: Renames,
    possible: Possible,
    wanted: Wanted,
}

impl Narrowing<'_> {
    fn narrowed(&mut self, value: Value, op: &Op) -> Narrowed {
        let wanted = self.wanted.bits[value.index()];
        if wanted == 0 {
            return Same;
        }
        match *op {
            Op::Un { op, a } => match op.kept() {
                Some(kept) if wanted & !kept == 0 => Is(a),
                None if op == UnOp::Neg64 && wanted <= LOW => Now(Op::Un { op: UnOp::Neg32, a }),
                _ => Same,
            },
            Op::Bin { op, width, a, b } => self.binary(value, wanted, op, width, a, b),
            Op::Load { at, size, extend: Extend::Sign, swap } if wanted & !size.truncate(u64::MAX) == 0 => {
                Now(Op::Load { at, size, extend: Extend::Zero, swap })
            }
            Op::Load { at, size: Size::DW, extend, swap: false } if wanted <= LOW => {
                Now(Op::Load { at, size: Size::W, extend, swap: false })
            }
            _ => Same,
        }
    }

    fn binary(&mut self, value: Value, wanted: u64, op: BinOp, width: Width, a: Value, b: Value) -> Narrowed {
        let right = self.graph.constant(b).map(|right| right & ones(width));
        let wanted_here = wanted & ones(width);
        match (op, right) {
            // What is masked is not looked at, or what it is joined with.
            (BinOp::And, Some(mask)) if width == Width::W64 || wanted <= LOW => {
                if wanted & !mask == 0 {
                    return Is(a);
                }
                for (op, kept) in [(UnOp::Zext8, 0xff), (UnOp::Zext16, 0xffff), (UnOp::Zext32, LOW)] {
                    if mask != kept && wanted & mask == wanted & kept {
                        return Now(Op::Un { op, a });
                    }
                }
            }
            (BinOp::Or | BinOp::Xor, Some(number)) if width == Width::W64 || wanted <= LOW => {
                if wanted & number == 0 {
                    return Is(a);
                }
            }
            _ => {}
        }
        let narrow = Op::Bin { op, width: Width::W32, a, b };
        if width == Width::W32 {
            return Same;
        }
        // If nobody looks at the upper half, or if there is nothing.
        let upper_is_zero = self.possible.get(value) <= LOW && !self.wanted.address[value.index()];
        match op {
            BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::And | BinOp::Or | BinOp::Xor
                if wanted_here <= LOW || upper_is_zero =>
            {
                Now(narrow)
            }
            BinOp::Lsh if wanted_here <= LOW || upper_is_zero => match right {
                Some(count) if count < 32 => Now(narrow),
                _ => Same,
            },
            BinOp::Rsh | BinOp::Arsh => match right {
                // All that somebody looks at comes from the low half.
                Some(count) if count < 32 && wanted <= LOW >> count => {
                    Now(Op::Bin { op: BinOp::Rsh, width: Width::W32, a, b })
                }
                Some(count) if op == BinOp::Arsh && count < 64 && wanted <= u64::MAX >> count => {
                    Now(Op::Bin { op: BinOp::Rsh, width, a, b })
                }
                _ => Same,
            },
            _ => Same,
        }
    }
}
