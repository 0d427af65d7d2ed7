//! Remainders by a number that is known early: which byte of its record an offset is.
//!
//! A division takes longer than all the rest of finding a value. By a power of two it is a mask, and by most other numbers a
//! multiplication with the reciprocal, after Granlund and Montgomery: for `m = ceil(2^64 / d)` and `n * (m * d - 2^64) < 2^64`
//! the upper half of `n * m` is `n / d`.

/// Dividends for which reciprocals are exact.
const DIVIDENDS: u64 = 1 << 40;
/// Divisors for which they are.
const DIVISORS: u64 = 1 << 24;

/// A number to divide by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Divisor {
    divisor: u64,
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Mask(u64),
    Reciprocal(u64),
    Division,
}

impl Divisor {
    /// By this number, which is not zero.
    pub(crate) fn new(divisor: u64) -> Self {
        let divisor = divisor.max(1);
        let how = match divisor {
            _ if divisor.is_power_of_two() => How::Mask(divisor - 1),
            // Not a power of two, so this is the quotient rounded up.
            3..DIVISORS => How::Reciprocal(u64::MAX / divisor + 1),
            _ => How::Division,
        };
        Divisor { divisor, how }
    }

    /// `number % divisor`
    #[inline(always)]
    pub(crate) fn remainder(&self, number: u64) -> u64 {
        match self.how {
            How::Mask(mask) => number & mask,
            How::Reciprocal(reciprocal) if number < DIVIDENDS => {
                let quotient = ((u128::from(number) * u128::from(reciprocal)) >> 64) as u64;
                number - quotient * self.divisor
            }
            How::Reciprocal(_) | How::Division => number % self.divisor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_division(
            divisor in prop_oneof![1u64..100, 1..DIVISORS + 2, any::<u64>()],
            number in prop_oneof![0u64..1000, 0..DIVIDENDS + 2, any::<u64>()],
            times in 0u64..1 << 16,
        ) {
            let divisor = divisor.max(1);
            let exact = Divisor::new(divisor);
            for number in [number, number.wrapping_mul(divisor), divisor.wrapping_mul(times).wrapping_sub(1)] {
                prop_assert_eq!(exact.remainder(number), number % divisor);
            }
        }
    }
}
