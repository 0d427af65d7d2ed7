//! Programs as bare numbers: an array in C, four numbers a line, or all on one line.
//!
//! Nothing is lost in these forms. Where a number of instructions leads, it must be right.

use alloc::string::String;
use alloc::{format, vec::Vec};
use core::fmt::{Result as Written, Write};
use core::ops::Range;

use super::TextError;
use crate::ClassicInsn;

/// `tcpdump -dd`.
pub(super) fn print_array(insns: &[ClassicInsn], out: &mut String) -> Written {
    for ClassicInsn { code, jt, jf, k } in insns {
        writeln!(out, "{{ {code:#x}, {jt}, {jf}, 0x{k:08x} }},")?;
    }
    Ok(())
}

/// `tcpdump -ddd`.
pub(super) fn print_lines(insns: &[ClassicInsn], out: &mut String) -> Written {
    writeln!(out, "{}", insns.len())?;
    for ClassicInsn { code, jt, jf, k } in insns {
        writeln!(out, "{code} {jt} {jf} {k}")?;
    }
    Ok(())
}

/// `iptables`, `tc`.
pub(super) fn print_bytecode(insns: &[ClassicInsn], out: &mut String) -> Written {
    write!(out, "{}", insns.len())?;
    for ClassicInsn { code, jt, jf, k } in insns {
        write!(out, ",{code} {jt} {jf} {k}")?;
    }
    Ok(())
}

pub(super) fn parse_array(text: &str) -> Result<Vec<ClassicInsn>, TextError> {
    let mut scanner = Scanner { text, at: 0 };
    let mut insns = Vec::new();
    while !scanner.at_end() {
        scanner.demand('{')?;
        let mut fields = [0; 4];
        for (position, field) in fields.iter_mut().enumerate() {
            if position > 0 {
                scanner.demand(',')?;
            }
            *field = scanner.field(FIELDS[position])?;
        }
        scanner.take(',');
        scanner.demand('}')?;
        scanner.take(',');
        insns.push(insn(fields));
    }
    if insns.is_empty() { Err(scanner.error("`{`")) } else { Ok(insns) }
}

pub(super) fn parse_lines(text: &str) -> Result<Vec<ClassicInsn>, TextError> {
    let lines = pieces(text, 0..text.len(), '\n').filter(|line| !text[line.clone()].trim().is_empty());
    records(text, lines)
}

pub(super) fn parse_bytecode(text: &str) -> Result<Vec<ClassicInsn>, TextError> {
    let mut inside = trim(text, 0..text.len());
    for quote in ['"', '\''] {
        let quoted = &text[inside.clone()];
        if quoted.len() >= 2 && quoted.starts_with(quote) && quoted.ends_with(quote) {
            inside = trim(text, inside.start + 1..inside.end - 1);
        }
    }
    if text[inside.clone()].ends_with(',') {
        inside.end -= 1;
    }
    records(text, pieces(text, inside, ','))
}

/// Instructions of four numbers each, after their number if that leads.
fn records(text: &str, records: impl Iterator<Item = Range<usize>>) -> Result<Vec<ClassicInsn>, TextError> {
    let mut insns: Vec<ClassicInsn> = Vec::new();
    let mut count = None;
    for (position, record) in records.enumerate() {
        let record = trim(text, record);
        let mut scanner = Scanner { text: &text[..record.end], at: record.start };
        if position == 0 && !text[record.clone()].contains(|c: char| c.is_ascii_whitespace()) {
            count = Some((scanner.field(COUNT)?, record));
        } else {
            let mut fields = [0; 4];
            for (field, spec) in fields.iter_mut().zip(FIELDS) {
                *field = scanner.field(spec).map_err(|_| Scanner { text, ..scanner }.field_error(spec))?;
            }
            insns.push(insn(fields));
        }
        if !scanner.at_end() {
            let at = scanner.at;
            return Err(Scanner { text, at }.error("the end of the instruction after 4 numbers"));
        }
    }
    match count {
        Some((count, place)) if count as usize != insns.len() => {
            Err(TextError::new(text, place, format!("the number of instructions, {}", insns.len())))
        }
        None if insns.is_empty() => Err(TextError::new(text, text.len()..text.len(), "an instruction")),
        _ => Ok(insns),
    }
}

/// A number: what it is called, and the largest it can be.
type Field = (&'static str, u32);

const FIELDS: [Field; 4] =
    [("an opcode", u16::MAX as u32), ("jt", u8::MAX as u32), ("jf", u8::MAX as u32), ("k", u32::MAX)];
const COUNT: Field = ("a number of instructions", u32::MAX);

fn insn([code, jt, jf, k]: [u32; 4]) -> ClassicInsn {
    // Each is as large as its field allows.
    ClassicInsn { code: code as u16, jt: jt as u8, jf: jf as u8, k }
}

/// A place in a text.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_whitespace()).len();
    }

    fn at_end(&mut self) -> bool {
        self.skip_blanks();
        self.at == self.text.len()
    }

    fn take(&mut self, symbol: char) -> bool {
        self.skip_blanks();
        let found = self.text[self.at..].starts_with(symbol);
        self.at += if found { symbol.len_utf8() } else { 0 };
        found
    }

    fn demand(&mut self, symbol: char) -> Result<(), TextError> {
        if self.take(symbol) { Ok(()) } else { Err(self.error(format!("`{symbol}`"))) }
    }

    /// A number, decimal or hexadecimal. Zeros may lead only if nothing else follows: C would read octal.
    fn field(&mut self, spec: Field) -> Result<u32, TextError> {
        self.skip_blanks();
        let word = self.word();
        let digits = &self.text[word.clone()];
        let value = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
            Some(hex) if !hex.starts_with('+') => u32::from_str_radix(hex, 16).ok(),
            Some(_) => None,
            None if digits.bytes().all(|byte| byte == b'0') && !digits.is_empty() => Some(0),
            None if digits.starts_with(['0', '+']) => None,
            None => digits.parse().ok(),
        };
        match value {
            Some(value) if value <= spec.1 => {
                self.at = word.end;
                Ok(value)
            }
            _ => Err(self.field_error(spec)),
        }
    }

    fn field_error(&self, (name, max): Field) -> TextError {
        self.error(format!("{name}, a number from 0 to {max}"))
    }

    /// The word that starts here; if none does, the symbol.
    fn word(&self) -> Range<usize> {
        let rest = &self.text[self.at..];
        let letter = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+');
        let len = match rest.find(|c| !letter(c)).unwrap_or(rest.len()) {
            0 => rest.chars().next().filter(|&c| c != '\n').map_or(0, char::len_utf8),
            len => len,
        };
        self.at..self.at + len
    }

    fn error(&self, expected: impl Into<alloc::borrow::Cow<'static, str>>) -> TextError {
        TextError::new(self.text, self.word(), expected)
    }
}

/// The pieces of a part of a text.
fn pieces(text: &str, part: Range<usize>, separator: char) -> impl Iterator<Item = Range<usize>> {
    let mut at = part.start;
    text[part].split(separator).map(move |piece| {
        let start = at;
        at += piece.len() + separator.len_utf8();
        start..start + piece.len()
    })
}

/// The same part without blanks at its ends.
fn trim(text: &str, part: Range<usize>) -> Range<usize> {
    let all = &text[part.clone()];
    let start = part.start + (all.len() - all.trim_start().len());
    start..start + all.trim().len()
}
