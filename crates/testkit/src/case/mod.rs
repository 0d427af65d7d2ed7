//! Case files: a truth about the system on one page, `tests/README.md` describes the format.
//!
//! ```
//! use sandbpf_testkit::{case::{Case, Runner}, subject::Subject};
//! let case = Case::parse("\
//! ## Dividing by zero gives zero; nothing traps.
//! type buffer
//! code
//!     r0 = 7
//!     r1 = 0
//!     r0 /= r1
//!     exit
//! returns 0
//! ")?;
//! assert_eq!(case.title(), "Dividing by zero gives zero; nothing traps.");
//! assert_eq!(case.check(Runner::Subject(Subject::Step)), Ok(()));
//! # Ok::<(), sandbpf_testkit::case::CaseError>(())
//! ```

mod given;
mod parse;
mod run;

use std::collections::BTreeMap;

use sandbpf::{Dialect, KindName, Reserved};

pub use given::Given;
pub use parse::CaseError;
pub use run::{Difference, Runner};

/// A program, and what comes of it.
#[derive(Clone, Debug)]
pub struct Case {
    title: String,
    kind: KindName,
    dialect: Option<Dialect>,
    reserved: Reserved,
    code: Code,
    /// Who cannot run it, and why.
    without: BTreeMap<String, String>,
    expected: Expected,
    /// The file, for blessing.
    lines: Vec<String>,
}

/// The program as the file has it.
#[derive(Clone, Debug)]
enum Code {
    /// Assembly of extended programs.
    Extended(String),
    /// A classic filter in any form of text.
    Classic(String),
    /// Encoded, in hexadecimal.
    Bytes(Vec<u8>),
}

/// What comes of the program.
#[derive(Clone, Debug)]
enum Expected {
    /// It is not loaded; the message.
    Rejected(Line<String>),
    /// It runs.
    Runs(Vec<Run>),
}

/// Something that blessing may rewrite, and where it stands.
#[derive(Clone, Debug)]
struct Line<T> {
    value: T,
    /// Counted from 0.
    line: usize,
}

/// One run.
#[derive(Clone, Debug)]
struct Run {
    given: Given,
    outcome: Line<Outcome>,
    after: Vec<Line<After>>,
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// With this in `r0`.
    Returns(u64),
    /// With this message.
    Traps(String),
}

/// What is true afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
enum After {
    /// The plain memory.
    Memory(Vec<u8>),
    /// The packet, with the metadata before it.
    Packet(Vec<u8>),
    /// A register at exit.
    Register(sandbpf_isa::Reg, u64),
    /// What is left of the budget.
    Budget(u64),
}

impl Case {
    /// Reads a case file.
    pub fn parse(text: &str) -> Result<Case, CaseError> {
        parse::case(text)
    }

    /// The sentence that the file begins with.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Whether the program must be refused.
    pub fn is_rejected(&self) -> bool {
        matches!(self.expected, Expected::Rejected(_))
    }

    /// Why this runner cannot run it, if the case says so or the runner runs other programs.
    pub fn excludes(&self, runner: Runner) -> Option<String> {
        if let Some(reason) = self.without.get(runner.family()) {
            return Some(reason.clone());
        }
        let classic = matches!(self.code, Code::Classic(_)) && matches!(self.expected, Expected::Runs(_));
        (runner == Runner::Reference && !classic).then(|| "the reference runs classic filters".into())
    }

    /// Checks every expectation.
    pub fn check(&self, runner: Runner) -> Result<(), Difference> {
        run::check(self, runner)
    }

    /// The file with its expectations rewritten to what the definition ([`Subject::Step`]) does.
    ///
    /// [`Subject::Step`]: crate::subject::Subject::Step
    pub fn bless(&self) -> String {
        run::bless(self)
    }
}
