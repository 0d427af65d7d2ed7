//! The stack: what may be read and written where, and what a register holds that was spilled and filled again.

use sandbpf_isa::{Extend, Reg as R, Size};

use super::Name;
use super::alu::width_of;
use super::memory::Access;
use super::pointer::MAX_VAR_OFF;
use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{Byte, Flags, Kind, Reg, Slot, Touched, slot_of};

impl Verifier<'_> {
    fn frame_of(&self, reg: &Reg) -> usize {
        usize::from(reg.frame).min(self.cur.depth())
    }

    /// Asks that the access lies inside of the frame (`check_stack_access_within_bounds`), and grows the stack to it.
    pub(super) fn check_stack_bounds(&mut self, base: R, off: i32, size: i32, write: bool) -> Check {
        let reg = *self.reg(base);
        let what = if write { " write to" } else { " read from" };
        let (min, max) = match reg.num.const_value() {
            Some(value) => {
                let min = (value as i64).wrapping_add(off.into());
                (min, min.wrapping_add(size.into()))
            }
            None => {
                if reg.num.smax >= MAX_VAR_OFF || reg.num.smin <= -MAX_VAR_OFF {
                    refuse!(Acces, "invalid unbounded variable-offset{what} stack {}", Name(base));
                }
                let off = i64::from(off);
                (reg.num.smin + off, reg.num.smax + off + i64::from(size))
            }
        };
        let frame = self.frame_of(&reg);
        let lowest = match write || self.rights.uninit_stack {
            true => -i64::from(self.env.limits.stack),
            false => -(self.cur.frames[frame].stack.len() as i64 * 8),
        };
        let inside = min >= lowest && min < 0 && max <= 0 && size >= 0;
        if !inside {
            let number = Name(base);
            let message = match reg.num.is_const() {
                true => format!("invalid{what} stack {number} off={off} size={size}"),
                false => format!(
                    "invalid variable-offset{what} stack {number} var_off={} off={off} size={size}",
                    reg.num.var_off
                ),
            };
            if min >= lowest && min < 0 && max > 0 {
                refuse!(Inval, "{message}");
            }
            if min >= lowest && min < 0 {
                refuse!(Fault, "{message}");
            }
            refuse!(Acces, "{message}");
        }
        self.grow_stack(frame, min as i32);
        Ok(())
    }

    fn grow_stack(&mut self, frame: usize, off: i32) {
        if self.cur.frames[frame].stack.len() <= slot_of(off) {
            self.cur.frame_mut(frame).grow(off);
        }
        let function = self.cur.frames[frame].function as usize;
        let depth = (slot_of(off) as i32 + 1) * 8;
        self.known.stack_depth[function] = self.known.stack_depth[function].max(depth);
    }

    pub(super) fn write_stack(&mut self, access: &Access, off: i32) -> Check {
        let reg = *self.reg(access.base);
        let frame = self.frame_of(&reg);
        match reg.num.const_value() {
            Some(value) => self.write_stack_at(access, frame, off.wrapping_add(value as i32)),
            None => self.write_stack_somewhere(access, frame, &reg, off),
        }
    }

    /// `check_stack_write_fixed_off`.
    fn write_stack_at(&mut self, access: &Access, frame: usize, off: i32) -> Check {
        let size = access.bytes() as usize;
        let at = slot_of(off);
        let place = (-off - 1) as usize;
        let slot = self.cur.frames[frame].stack[at];
        self.life.touch(at);
        if !self.rights.ptr_leaks && slot.is_spill() && !slot.is_scalar_spill() && size != 8 {
            refuse!(Acces, "attempt to corrupt spilled pointer on stack");
        }
        let current = self.cur.depth();
        let value = access.value.map(|value| *self.reg(value));
        if !self.rights.spec_v4 {
            let spills_pointer = value.is_some_and(|value| is_spillable(&value));
            let bytes = (0..size).map(|i| slot.bytes[(place - i) % 8]);
            if spills_pointer || bytes.into_iter().any(|byte| !matches!(byte, Byte::Misc | Byte::Zero)) {
                self.known.stops_after[self.pc.index()] = true;
            }
        }
        self.destroy_dynptr(frame, at)?;
        if size == 8 && off % 8 == 0 {
            self.life.write(frame, 1 << at);
        }
        let spill = Touched { slot: Some((frame as u8, at as u8)), ..Touched::default() };
        let whole = off % 8 == 0;
        if let (Some(number), Some(value)) = (access.value, value)
            && whole
            && value.is_scalar()
            && self.rights.bpf
        {
            let fits = width_of(&value) <= 8 * size as u32;
            if fits {
                self.link(number);
            }
            let mut stored = *self.reg(number);
            if !fits {
                stored.id = 0;
            }
            self.spill(frame, at, stored, size);
            self.write_step(spill, 0);
        } else if let Some(imm) = access.imm
            && whole
            && self.rights.bpf
        {
            let stored = self.constant(imm as i64 as u64);
            self.spill(frame, at, stored, size);
            self.write_step(spill, 0);
        } else if let Some(value) = value.filter(is_spillable) {
            if size != 8 {
                refuse!(Acces, "invalid size of register spill");
            }
            if frame != current && value.kind == Kind::Stack {
                refuse!(Inval, "cannot spill pointers to stack into stack frame of the caller");
            }
            self.spill(frame, at, value, size);
            self.write_step(spill, 0);
        } else {
            self.scrub(frame, at);
            let zero = value.is_some_and(|value| value.is_zero()) || access.imm == Some(0);
            if zero && let Some(value) = access.value {
                self.needs_precise(value)?;
            }
            let byte = if zero { Byte::Zero } else { Byte::Misc };
            let slot = &mut self.cur.frame_mut(frame).stack[at];
            for i in 0..size {
                slot.bytes[(place - i) % 8] = byte;
            }
        }
        Ok(())
    }

    /// Puts a register into the upper `size` bytes of a slot (`save_register_state`).
    fn spill(&mut self, frame: usize, at: usize, reg: Reg, size: usize) {
        let slot = &mut self.cur.frame_mut(frame).stack[at];
        slot.reg = reg;
        // The bytes of the value are those at the lowest addresses.
        for (i, byte) in slot.bytes.iter_mut().enumerate() {
            *byte = if i >= 8 - size { Byte::Spill } else { beside(*byte) };
        }
    }

    /// What was spilled is spilled no more (`scrub_special_slot`).
    fn scrub(&mut self, frame: usize, at: usize) {
        let slot = &mut self.cur.frame_mut(frame).stack[at];
        if slot.is_special() {
            for byte in &mut slot.bytes {
                if *byte != Byte::Invalid {
                    *byte = Byte::Misc;
                }
            }
        }
        slot.reg = Reg::UNINIT;
    }

    /// `check_stack_write_var_off`.
    fn write_stack_somewhere(&mut self, access: &Access, frame: usize, reg: &Reg, off: i32) -> Check {
        if !self.rights.spec_v1 {
            refuse!(
                Acces,
                "{} variable offset stack access prohibited for !root, var_off={} off={off}",
                Name(access.base),
                reg.num.var_off
            );
        }
        let min = reg.num.smin as i32 + off;
        let max = reg.num.smax as i32 + off + access.bytes() as i32;
        let zero = access.value.is_some_and(|value| self.reg(value).is_zero()) || access.imm == Some(0);
        for i in min..max {
            self.destroy_dynptr(frame, slot_of(i))?;
        }
        let mut zero_used = false;
        for i in min..max {
            let at = slot_of(i);
            let place = (-i - 1) as usize % 8;
            self.life.touch(at);
            let slot = self.cur.frames[frame].stack[at];
            let byte = slot.bytes[place];
            if !self.rights.ptr_leaks && !matches!(byte, Byte::Misc | Byte::Zero) {
                let pc = self.slot(self.pc);
                refuse!(Inval, "spilled ptr in range of var-offset stack write; insn {pc}, ptr off: {i}");
            }
            if zero && byte == Byte::Spill && slot.is_scalar_spill() && slot.reg.is_zero() {
                zero_used = true;
                continue;
            }
            self.scrub(frame, at);
            let mut new = Byte::Misc;
            if zero && byte == Byte::Zero {
                new = Byte::Zero;
                zero_used = true;
            }
            if byte == Byte::Invalid && !self.rights.uninit_stack {
                let pc = self.slot(self.pc);
                refuse!(
                    Inval,
                    "uninit stack in range of var-offset write prohibited for !root; insn {pc}, off: {i}"
                );
            }
            self.cur.frame_mut(frame).stack[at].bytes[place] = new;
        }
        if zero_used && let Some(value) = access.value {
            self.needs_precise(value)?;
        }
        Ok(())
    }

    pub(super) fn read_stack(&mut self, access: &Access, off: i32) -> Check {
        let reg = *self.reg(access.base);
        let frame = self.frame_of(&reg);
        let Some(value) = reg.num.const_value() else {
            let Some(dst) = access.value else {
                refuse!(
                    Acces,
                    "variable offset stack pointer cannot be passed into helper function; var_off={} off={off} size={}",
                    reg.num.var_off,
                    access.bytes()
                );
            };
            let size = access.bytes() as i32;
            self.check_stack_range(access.base, off, size, false, false, None)?;
            let min = reg.num.smin as i32 + off;
            let max = reg.num.smax as i32 + off + size;
            self.load_bytes(frame, min, max, dst);
            return Ok(());
        };
        self.read_stack_at(access, frame, off.wrapping_add(value as i32))
    }

    /// What bytes give that are no register: zero or anything (`mark_reg_stack_read`).
    fn load_bytes(&mut self, frame: usize, min: i32, max: i32, dst: R) {
        let stack = &self.cur.frames[frame].stack;
        let zeros = (min..max).all(|i| stack[slot_of(i)].bytes[(-i - 1) as usize % 8] == Byte::Zero);
        let loaded = if zeros { self.constant(0) } else { self.unknown() };
        self.set(dst, loaded);
    }

    /// `check_stack_read_fixed_off`.
    fn read_stack_at(&mut self, access: &Access, frame: usize, off: i32) -> Check {
        let size = access.bytes() as usize;
        let at = slot_of(off);
        let place = (-off - 1) as usize;
        let slot = self.cur.frames[frame].stack[at];
        let fill = Touched { slot: Some((frame as u8, at as u8)), ..Touched::default() };
        self.life.read(frame, 1 << at);
        self.life.touch(at);
        let unreadable = |i: usize| -> Check {
            refuse!(Acces, "invalid read from stack off {off}+{i} size {size}");
        };
        let readable = |byte: Byte| {
            matches!(byte, Byte::Misc | Byte::Zero) || (byte == Byte::Invalid && self.rights.uninit_stack)
        };
        if !slot.is_spill() {
            for i in 0..size {
                if !readable(slot.bytes[(place - i) % 8]) {
                    return unreadable(i);
                }
            }
            if let Some(dst) = access.value {
                self.load_bytes(frame, off, off + size as i32, dst);
            }
            return Ok(());
        }
        let spilled = slot.bytes.iter().rev().take_while(|byte| **byte == Byte::Spill).count();
        if size == 8 && spilled == 8 {
            match access.value {
                Some(dst) => self.set(dst, slot.reg),
                None if !self.rights.ptr_leaks && !slot.reg.is_scalar() => {
                    refuse!(Acces, "leaking pointer from stack off {off}");
                }
                None => {}
            }
            self.write_step(fill, 0);
            return Ok(());
        }
        if !slot.reg.is_scalar() {
            refuse!(Acces, "invalid size of register fill");
        }
        let Some(dst) = access.value else { return Ok(()) };
        // Little-endian: a narrow fill of the value's low bytes.
        if size <= spilled && off % 8 == 0 {
            let mut filled = slot.reg;
            if width_of(&filled) > 8 * size as u32 {
                filled.id = 0;
                filled.off = 0;
            }
            self.set(dst, filled);
            self.write_step(fill, 0);
            return Ok(());
        }
        let (mut spills, mut zeros) = (0, 0);
        for i in 0..size {
            match slot.bytes[(place - i) % 8] {
                Byte::Spill => spills += 1,
                Byte::Zero => zeros += 1,
                byte if readable(byte) => {}
                _ => return unreadable(i),
            }
        }
        if spills == size && slot.reg.is_zero() {
            let zero = self.constant(0);
            self.set(dst, zero);
            self.write_step(fill, 0);
        } else {
            let loaded = if zeros == size { self.constant(0) } else { self.unknown() };
            self.set(dst, loaded);
        }
        Ok(())
    }

    /// Asks that so many bytes of the stack may be read, or overwritten by a helper (`check_stack_range_initialized`).
    pub(super) fn check_stack_range(
        &mut self,
        base: R,
        off: i32,
        size: i32,
        zero_allowed: bool,
        write: bool,
        raw: Option<&mut Raw>,
    ) -> Check {
        let reg = *self.reg(base);
        if size == 0 && !zero_allowed {
            refuse!(Acces, "invalid zero-sized read");
        }
        self.check_stack_bounds(base, off, size, write)?;
        let frame = self.frame_of(&reg);
        let constant = reg.num.const_value();
        let (min, max) = match constant {
            Some(value) => (off.wrapping_add(value as i32), off.wrapping_add(value as i32)),
            None => {
                if !self.rights.spec_v1 {
                    refuse!(
                        Acces,
                        "{} variable offset stack access prohibited for !root, var_off={}",
                        Name(base),
                        reg.num.var_off
                    );
                }
                (reg.num.smin as i32 + off, reg.num.smax as i32 + off)
            }
        };
        if let Some(raw) = raw
            && raw.is_raw
            && constant.is_some()
        {
            for i in min..max + size {
                let slot = self.cur.frames[frame].stack.get(slot_of(i));
                if slot.is_some_and(|slot| slot.bytes[(-i - 1) as usize % 8] == Byte::Dynptr) {
                    refuse!(Acces, "potential write to dynptr at off={i} disallowed");
                }
            }
            raw.size = size;
            raw.base = Some(base);
            return Ok(());
        }
        for i in min..max + size {
            let at = slot_of(i);
            let place = (-i - 1) as usize % 8;
            let slot = self.cur.frames[frame].stack[at];
            let byte = slot.bytes[place];
            let readable = match byte {
                Byte::Misc => true,
                Byte::Zero => true,
                Byte::Invalid => self.rights.uninit_stack,
                _ => false,
            };
            if readable {
                if write && byte != Byte::Misc {
                    self.cur.frame_mut(frame).stack[at].bytes[place] = Byte::Misc;
                }
            } else if slot.is_spill() && (slot.reg.is_scalar() || self.rights.ptr_leaks) {
                if write {
                    let unknown = self.unknown();
                    let slot = &mut self.cur.frame_mut(frame).stack[at];
                    slot.reg = unknown;
                    for byte in &mut slot.bytes {
                        if *byte != Byte::Invalid {
                            *byte = Byte::Misc;
                        }
                    }
                }
            } else {
                let number = Name(base);
                match constant {
                    Some(_) => {
                        refuse!(Acces, "invalid read from stack {number} off {min}+{} size {size}", i - min);
                    }
                    None => refuse!(
                        Acces,
                        "invalid read from stack {number} var_off {}+{} size {size}",
                        reg.num.var_off,
                        i - min
                    ),
                }
            }
            self.life.read(frame, 1 << at);
        }
        Ok(())
    }

    /// A helper writes so many bytes there, whatever was there before.
    pub(super) fn overwrite(&mut self, raw: &Raw) -> Check {
        let Some(base) = raw.base else { return Ok(()) };
        for off in 0..raw.size {
            self.access(Access {
                base,
                off,
                size: Size::B,
                write: true,
                value: None,
                imm: None,
                aligned: false,
                extend: Extend::Zero,
            })?;
        }
        Ok(())
    }

    /// The slots of a frame, to change one.
    pub(super) fn slot_mut(&mut self, frame: usize, at: usize) -> &mut Slot {
        &mut self.cur.frame_mut(frame).stack[at]
    }
}

/// Memory that a helper writes and that need not be written before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw {
    pub(crate) is_raw: bool,
    pub(crate) base: Option<R>,
    pub(crate) size: i32,
}

/// What a byte of a slot becomes that is beside what was spilled there (`mark_stack_slot_misc`).
fn beside(before: Byte) -> Byte {
    match before {
        // What was never written is not there to be read, whoever asks.
        Byte::Zero | Byte::Invalid => before,
        _ => Byte::Misc,
    }
}

/// Whether a pointer survives on the stack (`is_spillable_regtype`).
fn is_spillable(reg: &Reg) -> bool {
    let _ = Flags::NONE;
    !matches!(reg.kind, Kind::Uninit | Kind::Scalar | Kind::TpBuffer | Kind::Dynptr { .. })
}
