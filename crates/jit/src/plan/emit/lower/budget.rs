//! The budget: in a register, or, if calls look at it all the time, in the environment.
//!
//! ```text
//! sub rcx, cost ; jb out            sub qword [env + budget], cost ; jb out
//! ```

use sandbpf_isa::{Size, Width};

use super::super::inst::{Inst, Kind, Op, Place, Var};
use super::super::machine::{Alu, Widen};
use super::Lower;
use super::entry::field;
use crate::plan::graph::{Site, Value};

impl Lower<'_> {
    /// The variable that it is in.
    pub(super) fn budget(&mut self) -> Var {
        if self.entry.budget == Var::NONE {
            self.entry.budget = self.fresh(Kind::Budget);
        }
        self.entry.budget
    }

    /// The same, if it is not in the environment.
    pub(super) fn own_budget(&mut self) -> Var {
        if self.entry.in_memory { Var::NONE } else { self.budget() }
    }

    /// The environment, if a run that ends must leave its budget there.
    pub(super) fn settling(&mut self) -> Var {
        if self.entry.machine { self.env() } else { Var::NONE }
    }

    fn place_of_budget(&mut self) -> Place {
        Place::off(self.env(), field::BUDGET)
    }

    /// What is left of it.
    pub(super) fn left(&mut self, dst: Var) {
        if self.entry.in_memory {
            let at = self.place_of_budget();
            return self.push(Inst::new(Op::Load(Widen::Zero(Size::DW)), Width::W64).dst(dst).at(at));
        }
        let budget = self.budget();
        self.push(Inst::new(Op::Copy, Width::W64).dst(dst).a(budget));
    }

    pub(super) fn charge(&mut self, cost: u32, site: Site) {
        let (budget, base) = (self.own_budget(), self.settling());
        let inst = Inst { disp: site.0 as i32, base, ..Inst::new(Op::Charge, Width::W64) };
        let inst = inst.dst(budget).a(budget);
        match i32::try_from(cost) {
            Ok(imm) => self.push(inst.imm(imm)),
            Err(_) => {
                let cost = self.constant(cost.into());
                self.push(inst.b(cost));
            }
        }
    }

    /// Takes from it what was found to be there.
    pub(super) fn spend(&mut self, amount: Value) {
        let imm = self.imm(amount, Width::W64);
        if self.entry.in_memory {
            let at = self.place_of_budget();
            return match imm {
                Some(imm) => {
                    let inst = Inst::new(Op::MemAluImm(Alu::Sub, Size::DW), Width::W64);
                    self.push(inst.imm(imm).at(at));
                }
                None => {
                    let amount = self.var(amount);
                    self.push(Inst::new(Op::MemAlu(Alu::Sub, Size::DW), Width::W64).a(amount).at(at));
                }
            };
        }
        let budget = self.budget();
        match imm {
            Some(imm) => {
                self.push(Inst::new(Op::AluImm(Alu::Sub), Width::W64).dst(budget).a(budget).imm(imm));
            }
            None => {
                let amount = self.var(amount);
                self.push(Inst::new(Op::Alu(Alu::Sub), Width::W64).dst(budget).a(budget).b(amount));
            }
        }
    }

    /// Leaves it where the host finds it.
    pub(super) fn settle(&mut self) {
        if self.entry.machine && !self.entry.in_memory {
            let (budget, at) = (self.budget(), self.place_of_budget());
            self.push(Inst::new(Op::Store(Size::DW), Width::W64).a(budget).at(at));
        }
    }

    /// A call looks at it and changes it: before it, it is in the environment, and behind it where it was.
    pub(super) fn around_call(&mut self, call: impl FnOnce(&mut Self)) {
        if self.entry.in_memory {
            return call(self);
        }
        let (budget, at) = (self.budget(), self.place_of_budget());
        self.push(Inst::new(Op::Load(Widen::Zero(Size::DW)), Width::W64).dst(budget).at(at));
        call(self);
        self.push(Inst::new(Op::Store(Size::DW), Width::W64).a(budget).at(at));
    }
}
