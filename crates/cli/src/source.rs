//! Where a program comes from: a file, the standard input, the command line.

use std::io::Read;
use std::path::Path;

use crate::args::Code;
use crate::failure::{Failure, is_dash, shown};

/// What was read, and its name in messages.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) place: String,
    pub(crate) bytes: Vec<u8>,
}

impl Source {
    /// The program that the arguments name: the text of `-e` before a file.
    pub(crate) fn read(path: Option<&Path>, code: &Code) -> Result<Source, Failure> {
        match (&code.code, path) {
            (Some(text), _) => {
                Ok(Source { place: "<command line>".into(), bytes: text.clone().into_bytes() })
            }
            (None, Some(path)) => Ok(Source { place: shown(path).into_owned(), bytes: read_file(path)? }),
            (None, None) => Err(Failure::usage("no program given")),
        }
    }

    /// The text it is.
    pub(crate) fn text(&self) -> Result<&str, Failure> {
        std::str::from_utf8(&self.bytes).map_err(|error| self.failure(format!("this form is text: {error}")))
    }

    /// The text it is, if it looks like one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        let is_text = |text: &&str| !text.contains(|c: char| c.is_control() && !c.is_whitespace());
        std::str::from_utf8(&self.bytes).ok().filter(is_text)
    }

    /// The JSON it is; what is wrong with it is shown at its line and column.
    pub(crate) fn json(&self) -> Result<serde_json::Value, Failure> {
        serde_json::from_slice(&self.bytes).map_err(|error| {
            // The message ends with the place, which stands in front already.
            let message = error.to_string();
            let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
            self.failure_at(error.line().max(1), error.column().max(1), what.into())
        })
    }

    /// That something is wrong with it.
    pub(crate) fn failure(&self, what: impl std::fmt::Display) -> Failure {
        Failure::input(&self.place, what)
    }

    /// That something is wrong at a line and a column, both counted from 1.
    pub(crate) fn failure_at(&self, line: usize, column: usize, what: String) -> Failure {
        let text = String::from_utf8_lossy(&self.bytes);
        let excerpt = text.lines().nth(line - 1).map(|content| excerpt(line, content, column));
        Failure::Input { place: format!("{}:{line}:{column}", self.place), what, excerpt }
    }
}

/// Reads a file, or the standard input for `-`.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match is_dash(path) {
        true => std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        false => std::fs::read(path),
    };
    read.map_err(|error| Failure::Read { path: path.into(), error })
}

/// Reads a file of JSON.
pub(crate) fn read_json(path: &Path) -> Result<serde_json::Value, Failure> {
    Source { place: shown(path).into_owned(), bytes: read_file(path)? }.json()
}

/// A line with a mark below a column; of a long line, what is near.
fn excerpt(number: usize, line: &str, column: usize) -> String {
    const BEFORE: usize = 60;
    const WIDTH: usize = 100;
    let first = column.saturating_sub(BEFORE + 1);
    let near: String =
        line.chars().skip(first).take(WIDTH).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let mark = " ".repeat(column - 1 - first);
    format!("{number:4} | {near}\n     | {mark}^")
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn the_mark_is_below_the_column() {
        assert_eq!(excerpt(12, "\tr0 = rx", 7), "  12 |  r0 = rx\n     |       ^");
        let long = "x".repeat(500);
        let [shown, mark] = excerpt(1, &long, 300).lines().map(str::len).collect::<Vec<_>>()[..] else {
            panic!("two lines")
        };
        assert_eq!((shown, mark), (7 + 100, 7 + 61));
    }
}
