//! Error numbers that helpers return, negated, as Linux has them on x86-64.

use crate::HelperResult;

macro_rules! errnos {
    ($($(#[doc = $doc:literal])* $NAME:ident = $value:literal;)*) => { $(
        $(#[doc = $doc])*
        pub const $NAME: i64 = $value;
    )* };
}

errnos! {
    /// Operation not permitted.
    EPERM = 1;
    /// No such entry.
    ENOENT = 2;
    /// No such process.
    ESRCH = 3;
    /// Argument list too long.
    E2BIG = 7;
    /// Bad file descriptor.
    EBADF = 9;
    /// Try again.
    EAGAIN = 11;
    /// Out of memory.
    ENOMEM = 12;
    /// Permission denied.
    EACCES = 13;
    /// Bad address.
    EFAULT = 14;
    /// Busy.
    EBUSY = 16;
    /// It exists.
    EEXIST = 17;
    /// No such device.
    ENODEV = 19;
    /// Invalid argument.
    EINVAL = 22;
    /// No space left.
    ENOSPC = 28;
    /// A deadlock.
    EDEADLK = 35;
    /// It took too long.
    ETIMEDOUT = 110;
    /// Out of range.
    ERANGE = 34;
    /// Name too long.
    ENAMETOOLONG = 36;
    /// Not supported by this kind of object.
    EOPNOTSUPP = 95;
    /// No such address family.
    EAFNOSUPPORT = 97;
    /// No message of the kind.
    ENOMSG = 42;
    /// Protocol error.
    EPROTO = 71;
    /// Already in progress.
    EALREADY = 114;
    /// Not supported; a number that only the kernel uses.
    ENOTSUPP = 524;
}

/// A helper's answer that says what went wrong.
#[allow(clippy::unnecessary_wraps, reason = "what a helper's body ends with")]
pub(crate) fn fail(errno: i64) -> HelperResult {
    Ok((-errno) as u64)
}
