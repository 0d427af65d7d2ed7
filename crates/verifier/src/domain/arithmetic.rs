//! Arithmetic on scalars: what is known of the result (`adjust_scalar_min_max_vals`).

use sandbpf_isa::{AluOp, Size, UnaryOp, Width};

use super::Scalar;

impl Scalar {
    /// What is known of `self op src`, on `width` bits; a 32-bit result has zeros above.
    pub fn alu(&self, op: AluOp, width: Width, src: &Scalar) -> Scalar {
        let copied = match op {
            AluOp::Mov => Some(Size::DW),
            AluOp::Movs8 => Some(Size::B),
            AluOp::Movs16 => Some(Size::H),
            AluOp::Movs32 => Some(Size::W),
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh if !shifts_by_constant(src, width) => {
                return Scalar::UNKNOWN;
            }
            // What 32-bit division leaves is not even known to have zeros above.
            AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod => return Scalar::UNKNOWN,
            _ => None,
        };
        if let Some(from) = copied {
            return src.copied(from, width);
        }
        self.of_constants(op, width, src).unwrap_or_else(|| self.combined(op, width, src))
    }

    /// What two numbers give that are known, and of which nothing else is.
    #[inline]
    fn of_constants(&self, op: AluOp, width: Width, src: &Scalar) -> Option<Scalar> {
        let (a, b) = (self.const_value()?, src.const_value()?);
        let is_plain = *self == Scalar::known(a) && *src == Scalar::known(b);
        is_plain.then(|| Scalar::known(op.eval(width, a, b)))
    }

    fn combined(&self, op: AluOp, width: Width, src: &Scalar) -> Scalar {
        let mut result = *self;
        match (op, width) {
            (AluOp::Add, _) => result.add(src),
            (AluOp::Sub, _) => result.sub(src),
            (AluOp::Mul, _) => result.mul(src),
            (AluOp::And, _) => result.and(src),
            (AluOp::Or, _) => result.or(src),
            (AluOp::Xor, _) => result.xor(src),
            (AluOp::Lsh, Width::W64) => result.lsh64(src),
            (AluOp::Lsh, Width::W32) => result.lsh32(src),
            (AluOp::Rsh, Width::W64) => result.rsh64(src),
            (AluOp::Rsh, Width::W32) => result.rsh32(src),
            (AluOp::Arsh, Width::W64) => result.arsh64(src),
            (AluOp::Arsh, Width::W32) => result.arsh32(src),
            _ => return Scalar::UNKNOWN,
        }
        if width == Width::W32 {
            result.zero_extend_32();
        }
        result.sync();
        result.settle();
        result
    }

    /// What is known of a copy of so many of its bytes, with their sign.
    fn copied(&self, from: Size, width: Width) -> Scalar {
        let mut copy = *self;
        copy.sign_extend(from, width);
        if width == Width::W32 {
            copy.zero_extend_32();
            copy.sync();
        }
        copy.settle();
        copy
    }

    /// What is known of a number that is always this far from it, as 64-bit numbers or, with zeros above, as 32-bit
    /// ones (`sync_linked_regs`).
    pub fn moved(&self, by: i64, width: Width) -> Scalar {
        let mut result = *self;
        result.add(&Scalar::known(by as u64));
        if width == Width::W32 {
            result.zero_extend_32();
        }
        result.sync();
        result
    }

    /// What is known of `op self`.
    pub fn unary(&self, op: UnaryOp) -> Scalar {
        let width = match op {
            UnaryOp::Neg64 => Width::W64,
            UnaryOp::Neg32 => Width::W32,
            UnaryOp::Le64 => return *self,
            UnaryOp::Le16 => return self.reordered(Size::H, false),
            UnaryOp::Le32 => return self.reordered(Size::W, false),
            UnaryOp::Be16 | UnaryOp::Swap16 => return self.reordered(Size::H, true),
            UnaryOp::Be32 | UnaryOp::Swap32 => return self.reordered(Size::W, true),
            UnaryOp::Be64 | UnaryOp::Swap64 => return self.reordered(Size::DW, true),
        };
        let mut result = Scalar::known(0);
        result.sub(self);
        result.var_off = self.var_off.neg();
        if width == Width::W32 {
            result.zero_extend_32();
        }
        result.sync();
        result
    }

