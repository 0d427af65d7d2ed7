//! Why a text is no program: the place, what would have been right, what stands there.

use alloc::{borrow::Cow, format, string::String};
use core::ops::Range;

/// The first thing in a text that the parser cannot read.
///
/// ```
/// let error = sandbpf_isa::parse("r0 = 0\nr1 += r12").unwrap_err();
/// assert_eq!(error.to_string(), "line 2, column 7: expected a register r0 to r10 or a number, found `r12`");
/// assert_eq!((error.line(), error.column()), (2, 7));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: expected {expected}, found {found}")]
pub struct TextError {
    line: usize,
    column: usize,
    expected: Cow<'static, str>,
    found: String,
}

impl TextError {
    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, counted from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What would have been right there.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What is there instead.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// That something else should be at this place of `text`, in bytes; an empty place
    /// is the end of a line or of the text. For parsers of other languages.
    ///
    /// ```
    /// let error = sandbpf_isa::TextError::new("ldh [12]\njeg #1", 9..12, "an operation");
    /// assert_eq!(error.to_string(), "line 2, column 1: expected an operation, found `jeg`");
    /// ```
    pub fn new(text: &str, place: Range<usize>, expected: impl Into<Cow<'static, str>>) -> Self {
        let before = text.get(..place.start).unwrap_or(text);
        let found = match text.get(place.clone()).unwrap_or_default() {
            "" if place.start == text.len() => "the end of the text".into(),
            word => shown(word),
        };
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        TextError {
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            expected: expected.into(),
            found,
        }
    }

    /// The same, with why it is not right.
    pub fn because(mut self, why: impl AsRef<str>) -> Self {
        self.found = format!("{}: {}", self.found, why.as_ref());
        self
    }
}

/// A word as errors show it; longer ones are cut: an error is a line, not a copy of the input.
fn shown(word: &str) -> String {
    const LONGEST: usize = 40;
    match word.char_indices().nth(LONGEST) {
        _ if word.is_empty() => "the end of the line".into(),
        Some((end, _)) => format!("`{}…`", &word[..end]),
        None => format!("`{word}`"),
    }
}

/// A place in a text. Its column is counted only when an error needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The line, counted from 1.
    pub(super) line: usize,
    /// All of that line.
    pub(super) text: &'a str,
    /// Where in it, in bytes.
    pub(super) offset: usize,
    /// How many bytes are meant; 0 at the end of the line.
    pub(super) len: usize,
}

impl Place<'_> {
    /// That something else should be here.
    pub(super) fn expected(self, expected: impl Into<Cow<'static, str>>) -> TextError {
        let found = shown(&self.text[self.offset..self.offset + self.len]);
        let column = self.text[..self.offset].chars().count() + 1;
        TextError { line: self.line, column, expected: expected.into(), found }
    }
}
