//! The whole report, or parts of it: [`sandbpf_benches::report`].
//!
//! `docs/performance.md` says what the numbers mean.

use std::path::Path;
use std::process::ExitCode;

use sandbpf_benches::cli::{Options, USAGE};
use sandbpf_benches::machine::machine;
use sandbpf_benches::page;
use sandbpf_benches::report::{Failure, PARTS};
use sandbpf_benches::rounds::pin;
use serde_json::{Map, Value, json};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
            eprintln!("{error}\n{USAGE}\nparts: {}", names.join(", "));
            return ExitCode::from(2);
        }
    };
    match measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Failure> {
    let pinned = if pin() { "pinned to one processor" } else { "not pinned to a processor" };
    let head = format!("{}; {pinned}.\n", machine());
    println!("{head}");
    let (mut text, mut numbers, mut pictures) = (String::new(), Map::new(), Vec::new());
    let mut headlines = Vec::new();
    numbers.insert("machine".into(), machine().into());
    numbers.insert("rounds".into(), json!(options.plan.rounds));
    for part in PARTS.iter().filter(|part| options.wants_part(part.name)) {
        let Some(section) = (part.measure)(options)? else { continue };
        println!("{}", section.text);
        text += &page::section(&section);
        headlines.extend(section.headlines);
        numbers.insert(part.name.into(), section.numbers);
        pictures.extend(section.pictures);
    }
    let short = page::in_short(&headlines);
    println!("{short}");
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{:#}\n", Value::Object(numbers)))?;
    }
    if let Some(path) = options.page() {
        let written = std::fs::read_to_string(&path)?;
        std::fs::write(
            &path,
            page::replace_measured(&written, &[&head, "\n", &short, "\n", &text].concat())?,
        )?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for (name, picture) in pictures {
            std::fs::write(folder.join(page::picture_name(name)), picture.to_svg())?;
        }
        println!("written to {}", path.display());
    }
    Ok(())
}
