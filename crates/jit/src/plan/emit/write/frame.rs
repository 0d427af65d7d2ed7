//! The frame: registers that are kept for the caller, words for variables, the stack region of a run without a machine.

use sandbpf_isa::Width;

use super::super::allocate::Allocation;
use super::super::inst::{Body, Inst, Op, Var};
use super::super::machine::{Alu, Mem, Rm, reg};
use super::Writer;
use crate::plan::graph::Graph;

/// What a function may use below its stack pointer (System V ABI, 3.2.2), if it calls nobody.
const RED_ZONE: u32 = 128;

/// Where things are in relation to the stack pointer.
#[derive(Debug)]
pub(super) struct Frame {
    /// How far the stack pointer is moved.
    size: u32,
    /// Where the words begin.
    words: i32,
    /// Where the stack region begins; of it only what is addressed is there.
    pub(super) stack: i32,
    /// Registers that are kept for the caller.
    kept: Vec<u8>,
}

impl Frame {
    pub(super) fn of(graph: &Graph, body: &Body, allocation: &Allocation) -> Frame {
        let kept: Vec<u8> =
            reg::KEPT.into_iter().filter(|&register| allocation.used >> register & 1 == 1).collect();
        let (low, high) = addressed(graph, body);
        let words = 8 * allocation.words;
        let total = words + (high - low);
        if body.calls {
            // Functions want the stack pointer at a multiple of 16; the return address is above.
            let above = 8 + 8 * kept.len() as u32;
            let size = (above + total).next_multiple_of(16) - above;
            return Frame { size, words: 0, stack: words as i32 - low as i32, kept };
        }
        let below = if total <= RED_ZONE { -(total as i32) } else { 0 };
        let size = if total <= RED_ZONE { 0 } else { total };
        Frame { size, words: below, stack: below + words as i32 - low as i32, kept }
    }

    /// Whether nothing has to be given back.
    pub(super) fn is_none(&self) -> bool {
        self.size == 0 && self.kept.is_empty()
    }

    /// A word of the frame.
    pub(super) fn slot(&self, number: u32) -> Mem {
        Mem { base: Some(reg::RSP), index: None, disp: self.words + 8 * number as i32 }
    }
}

/// The part of the stack region that instructions address: multiples of 8.
fn addressed(graph: &Graph, body: &Body) -> (u32, u32) {
    let whole = (0, graph.stack.next_multiple_of(8));
    let (mut low, mut high) = (whole.1, 0);
    if graph.machine {
        return (0, 0);
    }
    for inst in &body.insts {
        if let Op::Locate = inst.op
            && body.locates[inst.imm as usize].stack > 0
        {
            return whole;
        }
        if inst.base != Var::STACK {
            continue;
        }
        let Some((from, to)) = touched(inst) else { return whole };
        (low, high) = (low.min(from & !7), high.max(to.next_multiple_of(8)));
    }
    if low < high { (low, high.min(whole.1 + 8)) } else { (0, 0) }
}

/// The bytes of the stack region that an instruction touches, at most, if that is known.
fn touched(inst: &Inst) -> Option<(u32, u32)> {
    if inst.index.is_some() || inst.op == Op::Lea {
        return None;
    }
    let from = u32::try_from(inst.disp).ok()?;
    let size = if inst.op == Op::Clear { inst.imm as u32 } else { 8 };
    Some((from, from.checked_add(size)?))
}

impl Writer<'_> {
    pub(super) fn enter(&mut self) {
        for at in 0..self.frame.kept.len() {
            self.code.push(self.frame.kept[at]);
        }
        if self.frame.size > 0 {
            let down = -(self.frame.size as i32);
            self.move_stack(down);
        }
    }

    /// Moves the stack pointer.
    pub(super) fn move_stack(&mut self, by: i32) {
        let size = sandbpf_isa::Size::DW;
        // -128 is shorter than 128.
        match by {
            ..0 if by != -128 => self.code.alu_imm(Alu::Sub, size, Rm::Reg(reg::RSP), -by),
            128 => self.code.alu_imm(Alu::Sub, size, Rm::Reg(reg::RSP), -128),
            _ => self.code.alu_imm(Alu::Add, size, Rm::Reg(reg::RSP), by),
        }
    }

    /// Gives back what was taken, and returns.
    pub(super) fn leave_here(&mut self) {
        if self.frame.size > 0 {
            self.move_stack(self.frame.size as i32);
        }
        for at in (0..self.frame.kept.len()).rev() {
            self.code.pop(self.frame.kept[at]);
        }
        self.code.ret();
    }

    /// Ends the run, with rax and rdx as they are.
    pub(super) fn leave(&mut self) {
        let long = self.frame.kept.len() + usize::from(self.frame.size > 0) > 2;
        if long {
            self.left = true;
            self.jump(None, self.leave);
        } else {
            self.leave_here();
        }
    }

    /// Ends the run with the answer in rax.
    pub(super) fn answer(&mut self) {
        self.code.alu(Alu::Xor, Width::W32, reg::RDX, Rm::Reg(reg::RDX));
        self.leave();
    }
}
