//! Verdicts of the verifier, for people and for programs: what was rejected, where, how it got there, what mends it.

use std::collections::BTreeMap;
use std::io::Write;

use sandbpf::classic::CheckError;
use sandbpf::isa::{self, Pc};
use sandbpf::object::ObjectProgram;
use sandbpf::verifier::Statistics;
use sandbpf::{Proof, VerifyError};
use serde::Serialize;

use crate::failure::Failure;

/// The verdicts on the programs of a file.
#[derive(Debug, Serialize)]
pub(crate) struct Verdicts {
    pub(crate) programs: Vec<Verdict>,
}

/// What came out for one program.
pub(crate) enum Answered {
    Accepted(Box<Proof>),
    Rejected {
        error: Box<VerifyError>,
        program: Option<isa::Program>,
        linked: Option<Box<ObjectProgram>>,
    },
    /// It is a classic filter, which other rules are for.
    Classic {
        rules: &'static str,
        checked: Result<(), CheckError>,
    },
    /// There is nothing to verify.
    Unlinked(String),
}

/// A verdict on one program.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    name: String,
    section: Option<String>,
    program_type: String,
    accepted: bool,
    /// Whether the verifier was asked; classic filters have other rules.
    verified: bool,
    #[serde(flatten)]
    figures: Option<Figures>,
    rejection: Option<Rejection>,
    log: Option<String>,
}

#[derive(Debug, Serialize)]
struct Figures {
    processed: u32,
    max_states_per_insn: u32,
    total_states: u32,
    peak_states: u32,
}

/// Why not.
#[derive(Debug, Serialize)]
struct Rejection {
    errno: Option<String>,
    errno_number: Option<i32>,
    /// The kernel's words.
    message: String,
    /// In slots of 8 bytes, from 0.
    instruction: Option<u32>,
    source: Option<Place>,
    listing: Vec<Line>,
    /// The jumps that lead there, in slots.
    path: Vec<(u32, u32)>,
    /// What was known of the registers that it is about.
    known: BTreeMap<String, String>,
    /// The register that it is about first of all, and the instructions that made what it held, the last first.
    origin: Option<Origin>,
    state: String,
    advice: Option<Advice>,
}

#[derive(Debug, Serialize)]
struct Place {
    file: String,
    line: u32,
    text: String,
}

#[derive(Debug, Serialize)]
struct Line {
    instruction: u32,
    text: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    failed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Place>,
}

#[derive(Debug, Serialize)]
struct Origin {
    register: String,
    instructions: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Advice {
    about: &'static str,
    why: &'static str,
    mend: &'static str,
}

/// Instructions shown before and after the one that failed.
const AROUND: u32 = 3;
/// Jumps of a path that people are shown.
const JUMPS: usize = 8;

impl Verdict {
    pub(crate) fn new(name: &str, section: Option<&str>, program_type: &str, answered: Answered) -> Verdict {
        let mut verdict = Verdict {
            name: name.into(),
            section: section.map(Into::into),
            program_type: program_type.into(),
            accepted: false,
            verified: true,
            figures: None,
            rejection: None,
            log: None,
        };
        let log = |log: &str| Some(log.to_string()).filter(|log| !log.is_empty());
        match answered {
            Answered::Accepted(proof) => {
                verdict.accepted = true;
                verdict.figures = Some(Figures::from(proof.statistics()));
                verdict.log = log(proof.log());
            }
            Answered::Rejected { error, program, linked } => {
                verdict.figures = Some(Figures::from(error.statistics()));
                verdict.log = log(error.log());
                verdict.rejection = Some(Rejection::of(&error, program.as_ref(), linked.as_deref()));
            }
            Answered::Classic { rules, checked } => {
                verdict.verified = false;
                verdict.program_type = format!("classic filter, checked by the rules of {rules}");
                verdict.accepted = checked.is_ok();
                verdict.rejection = checked.err().map(|error| Rejection {
                    errno_number: Some(error.errno()),
                    instruction: u32::try_from(error.index()).ok(),
                    ..Rejection::plain(error.rule().to_string())
                });
            }
            Answered::Unlinked(why) => {
                verdict.verified = false;
                verdict.rejection = Some(Rejection::plain(why));
            }
        }
        verdict
    }
}

impl From<Statistics> for Figures {
    fn from(of: Statistics) -> Figures {
        Figures {
            processed: of.processed,
            max_states_per_insn: of.max_states_per_insn,
            total_states: of.total_states,
            peak_states: of.peak_states,
        }
    }
}

impl Rejection {
    fn plain(message: String) -> Rejection {
        Rejection {
            errno: None,
            errno_number: None,
            message,
            instruction: None,
            source: None,
            listing: Vec::new(),
            path: Vec::new(),
            known: BTreeMap::new(),
            origin: None,
            state: String::new(),
            advice: None,
        }
    }

