//! Recorded answers of real systems, asked again.
//!
//! A corpus is files of records, one JSON object a line, written by somebody who had a kernel or
//! libpcap at hand. What kind of record a line is, its fields say; files may have any name. A record
//! *passes* when every engine that was chosen gives the recorded answer, *fails* when one does not, and
//! is *skipped*, with the reason, when it asks what cannot be compared.
//!
//! ```
//! use sandbpf_testkit::vectors::{self, Lines, Options};
//! let file = std::env::temp_dir().join(format!("sandbpf-doc-{}.ndjson", std::process::id()));
//! std::fs::write(&file, r#"{"src": "ret a", "rc": 0, "prog": [[22, 0, 0, 0]]}"#)?;
//! let mut lines = Lines::default();
//! let summary = vectors::run(&[file.clone()], &Options::default(), &mut lines)?;
//! assert_eq!(summary.to_string(), "1 passed, 0 failed, 0 skipped");
//! assert_eq!(lines.0.last().unwrap(), "1 passed, 0 failed, 0 skipped");
//! # std::fs::remove_file(file)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod classic;
mod engines;
mod judge;
mod kernel;
mod kind;
mod library;
mod maps;
mod objects;
mod record;
#[cfg(feature = "kernel")]
mod speed;
mod verifier;
mod work;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use engines::{EngineChoice, UnknownEngine};
#[cfg(feature = "kernel")]
pub use speed::{SpeedProgram, speed_programs};

use engines::Engines;
use judge::{Accepts, Agreement, Judged, Outcome};
use kind::Kind;
use library::Library;
use record::Record;

/// What to run, and on what.
#[derive(Clone, Debug)]
pub struct Options {
    /// The engines.
    pub engine: EngineChoice,
    /// Only records whose name contains this.
    pub filter: Option<String>,
    /// How many threads.
    pub jobs: usize,
    /// Whether both answers to each question about a verdict are reported, a line of JSON each.
    pub detail: bool,
}

impl Default for Options {
    /// Every record, on all engines, with as many threads as there are processors.
    fn default() -> Self {
        let jobs = std::thread::available_parallelism().map_or(1, |jobs| jobs.get());
        Options { engine: EngineChoice::All, filter: None, jobs, detail: false }
    }
}

/// How many records came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Those that every chosen engine answers as recorded.
    pub passed: u64,
    /// Those that one does not.
    pub failed: u64,
    /// Those that cannot be compared.
    pub skipped: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Who is told.
pub trait Report {
    /// A line for the reader: a disagreement, a reason, the summary.
    fn line(&mut self, line: &str);

    /// So many records of a file are done.
    fn progress(&mut self, _file: &Path, _done: usize, _of: usize) {}
}

/// A report that keeps its lines.
#[derive(Clone, Debug, Default)]
pub struct Lines(pub Vec<String>);

impl Report for Lines {
    fn line(&mut self, line: &str) {
        self.0.push(line.into());
    }
}

/// Why nothing could be run.
#[derive(Debug, thiserror::Error)]
pub enum VectorsError {
    /// A file cannot be read.
    #[error("{}: cannot read: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A line is no JSON.
    #[error("{}, line {line}: {error}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Why.
        error: serde_json::Error,
    },
    /// The engine that was asked for does not exist here.
    #[error("no machine code: {0}")]
    NoMachineCode(String),
}

/// What a record is judged with.
pub(crate) struct Context<'c> {
    pub(crate) engines: &'c Engines,
    pub(crate) library: &'c Library,
}

/// Runs the records of these files and reports every disagreement, the reasons of skips, and in the
/// last line the [`Summary`].
pub fn run(files: &[PathBuf], options: &Options, report: &mut dyn Report) -> Result<Summary, VectorsError> {
    let engines = Engines::of(options.engine)?;
    let library = Library::new(files);
    let context = Context { engines: &engines, library: &library };
    let mut tally = Tally { detail: options.detail, ..Tally::default() };
    for reason in engines.missing() {
        report.line(&format!("left out: {reason}"));
    }
    for path in files {
        let Some(records) = library.records(path)? else { continue };
        let wanted =
            |record: &Record| options.filter.as_deref().is_none_or(|part| record.name().contains(part));
        let records: Vec<Record> = records.into_iter().filter(wanted).collect();
        work::for_each(&records, &context, options.jobs, &mut |record, judged, done| {
            tally.add(record, judged, report);
            report.progress(path, done, records.len());
        });
    }
    tally.report(report);
    Ok(tally.summary)
}

/// What happened so far.
#[derive(Default)]
struct Tally {
    summary: Summary,
    skipped: BTreeMap<String, u64>,
    left_out: BTreeMap<String, u64>,
    accepts: BTreeMap<String, Accepts>,
    agreements: BTreeMap<String, Agreement>,
    /// Steps of runs that were held against a proof.
    audited: u64,
    detail: bool,
}

