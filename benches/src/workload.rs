//! The programs of the comparison: text, input, and the same in Rust.
//!
//! They keep to what every engine in the table runs the same way: 64-bit arithmetic and branches, loads and stores, local
//! calls, one helper. A text in `programs/` expects `r1` at the data and `r2` behind it; two or three instructions before
//! it make that of what an engine gives.

use sandbpf::isa;

use crate::case::{Case, Form, Isa, Yardstick};
use crate::engines::Native;
use crate::rounds::Subject;
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
    /// The name of that function.
    pub function: &'static str,
}

macro_rules! workloads {
    ($( $name:literal $data:ident $native:ident; )*) => {
        /// Every program, by family: packets, bytes, numbers, memory, calls.
        pub const WORKLOADS: &[Workload] = &[$(Workload {
            name: $name,
            text: include_str!(concat!("../programs/", $name, ".bpf")),
            data: input::$data,
            native: native::$native,
            function: stringify!($native),
        }),*];
    };
}

workloads! {
    "return"     frame           return_one;
    "ethertype"  frame           ethertype;
    "tcp-port"   frame           tcp_port;
    "headers"    extended_frame  headers;
    "rewrite"    frame           rewrite;
    "spread"     frame           spread;
    "checksum"   bytes_1500      checksum;
    "fnv1a"      bytes_256       fnv1a;
    "rotate-mix" bytes_1500      rotate_mix;
    "adler"      bytes_1500      adler;
    "crc32"      bytes_64        crc32;
    "mask"       bytes_and_room  mask;
    "copy"       bytes_and_room  copy;
    "primes"     bytes_64        primes;
    "fibonacci"  bytes_64        fibonacci;
    "bits"       bytes_64        bits;
    "digits"     words_32        digits;
    "divisor"    words_32        divisor;
    "sort"       unsorted        sort;
    "search"     sorted_and_keys search;
    "matrix"     matrices        matrix;
    "histogram"  bytes_512       histogram;
    "dispatch"   bytes_256       dispatch;
    "calls"      bytes_64        calls;
    "helper"     bytes_64        helper;
}

/// What stands before a program's text.
const fn entry(form: Form) -> &'static str {
    match form {
        Form::Memory => "r2 += r1\n",
        Form::Prefixed => "r2 = *(u64 *)(r1 + 0)\nr1 += 8\nr2 += r1\n",
        Form::Frame => "r2 = *(u32 *)(r1 + 4)\nr1 = *(u32 *)(r1 + 0)\n",
    }
}

impl Workload {
    /// The program in a form.
    pub fn assembled(&self, form: Form) -> isa::Program {
        let text = [entry(form), self.text].concat();
        isa::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

impl Case for Workload {
    fn name(&self) -> &str {
        self.name
    }

    fn memory(&self) -> Vec<u8> {
        (self.data)()
    }

    fn expected(&self) -> u64 {
        (self.native)(&mut (self.data)())
    }

    /// The programs have none of the instructions that newer versions have.
    fn program(&self, form: Form, _isa: Isa) -> Option<Vec<u8>> {
        Some(self.assembled(form).to_bytes())
    }

    fn native(&self, yardstick: Yardstick) -> Option<Box<dyn Subject>> {
        match yardstick {
            Yardstick::Scalar => crate::scalar::function(self.function, (self.data)()),
            Yardstick::Vectorised => Some(Box::new(Native::new(self.native, (self.data)()))),
        }
    }
}
