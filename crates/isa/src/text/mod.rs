//! Programs as text: what the kernel's verifier log, bpftool and llvm-objdump write.
//!
//! A program is printed one instruction a line, with labels where jumps and calls go. The parser
//! reads that back, and the listings of those three tools with their columns of numbers and
//! bytes, so that a disassembly pasted from anywhere assembles again.
//!
//! | part | reads or writes |
//! |---|---|
//! | `print` | instructions and labels |
//! | `kernel` | one instruction as in the log of the verifier |
//! | `comments` | what the parser does not look at |
//! | `line` | the columns before an instruction: number, bytes, opcode, labels |
//! | `lex`, `cursor` | words, numbers and symbols of one line |
//! | `statement` | one instruction |
//! | `parse` | a whole text: labels and targets |
//!
//! ```
//! let text = "
//!     r0 = 0
//! again:
//!     r0 += 2             // comments as in C, or after ; or #
//!     if r0 s< 10 goto again
//!     exit
//! ";
//! let program = sandbpf_isa::parse(text)?;
//! assert_eq!(program.len(), 4);
//! assert_eq!(program.to_string(), "    r0 = 0\nL1:\n    r0 += 2\n    if r0 s< 10 goto L1\n    exit\n");
//! assert_eq!(sandbpf_isa::parse(&program.to_string())?, program);
//! # Ok::<(), sandbpf_isa::TextError>(())
//! ```

mod comments;
mod cursor;
mod error;
mod kernel;
mod lex;
mod line;
mod parse;
mod print;
mod statement;

pub use error::TextError;
pub use kernel::{Names, print_kernel};
pub use parse::parse;
pub use print::{print, print_insn};
