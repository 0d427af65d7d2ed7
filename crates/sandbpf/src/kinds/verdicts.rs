//! What the answers of programs mean whose context is bytes.
//!
//! Hooks look at the lower half of `r0`. Where an answer's meaning depends on where the program is attached, which the
//! program does not say, the verdict keeps the number and answers questions about it.

use super::skb::LwtVerdict;

/// Whether an event is recorded: probes, tracepoints, performance events.
///
/// ```
/// use sandbpf::{Kprobe, Loader, Program};
/// let probe: Program<Kprobe> = Loader::new().load("r0 = 0\nexit")?;
/// assert!(!probe.run(&[0; 168])?.is_recorded());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recorded(pub i32);

impl Recorded {
    /// Whether the event goes into the buffer of who asked for it: any answer but 0 (`trace_call_bpf`).
    pub fn is_recorded(self) -> bool {
        self.0 != 0
    }

    /// Whether the other half of a session, at the function's end, does not run.
    pub fn skips_return(self) -> bool {
        self.0 == 1
    }
}

/// A number that nobody looks at: raw tracepoints, remote controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ignored(pub i32);

/// The answer of a program at a function, a typed tracepoint or an iterator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Traced(pub i32);

impl Traced {
    /// At a function whose result may be changed (`fmod_ret`): the result, if the function does not run.
    pub fn overrides(self) -> Option<i32> {
        (self.0 != 0).then_some(self.0)
    }

    /// Of an iterator: whether it is called once more for the same object, with room for what it prints.
    pub fn is_repeated(self) -> bool {
        self.0 == 1
    }
}

/// The largest number of an error (`MAX_ERRNO`).
const MAX_ERRNO: i32 = 4095;
const LEAST_ERROR: i32 = -MAX_ERRNO;

/// What a security hook decides.
///
/// ```
/// use sandbpf::{Loader, Lsm, LsmVerdict, Program};
/// let hook: Program<Lsm> = Loader::new().load("r0 = -1\nexit")?;
/// assert_eq!(hook.run(&[0; 8])?, LsmVerdict::Deny { errno: 1 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LsmVerdict {
    /// It is allowed.
    Allow,
    /// It is refused.
    Deny {
        /// The error, as a positive number.
        errno: i32,
    },
    /// Another number, which means what the hook says.
    Other(i32),
}

impl LsmVerdict {
    /// What an answer means at a hook for a control group, where 1 allows and 0 refuses.
    pub fn of_cgroup(answer: u32) -> LsmVerdict {
        const EPERM: i32 = 1;
        match answer {
            0 => LsmVerdict::Deny { errno: EPERM },
            1 => LsmVerdict::Allow,
            other => LsmVerdict::Other(other as i32),
        }
    }
}

impl From<i32> for LsmVerdict {
    fn from(value: i32) -> Self {
        match value {
            0 => LsmVerdict::Allow,
            LEAST_ERROR..=-1 => LsmVerdict::Deny { errno: -value },
            other => LsmVerdict::Other(other),
        }
    }
}

/// What a control group lets its processes do: sockets, addresses, devices, variables of the kernel, socket options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permission(pub u32);

impl Permission {
    /// Whether it is allowed; what is not fails with `EPERM`, or with what `bpf_set_retval` said.
    pub fn is_allowed(self) -> bool {
        self.0 & 1 != 0
    }

    /// Of `bind`: whether a privileged port needs no privilege.
    pub fn needs_no_privilege(self) -> bool {
        self.0 & 2 != 0
    }
}

/// What becomes of a message, or a packet that looks for its socket (`enum sk_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkAction {
    /// It is dropped.
    Drop,
    /// It goes on.
    Pass,
    /// Another number: it is dropped.
    Other(u32),
}

impl From<u32> for SkAction {
    fn from(value: u32) -> Self {
        match value {
            0 => SkAction::Drop,
            1 => SkAction::Pass,
            other => SkAction::Other(other),
        }
    }
}

/// The answer of a program on a stream between sockets: of a verdict, or of a parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamAnswer(pub i32);

impl StreamAnswer {
    /// What a verdict means.
    pub fn action(self) -> SkAction {
        SkAction::from(self.0 as u32)
    }

    /// Of a parser: how long the message is; 0 if more must come before that is known, nothing if the stream is
    /// damaged.
    pub fn message_len(self) -> Option<u32> {
        u32::try_from(self.0).ok()
    }
}