    /// The low bytes, in the opposite order or not (`scalar_byte_swap`).
    fn reordered(&self, size: Size, swap: bool) -> Scalar {
        let mut result = *self;
        if swap {
            result.var_off = self.var_off.swap(size.bytes());
            result.unbounded();
        }
        match size {
            Size::DW => result.sync(),
            _ => result.truncate(size),
        }
        result
    }

    fn add(&mut self, src: &Scalar) {
        (self.s32_min, self.s32_max) =
            match (self.s32_min.checked_add(src.s32_min), self.s32_max.checked_add(src.s32_max)) {
                (Some(min), Some(max)) => (min, max),
                _ => (i32::MIN, i32::MAX),
            };
        let (min, min_over) = self.u32_min.overflowing_add(src.u32_min);
        let (max, max_over) = self.u32_max.overflowing_add(src.u32_max);
        // If all sums wrap around their order stays.
        (self.u32_min, self.u32_max) = if !min_over && max_over { (0, u32::MAX) } else { (min, max) };
        (self.smin, self.smax) = match (self.smin.checked_add(src.smin), self.smax.checked_add(src.smax)) {
            (Some(min), Some(max)) => (min, max),
            _ => (i64::MIN, i64::MAX),
        };
        let (min, min_over) = self.umin.overflowing_add(src.umin);
        let (max, max_over) = self.umax.overflowing_add(src.umax);
        (self.umin, self.umax) = if !min_over && max_over { (0, u64::MAX) } else { (min, max) };
        self.var_off = self.var_off.add(src.var_off);
    }

    fn sub(&mut self, src: &Scalar) {
        (self.s32_min, self.s32_max) =
            match (self.s32_min.checked_sub(src.s32_max), self.s32_max.checked_sub(src.s32_min)) {
                (Some(min), Some(max)) => (min, max),
                _ => (i32::MIN, i32::MAX),
            };
        let (min, min_under) = self.u32_min.overflowing_sub(src.u32_max);
        let (max, max_under) = self.u32_max.overflowing_sub(src.u32_min);
        (self.u32_min, self.u32_max) = if min_under && !max_under { (0, u32::MAX) } else { (min, max) };
        (self.smin, self.smax) = match (self.smin.checked_sub(src.smax), self.smax.checked_sub(src.smin)) {
            (Some(min), Some(max)) => (min, max),
            _ => (i64::MIN, i64::MAX),
        };
        let (min, min_under) = self.umin.overflowing_sub(src.umax);
        let (max, max_under) = self.umax.overflowing_sub(src.umin);
        (self.umin, self.umax) = if min_under && !max_under { (0, u64::MAX) } else { (min, max) };
        self.var_off = self.var_off.sub(src.var_off);
    }

    fn mul(&mut self, src: &Scalar) {
        self.var_off = self.var_off.mul(src.var_off);
        (self.u32_min, self.u32_max) =
            match (self.u32_min.checked_mul(src.u32_min), self.u32_max.checked_mul(src.u32_max)) {
                (Some(min), Some(max)) => (min, max),
                _ => (0, u32::MAX),
            };
        let corners = [
            self.s32_min.checked_mul(src.s32_min),
            self.s32_min.checked_mul(src.s32_max),
            self.s32_max.checked_mul(src.s32_min),
            self.s32_max.checked_mul(src.s32_max),
        ];
        (self.s32_min, self.s32_max) = extremes(corners).unwrap_or((i32::MIN, i32::MAX));
        (self.umin, self.umax) = match (self.umin.checked_mul(src.umin), self.umax.checked_mul(src.umax)) {
            (Some(min), Some(max)) => (min, max),
            _ => (0, u64::MAX),
        };
        let corners = [
            self.smin.checked_mul(src.smin),
            self.smin.checked_mul(src.smax),
            self.smax.checked_mul(src.smin),
            self.smax.checked_mul(src.smax),
        ];
        (self.smin, self.smax) = extremes(corners).unwrap_or((i64::MIN, i64::MAX));
    }

