//! Maps.
#![forbid(unsafe_code)]

mod errno;
pub mod flags;
mod map_type;
pub mod shared;
mod spec;

pub use errno::{Errno, UnknownErrno};
pub use map_type::{MapType, ValueKind};
pub use shared::SharedBytes;
pub use spec::{BtfSizes, FieldKind, MapSpec, SpecialField};
