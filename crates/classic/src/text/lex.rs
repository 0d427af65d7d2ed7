//! Assembly to tokens, by the rules of `bpf_asm`'s lexer (`tools/bpf` of Linux): the longest match wins.
//!
//! Its corners are kept, because programs depend on some of them: a `#` that starts a line starts a
//! comment, `+4` is one number, a label has at least two characters, a comment that ends in `**/` does
//! not end there. The lenient syntax adds what libpcap writes.

use alloc::vec::Vec;
use core::ops::Range;

use crate::ancillary;

/// Which texts are assembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    /// What `bpf_asm` reads.
    BpfAsm,
    /// That, `tcpdump -d` and `bpf_dbg`.
    Lenient,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Two or more letters, digits and underscores.
    Word,
    /// A number. Larger ones are cut to 32 bits; `cut` says that it happened.
    Number { value: u32, cut: bool },
    /// `len`, or something that Linux keeps beside a packet, with `#`.
    Named(Name),
    /// `(003)` at the start of a line of a listing.
    Index(u32),
    /// Punctuation or the name of a register, in lower case.
    Symbol(char),
    /// Nothing that belongs here.
    Unknown,
    /// There is no more.
    End,
}

/// What a load can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Length,
    Ancillary(u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) place: Range<usize>,
    pub(super) line: u32,
}

impl Name {
    /// The longest name at the start of `text`, in any case, and how long it is.
    fn prefix(text: &[u8], syntax: Syntax) -> Option<(Name, usize)> {
        Name::all(syntax)
            .filter(|(name, _)| {
                text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
            })
            .map(|(name, what)| (what, name.len()))
            .max_by_key(|&(_, len)| len)
    }

    /// What this word names.
    pub(super) fn of(word: &str, syntax: Syntax) -> Option<Name> {
        Name::all(syntax).find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, what)| what)
    }

    fn all(syntax: Syntax) -> impl Iterator<Item = (&'static str, Name)> {
        let lenient = syntax == Syntax::Lenient;
        let ancillary = ancillary::ROWS.iter().flat_map(move |row| {
            let libpcap = lenient.then_some(row.libpcap);
            row.bpf_asm.iter().copied().chain(libpcap).map(|name| (name, Name::Ancillary(row.k())))
        });
        let length = ["len"].into_iter().chain(lenient.then_some("pktlen")).map(|name| (name, Name::Length));
        length.chain(ancillary)
    }
}

