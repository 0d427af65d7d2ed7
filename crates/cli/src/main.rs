//! The `sandbpf` command.
//!
//! Exit codes: 0 it ran, 1 the answer is no (refused, trapped, a vector failed, nothing matched with
//! `--exit-match`), 2 bad usage or bad input, with one line that says where and what.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod error;
mod program;
mod text;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use error::Failure;

/// The answer of a command that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let result = match args.command {
        Command::Run(args) => commands::run::run(&args, &mut out),
        Command::Check(args) => commands::check::run(&args, &mut out),
        Command::Disasm(args) => commands::disasm::run(&args, &mut out),
        Command::Asm(args) => commands::asm::run(&args, &mut out),
        Command::Vectors(args) => commands::vectors::run(&args, &mut out),
        Command::Completions { shell } => commands::completions(shell, &mut out),
    };
    let result = result.and_then(|answer| {
        out.flush()?;
        Ok(answer)
    });
    match result {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        // Nobody reads any more: `sandbpf … | head`.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = out.flush();
            eprintln!("sandbpf: {failure}");
            ExitCode::from(2)
        }
    }
}
