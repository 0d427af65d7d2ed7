//! Why a command did not run: one line that says where and what.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};

/// Why a command did not run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A file or stream cannot be read.
    #[error("{}: cannot read: {error}", shown(path))]
    Read { path: PathBuf, error: io::Error },
    /// A file cannot be written.
    #[error("{}: cannot write: {error}", shown(path))]
    Write { path: PathBuf, error: io::Error },
    /// The output is gone.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// What was read is not what it should be.
    #[error("{place}: {what}")]
    Input {
        place: String,
        what: String,
        /// The line that is meant and a mark below it, for those who are writing it.
        excerpt: Option<String>,
    },
    /// Options that do not go together.
    #[error("{0}")]
    Usage(String),
    /// Several, each worth its line.
    #[error("several failures")]
    Several(Vec<Failure>),
}

impl Failure {
    /// Something wrong at a place.
    pub(crate) fn input(place: impl Display, what: impl Display) -> Failure {
        Failure::Input { place: place.to_string(), what: what.to_string(), excerpt: None }
    }

    /// Options that do not go together, or not with the input.
    pub(crate) fn usage(what: impl Display) -> Failure {
        Failure::Usage(what.to_string())
    }

    /// Whether nobody reads the output any more: `sandbpf … | head` has all it wants.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Failure::Output(error) if error.kind() == ErrorKind::BrokenPipe)
    }

    /// Tells the user.
    pub(crate) fn report(&self) {
        const NAME: Style = AnsiColor::Red.on_default().bold();
        if let Failure::Several(failures) = self {
            return failures.iter().for_each(Failure::report);
        }
        let message = self.to_string();
        // Who cannot be told cannot be told that.
        let mut out = anstream::stderr();
        let _ = writeln!(out, "{NAME}sandbpf:{NAME:#} {}", printable(&message));
        if let Failure::Input { excerpt: Some(excerpt), .. } = self {
            for line in excerpt.lines() {
                let _ = writeln!(out, "  {}", printable(line));
            }
        }
    }
}

/// A path in a message; `-` is the standard input.
pub(crate) fn shown(path: &Path) -> Cow<'_, str> {
    if is_dash(path) { "<stdin>".into() } else { path.to_string_lossy() }
}

/// Whether a path stands for the standard input or output.
pub(crate) fn is_dash(path: &Path) -> bool {
    path == Path::new("-")
}

/// An error with what it comes from, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line = format!("{line}: {error}");
        source = error.source();
    }
    line
}

/// Text that may quote an input, without what would steer a terminal.
fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => safe.extend(c.escape_default()),
            c => safe.push(c),
        }
    }
    safe.into()
}
