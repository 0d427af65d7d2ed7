//! Runs recorded vectors without the command line tool:
//! `cargo run --release --example vectors -- [--engine E] [--filter F] [--jobs N] FILE…`.

use std::path::PathBuf;
use std::process::ExitCode;

use sandbpf_testkit::vectors::{self, Options, Report};

struct Print;

impl Report for Print {
    fn line(&mut self, line: &str) {
        println!("{line}");
    }
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let (mut options, mut files) = (Options::default(), Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--engine" => options.engine = value()?.parse()?,
            "--filter" => options.filter = Some(value()?),
            "--jobs" => options.jobs = value()?.parse()?,
            _ => files.push(PathBuf::from(arg)),
        }
    }
    let summary = vectors::run(&files, &options, &mut Print)?;
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
