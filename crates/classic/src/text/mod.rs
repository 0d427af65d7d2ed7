//! Classic programs as text: what `tcpdump`, `iptables`, `tc`, `bpf_asm` and `seccomp-tools` write and read.
//!
//! | part | reads or writes |
//! |---|---|
//! | `listing` | writes `tcpdump -d` |
//! | `bpf_asm` | writes assembly with labels |
//! | `lex`, `assembly`, `labels` | read both |
//! | `numbers` | `tcpdump -dd` and `-ddd`, the bytecode of `iptables` and `tc` |
//! | `seccomp_tools` | listings of system call policies |
//!
//! Forms with mnemonics do not tell the fields that an instruction does not use; those read as zero
//! ([`ClassicInsn::normalized`]). Lines may end as on Windows everywhere.
//!
//! ```
//! use sandbpf_classic::{Form, parse, print};
//! let insns = parse("(000) ldh      [12]\n(001) jeq      #0x800           jt 2\tjf 3\n(002) ret      #96\n(003) ret      #0")?;
//! assert_eq!(print(&insns, Form::BpfAsm), "\tldh [12]\n\tjeq #0x800, l2, l3\nl2:\tret #0x60\nl3:\tret #0\n");
//! assert_eq!(parse(&print(&insns, Form::TcpdumpDdd))?, insns);
//! # Ok::<(), sandbpf_classic::TextError>(())
//! ```

mod assembly;
mod bpf_asm;
mod labels;
mod lex;
mod listing;
mod numbers;
mod seccomp_tools;

use alloc::{string::String, vec::Vec};

pub use sandbpf_isa::TextError;

use crate::ClassicInsn;

/// A way to write a program down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `tcpdump -d`: a listing with absolute targets, to the byte as libpcap 1.10 writes it.
    TcpdumpD,
    /// `tcpdump -dd`: an array in C. What `bpf_asm -c` writes is read as well.
    TcpdumpDd,
    /// `tcpdump -ddd`: the number of instructions, then four numbers a line. It is read without the
    /// first line, too.
    TcpdumpDdd,
    /// One line for `iptables -m bpf --bytecode`, `tc … bytecode` and `nfbpf_compile`. It is read with a
    /// comma at the end, in quotes, and without the number of instructions.
    Bytecode,
    /// Assembly with labels, read strictly as `bpf_asm` of Linux does: nothing is validated.
    BpfAsm,
    /// A listing like that of `seccomp-tools disasm`, with numbers for the names of system calls. Its
    /// columns of numbers are what is read; libseccomp's `scmp_bpf_disasm` has the same.
    SeccompTools,
}

impl Form {
    /// Every form.
    pub const ALL: [Form; 6] =
        [Form::TcpdumpD, Form::TcpdumpDd, Form::TcpdumpDdd, Form::Bytecode, Form::BpfAsm, Form::SeccompTools];
}

/// The program in this form. Every form but [`Form::Bytecode`] ends its lines, the last one as well.
///
/// ```
/// use sandbpf_classic::{ClassicInsn, Form, print};
/// let insns = [ClassicInsn { code: 0x06, jt: 0, jf: 0, k: 262144 }];
/// assert_eq!(print(&insns, Form::TcpdumpD), "(000) ret      #262144\n");
/// assert_eq!(print(&insns, Form::TcpdumpDd), "{ 0x6, 0, 0, 0x00040000 },\n");
/// ```
pub fn print(insns: &[ClassicInsn], form: Form) -> String {
    let mut out = String::new();
    // Writing to a `String` does not fail.
    let _ = match form {
        Form::TcpdumpD => listing::print(insns, &mut out),
        Form::TcpdumpDd => numbers::print_array(insns, &mut out),
        Form::TcpdumpDdd => numbers::print_lines(insns, &mut out),
        Form::Bytecode => numbers::print_bytecode(insns, &mut out),
        Form::BpfAsm => bpf_asm::print(insns, &mut out),
        Form::SeccompTools => seccomp_tools::print(insns, &mut out),
    };
    out
}

/// The program in a text of any form, recognised by how it starts.
///
/// Assembly is read leniently: with libpcap's names and targets as well as `bpf_asm`'s, and with `[x+4]`,
/// which `bpf_asm` refuses.
///
/// ```
/// use sandbpf_classic::parse;
/// let insns = parse("4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0,")?;
/// assert_eq!(insns, parse("ldb [9]\njeq #6, tcp, other\ntcp: ret #1\nother: ret #0")?);
///
/// let error = parse("3,48 0 0 9,6 0 0 0").unwrap_err();
/// assert_eq!(error.to_string(), "line 1, column 1: expected the number of instructions, 2, found `3`");
/// # Ok::<(), sandbpf_classic::TextError>(())
/// ```
pub fn parse(text: &str) -> Result<Vec<ClassicInsn>, TextError> {
    match detect(text) {
        // Its strictness is for those who ask for it.
        Form::BpfAsm => assembly::parse(text, lex::Syntax::Lenient),
        form => parse_as(text, form),
    }
}

/// The program in a text of this form.
///
/// ```
/// use sandbpf_classic::{Form, parse, parse_as};
/// assert!(parse("ldb [x+4]").is_ok());
/// let error = parse_as("ldb [x+4]", Form::BpfAsm).unwrap_err();
/// assert_eq!(error.to_string(), "line 1, column 7: expected `+` and a blank, found `+4`");
/// ```
pub fn parse_as(text: &str, form: Form) -> Result<Vec<ClassicInsn>, TextError> {
    match form {
        Form::TcpdumpD => assembly::parse(text, lex::Syntax::Lenient),
        Form::BpfAsm => assembly::parse(text, lex::Syntax::BpfAsm),
        Form::TcpdumpDd => numbers::parse_array(text),
        Form::TcpdumpDdd => numbers::parse_lines(text),
        Form::Bytecode => numbers::parse_bytecode(text),
        Form::SeccompTools => seccomp_tools::parse(text),
    }
}

/// The form that the first line speaks of.
fn detect(text: &str) -> Form {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    match line.chars().next() {
        Some('{') => Form::TcpdumpDd,
        Some('(') => Form::TcpdumpD,
        Some('"' | '\'') => Form::Bytecode,
        Some('0'..='9') if digits.starts_with(':') => Form::SeccompTools,
        Some('0'..='9') if text.contains(',') => Form::Bytecode,
        Some('0'..='9') => Form::TcpdumpDdd,
        _ if seccomp_tools::is_header(line) => Form::SeccompTools,
        _ => Form::BpfAsm,
    }
}
