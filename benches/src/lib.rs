//! Programs, inputs and engines to measure.
//!
//! `cargo bench -p sandbpf-benches --bench peers` runs [every program](workload::WORKLOADS) in every engine, ours and
//! others', in one process and in turns, and prints ratios. `docs/performance.md` says how to read them. An engine
//! that gives another answer than the [native] function beside the program is not timed: the run stops.
//!
//! ```
//! use sandbpf_benches::workload::WORKLOADS;
//! let fibonacci = WORKLOADS.iter().find(|workload| workload.name == "fibonacci").unwrap();
//! assert_eq!((fibonacci.native)(&mut fibonacci.memory()), 817_770_325_994_397_771);
//! ```

pub mod classic;
pub mod cli;
#[cfg(unix)]
pub mod collection;
pub mod engines;
pub mod generated;
pub mod input;
#[cfg(feature = "libpcap")]
pub mod libpcap;
#[cfg(unix)]
pub mod library;
pub mod native;
pub mod packets;
pub mod page;
pub mod rounds;
pub mod table;
pub mod workload;
