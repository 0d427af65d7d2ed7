//! Registers that instructions want by name, and when.
//!
//! Between the instruction that puts something into such a register and the last that reads it, nothing else may be there.

use sandbpf_isa::AtomicOp;

use super::super::inst::{Body, Inst, Op};
use super::super::machine::reg;
use super::live::Range;

/// For every register, when it is wanted, in order.
pub(crate) type Reserved = [Vec<Range>; 16];

struct Finder<'b> {
    body: &'b Body,
    reserved: Reserved,
    /// Since when registers hold something for a later instruction.
    held: [u32; 16],
}

pub(crate) fn find(body: &Body) -> Reserved {
    let mut finder = Finder { body, reserved: Default::default(), held: [0; 16] };
    for (index, inst) in body.insts.iter().enumerate() {
        finder.inst(inst, 2 * index as u32);
    }
    finder.reserved
}

impl Finder<'_> {
    #[inline]
    fn inst(&mut self, inst: &Inst, at: u32) {
        for var in [inst.a, inst.b, inst.base] {
            if let Some(register) = var.as_real() {
                self.release(register, at + 1);
            }
        }
        self.fixed(inst, at);
        if let Some(register) = inst.dst.as_real() {
            self.held[usize::from(register)] = at + 1;
        }
    }

    /// Registers that an instruction wants or changes without saying so in its operands.
    fn fixed(&mut self, inst: &Inst, at: u32) {
        match inst.op {
            Op::Divide { .. } => {
                for register in [reg::RAX, reg::RDX] {
                    self.reserve(register, at, at + 2);
                    self.held[usize::from(register)] = at + 1;
                }
            }
            Op::MulHigh => {
                self.release(reg::RAX, at + 1);
                for register in [reg::RAX, reg::RDX] {
                    self.reserve(register, at, at + 2);
                    self.held[usize::from(register)] = at + 1;
                }
            }
            // The result may not replace the count.
            Op::ShiftCl(_) => self.reserve(reg::RCX, at, at + 2),
            Op::Atomic(op, _) if compares(op) => {
                if op == AtomicOp::Cmpxchg {
                    self.release(reg::RAX, at + 1);
                }
                self.reserve(reg::RAX, at, at + 2);
                self.held[usize::from(reg::RAX)] = at + 1;
            }
            Op::Call => self.call(&reg::ARGUMENTS, at),
            Op::CallPlain => self.call(&reg::PLAIN_ARGUMENTS, at),
            Op::Bulk => self.call(self.body.bulks[inst.imm as usize].arguments(), at),
            Op::Lookup => {
                let words = self.body.lookups[inst.imm as usize].words;
                self.call(if words == 2 { &[reg::R8, reg::R9] } else { &[reg::R8] }, at);
            }
            Op::Fill => {
                for register in [reg::RAX, reg::RCX, reg::RDI] {
                    self.release(register, at + 1);
                    self.reserve(register, at, at + 2);
                }
            }
            _ => {}
        }
    }

    /// An instruction that takes arguments in registers and may change all that functions may change.
    fn call(&mut self, arguments: &[u8], at: u32) {
        for &register in arguments {
            self.release(register, at + 1);
        }
        for register in reg::CHANGED {
            self.reserve(register, at, at + 2);
        }
        self.held[usize::from(reg::RAX)] = at + 1;
    }

    /// A register that was held is read for the last time, or again.
    fn release(&mut self, register: u8, to: u32) {
        let from = self.held[usize::from(register)];
        self.reserve(register, from, to);
    }

    fn reserve(&mut self, register: u8, from: u32, to: u32) {
        if register == reg::RSP {
            return;
        }
        let reserved = &mut self.reserved[usize::from(register)];
        match reserved.last_mut() {
            Some(last) if last.to >= from => {
                last.from = last.from.min(from);
                last.to = last.to.max(to);
            }
            _ => reserved.push(Range { from, to }),
        }
    }
}

/// Whether an atomic operation needs `rax`.
fn compares(op: AtomicOp) -> bool {
    use AtomicOp::*;
    matches!(op, FetchOr | FetchAnd | FetchXor | Cmpxchg)
}