impl Tally {
    fn add(&mut self, record: &Record, judged: Judged, report: &mut dyn Report) {
        if !judged.accepts().is_empty() {
            self.accepts.entry(record.kind().to_string()).or_default().add(judged.accepts());
        }
        self.audited += judged.audited_steps();
        if !judged.agreements().is_empty() {
            self.agreements.entry(record.kind().to_string()).or_default().add(judged.agreements());
        }
        if self.detail {
            judged.details().iter().for_each(|detail| report.line(&detail.to_string()));
        }
        match judged.outcome() {
            Outcome::Passed(left_out) => {
                self.summary.passed += 1;
                for (reason, count) in left_out {
                    *self.left_out.entry(reason).or_default() += count;
                }
            }
            Outcome::Failed(lines) => {
                self.summary.failed += 1;
                report.line(&format!("FAILED {} ({})", record.name(), record.kind()));
                for line in lines.iter().flat_map(|text| text.lines()) {
                    report.line(&format!("    {line}"));
                }
            }
            Outcome::Skipped(reason) => {
                self.summary.skipped += 1;
                *self.skipped.entry(reason).or_default() += 1;
            }
        }
    }

    fn report(&self, report: &mut dyn Report) {
        for (reason, count) in &self.skipped {
            report.line(&format!("skipped {count}: {reason}"));
        }
        for (reason, count) in &self.left_out {
            report.line(&format!("left out {count} of what passed records ask: {reason}"));
        }
        for (kind, accepts) in &self.accepts {
            report.line(&format!("{kind}: {accepts}"));
        }
        if self.audited > 0 {
            report.line(&format!("{} steps held against proofs", self.audited));
        }
        for (kind, agreement) in &self.agreements {
            report.line(&format!("{kind}: as the kernel: {agreement}"));
        }
        report.line(&self.summary.to_string());
    }
}

/// Judges one record.
fn judge(record: &Record, context: &Context<'_>) -> Judged {
    let mut judged = Judged::default();
    let done = match record.kind() {
        Kind::Conformance => kernel::conformance::judge(record, context, &mut judged),
        Kind::Semantics => kernel::semantics::judge(record, context, &mut judged),
        Kind::TestBpfInternal => kernel::test_bpf::internal(record, context, &mut judged),
        Kind::TestBpfTailCall => kernel::tail_calls::judge(record, context, &mut judged),
        Kind::TestBpfClassic => kernel::test_bpf::classic(record, context, &mut judged),
        Kind::FilterRun => kernel::filter_run::judge(record, context, &mut judged),
        Kind::FilterPasses => kernel::filter_passes::judge(record, context, &mut judged),
        Kind::FilterAttach => kernel::filter_attach::judge(record, &mut judged),
        Kind::Encoding => kernel::encoding::judge(record, context, &mut judged),
        Kind::VerifySpeed => kernel::verify_speed::judge(record, context, &mut judged),
        Kind::MapCreate => kernel::map_create::judge(record, &mut judged),
        Kind::MapHelper => kernel::map_helper::judge(record, &mut judged),
        Kind::HelperMatrix => kernel::helper_matrix::judge(record, &mut judged),
        Kind::ContextAccess => kernel::context_access::judge(record, &mut judged),
        Kind::ReturnValues => kernel::return_values::judge(record, &mut judged),
        Kind::Verdict => classic::verdict::judge(record, context, &mut judged),
        Kind::OfflineNull => classic::verdict::judge_compiled(record, context, &mut judged),
        Kind::Filter => classic::filter::judge(record, context, &mut judged),
        Kind::AttachedFilter => classic::filter::judge_attached(record, &mut judged),
        Kind::KernelDisagreement => classic::disagreement::judge(record, context, &mut judged),
        Kind::Edge => classic::edge::judge(record, context, &mut judged),
        Kind::Ancillary => classic::ancillary::judge(record, context, &mut judged),
        Kind::Seccomp => classic::seccomp::judge(record, context, &mut judged),
        Kind::TextForms => classic::text::forms(record, &mut judged),
        Kind::Assembler => classic::text::assembler(record, &mut judged),
        Kind::Capture => classic::capture::judge(record, context, &mut judged),
        Kind::PacketRuns => kernel::packet_runs::judge(record, context, &mut judged),
        Kind::ProgramRuns => kernel::program_runs::judge(record, context, &mut judged),
        Kind::Skipped(reason) => {
            judged.leave_out(reason);
            Ok(())
        }
    };
    if let Err(malformed) = done {
        judged.leave_out(malformed.to_string());
    }
    judged
}