    fn and(&mut self, src: &Scalar) {
        let (whole, half) = (self.both_const(src), self.both_subreg_const(src));
        self.var_off = self.var_off.and(src.var_off);
        match half {
            true => self.known_32(),
            false => {
                let low = self.var_off.subreg();
                self.u32_min = low.value as u32;
                self.u32_max = self.u32_max.min(src.u32_max);
                self.signed_32();
            }
        }
        match whole {
            true => *self = Scalar::known(self.var_off.value),
            false => {
                self.umin = self.var_off.value;
                self.umax = self.umax.min(src.umax);
                self.signed_64();
                self.bounds_from_bits();
            }
        }
    }

    fn or(&mut self, src: &Scalar) {
        let (whole, half) = (self.both_const(src), self.both_subreg_const(src));
        self.var_off = self.var_off.or(src.var_off);
        match half {
            true => self.known_32(),
            false => {
                let low = self.var_off.subreg();
                self.u32_min = self.u32_min.max(src.u32_min);
                self.u32_max = (low.value | low.mask) as u32;
                self.signed_32();
            }
        }
        match whole {
            true => *self = Scalar::known(self.var_off.value),
            false => {
                self.umin = self.umin.max(src.umin);
                self.umax = self.var_off.value | self.var_off.mask;
                self.signed_64();
                self.bounds_from_bits();
            }
        }
    }

    fn xor(&mut self, src: &Scalar) {
        let (whole, half) = (self.both_const(src), self.both_subreg_const(src));
        self.var_off = self.var_off.xor(src.var_off);
        match half {
            true => self.known_32(),
            false => {
                let low = self.var_off.subreg();
                self.u32_min = low.value as u32;
                self.u32_max = (low.value | low.mask) as u32;
                self.signed_32();
            }
        }
        match whole {
            true => *self = Scalar::known(self.var_off.value),
            false => {
                self.umin = self.var_off.value;
                self.umax = self.var_off.value | self.var_off.mask;
                self.signed_64();
                self.bounds_from_bits();
            }
        }
    }

    fn both_const(&self, src: &Scalar) -> bool {
        self.var_off.is_const() && src.var_off.is_const()
    }

    fn both_subreg_const(&self, src: &Scalar) -> bool {
        self.var_off.is_subreg_const() && src.var_off.is_subreg_const()
    }

    /// The low half is what its bits say.
    fn known_32(&mut self) {
        let low = self.var_off.value as u32;
        (self.u32_min, self.u32_max) = (low, low);
        (self.s32_min, self.s32_max) = (low as i32, low as i32);
    }

    /// The signed bounds are the unsigned ones if these do not cross the sign's boundary, and none otherwise.
    fn signed_32(&mut self) {
        (self.s32_min, self.s32_max) = match self.u32_min as i32 <= self.u32_max as i32 {
            true => (self.u32_min as i32, self.u32_max as i32),
            false => (i32::MIN, i32::MAX),
        };
    }

    fn signed_64(&mut self) {
        (self.smin, self.smax) = match self.umin as i64 <= self.umax as i64 {
            true => (self.umin as i64, self.umax as i64),
            false => (i64::MIN, i64::MAX),
        };
    }

    fn lsh_low(&mut self, min: u64, max: u64) {
        (self.s32_min, self.s32_max) = (i32::MIN, i32::MAX);
        if max > 31 || u64::from(self.u32_max) > 1 << (31 - max) {
            (self.u32_min, self.u32_max) = (0, u32::MAX);
        } else {
            self.u32_min <<= min;
            self.u32_max <<= max;
        }
    }

    fn lsh32(&mut self, src: &Scalar) {
        let by = u64::from(src.u32_min);
        let low = self.var_off.subreg();
        self.lsh_low(by, src.u32_max.into());
        self.var_off = low.lshift(by as u8).subreg();
        self.unbounded_64();
        self.bounds_32_from_bits();
    }

