//! Every case on everybody who can run it; with `BLESS=1` the cases are rewritten to what is so.
//!
//! `cargo test -p sandbpf-tests --test suite -- atomic` runs the cases with that word in their names.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::{fs, io};

use libtest_mimic::{Arguments, Failed, Trial};
use sandbpf_testkit::case::{Case, Runner};
use sandbpf_testkit::subject;

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files = Vec::new();
    find(&root, &mut files)?;
    files.sort();
    let bless = std::env::var_os("BLESS").is_some();
    let mut trials = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap_or(&file).with_extension("").display().to_string();
        let text = fs::read_to_string(&file)?;
        match Case::parse(&text) {
            Ok(case) if bless => fs::write(&file, case.bless())?,
            Ok(case) => trials.extend(of_case(&name, &Arc::new(case))),
            Err(error) => trials.push(Trial::test(name, move || Err(error.into()))),
        }
    }
    if let Err(why) = subject::machine_code() {
        trials.push(Trial::test(format!("jit: {why}"), || Ok(())).with_ignored_flag(true));
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// One trial for each who can run the case; a case that says who cannot is ignored there.
fn of_case(name: &str, case: &Arc<Case>) -> impl Iterator<Item = Trial> {
    let trial = |runner: Runner| {
        let case = Arc::clone(case);
        let excluded = match case.excludes(runner) {
            // The reference is asked about classic filters; elsewhere it is not missed.
            Some(_) if runner == Runner::Reference => return None,
            excluded => excluded,
        };
        let name = match &excluded {
            Some(reason) => format!("{name} [{runner}: {reason}]"),
            None => format!("{name} [{runner}]"),
        };
        let title = case.title().to_owned();
        let check = move || case.check(runner).map_err(|error| Failed::from(format!("{title}\n{error}")));
        Some(Trial::test(name, check).with_ignored_flag(excluded.is_some()))
    };
    // Loading is the same for all.
    let runners = if case.is_rejected() {
        vec![Runner::Subject(subject::Subject::Step)]
    } else {
        Runner::available().collect()
    };
    runners.into_iter().filter_map(trial).collect::<Vec<_>>().into_iter()
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "case") {
            files.push(path);
        }
    }
    Ok(())
}
