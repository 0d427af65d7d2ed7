//! Arithmetic, logic, shifts, extensions.
//!
//! ```text
//! add eax, [rdi + 4]     lea rax, [rcx + rdx*4]     and eax, 0xff → movzx eax, cl
//! shlx rax, rcx, rdx     rorx eax, ecx, 7           andn eax, ecx, edx
//! ```

use sandbpf_isa::{Size, Width};

use super::super::inst::{Inst, Op, Place, Var};
use super::super::machine::{Alu, Shift, Unary, Widen, reg};
use super::Lower;
use crate::plan::graph::{BinOp, Op as GraphOp, UnOp, Value};

impl Lower<'_> {
    pub(super) fn binary(&mut self, value: Value, op: BinOp, width: Width, a: Value, b: Value) {
        let dst = self.var(value);
        let (mut a, mut b) = (a, b);
        // What can be an immediate or in memory stands on the right.
        if op.commutes()
            && self.graph.constant(b).is_none()
            && (self.graph.constant(a).is_some() || self.ours(a).is_some() && self.ours(b).is_none())
        {
            (a, b) = (b, a);
        }
        match op {
            BinOp::Add => self.add(dst, width, a, b),
            BinOp::Sub => self.subtract(dst, width, a, b),
            BinOp::And => self.and(dst, width, a, b),
            BinOp::Or => self.logic(dst, Alu::Or, width, a, b),
            BinOp::Xor => self.logic(dst, Alu::Xor, width, a, b),
            BinOp::Mul => self.multiply(dst, width, a, b),
            BinOp::MulHigh => self.multiply_high(dst, a, b),
            BinOp::Div | BinOp::Sdiv | BinOp::Mod | BinOp::Smod => self.divide(dst, op, width, a, b),
            BinOp::Lsh => self.shift(dst, Shift::Shl, width, a, b),
            BinOp::Rsh => self.shift(dst, Shift::Shr, width, a, b),
            BinOp::Arsh => self.shift(dst, Shift::Sar, width, a, b),
            BinOp::Rol => self.shift(dst, Shift::Rol, width, a, b),
        }
    }

    /// A constant that an instruction of this width can hold.
    pub(super) fn imm(&self, value: Value, width: Width) -> Option<i32> {
        let number = self.graph.constant(value)?;
        match width {
            Width::W32 => Some(number as i32),
            Width::W64 => i32::try_from(number as i64).ok(),
        }
    }

    /// `dst = a op b`, with `b` as an immediate, in memory, or in a register.
    pub(super) fn plain(&mut self, dst: Var, op: Alu, width: Width, a: Value, b: Value) {
        if let Some(imm) = self.imm(b, width) {
            let a = self.var(a);
            return self.push(Inst::new(Op::AluImm(op), width).dst(dst).a(a).imm(imm));
        }
        let a = self.replaced(a);
        if let Some(place) = self.operand(b, width) {
            return self.push(Inst::new(Op::AluMem(op), width).dst(dst).a(a).at(place));
        }
        let b = self.var(b);
        self.push(Inst::new(Op::Alu(op), width).dst(dst).a(a).b(b));
    }

    /// An operand that the result replaces: a number is made for it alone.
    pub(super) fn replaced(&mut self, a: Value) -> Var {
        let Some(number) = self.graph.constant(a) else { return self.var(a) };
        let var = self.temporary();
        self.before.push(Inst::number(var, number, true));
        var
    }

    fn add(&mut self, dst: Var, width: Width, a: Value, b: Value) {
        if !self.keep
            && let Some(disp) = self.imm(b, width)
            && let Some(place) = self.sum(a, width)
        {
            return self.push(Inst::new(Op::Lea, width).dst(dst).at(Place { disp, ..place }));
        }
        // A sum with a small multiple.
        for (a, b) in [(a, b), (b, a)] {
            if let Some((index, scale)) = self.scaled(b, width)
                && self.graph.constant(a).is_none()
                && !self.keep
            {
                self.taken[b.index()] = true;
                let place = Place { base: self.var(a), index: self.var(index), scale, disp: 0 };
                return self.push(Inst::new(Op::Lea, width).dst(dst).at(place));
            }
        }
        self.plain(dst, Alu::Add, width, a, b);
    }

    /// The sum or small multiple that a value is, as an address, if it is nobody else's.
    fn sum(&mut self, value: Value, width: Width) -> Option<Place> {
        let GraphOp::Bin { op, width: inner, a, b } = *self.graph.op(value) else { return None };
        let constant = |value| self.graph.constant(value);
        if inner != width || !self.is_ours(value) || constant(a).is_some() {
            return None;
        }
        let (base, index, scale) = match (op, constant(b)) {
            (BinOp::Add, None) => match (self.scaled(b, width), self.scaled(a, width)) {
                (Some((index, scale)), _) => {
                    self.taken[b.index()] = true;
                    (Some(a), index, scale)
                }
                (None, Some((index, scale))) => {
                    self.taken[a.index()] = true;
                    (Some(b), index, scale)
                }
                (None, None) if self.ours(a).is_none() && self.ours(b).is_none() => (Some(a), b, 0),
                (None, None) => return None,
            },
            (BinOp::Mul, Some(factor @ (3 | 5 | 9))) => (Some(a), a, (factor - 1).trailing_zeros() as u8),
            (BinOp::Lsh, Some(count @ 1..=3)) => (None, a, count as u8),
            _ => return None,
        };
        self.taken[value.index()] = true;
        let base = base.map_or(Var::NONE, |base| self.var(base));
        Some(Place { base, index: self.var(index), scale, disp: 0 })
    }

    /// A value shifted left by 1 to 3, if that is nobody else's.
    fn scaled(&self, value: Value, width: Width) -> Option<(Value, u8)> {
        match *self.graph.op(value) {
            GraphOp::Bin { op: BinOp::Lsh, width: shifted, a, b }
                if shifted == width && self.is_ours(value) =>
            {
                let count = self.graph.constant(b)?;
                (1..=3)
                    .contains(&count)
                    .then_some((a, count as u8))
                    .filter(|_| self.graph.constant(a).is_none())
            }
            _ => None,
        }
    }

    fn subtract(&mut self, dst: Var, width: Width, a: Value, b: Value) {
        if self.graph.constant(a) == Some(0) {
            let b = self.var(b);
            return self.push(Inst::new(Op::Unary(Unary::Neg), width).dst(dst).a(b));
        }
        match self.imm(b, width) {
            // The sum is a `lea` if need be, and -128 is shorter than 128.
            Some(imm) if imm != i32::MIN => {
                let a = self.var(a);
                self.push(Inst::new(Op::AluImm(Alu::Add), width).dst(dst).a(a).imm(-imm));
            }
            _ => self.plain(dst, Alu::Sub, width, a, b),
        }
    }

    fn and(&mut self, dst: Var, width: Width, a: Value, b: Value) {
        if let Some(number) = self.graph.constant(b) {
            let number = if width == Width::W32 { u64::from(number as u32) } else { number };
            let narrow = match number {
                0xff => Some(Size::B),
                0xffff => Some(Size::H),
                0xffff_ffff => Some(Size::W),
                _ => None,
            };
            if let Some(size) = narrow {
                let a = self.var(a);
                return self.push(Inst::new(Op::Widen(Widen::Zero(size)), Width::W64).dst(dst).a(a));
            }
            if let Ok(low) = u32::try_from(number) {
                let a = self.var(a);
                let inst = Inst::new(Op::AluImm(Alu::And), Width::W32);
                return self.push(inst.dst(dst).a(a).imm(low as i32));
            }
        }
        if self.target.features.bmi1 {
            for (a, b) in [(a, b), (b, a)] {
                if let Some(inner) = self.inverted(a, width)
                    && self.graph.constant(b).is_none()
                {
                    self.taken[a.index()] = true;
                    let (a, b) = (self.var(inner), self.var(b));
                    return self.push(Inst::new(Op::AndNot, width).dst(dst).a(a).b(b));
                }
            }
        }
        self.plain(dst, Alu::And, width, a, b);
    }

    /// What a value is the complement of, if that is nobody else's.
    fn inverted(&self, value: Value, width: Width) -> Option<Value> {
        match *self.graph.op(value) {
            GraphOp::Bin { op: BinOp::Xor, width: inner, a, b } if inner == width && self.is_ours(value) => {
                (self.imm(b, width) == Some(-1)).then_some(a)
            }
            _ => None,
        }
    }

    fn logic(&mut self, dst: Var, op: Alu, width: Width, a: Value, b: Value) {
        if op == Alu::Xor && self.imm(b, width) == Some(-1) {
            let a = self.var(a);
            return self.push(Inst::new(Op::Unary(Unary::Not), width).dst(dst).a(a));
        }
        self.plain(dst, op, width, a, b);
    }

    fn shift(&mut self, dst: Var, op: Shift, width: Width, a: Value, b: Value) {
        let bits = if width == Width::W64 { 64 } else { 32 };
        if let Some(count) = self.graph.constant(b) {
            let a = self.replaced(a);
            let inst = match count as u8 & (bits - 1) {
                0 if width == Width::W64 => Inst::new(Op::Copy, width),
                0 => Inst::new(Op::Widen(Widen::Zero(Size::W)), Width::W64),
                count => Inst::new(Op::ShiftImm(op), width).imm(count.into()),
            };
            return self.push(inst.dst(dst).a(a));
        }
        let count = self.count(b, bits);
        if self.target.features.bmi2 && op != Shift::Rol {
            let (a, b) = (self.var(a), self.var(count));
            return self.push(Inst::new(Op::ShiftBy(op), width).dst(dst).a(a).b(b));
        }
        let a = self.replaced(a);
        let count = self.var(count);
        self.push(Inst::new(Op::ShiftCl(op), width).dst(dst).a(a).b(Var::real(reg::RCX)));
        self.push(Inst::new(Op::Copy, Width::W64).dst(Var::real(reg::RCX)).a(count));
    }

    /// A count without a mask that the instruction has by itself.
    fn count(&mut self, value: Value, bits: u8) -> Value {
        match *self.graph.op(value) {
            GraphOp::Bin { op: BinOp::And, a, b, .. } if self.is_ours(value) => {
                match self.graph.constant(b) {
                    Some(mask) if mask as u8 & (bits - 1) == bits - 1 && self.graph.constant(a).is_none() => {
                        self.taken[value.index()] = true;
                        a
                    }
                    _ => value,
                }
            }
            _ => value,
        }
    }

    pub(super) fn unary(&mut self, value: Value, op: UnOp, a: Value) {
        let dst = self.var(value);
        let how = match op {
            UnOp::Neg64 | UnOp::Neg32 => {
                let width = if op == UnOp::Neg64 { Width::W64 } else { Width::W32 };
                let a = self.replaced(a);
                return self.push(Inst::new(Op::Unary(Unary::Neg), width).dst(dst).a(a));
            }
            UnOp::Swap16 => {
                let (a, low) = (self.var(a), self.temporary());
                self.push(Inst::new(Op::SwapWord, Width::W64).dst(dst).a(low));
                return self.push(Inst::new(Op::Widen(Widen::Zero(Size::H)), Width::W64).dst(low).a(a));
            }
            UnOp::Swap32 | UnOp::Swap64 => {
                let width = if op == UnOp::Swap64 { Width::W64 } else { Width::W32 };
                let a = self.replaced(a);
                return self.push(Inst::new(Op::Swap, width).dst(dst).a(a));
            }
            UnOp::Zext8 => Widen::Zero(Size::B),
            UnOp::Zext16 => Widen::Zero(Size::H),
            UnOp::Zext32 => Widen::Zero(Size::W),
            UnOp::Sext8 => Widen::Sign(Size::B),
            UnOp::Sext16 => Widen::Sign(Size::H),
            UnOp::Sext32 => Widen::Sign(Size::W),
        };
        // Low bytes of what was loaded for nothing else are loaded by themselves.
        let (Widen::Zero(low) | Widen::Sign(low)) = how;
        if let Some((at, size, _, false)) = self.ours(a)
            && size.bytes() >= low.bytes()
        {
            self.taken[a.index()] = true;
            let place = self.place(&at);
            return self.push(Inst::new(Op::Load(how), Width::W64).dst(dst).at(place));
        }
        let a = self.var(a);
        self.push(Inst::new(Op::Widen(how), Width::W64).dst(dst).a(a));
    }
}
