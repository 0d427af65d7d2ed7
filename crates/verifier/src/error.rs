//! Rejections: why a program is not accepted, in the kernel's words and as data.

use std::fmt;

use sandbpf_isa::Pc;

/// The errno of a rejection, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Errno {
    /// Something is not allowed by its form.
    #[default]
    Inval,
    /// An access is not allowed.
    Acces,
    /// The loader has no right to it.
    Perm,
    /// The program is too large or too complex.
    TooBig,
    /// A mistake of the verifier itself, or a place that does not exist.
    Fault,
    /// Something named does not exist.
    NoEnt,
    /// A number is out of its range.
    Range,
    /// It is not supported.
    OpNotSupp,
    /// The kernel's own number 524.
    NotSupp,
    /// It is taken.
    Busy,
    /// Not a descriptor.
    BadF,
    /// Out of memory.
    NoMem,
    /// A loop or chain is too long.
    NoLink,
    /// Something that goes with it is missing.
    Proto,
    /// Not supported by this protocol.
    ProtoNoSupport,
    /// There is one already.
    Exist,
    /// Several would do (`ESRCH`).
    NoMatch,
}

impl Errno {
    /// Its name as of `errno.h`.
    pub const fn name(self) -> &'static str {
        match self {
            Errno::Inval => "EINVAL",
            Errno::Acces => "EACCES",
            Errno::Perm => "EPERM",
            Errno::TooBig => "E2BIG",
            Errno::Fault => "EFAULT",
            Errno::NoEnt => "ENOENT",
            Errno::Range => "ERANGE",
            Errno::OpNotSupp => "EOPNOTSUPP",
            Errno::NotSupp => "ENOTSUPP",
            Errno::Busy => "EBUSY",
            Errno::BadF => "EBADF",
            Errno::NoMem => "ENOMEM",
            Errno::NoLink => "ENOLINK",
            Errno::Proto => "EPROTO",
            Errno::ProtoNoSupport => "EPROTONOSUPPORT",
            Errno::Exist => "EEXIST",
            Errno::NoMatch => "ESRCH",
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a program is not accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejection {
    /// What `bpf(2)` would return.
    pub errno: Errno,
    /// The instruction that was looked at, if the program was being walked.
    pub pc: Option<Pc>,
    /// The kernel's words; several lines if it says several things.
    pub message: String,
    /// The branches that lead to the instruction: from, to.
    pub path: Vec<(Pc, Pc)>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pc {
            Some(pc) => write!(f, "rejected at {pc}: {} ({})", self.message, self.errno),
            None => write!(f, "rejected: {} ({})", self.message, self.errno),
        }
    }
}

impl std::error::Error for Rejection {}

/// What a check that fails hands up; the walk adds where.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    pub(crate) message: String,
}

/// The result of a check.
pub(crate) type Check<T = ()> = Result<T, Box<Refusal>>;

/// Refuses with this errno and message.
macro_rules! refuse {
    ($errno:ident, $($message:tt)*) => {
        return Err(Box::new($crate::error::Refusal {
            errno: $crate::error::Errno::$errno,
            message: format!($($message)*),
        }))
    };
}
pub(crate) use refuse;
