//! Scalars: a number's known bits and its bounds, signed and unsigned, of all 64 bits and of the low 32.
//!
//! The parts know of each other: [`Scalar::sync`] lets each learn from the others, in the same steps and to the same
//! extent as Linux 6.18 does (`reg_bounds_sync`), no further: what is known decides how many paths there are.

use sandbpf_isa::{Size, Width};

use super::Tnum;

/// What is known of a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub struct Scalar {
    /// Its known bits.
    pub var_off: Tnum,
    pub smin: i64,
    pub smax: i64,
    pub umin: u64,
    pub umax: u64,
    pub s32_min: i32,
    pub s32_max: i32,
    pub u32_min: u32,
    pub u32_max: u32,
}

const HIGH: u64 = !(u32::MAX as u64);

impl Scalar {
    /// Any number.
    pub const UNKNOWN: Scalar = Scalar {
        var_off: Tnum::UNKNOWN,
        smin: i64::MIN,
        smax: i64::MAX,
        umin: 0,
        umax: u64::MAX,
        s32_min: i32::MIN,
        s32_max: i32::MAX,
        u32_min: 0,
        u32_max: u32::MAX,
    };

    /// This number.
    pub const fn known(value: u64) -> Scalar {
        Scalar {
            var_off: Tnum::constant(value),
            smin: value as i64,
            smax: value as i64,
            umin: value,
            umax: value,
            s32_min: value as i32,
            s32_max: value as i32,
            u32_min: value as u32,
            u32_max: value as u32,
        }
    }

    /// Whether all of it is known.
    #[inline]
    pub const fn is_const(&self) -> bool {
        self.var_off.is_const()
    }

    /// The number, if all of it is known.
    #[inline]
    pub const fn const_value(&self) -> Option<u64> {
        if self.var_off.is_const() { Some(self.var_off.value) } else { None }
    }

    /// The number that `width` bits of it are, if they are known.
    pub const fn const_at(&self, width: Width) -> Option<u64> {
        match width {
            Width::W64 => self.const_value(),
            Width::W32 if self.var_off.is_subreg_const() => Some(self.var_off.value as u32 as u64),
            Width::W32 => None,
        }
    }

    /// Forgets the bounds, not the bits.
    pub fn unbounded(&mut self) {
        *self = Scalar { var_off: self.var_off, ..Scalar::UNKNOWN };
    }

    /// Forgets the bounds of all 64 bits.
    pub fn unbounded_64(&mut self) {
        (self.smin, self.smax, self.umin, self.umax) = (i64::MIN, i64::MAX, 0, u64::MAX);
    }

    /// Forgets the bounds of the low 32 bits.
    pub fn unbounded_32(&mut self) {
        (self.s32_min, self.s32_max, self.u32_min, self.u32_max) = (i32::MIN, i32::MAX, 0, u32::MAX);
    }

    /// Whether this number may be it.
    pub fn contains(&self, number: u64) -> bool {
        let (signed, low, low_signed) = (number as i64, number as u32, number as i32);
        self.var_off.has(number)
            && (self.umin..=self.umax).contains(&number)
            && (self.smin..=self.smax).contains(&signed)
            && (self.u32_min..=self.u32_max).contains(&low)
            && (self.s32_min..=self.s32_max).contains(&low_signed)
    }

    /// Whether its bounds lie within those of another (`range_within`).
    pub fn is_within(&self, outer: &Scalar) -> bool {
        outer.umin <= self.umin
            && outer.umax >= self.umax
            && outer.smin <= self.smin
            && outer.smax >= self.smax
            && outer.u32_min <= self.u32_min
            && outer.u32_max >= self.u32_max
            && outer.s32_min <= self.s32_min
            && outer.s32_max >= self.s32_max
    }

    /// Whether the parts contradict each other: no number is like that.
    pub fn is_broken(&self) -> bool {
        let bounds = self.umin > self.umax
            || self.smin > self.smax
            || self.u32_min > self.u32_max
            || self.s32_min > self.s32_max;
        let value = self.var_off.value;
        let whole = self.var_off.is_const()
            && (self.umin != value
                || self.umax != value
                || self.smin != value as i64
                || self.smax != value as i64);
        let low = value as u32;
        let half = self.var_off.is_subreg_const()
            && (self.u32_min != low
                || self.u32_max != low
                || self.s32_min != low as i32
                || self.s32_max != low as i32);
        bounds || whole || half
    }