    fn lsh64(&mut self, src: &Scalar) {
        let (min, max) = (src.umin, src.umax);
        (self.smin, self.smax) = match min == 32 && max == 32 {
            // How compilers extend a sign: shifted up here, down again afterwards.
            true => (i64::from(self.s32_min) << 32, i64::from(self.s32_max) << 32),
            false => (i64::MIN, i64::MAX),
        };
        if self.umax > 1 << (63 - max) {
            (self.umin, self.umax) = (0, u64::MAX);
        } else {
            self.umin <<= min;
            self.umax <<= max;
        }
        self.lsh_low(min, max);
        self.var_off = self.var_off.lshift(min as u8);
        self.bounds_from_bits();
    }

    fn rsh32(&mut self, src: &Scalar) {
        let low = self.var_off.subreg();
        (self.s32_min, self.s32_max) = (i32::MIN, i32::MAX);
        self.var_off = low.rshift(src.u32_min as u8);
        self.u32_min >>= src.u32_max;
        self.u32_max >>= src.u32_min;
        self.unbounded_64();
        self.bounds_32_from_bits();
    }

    fn rsh64(&mut self, src: &Scalar) {
        (self.smin, self.smax) = (i64::MIN, i64::MAX);
        self.var_off = self.var_off.rshift(src.umin as u8);
        self.umin >>= src.umax;
        self.umax >>= src.umin;
        self.unbounded_32();
        self.bounds_from_bits();
    }

    fn arsh32(&mut self, src: &Scalar) {
        let by = src.u32_min;
        self.s32_min >>= by;
        self.s32_max >>= by;
        self.var_off = self.var_off.subreg().arshift(by as u8, 32);
        (self.u32_min, self.u32_max) = (0, u32::MAX);
        self.unbounded_64();
        self.bounds_32_from_bits();
    }

    fn arsh64(&mut self, src: &Scalar) {
        let by = src.umin;
        self.smin >>= by;
        self.smax >>= by;
        self.var_off = self.var_off.arshift(by as u8, 64);
        (self.umin, self.umax) = (0, u64::MAX);
        self.unbounded_32();
        self.bounds_from_bits();
    }
}

/// Whether it is shifted by a constant that is less than the width (`is_safe_to_compute_dst_reg_range`).
fn shifts_by_constant(src: &Scalar, width: Width) -> bool {
    let constant = match width {
        Width::W32 => {
            src.var_off.is_subreg_const() && src.s32_min == src.s32_max && src.u32_min == src.u32_max
        }
        Width::W64 => src.var_off.is_const() && src.smin == src.smax && src.umin == src.umax,
    };
    constant && src.umax < u64::from(width.bits())
}

/// The least and the greatest, if all are there.
fn extremes<T: Ord + Copy>(all: [Option<T>; 4]) -> Option<(T, T)> {
    let mut bounds: Option<(T, T)> = None;
    for one in all {
        let one = one?;
        bounds = Some(bounds.map_or((one, one), |(min, max)| (min.min(one), max.max(one))));
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_constants_give_is_what_their_parts_give() {
        let edges = [0, 1, 2, 5, 31, 32, 63, 0x7f, 0x80, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
        let edges =
            edges.into_iter().flat_map(|low: u64| [low, low << 31, low << 32, !low, low.wrapping_neg()]);
        let edges: Vec<u64> = edges.collect();
        for (&a, &b) in edges.iter().flat_map(|a| edges.iter().map(move |b| (a, b))) {
            let (left, right) = (Scalar::known(a), Scalar::known(b));
            for &op in AluOp::ALL {
                for width in [Width::W32, Width::W64].into_iter().filter(|&width| op.has_width(width)) {
                    // What `alu` knows without its operands' parts.
                    let early = matches!(op, AluOp::Mov | AluOp::Movs8 | AluOp::Movs16 | AluOp::Movs32)
                        || matches!(op, AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod)
                        || !shifts_by_constant(&right, width);
                    if !early {
                        let by_parts = left.combined(op, width, &right);
                        assert_eq!(left.alu(op, width, &right), by_parts, "{a:#x} {op:?} {width:?} {b:#x}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_nothing_is_known_of_is_cut_at_once() {
        for size in [Size::B, Size::H, Size::W] {
            let mut cut = Scalar::UNKNOWN;
            cut.truncate(size);
            let mut by_parts = Scalar::UNKNOWN;
            by_parts.truncate_by_parts(size);
            assert_eq!(cut, by_parts, "{size:?}");
        }
    }
}