/// All tokens of a text; the last one is [`Kind::End`].
pub(super) fn tokens(text: &str, syntax: Syntax) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, line: 1, syntax, tokens: Vec::new() };
    while lexer.at < text.len() {
        lexer.step();
    }
    lexer.emit(Kind::End, 0);
    lexer.tokens
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    syntax: Syntax,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn rest(&self) -> &[u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn emit(&mut self, kind: Kind, len: usize) {
        self.tokens.push(Token { kind, place: self.at..self.at + len, line: self.line });
        self.at += len;
    }

    fn skip(&mut self, len: usize) {
        let newlines = self.rest()[..len].iter().filter(|&&byte| byte == b'\n').count();
        self.line += newlines as u32;
        self.at += len;
    }

    fn step(&mut self) {
        let rest = self.rest();
        let count =
            |wanted: fn(&u8) -> bool, bytes: &[u8]| bytes.iter().take_while(|&byte| wanted(byte)).count();
        match rest[0] {
            b' ' | b'\t' | b'\n' => self.skip(1),
            b'\r' if rest.get(1) == Some(&b'\n') => self.skip(2),
            b';' => {
                let len = count(|&byte| byte != b'\n', rest);
                self.skip(len);
            }
            b'/' => match comment(rest) {
                Some(len) => self.skip(len),
                None => self.emit(Kind::Unknown, 1),
            },
            b'#' => self.hash(),
            b'(' if self.syntax == Syntax::Lenient && rest.get(1).is_some_and(u8::is_ascii_digit) => {
                self.index()
            }
            b'0'..=b'9' | b'+' | b'-' => self.number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let len = count(|&byte| byte.is_ascii_alphanumeric() || byte == b'_', rest);
                match rest[0].to_ascii_lowercase() {
                    _ if len > 1 => self.emit(Kind::Word, len),
                    register @ (b'a' | b'x' | b'm') => self.emit(Kind::Symbol(register.into()), 1),
                    _ => self.emit(Kind::Unknown, 1),
                }
            }
            symbol @ (b':' | b',' | b'%' | b'[' | b']' | b'(' | b')' | b'*' | b'&') => {
                self.emit(Kind::Symbol(symbol.into()), 1);
            }
            _ => {
                let len = self.text[self.at..].chars().next().map_or(1, char::len_utf8);
                self.emit(Kind::Unknown, len);
            }
        }
    }

    /// A comment, a name, or the mark of a constant.
    fn hash(&mut self) {
        let rest = self.rest();
        let line = rest.iter().take_while(|&&byte| byte != b'\n').count();
        let starts_line = self.at == 0 || self.text.as_bytes()[self.at - 1] == b'\n';
        let name = Name::prefix(&rest[1..], self.syntax).map(|(name, len)| (Kind::Named(name), 1 + len));
        let (kind, len) = name.unwrap_or((Kind::Symbol('#'), 1));
        if starts_line && line > len { self.skip(line) } else { self.emit(kind, len) }
    }

    /// `(003)`, which is decimal however many zeros it starts with.
    fn index(&mut self) {
        let rest = self.rest();
        let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let value = self.text[self.at + 1..][..digits].parse();
        match (rest.get(1 + digits), value) {
            (Some(b')'), Ok(value)) => self.emit(Kind::Index(value), digits + 2),
            _ => self.emit(Kind::Symbol('('), 1),
        }
    }

    fn number(&mut self) {
        let rest = self.rest();
        let digits = |skip: usize, radix: u32| {
            let of_radix = |&&byte: &&u8| char::from(byte).is_digit(radix);
            rest.get(skip..).map_or(0, |rest| rest.iter().take_while(of_radix).count())
        };
        let signed = matches!(rest[0], b'+' | b'-');
        let (radix, skip) = match (rest[0], rest.get(1)) {
            (b'+' | b'-', Some(b'1'..=b'9')) => (10, 1),
            (b'+', _) => return self.emit(Kind::Symbol('+'), 1),
            (b'-', _) => return self.emit(Kind::Unknown, 1),
            (b'0', Some(b'x' | b'X')) if digits(2, 16) > 0 => (16, 2),
            (b'0', Some(b'b' | b'B')) if digits(2, 2) > 0 => (2, 2),
            (b'0', Some(b'0'..=b'7')) => (8, 1),
            (b'0', _) => return self.emit(Kind::Number { value: 0, cut: false }, 1),
            _ => (10, 0),
        };
        let len = skip + digits(skip, radix);
        // As `strtol` and `strtoul` on 64 bits, which stop at the largest number, then cut to 32 bits.
        let most = if radix == 16 { u64::MAX } else { i64::MAX as u64 };
        let magnitude = rest[skip..len].iter().filter_map(|&byte| char::from(byte).to_digit(radix)).fold(
            0u64,
            |value, digit| {
                let value = value.checked_mul(radix.into()).and_then(|value| value.checked_add(digit.into()));
                value.unwrap_or(u64::MAX)
            },
        );
        let negative = signed && rest[0] == b'-';
        let (value, cut) = if negative {
            let least = i64::MIN.unsigned_abs();
            ((magnitude.min(least) as u32).wrapping_neg(), magnitude > 1 << 31)
        } else {
            (magnitude.min(most) as u32, magnitude > u64::from(u32::MAX))
        };
        self.emit(Kind::Number { value, cut }, len);
    }
}

/// How long the comment is that starts here, if it ends.
fn comment(text: &[u8]) -> Option<usize> {
    if text.get(1) != Some(&b'*') {
        return None;
    }
    let mut at = 2;
    loop {
        match (text.get(at)?, text.get(at + 1)) {
            (b'*', Some(b'/')) => return Some(at + 2),
            (b'*', Some(_)) => at += 2,
            (b'*', None) => return None,
            _ => at += 1,
        }
    }
}
