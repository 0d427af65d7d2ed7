//! Tokens to instructions: the grammar of `bpf_asm`, and leniently that of listings.
//!
//! Mnemonics and the operands that each of them takes come from the table of opcodes.

use alloc::{format, string::String, vec::Vec};

use super::labels::{Labels, Place, Target};
use super::lex::{self, Kind, Name, Syntax, Token};
use super::{TextError, listing};
use crate::ClassicInsn;
use crate::shape::{Operand, RETURN_X, ROWS, is_conditional};

/// The program in a text.
pub(super) fn parse(text: &str, syntax: Syntax) -> Result<Vec<ClassicInsn>, TextError> {
    let tokens = lex::tokens(text, syntax);
    let mut parser = Parser { text, tokens, at: 0, syntax, insns: Vec::new(), labels: Labels::default() };
    loop {
        parser.line()?;
        if parser.peek() == Kind::End {
            break;
        }
    }
    parser.labels.resolve(text, &mut parser.insns)?;
    Ok(parser.insns)
}

/// How many instructions `bpf_asm` assembles.
const BPF_ASM_INSNS: usize = 4096;

/// Other names for what the table knows.
struct Alias {
    name: &'static str,
    /// In the table.
    known: &'static str,
    /// Whether it jumps when the condition does *not* hold.
    inverted: bool,
    /// Whether a constant may stand without `#`.
    bare: bool,
    /// Whether it takes no operand but a constant.
    constant: bool,
}

const fn alias(name: &'static str, known: &'static str) -> Alias {
    Alias { name, known, inverted: false, bare: false, constant: false }
}

const ALIASES: &[Alias] = &[
    alias("jmp", "ja"),
    Alias { bare: true, constant: true, ..alias("ldi", "ld") },
    Alias { bare: true, constant: true, ..alias("ldxi", "ldx") },
    Alias { inverted: true, ..alias("jne", "jeq") },
    Alias { inverted: true, ..alias("jneq", "jeq") },
    Alias { inverted: true, ..alias("jlt", "jge") },
    Alias { inverted: true, ..alias("jle", "jgt") },
];

/// What a mnemonic means.
fn mnemonic(word: &str) -> Option<Alias> {
    let table = ROWS.iter().map(|row| alias(row.name, row.name));
    let mut all = ALIASES.iter().map(|a| Alias { ..*a }).chain(table);
    all.find(|alias| alias.name.eq_ignore_ascii_case(word))
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    syntax: Syntax,
    insns: Vec<ClassicInsn>,
    labels: Labels<'a>,
}

type Parsed<T> = Result<T, TextError>;

impl<'a> Parser<'a> {
    fn lenient(&self) -> bool {
        self.syntax == Syntax::Lenient
    }

    fn token(&self) -> &Token {
        // The last token is the end, and nothing goes beyond it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> Kind {
        self.token().kind
    }

    fn peek_second(&self) -> Kind {
        self.tokens.get(self.at + 1).map_or(Kind::End, |token| token.kind)
    }

