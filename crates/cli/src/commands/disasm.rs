//! `sandbpf disasm`: a program as text, or the programs of an object file.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use sandbpf::ClassicInsn;
use sandbpf::classic::{self, Filter, Form, Lowered};
use sandbpf::isa::{self, Pc};
use sandbpf::object::{FixupKind, ProgramEntry};
use serde::Serialize;

use crate::args::{Disasm, Format, Shown};
use crate::failure::Failure;
use crate::program::Program;
use crate::source::Source;
use crate::{Answer, object, output};

/// What is shown, for programs.
#[derive(Debug, Serialize)]
struct Listing<'t> {
    language: &'static str,
    instructions: usize,
    lines: Vec<&'t str>,
}

pub(crate) fn run(args: &Disasm, out: &mut impl Write) -> Result<Answer, Failure> {
    let source = Source::read(args.given.program.as_deref(), &args.given.code)?;
    if source.bytes.starts_with(object::MAGIC) {
        return of_object(args, &source, out);
    }
    if args.program_name.is_some() {
        return Err(Failure::usage("--program is for object files"));
    }
    let program = Program::parse(&source, args.given.code.form).map_err(Failure::from)?;
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
    show(args, &text, language, instructions, out)
}

/// The programs of an object, or the one that is asked for. Maps have the numbers of their order in the object.
fn of_object(args: &Disasm, source: &Source, out: &mut impl Write) -> Result<Answer, Failure> {
    if args.to.is_some() || args.lowered {
        return Err(Failure::usage("--to and --lowered are for classic filters; this is an object file"));
    }
    let path = args.given.program.as_deref().unwrap_or(Path::new("-"));
    let object = object::parse(path, &source.bytes, None)?;
    if let Some(name) = &args.program_name {
        object::check_program(&object, name).map_err(|what| source.failure(what))?;
    }
    let wanted = |entry: &&ProgramEntry| args.program_name.as_ref().is_none_or(|name| *name == entry.name);
    let (mut text, mut count) = (String::new(), 0);
    for entry in object.entries().iter().filter(wanted) {
        let mut linked = object.link(entry).map_err(|error| source.failure(error))?;
        let mut maps = BTreeMap::new();
        for fixup in &linked.fixups {
            if let FixupKind::Map { map } | FixupKind::MapValue { map, .. } = fixup.kind
                && let (Some(place), Ok(number)) =
                    (linked.insns.get_mut(fixup.insn * 8 + 4..fixup.insn * 8 + 8), u32::try_from(map))
            {
                place.copy_from_slice(&number.to_le_bytes());
                maps.extend(object.maps().get(map).map(|def| (map, def.name.as_str())));
            }
        }
        let program = isa::decode(&linked.insns)
            .map_err(|error| source.failure(format!("program `{}`: {error}", entry.name)))?;
        text.push_str(&format!("; {} ({})\n", entry.name, entry.section));
        for (number, name) in maps {
            text.push_str(&format!("; map[fd:{number}] is {name}\n"));
        }
        text.push_str(&isa::print(&program));
        text.push_str(if text.ends_with('\n') { "" } else { "\n" });
        count += program.len();
    }
    show(args, &text, "extended", count, out)
}

/// Shows a listing as it is asked for.
fn show(
    args: &Disasm,
    text: &str,
    language: &'static str,
    instructions: usize,
    out: &mut impl Write,
) -> Result<Answer, Failure> {
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
