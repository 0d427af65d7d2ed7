//! `sandbpf run`: a program over packets, system calls or memory.
//!
//! | part | does |
//! |---|---|
//! | `packets` | runs a filter over captures and packets in hexadecimal |
//! | `door` | what programs of each kind make of a packet |
//! | `captures` | opens captures, with a progress bar if they are long |
//! | `tally` | counts |
//! | `keep` | writes what matches |
//! | `report` | shows what was counted |
//! | `clock` | lets time go by, as captures and events say |
//! | `seccomp`, `buffer`, `context` | run over system calls, memory, bytes of a context |

mod buffer;
mod captures;
mod clock;
mod context;
mod door;
mod keep;
mod packets;
mod report;
mod seccomp;
mod tally;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use sandbpf::{AnyProgram, DescribedHost, Engine, KindName, Limits, LoadError, Loader};
use serde::Serialize;

use crate::args::{Dialect, Run};
use crate::failure::{Failure, is_dash};
use crate::program::Program;
use crate::source::Source;
use crate::{Answer, object, output};

/// What a run works with.
struct Job<'a> {
    args: &'a Run,
    source: Source,
    program: Program,
    /// Of an object file: the program and its maps.
    loaded: Option<object::Loaded>,
    loader: Loader,
    /// What programs on packets are told of time.
    clock: clock::CaptureClock,
    /// All captures, in order.
    captures: Vec<&'a Path>,
}

pub(crate) fn run(args: &Run, out: &mut impl Write) -> Result<Answer, Failure> {
    // With the program on the command line, every file is a capture.
    let (path, first) = match (&args.program, &args.code.code) {
        (Some(capture), Some(_)) => (None, Some(capture)),
        (path, _) => (path.as_deref(), None),
    };
    let captures: Vec<&Path> =
        first.into_iter().chain(&args.captures).chain(&args.pcap).map(|path| path.as_path()).collect();
    let stdin = path
        .into_iter()
        .chain(captures.iter().copied())
        .chain(args.hex_file.iter().map(|path| path.as_path()));
    if stdin.filter(|path| is_dash(path)).count() > 1 {
        return Err(Failure::usage("the standard input can be read once"));
    }
    let kind = kind(args);
    let source = Source::read(path, &args.code)?;
    let clock = clock::CaptureClock::default();
    let mut loader = Loader::new().engine(args.engine.into());
    if let Some(dialect) = args.dialect {
        loader = loader.dialect(dialect.into());
    }
    if let Some(instructions) = args.budget {
        loader = loader.limits(Limits { instructions });
    }
    let is_object = source.bytes.starts_with(object::MAGIC);
    if is_object {
        loader = loader.host(clock.clone());
    }
    let (program, loaded) = match is_object {
        true => {
            let wanted = object::Wanted {
                path: path.unwrap_or(Path::new("-")),
                program: args.program_name.as_deref(),
                kind: args.kind,
                globals: &args.set_global,
                btf: args.btf.as_deref(),
            };
            let loaded = object::Loaded::open(&source.bytes, &wanted, &loader)?;
            args.set_map.iter().try_for_each(|path| loaded.fill(path))?;
            (Program::Extended(loaded.program.instructions().clone()), Some(loaded))
        }
        false => (Program::parse(&source, args.code.form)?, None),
    };
    let kind = loaded.as_ref().map_or(kind, |loaded| loaded.program.kind());
    check_inputs(args, kind, &captures)?;
    let job = Job { args, source, program, loaded, loader, clock, captures };
    let answer = job.run(kind, out)?;
    job.show_maps(out)?;
    Ok(answer)
}

impl Job<'_> {
    fn run(&self, kind: KindName, out: &mut impl Write) -> Result<Answer, Failure> {
        let job = self;
        match kind {
            KindName::Seccomp => seccomp::run(job, out),
            KindName::Buffer => buffer::run(job, out),
            kind if door::takes_packets(kind) => packets::run(job, kind, out),
            kind => context::run(job, kind, out),
        }
    }

    /// Lets time go by for the maps of an object: the callbacks that were due.
    fn advance_time(&self, now: u64) -> Vec<clock::Callback> {
        let fired = self.loaded.iter().flat_map(|loaded| loaded.set.maps().advance_time(now));
        fired.map(clock::Callback::of).collect()
    }

    /// When the next callback of an object is due.
    fn next_timer(&self) -> Option<u64> {
        self.loaded.as_ref()?.set.maps().next_timer()
    }

    /// Loads the program as this kind.
    fn load_any(&self, kind: KindName) -> Result<AnyProgram, Failure> {
        match &self.loaded {
            Some(loaded) => Ok(loaded.program.clone()),
            None => self.loader.load_any(kind, self.program.code()).map_err(|error| self.refused(error)),
        }
    }

    /// Loads the program into a world of its own; maps are the same in all.
    fn load_in(
        &self,
        name: Option<&str>,
        kind: KindName,
        host: Arc<DescribedHost>,
    ) -> Result<AnyProgram, Failure> {
        let loader = self.loader.clone().host(host);
        match &self.loaded {
            Some(loaded) => {
                let program = match (name, self.args.kind) {
                    (Some(name), None) => loaded.set.any(name, &loader),
                    (name, _) => loaded.set.any_as(name.unwrap_or(&loaded.name), kind, &loader),
                };
                let program = program.map_err(|error| self.source.failure(error))?;
                match (name, program.kind()) {
                    // Its context would be another one.
                    (Some(name), other) if other != kind => {
                        Err(Failure::usage(format!("events are for {kind} programs; `{name}` is {other}")))
                    }
                    _ => Ok(program),
                }
            }
            None if name.is_some() => Err(Failure::usage("events name programs of object files only")),
            None => loader.load_any(kind, self.program.code()).map_err(|error| self.refused(error)),
        }
    }

    /// Writes what the maps hold, and what programs wrote to their readers.
    fn show_maps(&self, out: &mut impl Write) -> Result<(), Failure> {
        let Some(loaded) = &self.loaded else {
            return match self.args.maps.is_some() || self.args.events.is_some() {
                true => Err(Failure::usage("--maps and --events are for object files")),
                false => Ok(()),
            };
        };
        let mut to = |path: &Path, lines: Vec<serde_json::Value>| {
            if is_dash(path) {
                return lines.iter().try_for_each(|line| output::json(out, line));
            }
            let mut file = output::WholeFile::create(path)?;
            lines.iter().try_for_each(|line| output::json(&mut file, line))?;
            file.complete()
        };
        if let Some(path) = &self.args.events {
            to(path, loaded.events())?;
        }
        if let Some(path) = &self.args.maps {
            to(path, vec![loaded.maps()])?;
        }
        Ok(())
    }
}

