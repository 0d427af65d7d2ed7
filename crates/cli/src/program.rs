//! Programs in any form: text or bytes, classic or extended.
//!
//! Text tells its language by itself: no text is both. Bytes do not, as both languages have instructions of eight
//! bytes. A filter that Linux accepts ends with a `ret`, whose opcode is no way for an extended program to end but for
//! one that jumps back; and a program that ends with `exit` is no filter that anybody accepts. So what is sound in one
//! language alone is of that language. What is sound in none is told by its last opcode, so that the error speaks of
//! the right language, and what is still undecided has to be named with `--form`.

use sandbpf::classic::{self, Dialect, Filter, shape::Shape};
use sandbpf::isa::{self, DecodeError, Insn};
use sandbpf::{ClassicInsn, Code};

use crate::args::Form;
use crate::bytes;
use crate::failure::Failure;
use crate::profile;
use crate::source::Source;

/// A program that was read.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    Classic(Vec<ClassicInsn>),
    Extended(isa::Program),
}

/// Why none was read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The bytes are an extended program that Linux would not decode.
    Undecodable { place: String, error: DecodeError, code: Vec<u8> },
    /// Anything else.
    Failure(Failure),
}

impl From<Failure> for Unread {
    fn from(failure: Failure) -> Unread {
        Unread::Failure(failure)
    }
}

impl From<Unread> for Failure {
    fn from(unread: Unread) -> Failure {
        match unread {
            Unread::Undecodable { place, error, .. } => Failure::input(place, error),
            Unread::Failure(failure) => failure,
        }
    }
}

impl Program {
    /// The program in a source.
    pub(crate) fn parse(source: &Source, form: Form) -> Result<Program, Unread> {
        if source.bytes.trim_ascii().is_empty() {
            return Err(source.failure("the program is empty").into());
        }
        let classic_form = match form {
            Form::Auto => return detect(source),
            Form::Hex => return from_hex(source, source.text()?),
            Form::RawClassic => return raw_classic(source, &source.bytes),
            Form::Raw => return raw_extended(source, &source.bytes),
            Form::Asm => return Ok(extended(source, source.text()?)?),
            Form::Profile => return profile(source),
            Form::TcpdumpD => classic::Form::TcpdumpD,
            Form::TcpdumpDd => classic::Form::TcpdumpDd,
            Form::TcpdumpDdd => classic::Form::TcpdumpDdd,
            Form::Bytecode => classic::Form::Bytecode,
            Form::BpfAsm => classic::Form::BpfAsm,
            Form::SeccompTools => classic::Form::SeccompTools,
        };
        match classic::parse_as(source.text()?, classic_form) {
            Ok(insns) => Ok(Program::Classic(insns)),
            Err(error) => Err(classic_error(source, &error).into()),
        }
    }

    /// As the loader takes it.
    pub(crate) fn code(&self) -> Code<'_> {
        match self {
            Program::Classic(insns) => Code::Classic(insns),
            Program::Extended(program) => Code::Program(program.clone()),
        }
    }

    /// How many instructions it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Program::Classic(insns) => insns.len(),
            Program::Extended(program) => program.len(),
        }
    }

    /// What it is written in.
    pub(crate) fn language(&self) -> &'static str {
        match self {
            Program::Classic(_) => "classic",
            Program::Extended(_) => "extended",
        }
    }
}

/// The first bytes of captures: pcap in both byte orders and resolutions of time, pcapng.
const CAPTURES: [&[u8]; 5] = [
    &[0xd4, 0xc3, 0xb2, 0xa1],
    &[0xa1, 0xb2, 0xc3, 0xd4],
    &[0x4d, 0x3c, 0xb2, 0xa1],
    &[0xa1, 0xb2, 0x3c, 0x4d],
    &[0x0a, 0x0d, 0x0d, 0x0a],
];

fn detect(source: &Source) -> Result<Program, Unread> {
    if source.bytes.starts_with(b"\x7fELF") {
        let what = "this is an object file; `run`, `disasm` and `object` take those";
        return Err(source.failure(what).into());
    }
    if CAPTURES.iter().any(|magic| source.bytes.starts_with(magic)) {
        return Err(source.failure("this is a capture; the program comes before it").into());
    }
    let Some(text) = source.as_text() else { return from_bytes(source, &source.bytes) };
    if profile::is_profile(text) {
        return profile(source);
    }
    let error = match (classic::parse(text), isa::parse(text)) {
        (Ok(insns), _) => return Ok(Program::Classic(insns)),
        (_, Ok(program)) => return Ok(Program::Extended(program)),
        _ if is_hex(text) => return from_hex(source, text),
        (_, Err(error)) if looks_extended(text) => extended_error(source, &error),
        (Err(error), _) => classic_error(source, &error),
    };
    Err(error.into())
}

