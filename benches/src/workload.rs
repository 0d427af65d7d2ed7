//! The programs of the comparison: text, input, and the same in Rust.
//!
//! They keep to what every engine in the table runs: 64-bit arithmetic and branches, loads and stores, no calls.
//! `r1` points to `[u64 length][data]` at entry; nothing else is promised.

use sandbpf::isa;

use crate::{input, native};

/// One program and what it runs on.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// The name of its file in `benches/programs`.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
    /// The data it gets.
    pub data: fn() -> Vec<u8>,
    /// The same in Rust.
    pub native: fn(&mut [u8]) -> u64,
}

macro_rules! workloads {
    ($( $name:literal $data:ident $native:ident; )*) => {
        /// Every program, shortest runs first within its family: packets, bytes, numbers, memory.
        pub const WORKLOADS: &[Workload] = &[$(Workload {
            name: $name,
            text: include_str!(concat!("../programs/", $name, ".bpf")),
            data: input::$data,
            native: native::$native,
        }),*];
    };
}

workloads! {
    "return"     empty           return_one;
    "ethertype"  frame           ethertype;
    "tcp-port"   frame           tcp_port;
    "checksum"   bytes_1500      checksum;
    "fnv1a"      bytes_256       fnv1a;
    "rotate-mix" bytes_1500      rotate_mix;
    "primes"     limit           primes;
    "fibonacci"  steps           fibonacci;
    "sort"       unsorted        sort;
    "search"     sorted_and_keys search;
    "matrix"     matrices        matrix;
    "copy"       copy_1500       copy;
}

impl Workload {
    /// The program.
    pub fn program(&self) -> isa::Program {
        isa::parse(self.text).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Fresh memory for a run.
    pub fn memory(&self) -> Vec<u8> {
        input::prefixed(&(self.data)())
    }

    /// The answer.
    pub fn expected(&self) -> u64 {
        (self.native)(&mut self.memory())
    }
}
