//! Why a command did not run: one line that says where and what.

use std::io;
use std::path::{Path, PathBuf};

/// Why a command did not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A file or stream cannot be read.
    #[error("{}: {error}", shown(path))]
    Read { path: PathBuf, error: io::Error },
    /// A file cannot be written.
    #[error("{}: {error}", shown(path))]
    Write { path: PathBuf, error: io::Error },
    /// The output is gone.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// What was read is not what it should be.
    #[error("{place}: {what}")]
    Input { place: String, what: String },
    /// Options that do not go together.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    /// Something wrong at a place.
    pub(crate) fn input(place: impl ToString, what: impl ToString) -> Self {
        Failure::Input { place: place.to_string(), what: what.to_string() }
    }
}

/// A path in a message; `-` is the standard input.
pub(crate) fn shown(path: &Path) -> String {
    if path == Path::new("-") { "<stdin>".into() } else { path.display().to_string() }
}
