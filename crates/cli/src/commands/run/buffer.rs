//! Running a program over plain memory.

use std::io::Write;

use sandbpf::{Buffer, KindName, Program};
use serde::Serialize;

use super::{About, Job, engine_name};
use crate::args::Format;
use crate::failure::Failure;
use crate::{Answer, bytes, output};

#[derive(Debug, Serialize)]
struct Report {
    program: About,
    engine: &'static str,
    /// In hexadecimal: JSON readers lose digits of large numbers.
    r0: Option<String>,
    instruction: Option<u32>,
    trap: Option<String>,
    /// The memory afterwards, in hexadecimal.
    memory: String,
}

pub(super) fn run(job: &Job<'_>, out: &mut impl Write) -> Result<Answer, Failure> {
    let args = job.args;
    let text = args.mem.as_deref().unwrap_or_default();
    let mut memory =
        bytes::parse(text).map_err(|error| Failure::input(format!("--mem:{}", error.column), error))?;
    let loaded: Program<Buffer> = job.loader.load(job.program.code()).map_err(|error| job.refused(error))?;
    let result = loaded.run(&mut memory);
    let program = job.about(KindName::Buffer, loaded.instructions().len());
    let report = Report {
        program,
        engine: engine_name(loaded.engine()),
        r0: result.as_ref().ok().map(|r0| format!("{r0:#x}")),
        instruction: result.as_ref().err().map(|trap| trap.pc().0),
        trap: result.as_ref().err().map(ToString::to_string),
        memory: hex::encode(&memory),
    };
    match args.format {
        Format::Json => output::json(out, &report)?,
        Format::Text => {
            if args.verbose {
                writeln!(out, "{}", report.program.line(loaded.engine()))?;
            }
            match &result {
                Ok(r0) => writeln!(out, "r0 = {r0:#x}")?,
                Err(trap) => writeln!(out, "trapped: {trap}")?,
            }
            if !memory.is_empty() {
                writeln!(out, "memory = {}", report.memory)?;
            }
        }
    }
    Ok(Answer::from(result.is_ok()))
}
