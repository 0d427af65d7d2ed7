//! The options of the report.

use std::path::{Path, PathBuf};

use crate::rounds::Plan;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to measure.
    pub plan: Plan,
    /// Where to write every number.
    pub json: Option<PathBuf>,
    /// Measure these parts alone.
    pub parts: Option<Vec<String>>,
    /// Measure these programs alone.
    pub only: Option<Vec<String>>,
    page: Page,
}

/// Which page to write.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Page {
    /// That of the documentation, if all is measured, and not only to see that it runs.
    Usual,
    None,
    At(PathBuf),
}

/// How it is called.
pub const USAGE: &str = "options: [--quick] [--rounds N] [--part NAMES] [--only NAMES] [--json FILE] [--page FILE] [--no-page]
  --quick       few, short rounds: shows that everything runs, not how fast
  --rounds N    as many rounds
  --part NAMES  these parts of the report alone, separated by commas
  --only NAMES  these programs alone, separated by commas
  --json FILE   writes every number there
  --page FILE   puts the report into its measured part, and pictures beside it
  --no-page     leaves docs/performance.md as it is, which a run with other options than --rounds and --json does anyway";

impl Options {
    /// Reads the arguments; what `cargo bench` adds itself is passed over.
    ///
    /// ```
    /// use sandbpf_benches::{cli::Options, rounds::Plan};
    /// let options = Options::parse(["--quick", "--bench"].map(String::from)).unwrap();
    /// assert_eq!(options.plan.rounds, Plan::QUICK.rounds);
    /// assert_eq!(options.page(), None);
    /// let options = Options::parse(["--only", "sort,copy"].map(String::from)).unwrap();
    /// assert!(options.wants("copy") && !options.wants("matrix") && options.wants_part("maps"));
    /// assert!(Options::parse(["--fast".to_string()]).is_err());
    /// ```
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options =
            Options { plan: Plan::FULL, json: None, parts: None, only: None, page: Page::Usual };
        let mut arguments = arguments.into_iter();
        let names = |names: Option<String>, what: &str| -> Result<Vec<String>, String> {
            Ok(names.ok_or(format!("{what} needs names"))?.split(',').map(String::from).collect())
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {}
                "--quick" => options.plan = Plan::QUICK,
                "--rounds" => {
                    let rounds = arguments.next().and_then(|rounds| rounds.parse().ok());
                    options.plan.rounds =
                        rounds.filter(|&rounds| rounds > 0).ok_or("--rounds needs a number")?;
                }
                "--part" => options.parts = Some(names(arguments.next(), "--part")?),
                "--only" => options.only = Some(names(arguments.next(), "--only")?),
                "--json" => options.json = Some(arguments.next().ok_or("--json needs a file")?.into()),
                "--page" => {
                    options.page = Page::At(arguments.next().ok_or("--page needs a file")?.into());
                }
                "--no-page" => options.page = Page::None,
                _ => return Err(format!("unknown option {argument}")),
            }
        }
        Ok(options)
    }

    /// Whether a part of the report is to be measured.
    pub fn wants_part(&self, name: &str) -> bool {
        named(&self.parts, name)
    }

    /// Whether a program is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        named(&self.only, name)
    }

    /// The page to write.
    pub fn page(&self) -> Option<PathBuf> {
        let all = self.parts.is_none() && self.only.is_none() && self.plan.rounds > Plan::QUICK.rounds;
        match &self.page {
            Page::At(path) => Some(path.clone()),
            Page::Usual if all => Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md")),
            Page::Usual | Page::None => None,
        }
    }
}

fn named(names: &Option<Vec<String>>, name: &str) -> bool {
    names.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name))
}
