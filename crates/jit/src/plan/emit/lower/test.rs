//! Comparisons: for branches, as numbers, for choices.
//!
//! ```text
//! cmp word [rdi + 12], 8 ; jne …         test cl, 2 ; jz …          bt eax, ecx ; jc …
//! xor eax, eax ; cmp … ; setb al         cmp … ; cmovb rax, rcx
//! ```

use sandbpf_isa::{Cond, Extend, Size, Width};

use super::super::inst::{Inst, Op, Place};
use super::super::machine::{Flag, Unary};
use super::Lower;
use super::memory::immediate;
use crate::plan::graph::{BinOp, Block, Op as GraphOp, Test, UnOp, Value};

/// The flag that says that a comparison is so.
fn flag(cond: Cond) -> Flag {
    match cond {
        Cond::Eq => Flag::Equal,
        // Of `test`.
        Cond::Ne | Cond::Set => Flag::NotEqual,
        Cond::Gt => Flag::Above,
        Cond::Ge => Flag::AboveEqual,
        Cond::Lt => Flag::Below,
        Cond::Le => Flag::BelowEqual,
        Cond::Sgt => Flag::Greater,
        Cond::Sge => Flag::GreaterEqual,
        Cond::Slt => Flag::Less,
        Cond::Sle => Flag::LessEqual,
    }
}

/// The same of numbers of which none is negative.
fn unsigned(flag: Flag) -> Flag {
    match flag {
        Flag::Greater => Flag::Above,
        Flag::GreaterEqual => Flag::AboveEqual,
        Flag::Less => Flag::Below,
        Flag::LessEqual => Flag::BelowEqual,
        other => other,
    }
}

