//! Running a policy over system calls.

use std::io::Write;

use sandbpf::{AnyInput, AnyProgram, KindName, SeccompAction};
use serde::Serialize;

use super::{About, Job, engine_name};
use crate::Answer;
use crate::args::Format;
use crate::failure::Failure;
use crate::output;
use crate::syscall::{Call, architecture_name, names};

#[derive(Debug, Serialize)]
struct Report {
    program: About,
    engine: &'static str,
    syscalls: Vec<Judged>,
}

/// A system call and what happens to it.
#[derive(Debug, Serialize)]
struct Judged {
    #[serde(skip)]
    call: Call,
    nr: i32,
    name: Option<&'static str>,
    arch: String,
    instruction_pointer: u64,
    args: [u64; 6],
    /// `SECCOMP_RET_*` without its prefix, with the data.
    action: Option<String>,
    returned: Option<u32>,
    trap: Option<String>,
}

pub(super) fn run(job: &Job<'_>, out: &mut impl Write) -> Result<Answer, Failure> {
    let args = job.args;
    let policy =
        job.loader.load_any(KindName::Seccomp, job.program.code()).map_err(|error| job.refused(error))?;
    let syscalls: Vec<Judged> = args.syscall.iter().map(|call| judge(&policy, call)).collect();
    let answer = Answer::from(syscalls.iter().all(|judged| judged.trap.is_none()));
    let program = job.about(KindName::Seccomp, policy.instructions().len());
    match args.format {
        Format::Json => {
            output::json(out, &Report { program, engine: engine_name(policy.engine()), syscalls })?;
        }
        Format::Text => {
            if args.verbose {
                writeln!(out, "{}", program.line(policy.engine()))?;
            }
            syscalls.iter().try_for_each(|judged| judged.show(out))?;
        }
    }
    Ok(answer)
}

fn judge(policy: &AnyProgram, shown: &Call) -> Judged {
    let call = &shown.data;
    let result = policy.run(AnyInput::Syscall(call));
    let returned = result.as_ref().ok().map(|&r0| r0 as u32);
    Judged {
        call: shown.clone(),
        nr: call.nr,
        name: names::name(call.arch, call.nr as u32),
        arch: architecture_name(call.arch),
        instruction_pointer: call.instruction_pointer,
        args: call.args,
        action: returned.map(|value| SeccompAction::from(value).to_string()),
        returned,
        trap: result.as_ref().err().map(ToString::to_string),
    }
}

impl Judged {
    fn show(&self, out: &mut impl Write) -> Result<(), Failure> {
        write!(out, "{}: ", self.call)?;
        match (&self.action, &self.trap) {
            (Some(action), _) => writeln!(out, "{action}")?,
            (None, trap) => writeln!(out, "trapped: {}", trap.as_deref().unwrap_or_default())?,
        }
        Ok(())
    }
}
