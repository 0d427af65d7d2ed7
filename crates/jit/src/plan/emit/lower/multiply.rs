//! Products, quotients and remainders.
//!
//! ```text
//! imul eax, ecx, 37         lea rax, [rcx + rcx*4]        mulx rax, rax, rcx    ; rdx times rcx
//! mov eax, ecx ; shl eax, 5 ; sub eax, ecx
//! mov rax, a ; div b ; mov dst, rdx
//! ```

use sandbpf_isa::Width;

use super::super::inst::{Divisor, Inst, Op, Place, Var};
use super::super::machine::{Alu, Shift, Unary, reg};
use super::Lower;
use crate::plan::graph::{BinOp, Value};

const RAX: Var = Var::real(reg::RAX);
const RDX: Var = Var::real(reg::RDX);

impl Lower<'_> {
    pub(super) fn multiply(&mut self, dst: Var, width: Width, a: Value, b: Value) {
        if let Some(imm) = self.imm(b, width) {
            let number = imm as u32;
            if matches!(number, 3 | 5 | 9) && self.graph.constant(a).is_none() {
                let a = self.var(a);
                let place = Place { base: a, index: a, scale: (number - 1).trailing_zeros() as u8, disp: 0 };
                return self.push(Inst::new(Op::Lea, width).dst(dst).at(place));
            }
            if number.is_power_of_two() && number > 1 && imm > 0 {
                let (a, count) = (self.replaced(a), number.trailing_zeros() as i32);
                return self.push(Inst::new(Op::ShiftImm(Shift::Shl), width).dst(dst).a(a).imm(count));
            }
            if self.graph.constant(a).is_none() && self.multiply_by_sums(dst, width, a, imm) {
                return;
            }
            if let Some(place) = self.operand(a, width) {
                return self.push(Inst::new(Op::MulMemImm, width).dst(dst).at(place).imm(imm));
            }
            let a = self.var(a);
            return self.push(Inst::new(Op::MulImm, width).dst(dst).a(a).imm(imm));
        }
        let a = self.replaced(a);
        if let Some(place) = self.operand(b, width) {
            return self.push(Inst::new(Op::MulMem, width).dst(dst).a(a).at(place));
        }
        let b = self.var(b);
        self.push(Inst::new(Op::Mul, width).dst(dst).a(a).b(b));
    }

    /// A product with a number next to a power of two, or with two small factors: two steps are shorter than a product's three.
    fn multiply_by_sums(&mut self, dst: Var, width: Width, a: Value, imm: i32) -> bool {
        let Some(number) = u32::try_from(imm).ok().filter(|&number| number > 2) else { return false };
        let lea = |dst: Var, a: Var, factor: u32| {
            let scale = (factor - 1).trailing_zeros() as u8;
            Inst::new(Op::Lea, width).dst(dst).at(Place { base: a, index: a, scale, disp: 0 })
        };
        let shift = |dst: Var, a: Var, count: u32| {
            Inst::new(Op::ShiftImm(Shift::Shl), width).dst(dst).a(a).imm(count as i32)
        };
        let (more, less) = (number - 1, number + 1);
        if more.is_power_of_two() || less.is_power_of_two() {
            let (shifted, a) = (self.temporary(), self.var(a));
            let (op, power) = if more.is_power_of_two() { (Alu::Add, more) } else { (Alu::Sub, less) };
            self.push(Inst::new(Op::Alu(op), width).dst(dst).a(shifted).b(a));
            self.push(shift(shifted, a, power.trailing_zeros()));
            return true;
        }
        for factor in [9, 5, 3] {
            let rest = number / factor;
            if !number.is_multiple_of(factor) || !(rest.is_power_of_two() || matches!(rest, 3 | 5 | 9)) {
                continue;
            }
            let (part, a) = (self.temporary(), self.var(a));
            self.push(match rest {
                3 | 5 | 9 => lea(dst, part, rest),
                _ => shift(dst, part, rest.trailing_zeros()),
            });
            self.push(lea(part, a, factor));
            return true;
        }
        false
    }

    pub(super) fn multiply_high(&mut self, dst: Var, a: Value, b: Value) {
        let (a, b) = (self.var(a), self.var(b));
        if self.target.features.bmi2 {
            self.push(Inst::new(Op::MulHighFrom, Width::W64).dst(dst).a(b).b(RDX));
            return self.push(Inst::new(Op::Copy, Width::W64).dst(RDX).a(a));
        }
        self.push(Inst::new(Op::Copy, Width::W64).dst(dst).a(RDX));
        self.push(Inst::new(Op::MulHigh, Width::W64).a(b));
        self.push(Inst::new(Op::Copy, Width::W64).dst(RAX).a(a));
    }

    pub(super) fn divide(&mut self, dst: Var, op: BinOp, width: Width, a: Value, b: Value) {
        let divisor = self.graph.constant(b).map(|number| match width {
            Width::W32 => i64::from(number as i32),
            Width::W64 => number as i64,
        });
        let signed = matches!(op, BinOp::Sdiv | BinOp::Smod);
        if signed && divisor == Some(-1) {
            // The least number has no opposite; negation leaves it.
            if op == BinOp::Smod {
                return self.push(Inst::number(dst, 0, true));
            }
            let a = self.replaced(a);
            return self.push(Inst::new(Op::Unary(Unary::Neg), width).dst(dst).a(a));
        }
        let known = match divisor {
            Some(0) | None => Divisor::Any,
            Some(_) => Divisor::Plain,
        };
        let result = if matches!(op, BinOp::Div | BinOp::Sdiv) { RAX } else { RDX };
        let (a, b) = (self.var(a), self.var(b));
        // Remainders by zero are what was divided: its low half, if that is the width.
        self.push(Inst::new(Op::Copy, Width::W64).dst(dst).a(result));
        self.push(Inst::new(Op::Divide { op, known }, width).a(RAX).b(b));
        self.push(Inst::new(Op::Copy, Width::W64).dst(RAX).a(a));
    }
}
