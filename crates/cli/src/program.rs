//! Reading programs: any text or binary form, classic or extended.

use std::io::Read;
use std::path::Path;

use sandbpf::classic;
use sandbpf::isa;
use sandbpf::{ClassicInsn, Code};

use crate::args::{Form, Source};
use crate::error::{Failure, shown};

/// A program that was read.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    Classic(Vec<ClassicInsn>),
    Extended(isa::Program),
}

impl Program {
    /// As the loader takes it.
    pub(crate) fn code(&self) -> Code<'_> {
        match self {
            Program::Classic(insns) => Code::Classic(insns),
            Program::Extended(program) => Code::Program(program.clone()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Program::Classic(insns) => insns.len(),
            Program::Extended(program) => program.len(),
        }
    }

    pub(crate) fn language(&self) -> &'static str {
        match self {
            Program::Classic(_) => "classic",
            Program::Extended(_) => "extended",
        }
    }
}

/// Reads the program that the arguments name. `prefer_extended` says which language is tried first where text could
/// be either.
pub(crate) fn read(source: &Source, prefer_extended: bool) -> Result<Program, Failure> {
    let (place, bytes) = match (&source.code, &source.program) {
        (Some(text), _) => ("<command line>".to_string(), text.clone().into_bytes()),
        (None, Some(path)) => (shown(path), read_file(path)?),
        (None, None) => return Err(Failure::Usage("no program given".into())),
    };
    parse(&place, &bytes, source.form, prefer_extended)
}

/// Reads a file, or the standard input for `-`.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::Read { path: path.into(), error };
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(failed)?;
        return Ok(bytes);
    }
    std::fs::read(path).map_err(failed)
}

fn parse(place: &str, bytes: &[u8], form: Form, prefer_extended: bool) -> Result<Program, Failure> {
    let text = || std::str::from_utf8(bytes).map_err(|error| Failure::input(place, error));
    let classic_form = match form {
        Form::Auto => return detect(place, bytes, prefer_extended),
        Form::RawClassic => return raw_classic(place, bytes),
        Form::Raw => return raw_extended(place, bytes),
        Form::Asm => return extended(place, text()?),
        Form::TcpdumpD => classic::Form::TcpdumpD,
        Form::TcpdumpDd => classic::Form::TcpdumpDd,
        Form::TcpdumpDdd => classic::Form::TcpdumpDdd,
        Form::Bytecode => classic::Form::Bytecode,
        Form::BpfAsm => classic::Form::BpfAsm,
    };
    let insns = classic::parse_as(text()?, classic_form).map_err(|error| classic_error(place, &error))?;
    Ok(Program::Classic(insns))
}

/// Text is one language or the other; of two that both fail, the one that gets further speaks. Bytes that are no text
/// are a classic filter if libpcap would take them and they are no extended program.
fn detect(place: &str, bytes: &[u8], prefer_extended: bool) -> Result<Program, Failure> {
    let is_text = |text: &str| !text.contains(|c: char| c.is_control() && !c.is_whitespace());
    let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| is_text(text)) else {
        return binary(place, bytes);
    };
    if prefer_extended && let Ok(program) = isa::parse(text) {
        return Ok(Program::Extended(program));
    }
    match (classic::parse(text), isa::parse(text)) {
        (Ok(insns), _) => Ok(Program::Classic(insns)),
        (_, Ok(program)) => Ok(Program::Extended(program)),
        (Err(classic), Err(extended)) => {
            let further = (extended.line(), extended.column()) > (classic.line(), classic.column());
            Err(if further { extended_error(place, &extended) } else { classic_error(place, &classic) })
        }
    }
}

fn binary(place: &str, bytes: &[u8]) -> Result<Program, Failure> {
    if let Ok(program) = isa::decode(bytes)
        && program.insns().iter().any(|insn| matches!(insn, isa::Insn::Exit))
    {
        return Ok(Program::Extended(program));
    }
    if let Ok(insns) = classic::from_bytes(bytes)
        && classic::Filter::check(&insns, sandbpf::Dialect::Libpcap).is_ok()
    {
        return Ok(Program::Classic(insns));
    }
    raw_extended(place, bytes)
}

fn raw_classic(place: &str, bytes: &[u8]) -> Result<Program, Failure> {
    classic::from_bytes(bytes).map(Program::Classic).map_err(|error| Failure::input(place, error))
}

fn raw_extended(place: &str, bytes: &[u8]) -> Result<Program, Failure> {
    isa::decode(bytes).map(Program::Extended).map_err(|error| Failure::input(place, error))
}

fn extended(place: &str, text: &str) -> Result<Program, Failure> {
    isa::parse(text).map(Program::Extended).map_err(|error| extended_error(place, &error))
}

fn classic_error(place: &str, error: &classic::TextError) -> Failure {
    let what = format!("expected {}, found {}", error.expected(), error.found());
    Failure::input(format!("{place}:{}:{}", error.line(), error.column()), what)
}

fn extended_error(place: &str, error: &isa::TextError) -> Failure {
    let what = format!("expected {}, found {}", error.expected(), error.found());
    Failure::input(format!("{place}:{}:{}", error.line(), error.column()), what)
}
