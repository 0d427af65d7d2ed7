//! A place in the tokens of a line: look, take, or say what was expected.

use alloc::{borrow::Cow, format, vec::Vec};

use super::{
    error::{Place, TextError},
    lex::{self, Spanned, Token},
};
use crate::{Operand, Reg, Size, Width};

/// Reads the tokens of one line from left to right.
pub(super) struct Cursor<'a> {
    line: usize,
    text: &'a str,
    tokens: Vec<Spanned<'a>>,
    at: usize,
}

/// What reading gives.
pub(super) type Read<T> = Result<T, TextError>;

impl<'a> Cursor<'a> {
    pub(super) fn new(line: usize, text: &'a str, from: usize) -> Read<Self> {
        Ok(Cursor { line, text, tokens: lex::tokens(line, text, from)?, at: 0 })
    }

    fn spanned(&self, ahead: usize) -> Spanned<'a> {
        // The last token is `End`, and nothing goes beyond it.
        self.tokens[(self.at + ahead).min(self.tokens.len() - 1)]
    }

    /// The next token.
    pub(super) fn peek(&self) -> Token<'a> {
        self.spanned(0).token
    }

    /// The token after the next.
    pub(super) fn peek_second(&self) -> Token<'a> {
        self.spanned(1).token
    }

    /// Whether the token that many places on is this word.
    pub(super) fn nth_is_name(&self, ahead: usize, name: &str) -> bool {
        self.spanned(ahead).token == Token::Name(name)
    }

    /// Takes the next token.
    pub(super) fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// Where the next token stands.
    pub(super) fn place(&self) -> Place<'a> {
        let Spanned { offset, len, .. } = self.spanned(0);
        Place { line: self.line, text: self.text, offset, len }
    }

    /// Everything from `start` to the last token taken.
    pub(super) fn since(&self, start: Place<'a>) -> Place<'a> {
        let last = self.tokens[self.at.clamp(1, self.tokens.len()) - 1];
        Place { len: (last.offset + last.len).saturating_sub(start.offset), ..start }
    }

    /// That the next token should be something else.
    pub(super) fn expected<T>(&self, expected: impl Into<Cow<'static, str>>) -> Read<T> {
        Err(self.place().expected(expected))
    }

    /// Takes the next token if it is this symbol.
    pub(super) fn take(&mut self, symbol: &'static str) -> bool {
        let found = self.peek() == Token::Symbol(symbol);
        self.at += usize::from(found);
        found
    }

    /// Takes the next token if it is this word.
    pub(super) fn take_name(&mut self, name: &str) -> bool {
        let found = self.peek() == Token::Name(name);
        self.at += usize::from(found);
        found
    }

    /// Takes this symbol.
    pub(super) fn symbol(&mut self, symbol: &'static str) -> Read<()> {
        if self.take(symbol) { Ok(()) } else { self.expected(format!("`{symbol}`")) }
    }

    /// Takes this word.
    pub(super) fn keyword(&mut self, name: &'static str) -> Read<()> {
        if self.take_name(name) { Ok(()) } else { self.expected(format!("`{name}`")) }
    }

    /// The next token must be the end of the line.
    pub(super) fn end(&self) -> Read<()> {
        if self.peek() == Token::End { Ok(()) } else { self.expected("the end of the instruction") }
    }

    /// Takes a register of either width.
    pub(super) fn any_reg(&mut self) -> Read<(Reg, Width)> {
        match reg(self.peek()) {
            Some(found) => {
                self.at += 1;
                Ok(found)
            }
            None => self.expected("a register r0 to r10 or w0 to w10"),
        }
    }

    /// Takes a register of this width: `r3` or `w3`.
    pub(super) fn reg(&mut self, width: Width) -> Read<Reg> {
        match reg(self.peek()) {
            Some((reg, found)) if found == width => {
                self.at += 1;
                Ok(reg)
            }
            _ => self.expected(match width {
                Width::W64 => "a register r0 to r10",
                Width::W32 => "a register w0 to w10",
            }),
        }
    }

    /// Takes this register in this width.
    pub(super) fn same_reg(&mut self, wanted: Reg, width: Width) -> Read<()> {
        match reg(self.peek()) {
            Some(found) if found == (wanted, width) => {
                self.at += 1;
                Ok(())
            }
            _ => self.expected(format!("`{}{}`", width.letter(), wanted.number())),
        }
    }

    /// Takes a register of this width or a 32-bit number.
    pub(super) fn operand(&mut self, width: Width) -> Read<Operand> {
        match self.peek() {
            Token::Number(_) | Token::Symbol("+" | "-") => Ok(Operand::Imm(self.imm32()?)),
            token => match reg(token) {
                Some((_, found)) if found == width => Ok(Operand::Reg(self.reg(width)?)),
                _ => self.expected(match width {
                    Width::W64 => "a register r0 to r10 or a number",
                    Width::W32 => "a register w0 to w10 or a number",
                }),
            },
        }
    }

    /// Takes a number of 32 bits, signed or unsigned.
    pub(super) fn imm32(&mut self) -> Read<i32> {
        let range = i64::from(i32::MIN).into()..=u32::MAX.into();
        let value = self.number(range, "a 32-bit number, -2147483648 to 4294967295")?;
        Ok(value as i32)
    }

    /// Takes a distance of 32 bits.
    pub(super) fn imm32_signed(&mut self) -> Read<i32> {
        let expected = "a distance from -2147483648 to 2147483647";
        Ok(self.number(i32::MIN.into()..=i32::MAX.into(), expected)? as i32)
    }

    /// Takes a number of 64 bits, signed or unsigned.
    pub(super) fn imm64(&mut self) -> Read<u64> {
        let range = i64::MIN.into()..=u64::MAX.into();
        Ok(self.number(range, "a 64-bit number, -2^63 to 2^64 - 1")? as u64)
    }

    /// Takes an offset of 16 bits.
    pub(super) fn off16(&mut self) -> Read<i16> {
        let value = self.number(i16::MIN.into()..=i16::MAX.into(), "an offset from -32768 to 32767")?;
        Ok(value as i16)
    }

    /// Takes a number in `range`, with or without a sign.
    pub(super) fn number(
        &mut self,
        range: core::ops::RangeInclusive<i128>,
        expected: &'static str,
    ) -> Read<i128> {
        let start = self.place();
        let negative = self.take("-");
        if !negative {
            self.take("+");
        }
        let Token::Number(magnitude) = self.peek() else { return self.expected(expected) };
        let Spanned { offset, len, .. } = self.spanned(0);
        let value = if negative { -i128::from(magnitude) } else { i128::from(magnitude) };
        if !range.contains(&value) {
            return Err(Place { len: offset + len - start.offset, ..start }.expected(expected));
        }
        self.at += 1;
        Ok(value)
    }

    /// Takes `(u32 *)`; whether the type is signed.
    pub(super) fn pointer(&mut self) -> Read<(Size, bool)> {
        self.symbol("(")?;
        let found = match self.peek() {
            Token::Name(name) => size(name),
            _ => None,
        };
        let Some(found) = found else { return self.expected("u8, u16, u32, u64, s8, s16 or s32") };
        self.at += 1;
        self.symbol("*")?;
        self.symbol(")")?;
        Ok(found)
    }

    /// Takes `(u32 *)`, of an unsigned type.
    pub(super) fn unsigned_pointer(&mut self) -> Read<Size> {
        let at = self.at + 1;
        let (size, signed) = self.pointer()?;
        if signed {
            self.at = at;
            return self.expected("u8, u16, u32 or u64");
        }
        Ok(size)
    }

    /// Takes `r1 + 4`.
    pub(super) fn address(&mut self) -> Read<(Reg, i16)> {
        let base = self.reg(Width::W64)?;
        let signed = matches!(self.peek(), Token::Symbol("+" | "-"));
        Ok((base, if signed { self.off16()? } else { 0 }))
    }

    /// Takes `(r1 + 4)`.
    pub(super) fn address_in_parentheses(&mut self) -> Read<(Reg, i16)> {
        self.symbol("(")?;
        let address = self.address()?;
        self.symbol(")")?;
        Ok(address)
    }
}

/// `r3` or `w3`.
pub(super) fn reg(token: Token<'_>) -> Option<(Reg, Width)> {
    let Token::Name(name) = token else { return None };
    let (letter, number) = name.split_at_checked(1)?;
    let width = [Width::W64, Width::W32].into_iter().find(|width| width.letter() == letter)?;
    // `r01` and `r+1` are no registers.
    let reg = Reg::new(number.parse().ok()?)?;
    let plain =
        number.starts_with(|c: char| c.is_ascii_digit()) && (number.len() == 1 || !number.starts_with('0'));
    plain.then_some((reg, width))
}

fn size(name: &str) -> Option<(Size, bool)> {
    let (letter, bits) = name.split_at_checked(1)?;
    let size = Size::ALL.iter().copied().find(|size| matches_bits(*size, bits))?;
    match letter {
        "u" => Some((size, false)),
        "s" if size != Size::DW => Some((size, true)),
        _ => None,
    }
}

fn matches_bits(size: Size, bits: &str) -> bool {
    bits == match size {
        Size::B => "8",
        Size::H => "16",
        Size::W => "32",
        Size::DW => "64",
    }
}
