//! `sandbpf asm`: text to bytes or numbers.

use std::io::Write;

use sandbpf::classic;

use crate::Answer;
use crate::args::{Asm, Made};
use crate::error::Failure;
use crate::program::{self, Program};

pub(crate) fn run(args: &Asm, out: &mut impl Write) -> Result<Answer, Failure> {
    let program = program::read(&args.source, true)?;
    let bytes = match &program {
        Program::Classic(insns) => classic::to_bytes(insns),
        Program::Extended(program) if program.fits() => program.to_bytes(),
        Program::Extended(_) => {
            return Err(Failure::Usage("a jump is too far for its encoding; use gotol".into()));
        }
    };
    let made = match (args.to, &program) {
        (Made::Raw, _) => bytes,
        (Made::Hex, _) => (hex::encode(bytes) + "\n").into_bytes(),
        (Made::C, Program::Classic(insns)) => classic::print(insns, classic::Form::TcpdumpDd).into_bytes(),
        (Made::C, Program::Extended(_)) => {
            let line = |slot: &[u8]| slot.iter().map(|b| format!("0x{b:02x}, ")).collect::<String>();
            bytes
                .chunks(8)
                .map(|slot| line(slot).trim_end().to_string() + "\n")
                .collect::<String>()
                .into_bytes()
        }
        (Made::TcpdumpDdd, Program::Classic(insns)) => {
            classic::print(insns, classic::Form::TcpdumpDdd).into_bytes()
        }
        (Made::Bytecode, Program::Classic(insns)) => {
            (classic::print(insns, classic::Form::Bytecode) + "\n").into_bytes()
        }
        (Made::TcpdumpDdd | Made::Bytecode, Program::Extended(_)) => {
            return Err(Failure::Usage("that form is for classic filters; this program is extended".into()));
        }
    };
    match &args.output {
        None => out.write_all(&made)?,
        Some(path) => {
            std::fs::write(path, made).map_err(|error| Failure::Write { path: path.clone(), error })?;
        }
    }
    Ok(Answer::Yes)
}
