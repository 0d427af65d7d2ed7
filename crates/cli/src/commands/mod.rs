//! The commands, one file each.

pub(crate) mod asm;
pub(crate) mod check;
pub(crate) mod disasm;
pub(crate) mod object;
pub(crate) mod run;
pub(crate) mod vectors;
pub(crate) mod verify;

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Answer;
use crate::args::Args;
use crate::failure::Failure;

/// Prints completions for a shell.
pub(crate) fn completions(shell: Shell, out: &mut impl Write) -> Result<Answer, Failure> {
    // The generator does not expect that writing fails.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "sandbpf", &mut script);
    out.write_all(&script)?;
    Ok(Answer::Yes)
}
