//! Running a program whose context is bytes: tracing, sockets, control groups.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use sandbpf::{Act, AnyInput, AnyProgram, DescribedHost, Host, KindName};
use serde::Serialize;

use super::clock::Callback;
use super::{About, Job, engine_name};
use crate::args::Format;
use crate::failure::{Failure, shown};
use crate::scene::{self, Audience, Scene};
use crate::{Answer, bytes, output};

#[derive(Debug, Serialize)]
struct Report {
    program: About,
    engine: &'static str,
    runs: Vec<Run>,
    /// The callbacks that ran after the last event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fired: Vec<Callback>,
    /// What they printed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    printed: Vec<String>,
}

/// What came of one event.
#[derive(Debug, Serialize)]
struct Run {
    /// Which program of an object saw it, if the event says.
    program: Option<String>,
    /// What the hook looks at: the lower half, as a number with a sign.
    returned: Option<i32>,
    trap: Option<String>,
    /// The context afterwards, in hexadecimal.
    context: String,
    /// What the program printed.
    printed: Vec<String>,
    /// What it did to the world outside.
    acts: Vec<Did>,
    /// The callbacks that were due before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fired: Vec<Callback>,
}

pub(super) fn run(job: &Job<'_>, kind: KindName, out: &mut impl Write) -> Result<Answer, Failure> {
    let args = job.args;
    let mut scenes = Vec::new();
    if let Some(text) = &args.context {
        let context = bytes::parse(text)
            .map_err(|error| Failure::input(format!("--context:{}", error.column), error))?;
        scenes.push(Scene { program: None, context, host: DescribedHost::new() });
    }
    for (path, events) in &job.inputs {
        let program = job.loaded.as_ref().map(|loaded| loaded.name.as_str());
        let events = scene::parse(events, Audience { kind, program, types: job.types() });
        scenes.extend(events.map_err(|what| Failure::input(shown(path), what))?);
    }
    if scenes.is_empty() {
        scenes.push(Scene { program: None, context: Vec::new(), host: DescribedHost::new() });
    }
    let (mut runs, mut engine, mut instructions) = (Vec::new(), "auto", 0);
    let readers = job.readers()?;
    // A callback runs in the world of the event that asked for it, and in its program.
    let mut worlds: Vec<(AnyProgram, Arc<DescribedHost>)> = Vec::new();
    let printed_by = |worlds: &[(AnyProgram, Arc<DescribedHost>)]| -> Vec<String> {
        worlds.iter().flat_map(|(_, host)| host.take_lines()).collect()
    };
    for Scene { program, mut context, host } in scenes {
        let host = Arc::new(host);
        let fired = job.advance_time(host.now_ns());
        let mut printed = printed_by(&worlds);
        // Each event has a world of its own; maps are the same.
        let loaded = job.load_in(program.as_deref(), kind, Arc::clone(&host))?;
        (engine, instructions) = (engine_name(loaded.engine()), loaded.instructions().len());
        let result = loaded.run(AnyInput::Context((&mut context).into()));
        readers.read();
        printed.extend(host.take_lines());
        runs.push(Run {
            program,
            fired,
            returned: result.as_ref().ok().map(|&r0| r0 as i32),
            trap: result.as_ref().err().map(ToString::to_string),
            context: hex::encode(&context),
            printed,
            acts: host.take_acts().into_iter().map(Did::from).collect(),
        });
        // Most events ask for nothing: their worlds end with them.
        if job.next_timer().is_some() {
            worlds.push((loaded, host));
        } else {
            worlds.clear();
        }
    }
    let fired = args.until.map(|until| job.advance_time(until)).unwrap_or_default();
    readers.read();
    let printed = printed_by(&worlds);
    let traps = runs.iter().any(|run| run.trap.is_some() || run.fired.iter().any(Callback::trapped));
    let answer = Answer::from(!traps && !fired.iter().any(Callback::trapped));
    let report = Report { program: job.about(kind, instructions), engine, runs, fired, printed };
    match args.format {
        Format::Json => output::json(out, &report)?,
        Format::Text => {
            report.runs.iter().try_for_each(|run| run.show(out))?;
            show_callbacks(&report.fired, out)?;
            show_lines(&report.printed, out)?;
        }
    }
    Ok(answer)
}

/// Something that a program did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Did {
    /// A signal to the running process, or to the thread alone.
    Signal { signal: u32, thread: bool },
    /// The traced function returns this and does not run.
    OverrideReturn(i64),
    /// Anything else, in words.
    Other(String),
}

impl From<Act> for Did {
    fn from(act: Act) -> Did {
        match act {
            Act::Signal { signal, thread } => Did::Signal { signal, thread },
            Act::OverrideReturn(value) => Did::OverrideReturn(value as i64),
            other => Did::Other(format!("{other:?}")),
        }
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Did::Signal { signal, thread } => {
                write!(f, "signal {signal} to the {}", if *thread { "thread" } else { "process" })
            }
            Did::OverrideReturn(value) => write!(f, "the function returns {value} and does not run"),
            Did::Other(words) => f.write_str(words),
        }
    }
}

fn show_callbacks(fired: &[Callback], out: &mut impl Write) -> Result<(), Failure> {
    fired.iter().try_for_each(|callback| Ok(writeln!(out, "{callback}")?))
}

fn show_lines(lines: &[String], out: &mut impl Write) -> Result<(), Failure> {
    for line in lines {
        write!(out, "{line}")?;
        if !line.ends_with('\n') {
            writeln!(out)?;
        }
    }
    Ok(())
}

impl Run {
    fn show(&self, out: &mut impl Write) -> Result<(), Failure> {
        show_callbacks(&self.fired, out)?;
        show_lines(&self.printed, out)?;
        for act in &self.acts {
            writeln!(out, "act: {act}")?;
        }
        if let Some(program) = &self.program {
            write!(out, "{program}: ")?;
        }
        match (self.returned, &self.trap) {
            (Some(value), _) => writeln!(out, "returned {value}")?,
            (None, trap) => writeln!(out, "trapped: {}", trap.as_deref().unwrap_or_default())?,
        }
        Ok(())
    }
}
