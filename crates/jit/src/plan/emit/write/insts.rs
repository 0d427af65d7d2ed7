//! Instructions as bytes: where operands are decides which form is shortest.

use core::mem::offset_of;

use sandbpf_isa::{AtomicOp, Size, Width};

use super::super::allocate::moves::Home;
use super::super::bulk;
use super::super::env::Env;
use super::super::inst::{Divisor, Inst, Op, Var};
use super::super::machine::{Alu, Flag, Mem, Rm, Shift, Unary, Widen, reg};
use super::cold::{Cold, Cost};
use super::{Operands, Writer};
use crate::plan::graph::BinOp;

impl Writer<'_> {
    /// An instruction that does not end its segment.
    pub(super) fn inst(&mut self, inst: &Inst, operands: &Operands) {
        let width = inst.width;
        match inst.op {
            Op::Block => {}
            Op::Copy => self.copy(self.reg(operands.dst), operands.a),
            Op::Number { clobbers } => self.number(inst, operands.dst, clobbers),
            Op::Lea => self.lea(inst, operands),
            Op::Load(how) => {
                let mem = self.mem(inst, operands);
                self.code.widen(how, self.reg(operands.dst), Rm::Mem(mem));
            }
            Op::LoadSwapped(size) => {
                let mem = self.mem(inst, operands);
                self.code.load_swapped(size, self.reg(operands.dst), mem);
            }
            Op::Store(size) => {
                let mem = self.mem(inst, operands);
                self.code.store(size, mem, self.reg(operands.a));
            }
            Op::StoreSwapped(size) => {
                let mem = self.mem(inst, operands);
                self.code.store_swapped(size, mem, self.reg(operands.a));
            }
            Op::StoreImm(size) => {
                let mem = self.mem(inst, operands);
                self.code.store_imm(size, mem, inst.imm);
            }
            Op::Alu(op) => self.alu(inst, op, operands),
            Op::AluImm(op) => self.alu_imm(inst, op, operands),
            Op::AluMem(op) => {
                let dst = self.replace(width, operands);
                let mem = self.mem(inst, operands);
                self.code.alu(op, width, dst, Rm::Mem(mem));
            }
            Op::MemAlu(op, size) => {
                let mem = self.mem(inst, operands);
                self.code.alu_to(op, size, mem, self.reg(operands.a));
            }
            Op::MemAluImm(op, size) => {
                let mem = self.mem(inst, operands);
                self.code.alu_imm(op, size, Rm::Mem(mem), inst.imm);
            }
            Op::Mul => {
                let (dst, other) = self.replace_either(width, operands);
                self.code.imul(width, dst, other);
            }
            Op::MulMem => {
                let dst = self.replace(width, operands);
                let mem = self.mem(inst, operands);
                self.code.imul(width, dst, Rm::Mem(mem));
            }
            Op::MulImm => {
                let rm = self.rm(operands.a);
                self.code.imul_imm(width, self.reg(operands.dst), rm, inst.imm);
            }
            Op::MulMemImm => {
                let mem = self.mem(inst, operands);
                self.code.imul_imm(width, self.reg(operands.dst), Rm::Mem(mem), inst.imm);
            }
            Op::MulHighFrom => {
                let rm = self.rm(operands.a);
                self.code.mul_high(self.reg(operands.dst), rm);
            }
            Op::MulHigh => {
                let rm = self.rm(operands.a);
                self.code.unary(Unary::Mul, Width::W64, rm);
            }
            Op::ShiftImm(op) => self.shift_imm(inst, op, operands),
            Op::ShiftCl(op) => {
                let dst = self.replace(width, operands);
                self.code.shift_cl(op, width, Rm::Reg(dst));
            }
            Op::ShiftBy(op) => {
                let rm = self.rm(operands.a);
                self.code.shift_by(op, width, self.reg(operands.dst), rm, self.reg(operands.b));
            }
            Op::Unary(op) => {
                let dst = self.replace(width, operands);
                self.code.unary(op, width, Rm::Reg(dst));
            }
            Op::Swap => {
                let dst = self.replace(width, operands);
                self.code.bswap(width, dst);
            }
            Op::SwapWord => {
                let dst = self.replace(width, operands);
                self.code.rotate_word(dst);
            }
            Op::Widen(how) => {
                let rm = self.rm(operands.a);
                self.code.widen(how, self.reg(operands.dst), rm);
            }
            Op::AndNot => {
                let rm = self.rm(operands.b);
                self.code.and_not(width, self.reg(operands.dst), self.reg(operands.a), rm);
            }
            Op::Cmp => {
                let rm = self.rm(operands.b);
                self.code.alu(Alu::Cmp, width, self.reg(operands.a), rm);
            }
            Op::CmpImm => {
                let rm = self.rm(operands.a);
                self.code.alu_imm(Alu::Cmp, size_of(width), rm, inst.imm);
            }
            Op::CmpByte => self.code.alu_imm(Alu::Cmp, Size::B, Rm::Reg(self.reg(operands.a)), inst.imm),
            Op::CmpMem => {
                let mem = self.mem(inst, operands);
                self.code.alu(Alu::Cmp, width, self.reg(operands.a), Rm::Mem(mem));
            }
            Op::MemCmp => {
                let mem = self.mem(inst, operands);
                self.code.alu_to(Alu::Cmp, size_of(width), mem, self.reg(operands.a));
            }
            Op::MemCmpImm(size) => {
                let mem = self.mem(inst, operands);
                self.code.alu_imm(Alu::Cmp, size, Rm::Mem(mem), inst.imm);
            }
            Op::Test => match self.rm(operands.a) {
                // In the frame it is compared with itself; in a register, too, but for that.
                Rm::Mem(mem) if inst.a == inst.b => {
                    self.code.alu_imm(Alu::Cmp, size_of(width), Rm::Mem(mem), 0);
                }
                rm => self.code.test(width, rm, self.reg(operands.b)),
            },
            Op::TestImm(size) => self.code.test_imm(size, Rm::Reg(self.reg(operands.a)), inst.imm),
            Op::TestMem => {
                let mem = self.mem(inst, operands);
                self.code.test(width, Rm::Mem(mem), self.reg(operands.a));
            }
            Op::MemTestImm(size) => {
                let mem = self.mem(inst, operands);
                self.code.test_imm(size, Rm::Mem(mem), inst.imm);
            }
            Op::Bit => self.code.bt(width, self.reg(operands.a), self.reg(operands.b)),
            Op::BitImm => self.code.bt_imm(width, self.reg(operands.a), inst.imm as u8),
            Op::Set(flag) => {
                let dst = self.replace(Width::W32, operands);
                self.code.set(flag, dst);
            }
            Op::Cmov(flag) => self.cmov(flag, inst.imm != 0, operands),
            Op::CmovMem(flag) => {
                let dst = self.replace(Width::W64, operands);
                let mem = self.mem(inst, operands);
                self.choose(flag, inst.imm != 0, dst, Rm::Mem(mem));
            }
            Op::Divide { op, known } => self.divide(op, known, width, operands.b),
            Op::Locate => self.locate(inst, operands),
            Op::Charge => self.charge(inst, operands),
            Op::Call => self.call(),
            Op::CallPlain => {
                self.code.mov_imm(reg::RAX, inst.as_number());
                self.code.call(Rm::Reg(reg::RAX));
            }
            Op::Atomic(op, size) => self.atomic(op, size, inst, operands),
            Op::Clear => {
                let mem = self.mem(inst, operands);
                self.clear(mem, inst.imm as u32);
            }
            Op::Fill => self.code.fill(),
            Op::Bulk => {
                let mut asm = bulk::Assembler::new(0);
                bulk::bulk(&mut asm, self.body.bulks[inst.imm as usize], self.target.features);
                // Its labels are its own, and all are placed.
                let bytes = asm.finalize().expect("all labels are placed and all jumps reach");
                self.code.bytes.extend_from_slice(&bytes);
            }
            Op::Lookup => self.look_up(inst.imm as usize),
            Op::Jump | Op::Branch(_) | Op::Return | Op::Unreachable => unreachable!("it ends a segment"),
        }
    }

    /// Nobody comes here; if somebody did, it would not go on.
    pub(super) fn nobody(&mut self) {
        self.code.bytes.extend_from_slice(&[0x0f, 0x0b]);
    }

    fn copy(&mut self, dst: u8, from: Home) {
        if from != Home::Register(dst) {
            self.transfer(from, Home::Register(dst));
        }
    }

    /// Makes the result's register hold `a`.
    pub(super) fn replace(&mut self, width: Width, operands: &Operands) -> u8 {
        let dst = self.reg(operands.dst);
        match operands.a {
            Home::Register(from) if from != dst => self.code.mov(width, dst, from),
            Home::Register(_) => {}
            other => self.transfer(other, Home::Register(dst)),
        }
        dst
    }

    /// Makes the result's register hold `a` or `b`, whichever is there, and says where the other is.
    fn replace_either(&mut self, width: Width, operands: &Operands) -> (u8, Rm) {
        if operands.b == operands.dst && operands.a != operands.dst {
            let turned = Operands { a: operands.b, b: operands.a, ..*operands };
            return self.replace_either(width, &turned);
        }
        let dst = self.replace(width, operands);
        // A square has one operand, wherever it was.
        let other = if operands.a == operands.b { Rm::Reg(dst) } else { self.rm(operands.b) };
        (dst, other)
    }

    fn number(&mut self, inst: &Inst, dst: Home, clobbers: bool) {
        let Home::Register(dst) = dst else { return };
        match inst.as_number() {
            0 if clobbers => self.code.zero(dst),
            number => self.code.mov_imm(dst, number),
        }
    }

    fn lea(&mut self, inst: &Inst, operands: &Operands) {
        let mem = self.mem(inst, operands);
        let dst = self.reg(operands.dst);
        match mem {
            Mem { base: Some(base), index: None, disp: 0 } if inst.width == Width::W64 => {
                self.copy(dst, Home::Register(base));
            }
            Mem { base: Some(base), index: Some((index, 0)), disp: 0 } if base == dst && index != dst => {
                self.code.alu(Alu::Add, inst.width, dst, Rm::Reg(index));
            }
            Mem { base: Some(base), index: Some((index, 0)), disp: 0 } if index == dst && base != dst => {
                self.code.alu(Alu::Add, inst.width, dst, Rm::Reg(base));
            }
            // Without a base the displacement has four bytes.
            Mem { base: None, index: Some((index, 1)), disp } => {
                let sum = Mem { base: Some(index), index: Some((index, 0)), disp };
                self.code.lea(inst.width, dst, sum);
            }
            mem => self.code.lea(inst.width, dst, mem),
        }
    }

    fn alu(&mut self, inst: &Inst, op: Alu, operands: &Operands) {
        let width = inst.width;
        let dst = self.reg(operands.dst);
        if op == Alu::Add
            && !inst.flags
            && let (Home::Register(a), Home::Register(b)) = (operands.a, operands.b)
            && a != dst
            && b != dst
        {
            return self.code.lea(width, dst, Mem { base: Some(a), index: Some((b, 0)), disp: 0 });
        }
        let (dst, other) = match op {
            Alu::Sub => {
                let dst = self.replace(width, operands);
                (dst, self.rm(operands.b))
            }
            _ => self.replace_either(width, operands),
        };
        self.code.alu(op, width, dst, other);
    }

    fn alu_imm(&mut self, inst: &Inst, op: Alu, operands: &Operands) {
        let width = inst.width;
        if op == Alu::Add
            && !inst.flags
            && let Home::Register(a) = operands.a
            && operands.dst != operands.a
        {
            let sum = Mem { base: Some(a), index: None, disp: inst.imm };
            return self.code.lea(width, self.reg(operands.dst), sum);
        }
        let dst = self.replace(width, operands);
        let (op, imm) = match (op, inst.imm) {
            // One byte less.
            (Alu::Add, 128) => (Alu::Sub, -128),
            other => other,
        };
        self.code.alu_imm(op, size_of(width), Rm::Reg(dst), imm);
    }

    fn shift_imm(&mut self, inst: &Inst, op: Shift, operands: &Operands) {
        let (width, count) = (inst.width, inst.imm as u8);
        let dst = self.reg(operands.dst);
        if operands.a != operands.dst {
            match (op, operands.a) {
                (Shift::Rol, a) if self.target.features.bmi2 => {
                    let bits = if width == Width::W64 { 64 } else { 32 };
                    let rm = self.rm(a);
                    return self.code.rotate_right(width, dst, rm, bits - count);
                }
                (Shift::Shl, Home::Register(a)) if count == 1 => {
                    return self.code.lea(width, dst, Mem { base: Some(a), index: Some((a, 0)), disp: 0 });
                }
                _ => {}
            }
        }
        self.replace(width, operands);
        if op == Shift::Shl && count == 1 {
            return self.code.alu(Alu::Add, width, dst, Rm::Reg(dst));
        }
        self.code.shift_imm(op, width, Rm::Reg(dst), count);
    }

    /// ```text
    /// test b, b ; jz odd                 ; lea rdx, [b + 1] ; cmp rdx, 1 ; jbe odd
    /// mov rdx, rax ; or rdx, b ; shr rdx, 32 ; jz short
    /// xor edx, edx ; div b
    /// ```
    fn divide(&mut self, op: BinOp, known: Divisor, width: Width, divisor: Home) {
        let signed = matches!(op, BinOp::Sdiv | BinOp::Smod);
        let b = self.rm(divisor);
        let done = self.jumps.label();
        if known == Divisor::Any {
            let here = self.jumps.label();
            if signed {
                match b {
                    Rm::Reg(b) => self.code.lea(width, reg::RDX, Mem { base: Some(b), index: None, disp: 1 }),
                    mem => {
                        self.code.widen(Widen::Zero(size_of(width)), reg::RDX, mem);
                        self.code.alu_imm(Alu::Add, size_of(width), Rm::Reg(reg::RDX), 1);
                    }
                }
                self.code.alu_imm(Alu::Cmp, size_of(width), Rm::Reg(reg::RDX), 1);
                self.jump(Some(Flag::BelowEqual), here);
            } else {
                match b {
                    Rm::Reg(b) => self.code.test(width, Rm::Reg(b), b),
                    mem => self.code.alu_imm(Alu::Cmp, size_of(width), mem, 0),
                }
                self.jump(Some(Flag::Equal), here);
            }
            self.cold.push(Cold::Divide { here, back: done, op, width, divisor });
        }
        if signed {
            self.code.sign_to_rdx(width);
            self.code.unary(Unary::Idiv, width, b);
        } else {
            if width == Width::W64 {
                // Division of short numbers is faster on many processors.
                let long = self.jumps.label();
                self.code.mov(Width::W64, reg::RDX, reg::RAX);
                self.code.alu(Alu::Or, Width::W64, reg::RDX, b);
                self.code.shift_imm(Shift::Shr, Width::W64, Rm::Reg(reg::RDX), 32);
                self.jump(Some(Flag::NotEqual), long);
                self.code.unary(Unary::Div, Width::W32, b);
                self.jump(None, done);
                self.jumps.put(long, &self.code.bytes);
            }
            self.code.zero(reg::RDX);
            self.code.unary(Unary::Div, width, b);
        }
        self.jumps.put(done, &self.code.bytes);
    }

    /// ```text
    /// sub budget, cost ; jb out
    /// ```
    fn charge(&mut self, inst: &Inst, operands: &Operands) {
        let here = self.jumps.label();
        let budget = self.budget(inst.a.is_some().then_some(operands.a), operands.base);
        let cost = if inst.b.is_some() {
            match budget {
                Rm::Reg(budget) => {
                    let cost = self.rm(operands.b);
                    self.code.alu(Alu::Sub, Width::W64, budget, cost);
                }
                Rm::Mem(mem) => {
                    let cost = self.reg(operands.b);
                    self.code.alu_to(Alu::Sub, Size::DW, mem, cost);
                }
            }
            Cost::Place(operands.b)
        } else {
            self.code.alu_imm(Alu::Sub, Size::DW, budget, inst.imm);
            Cost::Imm(inst.imm)
        };
        self.jump(Some(Flag::Below), here);
        let env = (inst.base != Var::NONE).then_some(operands.base);
        let budget = inst.a.is_some().then_some(operands.a);
        self.cold.push(Cold::Budget { here, cost, budget, env, site: inst.disp as u32 });
    }

    /// The budget as an operand: if it is not in a place of its own, it is in the environment.
    pub(super) fn budget(&self, place: Option<Home>, env: Home) -> Rm {
        match place {
            Some(home) => self.rm(home),
            None => {
                let disp = offset_of!(Env, budget) as i32;
                Rm::Mem(Mem { base: Some(self.reg(env)), index: None, disp })
            }
        }
    }

    /// The arguments are in registers, the first is the environment.
    fn call(&mut self) {
        let call = offset_of!(Env, call) as i32;
        self.code.call(Rm::Mem(Mem { base: Some(reg::RDI), index: None, disp: call }));
        self.code.test(Width::W64, Rm::Reg(reg::RDX), reg::RDX);
        let here = self.jumps.label();
        self.jump(Some(Flag::NotEqual), here);
        self.cold.push(Cold::Leave { here });
    }

    fn atomic(&mut self, op: AtomicOp, size: Size, inst: &Inst, operands: &Operands) {
        let mem = self.mem(inst, operands);
        let width = if size == Size::DW { Width::W64 } else { Width::W32 };
        let alu = match op {
            AtomicOp::Add | AtomicOp::FetchAdd => Alu::Add,
            AtomicOp::And | AtomicOp::FetchAnd => Alu::And,
            AtomicOp::Or | AtomicOp::FetchOr => Alu::Or,
            _ => Alu::Xor,
        };
        match op {
            AtomicOp::Add | AtomicOp::And | AtomicOp::Or | AtomicOp::Xor => {
                self.code.lock();
                self.code.alu_to(alu, size, mem, self.reg(operands.a));
            }
            AtomicOp::FetchAdd => {
                let dst = self.replace(width, operands);
                self.code.lock();
                self.code.exchange_add(size, mem, dst);
            }
            AtomicOp::Xchg => {
                let dst = self.replace(width, operands);
                self.code.exchange(size, mem, dst);
            }
            AtomicOp::Cmpxchg => {
                self.code.lock();
                self.code.compare_exchange(size, mem, self.reg(operands.a));
            }
            AtomicOp::FetchAnd | AtomicOp::FetchOr | AtomicOp::FetchXor => {
                let (scratch, operand) = (self.reg(operands.dst), self.reg(operands.a));
                let again = self.jumps.label();
                self.code.widen(Widen::Zero(size), reg::RAX, Rm::Mem(mem));
                self.jumps.put(again, &self.code.bytes);
                self.code.mov(width, scratch, reg::RAX);
                self.code.alu(alu, width, scratch, Rm::Reg(operand));
                self.code.lock();
                self.code.compare_exchange(size, mem, scratch);
                self.jump(Some(Flag::NotEqual), again);
            }
            AtomicOp::LoadAcquire | AtomicOp::StoreRelease => unreachable!("they are plain accesses here"),
        }
    }

    /// Zero bytes: as few stores as possible, the last over the one before.
    fn clear(&mut self, mem: Mem, bytes: u32) {
        let at = |off: u32| Mem { disp: mem.disp.wrapping_add(off as i32), ..mem };
        if bytes >= 16 {
            self.code.vector_zero();
            let mut off = 0;
            while off + 16 <= bytes {
                self.code.vector_store(at(off));
                off += 16;
            }
            if off < bytes {
                self.code.vector_store(at(bytes - 16));
            }
            return;
        }
        let mut off = 0;
        for size in [Size::DW, Size::W, Size::H, Size::B] {
            while off + u32::from(size.bytes()) <= bytes {
                self.code.store_imm(size, at(off), 0);
                off += u32::from(size.bytes());
            }
        }
    }
}

fn size_of(width: Width) -> Size {
    match width {
        Width::W32 => Size::W,
        Width::W64 => Size::DW,
    }
}
