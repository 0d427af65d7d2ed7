//! `sandbpf vectors`: recorded answers, asked again.

use std::io::{IsTerminal, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use sandbpf_testkit::vectors::{self, Options, Report};
use serde::Serialize;

use crate::Answer;
use crate::args::{Format, Vectors};
use crate::failure::{Failure, chain};
use crate::output;

/// What came out, for programs.
#[derive(Debug, Serialize)]
struct Outcome {
    passed: u64,
    failed: u64,
    skipped: u64,
    lines: Vec<String>,
}

struct Shown<'o, W> {
    out: &'o mut W,
    json: Option<Vec<String>>,
    bar: ProgressBar,
    error: Option<std::io::Error>,
}

impl<W: Write> Report for Shown<'_, W> {
    fn line(&mut self, line: &str) {
        let written = match &mut self.json {
            Some(lines) => {
                lines.push(line.into());
                Ok(())
            }
            None => self.bar.suspend(|| writeln!(self.out, "{line}")),
        };
        if let Err(error) = written {
            self.error.get_or_insert(error);
        }
    }

    fn progress(&mut self, file: &Path, done: usize, of: usize) {
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
        if done == 1 {
            self.bar.set_message(file.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
}

pub(crate) fn run(args: &Vectors, out: &mut impl Write) -> Result<Answer, Failure> {
    let mut options = Options {
        engine: args.engine,
        filter: args.filter.clone(),
        detail: args.detail,
        ..Options::default()
    };
    if let Some(jobs) = args.jobs {
        options.jobs = jobs.get();
    }
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::new(0),
        false => ProgressBar::hidden(),
    };
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
        bar.set_style(style);
    }
    let json = (args.format == Format::Json).then(Vec::new);
    let mut shown = Shown { out, json, bar, error: None };
    let summary =
        vectors::run(&args.files, &options, &mut shown).map_err(|error| Failure::usage(chain(&error)))?;
    shown.bar.finish_and_clear();
    if let Some(error) = shown.error {
        return Err(error.into());
    }
    if let Some(lines) = shown.json {
        let (passed, failed, skipped) = (summary.passed, summary.failed, summary.skipped);
        output::json(out, &Outcome { passed, failed, skipped, lines })?;
    }
    // Where nothing was compared, nothing was confirmed.
    Ok(Answer::from(summary.failed <= args.known_failures && summary.passed > 0))
}
