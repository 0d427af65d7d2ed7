//! What the parser does not look at: comments, and lines that tools write around instructions.
//!
//! A comment starts with `;`, `//` or `#` and ends with its line, or stands between `/*` and `*/`.
//! A `#` inside a word is the number of a helper: `call bpf_ktime_get_ns#5`.

use alloc::string::String;

use super::error::{Place, TextError};

/// The text with every character of a comment replaced by a space, so that columns stay.
pub(super) fn blank(text: &str) -> Result<String, TextError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.char_indices().peekable();
    let mut before = ' ';
    let mut state = State::Code;
    while let Some((at, c)) = chars.next() {
        let after = chars.peek().map_or(' ', |&(_, after)| after);
        if c == '\n' {
            if state == State::Line {
                state = State::Code;
            }
            out.push('\n');
            before = c;
            continue;
        }
        match state {
            State::Code => match (c, after) {
                (';', _) | ('/', '/') => state = State::Line,
                ('#', _) if !(is_word(before) && (after.is_ascii_digit() || after == '-')) => {
                    state = State::Line
                }
                ('/', '*') => {
                    chars.next();
                    out.push(' ');
                    state = State::Block { from: at };
                }
                _ => {
                    out.push(c);
                    before = c;
                    continue;
                }
            },
            State::Block { .. } if (c, after) == ('*', '/') => {
                chars.next();
                out.push(' ');
                state = State::Code;
            }
            State::Line | State::Block { .. } => {}
        }
        out.push(' ');
        before = ' ';
    }
    match state {
        State::Code | State::Line => Ok(out),
        State::Block { from } => Err(unclosed(text, from)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    Line,
    Block { from: usize },
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn unclosed(text: &str, from: usize) -> TextError {
    let start = text[..from].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[..from].matches('\n').count() + 1;
    let text = text[start..].lines().next().unwrap_or_default();
    Place { line, text, offset: from - start, len: 2 }.expected("`*/` somewhere after this comment's start")
}

/// Whether a line is one that llvm-objdump or the kernel writes around instructions: a heading, the
/// state of registers, statistics.
pub(super) fn is_furniture(line: &str) -> bool {
    let line = line.trim();
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let state = if number.len() < line.len() { number.strip_prefix(": ").unwrap_or("") } else { line };
    is_section(line)
        || line.contains(":\tfile format ")
        || line.starts_with("func#")
        || line.starts_with("verification time ")
        || line.starts_with("stack depth ")
        || (line.starts_with("processed ") && line.contains(" insns "))
        || is_register_state(state)
}

/// Whether a line starts a section of llvm-objdump's output: numbers start again.
pub(super) fn is_section(line: &str) -> bool {
    line.starts_with("Disassembly of section ")
}

/// Whether a line opens the kernel's table of live registers, which lists the whole program. What
/// follows it is the walk of the verifier, which need not.
pub(super) fn is_live_heading(line: &str) -> bool {
    line.trim_end() == "Live regs before insn:"
}

/// `R1=ctx() R10=fp0`: a capital R, which no instruction has.
fn is_register_state(text: &str) -> bool {
    text.strip_prefix('R')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains('='))
}
