//! Reading case files: words at the margin, code indented.

use std::collections::BTreeMap;

use sandbpf::{Dialect, KindName, Reserved};
use sandbpf_isa::Reg;

use super::given::{bytes, number};
use super::{After, Case, Code, Expected, Given, Line, Outcome, Run};

/// Why a text is no case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}, found `{found}`")]
pub struct CaseError {
    line: usize,
    expected: &'static str,
    found: String,
}

/// What was read so far.
#[derive(Default)]
struct Draft {
    title: String,
    kind: Option<(KindName, Option<Dialect>)>,
    reserved: Reserved,
    code: Option<Code>,
    without: BTreeMap<String, String>,
    given: Given,
    runs: Vec<Run>,
    rejected: Option<Line<String>>,
}

pub(super) fn case(text: &str) -> Result<Case, CaseError> {
    let lines: Vec<&str> = text.lines().collect();
    let error = |at: usize, expected| CaseError {
        line: at + 1,
        expected,
        found: lines.get(at).copied().unwrap_or("the end of the file").into(),
    };
    let mut draft = Draft::default();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let here = at;
        at += 1;
        if let Some(comment) = line.strip_prefix('#') {
            if draft.title.is_empty() {
                draft.title = comment.trim().into();
            }
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            return Err(error(here, "a word at the margin"));
        }
        let mut block = || {
            let end =
                (at..lines.len()).find(|&at| !lines[at].starts_with([' ', '\t']) && !lines[at].is_empty());
            let block = at..end.unwrap_or(lines.len());
            at = block.end;
            lines[block].join("\n")
        };
        let code = match line {
            "code" => Some(Code::Extended(block())),
            "classic" => Some(Code::Classic(block())),
            "bytes" => {
                let text = block();
                let words: Vec<&str> = text.split_whitespace().collect();
                Some(Code::Bytes(bytes(&words).ok_or_else(|| error(here, "bytes in hexadecimal"))?))
            }
            _ => None,
        };
        match code {
            Some(code) => draft.code = Some(code),
            None => draft.word(line, here).map_err(|expected| error(here, expected))?,
        }
    }
    draft.finish(&lines).map_err(|expected| error(lines.len(), expected))
}

impl Draft {
    /// Takes a line that is not code.
    fn word(&mut self, line: &str, at: usize) -> Result<(), &'static str> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        let words: Vec<&str> = rest.split_whitespace().collect();
        match word {
            "type" => self.kind = Some(kind(&words)?),
            "reserved" => {
                self.reserved = match rest {
                    "linux" => Reserved::Linux,
                    "rfc9669" => Reserved::Rfc9669,
                    "ignored" => Reserved::Ignored,
                    _ => return Err("linux, rfc9669 or ignored"),
                }
            }
            "without" => {
                let (who, why) = rest.split_once(':').ok_or("who cannot run it, a colon, and why")?;
                if !["step", "run", "jit", "reference"].contains(&who) {
                    return Err("step, run, jit or reference");
                }
                self.without.insert(who.into(), why.trim().into());
            }
            "given" => self.given.set(&words)?,
            "returns" => {
                let value = number(rest).ok_or("a number")?;
                self.run(Outcome::Returns(value), at);
            }
            "traps" => self.run(Outcome::Traps(rest.into()), at),
            "rejected" => self.rejected = Some(Line { value: rest.into(), line: at }),
            "after" => {
                let run = self.runs.last_mut().ok_or("a run before what is true after it")?;
                run.after.push(Line { value: after(&words)?, line: at });
            }
            _ => {
                return Err(
                    "type, reserved, code, classic, bytes, without, given, returns, traps, rejected or after",
                );
            }
        }
        Ok(())
    }

    fn run(&mut self, outcome: Outcome, line: usize) {
        let outcome = Line { value: outcome, line };
        self.runs.push(Run { given: self.given.clone(), outcome, after: Vec::new() });
    }

    fn finish(self, lines: &[&str]) -> Result<Case, &'static str> {
        if self.title.is_empty() {
            return Err("a comment that says what is shown");
        }
        let (kind, dialect) = self.kind.ok_or("a type")?;
        let expected = match self.rejected {
            Some(_) if !self.runs.is_empty() => return Err("a rejection or runs, not both"),
            Some(message) => Expected::Rejected(message),
            None if self.runs.is_empty() => return Err("returns, traps or rejected"),
            None => Expected::Runs(self.runs),
        };
        Ok(Case {
            title: self.title,
            kind,
            dialect,
            reserved: self.reserved,
            code: self.code.ok_or("code, classic or bytes")?,
            without: self.without,
            expected,
            lines: lines.iter().map(|&line| line.into()).collect(),
        })
    }
}

fn kind(words: &[&str]) -> Result<(KindName, Option<Dialect>), &'static str> {
    Ok(match words {
        ["buffer"] => (KindName::Buffer, None),
        ["socket-filter"] => (KindName::SocketFilter, None),
        ["socket-filter", "libpcap"] => (KindName::SocketFilter, Some(Dialect::Libpcap)),
        ["socket-filter", "linux"] => (KindName::SocketFilter, Some(Dialect::Linux)),
        ["seccomp"] => (KindName::Seccomp, Some(Dialect::Seccomp)),
        [name] => (name.parse().map_err(|_| "a kind of program")?, None),
        _ => return Err("a kind of program, for socket-filter perhaps libpcap or linux"),
    })
}

fn after(words: &[&str]) -> Result<After, &'static str> {
    const EXPECTED: &str = "memory or packet and bytes, a register or budget and a number";
    match words {
        ["memory", rest @ ..] => bytes(rest).map(After::Memory).ok_or("bytes"),
        ["packet", rest @ ..] => bytes(rest).map(After::Packet).ok_or("bytes"),
        ["budget", left] => number(left).map(After::Budget).ok_or("a number"),
        [register, value] => {
            let register =
                register.strip_prefix('r').and_then(|number| number.parse().ok()).and_then(Reg::new);
            let value = number(value).ok_or("a number")?;
            Ok(After::Register(register.ok_or(EXPECTED)?, value))
        }
        _ => Err(EXPECTED),
    }
}
