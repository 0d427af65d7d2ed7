//! The judgement of one record: what was compared, what differed, what could not be compared.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display};

use serde_json::Value;

/// What is known of a record so far.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    compared: u64,
    failures: Vec<String>,
    suppressed: u64,
    left_out: BTreeMap<String, u64>,
    accepts: Accepts,
    agreement: Agreement,
    details: Vec<Value>,
    audited: u64,
}

/// How much verdicts have in common besides being equal: pairs of equal and compared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Agreement {
    pub(crate) errno: (u64, u64),
    pub(crate) insn: (u64, u64),
    pub(crate) message: (u64, u64),
    pub(crate) processed: (u64, u64),
    /// Lines at the end of the log.
    pub(crate) log: (u64, u64),
}

impl Agreement {
    pub(crate) fn add(&mut self, other: Agreement) {
        let pairs = [
            (&mut self.errno, other.errno),
            (&mut self.insn, other.insn),
            (&mut self.message, other.message),
            (&mut self.processed, other.processed),
            (&mut self.log, other.log),
        ];
        for (sum, more) in pairs {
            sum.0 += more.0;
            sum.1 += more.1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.errno.1 + self.processed.1 == 0
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for (what, (equal, of)) in [
            ("errno", self.errno),
            ("instruction", self.insn),
            ("class of message", self.message),
            ("processed", self.processed),
            ("lines at the end of the log", self.log),
        ] {
            if of > 0 {
                write!(f, "{gap}{what} {equal}/{of} ({:.1} %)", 100.0 * equal as f64 / of as f64)?;
                gap = ", ";
            }
        }
        Ok(())
    }
}

/// What was accepted by whom, where a record has many questions and most answers are no.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Accepts {
    both: u64,
    ours: u64,
    theirs: u64,
}

impl Accepts {
    pub(crate) fn add(&mut self, other: Accepts) {
        self.both += other.both;
        self.ours += other.ours;
        self.theirs += other.theirs;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.both + self.ours + self.theirs == 0
    }
}

impl fmt::Display for Accepts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |of: u64| if of == 0 { 100.0 } else { 100.0 * self.both as f64 / of as f64 };
        let (precision, recall) = (percent(self.both + self.ours), percent(self.both + self.theirs));
        let (accepts, ours, theirs) = (self.both + self.theirs, self.ours, self.theirs);
        write!(f, "{accepts} accepts, precision {precision:.2} %, recall {recall:.2} %, ")?;
        write!(f, "{ours} false accepts, {theirs} false rejects")
    }
}

/// How a record came out.
pub(crate) enum Outcome {
    /// All that was compared is equal; what could not be compared, and how often.
    Passed(BTreeMap<String, u64>),
    /// The disagreements.
    Failed(Vec<String>),
    /// Nothing could be compared.
    Skipped(String),
}

/// A record reports no more disagreements than this; the rest is counted.
const REPORTED: usize = 4;

impl Judged {
    /// Compares; `about` says what, and is only asked when it differs. Says whether it is equal.
    pub(crate) fn equal<T: PartialEq + Debug, D: Display>(
        &mut self,
        expected: T,
        found: T,
        about: impl FnOnce() -> D,
    ) -> bool {
        let equal = expected == found;
        if equal {
            self.compared += 1;
        } else {
            self.fail(|| format!("expected {expected:?}, found {found:?}: {}", about()));
        }
        equal
    }

    /// Compares the answer to one of many questions: yes or no.
    pub(crate) fn answer<D: Display>(&mut self, theirs: bool, ours: bool, about: impl FnOnce() -> D) {
        match (theirs, ours) {
            (true, true) => self.accepts.both += 1,
            (false, true) => self.accepts.ours += 1,
            (true, false) => self.accepts.theirs += 1,
            (false, false) => {}
        }
        let word = |yes| if yes { "accepted" } else { "refused" };
        self.equal(word(theirs), word(ours), about);
    }

    /// What else a verdict has in common with the recorded one.
    pub(crate) fn agreement(&mut self, agreement: Agreement) {
        self.agreement.add(agreement);
    }

    /// What verdicts had in common so far.
    pub(crate) fn agreements(&self) -> Agreement {
        self.agreement
    }

    /// So many steps were held against a proof.
    pub(crate) fn audited(&mut self, steps: u64) {
        self.audited += steps;
    }

    /// How many steps were held against a proof.
    pub(crate) fn audited_steps(&self) -> u64 {
        self.audited
    }

    /// Both answers, for a report of details.
    pub(crate) fn detail(&mut self, detail: impl FnOnce() -> Value) {
        self.details.push(detail());
    }

    /// The details so far.
    pub(crate) fn details(&self) -> &[Value] {
        &self.details
    }

    /// What was accepted by whom so far.
    pub(crate) fn accepts(&self) -> Accepts {
        self.accepts
    }

    /// Something was compared and is as recorded.
    pub(crate) fn agree(&mut self) {
        self.compared += 1;
    }

    /// What was loaded; that it was not is a failure of the record.
    pub(crate) fn loaded<T>(&mut self, loaded: Result<T, impl Display>) -> Option<T> {
        loaded.map_err(|error| self.fail(|| format!("not loaded: {error}"))).ok()
    }

    /// A disagreement.
    pub(crate) fn fail<D: Display>(&mut self, about: impl FnOnce() -> D) {
        self.compared += 1;
        if self.failures.len() < REPORTED {
            self.failures.push(about().to_string());
        } else {
            self.suppressed += 1;
        }
    }

    /// Part of the record cannot be compared.
    pub(crate) fn leave_out(&mut self, reason: impl Into<String>) {
        *self.left_out.entry(reason.into()).or_default() += 1;
    }

    pub(crate) fn outcome(mut self) -> Outcome {
        if !self.failures.is_empty() {
            if self.suppressed > 0 {
                self.failures.push(format!("… and {} more", self.suppressed));
            }
            return Outcome::Failed(self.failures);
        }
        if self.compared > 0 {
            return Outcome::Passed(self.left_out);
        }
        let reason = self.left_out.into_keys().next();
        Outcome::Skipped(reason.unwrap_or_else(|| "the record asks for nothing".into()))
    }
}
