//! Why a text is no program: the place, what would have been right, what stands there.

use alloc::{borrow::Cow, format, string::String};

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
        /// Longer words are cut: an error is a line, not a copy of the input.
        const LONGEST: usize = 40;
        let found = match &self.text[self.offset..self.offset + self.len] {
            "" => "the end of the line".into(),
            word => match word.char_indices().nth(LONGEST) {
                Some((end, _)) => format!("`{}…`", &word[..end]),
                None => format!("`{word}`"),
            },
        };
        let column = self.text[..self.offset].chars().count() + 1;
        TextError { line: self.line, column, expected: expected.into(), found }
    }
}
