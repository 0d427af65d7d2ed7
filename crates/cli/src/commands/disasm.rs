//! `sandbpf disasm`: a program as text.

use std::io::Write;

use sandbpf::classic::{self, Filter};
use sandbpf::isa::{self, Pc};
use serde_json::json;

use crate::Answer;
use crate::args::{Disasm, Format};
use crate::error::{Failure, shown};
use crate::program::{self, Program};

pub(crate) fn run(args: &Disasm, out: &mut impl Write) -> Result<Answer, Failure> {
    match program::read(&args.source, false)? {
        Program::Extended(program) => show(&isa::print(&program), "extended", args.format, out)?,
        Program::Classic(insns) if args.lowered => {
            let place = args.source.program.as_deref().map_or("<command line>".into(), shown);
            let filter =
                Filter::check(&insns, args.dialect.into()).map_err(|error| Failure::input(place, error))?;
            let lowered = classic::lower(&filter);
            show(&listing(&insns, &lowered), "extended", args.format, out)?;
        }
        Program::Classic(insns) => {
            show(&classic::print(&insns, args.to.into()), "classic", args.format, out)?;
        }
    }
    Ok(Answer::Yes)
}

/// The extended program, with the classic instruction above what it became.
fn listing(insns: &[sandbpf::ClassicInsn], lowered: &classic::Lowered) -> String {
    let source = classic::print(insns, classic::Form::TcpdumpD);
    let source: Vec<&str> = source.lines().collect();
    let mut text = String::new();
    let mut last = None;
    for index in 0..lowered.program.len() {
        let origin = lowered.origin[index];
        if last != Some(origin) {
            text.push_str(&format!("; {}\n", source[origin as usize].trim_end()));
            last = Some(origin);
        }
        text.push_str(&format!("{index:4}: {}\n", isa::print_insn(&lowered.program, Pc(index as u32))));
    }
    text
}

fn show(text: &str, language: &str, format: Format, out: &mut impl Write) -> Result<(), Failure> {
    match format {
        Format::Text => {
            out.write_all(text.as_bytes())?;
            if !text.ends_with('\n') {
                out.write_all(b"\n")?;
            }
        }
        Format::Json => {
            let lines: Vec<&str> = text.lines().collect();
            writeln!(out, "{}", json!({ "language": language, "listing": lines }))?;
        }
    }
    Ok(())
}
