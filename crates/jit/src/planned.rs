//! Programs as functions of their memory: planned, then machine code.
//!
//! A program that calls nobody needs no [`Machine`](sandbpf_runtime::Machine): what it reads and writes is its packet (or
//! memory), its context, and a stack, which its code brings along. What it does is what any engine does, down to traps
//! and their memory.

use crate::plan::passes::Without;

/// What a program is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// `r1` is the address of memory ([`address::BUFFER`](sandbpf_runtime::address::BUFFER)), `r2` how much there is.
    Memory,
    /// `r1` is the address of a context ([`address::CONTEXT`](sandbpf_runtime::address::CONTEXT)) of `bytes` bytes.
    /// The words at these offsets say where the packet is: `data` and `meta` that it starts `at` bytes behind
    /// [`address::PACKET`](sandbpf_runtime::address::PACKET), `end` that it ends behind all bytes that are given.
    Context {
        /// How long the context is.
        bytes: u32,
        /// How many bytes lie before the packet.
        at: u32,
        /// The offset of the field that says where the packet starts …
        data: u32,
        /// … where it ends …
        end: u32,
        /// … and where the metadata before it starts, which there is none of.
        meta: Option<u32>,
    },
}

/// How to plan. The default is for running; the rest is for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// The passes that are left out.
    pub without: Without,
    /// Whether only instructions are used that every x86-64 processor has.
    pub baseline: bool,
}