    fn of(error: &VerifyError, program: Option<&isa::Program>, linked: Option<&ObjectProgram>) -> Rejection {
        let at = error.instruction();
        let place = at.zip(linked).and_then(|(at, linked)| Place::of(linked, at));
        let advice = error.advice();
        Rejection {
            errno: Some(error.errno().into()),
            errno_number: Some(error.errno_number()),
            instruction: at,
            source: place,
            listing: at.zip(program).map(|(at, program)| listing(program, at)).unwrap_or_default(),
            path: error.path().to_vec(),
            known: known(error, program),
            origin: program.and_then(|program| Origin::of(error, program, linked)),
            state: error.state().into(),
            advice: advice.map(|of| Advice { about: of.title, why: of.why, mend: of.mend }),
            ..Rejection::plain(error.message().into())
        }
    }
}

impl Place {
    fn of(linked: &ObjectProgram, at: u32) -> Option<Place> {
        let place = linked.location(at as usize)?;
        Some(Place { file: place.file.into(), line: place.line, text: place.text.trim().into() })
    }
}

impl Origin {
    /// Where the value came from that the message is about, if it came from somewhere.
    fn of(error: &VerifyError, program: &isa::Program, linked: Option<&ObjectProgram>) -> Option<Origin> {
        let number = *concerned(error, Some(program)).first()?;
        let register = isa::Reg::new(number)?;
        let line = |pc: Pc| {
            let instruction = program.slot(pc);
            let source = linked.and_then(|linked| Place::of(linked, instruction));
            Line { instruction, text: text(program, pc), failed: false, source }
        };
        let instructions: Vec<Line> = error.origin(program, register).into_iter().map(line).collect();
        (!instructions.is_empty()).then(|| Origin { register: format!("r{number}"), instructions })
    }
}

/// The instruction and those around it, as the kernel lists them.
fn listing(program: &isa::Program, at: u32) -> Vec<Line> {
    let Some(pc) = program.at_slot(at) else { return Vec::new() };
    let first = pc.0.saturating_sub(AROUND);
    let last = (pc.0 + AROUND).min(program.len().saturating_sub(1) as u32);
    let line = |number: u32| Line {
        instruction: program.slot(Pc(number)),
        text: text(program, Pc(number)),
        failed: number == pc.0,
        source: None,
    };
    (first..=last).map(line).collect()
}

/// An instruction in its listing, with the name of what it calls.
fn text(program: &isa::Program, pc: Pc) -> String {
    let text = isa::print_insn(program, pc).to_string();
    let called = match program.get(pc) {
        Some(isa::Insn::Call { callee: isa::Callee::Helper(id) }) => {
            sandbpf::abi::helpers::numbered(*id).next().map(|helper| format!("bpf_{}", helper.name))
        }
        Some(isa::Insn::Call { callee: isa::Callee::Kfunc { id, .. } }) => {
            sandbpf::abi::kfuncs::numbered(*id).map(|kfunc| kfunc.name.to_string())
        }
        _ => None,
    };
    match called {
        Some(name) => format!("{text}  ; {name}"),
        None => text,
    }
}

/// The registers that the message names, or else those that the instruction reads.
fn concerned(error: &VerifyError, program: Option<&isa::Program>) -> Vec<u8> {
    let mut wanted: Vec<u8> = named(error.message());
    if wanted.is_empty()
        && let Some((program, pc)) = program.zip(error.pc())
        && let Some(insn) = program.get(pc)
    {
        wanted = insn.reads().iter().map(|reg| reg.number()).collect();
    }
    wanted
}

/// What is known of the registers that it is about.
fn known(error: &VerifyError, program: Option<&isa::Program>) -> BTreeMap<String, String> {
    let wanted = concerned(error, program);
    let all = error.registers().iter().filter(|(number, _)| wanted.contains(number));
    let mut known: BTreeMap<String, String> =
        all.map(|(number, text)| (format!("r{number}"), text.clone())).collect();
    if error.message().contains("stack") {
        // Slots of the stack are the rest of the line.
        for slot in error.state().split(' ').filter(|part| part.starts_with("fp-")) {
            if let Some((place, text)) = slot.split_once('=') {
                known.insert(place.into(), text.into());
            }
        }
    }
    known
}

/// The registers that a message names: `R3`.
fn named(message: &str) -> Vec<u8> {
    let words = message.split(|c: char| !c.is_ascii_alphanumeric());
    let numbers = words.filter_map(|word| word.strip_prefix('R')?.parse().ok());
    numbers.filter(|number| *number <= 10).collect()
}

impl Verdicts {
    pub(crate) fn all_accepted(&self) -> bool {
        self.programs.iter().all(|verdict| verdict.accepted)
    }

