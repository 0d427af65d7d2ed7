//! The programs of this package.

use super::race::{self, About};
use super::{Failure, Section, how};
use crate::case::Case;
use crate::cli::Options;
use crate::workload::WORKLOADS;

pub(super) fn measure(options: &Options) -> Result<Option<Section>, Failure> {
    let cases: Vec<&dyn Case> = WORKLOADS.iter().map(|workload| workload as &dyn Case).collect();
    let about = About {
        head: format!("### Programs\n\nThe programs of `benches/programs`; {}.\n", how(options.plan)),
        programs: "our programs",
        pictures: ["programs", "interpreters"],
    };
    race::measure(&cases, options, about)
}
