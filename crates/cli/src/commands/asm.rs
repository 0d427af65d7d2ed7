//! `sandbpf asm`: text to bytes or numbers.

use std::io::{IsTerminal, Write};

use sandbpf::classic::{self, Form};

use crate::Answer;
use crate::args::{Asm, Made};
use crate::failure::{Failure, is_dash};
use crate::output::WholeFile;
use crate::program::Program;
use crate::source::Source;

pub(crate) fn run(args: &Asm, out: &mut impl Write) -> Result<Answer, Failure> {
    let source = Source::read(args.program.as_deref(), &args.code)?;
    let program = Program::parse(&source, args.code.form).map_err(Failure::from)?;
    let file = args.output.as_deref().filter(|path| !is_dash(path));
    let made =
        make(&program, &source, args.to.unwrap_or(if file.is_some() { Made::Raw } else { Made::Hex }))?;
    match file {
        Some(path) => {
            let mut file = WholeFile::create(path)?;
            file.write_all(&made).map_err(|error| file.failure(error))?;
            file.complete()?;
        }
        None if args.to == Some(Made::Raw) && std::io::stdout().is_terminal() => {
            return Err(Failure::usage("bytes are not for a terminal; give -o FILE, or --to hex"));
        }
        None => out.write_all(&made)?,
    }
    Ok(Answer::Yes)
}

fn make(program: &Program, source: &Source, to: Made) -> Result<Vec<u8>, Failure> {
    let bytes = match program {
        Program::Classic(insns) => classic::to_bytes(insns),
        Program::Extended(program) if program.fits() => program.to_bytes(),
        Program::Extended(_) => {
            return Err(source.failure("a jump is too far for its 16 bits; use gotol"));
        }
    };
    let form = match (to, program) {
        (Made::Raw, _) => return Ok(bytes),
        (Made::Hex, _) => return Ok(lines(&bytes, |slot| hex::encode(slot))),
        (Made::C, Program::Extended(_)) => return Ok(lines(&bytes, c_bytes)),
        (_, Program::Extended(_)) => {
            return Err(Failure::usage("that form is for classic filters; this program is extended"));
        }
        (Made::C | Made::TcpdumpDd, _) => Form::TcpdumpDd,
        (Made::TcpdumpDdd, _) => Form::TcpdumpDdd,
        (Made::Bytecode, _) => Form::Bytecode,
    };
    let Program::Classic(insns) = program else { return Ok(bytes) };
    let mut text = classic::print(insns, form);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text.into_bytes())
}

/// A line for each instruction of 8 bytes.
fn lines(bytes: &[u8], line: impl Fn(&[u8]) -> String) -> Vec<u8> {
    bytes.chunks(8).flat_map(|slot| (line(slot) + "\n").into_bytes()).collect()
}

fn c_bytes(slot: &[u8]) -> String {
    let bytes: Vec<String> = slot.iter().map(|byte| format!("{byte:#04x},")).collect();
    bytes.join(" ")
}
