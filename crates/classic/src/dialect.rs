//! Whose rules hold: libpcap's, those of Linux sockets, or those of seccomp.
//!
//! The table has one row for every way in which they differ and is all that the rest of the crate
//! knows about it.

/// Whose rules a filter follows.
///
/// ```
/// use sandbpf_classic::{Dialect, Filter, parse};
/// let filter = parse("ld #1\nlsh #32\nret a")?;
/// assert!(Filter::check(&filter, Dialect::Libpcap).is_ok());
/// assert!(Filter::check(&filter, Dialect::Linux).is_err());
/// # Ok::<(), sandbpf_classic::TextError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The filters of libpcap 1.10 as `pcap_offline_filter` checks and runs them in user space.
    Libpcap,
    /// The filters of Linux 6.18 sockets (`SO_ATTACH_FILTER`).
    Linux,
    /// The filters of Linux 6.18 system calls (`SECCOMP_SET_MODE_FILTER`).
    Seccomp,
}

/// What loads read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loads {
    /// Bytes of a packet; offsets are numbers that neither wrap nor are negative.
    Bounded,
    /// Bytes of a packet; offsets are computed modulo 2³² and have a sign. Negative ones address
    /// headers, and absolute ones from `SKF_AD_OFF` on what the socket knows of the packet.
    Wrapping,
    /// Words of `struct seccomp_data`.
    SystemCall,
}

/// The ways in which dialects differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How many instructions a filter may have.
    pub(crate) max_insns: usize,
    /// Whether every opcode must exist, in code that is never reached as well.
    pub(crate) known_opcodes: bool,
    /// Whether `ja` may jump back: its distance is taken modulo 2³².
    pub(crate) jumps_back: bool,
    /// Whether `M[]` must be stored before it is loaded.
    pub(crate) stores_first: bool,
    /// Whether shifts by a constant of 32 or more are refused. Where they are not, 5 bits count.
    pub(crate) short_shifts: bool,
    /// Whether shifting by an `X` of 32 or more gives 0. Otherwise 5 bits count.
    pub(crate) shifts_out: bool,
    /// What loads read.
    pub(crate) loads: Loads,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Dialect; 3] = [Dialect::Libpcap, Dialect::Linux, Dialect::Seccomp];

    pub(crate) const fn rules(self) -> Rules {
        match self {
            Dialect::Libpcap => Rules {
                // libpcap has no limit. This one keeps the lowered program, a few instructions for
                // each, below `isa::MAX_INSNS`; no filter of libpcap's compiler comes near.
                max_insns: 1 << 21,
                known_opcodes: false,
                jumps_back: true,
                stores_first: false,
                short_shifts: false,
                shifts_out: true,
                loads: Loads::Bounded,
            },
            Dialect::Linux => Rules {
                max_insns: 4096,
                known_opcodes: true,
                jumps_back: false,
                stores_first: true,
                short_shifts: true,
                shifts_out: false,
                loads: Loads::Wrapping,
            },
            Dialect::Seccomp => Rules { loads: Loads::SystemCall, ..Dialect::Linux.rules() },
        }
    }
}
