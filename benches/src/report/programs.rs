//! The programs of this package.

use super::{Failure, Section, how, race};
use crate::case::Case;
use crate::cli::Options;
use crate::workload::WORKLOADS;

pub(super) fn measure(options: &Options) -> Result<Option<Section>, Failure> {
    let cases: Vec<&dyn Case> = WORKLOADS.iter().map(|workload| workload as &dyn Case).collect();
    let head = format!("### Programs\n\nThe programs of `benches/programs`; {}.\n", how(options.plan));
    race::measure(&cases, options, &head, ["programs", "interpreters"])
}