/// A container runtime's profile, made a filter.
fn profile(source: &Source) -> Result<Program, Unread> {
    let text = profile::compile(&source.json()?).map_err(|what| source.failure(what))?;
    let insns = classic::parse_as(&text, classic::Form::BpfAsm);
    Ok(insns.map(Program::Classic).map_err(|error| source.failure(format!("the filter: {error}")))?)
}

/// Nothing but instructions of 8 bytes in hexadecimal.
fn is_hex(text: &str) -> bool {
    let mut digits = 0;
    for line in text.lines() {
        match bytes::parse(line) {
            Ok(bytes) => digits += 2 * bytes.len(),
            Err(_) => return false,
        }
    }
    digits > 0 && digits % 16 == 0
}

/// A register, or `exit`, is a word that no classic program has outside of comments and labels.
fn looks_extended(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.any(|word| {
        let number = word.strip_prefix(['r', 'w', 'R', 'W']);
        word == "exit" || number.is_some_and(|number| number.parse::<u8>().is_ok())
    })
}

fn from_hex(source: &Source, text: &str) -> Result<Program, Unread> {
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let bytes = bytes::parse(line)
            .map_err(|error| source.failure_at(index + 1, error.column, error.to_string()))?;
        all.extend(bytes);
    }
    from_bytes(source, &all)
}

fn from_bytes(source: &Source, bytes: &[u8]) -> Result<Program, Unread> {
    let Some(last) = bytes.len().checked_sub(8).filter(|_| bytes.len().is_multiple_of(8)) else {
        let what =
            format!("{} bytes are neither text nor instructions, which have 8 bytes each", bytes.len());
        return Err(source.failure(what).into());
    };
    let classic = classic::from_bytes(bytes).ok().filter(|insns| is_sound_filter(insns));
    let extended = isa::decode(bytes).ok().filter(ends);
    match (classic, extended) {
        (Some(insns), _) => return Ok(Program::Classic(insns)),
        (None, Some(program)) => return Ok(Program::Extended(program)),
        (None, None) => {}
    }
    let known = |insn: &[u8]| Shape::of(u16::from_le_bytes([insn[0], insn[1]])).is_some();
    match (bytes[last], bytes.chunks(8).all(known)) {
        (isa::opcode::RETURN, _) => raw_extended(source, bytes),
        (_, true) => raw_classic(source, bytes),
        (_, false) => {
            let what = "the bytes are no sound program, classic or extended; --form says which it should be";
            Err(source.failure(what).into())
        }
    }
}

/// A filter that some dialect accepts, all of whose instructions mean something.
fn is_sound_filter(insns: &[ClassicInsn]) -> bool {
    insns.iter().all(|insn| Shape::of(insn.code).is_some())
        && Dialect::ALL.iter().any(|&dialect| Filter::check(insns, dialect).is_ok())
}

/// Control does not run past the last instruction.
fn ends(program: &isa::Program) -> bool {
    matches!(program.insns().last(), Some(Insn::Exit | Insn::Jump { .. }))
}

fn raw_classic(source: &Source, bytes: &[u8]) -> Result<Program, Unread> {
    Ok(classic::from_bytes(bytes).map(Program::Classic).map_err(|error| source.failure(error))?)
}

fn raw_extended(source: &Source, bytes: &[u8]) -> Result<Program, Unread> {
    let undecodable =
        |error| Unread::Undecodable { place: source.place.clone(), error, code: bytes.to_vec() };
    isa::decode(bytes).map(Program::Extended).map_err(undecodable)
}

fn extended(source: &Source, text: &str) -> Result<Program, Failure> {
    isa::parse(text).map(Program::Extended).map_err(|error| extended_error(source, &error))
}

fn classic_error(source: &Source, error: &classic::TextError) -> Failure {
    let what = format!("expected {}, found {}", error.expected(), error.found());
    source.failure_at(error.line(), error.column(), what)
}

fn extended_error(source: &Source, error: &isa::TextError) -> Failure {
    let what = format!("expected {}, found {}", error.expected(), error.found());
    source.failure_at(error.line(), error.column(), what)
}
