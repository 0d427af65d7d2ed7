//! The search for an address in all regions, and by the host: one for all accesses, behind everything else.
//!
//! It is called with all that it needs on the stack, and leaves the host's address in the place of the guest's. All registers
//! stay. If there is none, the run ends.

use core::mem::offset_of;

use sandbpf_isa::{Size, Width};

use super::super::env::Env;
use super::super::machine::{Alu, Flag, Mem, Rm, Unary, Widen, reg};
use super::super::relax::Label;
use super::Writer;
use crate::plan::graph::Region;

/// The registers that it works with.
const KEPT: [u8; 4] = [reg::RAX, reg::RCX, reg::RDX, reg::RDI];

/// Where arguments are behind those, and behind the return address: how many words further.
mod word {
    pub(super) const GUEST: i32 = 0;
    /// With a machine …
    pub(super) const ENV: i32 = 1;
    /// … and without.
    pub(super) const PACKET: i32 = 1;
    pub(super) const LENGTH: i32 = 2;
    pub(super) const CONTEXT: i32 = 3;
    /// From the last argument backwards.
    pub(super) const SIZE: i32 = 3;
    pub(super) const STACK: i32 = 2;
    pub(super) const SITE: i32 = 1;
}

/// How many bytes a region has.
#[derive(Clone, Copy)]
enum Bytes {
    Mem(Mem),
    Imm(i32),
}