    pub(crate) fn show(&self, place: &str, out: &mut impl Write) -> Result<(), Failure> {
        for verdict in &self.programs {
            verdict.show(out)?;
        }
        if self.programs.len() > 1 {
            let accepted = self.programs.iter().filter(|verdict| verdict.accepted).count();
            writeln!(out, "{place}: {accepted} of {} programs accepted", self.programs.len())?;
        }
        Ok(())
    }
}

impl Verdict {
    fn show(&self, out: &mut impl Write) -> Result<(), Failure> {
        let section = self.section.as_deref().map(|section| format!(" ({section})")).unwrap_or_default();
        write!(out, "{}{section}: {}: ", self.name, self.program_type)?;
        match (&self.rejection, &self.figures) {
            (None, Some(figures)) => writeln!(out, "accepted, {} instructions processed", figures.processed)?,
            (None, None) => writeln!(out, "accepted")?,
            (Some(rejection), _) if rejection.errno.is_none() && !self.verified => {
                let at = rejection.instruction.map(|at| format!("instruction {at}: ")).unwrap_or_default();
                writeln!(out, "rejected: {at}{}", rejection.message)?;
            }
            (Some(rejection), _) => rejection.show(out)?,
        }
        if let Some(log) = &self.log {
            write!(out, "{log}")?;
        }
        Ok(())
    }
}

impl Rejection {
    fn show(&self, out: &mut impl Write) -> Result<(), Failure> {
        writeln!(out, "rejected with {}", self.errno.as_deref().unwrap_or("no errno"))?;
        for line in self.message.lines() {
            writeln!(out, "    {line}")?;
        }
        if let Some(Place { file, line, text }) = &self.source {
            writeln!(out, "  at {file}:{line}")?;
            writeln!(out, "    {text}")?;
        }
        if !self.listing.is_empty() {
            writeln!(out, "  at instruction {}", self.instruction.unwrap_or_default())?;
        }
        for Line { instruction, text, failed, .. } in &self.listing {
            writeln!(out, "  {} {instruction:5}: {text}", if *failed { '>' } else { ' ' })?;
        }
        if !self.path.is_empty() {
            writeln!(out, "  reached by the jumps {}", jumps(&self.path))?;
        }
        if !self.known.is_empty() {
            writeln!(out, "  known there")?;
        }
        for (what, text) in &self.known {
            writeln!(out, "    {what} = {text}")?;
        }
        if let Some(Origin { register, instructions }) = &self.origin {
            writeln!(out, "  {register} comes from")?;
            for Line { instruction, text, source, .. } in instructions.iter().rev() {
                write!(out, "    {instruction:5}: {text}")?;
                if let Some(Place { file, line, text }) = source {
                    write!(out, "  ({file}:{line}: {text})")?;
                }
                writeln!(out)?;
            }
        }
        if let Some(Advice { about, why, mend }) = &self.advice {
            writeln!(out, "  {about}: {why}\n  {mend}")?;
        }
        Ok(())
    }
}

/// The last jumps of a path; one that was taken again and again is shown once.
fn jumps(path: &[(u32, u32)]) -> String {
    let mut runs: Vec<((u32, u32), usize)> = Vec::new();
    for &jump in path {
        match runs.last_mut() {
            Some((last, times)) if *last == jump => *times += 1,
            _ => runs.push((jump, 1)),
        }
    }
    let skipped = runs.len().saturating_sub(JUMPS);
    let shown = runs[skipped..].iter().map(|&((from, to), times)| match times {
        1 => format!("{from} to {to}"),
        _ => format!("{from} to {to} ({times} times)"),
    });
    let shown: Vec<String> = shown.collect();
    let more: usize = runs[..skipped].iter().map(|(_, times)| times).sum();
    let more = if more > 0 { format!("… {more} more, ") } else { String::new() };
    format!("{more}{}", shown.join(", "))
}
