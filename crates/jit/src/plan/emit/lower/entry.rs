//! What a run begins with: the packet, its length, the context, the budget, the environment.
//!
//! They come in registers. Code without calls keeps them where it likes; code with calls finds memory again after each
//! of them.

use core::mem::offset_of;

use sandbpf_isa::{Size, Width};

use super::super::env::Env;
use super::super::inst::{Inst, Kind, Op, Place, Var};
use super::super::machine::reg;
use super::super::nest::Nest;
use super::Lower;
use super::shared::Shared;
use crate::plan::graph::{Entry as GraphEntry, Graph, Op as GraphOp, Region};

/// The fields of the environment, for an operand.
pub(super) mod field {
    use super::{Env, offset_of};

    pub(in super::super) const PACKET: i32 = offset_of!(Env, packet) as i32;
    pub(in super::super) const LENGTH: i32 = offset_of!(Env, length) as i32;
    pub(in super::super) const CONTEXT: i32 = offset_of!(Env, context) as i32;
    pub(in super::super) const STACK: i32 = offset_of!(Env, stack) as i32;
    pub(in super::super) const CPU: i32 = offset_of!(Env, cpu) as i32;
    pub(in super::super) const BUDGET: i32 = offset_of!(Env, budget) as i32;
}

/// Variables for what a run begins with, once somebody asked for them.
#[derive(Debug)]
pub(super) struct Entry {
    packet: Var,
    length: Var,
    context: Var,
    pub(super) budget: Var,
    env: Var,
    /// Whether runs have a machine: then there are calls, and the budget is in the environment at the end.
    pub(super) machine: bool,
    /// Whether it is there all the time: no loop pays from it that does not call somebody, who looks at it, as well.
    pub(super) in_memory: bool,
}

impl Entry {
    pub(super) fn of(graph: &Graph, nest: &Nest) -> Entry {
        let none = Var::NONE;
        let machine = graph.machine;
        let in_memory = machine && !pays_in_loops(graph, nest);
        Entry { packet: none, length: none, context: none, budget: none, env: none, machine, in_memory }
    }
}

/// Whether some loop without calls pays from the budget.
fn pays_in_loops(graph: &Graph, nest: &Nest) -> bool {
    let mut pays = vec![false; nest.loops.len()];
    let mut calls = vec![false; nest.loops.len()];
    for &block in &nest.order {
        let Some(around) = nest.loop_of(block) else { continue };
        for &value in &graph.code(block).body {
            match graph.op(value) {
                GraphOp::Charge { .. } | GraphOp::Spend { .. } => pays[around as usize] = true,
                GraphOp::Call { .. } => calls[around as usize] = true,
                _ => {}
            }
        }
    }
    pays.iter().zip(&calls).any(|(&pays, &calls)| pays && !calls)
}

impl Lower<'_> {
    fn ask(&mut self, kind: Kind, of: impl Fn(&mut Entry) -> &mut Var) -> Var {
        if *of(&mut self.entry) == Var::NONE {
            *of(&mut self.entry) = self.fresh(kind);
        }
        *of(&mut self.entry)
    }

    pub(super) fn env(&mut self) -> Var {
        self.ask(Kind::Plain, |entry| &mut entry.env)
    }

    pub(super) fn entered(&mut self, entry: GraphEntry) -> Var {
        match entry {
            GraphEntry::Length if self.entry.machine => self.look_up(field::LENGTH),
            GraphEntry::Cpu => self.look_up(field::CPU),
            GraphEntry::Length => self.ask(Kind::Plain, |entry| &mut entry.length),
        }
    }

    /// The base of a region, in a register.
    pub(super) fn base(&mut self, region: Region) -> Var {
        match region {
            Region::Stack if self.entry.machine => self.look_up(field::STACK),
            Region::Stack => {
                let base = self.temporary();
                self.before.push(Inst::new(Op::Lea, Width::W64).dst(base).at(Place::off(Var::STACK, 0)));
                base
            }
            Region::Context if self.entry.machine => self.look_up(field::CONTEXT),
            Region::Context => self.ask(Kind::Plain, |entry| &mut entry.context),
            Region::Packet if self.entry.machine => self.look_up(field::PACKET),
            Region::Packet => self.ask(Kind::Plain, |entry| &mut entry.packet),
            Region::Far(number) => self.constant(self.graph.far[usize::from(number)]),
        }
    }

    /// The base of a region, in an address.
    pub(super) fn region(&mut self, region: Region) -> Var {
        match region {
            Region::Stack if !self.entry.machine => Var::STACK,
            _ => self.base(region),
        }
    }

    /// A field of the environment, as it is now.
    fn look_up(&mut self, off: i32) -> Var {
        self.shared(Shared::Field(off))
    }

    /// The first segment: arguments become variables.
    pub(super) fn start(&mut self) {
        let end = self.body.insts.len() as u32;
        self.push(Inst::new(Op::Jump, Width::W64));
        self.gate(0);
        if self.entry.in_memory {
            let left = Place::off(self.env(), field::BUDGET);
            let store = Inst::new(Op::Store(Size::DW), Width::W64);
            self.push(store.a(Var::real(reg::RCX)).at(left));
        }
        let Entry { packet, length, context, budget, env, .. } = self.entry;
        let arguments =
            [(env, reg::R8), (budget, reg::RCX), (context, reg::RDX), (length, reg::RSI), (packet, reg::RDI)];
        for (var, argument) in arguments {
            if var.is_some() {
                self.push(Inst::new(Op::Copy, Width::W64).dst(var).a(Var::real(argument)));
            }
        }
        self.push(Inst::new(Op::Block, Width::W64));
        let way = super::Way { to: 1, first: 0, count: 0 };
        self.segment(end, [Some(way), None], None);
    }
}
