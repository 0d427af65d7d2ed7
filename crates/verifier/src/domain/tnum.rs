//! Tristate numbers: for each bit, whether it is known, and if so, what it is.

use std::fmt;

/// A set of numbers that agree in the known bits: those with a 0 in `mask`. `value` has a 0 where `mask` has a 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tnum {
    /// The known bits that are 1.
    pub value: u64,
    /// The bits that are not known.
    pub mask: u64,
}

const LOW: u64 = u32::MAX as u64;

impl Tnum {
    /// Any number.
    pub const UNKNOWN: Tnum = Tnum { value: 0, mask: u64::MAX };

    /// This number.
    pub const fn constant(value: u64) -> Tnum {
        Tnum { value, mask: 0 }
    }

    /// The bits that all numbers from `min` to `max` have in common.
    pub const fn range(min: u64, max: u64) -> Tnum {
        let differing = 64 - (min ^ max).leading_zeros();
        if differing > 63 {
            return Tnum::UNKNOWN;
        }
        let mask = (1 << differing) - 1;
        Tnum { value: min & !mask, mask }
    }

    /// Shifted to the left.
    pub const fn lshift(self, by: u8) -> Tnum {
        Tnum { value: self.value << by, mask: self.mask << by }
    }

    /// Shifted to the right.
    pub const fn rshift(self, by: u8) -> Tnum {
        Tnum { value: self.value >> by, mask: self.mask >> by }
    }

    /// Shifted to the right as a signed number of so many bits, 32 or 64.
    pub const fn arshift(self, by: u8, bits: u8) -> Tnum {
        if bits == 32 {
            return Tnum {
                value: ((self.value as i32) >> by) as u32 as u64,
                mask: ((self.mask as i32) >> by) as u32 as u64,
            };
        }
        Tnum { value: ((self.value as i64) >> by) as u64, mask: ((self.mask as i64) >> by) as u64 }
    }

    /// The sum.
    pub const fn add(self, other: Tnum) -> Tnum {
        let masks = self.mask.wrapping_add(other.mask);
        let values = self.value.wrapping_add(other.value);
        // Where the largest and the smallest sum differ a carry is not known.
        let carries = masks.wrapping_add(values) ^ values;
        let mask = carries | self.mask | other.mask;
        Tnum { value: values & !mask, mask }
    }

    /// The difference.
    pub const fn sub(self, other: Tnum) -> Tnum {
        let values = self.value.wrapping_sub(other.value);
        let borrows = values.wrapping_add(self.mask) ^ values.wrapping_sub(other.mask);
        let mask = borrows | self.mask | other.mask;
        Tnum { value: values & !mask, mask }
    }

    /// The negative.
    pub const fn neg(self) -> Tnum {
        Tnum::constant(0).sub(self)
    }

    /// Bitwise and.
    pub const fn and(self, other: Tnum) -> Tnum {
        let value = self.value & other.value;
        Tnum { value, mask: (self.value | self.mask) & (other.value | other.mask) & !value }
    }

    /// Bitwise or.
    pub const fn or(self, other: Tnum) -> Tnum {
        let value = self.value | other.value;
        Tnum { value, mask: (self.mask | other.mask) & !value }
    }

    /// Bitwise exclusive or.
    pub const fn xor(self, other: Tnum) -> Tnum {
        let mask = self.mask | other.mask;
        Tnum { value: (self.value ^ other.value) & !mask, mask }
    }

    /// The product, by long multiplication: an unknown bit adds its partial product or does not.
    pub const fn mul(self, other: Tnum) -> Tnum {
        let (mut a, mut b) = (self, other);
        let mut sum = Tnum::constant(0);
        while a.value | a.mask != 0 {
            if a.value & 1 != 0 {
                sum = sum.add(b);
            } else if a.mask & 1 != 0 {
                sum = sum.union(sum.add(b));
            }
            a = a.rshift(1);
            b = b.lshift(1);
        }
        sum
    }

    /// Whether some number is in both.
    pub const fn overlap(self, other: Tnum) -> bool {
        let known = !self.mask & !other.mask;
        self.value & known == other.value & known
    }

    /// The numbers that are in both, if there are any.
    pub const fn intersect(self, other: Tnum) -> Tnum {
        let mask = self.mask & other.mask;
        Tnum { value: (self.value | other.value) & !mask, mask }
    }

    /// The least that holds both.
    pub const fn union(self, other: Tnum) -> Tnum {
        let mask = (self.value ^ other.value) | self.mask | other.mask;
        Tnum { value: self.value & other.value & !mask, mask }
    }

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Tnum) -> bool {
        other.mask & !self.mask == 0 && other.value & !self.mask == self.value
    }

    /// Whether this number is in it.
    pub const fn has(self, number: u64) -> bool {
        number & !self.mask == self.value
    }

    /// The least number in it that is greater than this one, or the greatest in it if there is none.
    pub const fn after(self, number: u64) -> u64 {
        let most = self.value | self.mask;
        if number >= most {
            return most;
        }
        if number < self.value {
            return self.value;
        }
        // Counting up within the mask: bits outside of it are full, so that carries pass through them, and so is all
        // below the highest bit that no number in it has.
        let distance = number - self.value;
        let full = match (distance & !self.mask).checked_ilog2() {
            Some(bit) => u64::MAX >> (63 - bit),
            None => 0,
        };
        self.value | ((distance | full | !self.mask).wrapping_add(1) & self.mask)
    }

    /// The low bytes, the others zero; eight bytes are all.
    pub const fn cast(self, bytes: u8) -> Tnum {
        if bytes >= 8 {
            return self;
        }
        let keep = (1u64 << (bytes * 8)) - 1;
        Tnum { value: self.value & keep, mask: self.mask & keep }
    }

    /// The low half.
    pub const fn subreg(self) -> Tnum {
        self.cast(4)
    }

    /// The high half, the low one zero.
    pub const fn clear_subreg(self) -> Tnum {
        Tnum { value: self.value & !LOW, mask: self.mask & !LOW }
    }

    /// The high half, with this low one.
    pub const fn with_subreg(self, low: Tnum) -> Tnum {
        self.clear_subreg().or(low.subreg())
    }

    /// The high half, with this number for the low one.
    pub const fn const_subreg(self, low: u32) -> Tnum {
        self.with_subreg(Tnum::constant(low as u64))
    }

    /// The low bytes in the opposite order, the others zero.
    pub const fn swap(self, bytes: u8) -> Tnum {
        let by = 64 - bytes as u32 * 8;
        Tnum { value: self.value.swap_bytes() >> by, mask: self.mask.swap_bytes() >> by }
    }

    /// Whether all bits are known.
    pub const fn is_const(self) -> bool {
        self.mask == 0
    }

    /// Whether no bit is.
    pub const fn is_unknown(self) -> bool {
        self.mask == u64::MAX
    }

    /// Whether all bits of the low half are.
    pub const fn is_subreg_const(self) -> bool {
        self.mask & LOW == 0
    }

    /// Whether it is a multiple of this power of two for certain.
    pub const fn is_aligned(self, size: u64) -> bool {
        size == 0 || (self.value | self.mask) & (size - 1) == 0
    }
}

impl fmt::Display for Tnum {
    /// As the kernel prints it (`tnum_strn`): `(0x0; 0xff)`, and what is known whole as a number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.mask, self.value) {
            (0, small @ ..=0xffff) => write!(f, "{small}"),
            (0, large) => write!(f, "{large:#x}"),
            (mask, value) => write!(f, "({value:#x}; {mask:#x})"),
        }
    }
}