    fn word(&self) -> &'a str {
        &self.text[self.token().place.clone()]
    }

    fn error(&self, expected: impl Into<alloc::borrow::Cow<'static, str>>) -> TextError {
        TextError::new(self.text, self.token().place.clone(), expected)
    }

    fn take(&mut self, symbol: char) -> bool {
        let found = self.peek() == Kind::Symbol(symbol);
        self.at += usize::from(found);
        found
    }

    fn demand(&mut self, symbol: char) -> Parsed<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.error(format!("`{symbol}`"))) }
    }

    fn number(&mut self) -> Parsed<u32> {
        match self.peek() {
            Kind::Number { cut: true, .. } if self.lenient() => Err(self.error("a number of 32 bits")),
            Kind::Number { value, .. } => {
                self.at += 1;
                Ok(value)
            }
            _ => Err(self.error("a number")),
        }
    }

    /// `x` or `%x`.
    fn take_register(&mut self, register: char) -> bool {
        let percent = self.peek() == Kind::Symbol('%') && self.peek_second() == Kind::Symbol(register);
        self.at += usize::from(percent);
        self.take(register)
    }

    /// Whether the next token is a word that can be a label.
    fn is_label(&self) -> bool {
        self.peek() == Kind::Word
            && mnemonic(self.word()).is_none()
            && Name::of(self.word(), Syntax::BpfAsm).is_none()
    }

    /// An instruction, with what stands before it.
    fn line(&mut self) -> Parsed<()> {
        let here = self.insns.len();
        if let Kind::Index(index) = self.peek() {
            if index as usize != here {
                return Err(self.error(format!("({here:03})")));
            }
            self.at += 1;
        }
        if self.is_label() && self.peek_second() == Kind::Symbol(':') {
            self.labels.define(self.word(), here);
            self.at += 2;
        }
        if self.syntax == Syntax::BpfAsm && here == BPF_ASM_INSNS && self.peek() != Kind::End {
            return Err(self.error("the end: bpf_asm has room for 4096 instructions"));
        }
        self.insn()
    }

    fn insn(&mut self) -> Parsed<()> {
        let found = if self.peek() == Kind::Word { mnemonic(self.word()) } else { None };
        let Some(mnemonic) = found else {
            let unknown = self.peek() == Kind::Word && listing::is_unknown(self.word());
            return if unknown && self.lenient() {
                self.unknown()
            } else {
                Err(self.error("an instruction"))
            };
        };
        let (line, before) = (self.token().line, self.at);
        self.at += 1;
        let (operand, k) = self.operand(&mnemonic, line)?;
        let code = match ROWS.iter().find(|row| row.name == mnemonic.known && same(row.operand, operand)) {
            Some(row) => row.code,
            // Without an opcode of its own it is a way to write another.
            None if operand == Operand::HeaderLength => header_length(),
            None if (mnemonic.known, operand) == ("ret", Operand::X) => RETURN_X,
            None => {
                self.at = before + 1;
                return Err(self.error(self.wanted(&mnemonic)));
            }
        };
        self.insns.push(ClassicInsn { code, jt: 0, jf: 0, k });
        if is_conditional(code) { self.targets(mnemonic.inverted) } else { Ok(()) }
    }

    /// `unimp 0x81`: an opcode that a listing has no name for.
    fn unknown(&mut self) -> Parsed<()> {
        self.at += 1;
        let code = self.number()?;
        let Ok(code) = u16::try_from(code) else {
            self.at -= 1;
            return Err(self.error("an opcode of 16 bits"));
        };
        self.insns.push(ClassicInsn { code, jt: 0, jf: 0, k: 0 });
        if is_conditional(code) && self.is_listed_target() { self.listed_targets() } else { Ok(()) }
    }

    /// What follows a mnemonic, and its number.
    fn operand(&mut self, mnemonic: &Alias, line: u32) -> Parsed<(Operand, u32)> {
        let takes = |operand| {
            let table = ROWS.iter().any(|row| row.name == mnemonic.known && same(row.operand, operand));
            let ldx = (mnemonic.known, operand) == ("ldx", Operand::HeaderLength);
            let ret = (mnemonic.known, operand) == ("ret", Operand::X);
            (table || ldx || ret) && (!mnemonic.constant || operand == Operand::Hex)
        };
        let bare = mnemonic.bare;
        if takes(Operand::Nothing) {
            return Ok((Operand::Nothing, 0));
        }
        if takes(Operand::Target) {
            let here = self.insns.len();
            let target = self.target()?;
            self.labels.refer(here, Place::K, target);
            return Ok((Operand::Target, 0));
        }
        match self.peek() {
            Kind::Symbol('#') if takes(Operand::Hex) => {
                self.at += 1;
                Ok((Operand::Hex, self.number()?))
            }
            Kind::Number { .. } if bare => Ok((Operand::Hex, self.number()?)),
            Kind::Number { .. } if takes(Operand::HeaderLength) => self.header_length(),
            Kind::Symbol('[') if takes(Operand::Absolute) => self.bracket(),
            Kind::Symbol('m') if takes(Operand::Memory) => {
                self.at += 1;
                self.demand('[')?;
                let k = self.number()?;
                self.demand(']')?;
                Ok((Operand::Memory, k))
            }
            Kind::Symbol('a' | '%') if takes(Operand::A) && self.take_register('a') => Ok((Operand::A, 0)),
            Kind::Symbol('x' | '%') if takes(Operand::X) && self.take_register('x') => Ok((Operand::X, 0)),
            // libpcap writes `ret` for `ret a`.
            _ if self.lenient() && takes(Operand::A) && self.token().line != line => Ok((Operand::A, 0)),
            Kind::End if self.lenient() && takes(Operand::A) => Ok((Operand::A, 0)),
            _ => match self.name() {
                Some(Name::Length) if takes(Operand::Length) => {
                    self.at += 1;
                    Ok((Operand::Length, 0))
                }
                Some(Name::Ancillary(k)) if takes(Operand::Absolute) => {
                    self.at += 1;
                    Ok((Operand::Absolute, k))
                }
                _ => Err(self.error(self.wanted(mnemonic))),
            },
        }
    }

    fn name(&self) -> Option<Name> {
        match self.peek() {
            Kind::Named(name) => Some(name),
            Kind::Word => Name::of(self.word(), self.syntax),
            _ => None,
        }
    }

    /// `[k]`, `[x + k]`, leniently `[proto]` and `[x+k]`.
    fn bracket(&mut self) -> Parsed<(Operand, u32)> {
        self.demand('[')?;
        let found = if self.take_register('x') {
            let signed = matches!(self.peek(), Kind::Number { .. }) && self.word().starts_with(['+', '-']);
            let glued = self.lenient() && signed;
            if !(glued || self.take('+')) {
                return Err(self.error(if signed { "`+` and a blank" } else { "`+`" }));
            }
            (Operand::Indirect, self.number()?)
        } else {
            match self.name() {
                Some(Name::Ancillary(k)) if self.lenient() => {
                    self.at += 1;
                    (Operand::Absolute, k)
                }
                _ => (Operand::Absolute, self.number()?),
            }
        };
        self.demand(']')?;
        Ok(found)
    }

    /// `4*([k]&0xf)`.
    fn header_length(&mut self) -> Parsed<(Operand, u32)> {
        let start = self.at;
        let factor = self.number()?;
        self.demand('*')?;
        self.demand('(')?;
        self.demand('[')?;
        let k = self.number()?;
        self.demand(']')?;
        self.demand('&')?;
        let mask = self.number()?;
        self.demand(')')?;
        if (factor, mask) != (4, 0xf) {
            let place = self.tokens[start].place.start..self.tokens[self.at - 1].place.end;
            return Err(TextError::new(self.text, place, "`4*([k]&0xf)`"));
        }
        Ok((Operand::HeaderLength, k))
    }

    /// Where a branch goes: `, taken, otherwise`, or `jt 4 jf 5`.
    fn targets(&mut self, inverted: bool) -> Parsed<()> {
        if self.lenient() && !inverted && self.is_listed_target() {
            return self.listed_targets();
        }
        let here = self.insns.len() - 1;
        self.demand(',')?;
        let target = self.target()?;
        self.labels.refer(here, if inverted { Place::False } else { Place::True }, target);
        if !inverted && self.take(',') {
            let target = self.target()?;
            self.labels.refer(here, Place::False, target);
        }
        Ok(())
    }

    fn is_listed_target(&self) -> bool {
        self.peek() == Kind::Word && self.word().eq_ignore_ascii_case("jt")
    }

    fn listed_targets(&mut self) -> Parsed<()> {
        let here = self.insns.len() - 1;
        for (name, place) in [("jt", Place::True), ("jf", Place::False)] {
            if !(self.peek() == Kind::Word && self.word().eq_ignore_ascii_case(name)) {
                return Err(self.error(format!("`{name}`")));
            }
            self.at += 1;
            let target = Target::Index { place: self.token().place.clone(), index: self.number()? };
            self.labels.refer(here, place, target);
        }
        Ok(())
    }

    /// A label, leniently the index of an instruction.
    fn target(&mut self) -> Parsed<Target<'a>> {
        let place = self.token().place.clone();
        if self.is_label() {
            let name = self.word();
            self.at += 1;
            return Ok(Target::Label { place, name });
        }
        if self.lenient() && matches!(self.peek(), Kind::Number { .. }) {
            return Ok(Target::Index { place, index: self.number()? });
        }
        Err(self.error("a label of two or more characters"))
    }

    /// The operands that a mnemonic takes, in words.
    fn wanted(&self, mnemonic: &Alias) -> String {
        let mut words: Vec<&str> = Vec::new();
        for row in ROWS.iter().filter(|row| row.name == mnemonic.known) {
            let word = match row.operand {
                Operand::Decimal | Operand::Hex => "`#k`",
                _ if mnemonic.constant => continue,
                Operand::Absolute => "`[k]`",
                Operand::Indirect => "`[x + k]`",
                Operand::HeaderLength => "`4*([k]&0xf)`",
                Operand::Memory => "`M[k]`",
                Operand::Length => "`#len`",
                Operand::A => "`a`",
                Operand::X => "`x`",
                Operand::Nothing | Operand::Target => continue,
            };
            words.push(word);
        }
        format!("{} after `{}`", words.join(", "), mnemonic.name)
    }
}

/// Whether an operand is of the form that a row has. How numbers are written does not count.
fn same(row: Operand, found: Operand) -> bool {
    let constant = |operand| matches!(operand, Operand::Decimal | Operand::Hex);
    row == found || (constant(row) && constant(found))
}

/// The opcode of the load that has a mnemonic of its own, which `ldx` stands for as well.
fn header_length() -> u16 {
    ROWS.iter().find(|row| row.operand == Operand::HeaderLength).map_or(0, |row| row.code)
}
