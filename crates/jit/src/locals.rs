//! What registers hold, as far as the text around tells: numbers, and places in the frame.
//!
//! Programs say which map they mean and where the key is right before they call. This follows them from one instruction to the
//! next, and forgets everything where paths meet.

use sandbpf_isa::{AluOp, Imm64, Insn, Operand, Pc, Program, Reg, Width};

/// What a register holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Value {
    /// Something.
    #[default]
    Unknown,
    /// This number.
    Number(u64),
    /// The frame pointer and this.
    Frame(i32),
}

/// What all registers hold.
#[derive(Debug)]
pub(crate) struct Locals {
    values: [Value; Reg::COUNT],
    /// The instructions that something jumps to.
    joins: Box<[bool]>,
}

impl Locals {
    /// Nothing is known yet.
    pub(crate) fn new(program: &Program) -> Locals {
        let mut joins = vec![false; program.len()];
        for insn in program.insns() {
            if let Some(to) = insn.target() {
                joins[to.index()] = true;
            }
        }
        for function in program.functions() {
            joins[function.entry.index()] = true;
        }
        Locals { values: [Value::Unknown; Reg::COUNT], joins: joins.into() }
    }

    /// What a register holds.
    pub(crate) fn get(&self, reg: Reg) -> Value {
        match reg {
            Reg::R10 => Value::Frame(0),
            reg => self.values[reg.index()],
        }
    }

    /// Control comes to this instruction.
    pub(crate) fn enter(&mut self, pc: Pc) {
        if self.joins[pc.index()] {
            self.values = [Value::Unknown; Reg::COUNT];
        }
    }

    /// This instruction was done.
    pub(crate) fn step(&mut self, insn: &Insn) {
        let known = match *insn {
            Insn::LoadImm { dst, value: Imm64::Number(number) } => Some((dst, Value::Number(number))),
            Insn::Alu { op: AluOp::Mov, width: Width::W64, dst, src } => Some((dst, self.operand(src))),
            Insn::Alu { op: AluOp::Add, width: Width::W64, dst, src: Operand::Imm(imm) } => {
                Some((dst, self.get(dst).plus(imm)))
            }
            _ => None,
        };
        for reg in insn.writes().iter() {
            self.values[reg.index()] = Value::Unknown;
        }
        if let Some((dst, value)) = known {
            self.values[dst.index()] = value;
        }
    }

    fn operand(&self, src: Operand) -> Value {
        match src {
            Operand::Reg(src) => self.get(src),
            Operand::Imm(imm) => Value::Number(imm as u64),
        }
    }
}

impl Value {
    fn plus(self, more: i32) -> Value {
        match self {
            Value::Unknown => Value::Unknown,
            Value::Number(number) => Value::Number(number.wrapping_add(more as u64)),
            Value::Frame(off) => off.checked_add(more).map_or(Value::Unknown, Value::Frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_places_are_followed() {
        let text = "r1 = 0x50001000 ll\nr2 = r10\nr2 += -8\nr3 = 5\nif r3 == 0 goto join\nr3 += -7\nr4 = *(u64 *)(r2 + 0)
            join: r0 = 0\nexit";
        let program = sandbpf_isa::parse(text).unwrap();
        let mut locals = Locals::new(&program);
        let mut seen = Vec::new();
        for (pc, insn) in (0..).map(Pc).zip(program.insns()) {
            locals.enter(pc);
            seen.push([Reg::R1, Reg::R2, Reg::R3, Reg::R4].map(|reg| locals.get(reg)));
            locals.step(insn);
        }
        use Value::{Frame, Number, Unknown};
        assert_eq!(seen[6], [Number(0x5000_1000), Frame(-8), Number(-2i64 as u64), Unknown]);
        assert_eq!(seen[7], [Unknown; 4]);
        assert_eq!(locals.get(Reg::R10), Frame(0));
    }
}
