//! Programs, inputs and engines to measure.
//!
//! `cargo bench -p sandbpf-benches --bench peers` measures everything in [`report`]: [programs](workload::WORKLOADS) in
//! every engine, ours and others', loading, filters, maps, threads; in one process and in turns, as ratios.
//! `docs/performance.md` says how to read them. An engine of ours that gives another answer than the [native] function
//! beside a program stops the run; a peer that does is not timed.
//!
//! ```
//! use sandbpf_benches::workload::WORKLOADS;
//! let fibonacci = WORKLOADS.iter().find(|workload| workload.name == "fibonacci").unwrap();
//! assert_eq!((fibonacci.native)(&mut [[0; 8], 1u64.to_le_bytes()].concat()), 817_770_325_994_397_771);
//! ```

pub mod case;
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
pub mod lookups;
pub mod machine;
pub mod native;
pub mod packets;
pub mod page;
pub mod picture;
pub mod report;
pub mod rounds;
mod scalar;
pub mod table;
pub mod workload;
