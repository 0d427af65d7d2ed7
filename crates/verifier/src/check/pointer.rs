//! Arithmetic on pointers: which kinds take part, and where the result may point (`adjust_ptr_min_max_vals`).

use sandbpf_isa::{AluOp, Operand, Reg as R, Width};

use super::{Name, names};
use crate::domain::Scalar;
use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{Kind, Reg};

/// No pointer may be moved further than this.
pub(crate) const MAX_VAR_OFF: i64 = 1 << 29;

/// An operation of arithmetic, as its instruction gives it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub(crate) op: AluOp,
    pub(crate) width: Width,
    pub(crate) dst: R,
    pub(crate) src: Operand,
    /// The number is in the destination and the pointer in the source.
    pub(crate) reversed: bool,
}

impl Move {
    /// The register of the number, if it is in one.
    pub(crate) fn number(&self) -> R {
        if self.reversed { self.dst } else { self.src.reg().unwrap_or(self.dst) }
    }

    /// The register of the pointer.
    pub(crate) fn pointer(&self) -> R {
        if self.reversed { self.src.reg().unwrap_or(self.dst) } else { self.dst }
    }
}

impl Verifier<'_> {
    /// What a pointer becomes that is moved by a number.
    pub(super) fn adjust_pointer(&mut self, step: Move, pointer: Reg, number: Reg) -> Check {
        let Move { op, width, dst, reversed, .. } = step;
        let num = &number.num;
        let known = num.is_const();
        if (known && (num.smin != num.smax || num.umin != num.umax))
            || num.smin > num.smax
            || num.umin > num.umax
        {
            let unknown = self.unknown();
            self.set(dst, unknown);
            return Ok(());
        }
        if width != Width::W64 {
            if op == AluOp::Sub && self.rights.ptr_leaks {
                let unknown = self.unknown();
                self.set(dst, unknown);
                return Ok(());
            }
            refuse!(Acces, "{} 32-bit pointer arithmetic prohibited", Name(dst));
        }
        if pointer.may_be_null() {
            let name = names::of(&pointer);
            refuse!(Acces, "{} pointer arithmetic on {name} prohibited, null-check it first", Name(dst));
        }
        let moves = match pointer.kind {
            Kind::Context
            | Kind::MapValue(_)
            | Kind::MapKey(_)
            | Kind::Stack
            | Kind::PacketMeta
            | Kind::Packet
            | Kind::TpBuffer
            | Kind::Btf(_)
            | Kind::Mem(_)
            | Kind::Buf
            | Kind::Func(_)
            | Kind::Dynptr { .. } => true,
            Kind::FlowKeys => known,
            Kind::Map(_) => known && num.smin == 0 && op == AluOp::Add,
            _ => false,
        };
        let moves = moves || (pointer.kind == Kind::FlowKeys && known && num.smin == 0 && op == AluOp::Add);
        if !moves {
            refuse!(Acces, "{} pointer arithmetic on {} prohibited", Name(dst), names::of(&pointer));
        }
        is_sane(&number, &pointer)?;
        is_sane(&pointer, &pointer)?;
        let mut result = Reg { precise: self.reg(dst).precise, frame: pointer.frame, ..pointer };
        let window = self.open_window(&step, &pointer, &number)?;
        if !reversed {
            result.precise = pointer.precise;
        }
        result.num.unbounded_32();
        match op {
            AluOp::Add => self.add(&mut result, &pointer, num),
            AluOp::Sub => {
                if reversed {
                    refuse!(Acces, "{} tried to subtract pointer from scalar", Name(dst));
                }
                if pointer.kind == Kind::Stack {
                    refuse!(Acces, "{} subtraction from stack pointer prohibited", Name(dst));
                }
                self.subtract(&mut result, &pointer, num);
            }
            AluOp::And | AluOp::Or | AluOp::Xor => {
                refuse!(Acces, "{} bitwise operator {} on pointer prohibited", Name(dst), op.symbol());
            }
            // Linux names operators by their opcode, which does not tell signed ones.
            AluOp::Sdiv => refuse!(Acces, "{} pointer arithmetic with /= operator prohibited", Name(dst)),
            AluOp::Smod => refuse!(Acces, "{} pointer arithmetic with %= operator prohibited", Name(dst)),
            _ => refuse!(Acces, "{} pointer arithmetic with {} operator prohibited", Name(dst), op.symbol()),
        }
        is_sane(&result, &pointer)?;
        result.num.sync();
        self.set(dst, result);
        self.sanitize_bounds(dst)?;
        self.close_window(&step, window)
    }

    fn add(&mut self, result: &mut Reg, pointer: &Reg, num: &Scalar) {
        if let Some(value) = num.const_value()
            && let Ok(off) = i32::try_from(i64::from(pointer.off).wrapping_add(value as i64))
        {
            result.off = off;
            result.num =
                Scalar { s32_min: i32::MIN, s32_max: i32::MAX, u32_min: 0, u32_max: u32::MAX, ..pointer.num };
            return;
        }
        let at = &pointer.num;
        (result.num.smin, result.num.smax) =
            match (at.smin.checked_add(num.smin), at.smax.checked_add(num.smax)) {
                (Some(min), Some(max)) => (min, max),
                _ => (i64::MIN, i64::MAX),
            };
        (result.num.umin, result.num.umax) =
            match (at.umin.checked_add(num.umin), at.umax.checked_add(num.umax)) {
                (Some(min), Some(max)) => (min, max),
                _ => (0, u64::MAX),
            };
        result.num.var_off = at.var_off.add(num.var_off);
        if pointer.is_packet() {
            result.id = self.fresh_id();
            result.range = 0;
        }
    }

    fn subtract(&mut self, result: &mut Reg, pointer: &Reg, num: &Scalar) {
        if let Some(value) = num.const_value()
            && let Ok(off) = i32::try_from(i64::from(pointer.off).wrapping_sub(value as i64))
        {
            result.off = off;
            result.num =
                Scalar { s32_min: i32::MIN, s32_max: i32::MAX, u32_min: 0, u32_max: u32::MAX, ..pointer.num };
            return;
        }
        let at = &pointer.num;
        (result.num.smin, result.num.smax) =
            match (at.smin.checked_sub(num.smax), at.smax.checked_sub(num.smin)) {
                (Some(min), Some(max)) => (min, max),
                _ => (i64::MIN, i64::MAX),
            };
        (result.num.umin, result.num.umax) = match at.umin < num.umax {
            true => (0, u64::MAX),
            false => (at.umin - num.umax, at.umax - num.umin),
        };
        result.num.var_off = at.var_off.sub(num.var_off);
        if pointer.is_packet() {
            result.id = self.fresh_id();
            if num.smin < 0 {
                result.range = 0;
            }
        }
    }
}

/// Offsets stay small enough never to overflow (`check_reg_sane_offset`).
fn is_sane(reg: &Reg, pointer: &Reg) -> Check {
    let value = reg.num.var_off.value as i64;
    let name = || names::of(pointer);
    if reg.num.is_const() && (value >= MAX_VAR_OFF || value <= -MAX_VAR_OFF) {
        refuse!(Inval, "math between {} pointer and {value} is not allowed", name());
    }
    if i64::from(reg.off) >= MAX_VAR_OFF || i64::from(reg.off) <= -MAX_VAR_OFF {
        refuse!(Inval, "{} pointer offset {} is not allowed", name(), reg.off);
    }
    if reg.num.smin == i64::MIN {
        refuse!(
            Inval,
            "math between {} pointer and register with unbounded min value is not allowed",
            name()
        );
    }
    if reg.num.smin >= MAX_VAR_OFF || reg.num.smin <= -MAX_VAR_OFF {
        refuse!(Inval, "value {} makes {} pointer be out of bounds", reg.num.smin, name());
    }
    Ok(())
}
