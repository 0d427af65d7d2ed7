//! When a packet was captured.

/// A time since 1970-01-01 00:00:00 UTC, as the file says it.
///
/// Broken files have fractions of more than a second, and negative ones; these are kept, as libpcap keeps them, so
/// that a packet that is written again says what it said.
///
/// *Why signed:* the 32 bits of a pcap file have no sign by the draft, and last until 2106. libpcap 1.10, on a
/// little-endian machine, takes them for signed in little-endian files, where time then jumps from 2038 to 1901, and
/// for unsigned in the others, which it swaps. This follows it, so that both give the same answers; what is written
/// has the same bits again. The times of pcapng have 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds.
    pub seconds: i64,
    /// Nanoseconds to add: below 1 000 000 000 in every sound file.
    pub nanos: i64,
}

/// What the fractions of a pcap file count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// Millionths of a second.
    #[default]
    Micro,
    /// Billionths of a second.
    Nano,
}

impl Resolution {
    /// Nanoseconds in one unit.
    #[inline]
    pub(crate) fn nanos(self) -> i64 {
        match self {
            Resolution::Micro => 1000,
            Resolution::Nano => 1,
        }
    }
}

/// How the 64-bit times of a pcapng interface count: `if_tsresol` and `if_tsoffset`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) ticks_per_second: u64,
    pub(crate) offset: i64,
}

impl Clock {
    /// Microseconds since 1970: what an interface without options has.
    pub(crate) const DEFAULT: Clock = Clock { ticks_per_second: 1_000_000, offset: 0 };

    #[inline]
    pub(crate) fn timestamp(self, ticks: u64) -> Timestamp {
        // The first two arms let the compiler divide by constants.
        let (seconds, nanos) = match self.ticks_per_second {
            1_000_000 => (ticks / 1_000_000, ticks % 1_000_000 * 1000),
            1_000_000_000 => (ticks / 1_000_000_000, ticks % 1_000_000_000),
            other => (ticks / other, scale(ticks % other, other)),
        };
        Timestamp { seconds: (seconds as i64).wrapping_add(self.offset), nanos: nanos as i64 }
    }

    /// What a pcap file needs to keep these times.
    pub(crate) fn resolution(self) -> Resolution {
        if self.ticks_per_second > 1_000_000 { Resolution::Nano } else { Resolution::Micro }
    }
}

/// `fraction / ticks_per_second` in nanoseconds; below 10^9, as `fraction` is below `ticks_per_second`.
fn scale(fraction: u64, ticks_per_second: u64) -> u64 {
    (u128::from(fraction) * 1_000_000_000 / u128::from(ticks_per_second)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resolution_counts_the_same_instant() {
        for exponent in 0..=19 {
            let clock = Clock { ticks_per_second: 10u64.pow(exponent), offset: -3 };
            let time = clock.timestamp(clock.ticks_per_second + clock.ticks_per_second / 2);
            let half = if exponent == 0 { 0 } else { 500_000_000 };
            assert_eq!(time, Timestamp { seconds: -2, nanos: half }, "10^-{exponent}");
        }
        for exponent in 1..64 {
            let clock = Clock { ticks_per_second: 1 << exponent, offset: 0 };
            let time = clock.timestamp(1 << (exponent - 1));
            assert_eq!(time, Timestamp { seconds: 0, nanos: 500_000_000 }, "2^-{exponent}");
        }
    }
}
