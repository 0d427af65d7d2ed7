//! `sandbpf check`: would it be accepted?

use std::io::Write;

use sandbpf::classic::Filter;
use serde_json::json;

use crate::Answer;
use crate::args::{Check, Format};
use crate::error::Failure;
use crate::program::{self, Program};

pub(crate) fn run(args: &Check, out: &mut impl Write) -> Result<Answer, Failure> {
    let program = program::read(&args.source, false)?;
    let dialect = sandbpf::Dialect::from(args.dialect);
    let insns = match &program {
        Program::Classic(insns) => insns,
        Program::Extended(program) => {
            let what = "decodes; whether Linux would load it is not looked at: that takes a verifier";
            match args.format {
                Format::Text => writeln!(out, "extended program of {} instructions: {what}", program.len())?,
                Format::Json => writeln!(out, "{}", json!({ "language": "extended", "decodes": true }))?,
            }
            return Ok(Answer::Yes);
        }
    };
    let verdict = Filter::check(insns, dialect);
    match (args.format, &verdict) {
        (Format::Text, Ok(_)) => writeln!(
            out,
            "accepted: {} instructions, {}",
            insns.len(),
            format!("{dialect:?}").to_lowercase()
        )?,
        (Format::Text, Err(error)) => {
            writeln!(out, "refused by {} {error}", format!("{dialect:?}").to_lowercase())?;
            let listing = sandbpf::classic::print(insns, sandbpf::classic::Form::TcpdumpD);
            if let Some(line) = listing.lines().nth(error.index()) {
                writeln!(out, "    {line}")?;
            }
        }
        (Format::Json, verdict) => {
            let error = verdict.as_ref().err();
            let answer = json!({
                "language": "classic",
                "dialect": format!("{dialect:?}").to_lowercase(),
                "instructions": insns.len(),
                "accepted": error.is_none(),
                "errno": error.map(|error| error.errno()),
                "instruction": error.map(|error| error.index()),
                "rule": error.map(|error| error.rule().to_string()),
            });
            writeln!(out, "{answer}")?;
        }
    }
    Ok(if verdict.is_ok() { Answer::Yes } else { Answer::No })
}
