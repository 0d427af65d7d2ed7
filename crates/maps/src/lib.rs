//! Maps.
#![forbid(unsafe_code)]

mod arena;
mod errno;
pub mod flags;
mod hash;
mod jhash;
mod lpm;
mod lru;
mod map;
mod map_type;
mod objects;
mod paged;
mod perf;
mod queue;
mod ring;
pub mod shared;
mod spec;
mod stacks;
mod storage;
mod values;

pub use errno::{Errno, UnknownErrno};
pub use map::{Environment, Map};
pub use map_type::{MapType, ValueKind};
pub use objects::Object;
pub use perf::PerfRecord;
pub use ring::RingQuery;
pub use shared::SharedBytes;
pub use spec::{BtfSizes, FieldKind, MapSpec, SpecialField};
