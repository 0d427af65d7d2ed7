//! `sandbpf check`: would it be accepted?
//!
//! A filter is held against the rules of its dialect. Of an extended program only the instructions are looked at:
//! whether Linux would load it takes a verifier.

use std::io::Write;

use sandbpf::classic::{self, Filter, Form};
use sandbpf::{ClassicInsn, isa};
use serde::Serialize;

use crate::args::{Check, Format};
use crate::failure::Failure;
use crate::program::{Program, Unread};
use crate::source::Source;
use crate::{Answer, output};

/// A verdict.
#[derive(Debug, Serialize)]
struct Verdict {
    language: &'static str,
    /// Whose rules; extended programs have one set.
    dialect: Option<&'static str>,
    accepted: bool,
    instructions: Option<usize>,
    refused: Option<Refused>,
}

/// Why not.
#[derive(Debug, Serialize)]
struct Refused {
    /// What the kernel's system call would fail with, where it is known.
    errno: Option<i32>,
    /// Counted from 0, in slots of 8 bytes.
    instruction: Option<usize>,
    reason: String,
    #[serde(skip)]
    line: Option<String>,
}

pub(crate) fn run(args: &Check, out: &mut impl Write) -> Result<Answer, Failure> {
    let source = Source::read(args.given.program.as_deref(), &args.given.code)?;
    let verdict = match Program::parse(&source, args.given.code.form) {
        Ok(Program::Classic(insns)) => filter(&insns, args),
        Ok(Program::Extended(program)) => Verdict {
            language: "extended",
            dialect: None,
            accepted: true,
            instructions: Some(program.len()),
            refused: None,
        },
        Err(Unread::Undecodable { error, .. }) => undecodable(&error),
        Err(Unread::Failure(failure)) => return Err(failure),
    };
    match args.format {
        Format::Json => output::json(out, &verdict)?,
        Format::Text => verdict.show(&source.place, out)?,
    }
    Ok(Answer::from(verdict.accepted))
}

fn filter(insns: &[ClassicInsn], args: &Check) -> Verdict {
    let result = Filter::check(insns, args.dialect.into());
    let refused = result.err().map(|error| {
        let listing = classic::print(insns, Form::TcpdumpD);
        Refused {
            errno: Some(error.errno()),
            instruction: Some(error.index()),
            reason: error.rule().to_string(),
            line: listing.lines().nth(error.index()).map(|line| line.trim_end().into()),
        }
    });
    Verdict {
        language: "classic",
        dialect: Some(args.dialect.name()),
        accepted: refused.is_none(),
        instructions: Some(insns.len()),
        refused,
    }
}

fn undecodable(error: &isa::DecodeError) -> Verdict {
    let instruction = Some(error.slot() as usize);
    let refused = Refused { errno: None, instruction, reason: error.to_string(), line: None };
    Verdict {
        language: "extended",
        dialect: None,
        accepted: false,
        instructions: None,
        refused: Some(refused),
    }
}

impl Verdict {
    fn show(&self, place: &str, out: &mut impl Write) -> Result<(), Failure> {
        let whose = self.dialect.map(|dialect| format!(" by {dialect}")).unwrap_or_default();
        match (&self.refused, self.instructions) {
            (Some(refused), _) => {
                match (refused.instruction, self.language) {
                    // The decoder's message names the instruction.
                    (Some(index), "classic") => {
                        writeln!(out, "{place}: refused{whose}: instruction {index}: {}", refused.reason)?;
                    }
                    _ => writeln!(out, "{place}: refused{whose}: {}", refused.reason)?,
                }
                if let Some(line) = &refused.line {
                    writeln!(out, "    {line}")?;
                }
            }
            (None, Some(count)) if self.language == "extended" => {
                writeln!(out, "{place}: decodes: {count} extended instructions; not verified")?;
            }
            (None, count) => {
                writeln!(out, "{place}: accepted{whose}: {} instructions", count.unwrap_or_default())?;
            }
        }
        Ok(())
    }
}
