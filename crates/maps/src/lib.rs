//! Every BPF map type of Linux 6.18, in safe Rust but for one piece of advice to the system (`huge.rs`).
//!
//! ```text
//!   program ── lookup, update, … ──► Map ◄── User: lookup, update, … ── embedder
//!      │                              │            (what bpf(2) answers)
//!      └── loads, stores, atomics ──► value space: offset → SharedBytes
//! ```
//!
//! A [`MapSpec`] says what a map is asked to be, [`MapSpec::check`] whether Linux would make it. A
//! [`Map`] is shared between threads as the kernel's are between CPUs. Programs hold *offsets* of values;
//! [`Map::bytes`] gives the storage behind one, so that their loads, stores and atomics go straight to
//! it. The user's side, with its own layouts, flags and error numbers, is [`User`], and typed views for
//! Rust are in [`typed`].
//!
//! ```
//! use sandbpf_maps::{Environment, MapSpec, MapTable, MapType, typed};
//! let mut maps = MapTable::new(Environment::default());
//! maps.create(MapSpec::new(MapType::Hash, 4, 8, 1024).with_name("opens"))?;
//! let opens = maps.get::<typed::HashMap<u32, u64>>("opens")?;
//! opens.insert(7, 1)?;
//! assert_eq!(opens.get(7)?, Some(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]

mod arena;
mod batch;
mod body;
mod descriptors;
mod divisor;
mod errno;
pub mod flags;
mod fold;
mod hash;
mod homes;
mod huge;
mod jhash;
mod lpm;
mod lru;
mod map;
mod map_table;
mod nodes;
mod object_map;
mod objects;
mod paged;
mod perf;
mod plain;
mod queue;
mod ranges;
mod ring;
pub mod shared;
mod slab;
mod spec;
mod special;
mod stacks;
mod storage;
mod struct_ops;
pub mod typed;
mod user;
mod values;

pub use batch::{Batch, Changed};
pub use errno::{Errno, UnknownErrno};
#[doc(hidden)]
pub use fold::hash_of;
#[doc(hidden)]
pub use homes::Homes;
pub use map::{Environment, Map};
pub use map_table::{MapError, MapTable};
pub use objects::Object;
pub use perf::PerfRecord;
pub use plain::{Key, Value};
pub use ring::{BUSY_BIT, DISCARD_BIT, HEADER as RING_HEADER, MAX_USER_SAMPLES, RingQuery};
pub use sandbpf_abi::{MapType, ValueKind};
pub use shared::SharedBytes;
pub use spec::{BtfSizes, FieldKind, MapSpec, SpecialField};
pub use special::{Drain, Elements};
pub use stacks::{FAST_STACK_CMP, REUSE_STACKID};
pub use user::User;
#[doc(hidden)]
pub use values::Flat;
