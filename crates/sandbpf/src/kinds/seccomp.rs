//! Seccomp policies: from a system call to what the kernel does about it.

use std::fmt;

use sandbpf_runtime::memory::Region;
use sandbpf_runtime::{Machine, Trap, address};

use super::{Enter, Kind};
use crate::image::{Image, Scratch};
use crate::{ClassicInsn, Dialect, KindName, LoadError, Loader, Program};

/// A system call as a policy sees it (`struct seccomp_data`).
pub use sandbpf_abi::SeccompData as SyscallData;

/// Seccomp policies: classic filters over [`SyscallData`].
#[derive(Clone, Copy, Debug)]
pub enum Seccomp {}

impl Enter for Seccomp {}

impl Kind for Seccomp {
    type Input<'i> = &'i SyscallData;
    type Verdict = SeccompAction;
    const NAME: KindName = KindName::Seccomp;

    #[inline]
    fn verdict(r0: u64) -> SeccompAction {
        SeccompAction::from(r0 as u32)
    }

    #[inline(always)]
    fn answer(image: &Image, call: &&SyscallData) -> Option<u64> {
        // All that look at the architecture, as policies should, want to know the whole call.
        image.pure.of_call(call)
    }

    #[cold]
    #[inline(never)]
    fn at_length(image: &Image, call: &&SyscallData) -> Option<u64> {
        const { assert!(SyscallData::NR == 0) };
        image.pure.run(&[], call.nr as u32, || call.to_bytes(), image.limits.instructions)
    }

    #[inline]
    fn enter(
        image: &Image,
        scratch: &mut Scratch,
        call: &SyscallData,
        run: impl FnOnce(&mut Machine<'_>) -> Result<u64, Trap>,
    ) -> Result<u64, Trap> {
        let bytes = call.to_bytes();
        let mut machine = image.machine(&mut scratch.stack);
        // 64 bytes fit any region.
        let _ = machine.memory.set_context(Region::Read(&bytes));
        machine.registers[1] = address::CONTEXT;
        run(&mut machine)
    }
}

impl Program<Seccomp> {
    /// Loads a seccomp filter, as passed to `seccomp(2)`, if the kernel would install it.
    pub fn from_classic(filter: &[ClassicInsn]) -> Result<Self, LoadError> {
        Loader::new().dialect(Dialect::Seccomp).load(filter)
    }
}

/// What the kernel does with a system call, from the `SECCOMP_RET_*` value of the policy.
///
/// Values that Linux does not know kill the process, as they do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SeccompAction {
    /// The process ends with `SIGSYS`.
    KillProcess,
    /// The thread ends with `SIGSYS`.
    KillThread,
    /// The thread gets a `SIGSYS`, with this data.
    Trap(u16),
    /// The call fails with this error number.
    Errno(u16),
    /// A supervisor decides.
    UserNotify,
    /// A tracer decides, with this data.
    Trace(u16),
    /// The call is made, and logged.
    Log,
    /// The call is made.
    Allow,
}

/// The highest error number that [`SeccompAction::Errno`] can give (`MAX_ERRNO`).
const MAX_ERRNO: u16 = 4095;

impl From<u32> for SeccompAction {
    #[inline]
    fn from(value: u32) -> Self {
        // What nearly all calls come to is not looked for among the rest.
        match value >> 16 {
            0x7fff => SeccompAction::Allow,
            0x0005 => SeccompAction::Errno((value as u16).min(MAX_ERRNO)),
            _ => SeccompAction::seldom(value),
        }
    }
}

impl SeccompAction {
    /// What others come to, out of their way.
    #[inline(never)]
    fn seldom(value: u32) -> Self {
        let data = value as u16;
        match value & 0xffff_0000 {
            0x0000_0000 => SeccompAction::KillThread,
            0x0003_0000 => SeccompAction::Trap(data),
            0x7fc0_0000 => SeccompAction::UserNotify,
            0x7ff0_0000 => SeccompAction::Trace(data),
            0x7ffc_0000 => SeccompAction::Log,
            _ => SeccompAction::KillProcess,
        }
    }
}

/// The name that `SECCOMP_RET_*` has for it, with the data.
impl fmt::Display for SeccompAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeccompAction::KillProcess => f.pad("KILL_PROCESS"),
            SeccompAction::KillThread => f.pad("KILL_THREAD"),
            SeccompAction::Trap(data) => write!(f, "TRAP({data})"),
            SeccompAction::Errno(errno) => write!(f, "ERRNO({errno})"),
            SeccompAction::UserNotify => f.pad("USER_NOTIF"),
            SeccompAction::Trace(data) => write!(f, "TRACE({data})"),
            SeccompAction::Log => f.pad("LOG"),
            SeccompAction::Allow => f.pad("ALLOW"),
        }
    }
}
