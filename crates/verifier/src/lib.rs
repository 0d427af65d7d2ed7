//! Proves that a program is safe, as Linux 6.18 would, and says why or why not.
#![forbid(unsafe_code)]

pub mod domain;
