//! Programs that only read: a packet and a context in, a number out.
//!
//! Most filters are of this kind: they call nothing and write nothing but words of their own stack. Such a program cannot
//! trap but for its budget, if it has loops, so it needs no [`Machine`](sandbpf_runtime::Machine) at all: its
//! code is a function of a packet. What it cannot answer by itself (a load at a negative offset, which addresses a
//! header; a loop that runs on) it declines, and whoever asked runs the program in another way: nothing has happened yet.
//!
//! ```text
//!   admit      which programs these are, and what they read
//!   blocks     steps in a row, then a decision; `build` makes them, `live` knows which registers matter
//!   passes     small steps from blocks to blocks, each of which may be left out:
//!     words      words of the stack in registers
//!     copies     copies between registers undone
//!     ranges     how large a number can be, so that an index cannot overflow
//!     rules      lists of rules with one outcome; as a `tree`
//!     reuse      loads of what is known left out
//!     switches   many tests of one number: a decision
//!     lengths    one test of the packet's length for several loads
//!   emit       the code: registers from `assign`, `bytes` of the packet, comparisons of them where they lie from `fuse`,
//!              ends of blocks in `decide`, where numbers lead planned by `search` and written by `seek`
//!   code       its memory, and the call
//! ```

mod admit;
mod assign;
mod blocks;
mod build;
mod bytes;
mod code;
mod copies;
mod decide;
mod emit;
mod fuse;
mod lengths;
mod live;
mod passes;
mod ranges;
mod reuse;
mod rules;
mod search;
mod seek;
mod switches;
mod tree;
mod words;

#[cfg(test)]
mod show;
#[cfg(test)]
mod tests;

pub use code::Pure;
