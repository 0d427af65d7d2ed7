//! The `sandbpf` command.
//!
//! `args` says what can be asked, `commands` has one file for each command, and the rest reads what they
//! take: programs, bytes, system calls. A command writes its result to the standard output and answers
//! yes or no; whatever keeps it from that is a [`Failure`](failure::Failure), one line on the standard
//! error output.
#![forbid(unsafe_code)]

mod args;
mod bytes;
mod commands;
mod definitions;
mod encode;
mod events;
mod failure;
mod held;
mod map_size;
mod object;
mod output;
mod profile;
mod program;
mod ranges;
mod scene;
mod source;
mod syscall;
mod types;
mod verdict;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use failure::Failure;

/// The answer of a command that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
}

impl From<bool> for Answer {
    fn from(yes: bool) -> Answer {
        if yes { Answer::Yes } else { Answer::No }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = BufWriter::new(std::io::stdout());
    let answer = perform(&args.command, &mut out);
    // What was found before a failure is shown before it.
    let flushed = out.flush().map_err(Failure::Output);
    match answer.and_then(|answer| flushed.map(|()| answer)) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::from(2)
        }
    }
}

fn perform(command: &Command, out: &mut impl Write) -> Result<Answer, Failure> {
    match command {
        Command::Run(args) => commands::run::run(args, out),
        Command::Check(args) => commands::check::run(args, out),
        Command::Disasm(args) => commands::disasm::run(args, out),
        Command::Asm(args) => commands::asm::run(args, out),
        Command::Object(args) => commands::object::run(args, out),
        Command::Verify(args) => commands::verify::run(args, out),
        Command::Vectors(args) => commands::vectors::run(args, out),
        Command::Completions { shell } => commands::completions(*shell, out),
    }
}
