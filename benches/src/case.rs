//! A program to measure, in the forms that engines take it in, and the same without an engine.

use crate::rounds::Subject;

/// How a program gets its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `r1` is the address of memory, `r2` its length.
    Memory,
    /// `r1` is the address of `[u64 length][data]`.
    Prefixed,
    /// `r1` is the address of `struct xdp_md`.
    Frame,
}

/// Versions of the instruction set, as compilers number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// No 32-bit arithmetic.
    V2,
    /// 32-bit arithmetic and branches.
    V3,
}

/// What machine code of a compiler's is made like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yardstick {
    /// One number at a time.
    Scalar,
    /// As the compiler likes.
    Vectorised,
}

/// A program with its data and its answer.
pub trait Case {
    /// Its name.
    fn name(&self) -> &str;

    /// Fresh data for a run.
    fn memory(&self) -> Vec<u8>;

    /// The answer; programs on frames give its lower half.
    fn expected(&self) -> u64;

    /// The encoded program.
    fn program(&self, form: Form, isa: Isa) -> Option<Vec<u8>>;

    /// The same from a compiler, on fresh data.
    fn native(&self, yardstick: Yardstick) -> Option<Box<dyn Subject>>;
}