    /// Forgets the bounds if the parts contradict each other (`reg_bounds_sanity_check`).
    #[inline]
    pub fn settle(&mut self) {
        if self.is_broken() {
            self.unbounded();
        }
    }

    /// Lets bits and bounds learn from each other (`reg_bounds_sync`).
    #[inline]
    pub fn sync(&mut self) {
        // Constants have nothing to learn, nor have those of which nothing is known.
        let settled = match self.var_off {
            Tnum { mask: 0, value } => *self == Scalar::known(value),
            bits => bits.mask == u64::MAX && *self == Scalar::UNKNOWN,
        };
        if !settled {
            self.learn();
        }
    }

    fn learn(&mut self) {
        self.bounds_from_bits();
        for _ in 0..3 {
            let before = *self;
            self.deduce_32();
            self.deduce_64();
            self.deduce_mixed();
            if *self == before {
                break;
            }
        }
        self.bits_from_bounds();
        self.bounds_from_bits();
    }

    /// `__update_reg_bounds`.
    pub(super) fn bounds_from_bits(&mut self) {
        self.bounds_32_from_bits();
        let Tnum { value, mask } = self.var_off;
        let sign = i64::MIN as u64;
        self.smin = self.smin.max((value | (mask & sign)) as i64);
        self.smax = self.smax.min((value | (mask & !sign)) as i64);
        self.umin = self.umin.max(value);
        self.umax = self.umax.min(value | mask);
        if let Some(only) = self.only_number() {
            *self = Scalar::known(only);
        }
    }

    /// The only number that has these bits and lies within the unsigned bounds, if it is one and easily seen.
    #[inline]
    fn only_number(&self) -> Option<u64> {
        let bits = self.var_off;
        let next = bits.after(self.umin);
        if bits.has(self.umin) {
            (next > self.umax).then_some(self.umin)
        } else if next == bits.value | bits.mask || (next <= self.umax && bits.after(next) > self.umax) {
            Some(next)
        } else {
            None
        }
    }

    /// `__update_reg32_bounds`.
    pub(super) fn bounds_32_from_bits(&mut self) {
        let Tnum { value, mask } = self.var_off.subreg();
        let (value, mask) = (value as u32, mask as u32);
        let sign = i32::MIN as u32;
        self.s32_min = self.s32_min.max((value | (mask & sign)) as i32);
        self.s32_max = self.s32_max.min((value | (mask & !sign)) as i32);
        self.u32_min = self.u32_min.max(value);
        self.u32_max = self.u32_max.min(value | mask);
    }

    /// `__reg32_deduce_bounds`.
    fn deduce_32(&mut self) {
        if self.umin >> 32 == self.umax >> 32 {
            // The low halves have the order of the whole.
            let (min, max) = (self.umin as u32, self.umax as u32);
            self.u32_min = self.u32_min.max(min);
            self.u32_max = self.u32_max.min(max);
            self.signed_32_from(min, max);
        }
        if self.smin >> 32 == self.smax >> 32 {
            let (min, max) = (self.smin as u32, self.smax as u32);
            // Otherwise the bounds contradict each other.
            if min <= max {
                self.u32_min = self.u32_min.max(min);
                self.u32_max = self.u32_max.min(max);
            }
            self.signed_32_from(min, max);
        }
        // From just below a multiple of 2^32 to just above it.
        let crosses = |low: u64, high: u64| {
            ((low >> 32) as u32).wrapping_add(1) == (high >> 32) as u32
                && (low as i32) < 0
                && high as i32 >= 0
        };
        if crosses(self.umin, self.umax) {
            self.s32_min = self.s32_min.max(self.umin as i32);
            self.s32_max = self.s32_max.min(self.umax as i32);
        }
        if crosses(self.smin as u64, self.smax as u64) {
            self.s32_min = self.s32_min.max(self.smin as i32);
            self.s32_max = self.s32_max.min(self.smax as i32);
        }
        self.signed_32_from(self.u32_min, self.u32_max);
        if self.s32_min as u32 <= self.s32_max as u32 {
            self.u32_min = self.u32_min.max(self.s32_min as u32);
            self.u32_max = self.u32_max.min(self.s32_max as u32);
        } else if self.u32_max < self.s32_min as u32 {
            self.s32_min = self.u32_min as i32;
            self.u32_max = self.u32_max.min(self.s32_max as u32);
        } else if (self.s32_max as u32) < self.u32_min {
            self.s32_max = self.u32_max as i32;
            self.u32_min = self.u32_min.max(self.s32_min as u32);
        }
    }