impl Lower<'_> {
    /// How many values at the end of these ask the same: all of them look at the flags of one comparison.
    pub(super) fn alike(&self, values: &[Value]) -> usize {
        let test = |value: &Value| match self.graph.op(*value) {
            GraphOp::Compare(test) | GraphOp::Select { test, .. } if !self.is_idle(*value) => Some(*test),
            _ => None,
        };
        let Some(first) = values.last().and_then(test) else { return 0 };
        values.iter().rev().take_while(|value| test(value) == Some(first)).count()
    }

    /// Comparisons as numbers, and choices, by one test.
    pub(super) fn decide(&mut self, values: &[Value]) {
        if let [value] = *values
            && self.without_sign(value)
        {
            return;
        }
        let mut asked = None;
        let first = self.body.insts.len();
        for &value in values.iter().rev() {
            match *self.graph.op(value) {
                GraphOp::Compare(test) => {
                    self.compared(value);
                    asked = Some(test);
                }
                GraphOp::Select { test, yes, no } => {
                    self.select(value, yes, no);
                    asked = Some(test);
                }
                _ => {}
            }
        }
        let last = self.body.insts.len();
        let Some(test) = asked else { return };
        let flag = self.flags(&test, None);
        for inst in &mut self.body.insts[first..last] {
            inst.op = match inst.op {
                Op::Set(_) => Op::Set(flag),
                Op::Cmov(_) => Op::Cmov(flag),
                Op::CmovMem(_) => Op::CmovMem(flag),
                op => op,
            };
        }
    }

    /// A number without its sign: `mov dst, x ; neg dst ; cmovs dst, x`.
    fn without_sign(&mut self, value: Value) -> bool {
        let GraphOp::Select { test, yes, no } = *self.graph.op(value) else { return false };
        let GraphOp::Un { op, a } = *self.graph.op(yes) else { return false };
        let width = match op {
            UnOp::Neg32 => Width::W32,
            UnOp::Neg64 => Width::W64,
            _ => return false,
        };
        let zero = self.graph.constant(test.rhs).is_some_and(|number| low(number, width) == 0);
        let asks = test.cond == Cond::Slt && test.width == width && test.lhs == a && zero;
        let whole = match width {
            Width::W64 => no == a,
            Width::W32 => {
                no == a && self.is_narrow(a) || *self.graph.op(no) == (GraphOp::Un { op: UnOp::Zext32, a })
            }
        };
        if !asks || !whole || !self.is_ours(yes) {
            return false;
        }
        self.taken[yes.index()] = true;
        let (dst, negative) = (self.var(value), self.temporary());
        let (a, no) = (self.var(a), self.var(no));
        self.push(Inst::new(Op::Cmov(Flag::Sign), Width::W64).dst(dst).a(negative).b(no));
        let negate = Inst::new(Op::Unary(Unary::Neg), width).dst(negative).a(a);
        self.push(Inst { flags: true, ..negate });
        true
    }

    /// A comparison as a number, by a flag that is not known yet.
    fn compared(&mut self, value: Value) {
        let (dst, zero) = (self.var(value), self.temporary());
        self.push(Inst::new(Op::Set(Flag::Equal), Width::W32).dst(dst).a(zero));
        self.before.push(Inst::number(zero, 0, true));
    }

    fn select(&mut self, value: Value, yes: Value, no: Value) {
        let dst = self.var(value);
        let guessed = self.target.guess || self.guessed.get(value.index()) == Some(&true);
        let imm = i32::from(guessed);
        // A number that the result replaces is made before the flags are.
        let no = self.replaced(no);
        if let Some(at) = self.operand(yes, Width::W64) {
            return self.push(Inst::new(Op::CmovMem(Flag::Equal), Width::W64).dst(dst).a(no).at(at).imm(imm));
        }
        let yes = self.var(yes);
        self.push(Inst::new(Op::Cmov(Flag::Equal), Width::W64).dst(dst).a(no).b(yes).imm(imm));
    }

    /// Compares, and says which flag tells that it is so. If the comparison ends a block, the flags of what comes before may tell;
    /// if it does not, no flag that many processors need two steps for.
    pub(super) fn flags(&mut self, test: &Test, ends: Option<Block>) -> Flag {
        let Test { cond, width, mut lhs, mut rhs } = *test;
        if cond == Cond::Set {
            return self.bits(width, lhs, rhs);
        }
        let mut flag = flag(cond);
        let constant = |value| self.graph.constant(value).is_some();
        let swap = constant(lhs) && !constant(rhs)
            || !constant(rhs) && self.ours(lhs).is_some() && self.ours(rhs).is_none();
        if swap {
            (lhs, rhs) = (rhs, lhs);
            flag = flag.swapped();
        }
        let slow = ends.is_none() && matches!(flag, Flag::Above | Flag::BelowEqual);
        if let Some(number) = self.graph.constant(rhs) {
            let mut number = low(number, width);
            if number == 0 {
                return self.against_zero(width, lhs, flag, ends);
            }
            let (mut told, next) = (flag, number.wrapping_add(1));
            if slow && low(next, width) != 0 && short(next, width).is_some() {
                (told, number) = (if flag == Flag::Above { Flag::AboveEqual } else { Flag::Below }, next);
            }
            if let Some(flag) = self.memory_against(width, lhs, told, number) {
                return flag;
            }
            if let Some(flag) = self.byte_against(width, lhs, told, number) {
                return flag;
            }
            if let Some(imm) = short(number, width) {
                let a = self.var(lhs);
                self.push(Inst::new(Op::CmpImm, width).a(a).imm(imm));
                return told;
            }
            if slow {
                (lhs, rhs, flag) = (rhs, lhs, flag.swapped());
            }
        } else if let Some(place) = self.operand(rhs, width) {
            let a = self.var(lhs);
            let (op, flag) = if slow { (Op::MemCmp, flag.swapped()) } else { (Op::CmpMem, flag) };
            self.push(Inst::new(op, width).a(a).at(place));
            return flag;
        } else if slow {
            (lhs, rhs, flag) = (rhs, lhs, flag.swapped());
        }
        let (a, b) = (self.var(lhs), self.var(rhs));
        self.push(Inst::new(Op::Cmp, width).a(a).b(b));
        flag
    }

    /// A comparison with zero.
    fn against_zero(&mut self, width: Width, lhs: Value, flag: Flag, ends: Option<Block>) -> Flag {
        let flag = match flag {
            Flag::Above => Flag::NotEqual,
            Flag::BelowEqual => Flag::Equal,
            other => other,
        };
        if let Some(flag) = self.memory_against(width, lhs, flag, 0) {
            return flag;
        }
        if let Some(flag) = self.byte_against(width, lhs, flag, 0) {
            return flag;
        }
        if let Some(flag) = ends.and_then(|block| self.flags_before(block, width, lhs, flag)) {
            return flag;
        }
        // The flags of a product of bits are those of its comparison with zero.
        if let GraphOp::Bin { op: BinOp::And, width: inner, a, b } = *self.graph.op(lhs)
            && self.is_ours(lhs)
            && (inner == width || width == Width::W32 || matches!(flag, Flag::Equal | Flag::NotEqual))
        {
            self.taken[lhs.index()] = true;
            self.test_bits(if inner == Width::W32 { inner } else { width }, a, b);
            return flag;
        }
        let a = self.var(lhs);
        self.push(Inst::new(Op::Test, width).a(a).b(a));
        flag
    }

    /// The flag that the last instruction of a block leaves, if it computes what is compared with zero.
    fn flags_before(&mut self, block: Block, width: Width, lhs: Value, flag: Flag) -> Option<Flag> {
        let code = self.graph.code(block);
        if code.body.last() != Some(&lhs) || self.taken[lhs.index()] {
            return None;
        }
        let GraphOp::Bin { op, width: inner, a, b } = *self.graph.op(lhs) else { return None };
        if inner != width || self.graph.constant(a).is_some() {
            return None;
        }
        let sums = matches!(op, BinOp::Add | BinOp::Sub);
        let bits = matches!(op, BinOp::Or | BinOp::Xor)
            || op == BinOp::And && self.graph.constant(b).is_none() && !self.target.features.bmi1;
        if op == BinOp::Xor && self.imm(b, width) == Some(-1) {
            return None;
        }
        match flag {
            Flag::Equal | Flag::NotEqual if sums || bits => {}
            Flag::Less if sums || bits => return self.keep_flags(Flag::Sign),
            Flag::GreaterEqual if sums || bits => return self.keep_flags(Flag::NotSign),
            _ => return None,
        }
        self.keep_flags(flag)
    }

    /// The next value that is lowered must leave its flags.
    fn keep_flags(&mut self, flag: Flag) -> Option<Flag> {
        self.keep = true;
        Some(flag)
    }

    /// A comparison of a load of our own with a number.
    fn memory_against(&mut self, width: Width, lhs: Value, flag: Flag, number: u64) -> Option<Flag> {
        let (at, size, extend, swap) = self.ours(lhs)?;
        let equality = matches!(flag, Flag::Equal | Flag::NotEqual);
        if swap && !(equality && extend == Extend::Zero) {
            return None;
        }
        // Whether the number is one that can be loaded, and the whole of what is compared.
        let narrow = match (size, width) {
            (Size::DW, Width::W64) | (Size::W, Width::W32) => false,
            (Size::DW, Width::W32) => return None,
            _ => true,
        };
        let flag = if narrow {
            if extend.apply(size, number) != number && low(extend.apply(size, number), width) != number {
                return None;
            }
            if extend == Extend::Zero { unsigned(flag) } else { flag }
        } else {
            flag
        };
        let imm = immediate(number, size, swap)?;
        // Immediates of two bytes are slow to decode.
        if size == Size::H && i8::try_from(imm).is_err() {
            return None;
        }
        self.taken[lhs.index()] = true;
        let place = self.place(&at);
        self.push(Inst::new(Op::MemCmpImm(size), Width::W64).at(place).imm(imm));
        Some(flag)
    }

    /// A comparison of an extended byte of our own with a number that is one, too: in the same order they are without all that
    /// is above.
    fn byte_against(&mut self, width: Width, lhs: Value, flag: Flag, number: u64) -> Option<Flag> {
        let GraphOp::Un { op, a } = *self.graph.op(lhs) else { return None };
        let byte = number as u8;
        let flag = match op {
            UnOp::Zext8 if number == u64::from(byte) => unsigned(flag),
            UnOp::Sext8 if number == low(byte as i8 as u64, width) => flag,
            _ => return None,
        };
        if !self.is_ours(lhs) || self.graph.constant(a).is_some() {
            return None;
        }
        self.taken[lhs.index()] = true;
        let a = self.var(a);
        self.push(Inst::new(Op::CmpByte, Width::W64).a(a).imm((byte as i8).into()));
        Some(flag)
    }

    /// Whether some bit is set in both.
    fn bits(&mut self, width: Width, lhs: Value, rhs: Value) -> Flag {
        for (bits, one) in [(lhs, rhs), (rhs, lhs)] {
            if let GraphOp::Bin { op: BinOp::Lsh, width: inner, a, b } = *self.graph.op(one)
                && inner == width
                && self.is_ours(one)
                && self.graph.constant(a) == Some(1)
                && self.graph.constant(b).is_none()
            {
                self.taken[one.index()] = true;
                let (a, b) = (self.var(bits), self.var(b));
                self.push(Inst::new(Op::Bit, width).a(a).b(b));
                return Flag::Below;
            }
            if self.graph.constant(one).is_some_and(|number| low(number, width) == 1)
                && let GraphOp::Bin { op: BinOp::Rsh, width: inner, a, b } = *self.graph.op(bits)
                && inner == width
                && self.is_ours(bits)
                && self.graph.constant(b).is_none()
            {
                self.taken[bits.index()] = true;
                let (a, b) = (self.var(a), self.var(b));
                self.push(Inst::new(Op::Bit, width).a(a).b(b));
                return Flag::Below;
            }
        }
        let constant = |value| self.graph.constant(value).map(|number| low(number, width));
        let (bits, number) = match (constant(lhs), constant(rhs)) {
            (_, Some(number)) => (lhs, Some(number)),
            (Some(number), None) => (rhs, Some(number)),
            (None, None) => (lhs, None),
        };
        if let Some(number) = number
            && number.is_power_of_two()
            && number > i32::MAX as u64
            && self.ours(bits).is_none()
        {
            let a = self.var(bits);
            let bit = number.trailing_zeros() as i32;
            self.push(Inst::new(Op::BitImm, width).a(a).imm(bit));
            return Flag::Below;
        }
        self.test_bits(width, lhs, rhs);
        Flag::NotEqual
    }

    /// The flags of `a & b`.
    fn test_bits(&mut self, width: Width, a: Value, b: Value) {
        let (a, b) = if self.graph.constant(a).is_some() { (b, a) } else { (a, b) };
        if let Some(number) = self.graph.constant(b) {
            let number = low(number, width);
            if let Some((place, size)) = self.tested(a, number) {
                let imm = number as i32;
                return self.push(Inst::new(Op::MemTestImm(size), Width::W64).at(place).imm(imm));
            }
            let size = match number {
                // The sign of a byte is not that of the whole.
                0..0x80 => Some(Size::B),
                0x80..=0x7fff_ffff => Some(Size::W),
                _ if width == Width::W32 => Some(Size::W),
                _ => i32::try_from(number as i64).ok().map(|_| Size::DW),
            };
            if let Some(size) = size {
                let a = self.var(a);
                return self.push(Inst::new(Op::TestImm(size), width).a(a).imm(number as i32));
            }
        }
        if let Some(place) = self.operand(a, width) {
            let b = self.var(b);
            return self.push(Inst::new(Op::TestMem, width).a(b).at(place));
        }
        let (a, b) = (self.var(a), self.var(b));
        self.push(Inst::new(Op::Test, width).a(a).b(b));
    }

    /// A load of our own of which these bits are tested; as few bytes as have them, and none of them the highest.
    fn tested(&mut self, value: Value, number: u64) -> Option<(Place, Size)> {
        let (at, size, _, false) = self.ours(value)? else { return None };
        let wanted = match number {
            0..0x80 => Size::B,
            0..0x8000_0000 if size.bytes() >= 4 => Size::W,
            _ => return None,
        };
        self.taken[value.index()] = true;
        Some((self.place(&at), wanted))
    }
}

/// A number of a width as an immediate.
fn short(number: u64, width: Width) -> Option<i32> {
    match width {
        Width::W32 => Some(number as i32),
        Width::W64 => i32::try_from(number as i64).ok(),
    }
}

/// The bits of a number that a width looks at.
fn low(number: u64, width: Width) -> u64 {
    match width {
        Width::W32 => u64::from(number as u32),
        Width::W64 => number,
    }
}
