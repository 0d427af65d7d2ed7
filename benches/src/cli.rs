//! The options of the tables.

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
    /// Measure these alone, by name.
    pub only: Option<Vec<String>>,
}

/// How it is called.
pub const USAGE: &str = "options: [--quick] [--rounds N] [--only NAMES] [--json FILE] [--page FILE]
  --quick       few, short rounds: shows that everything runs, not how fast
  --rounds N    as many rounds
  --only NAMES  these rows alone, separated by commas
  --json FILE   writes every number there
  --page FILE   puts the tables into its measured part";

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
        let mut options = Options { plan: Plan::FULL, json: None, page: None, only: None };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {}
                "--quick" => options.plan = Plan::QUICK,
                "--json" => options.json = Some(arguments.next().ok_or("--json needs a file")?.into()),
                "--page" => options.page = Some(arguments.next().ok_or("--page needs a file")?.into()),
                "--rounds" => {
                    let rounds = arguments.next().and_then(|rounds| rounds.parse().ok());
                    options.plan.rounds =
                        rounds.filter(|&rounds| rounds > 0).ok_or("--rounds needs a number")?;
                }
                "--only" => {
                    let names = arguments.next().ok_or("--only needs names")?;
                    options.only = Some(names.split(',').map(String::from).collect());
                }
                _ => return Err(format!("unknown option {argument}")),
            }
        }
        Ok(options)
    }

    /// Whether a row of this name is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|wanted| wanted == name))
    }
}
