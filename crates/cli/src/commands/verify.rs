//! `sandbpf verify`: would Linux load it? The verdict for each program, and for a rejection how the program gets there.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use sandbpf::classic::Filter;
use sandbpf::object::elf::Btf;
use sandbpf::object::{Object, ObjectProgram, ProgramEntry};
use sandbpf::{KindName, Proof, Rights, Verifier, VerifyError, isa};

use crate::args::{Capabilities, Format, Verify};
use crate::failure::{Failure, shown};
use crate::program::{Program, Unread};
use crate::source::{Source, read_file};
use crate::verdict::{Answered, Verdict, Verdicts};
use crate::{Answer, object, output};

/// Where a kernel shows its types.
const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";

pub(crate) fn run(args: &Verify, out: &mut impl Write) -> Result<Answer, Failure> {
    let source = Source::read(args.program.as_deref(), &args.code)?;
    let verdicts = match source.bytes.starts_with(object::MAGIC) {
        true => of_object(&source, args)?,
        false if !args.map_sizes.is_empty() => {
            return Err(Failure::usage(String::from("--map-size is for object files")));
        }
        false => Verdicts { programs: vec![of_program(&source, args)?] },
    };
    match args.format {
        Format::Json => output::json(out, &verdicts)?,
        Format::Text => verdicts.show(&source.place, out)?,
    }
    Ok(Answer::from(verdicts.all_accepted()))
}

/// The types of the kernel that is asked about: a file, or the running one's where they can be read.
fn kernel_types(args: &Verify) -> Result<Option<Arc<Btf>>, Failure> {
    let parse = |bytes: &[u8]| Btf::parse(bytes).map(Arc::new);
    match &args.btf {
        Some(path) => {
            let types = parse(&read_file(path)?).map_err(|error| Failure::input(shown(path), error))?;
            Ok(Some(types))
        }
        None => Ok(std::fs::read(KERNEL_TYPES).ok().and_then(|bytes| parse(&bytes).ok())),
    }
}

impl Verify {
    /// The terms that the command line says.
    fn terms(&self, verifier: Verifier) -> Verifier {
        let rights = match self.cap {
            Capabilities::All => Rights::All,
            Capabilities::Bpf => Rights::Bpf,
            Capabilities::None => Rights::None,
        };
        let mut verifier = verifier.rights(rights).log_level(self.log_level);
        if let Some(license) = &self.license {
            verifier = verifier.license(license);
        }
        match self.attach_type {
            Some(attach_type) => verifier.attached(attach_type),
            None => verifier,
        }
    }
}

/// A program by itself: text, bytes, numbers.
fn of_program(source: &Source, args: &Verify) -> Result<Verdict, Failure> {
    let kind = args.kind.unwrap_or(KindName::SocketFilter);
    let parsed = Program::parse(source, args.code.form);
    let verdict = |answered| Verdict::new(&source.place, None, kind.as_str(), answered);
    if let Ok(Program::Classic(insns)) = &parsed {
        let (dialect, rules) = match kind {
            KindName::Seccomp => (sandbpf::Dialect::Seccomp, "seccomp"),
            _ => (sandbpf::Dialect::Linux, "Linux sockets"),
        };
        let checked = Filter::check(insns, dialect).map(|_| ());
        return Ok(verdict(Answered::Classic { rules, checked }));
    }
    let verifier = Verifier::of_kind(kind).ok_or_else(|| {
        Failure::usage(format!("Linux verifies no {kind} programs; --kind says what it is"))
    })?;
    let verifier = args.terms(verifier.typed(kernel_types(args)?, None));
    Ok(match parsed {
        Ok(Program::Extended(program)) => {
            let answer = verifier.verify(&program);
            verdict(extended(answer, Some(program), None))
        }
        Ok(Program::Classic(_)) => unreachable!("classic filters were answered"),
        Err(Unread::Undecodable { code, .. }) => verdict(extended(verifier.verify_bytes(&code), None, None)),
        Err(Unread::Failure(failure)) => return Err(failure),
    })
}

fn extended(
    answer: Result<Proof, VerifyError>,
    program: Option<isa::Program>,
    linked: Option<ObjectProgram>,
) -> Answered {
    match answer {
        Ok(proof) => Answered::Accepted(Box::new(proof)),
        Err(error) => Answered::Rejected { error: Box::new(error), program, linked: linked.map(Box::new) },
    }
}

/// The programs of an object file: all, or the one that is named.
fn of_object(source: &Source, args: &Verify) -> Result<Verdicts, Failure> {
    let path = args.program.as_deref().unwrap_or("-".as_ref());
    let types = kernel_types(args)?;
    let mut object = object::parse_for(path, &source.bytes, types)?;
    args.map_sizes.set(&mut object).map_err(|what| source.failure(what))?;
    let named = |entry: &&ProgramEntry| match &args.program_name {
        Some(name) => entry.name == *name,
        // Loaders leave out what the object says is optional.
        None => !entry.optional,
    };
    let entries: Vec<&ProgramEntry> = object.entries().iter().filter(named).collect();
    if entries.is_empty() {
        let names: Vec<&str> = object.entries().iter().map(|entry| entry.name.as_str()).collect();
        let what = match &args.program_name {
            Some(name) => format!("there is no program `{name}`; there are {}", names.join(", ")),
            None => String::from("the object has no programs that loaders load"),
        };
        return Err(source.failure(what));
    }
    let bar = match std::io::stderr().is_terminal() && entries.len() > 1 {
        true => ProgressBar::new(entries.len() as u64),
        false => ProgressBar::hidden(),
    };
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
        bar.set_style(style);
    }
    let mut programs = Vec::new();
    for entry in entries {
        bar.set_message(entry.name.clone());
        programs.push(of_entry(&object, entry, args));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Verdicts { programs })
}

fn of_entry(object: &Object, entry: &ProgramEntry, args: &Verify) -> Verdict {
    let chosen = args.kind.and_then(KindName::program_type);
    let program_type = match chosen {
        Some(of) => of.name().to_string(),
        None => entry.program_type().to_string(),
    };
    let answered = match object.link(entry) {
        Err(error) => Answered::Unlinked(error.to_string()),
        Ok(linked) => match Verifier::of_object_as(object, &linked, chosen) {
            None => Answered::Unlinked("its section does not say what it is; --kind does".into()),
            Some(verifier) => {
                let code = sandbpf::linked_code(&linked);
                let answer = args.terms(verifier).verify_bytes(&code);
                extended(answer, isa::decode(&code).ok(), Some(linked))
            }
        },
    };
    Verdict::new(&entry.name, Some(&entry.section), &program_type, answered)
}
