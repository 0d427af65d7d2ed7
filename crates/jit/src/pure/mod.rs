//! Programs that only read: a packet and a context in, a number out.
//!
//! Most filters are of this kind: they call nothing and write nothing but words of their own stack. Such a program cannot
//! trap but for its budget, if it has loops, so it needs no [`Machine`](sandbpf_runtime::Machine) at all: its
//! code is a function of a packet. What it cannot answer by itself (a load at a negative offset, which addresses a
//! header; a loop that runs on) it declines, and whoever asked runs the program in another way: nothing has happened yet.
//!
//! ```text
//!   admit    which programs these are, and what they read
//!   lengths  one test of the packet's length for several loads
//!   ranges   how large a number can be, so that an index cannot overflow
//!   chains   many tests of one number for equality: a search
//!   emit     the code
//!   code     its memory, and the call
//! ```

mod admit;
mod chains;
mod code;
mod emit;
mod lengths;
mod ranges;

#[cfg(test)]
mod tests;

pub use code::Pure;
