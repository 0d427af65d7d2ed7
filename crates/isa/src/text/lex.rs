//! Words, numbers and symbols of one line.

use alloc::vec::Vec;

use super::error::{Place, TextError};

/// A token. Signs are symbols; a number has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A word: a register, a keyword, a label.
    Name(&'a str),
    /// An unsigned number.
    Number(u64),
    /// Punctuation or an operator, the signed ones with their `s`.
    Symbol(&'static str),
    /// The end of the line.
    End,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spanned<'a> {
    pub(super) token: Token<'a>,
    pub(super) offset: usize,
    pub(super) len: usize,
}

/// Every symbol, so that each comes before its own beginnings.
const SYMBOLS: &[&str] = &[
    "s>>=", ">>=", "<<=", "s/=", "s%=", "s>=", "s<=", "s>", "s<", "+=", "-=", "*=", "/=", "%=", "&=", "|=",
    "^=", "==", "!=", ">=", "<=", "=", ">", "<", "&", "+", "-", "*", "(", ")", "[", "]", ",", ":", "#", "@",
];

/// The tokens of `text` from byte `from` on, an [`Token::End`] last.
///
/// `<main+0x18>`, llvm-objdump's name for a target, ends the line.
pub(super) fn tokens(line: usize, text: &str, from: usize) -> Result<Vec<Spanned<'_>>, TextError> {
    let mut tokens = Vec::new();
    let mut offset = from;
    loop {
        let rest = &text[offset..];
        let trimmed = rest.trim_start();
        offset += rest.len() - trimmed.len();
        let Some(first) = trimmed.chars().next().filter(|_| tokens.is_empty() || !is_annotation(trimmed))
        else {
            tokens.push(Spanned { token: Token::End, offset, len: 0 });
            return Ok(tokens);
        };
        let place = |len| Place { line, text, offset, len };
        let (token, len) = if let Some(symbol) = symbol(trimmed) {
            (Token::Symbol(symbol), symbol.len())
        } else if first.is_ascii_digit() {
            let len = word(trimmed);
            let number = number(&trimmed[..len]);
            (Token::Number(number.ok_or_else(|| place(len).expected(NUMBER))?), len)
        } else if is_start(first) {
            let len = word(trimmed);
            (Token::Name(&trimmed[..len]), len)
        } else {
            return Err(place(first.len_utf8()).expected("an instruction"));
        };
        tokens.push(Spanned { token, offset, len });
        offset += len;
    }
}

const NUMBER: &str = "a number of at most 64 bits, decimal without leading zeros or hexadecimal after 0x";

fn symbol(text: &str) -> Option<&'static str> {
    SYMBOLS.iter().copied().find(|symbol| text.starts_with(symbol))
}

fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        // `from_str_radix` would take a sign.
        Some(hex) if hex.starts_with('+') => None,
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None if word.len() > 1 && word.starts_with('0') => None,
        None => word.parse().ok(),
    }
}

/// The length of the name at the start of `text`; 0 if there is none.
pub(super) fn name(text: &str) -> usize {
    if text.starts_with(is_start) { word(text) } else { 0 }
}

fn word(text: &str) -> usize {
    text.find(|c: char| !(is_start(c) || c.is_ascii_digit())).unwrap_or(text.len())
}

fn is_start(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '_' | '.' | '$')
}

/// `<name>` or `<name+0x10>` up to the end of the line.
fn is_annotation(text: &str) -> bool {
    text.strip_prefix('<').and_then(|text| text.trim_end().strip_suffix('>')).is_some_and(|name| {
        !name.is_empty() && !name.starts_with(['<', '=']) && !name.contains(char::is_whitespace)
    })
}
