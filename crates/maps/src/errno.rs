//! The error numbers of Linux that operations on maps answer with.
//!
//! A program sees `-errno` in `r0`, a user of `bpf(2)` sees `errno`; both are the same number, so it
//! is the error type of this crate.

use std::fmt;

/// An error number of Linux, positive.
///
/// ```
/// use sandbpf_maps::Errno;
/// assert_eq!(Errno::ENOENT.to_string(), "ENOENT");
/// assert_eq!(Errno::ENOENT.to_r0() as i64, -2);
/// assert_eq!("E2BIG".parse(), Ok(Errno::E2BIG));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident $number:literal $doc:literal;)*) => {
        impl Errno {
            $(#[doc = $doc] pub const $name: Errno = Errno($number);)*
        }
        const NAMES: &[(&str, i32)] = &[$((stringify!($name), $number)),*];
    };
}

errnos! {
    EPERM      1   "Operation not permitted.";
    ENOENT     2   "No such element.";
    EBADF      9   "Not a descriptor.";
    EAGAIN     11  "Try again.";
    ENOMEM     12  "Out of memory.";
    EACCES     13  "Permission denied.";
    EFAULT     14  "Bad address.";
    EBUSY      16  "Busy.";
    EEXIST     17  "The element exists.";
    ENODEV     19  "No such device.";
    EINVAL     22  "Invalid argument.";
    ENOSPC     28  "No space left.";
    ERANGE     34  "Out of range.";
    E2BIG      7   "Too big, or the map is full.";
    EOPNOTSUPP 95  "Not supported by this type of map.";
    ENODATA    61  "No data.";
    EOVERFLOW  75  "Value too large.";
    ENOTSUPP   524 "Not supported; a number that Linux keeps to itself and lets out here.";
}

impl Errno {
    /// What a helper returns in `r0`.
    pub fn to_r0(self) -> u64 {
        (-i64::from(self.0)) as u64
    }

    /// Its name, where it has one here.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|row| row.1 == self.0).map(|row| row.0)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errno {}

/// A text that names no error number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of an error number")]
pub struct UnknownErrno(pub String);

impl std::str::FromStr for Errno {
    type Err = UnknownErrno;

    fn from_str(text: &str) -> Result<Self, UnknownErrno> {
        // POSIX has two names for one number of Linux.
        let text_of_row = if text == "ENOTSUP" { "EOPNOTSUPP" } else { text };
        let row = NAMES.iter().find(|row| row.0 == text_of_row);
        row.map(|row| Errno(row.1)).ok_or_else(|| UnknownErrno(text.into()))
    }
}
