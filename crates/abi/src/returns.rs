//! Return values: what may be in `r0` when a program exits.

use crate::AttachType as At;

/// What may be in `r0` at the end of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// Anything that was written, a pointer too.
    Any,
    /// A number that is known to be in this range, bounds included; all 64 bits count.
    Range(i64, i64),
    /// What the type of the function says that it is attached to.
    Target,
}

impl Returns {
    /// Whether a program may return this number.
    ///
    /// ```
    /// use sandbpf_abi::Returns;
    /// assert!(Returns::Range(0, 1).takes(1) && !Returns::Range(0, 1).takes(1 << 32));
    /// ```
    pub const fn takes(self, value: i64) -> bool {
        match self {
            Returns::Any | Returns::Target => true,
            Returns::Range(low, high) => low <= value && value <= high,
        }
    }
}

/// What programs that are attached to one of these may return; no attach type stands for all others.
pub(crate) type Rule = (&'static [At], Returns);

pub(crate) const ANY: &[Rule] = &[(&[], Returns::Any)];
pub(crate) const BOOLEAN: &[Rule] = &[(&[], Returns::Range(0, 1))];

/// A session says whether its other half runs.
pub(crate) const PROBE: &[Rule] =
    &[(&[At::TRACE_KPROBE_SESSION, At::TRACE_UPROBE_SESSION], Returns::Range(0, 1)), (&[], Returns::Any)];

/// On the way out, the second bit says that the packet met congestion.
pub(crate) const CGROUP_SKB: &[Rule] =
    &[(&[At::CGROUP_INET_EGRESS], Returns::Range(0, 3)), (&[], Returns::Range(0, 1))];

/// What has happened cannot be refused; `bind` may ask that a privileged port need no privilege.
pub(crate) const SOCK_ADDR: &[Rule] = &[
    (At::AFTER_THE_FACT, Returns::Range(1, 1)),
    (&[At::CGROUP_INET4_BIND, At::CGROUP_INET6_BIND], Returns::Range(0, 3)),
    (&[], Returns::Range(0, 1)),
];

pub(crate) const TRACING: &[Rule] = &[
    (&[At::TRACE_FENTRY, At::TRACE_FEXIT], Returns::Range(0, 0)),
    (&[At::TRACE_ITER], Returns::Range(0, 1)),
    (&[], Returns::Any),
];

/// A hook for a control group allows or not; others return what the hook returns.
pub(crate) const LSM: &[Rule] = &[(&[At::LSM_CGROUP], Returns::Range(0, 1)), (&[], Returns::Target)];

/// What the callback of a timer or another function that runs later may return.
pub const ASYNC_CALLBACK: Returns = Returns::Range(0, 0);
