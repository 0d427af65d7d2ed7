//! What a run counts, and in how much detail.

use std::collections::BTreeMap;

use sandbpf::Trap;
use sandbpf_capture::Packet;

use super::clock::Callback;
use crate::ranges::Ranges;

/// What one capture gave.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) name: String,
    pub(super) link_type: String,
    pub(super) packets: u64,
    pub(super) matched: u64,
    /// Captured bytes, of all packets and of those that match.
    pub(super) bytes: u64,
    pub(super) matched_bytes: u64,
    pub(super) trapped: u64,
    /// How many packets the program changed.
    pub(super) changed: u64,
    /// The numbers of those that match, counted from 1.
    pub(super) matching: Ranges,
}

impl Tally {
    /// Counts a packet.
    #[inline]
    pub(super) fn saw(&mut self, packet: &Packet<'_>) {
        self.packets += 1;
        self.bytes += packet.data.len() as u64;
    }

    /// Counts the packet that was seen last among those that match, and lists its number if that is wanted.
    #[inline]
    pub(super) fn matches(&mut self, packet: &Packet<'_>, listed: bool) {
        self.matched += 1;
        self.matched_bytes += packet.data.len() as u64;
        if listed {
            self.matching.push(self.packets);
        }
    }

    /// Adds what was counted of packets that follow.
    pub(super) fn add(&mut self, more: Tally) {
        let Tally { packets, matched, bytes, matched_bytes, trapped, changed, matching, .. } = more;
        self.matching.append(&matching, self.packets);
        self.packets += packets;
        self.matched += matched;
        self.bytes += bytes;
        self.matched_bytes += matched_bytes;
        self.trapped += trapped;
        self.changed += changed;
    }
}

/// What all of them gave.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) tallies: Vec<Tally>,
    pub(super) returned: Histogram,
    /// The first traps; the others are counted.
    pub(super) traps: Vec<Trapped>,
    /// How many callbacks of timers ran, and how many of them trapped.
    pub(super) callbacks: u64,
    pub(super) callbacks_trapped: u64,
    /// The first that did.
    pub(super) trapped_callbacks: Vec<Callback>,
}

/// A packet on which the program trapped.
#[derive(Debug)]
pub(super) struct Trapped {
    /// The capture's place in [`Totals::tallies`].
    pub(super) capture: usize,
    pub(super) packet: u64,
    pub(super) trap: Trap,
}

impl Totals {
    /// How many traps are kept.
    const TRAPS: usize = 10;

    pub(super) fn sum(&self, of: impl Fn(&Tally) -> u64) -> u64 {
        self.tallies.iter().map(of).sum()
    }

    /// Counts a callback.
    pub(super) fn fired(&mut self, callback: Callback) {
        self.callbacks += 1;
        if callback.trapped() {
            self.callbacks_trapped += 1;
            if self.trapped_callbacks.len() < Totals::TRAPS {
                self.trapped_callbacks.push(callback);
            }
        }
    }

    #[cold]
    pub(super) fn trapped(&mut self, packet: u64, trap: Trap) {
        if self.traps.len() < Totals::TRAPS {
            let capture = self.tallies.len().saturating_sub(1);
            self.traps.push(Trapped { capture, packet, trap });
        }
    }
}

/// How often each value was returned.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: BTreeMap<u32, u64>,
    /// The value that came last, and how often in a row: most filters have two.
    run: (u32, u64),
}

impl Histogram {
    #[inline]
    pub(super) fn add(&mut self, value: u32) {
        if self.run.0 != value {
            self.flush();
            self.run = (value, 0);
        }
        self.run.1 += 1;
    }

    /// Adds what another one has counted.
    pub(super) fn merge(&mut self, mut other: Histogram) {
        self.flush();
        for (&value, &count) in other.counts() {
            *self.counts.entry(value).or_default() += count;
        }
    }

    /// The counts by value.
    pub(super) fn counts(&mut self) -> &BTreeMap<u32, u64> {
        self.flush();
        &self.counts
    }

    fn flush(&mut self) {
        let (value, count) = std::mem::take(&mut self.run);
        if count > 0 {
            *self.counts.entry(value).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn histograms_add_up() {
        let mut histogram = Histogram::default();
        [0, 0, 7].into_iter().for_each(|value| histogram.add(value));
        let mut other = Histogram::default();
        [7, 9, 0].into_iter().for_each(|value| other.add(value));
        histogram.merge(other);
        let counts: Vec<_> = histogram.counts().iter().map(|(&value, &count)| (value, count)).collect();
        assert_eq!(counts, [(0, 3), (7, 2), (9, 1)]);
    }

    #[test]
    fn runs_of_a_value_add_up() {
        let mut histogram = Histogram::default();
        [0, 0, 7, 0, 7, 7].into_iter().for_each(|value| histogram.add(value));
        let counts: Vec<_> = histogram.counts().iter().map(|(&value, &count)| (value, count)).collect();
        assert_eq!(counts, [(0, 3), (7, 3)]);
        assert!(Histogram::default().counts().is_empty());
    }
}
