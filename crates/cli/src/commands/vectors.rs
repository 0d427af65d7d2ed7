//! `sandbpf vectors`: recorded answers, asked again.

use std::io::{IsTerminal, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use sandbpf_testkit::vectors::{self, Options, Report};
use serde_json::json;

use crate::Answer;
use crate::args::{Format, Vectors};
use crate::error::Failure;

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
    let mut options = Options { engine: args.engine, filter: args.filter.clone(), ..Options::default() };
    if let Some(jobs) = args.jobs {
        options.jobs = jobs.max(1);
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
        vectors::run(&args.files, &options, &mut shown).map_err(|error| Failure::Usage(error.to_string()))?;
    shown.bar.finish_and_clear();
    if let Some(error) = shown.error {
        return Err(error.into());
    }
    if let Some(lines) = shown.json {
        let answer = json!({
            "passed": summary.passed,
            "failed": summary.failed,
            "skipped": summary.skipped,
            "lines": lines,
        });
        writeln!(out, "{answer}")?;
    }
    Ok(if summary.failed == 0 { Answer::Yes } else { Answer::No })
}
