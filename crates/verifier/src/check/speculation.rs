//! Speculation: what processors may do with values that a program never has, and how that is kept harmless.
//!
//! A processor guesses which way a branch goes and runs on before it knows. Loaders without `CAP_PERFMON` must not
//! learn anything by that (Spectre v1), so for their programs the way that is never taken is walked too, as a
//! *speculative* path. Arithmetic that moves a pointer by an unknown number is masked: the number becomes zero where it
//! would leave the object. What the mask can be must be the same on all paths, and what follows is walked with the
//! pointer that was not moved as well. Where a speculative path does what would be refused, a barrier is put instead
//! ([`explore`](crate::explore)). The names in the kernel begin with `sanitize_`.

use sandbpf_isa::{AluOp, Operand, Pc, Reg as R};

use super::Name;
use super::known::{Mask, Masked};
use super::pointer::Move;
use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{Kind, Reg};

/// How far a pointer may be moved, before it is known where it is moved to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    mask: Mask,
    leftwards: bool,
}

impl Verifier<'_> {
    /// Walks the way that a decided branch never goes; what it compared may be anything there
    /// (`sanitize_speculative_path`).
    pub(super) fn guess(&mut self, to: Pc, lhs: R, rhs: Operand) -> Check {
        if self.rights.spec_v1 {
            return Ok(());
        }
        let unknown = self.unknown();
        let pc = self.pc;
        let regs = &mut self.push(to, pc, true)?.current_mut().regs;
        regs[lhs.index()] = unknown;
        if let Operand::Reg(rhs) = rhs {
            regs[rhs.index()] = unknown;
        }
        Ok(())
    }

    /// Arithmetic on numbers: the instruction must not be one that is masked on other paths (`sanitize_val_alu`).
    pub(super) fn sanitize_numbers(&mut self, step: &Move) -> Check {
        if !is_masked(step.op) || self.needs_no_mask(step) {
            return Ok(());
        }
        self.mask(step, Mask { of: None, limit: 0 })
    }

    /// A pointer is about to be moved: what its mask would be, and the path on which it is not moved
    /// (`sanitize_ptr_alu`, before the operation).
    pub(super) fn open_window(&mut self, step: &Move, pointer: &Reg, number: &Reg) -> Check<Option<Window>> {
        if !is_masked(step.op) || self.needs_no_mask(step) {
            return Ok(None);
        }
        let num = &number.num;
        let (constant, negative) = (num.is_const(), num.smin < 0);
        let mut window = None;
        // On a speculative path the mask is there already: only what it leads to is of interest.
        if !self.cur.speculative {
            if !constant && negative != (num.smax < 0) {
                let name = Name(step.number());
                refuse!(
                    Acces,
                    "{name} has unknown scalar with mixed signed bounds, pointer arithmetic with it prohibited for !root"
                );
            }
            let leftwards = (step.op == AluOp::Add) == negative;
            let limit = self.limit(step, pointer, leftwards)?;
            if !constant {
                self.known.explores_limits = true;
            }
            let of = Some(Masked { negative, constant, reversed: step.reversed });
            window = Some(Window { mask: Mask { of, limit }, leftwards });
        }
        if !constant {
            let next = self.next_pc();
            let pc = self.pc;
            let dst = step.dst;
            let mut unmoved = *pointer;
            if !step.reversed {
                // The kernel has forgotten these bounds when it takes the pointer over, and stumbles over it later:
                // copies of it have no bounds at all, and most accesses by them are never guessed.
                unmoved.num.unbounded_32();
            }
            match self.push(next, pc, true) {
                Ok(state) => state.current_mut().regs[dst.index()] = unmoved,
                Err(refusal) => refuse!(
                    NoMem,
                    "{}\n{} could not be pushed for speculative verification, pointer arithmetic with it prohibited for !root",
                    refusal.message,
                    Name(dst)
                ),
            }
        }
        Ok(window)
    }

    /// The pointer was moved: no further than the window is wide (`sanitize_ptr_alu`, after the operation).
    pub(super) fn close_window(&mut self, step: &Move, window: Option<Window>) -> Check {
        let Some(Window { mask, leftwards }) = window else { return Ok(()) };
        let moved = *self.reg(step.dst);
        let left = self.limit(step, &moved, leftwards)?;
        let limit = (mask.limit.wrapping_sub(left) as i32).unsigned_abs();
        self.mask(step, Mask { limit, ..mask })
    }

    /// Whether nothing can be guessed wrong here (`can_skip_alu_sanitation`).
    fn needs_no_mask(&self, step: &Move) -> bool {
        self.rights.spec_v1
            || matches!(step.src, Operand::Imm(_))
            || self.known.stops_speculation[self.pc.index()]
    }

    /// An instruction is masked in one way (`update_alu_sanitation_state`).
    fn mask(&mut self, step: &Move, mask: Mask) -> Check {
        let known = *self.known.masked.entry(self.pc).or_insert(mask);
        if known != mask {
            refuse!(
                Acces,
                "{} tried to {} from different maps, paths or scalars, pointer arithmetic with it prohibited for !root",
                Name(step.dst),
                verb(step.op)
            );
        }
        Ok(())
    }

    /// How far from the object's edge the pointer is (`retrieve_ptr_limit`).
    fn limit(&self, step: &Move, pointer: &Reg, leftwards: bool) -> Check<u32> {
        let (limit, most) = match pointer.kind {
            Kind::Stack => {
                let off = pointer.num.var_off.value.wrapping_add(pointer.off as i64 as u64);
                // The frame's end is outside of it, but steps to the left begin there.
                (off.wrapping_neg() as u32, self.env.limits.stack as u32 + u32::from(leftwards))
            }
            Kind::MapValue(map) => {
                let far = if leftwards { pointer.num.smin as u64 } else { pointer.num.umax };
                let off = far.wrapping_add(pointer.off as i64 as u64);
                (off as u32, self.env.maps[usize::from(map)].value_size)
            }
            _ => refuse!(
                Acces,
                "{} has pointer with unsupported alu operation, pointer arithmetic with it prohibited for !root",
                Name(step.pointer())
            ),
        };
        if limit >= most {
            refuse!(
                Acces,
                "{} tried to {} beyond pointer bounds, pointer arithmetic with it prohibited for !root",
                Name(step.dst),
                verb(step.op)
            );
        }
        Ok(limit)
    }

    /// A pointer that was moved stays inside of its object, so that a mask can keep it there (`sanitize_check_bounds`).
    pub(super) fn sanitize_bounds(&self, dst: R) -> Check {
        if self.rights.spec_v1 {
            return Ok(());
        }
        let moved = self.reg(dst);
        match moved.kind {
            Kind::Stack => {
                let off = moved.off.wrapping_add(moved.num.var_off.value as i32);
                if !moved.num.is_const() {
                    refuse!(
                        Acces,
                        "{} variable stack access prohibited for !root, var_off={} off={off}",
                        Name(dst),
                        moved.num.var_off
                    );
                }
                if !(-self.env.limits.stack..0).contains(&off) {
                    refuse!(
                        Acces,
                        "{} stack pointer arithmetic goes out of range, prohibited for !root; off={off}",
                        Name(dst)
                    );
                }
            }
            Kind::MapValue(map) => {
                if let Err(refusal) = self.check_map_access(dst, map, moved.off, 1, false, false) {
                    refuse!(
                        Acces,
                        "{}\n{} pointer arithmetic of map value goes out of range, prohibited for !root",
                        refusal.message,
                        Name(dst)
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether operations of this kind are masked (`sanitize_needed`).
fn is_masked(op: AluOp) -> bool {
    matches!(op, AluOp::Add | AluOp::Sub)
}

fn verb(op: AluOp) -> &'static str {
    if op == AluOp::Sub { "sub" } else { "add" }
}
