//! The parts of the report: each measures one thing and tells it as text, as numbers, and as a picture.

mod calls;
#[cfg(unix)]
mod collection;
mod corpus;
mod filters;
mod loading;
mod maps;
mod programs;
mod race;
mod seccomp;
mod threads;

use serde_json::{Value, json};

use crate::cli::Options;
use crate::picture::Picture;
use crate::rounds::{Plan, Time};

/// What was measured of one thing.
#[derive(Debug)]
pub struct Section {
    /// Markdown, with a heading of the third level.
    pub text: String,
    /// What the section says in short: what was compared, and the figure.
    pub headlines: Vec<(String, String)>,
    /// Every number.
    pub numbers: Value,
    /// Pictures, by the last part of their file's name.
    pub pictures: Vec<(&'static str, Picture)>,
}

/// Why nothing can be told.
pub type Failure = Box<dyn std::error::Error>;

/// A part of the report.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// What `--part` calls it.
    pub name: &'static str,
    /// Measures it; nothing where what it needs is not here.
    pub measure: fn(&Options) -> Result<Option<Section>, Failure>,
}

/// Every part, in the order of the page.
pub const PARTS: &[Part] = &[
    Part { name: "programs", measure: programs::measure },
    #[cfg(unix)]
    Part { name: "workloads", measure: collection::measure },
    Part { name: "calls", measure: calls::measure },
    Part { name: "loading", measure: loading::measure },
    Part { name: "filters", measure: filters::measure },
    Part { name: "corpus", measure: corpus::measure },
    Part { name: "seccomp", measure: seccomp::measure },
    Part { name: "maps", measure: maps::measure },
    Part { name: "threads", measure: threads::measure },
];

/// How a time is read: as the median round, or as the fastest.
type Of = fn(Time) -> f64;

/// The median round.
const MEDIAN: Of = |time| time.median;
/// The fastest.
const FASTEST: Of = |time| time.min;

/// How often one time is another.
fn ratio(over: Option<Time>, under: Option<Time>, of: Of) -> Option<f64> {
    Some(of(over?) / of(under?))
}

/// A figure, if there is one, and what it says.
fn headline(what: impl Into<String>, value: Option<f64>, unit: &str) -> Option<(String, String)> {
    let value = value?;
    let space = if unit.is_empty() { "" } else { " " };
    Some((what.into(), format!("{}{space}{unit}", crate::table::number(Some(value)))))
}

fn time_json(time: Option<Time>) -> Value {
    time.map_or(Value::Null, |time| json!({ "min_ns": time.min, "median_ns": time.median }))
}

/// How a table was measured.
fn how(plan: Plan) -> String {
    format!("{} rounds of {} µs", plan.rounds, plan.batch.as_micros())
}