impl Writer<'_> {
    /// How many words the arguments are.
    fn search_words(&self) -> i32 {
        if self.graph.machine { 5 } else { 7 }
    }

    /// An argument, from the stack pointer on, which was moved by so many bytes since.
    fn argument(&self, number: i32) -> Mem {
        Mem { base: Some(reg::RSP), index: None, disp: 8 * (KEPT.len() as i32 + 1 + number) }
    }

    fn last_argument(&self, number: i32) -> Mem {
        self.argument(self.search_words() - number)
    }

    /// Where memory is: a field of the environment, which is in rdi, or an argument.
    fn memory(&self, field: usize, word: i32) -> Mem {
        match self.graph.machine {
            true => Mem { base: Some(reg::RDI), index: None, disp: field as i32 },
            false => self.argument(word),
        }
    }

    /// ```text
    /// rax the guest's address, rdx the size, rdi the environment, rcx how far from the start of a region
    /// ```
    pub(super) fn search(&mut self) {
        let Some(search) = self.search else { return };
        self.jumps.put(search, &self.code.bytes);
        for register in KEPT {
            self.code.push(register);
        }
        self.get(reg::RAX, self.argument(word::GUEST));
        self.get(reg::RDX, self.last_argument(word::SIZE));
        if self.graph.machine {
            self.get(reg::RDI, self.argument(word::ENV));
        }
        let found = self.jumps.label();
        let next = self.jumps.label();
        let length = self.memory(offset_of!(Env, length), word::LENGTH);
        self.try_region(Region::Packet, Bytes::Mem(length), next);
        let packet = self.memory(offset_of!(Env, packet), word::PACKET);
        self.code.alu(Alu::Add, Width::W64, reg::RAX, Rm::Mem(packet));
        self.jump(None, found);
        self.jumps.put(next, &self.code.bytes);

        let next = self.jumps.label();
        let bytes = i32::try_from(self.graph.context).unwrap_or(0);
        self.try_region(Region::Context, Bytes::Imm(bytes), next);
        let context = self.memory(offset_of!(Env, context), word::CONTEXT);
        self.code.alu(Alu::Add, Width::W64, reg::RAX, Rm::Mem(context));
        self.jump(None, found);
        self.jumps.put(next, &self.code.bytes);

        let next = self.jumps.label();
        let stack_bytes = self.last_argument(word::STACK);
        self.try_region(Region::Stack, Bytes::Mem(stack_bytes), next);
        if self.graph.machine {
            let stack = self.memory(offset_of!(Env, stack), 0);
            self.code.alu(Alu::Add, Width::W64, reg::RAX, Rm::Mem(stack));
        } else {
            // The frame is above all that was pushed.
            let above = 8 * (KEPT.len() as i32 + 1 + self.search_words());
            let sum =
                Mem { base: Some(reg::RSP), index: Some((reg::RAX, 0)), disp: above + self.frame.stack };
            self.code.lea(Width::W64, reg::RAX, sum);
        }
        self.jump(None, found);
        self.jumps.put(next, &self.code.bytes);

        if self.graph.machine {
            self.ask(found);
        }
        self.get(reg::RAX, self.argument(word::GUEST));
        self.get(reg::RDX, self.last_argument(word::SITE));
        self.code.alu_imm(Alu::Add, Size::W, Rm::Reg(reg::RDX), 1);
        self.move_stack(8 * (KEPT.len() as i32 + 1 + self.search_words()));
        self.leave();

        self.jumps.put(found, &self.code.bytes);
        let guest = self.argument(word::GUEST);
        self.code.store(Size::DW, guest, reg::RAX);
        for register in KEPT.into_iter().rev() {
            self.code.pop(register);
        }
        self.code.ret();
    }

    fn get(&mut self, to: u8, mem: Mem) {
        self.code.widen(Widen::Zero(Size::DW), to, Rm::Mem(mem));
    }

    /// Makes rax how far from the start of a region the address is, if all bytes lie in it.
    fn try_region(&mut self, region: Region, bytes: Bytes, otherwise: Label) {
        // Regions start below 2³¹.
        let start = self.graph.start(region) as i32;
        let off = Mem { base: Some(reg::RAX), index: None, disp: -start };
        self.code.lea(Width::W64, reg::RCX, off);
        self.with_bytes(Alu::Cmp, bytes);
        self.jump(Some(Flag::Above), otherwise);
        // How much is left from there on.
        self.code.unary(Unary::Neg, Width::W64, Rm::Reg(reg::RCX));
        self.with_bytes(Alu::Add, bytes);
        self.code.alu(Alu::Cmp, Width::W64, reg::RCX, Rm::Reg(reg::RDX));
        self.jump(Some(Flag::Below), otherwise);
        self.code.alu_imm(Alu::Sub, Size::DW, Rm::Reg(reg::RAX), start);
    }

    fn with_bytes(&mut self, op: Alu, bytes: Bytes) {
        match bytes {
            Bytes::Mem(mem) => self.code.alu(op, Width::W64, reg::RCX, Rm::Mem(mem)),
            Bytes::Imm(bytes) => self.code.alu_imm(op, Size::DW, Rm::Reg(reg::RCX), bytes),
        }
    }

    /// ```text
    /// mov [env + site], site
    /// mov rsi, guest ; call [rdi + locate] ; test rax, rax ; jnz found
    /// ```
    fn ask(&mut self, found: Label) {
        self.get(reg::RCX, self.last_argument(word::SITE));
        let site = Mem { base: Some(reg::RDI), index: None, disp: offset_of!(Env, site) as i32 };
        self.code.store(Size::W, site, reg::RCX);
        // Five arguments, the return address, and what is pushed so far: the stack pointer is where functions want it.
        let saved = reg::CHANGED.into_iter().filter(|register| !KEPT.contains(register));
        let saved: Vec<u8> = saved.collect();
        for &register in &saved {
            self.code.push(register);
        }
        let odd = (saved.len() + KEPT.len() + 1 + self.search_words() as usize) % 2 == 1;
        if odd {
            self.move_stack(-8);
        }
        self.code.mov(Width::W64, reg::RSI, reg::RAX);
        let locate = Mem { base: Some(reg::RDI), index: None, disp: offset_of!(Env, locate) as i32 };
        self.code.call(Rm::Mem(locate));
        if odd {
            self.move_stack(8);
        }
        for &register in saved.iter().rev() {
            self.code.pop(register);
        }
        self.code.test(Width::W64, Rm::Reg(reg::RAX), reg::RAX);
        self.jump(Some(Flag::NotEqual), found);
    }
}
