//! Arithmetic: what it asks of its operands, and what is known of the result.

use sandbpf_isa::{AddressSpace, AluOp, Operand, Reg as R, Size, UnaryOp, Width};

use super::Name;
use super::pointer::Move;
use crate::domain::Scalar;
use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{ADD_CONST, ADD_CONST32, ADD_CONST64, Kind, Reg};

/// How many bits a register needs (`get_reg_width`).
pub(crate) fn width_of(reg: &Reg) -> u32 {
    64 - reg.num.umax.leading_zeros()
}

impl Verifier<'_> {
    pub(super) fn check_alu(&mut self, op: AluOp, width: Width, dst: R, src: Operand) -> Check {
        let from = match op {
            AluOp::Mov => None,
            AluOp::Movs8 => Some(Size::B),
            AluOp::Movs16 => Some(Size::H),
            AluOp::Movs32 => Some(Size::W),
            _ => return self.check_arithmetic(op, width, dst, src),
        };
        match src {
            Operand::Imm(imm) => {
                self.writable(dst)?;
                let value = match width {
                    Width::W64 => imm as i64 as u64,
                    Width::W32 => u64::from(imm as u32),
                };
                let value = self.constant(value);
                self.set(dst, value);
                Ok(())
            }
            Operand::Reg(src) => {
                self.readable(src)?;
                self.writable(dst)?;
                match (width, from) {
                    (Width::W64, None) => {
                        self.link(src);
                        let mut copy = *self.reg(src);
                        copy.num.settle();
                        self.set(dst, copy);
                        Ok(())
                    }
                    (Width::W64, Some(size)) => self.check_sign_extending_copy(dst, src, size),
                    (Width::W32, size) => self.check_copy32(dst, src, size),
                }
            }
        }
    }

    /// Gives a number an id, so that what is learnt of a copy is learnt of both (`assign_scalar_id_before_mov`).
    pub(crate) fn link(&mut self, reg: R) {
        let held = *self.reg(reg);
        if !held.is_scalar() {
            return;
        }
        let mut id = held.id;
        let mut off = held.off;
        if id & ADD_CONST != 0 {
            // The copy is linked to this number, not to what it was made from.
            id = 0;
            off = 0;
        }
        if id == 0 && !held.num.is_const() {
            id = self.fresh_id();
        }
        if (id, off) != (held.id, held.off) {
            let held = self.reg_mut(reg);
            held.id = id;
            held.off = off;
        }
    }

    fn check_sign_extending_copy(&mut self, dst: R, src: R, size: Size) -> Check {
        if self.is_secret(src) {
            refuse!(Acces, "{} sign-extension part of pointer", Name(src));
        }
        if !self.reg(src).is_scalar() {
            let unknown = self.unknown();
            self.set(dst, unknown);
            return Ok(());
        }
        let keeps = self.reg(src).num.umax < 1 << (u32::from(size.bytes()) * 8 - 1);
        if keeps {
            self.link(src);
        }
        let mut copy = *self.reg(src);
        if !keeps {
            copy.id = 0;
            copy.off = 0;
        }
        copy.num.sign_extend(size, Width::W64);
        self.set(dst, copy);
        Ok(())
    }

    fn check_copy32(&mut self, dst: R, src: R, size: Option<Size>) -> Check {
        if self.is_secret(src) {
            refuse!(Acces, "{} partial copy of pointer", Name(src));
        }
        if !self.reg(src).is_scalar() {
            let mut unknown = self.unknown();
            unknown.num.zero_extend_32();
            unknown.num.sync();
            self.set(dst, unknown);
            return Ok(());
        }
        let keeps = match size {
            None => width_of(self.reg(src)) <= 32,
            Some(size) => self.reg(src).num.umax < 1 << (u32::from(size.bytes()) * 8 - 1),
        };
        if keeps {
            self.link(src);
        }
        let mut copy = *self.reg(src);
        if !keeps {
            copy.id = 0;
            copy.off = 0;
        }
        if let Some(size) = size {
            copy.num.sign_extend(size, Width::W32);
        }
        copy.num.zero_extend_32();
        copy.num.sync();
        self.set(dst, copy);
        Ok(())
    }

    pub(super) fn check_unary(&mut self, op: UnaryOp, dst: R) -> Check {
        self.readable(dst)?;
        if self.is_secret(dst) {
            refuse!(Acces, "{} pointer arithmetic prohibited", Name(dst));
        }
        self.writable(dst)?;
        let held = *self.reg(dst);
        let result = match held.is_scalar() {
            true => {
                // A number that is changed is no longer the one that others are linked to.
                let (id, off) = if op == UnaryOp::Le64 { (held.id, held.off) } else { (0, 0) };
                Reg { num: held.num.unary(op), id, off, ..held }
            }
            false => self.unknown(),
        };
        self.set(dst, result);
        Ok(())
    }

    pub(super) fn check_cast(&mut self, dst: R, src: R, to: AddressSpace) -> Check {
        self.readable(src)?;
        self.writable(dst)?;
        if !self.env.maps.iter().any(|map| map.map_type == crate::environment::map_type::ARENA) {
            refuse!(Inval, "addr_space_cast insn can only be used in a program that has an associated arena");
        }
        let unknown = self.unknown();
        let cast = match to {
            AddressSpace::Kernel => Reg { kind: Kind::Arena, ..unknown },
            AddressSpace::User => unknown,
        };
        self.set(dst, cast);
        Ok(())
    }

    fn check_arithmetic(&mut self, op: AluOp, width: Width, dst: R, src: Operand) -> Check {
        if let Operand::Reg(src) = src {
            self.readable(src)?;
        }
        self.readable(dst)?;
        if let Operand::Imm(imm) = src {
            let divides = matches!(op, AluOp::Div | AluOp::Mod | AluOp::Sdiv | AluOp::Smod);
            if divides && imm == 0 {
                refuse!(Inval, "div by zero");
            }
            let shifts = matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh);
            if shifts && (imm < 0 || imm >= width.bits() as i32) {
                refuse!(Inval, "invalid shift {imm}");
            }
        }
        self.writable(dst)?;
        self.adjust(op, width, dst, src)
    }

    /// What is known of the result (`adjust_reg_min_max_vals`).
    fn adjust(&mut self, op: AluOp, width: Width, dst: R, src: Operand) -> Check {
        let left = *self.reg(dst);
        if left.kind == Kind::Arena {
            return Ok(());
        }
        let step = Move { op, width, dst, src, reversed: false };
        let right = match src {
            Operand::Imm(imm) => {
                let right = Reg::known(imm as i64 as u64);
                if !left.is_scalar() {
                    return self.adjust_pointer(step, left, right);
                }
                right
            }
            Operand::Reg(src) => {
                let right = *self.reg(src);
                if !right.is_scalar() {
                    if !left.is_scalar() {
                        if op == AluOp::Sub && self.rights.ptr_leaks {
                            let unknown = self.unknown();
                            self.set(dst, unknown);
                            return Ok(());
                        }
                        refuse!(Acces, "{} pointer {} pointer prohibited", Name(dst), op.symbol());
                    }
                    // A number plus a pointer.
                    self.needs_precise(dst)?;
                    return self.adjust_pointer(Move { reversed: true, ..step }, right, left);
                }
                if !left.is_scalar() {
                    self.needs_precise(src)?;
                    return self.adjust_pointer(step, left, right);
                }
                if left.precise {
                    self.needs_precise(src)?;
                }
                right
            }
        };
        self.sanitize_numbers(&step)?;
        let mut left = left;
        if matches!(op, AluOp::And | AluOp::Or) && right.num.is_const() {
            left = self.fork_sign(dst, left)?;
        }
        let num = left.num.alu(op, width, &right.num);
        let mut result = Reg { num, ..left };
        let itself = src.reg() == Some(dst);
        let moved = match op {
            AluOp::Add | AluOp::Sub if self.rights.bpf && left.id != 0 && !itself => {
                distance(op, width, &left, &right)
            }
            _ => None,
        };
        match moved {
            Some(by) if left.id & ADD_CONST == 0 => {
                result.id |= if width == Width::W64 { ADD_CONST64 } else { ADD_CONST32 };
                result.off = by;
            }
            _ => {
                result.id = 0;
                result.off = 0;
            }
        }
        self.set(dst, result);
        Ok(())
    }

    /// A number that is 0 or -1 is a mask: what it selects is looked at for each (`maybe_fork_scalars`).
    fn fork_sign(&mut self, dst: R, left: Reg) -> Check<Reg> {
        let (whole, low) =
            (left.num.smin == -1 && left.num.smax == 0, left.num.s32_min == -1 && left.num.s32_max == 0);
        if !whole && !low {
            return Ok(left);
        }
        let with = |value: u64| {
            let mut reg = left;
            match whole {
                true => {
                    reg = Reg {
                        kind: Kind::Scalar,
                        precise: left.precise,
                        num: Scalar::known(value),
                        ..Reg::UNINIT
                    }
                }
                false => {
                    reg.num.var_off = reg.num.var_off.const_subreg(value as u32);
                    let low = value as u32;
                    (reg.num.u32_min, reg.num.u32_max) = (low, low);
                    (reg.num.s32_min, reg.num.s32_max) = (low as i32, low as i32);
                }
            }
            reg
        };
        let mut state = self.cur.clone();
        state.current_mut().regs[dst.index()] = with(0);
        self.push_state(state, self.pc, self.pc)?;
        let ones = with(u64::MAX);
        self.set(dst, ones);
        Ok(ones)
    }
}

/// How far an addition or subtraction moves a number, if that can be followed.
fn distance(op: AluOp, width: Width, left: &Reg, right: &Reg) -> Option<i32> {
    let by = match width {
        Width::W64 => i32::try_from(right.num.const_value()? as i64).ok()?,
        Width::W32 if left.num.umax > u32::MAX.into() => return None,
        Width::W32 => right.num.const_at(width)? as u32 as i32,
    };
    if op == AluOp::Sub { by.checked_neg() } else { Some(by) }
}
