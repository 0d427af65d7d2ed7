//! The options of `cargo bench --bench peers`.

use std::path::PathBuf;

use crate::rounds::Plan;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to measure.
    pub plan: Plan,
    /// Where to write every number.
    pub json: Option<PathBuf>,
    /// The page whose measured part to write anew.
    pub page: Option<PathBuf>,
}

/// How it is called.
pub const USAGE: &str = "options: [--quick] [--json FILE] [--page FILE]
  --quick      few, short rounds: shows that everything runs, not how fast
  --json FILE  writes every number there
  --page FILE  puts the tables into its measured part";

impl Options {
    /// Reads the arguments; what `cargo bench` adds itself is passed over.
    ///
    /// ```
    /// use sandbpf_benches::{cli::Options, rounds::Plan};
    /// let options = Options::parse(["--quick", "--bench"].map(String::from)).unwrap();
    /// assert_eq!(options.plan.rounds, Plan::QUICK.rounds);
    /// assert!(Options::parse(["--fast".to_string()]).is_err());
    /// ```
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Options { plan: Plan::FULL, json: None, page: None };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {}
                "--quick" => options.plan = Plan::QUICK,
                "--json" => options.json = Some(arguments.next().ok_or("--json needs a file")?.into()),
                "--page" => options.page = Some(arguments.next().ok_or("--page needs a file")?.into()),
                _ => return Err(format!("unknown option {argument}")),
            }
        }
        Ok(options)
    }
}
