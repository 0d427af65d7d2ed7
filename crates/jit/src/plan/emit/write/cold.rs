//! What seldom happens, behind everything else.

use core::mem::offset_of;

use sandbpf_isa::{Size, Width};

use super::super::allocate::moves::Home;
use super::super::env::Env;
use super::super::inst::Way;
use super::super::machine::{Alu, Mem, Rm, reg};
use super::super::relax::Label;
use super::Writer;
use super::locate::Elsewhere;
use super::lookup::Otherwise;
use crate::plan::graph::BinOp;

/// A piece of code that waits for the end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cold {
    /// The budget is used up.
    Budget { here: Label, cost: Cost, budget: Option<Home>, env: Option<Home>, site: u32 },
    /// An address is elsewhere.
    Elsewhere(Elsewhere),
    /// A divisor is 0, or -1 where that needs care.
    Divide { here: Label, back: Label, op: BinOp, width: Width, divisor: Home },
    /// A key is not where it was looked for first.
    Otherwise(Otherwise),
    /// A call did not come back.
    Leave { here: Label },
    /// A segment goes this way to the end of the run, with what it brings there.
    Edge { here: Label, from: usize, number: u8, way: Way },
}

/// What a jump costs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cost {
    Imm(i32),
    Place(Home),
}

impl Writer<'_> {
    /// Writes all that waits.
    pub(super) fn cold(&mut self) {
        for cold in std::mem::take(&mut self.cold) {
            match cold {
                Cold::Budget { here, cost, budget, env, site } => {
                    self.jumps.put(here, &self.code.bytes);
                    self.out_of_budget(cost, budget, env, site);
                }
                Cold::Elsewhere(elsewhere) => self.elsewhere(elsewhere),
                Cold::Otherwise(otherwise) => self.otherwise(otherwise),
                Cold::Divide { here, back, op, width, divisor } => {
                    self.jumps.put(here, &self.code.bytes);
                    self.odd_division(op, width, divisor, back);
                }
                Cold::Leave { here } => {
                    self.jumps.put(here, &self.code.bytes);
                    self.leave();
                }
                Cold::Edge { here, from, number, way } => {
                    self.jumps.put(here, &self.code.bytes);
                    let moves = self.on_edge(from as u32, number == 1);
                    self.edge(from, moves, way);
                    self.go(way);
                }
            }
        }
    }

    fn out_of_budget(&mut self, cost: Cost, budget: Option<Home>, env: Option<Home>, site: u32) {
        if let Some(env) = env {
            // A charge that cannot be paid is not taken.
            match (cost, self.budget(budget, env)) {
                (Cost::Imm(cost), rm) => self.code.alu_imm(Alu::Add, Size::DW, rm, cost),
                (Cost::Place(cost), Rm::Reg(budget)) => {
                    let cost = self.rm(cost);
                    self.code.alu(Alu::Add, Width::W64, budget, cost);
                }
                (Cost::Place(cost), Rm::Mem(mem)) => {
                    let cost = self.reg(cost);
                    self.code.alu_to(Alu::Add, Size::DW, mem, cost);
                }
            }
            if let Some(budget) = budget {
                let scratch = if budget == Home::Register(reg::RAX) { reg::RDX } else { reg::RAX };
                self.settle(env, budget, scratch);
            }
        }
        self.code.zero(reg::RAX);
        self.trap(site);
    }

    /// Leaves the budget in the environment; may change `scratch`, which neither of both is.
    pub(super) fn settle(&mut self, env: Home, budget: Home, scratch: u8) {
        let env = match env {
            Home::Register(register) => register,
            _ => {
                self.transfer(env, Home::Register(scratch));
                scratch
            }
        };
        let at = Mem { base: Some(env), index: None, disp: offset_of!(Env, budget) as i32 };
        match self.rm(budget) {
            Rm::Reg(budget) => self.code.store(Size::DW, at, budget),
            Rm::Mem(mem) => {
                self.code.vector_load8(0, mem);
                self.code.vector_store8(0, at);
            }
        }
    }

    /// Ends the run with a trap, whose address is in rax.
    pub(super) fn trap(&mut self, site: u32) {
        self.code.mov_imm(reg::RDX, u64::from(site) + 1);
        self.leave();
    }

    /// Division by 0, and by -1 if numbers have signs: rax is what is divided.
    fn odd_division(&mut self, op: BinOp, width: Width, divisor: Home, back: Label) {
        let done = |this: &mut Self| this.jump(None, back);
        if matches!(op, BinOp::Sdiv | BinOp::Smod) {
            let zero = self.jumps.label();
            let rm = self.rm(divisor);
            let size = if width == Width::W64 { Size::DW } else { Size::W };
            self.code.alu_imm(Alu::Cmp, size, rm, 0);
            self.jump(Some(super::Flag::Equal), zero);
            if op == BinOp::Sdiv {
                self.code.unary(super::super::machine::Unary::Neg, width, Rm::Reg(reg::RAX));
            } else {
                self.code.zero(reg::RDX);
            }
            done(self);
            self.jumps.put(zero, &self.code.bytes);
        }
        if matches!(op, BinOp::Div | BinOp::Sdiv) {
            self.code.zero(reg::RAX);
        } else {
            self.code.mov(width, reg::RDX, reg::RAX);
        }
        done(self);
    }
}