/// What the program is for: what is said, or what it is given.
fn kind(args: &Run) -> KindName {
    match args.kind {
        Some(kind) => kind,
        None if args.mem.is_some() => KindName::Buffer,
        None if !args.syscall.is_empty() || args.dialect == Some(Dialect::Seccomp) => KindName::Seccomp,
        None => KindName::SocketFilter,
    }
}

/// There is something to run on, and nothing that would not be looked at.
fn check_inputs(args: &Run, kind: KindName, captures: &[&Path]) -> Result<(), Failure> {
    let hex = !args.hex.is_empty() || !args.hex_file.is_empty();
    let packets = hex || !captures.is_empty();
    let (syscalls, memory) = (!args.syscall.is_empty(), args.mem.is_some());
    let needs = match kind {
        KindName::Seccomp if !syscalls => "--syscall",
        kind if !packets && door::takes_packets(kind) => "captures, --hex or --hex-file",
        _ => "",
    };
    if !needs.is_empty() {
        return Err(Failure::usage(format!("nothing to run on: {kind} programs need {needs}")));
    }
    let is_filter = door::takes_packets(kind);
    let is_raw = !is_filter && kind != KindName::Seccomp && kind != KindName::Buffer;
    let strangers = [
        ("captures", !captures.is_empty() && !is_filter),
        ("--hex", hex && !is_filter),
        ("--write", args.write.is_some() && !is_filter),
        ("--count", args.count.is_some() && !is_filter),
        ("--list", args.list && !is_filter),
        ("--exit-match", args.exit_match && !is_filter),
        ("--syscall", syscalls && kind != KindName::Seccomp),
        ("--mem", memory && kind != KindName::Buffer),
        ("--context and --input", (args.context.is_some() || !args.input.is_empty()) && !is_raw),
        ("--until", args.until.is_some() && !is_raw && !is_filter),
    ];
    match strangers.iter().find(|stranger| stranger.1) {
        Some((name, _)) => Err(Failure::usage(format!("{name} cannot be used with {kind} programs"))),
        None if args.wire_len.is_some() && !hex => {
            Err(Failure::usage("--wire-len is for packets in hexadecimal"))
        }
        None => Ok(()),
    }
}

impl Job<'_> {
    fn refused(&self, error: LoadError) -> Failure {
        self.source.failure(error)
    }

    fn about(&self, kind: KindName, lowered: usize) -> About {
        let dialect = match (&self.program, self.args.dialect) {
            (Program::Extended(_), _) => None,
            (Program::Classic(_), Some(dialect)) => Some(dialect.name()),
            (Program::Classic(_), None) if kind == KindName::Seccomp => Some(Dialect::Seccomp.name()),
            (Program::Classic(_), None) => Some(Dialect::Libpcap.name()),
        };
        let language = self.program.language();
        About { language, kind: kind.as_str(), dialect, instructions: self.program.len(), lowered }
    }
}

/// What a report says of the program.
#[derive(Debug, Serialize)]
struct About {
    language: &'static str,
    kind: &'static str,
    dialect: Option<&'static str>,
    instructions: usize,
    /// How many instructions run for them.
    lowered: usize,
}

impl About {
    fn line(&self, engine: Engine) -> String {
        let About { language, kind, instructions, lowered, .. } = self;
        let dialect = self.dialect.map(|dialect| format!(" of {dialect}")).unwrap_or_default();
        let lowered = if instructions == lowered { String::new() } else { format!(", lowered to {lowered}") };
        format!("{language} {kind}{dialect}: {instructions} instructions{lowered}, {}", engine_name(engine))
    }
}

/// The name of an engine, as in options.
fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Interpreter => "interpreter",
        Engine::Step => "step",
        Engine::Jit => "jit",
        _ => "auto",
    }
}
