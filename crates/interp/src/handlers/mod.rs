//! What does the operations, a function for each.
//!
//! Arithmetic and loads have a function for every register that they write, and for every register that they read, so that
//! a register is a place known when the function is compiled: what one operation writes, the next one reads without
//! waiting for it. Of what nothing waits for (the operands of a branch, what is stored) registers are found by number.

pub(crate) mod arithmetic;
pub(crate) mod branch;
pub(crate) mod control;
pub(crate) mod memory;
