//! `sandbpf run`: a program over packets, system calls or memory.
//!
//! | part | does |
//! |---|---|
//! | `packets` | runs a filter over captures and packets in hexadecimal |
//! | `door` | what programs of each kind make of a packet |
//! | `shared` | has several threads read a capture |
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
#[cfg(unix)]
mod shared;
mod tally;

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use sandbpf::maps::Environment;
use sandbpf::object::elf::Btf;
use sandbpf::{AnyProgram, DescribedHost, Engine, KindName, Limits, LoadError, Loader, Maps};
use serde::Serialize;

use crate::args::{Dialect, Run};
use crate::events::{EventTypes, Readers};
use crate::failure::{Failure, is_dash, shown};
use crate::held::{self, Held};
use crate::program::Program;
use crate::source::{Source, read_json};
use crate::{Answer, definitions, object, output, scene};

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
    held: Vec<Held>,
    /// The records that programs wrote, as they are shown.
    records: RefCell<Vec<serde_json::Value>>,
    /// Described events, by their files.
    inputs: Vec<(&'a Path, serde_json::Value)>,
}

pub(crate) fn run(args: &Run, out: &mut impl Write) -> Result<Answer, Failure> {
    // With the program on the command line, every file is a capture.
    let (path, first) = match (&args.program, &args.code.code) {
        (Some(capture), Some(_)) => (None, Some(capture)),
        (path, _) => (path.as_deref(), None),
    };
    let captures: Vec<&Path> =
        first.into_iter().chain(&args.captures).chain(&args.pcap).map(|path| path.as_path()).collect();
    let stdin = path.into_iter().chain(captures.iter().copied()).chain(
        [&args.hex_file, &args.input, &args.set_map, &args.define_maps]
            .into_iter()
            .flatten()
            .map(|path| path.as_path()),
    );
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
    let inputs = args.input.iter().map(|path| Ok((path.as_path(), read_json(path)?)));
    let inputs = inputs.collect::<Result<Vec<_>, Failure>>()?;
    let (mut processors, mut named) = (1, None);
    for (path, events) in &inputs {
        let surveyed = scene::survey(events).map_err(|what| Failure::input(shown(path), what))?;
        processors = processors.max(surveyed.0);
        named = named.or(surveyed.1);
    }
    let maps = Maps::with_environment(Environment { cpus: processors, ..Environment::default() });
    let is_object = source.bytes.starts_with(object::MAGIC);
    let definitions = definitions::read(&args.define_maps)?;
    let mut held = Vec::new();
    if is_object {
        loader = loader.host(clock.clone());
    }
    let (program, loaded) = match is_object {
        true => {
            let wanted = object::Wanted {
                path: path.unwrap_or(Path::new("-")),
                program: args.program_name.as_deref().or(named),
                kind: args.kind,
                globals: &args.set_global,
                map_sizes: &args.map_sizes,
                btf: args.btf.as_deref(),
                maps: &maps,
                definitions: &definitions,
            };
            let loaded = object::Loaded::open(&source.bytes, &wanted, &loader, &mut held)?;
            held.extend(held::of_object(&loaded.set));
            (Program::Extended(loaded.program.instructions().clone()), Some(loaded))
        }
        false => {
            for definition in &definitions {
                held.push(definition.make(&maps)?);
            }
            loader = loader.maps(&maps);
            (Program::parse(&source, args.code.form)?, None)
        }
    };
    if let Program::Extended(program) = &program
        && let Some((at, number)) = held::missing(program, &maps)
    {
        let what = "which is not there; --define-maps says what it is";
        return Err(source.failure(format!("instruction {at} names map {number}, {what}")));
    }
    let kind = loaded.as_ref().map_or(kind, |loaded| loaded.program.kind());
    check_object_options(args, is_object, held.is_empty())?;
    check_inputs(args, kind, &captures)?;
    held::open_readers(&held).map_err(|what| source.failure(what))?;
    let job = Job {
        args,
        source,
        program,
        loaded,
        loader,
        clock,
        captures,
        held,
        records: RefCell::default(),
        inputs,
    };
    args.set_map.iter().try_for_each(|path| held::fill(&job.held, job.types(), path))?;
    // A name that the object lacks is said before anything runs.
    job.event_types()?;
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
                if let Some(name) = name {
                    object::check_program(loaded.set.object(), name)
                        .map_err(|what| self.source.failure(format!("events: {what}")))?;
                }
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

    /// The object's types.
    fn types(&self) -> Option<&Btf> {
        self.loaded.as_ref().and_then(|loaded| loaded.set.object().btf())
    }

    /// The types of the records that programs write.
    fn event_types(&self) -> Result<EventTypes<'_>, Failure> {
        let object = self.loaded.as_ref().map(|loaded| loaded.set.object());
        EventTypes::new(object, &self.args.event_type)
            .map_err(|what| self.source.failure(format!("--event-type: {what}")))
    }

    /// Who reads what programs write.
    fn readers(&self) -> Result<Readers<'_>, Failure> {
        let records = self.args.events.is_some().then_some(&self.records);
        Ok(Readers::new(&self.held, self.event_types()?, records))
    }

    /// Writes what the maps hold, and what programs wrote to their readers.
    fn show_maps(&self, out: &mut impl Write) -> Result<(), Failure> {
        let mut to = |path: &Path, lines: Vec<serde_json::Value>| {
            if is_dash(path) {
                return lines.iter().try_for_each(|line| output::json(out, line));
            }
            let mut file = output::WholeFile::create(path)?;
            lines.iter().try_for_each(|line| output::json(&mut file, line))?;
            file.complete()
        };
        if let Some(path) = &self.args.events {
            self.readers()?.read();
            to(path, self.records.take())?;
        }
        if let Some(path) = &self.args.maps {
            to(path, vec![held::show(&self.held, self.types())])?;
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

/// Nothing is asked of an object or of maps that are not there.
fn check_object_options(args: &Run, is_object: bool, no_maps: bool) -> Result<(), Failure> {
    let strangers = [
        ("--program", args.program_name.is_some(), is_object),
        ("--set-global", !args.set_global.is_empty(), is_object),
        ("--map-size", !args.map_sizes.is_empty(), is_object),
        ("--btf", args.btf.is_some(), is_object),
        ("--set-map", !args.set_map.is_empty(), !no_maps),
        ("--maps", args.maps.is_some(), is_object || !no_maps),
        ("--events", args.events.is_some(), is_object || !no_maps),
    ];
    match strangers.iter().find(|(_, given, fits)| *given && !fits) {
        Some((name, ..)) if is_object => Err(Failure::usage(format!("{name}: the object has no maps"))),
        Some((name @ ("--set-map" | "--maps" | "--events"), ..)) => Err(Failure::usage(format!(
            "{name} is for programs that have maps: of object files, or with --define-maps"
        ))),
        Some((name, ..)) => Err(Failure::usage(format!("{name} is for object files"))),
        None => Ok(()),
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