/// What netfilter does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NetfilterVerdict {
    /// It is dropped (`NF_DROP`).
    Drop,
    /// It goes on (`NF_ACCEPT`).
    Accept,
    /// A number that programs may not answer.
    Other(u32),
}

impl From<u32> for NetfilterVerdict {
    fn from(value: u32) -> Self {
        match value {
            0 => NetfilterVerdict::Drop,
            1 => NetfilterVerdict::Accept,
            other => NetfilterVerdict::Other(other),
        }
    }
}

/// The number that a function answers which the kernel or a process called: operations, replaced functions, system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Returned(pub u64);

impl Returned {
    /// As a number of 32 bits with a sign, which most functions answer.
    pub fn to_i32(self) -> i32 {
        self.0 as i32
    }

    /// The error that it says, as a positive number, if it does.
    pub fn errno(self) -> Option<i32> {
        self.to_i32().checked_neg().filter(|errno| (1..=MAX_ERRNO).contains(errno))
    }
}

/// From `r0` to each of them.
pub(crate) trait Verdict {
    fn of(r0: u64) -> Self;
}

macro_rules! verdicts {
    ($( $Verdict:ident = |$r0:ident| $value:expr; )*) => { $(
        impl Verdict for $Verdict {
            fn of($r0: u64) -> Self {
                $value
            }
        }
    )* };
}

verdicts! {
    Recorded = |r0| Recorded(r0 as i32);
    Ignored = |r0| Ignored(r0 as i32);
    Traced = |r0| Traced(r0 as i32);
    LsmVerdict = |r0| LsmVerdict::from(r0 as i32);
    Permission = |r0| Permission(r0 as u32);
    SkAction = |r0| SkAction::from(r0 as u32);
    StreamAnswer = |r0| StreamAnswer(r0 as i32);
    NetfilterVerdict = |r0| NetfilterVerdict::from(r0 as u32);
    LwtVerdict = |r0| LwtVerdict::from(r0 as u32);
    Returned = |r0| Returned(r0);
}

#[cfg(test)]
mod tests {
    use sandbpf_abi::{AttachType, Program, ProgramType, Returns};

    use super::*;

    /// The table of types says what programs may return; every such answer has a meaning of its own.
    #[test]
    fn what_may_be_returned_has_a_meaning() {
        let range = |program_type: ProgramType, at: AttachType| match Program::new(program_type)
            .attached(at)
            .returns()
        {
            Returns::Range(low, high) => low..=high,
            other => panic!("{program_type}: {other:?}"),
        };
        for value in range(ProgramType::SkLookup, AttachType::SK_LOOKUP) {
            assert!(!matches!(SkAction::of(value as u64), SkAction::Other(_)), "{value}");
        }
        for value in range(ProgramType::Netfilter, AttachType::NETFILTER) {
            assert!(!matches!(NetfilterVerdict::of(value as u64), NetfilterVerdict::Other(_)), "{value}");
        }
        for value in range(ProgramType::Lsm, AttachType::LSM_CGROUP) {
            assert!(!matches!(LsmVerdict::of_cgroup(value as u32), LsmVerdict::Other(_)), "{value}");
        }
        for value in range(ProgramType::CgroupSockAddr, AttachType::CGROUP_INET4_BIND) {
            let verdict = Permission::of(value as u64);
            let bits = u32::from(verdict.is_allowed()) | u32::from(verdict.needs_no_privilege()) << 1;
            assert_eq!(i64::from(bits), value);
        }
        // What has happened cannot be refused.
        for &at in AttachType::AFTER_THE_FACT {
            let mut values = range(ProgramType::CgroupSockAddr, at);
            assert!(values.all(|value| Permission::of(value as u64).is_allowed()));
        }
        // Entry and exit of functions change nothing.
        for at in [AttachType::TRACE_FENTRY, AttachType::TRACE_FEXIT] {
            assert!(
                range(ProgramType::Tracing, at).all(|value| Traced::of(value as u64).overrides().is_none())
            );
        }
    }

    #[test]
    fn errors_are_positive_numbers() {
        assert_eq!(LsmVerdict::of(-13i64 as u64), LsmVerdict::Deny { errno: 13 });
        assert_eq!(LsmVerdict::of(-4096i64 as u64), LsmVerdict::Other(-4096));
        assert_eq!(LsmVerdict::of(i64::from(i32::MIN) as u64), LsmVerdict::Other(i32::MIN));
        assert_eq!((Returned(-22i64 as u64).errno(), Returned(0).errno()), (Some(22), None));
        assert_eq!(Returned(i64::from(i32::MIN) as u64).errno(), None);
    }
}
