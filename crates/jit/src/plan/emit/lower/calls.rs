//! Calls of helpers, and what is done many bytes at once: operations that want registers by name.

use core::mem::offset_of;

use sandbpf_isa::{AtomicOp, Size, Width};
use sandbpf_runtime::helpers::Plain;

use super::super::bulk::Kind;
use super::super::env::Env;
use super::super::inst::{Inst, Op, Place, Var};
use super::super::lookup::Lookup;
use super::super::machine::{Widen, reg};
use super::Lower;
use crate::plan::graph::{Address, Bulk, Key, Site, Value};

impl Lower<'_> {
    /// ```text
    /// mov [env + budget], budget
    /// mov dword [env + site], n
    /// mov rdi, env ; mov rsi, r1 …
    /// call [rdi + call] ; test edx, edx ; jnz leave
    /// mov budget, [env + budget]
    /// ```
    pub(super) fn call(&mut self, value: Value, arguments: &[Value; 5], site: Site) {
        let env = self.env();
        if self.counts[value.index()] > 0 {
            let dst = self.var(value);
            self.push(Inst::new(Op::Copy, Width::W64).dst(dst).a(Var::real(reg::RAX)));
        }
        self.body.calls = true;
        self.pool.call();
        self.around_call(|this| {
            this.push(Inst { base: Var::real(reg::RDI), ..Inst::new(Op::Call, Width::W64) });
            this.push(Inst::new(Op::Copy, Width::W64).dst(Var::real(reg::RDI)).a(env));
            for (&argument, register) in arguments.iter().zip(reg::ARGUMENTS).rev() {
                this.place_in(register, argument);
            }
            let at = Place::off(env, offset_of!(Env, site) as i32);
            this.push(Inst::new(Op::StoreImm(Size::W), Width::W64).imm(site.0 as i32).at(at));
        });
    }

    /// ```text
    /// mov rdi, r1 ; mov rsi, r2 …
    /// mov rax, function ; call rax
    /// ```
    pub(super) fn plain_call(&mut self, value: Value, function: Plain, arguments: &[Value; 5]) {
        if self.counts[value.index()] > 0 {
            let dst = self.var(value);
            self.push(Inst::new(Op::Copy, Width::W64).dst(dst).a(Var::real(reg::RAX)));
        }
        self.body.calls = true;
        let address = function as usize as u64;
        self.push(Inst { op: Op::CallPlain, ..Inst::number(Var::NONE, address, true) });
        for (&argument, register) in arguments.iter().zip(reg::PLAIN_ARGUMENTS).rev() {
            self.place_in(register, argument);
        }
    }

    /// ```text
    /// lock add [mem], eax        lock xadd [mem], eax        xchg [mem], eax
    /// mov rax, expected ; lock cmpxchg [mem], ecx
    /// ```
    pub(super) fn atomic(
        &mut self,
        value: Value,
        op: AtomicOp,
        size: Size,
        at: &Address,
        operand: Value,
        expected: Value,
    ) {
        use AtomicOp::*;
        let wanted = self.counts[value.index()] > 0;
        let inst = |op: AtomicOp| Inst::new(Op::Atomic(op, size), Width::W64);
        let op = match op {
            Add if wanted => FetchAdd,
            FetchAdd if !wanted => Add,
            And if wanted => FetchAnd,
            FetchAnd if !wanted => And,
            Or if wanted => FetchOr,
            FetchOr if !wanted => Or,
            Xor if wanted => FetchXor,
            FetchXor if !wanted => Xor,
            other => other,
        };
        match op {
            LoadAcquire => {
                let dst = self.var(value);
                let place = self.place(at);
                self.push(Inst::new(Op::Load(Widen::Zero(size)), Width::W64).dst(dst).at(place));
            }
            StoreRelease => {
                let (stored, place) = (self.var(operand), self.place(at));
                self.push(Inst::new(Op::Store(size), Width::W64).a(stored).at(place));
            }
            Add | Or | And | Xor => {
                let (operand, place) = (self.var(operand), self.place(at));
                self.push(inst(op).a(operand).at(place));
            }
            FetchAdd | Xchg => {
                let dst = self.var(value);
                let operand = self.replaced(operand);
                let place = self.place(at);
                self.push(inst(op).dst(dst).a(operand).at(place));
            }
            FetchOr | FetchAnd | FetchXor | Cmpxchg => {
                // What memory held is in rax; of a word the upper half is what it was.
                let dst = self.var(value);
                let held = Inst::new(Op::Widen(Widen::Zero(size)), Width::W64);
                self.push(held.dst(dst).a(Var::real(reg::RAX)));
                let operand = self.var(operand);
                let place = self.place(at);
                if op == Cmpxchg {
                    self.push(inst(op).a(operand).at(place));
                    self.place_in(reg::RAX, expected);
                } else {
                    let scratch = self.temporary();
                    self.push(inst(op).dst(scratch).a(operand).at(place));
                }
            }
        }
    }

    /// Puts a value into a register.
    fn place_in(&mut self, register: u8, value: Value) {
        let register = Var::real(register);
        match self.graph.constant(value) {
            Some(number) => self.push(Inst::number(register, number, true)),
            None => {
                let var = self.var(value);
                self.push(Inst::new(Op::Copy, Width::W64).dst(register).a(var));
            }
        }
    }

    fn address_in(&mut self, register: u8, at: &Address) {
        let place = self.place(at);
        self.push(Inst::new(Op::Lea, Width::W64).dst(Var::real(register)).at(place));
    }

    /// ```text
    /// lea rdi, [to] ; lea rsi, [from] ; mov rcx, count ; …
    /// ```
    pub(super) fn bulk(&mut self, value: Value, what: &Bulk, count: Value) {
        if what.to().is_none() {
            let dst = self.var(value);
            self.push(Inst::new(Op::Copy, Width::W64).dst(dst).a(Var::real(reg::RAX)));
        }
        let number = self.body.bulks.len() as i32;
        self.body.bulks.push(Kind::of(what));
        self.push(Inst::new(Op::Bulk, Width::W64).imm(number).a(Var::real(reg::RCX)));
        self.place_in(reg::RCX, count);
        if let Bulk::Apply { key: value, .. } | Bulk::Fill { value, .. } = what {
            self.place_in(reg::RDX, *value);
        }
        if let Some(from) = what.from() {
            self.address_in(reg::RSI, &from);
        }
        if let Some(to) = what.to() {
            self.address_in(reg::RDI, &to);
        }
    }

    /// ```text
    /// mov r8, word ; mov r9, word        lea r8, [key]
    /// ```
    pub(super) fn lookup(&mut self, value: Value, map: u16, key: &Key) {
        if self.counts[value.index()] > 0 {
            let dst = self.var(value);
            self.push(Inst::new(Op::Copy, Width::W64).dst(dst).a(Var::real(reg::RAX)));
        }
        // There are calls where it takes more than a look.
        self.body.calls = true;
        let number = self.body.lookups.len() as i32;
        let inst = Inst::new(Op::Lookup, Width::W64).imm(number).a(Var::real(reg::R8));
        let words = match *key {
            Key::At(at) => {
                self.push(inst);
                self.address_in(reg::R8, &at);
                0
            }
            Key::Words([low, _]) if self.graph.key_size(map) <= 8 => {
                self.push(inst);
                self.place_in(reg::R8, low);
                1
            }
            Key::Words([low, high]) => {
                self.push(inst.b(Var::real(reg::R9)));
                self.place_in(reg::R9, high);
                self.place_in(reg::R8, low);
                2
            }
        };
        self.body.lookups.push(Lookup { map, words });
    }
}
