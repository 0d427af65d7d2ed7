//! `sandbpf disasm`: a program as text.

use std::io::Write;

use sandbpf::ClassicInsn;
use sandbpf::classic::{self, Filter, Form, Lowered};
use sandbpf::isa::{self, Pc};
use serde::Serialize;

use crate::args::{Disasm, Format, Shown};
use crate::failure::Failure;
use crate::program::Program;
use crate::source::Source;
use crate::{Answer, output};

/// What is shown, for programs.
#[derive(Debug, Serialize)]
struct Listing<'t> {
    language: &'static str,
    instructions: usize,
    lines: Vec<&'t str>,
}

pub(crate) fn run(args: &Disasm, out: &mut impl Write) -> Result<Answer, Failure> {
    let source = Source::read(args.program.as_deref(), &args.code)?;
    let program = Program::parse(&source, args.code.form).map_err(Failure::from)?;
    let (text, language, instructions) = match &program {
        Program::Extended(_) if args.to.is_some() || args.lowered => {
            return Err(Failure::usage(
                "--to and --lowered are for classic filters; this program is extended",
            ));
        }
        Program::Extended(program) => (isa::print(program), "extended", program.len()),
        Program::Classic(insns) if args.lowered => {
            let filter = Filter::check(insns, args.dialect.into()).map_err(|error| source.failure(error))?;
            let lowered = classic::lower(&filter);
            (beside(insns, &lowered), "extended", lowered.program.len())
        }
        Program::Classic(insns) => {
            let form = args.to.unwrap_or(Shown::TcpdumpD).into();
            (classic::print(insns, form), "classic", insns.len())
        }
    };
    match args.format {
        Format::Text => {
            out.write_all(text.as_bytes())?;
            if !text.ends_with('\n') {
                writeln!(out)?;
            }
        }
        Format::Json => {
            output::json(out, &Listing { language, instructions, lines: text.lines().collect() })?
        }
    }
    Ok(Answer::Yes)
}

/// The extended program, with the classic instruction above what it became.
fn beside(insns: &[ClassicInsn], lowered: &Lowered) -> String {
    let source = classic::print(insns, Form::TcpdumpD);
    let source: Vec<&str> = source.lines().collect();
    let mut text = String::new();
    let mut last = None;
    for (index, &origin) in lowered.origin.iter().enumerate() {
        if last != Some(origin) {
            let line = source.get(origin as usize).copied().unwrap_or_default();
            text.push_str(&format!("; {}\n", line.trim_end()));
            last = Some(origin);
        }
        text.push_str(&format!("{index:4}: {}\n", isa::print_insn(&lowered.program, Pc(index as u32))));
    }
    text
}
