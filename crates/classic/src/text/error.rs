//! Why a text is no program: the place, what would have been right, what stands there.

use alloc::{borrow::Cow, format, string::String};
use core::ops::Range;

/// The first thing in a text that cannot be read.
///
/// ```
/// let error = sandbpf_classic::parse("ldh [12]\njeq #0x800, ip").unwrap_err();
/// assert_eq!(error.to_string(), "line 2, column 13: expected a label of this program, found `ip`: no such label 'ip'");
/// assert_eq!((error.line(), error.column()), (2, 13));
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

    /// That something else should be at this place of `text`; an empty place is the end of a line or of
    /// the text.
    pub(super) fn new(text: &str, place: Range<usize>, expected: impl Into<Cow<'static, str>>) -> Self {
        /// Longer words are cut: an error is a line, not a copy of the input.
        const LONGEST: usize = 40;
        let before = &text[..place.start];
        let found = match &text[place.clone()] {
            "" if place.start == text.len() => "the end of the text".into(),
            "" => "the end of the line".into(),
            word => match word.char_indices().nth(LONGEST) {
                Some((end, _)) => format!("`{}…`", &word[..end]),
                None => format!("`{word}`"),
            },
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
    pub(super) fn because(mut self, why: impl AsRef<str>) -> Self {
        self.found = format!("{}: {}", self.found, why.as_ref());
        self
    }
}
