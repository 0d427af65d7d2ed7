//! A folder of programs that compilers made, where there is one.

use super::race::{self, About};
use super::{Failure, Section, how};
use crate::case::Case;
use crate::cli::Options;
use crate::collection::Collection;

pub(super) fn measure(options: &Options) -> Result<Option<Section>, Failure> {
    let folder = Collection::usual_folder();
    if !folder.join("workloads.json").exists() {
        println!("workloads: not measured, for there is no folder {}", folder.display());
        return Ok(None);
    }
    let collection = Collection::open(&folder)?;
    let cases: Vec<&dyn Case> = collection.cases.iter().map(|case| case as &dyn Case).collect();
    let head = format!(
        "### Compiled programs\n\n{} programs in C, compiled by clang for BPF and for the processor (`-O2`, `native` without \
         vectors); {}.\n",
        cases.len(),
        how(options.plan)
    );
    let about =
        About { head, programs: "compiled programs", pictures: ["workloads", "workload-interpreters"] };
    race::measure(&cases, options, about)
}
