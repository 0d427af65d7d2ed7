//! Timing in turns: every subject runs a batch, then every subject the next, so that what disturbs the machine
//! disturbs all of them alike.
//!
//! A batch is as many runs as fill a millisecond or so; its time divided by its runs is one sample. The minimum is
//! the time on a quiet machine, the median says how quiet it was. On Linux it is the time of this thread alone: what
//! others take of the processor in the meantime does not count.

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Duration;

use core_affinity::CoreId;

/// What can be run many times in a row.
pub trait Subject {
    /// Runs `count` times and returns the last answer.
    ///
    /// # Panics
    ///
    /// If a run fails: it did not when its answer was checked.
    fn batch(&mut self, count: u32) -> u64;
}

/// A subject in a table: absent where an engine cannot run a program.
pub type Entry = Option<Box<dyn Subject>>;

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The least time of a batch.
    pub batch: Duration,
    /// Batches of each subject.
    pub rounds: usize,
}

/// Nanoseconds of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Time {
    /// The fastest batch.
    pub min: f64,
    /// The batch in the middle.
    pub median: f64,
}

impl Plan {
    /// For figures to quote.
    pub const FULL: Plan = Plan { batch: Duration::from_micros(1500), rounds: 21 };
    /// To see that everything runs.
    pub const QUICK: Plan = Plan { batch: Duration::from_micros(200), rounds: 5 };

    /// Times all subjects, in turns.
    pub fn measure(&self, subjects: &mut [Entry]) -> Vec<Option<Time>> {
        let counts: Vec<u32> = subjects
            .iter_mut()
            .map(|entry| entry.as_mut().map_or(0, |subject| self.calibrate(&mut **subject)))
            .collect();
        let mut samples = vec![Vec::with_capacity(self.rounds); subjects.len()];
        for round in 0..self.rounds {
            // Another one goes first each time: who runs after whom should not matter either.
            for turn in 0..subjects.len() {
                let at = (round + turn) % subjects.len();
                if let Some(subject) = &mut subjects[at] {
                    samples[at].push(sample(&mut **subject, counts[at]));
                }
            }
        }
        samples.into_iter().map(Time::of).collect()
    }

    /// How many runs fill a batch. Warms caches and predictors on the way.
    fn calibrate(&self, subject: &mut dyn Subject) -> u32 {
        let mut count = 1u32;
        loop {
            let nanoseconds = sample(subject, count) * f64::from(count);
            if nanoseconds >= self.batch.as_nanos() as f64 || count > u32::MAX / 2 {
                return count;
            }
            count *= 2;
        }
    }
}

fn sample(subject: &mut dyn Subject, count: u32) -> f64 {
    let start = clock::now();
    black_box(subject.batch(black_box(count)));
    clock::since(start).as_nanos() as f64 / f64::from(count)
}

/// The processor's time that this thread has had.
#[cfg(target_os = "linux")]
pub(crate) mod clock {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    pub(crate) fn now() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    pub(crate) fn since(start: Duration) -> Duration {
        now() - start
    }
}

/// Time as it goes by.
#[cfg(not(target_os = "linux"))]
pub(crate) mod clock {
    use std::time::{Duration, Instant};

    pub(crate) fn now() -> Instant {
        Instant::now()
    }

    pub(crate) fn since(start: Instant) -> Duration {
        start.elapsed()
    }
}

impl Time {
    fn of(mut samples: Vec<f64>) -> Option<Time> {
        samples.sort_unstable_by(f64::total_cmp);
        Some(Time { min: *samples.first()?, median: samples[samples.len() / 2] })
    }
}

/// The processors that this process may run on when it starts.
pub fn processors() -> &'static [CoreId] {
    static ALL: LazyLock<Vec<CoreId>> = LazyLock::new(|| core_affinity::get_core_ids().unwrap_or_default());
    &ALL
}

/// Stays on the last processor, which is the one least likely to serve interrupts; says whether it worked.
pub fn pin() -> bool {
    processors().last().copied().is_some_and(core_affinity::set_for_current)
}