    /// An unsigned range that does not cross the sign's boundary is a signed one too.
    fn signed_32_from(&mut self, min: u32, max: u32) {
        if min as i32 <= max as i32 {
            self.s32_min = self.s32_min.max(min as i32);
            self.s32_max = self.s32_max.min(max as i32);
        }
    }

    /// `__reg64_deduce_bounds`.
    fn deduce_64(&mut self) {
        if self.umin as i64 <= self.umax as i64 {
            self.smin = self.smin.max(self.umin as i64);
            self.smax = self.smax.min(self.umax as i64);
        }
        if self.smin as u64 <= self.smax as u64 {
            self.umin = self.umin.max(self.smin as u64);
            self.umax = self.umax.min(self.smax as u64);
        } else if self.umax < self.smin as u64 {
            // Only the part of the signed range that is not negative is left.
            self.smin = self.umin as i64;
            self.umax = self.umax.min(self.smax as u64);
        } else if (self.smax as u64) < self.umin {
            // Only the negative part is.
            self.smax = self.umax as i64;
            self.umin = self.umin.max(self.smin as u64);
        }
    }

    /// `__reg_deduce_mixed_bounds`.
    fn deduce_mixed(&mut self) {
        self.with_low(self.u32_min, self.u32_max);
        if self.s32_min as u32 <= self.s32_max as u32 {
            self.with_low(self.s32_min as u32, self.s32_max as u32);
        }
        // Of bounds that contradict each other this asks no more than the kernel does, so that they do so alike.
        if self.s32_min >= 0 && self.smin >= i32::MIN.into() && self.smax <= i32::MAX.into() {
            self.smin = self.s32_min.into();
            self.smax = self.s32_max.into();
            self.umin = self.s32_min as u64;
            self.umax = self.s32_max as u64;
            self.var_off = self.var_off.intersect(Tnum::range(self.umin, self.umax));
        }
    }

    /// The low half lies in this range.
    fn with_low(&mut self, min: u32, max: u32) {
        self.umin = self.umin.max((self.umin & HIGH) | u64::from(min));
        self.umax = self.umax.min((self.umax & HIGH) | u64::from(max));
        self.smin = self.smin.max(((self.smin as u64 & HIGH) | u64::from(min)) as i64);
        self.smax = self.smax.min(((self.smax as u64 & HIGH) | u64::from(max)) as i64);
    }

    /// `__reg_bound_offset`.
    fn bits_from_bounds(&mut self) {
        let whole = self.var_off.intersect(Tnum::range(self.umin, self.umax));
        let half = whole.subreg().intersect(Tnum::range(self.u32_min.into(), self.u32_max.into()));
        self.var_off = whole.clear_subreg().or(half);
    }

    /// The upper half becomes zero (`zext_32_to_64`).
    pub fn zero_extend_32(&mut self) {
        self.var_off = self.var_off.subreg();
        self.umin = self.u32_min.into();
        self.umax = self.u32_max.into();
        if self.s32_min >= 0 && self.s32_max >= 0 {
            self.smin = self.s32_min.into();
            self.smax = self.s32_max.into();
        } else {
            self.smin = 0;
            self.smax = u32::MAX.into();
        }
    }

    /// Only so many bytes stay, the others become zero (`coerce_reg_to_size`).
    pub fn truncate(&mut self, size: Size) {
        let bytes = size.bytes();
        if bytes >= 8 {
            return;
        }
        if *self == Scalar::UNKNOWN {
            *self = Scalar::LOADED[usize::from(bytes) / 2];
            return;
        }
        self.truncate_by_parts(size);
    }

