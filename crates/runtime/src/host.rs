//! The world outside the machine: time, dice, CPUs, the log.

use std::sync::OnceLock;
use std::time::Instant;

/// What helpers ask the outside world. Every method has a safe, deterministic default.
///
/// ```
/// use sandbpf_runtime::{FrozenHost, Host};
/// struct Noon;
/// impl Host for Noon { fn now_ns(&self) -> u64 { 12 * 3600 * 1_000_000_000 } }
/// assert_eq!(FrozenHost.now_ns(), 0);
/// assert_eq!(Noon.cpu(), 0);
/// ```
pub trait Host: Send + Sync + 'static {
    /// Nanoseconds of a monotonic clock.
    fn now_ns(&self) -> u64 {
        0
    }

    /// A random number.
    fn random(&self) -> u32 {
        4
    }

    /// The processor that the program runs on.
    fn cpu(&self) -> u32 {
        0
    }
}

/// A host in which time stands still and dice are loaded: for tests and fuzzing.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrozenHost;

impl Host for FrozenHost {}

/// The host that this process runs on: its clock, and random numbers good enough for sampling.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemHost;

impl Host for SystemHost {
    fn now_ns(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }

    fn random(&self) -> u32 {
        fastrand::u32(..)
    }
}
