//! Addresses that may lie in any region: the likely one is looked at where the address is wanted, the others, and the host's
//! answer, behind everything else.

use core::mem::offset_of;

use sandbpf_isa::{Size, Width};

use super::super::allocate::moves::Home;
use super::super::env::Env;
use super::super::inst::{Inst, Locate};
use super::super::machine::{Alu, Flag, Mem, Rm, Unary, Widen, reg};
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
            Region::Packet => self.within_length(dst, from, 0, operands.b, what.size, here),
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

    /// The same within the packet, from `from + by` on; `scratch` changes.
    fn within_length(&mut self, scratch: u8, from: u8, by: i32, length: Home, size: u32, otherwise: Label) {
        let Ok(imm) = i32::try_from(size) else { return self.jump(None, otherwise) };
        let length = self.rm(length);
        let mut at = from;
        if by != 0 {
            self.code.lea(Width::W64, scratch, Mem { base: Some(from), index: None, disp: by });
            at = scratch;
        }
        if size <= 1 {
            self.code.alu(Alu::Cmp, Width::W64, at, length);
            self.jump(Some(if size == 1 { Flag::AboveEqual } else { Flag::Above }), otherwise);
            return;
        }
        // How much is left from there on, if it is not behind the end.
        if by != 0 {
            self.code.alu(Alu::Cmp, Width::W64, scratch, length);
            self.jump(Some(Flag::Above), otherwise);
            self.code.unary(Unary::Neg, Width::W64, Rm::Reg(scratch));
            self.code.alu(Alu::Add, Width::W64, scratch, length);
        } else {
            self.code.widen(Widen::Zero(Size::DW), scratch, length);
            self.code.alu(Alu::Sub, Width::W64, scratch, Rm::Reg(from));
            self.jump(Some(Flag::Below), otherwise);
        }
        self.code.alu_imm(Alu::Cmp, Size::DW, Rm::Reg(scratch), imm);
        self.jump(Some(Flag::Below), otherwise);
    }

    pub(super) fn elsewhere(&mut self, elsewhere: Elsewhere) {
        self.jumps.put(elsewhere.here, &self.code.bytes);
        if self.graph.machine {
            return self.elsewhere_with_machine(elsewhere);
        }
        let Elsewhere { what, operands, back, .. } = elsewhere;
        let (dst, from) = (self.reg(operands.dst), self.reg(operands.index));
        for region in [Region::Packet, Region::Context, Region::Stack] {
            if region == what.likely {
                continue;
            }
            let next = self.jumps.label();
            // Regions start below 2³¹.
            let by = what.start.wrapping_sub(self.graph.start(region)) as i32;
            let bytes = if region == Region::Context { self.graph.context } else { what.stack };
            let base = match region {
                Region::Packet => {
                    self.within_length(dst, from, by, operands.b, what.size, next);
                    self.rm(operands.a)
                }
                _ => {
                    if bytes < what.size {
                        continue;
                    }
                    self.code.lea(Width::W64, dst, Mem { base: Some(from), index: None, disp: by });
                    self.within(dst, bytes, what.size, next);
                    if region == Region::Stack { Rm::Reg(reg::RSP) } else { self.rm(operands.base) }
                }
            };
            let disp = if region == Region::Stack { by + self.frame.stack } else { by };
            self.sum(dst, base, from, disp);
            self.jump(None, back);
            self.jumps.put(next, &self.code.bytes);
        }
        self.bad_access(from, what);
    }

    /// `dst = base + from + disp`
    fn sum(&mut self, dst: u8, base: Rm, from: u8, disp: i32) {
        let base = match base {
            Rm::Reg(base) => base,
            mem => {
                self.code.widen(Widen::Zero(Size::DW), dst, mem);
                dst
            }
        };
        self.code.lea(Width::W64, dst, Mem { base: Some(base), index: Some((from, 0)), disp });
    }

    /// A trap, whose address is where nothing is.
    fn bad_access(&mut self, from: u8, what: Locate) {
        let address = Mem { base: Some(from), index: None, disp: what.start as i32 };
        self.code.lea(Width::W64, reg::RAX, address);
        self.trap(what.site.0);
    }

    /// Looks at the regions of the environment, then asks the host. All registers but `dst` stay.
    fn elsewhere_with_machine(&mut self, elsewhere: Elsewhere) {
        let Elsewhere { what, operands, back, has_budget, .. } = elsewhere;
        let (dst, from) = (self.reg(operands.dst), self.reg(operands.index));
        // The environment is in a register meanwhile.
        let (env, borrowed) = match operands.base {
            Home::Register(env) => (env, false),
            other => {
                let spare = [reg::RAX, reg::RCX, reg::RDX, reg::RSI];
                let used = |spare| {
                    spare == dst || spare == from || has_budget && operands.d == Home::Register(spare)
                };
                let env = spare.into_iter().find(|&spare| !used(spare)).unwrap_or(reg::RSI);
                let rm = self.rm(other);
                self.code.push(env);
                let rm = match rm {
                    Rm::Mem(mem) => Rm::Mem(Mem { disp: mem.disp + 8, ..mem }),
                    reg => reg,
                };
                self.code.widen(Widen::Zero(Size::DW), env, rm);
                (env, true)
            }
        };
        let field = |off: usize| Rm::Mem(Mem { base: Some(env), index: None, disp: off as i32 });
        let found = self.jumps.label();
        for region in [Region::Packet, Region::Context, Region::Stack] {
            if region == what.likely {
                continue;
            }
            let next = self.jumps.label();
            let by = what.start.wrapping_sub(self.graph.start(region)) as i32;
            let base = match region {
                Region::Packet => {
                    self.within_field(dst, from, by, field(offset_of!(Env, length)), what.size, next);
                    field(offset_of!(Env, packet))
                }
                Region::Context => {
                    self.code.lea(Width::W64, dst, Mem { base: Some(from), index: None, disp: by });
                    self.within(dst, self.graph.context, what.size, next);
                    field(offset_of!(Env, context))
                }
                Region::Stack | Region::Far(_) => {
                    self.code.lea(Width::W64, dst, Mem { base: Some(from), index: None, disp: by });
                    self.within(dst, what.stack, what.size, next);
                    field(offset_of!(Env, stack))
                }
            };
            self.sum(dst, base, from, by);
            self.jump(None, found);
            self.jumps.put(next, &self.code.bytes);
        }
        self.ask(dst, from, env, borrowed, what);
        self.code.test(Width::W64, Rm::Reg(dst), dst);
        let bad = self.jumps.label();
        self.jump(Some(Flag::Equal), bad);
        self.jumps.put(found, &self.code.bytes);
        if borrowed {
            self.code.pop(env);
        }
        self.jump(None, back);
        self.jumps.put(bad, &self.code.bytes);
        if borrowed {
            self.move_stack(8);
        }
        if has_budget {
            self.settle(Home::Register(env), operands.d, &[from]);
        }
        self.bad_access(from, what);
    }

    fn within_field(&mut self, dst: u8, from: u8, by: i32, length: Rm, size: u32, otherwise: Label) {
        let Ok(imm) = i32::try_from(size) else { return self.jump(None, otherwise) };
        self.code.lea(Width::W64, dst, Mem { base: Some(from), index: None, disp: by });
        self.code.alu(Alu::Cmp, Width::W64, dst, length);
        self.jump(Some(Flag::Above), otherwise);
        self.code.unary(Unary::Neg, Width::W64, Rm::Reg(dst));
        self.code.alu(Alu::Add, Width::W64, dst, length);
        self.code.alu_imm(Alu::Cmp, Size::DW, Rm::Reg(dst), imm);
        self.jump(Some(Flag::Below), otherwise);
    }

    /// ```text
    /// mov dword [env + site], n
    /// mov rdi, env ; mov rsi, address ; call [rdi + locate]
    /// ```
    fn ask(&mut self, dst: u8, from: u8, env: u8, borrowed: bool, what: Locate) {
        let at = |off: usize| Mem { base: Some(env), index: None, disp: off as i32 };
        self.code.store_imm(Size::W, at(offset_of!(Env, site)), what.site.0 as i32);
        let saved: Vec<u8> = reg::CHANGED.into_iter().filter(|&register| register != dst).collect();
        for &register in &saved {
            self.code.push(register);
        }
        let odd = (saved.len() + usize::from(borrowed)) % 2 == 1;
        if odd {
            self.move_stack(-8);
        }
        self.code.push(env);
        self.code.lea(Width::W64, reg::RSI, Mem { base: Some(from), index: None, disp: what.start as i32 });
        self.code.pop(reg::RDI);
        let locate = offset_of!(Env, locate) as i32;
        self.code.call(Rm::Mem(Mem { base: Some(reg::RDI), index: None, disp: locate }));
        self.code.mov(Width::W64, dst, reg::RAX);
        if odd {
            self.move_stack(8);
        }
        for &register in saved.iter().rev() {
            self.code.pop(register);
        }
    }
}