    /// What is known of one, two and four bytes of which nothing is known.
    const LOADED: [Scalar; 3] = {
        let most = [u8::MAX as u64, u16::MAX as u64, u32::MAX as u64];
        let mut known = [Scalar::UNKNOWN; 3];
        let mut at = 0;
        while at < 3 {
            let most = most[at];
            let var_off = Tnum { value: 0, mask: most };
            known[at] =
                Scalar { var_off, smin: 0, smax: most as i64, umin: 0, umax: most, ..Scalar::UNKNOWN };
            if at < 2 {
                known[at].s32_min = 0;
                known[at].s32_max = most as i32;
                known[at].u32_max = most as u32;
            }
            at += 1;
        }
        known
    };

    pub(super) fn truncate_by_parts(&mut self, size: Size) {
        let bytes = size.bytes();
        self.var_off = self.var_off.cast(bytes);
        let keep = (1u64 << (bytes * 8)) - 1;
        (self.umin, self.umax) = match self.umin & !keep == self.umax & !keep {
            true => (self.umin & keep, self.umax & keep),
            false => (0, keep),
        };
        self.smin = self.umin as i64;
        self.smax = self.umax as i64;
        if bytes < 4 {
            self.unbounded_32();
        }
        self.sync();
    }

    /// So many bytes stay, and their sign (`coerce_reg_to_size_sx`, `coerce_subreg_to_size_sx`).
    pub fn sign_extend(&mut self, from: Size, width: Width) {
        if from == Size::DW {
            return;
        }
        match width {
            Width::W64 => self.sign_extend_64(from),
            Width::W32 => self.sign_extend_32(from),
        }
    }

    fn sign_extend_64(&mut self, from: Size) {
        let bits = u32::from(from.bytes()) * 8;
        if let Some(value) = self.const_value() {
            *self = Scalar::known(from.sign_extend(value));
            return;
        }
        if (self.smax as u64) >> bits == (self.smin as u64) >> bits {
            let (a, b) =
                (from.sign_extend(self.smax as u64) as i64, from.sign_extend(self.smin as u64) as i64);
            let (min, max) = (a.min(b), a.max(b));
            if (min >= 0) == (max >= 0) {
                *self = Scalar {
                    var_off: Tnum::range(min as u64, max as u64),
                    smin: min,
                    smax: max,
                    umin: min as u64,
                    umax: max as u64,
                    s32_min: min as i32,
                    s32_max: max as i32,
                    u32_min: min as u32,
                    u32_max: max as u32,
                };
                return;
            }
        }
        let most = (1i64 << (bits - 1)) - 1;
        *self = Scalar {
            smin: -most - 1,
            smax: most,
            s32_min: (-most - 1) as i32,
            s32_max: most as i32,
            ..Scalar::UNKNOWN
        };
    }

    fn sign_extend_32(&mut self, from: Size) {
        let bits = u32::from(from.bytes()) * 8;
        if bits >= 32 {
            return;
        }
        let extend = |value: u32| from.sign_extend(value.into()) as i32;
        if let Some(value) = self.const_value() {
            let value = extend(value as u32);
            self.var_off = Tnum::constant(i64::from(value) as u64);
            (self.s32_min, self.s32_max) = (value, value);
            (self.u32_min, self.u32_max) = (value as u32, value as u32);
            return;
        }
        if (self.s32_max as u32) >> bits == (self.s32_min as u32) >> bits {
            let (a, b) = (extend(self.s32_max as u32), extend(self.s32_min as u32));
            let (min, max) = (a.min(b), a.max(b));
            if (min >= 0) == (max >= 0) {
                (self.s32_min, self.s32_max) = (min, max);
                (self.u32_min, self.u32_max) = (min as u32, max as u32);
                self.var_off = Tnum::range(i64::from(min) as u64, i64::from(max) as u64).subreg();
                return;
            }
        }
        let most = (1i32 << (bits - 1)) - 1;
        (self.s32_min, self.s32_max) = (-most - 1, most);
        (self.u32_min, self.u32_max) = (0, u32::MAX);
        self.var_off = Tnum::UNKNOWN.subreg();
    }
}
