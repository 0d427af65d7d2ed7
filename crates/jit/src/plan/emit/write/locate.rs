//! Addresses that may lie in any region: the likely one is looked at where the address is wanted, the others, and the host's
//! answer, behind everything else.

use sandbpf_isa::{Size, Width};

use super::super::allocate::moves::Home;
use super::super::inst::{Inst, Locate};
use super::super::machine::{Alu, Flag, Mem, Rm, Widen, reg};
use super::super::relax::Label;
use super::cold::Cold;
use super::{Operands, Writer};
use crate::plan::graph::Region;

/// An address that is not in the likely region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elsewhere {
    here: Label,
    back: Label,
    what: Locate,
    operands: Operands,
    /// Whether the budget is not in the environment.
    has_budget: bool,
}

impl Writer<'_> {
    /// ```text
    /// cmp from, last ; ja elsewhere
    /// lea dst, [base + from]
    /// ```
    pub(super) fn locate(&mut self, inst: &Inst, operands: &Operands) {
        let what = self.body.locates[inst.imm as usize];
        let (here, back) = (self.jumps.label(), self.jumps.label());
        let dst = self.reg(operands.dst);
        let from = self.reg(operands.index);
        let base = match what.likely {
            _ if self.graph.machine => Some(operands.a),
            Region::Packet => Some(operands.a),
            Region::Context => Some(operands.base),
            Region::Stack | Region::Far(_) => None,
        };
        match what.likely {
            Region::Packet => self.within_length(dst, from, operands.b, what.size, here),
            Region::Context => self.within(from, self.graph.context, what.size, here),
            Region::Stack => self.within(from, what.stack, what.size, here),
            Region::Far(_) => self.jump(None, here),
        }
        match base {
            Some(Home::Register(base)) => {
                let sum = Mem { base: Some(base), index: Some((from, 0)), disp: 0 };
                self.code.lea(Width::W64, dst, sum);
            }
            Some(base) => {
                let base = self.rm(base);
                self.code.widen(Widen::Zero(Size::DW), dst, base);
                self.code.alu(Alu::Add, Width::W64, dst, Rm::Reg(from));
            }
            None => {
                let sum = Mem { base: Some(reg::RSP), index: Some((from, 0)), disp: self.frame.stack };
                self.code.lea(Width::W64, dst, sum);
            }
        }
        self.jumps.put(back, &self.code.bytes);
        self.cold.push(Cold::Elsewhere(Elsewhere {
            here,
            back,
            what,
            operands: *operands,
            has_budget: inst.d.is_some(),
        }));
    }

    /// Goes on if so many bytes from `from` on are within so many.
    fn within(&mut self, from: u8, bytes: u32, size: u32, otherwise: Label) {
        match bytes.checked_sub(size).map(i32::try_from) {
            Some(Ok(last)) => {
                self.code.alu_imm(Alu::Cmp, Size::DW, Rm::Reg(from), last);
                self.jump(Some(Flag::Above), otherwise);
            }
            // Regions are smaller than that.
            None | Some(Err(_)) => self.jump(None, otherwise),
        }
    }

    /// The same within the packet; `scratch` changes.
    fn within_length(&mut self, scratch: u8, from: u8, length: Home, size: u32, otherwise: Label) {
        let Ok(imm) = i32::try_from(size) else { return self.jump(None, otherwise) };
        let length = self.rm(length);
        if size <= 1 {
            self.code.alu(Alu::Cmp, Width::W64, from, length);
            self.jump(Some(if size == 1 { Flag::AboveEqual } else { Flag::Above }), otherwise);
            return;
        }
        // How much is left from there on, if it is not behind the end: neither a sum nor a difference may wrap around.
        self.code.widen(Widen::Zero(Size::DW), scratch, length);
        self.code.alu(Alu::Sub, Width::W64, scratch, Rm::Reg(from));
        self.jump(Some(Flag::Below), otherwise);
        self.code.alu_imm(Alu::Cmp, Size::DW, Rm::Reg(scratch), imm);
        self.jump(Some(Flag::Below), otherwise);
    }

    /// ```text
    /// mov [env + budget], budget                                       ; with a machine
    /// push site ; push stack ; push size ; push env                    ; or context, length, packet
    /// lea dst, [from + start] ; push dst
    /// call search ; pop dst ; add rsp, …
    /// jmp back
    /// ```
    pub(super) fn elsewhere(&mut self, elsewhere: Elsewhere) {
        let Elsewhere { here, what, operands, back, has_budget } = elsewhere;
        self.jumps.put(here, &self.code.bytes);
        let (dst, from) = (self.reg(operands.dst), self.reg(operands.index));
        if has_budget {
            self.settle(operands.base, operands.d, dst);
        }
        // No region has as many bytes as do not fit.
        for number in [what.site.0, what.stack, what.size] {
            self.code.push_imm(i32::try_from(number).unwrap_or(i32::MAX));
        }
        let mut pushed = 3;
        let homes: &[Home] = match self.graph.machine {
            true => &[operands.base],
            false => &[operands.base, operands.b, operands.a],
        };
        for &home in homes {
            match self.rm(home) {
                Rm::Reg(register) => self.code.push(register),
                Rm::Mem(mem) => self.code.push_mem(Mem { disp: mem.disp + 8 * pushed, ..mem }),
            }
            pushed += 1;
        }
        let guest = Mem { base: Some(from), index: None, disp: what.start as i32 };
        self.code.lea(Width::W64, dst, guest);
        self.code.push(dst);
        let search = *self.search.get_or_insert_with(|| self.jumps.label());
        self.jumps.call(search, &self.code.bytes);
        self.code.pop(dst);
        self.move_stack(8 * pushed);
        self.jump(None, back);
    }
}
