//! Time that goes by during a run: as captures and events say, so that timers fire when they are due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sandbpf::{Fired, Host, LaterKind, SystemHost};
use sandbpf_capture::Timestamp;
use serde::Serialize;

/// A clock that shows when the packet was captured that programs run on.
#[derive(Clone, Debug, Default)]
pub(crate) struct CaptureClock(Arc<AtomicU64>);

impl CaptureClock {
    /// Sets the clock, which never goes back; nanoseconds since 1970.
    pub(super) fn set(&self, timestamp: Timestamp) -> u64 {
        let seconds = u64::try_from(timestamp.seconds).unwrap_or(0);
        let now =
            seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(timestamp.nanos).unwrap_or(0));
        self.0.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

impl Host for CaptureClock {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn random(&self) -> u32 {
        SystemHost.random()
    }
}

/// A callback that ran, as reports show it.
#[derive(Debug, Serialize)]
pub(super) struct Callback {
    kind: &'static str,
    map: String,
    key: String,
    time_ns: u64,
    returned: Option<u64>,
    trap: Option<String>,
}

impl Callback {
    pub(super) fn of(fired: Fired) -> Callback {
        let Fired { kind, map, key, time_ns, result } = fired;
        let kind = match kind {
            LaterKind::Timer => "timer",
            LaterKind::Work => "work",
            LaterKind::TaskWork => "task work",
            _ => "callback",
        };
        let trap = result.as_ref().err().map(ToString::to_string);
        Callback { kind, map, key: hex::encode(key), time_ns, returned: result.ok(), trap }
    }

    pub(super) fn trapped(&self) -> bool {
        self.trap.is_some()
    }
}

impl std::fmt::Display for Callback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Callback { kind, map, key, time_ns, returned, trap } = self;
        write!(f, "{kind} of {map}[{key}] at {time_ns} ns: ")?;
        match (returned, trap) {
            (Some(value), _) => write!(f, "returned {value}"),
            (None, trap) => write!(f, "trapped: {}", trap.as_deref().unwrap_or_default()),
        }
    }
}
