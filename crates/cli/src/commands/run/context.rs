//! Running a program whose context is bytes: tracing, sockets, control groups.

use std::io::Write;

use sandbpf::{AnyInput, KindName};
use serde::Serialize;

use super::{About, Job, engine_name};
use crate::args::Format;
use crate::failure::Failure;
use crate::{Answer, bytes, output};

#[derive(Debug, Serialize)]
struct Report {
    program: About,
    engine: &'static str,
    /// What the hook looks at: the lower half, as a number with a sign.
    returned: Option<i32>,
    trap: Option<String>,
    /// The context afterwards, in hexadecimal.
    context: String,
}

pub(super) fn run(job: &Job<'_>, kind: KindName, out: &mut impl Write) -> Result<Answer, Failure> {
    let args = job.args;
    let text = args.context.as_deref().unwrap_or_default();
    let mut context =
        bytes::parse(text).map_err(|error| Failure::input(format!("--context:{}", error.column), error))?;
    let program = job.load_any(kind)?;
    let result = program.run(AnyInput::Context((&mut context).into()));
    let report = Report {
        program: job.about(kind, program.instructions().len()),
        engine: engine_name(program.engine()),
        returned: result.as_ref().ok().map(|&r0| r0 as i32),
        trap: result.as_ref().err().map(ToString::to_string),
        context: hex::encode(&context),
    };
    match args.format {
        Format::Json => output::json(out, &report)?,
        Format::Text => {
            if args.verbose {
                writeln!(out, "{}", report.program.line(program.engine()))?;
            }
            match (report.returned, &report.trap) {
                (Some(value), _) => writeln!(out, "returned {value}")?,
                (None, trap) => writeln!(out, "trapped: {}", trap.as_deref().unwrap_or_default())?,
            }
        }
    }
    Ok(Answer::from(result.is_ok()))
}
