//! A [folder of workloads](sandbpf_benches::collection) in every engine, as multiples of the native functions beside them.
//!
//! ```console
//! $ cargo bench -p sandbpf-benches --bench workloads -- --only fib,csum1500 --rounds 9
//! ```
//!
//! Nothing is measured where there is no folder: `SANDBPF_WORKLOADS` names it.

use std::process::ExitCode;

use sandbpf::{AnyInput, KindName, Loader, Observer, Pc, Registers};
use sandbpf_benches::cli::{Options, USAGE};
use sandbpf_benches::collection::{Case, Collection};
use sandbpf_benches::engines::{ENGINES, Engine, How, Prepared, Project, XDP, XDP_BYTES, helpers, quietly};
use sandbpf_benches::input;
use sandbpf_benches::library::Foreign;
use sandbpf_benches::rounds::{Entry, Time, pin};
use sandbpf_benches::table::{Table, geometric_mean, number};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let folder = Collection::usual_folder();
    if !folder.exists() {
        println!("nothing measured: there is no folder {}", folder.display());
        return ExitCode::SUCCESS;
    }
    match Collection::open(&folder).and_then(|collection| measure(&collection, &options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What stands in a column.
#[derive(Clone, Copy)]
enum Source {
    /// A function of the library, by what follows the workload's name.
    Function(&'static str),
    /// An engine on a variant of the program.
    Engine(&'static Engine, &'static str),
}

struct Column {
    name: &'static str,
    source: Source,
}

fn columns() -> Vec<Column> {
    let function = |name, suffix| Column { name, source: Source::Function(suffix) };
    let xdp =
        |engine: &'static Engine| Column { name: engine.name, source: Source::Engine(engine, "xdp_v3") };
    let rest = ENGINES.iter().filter(|engine| engine.how != How::Step).map(|engine| {
        let variant = match engine.project {
            Project::Sandbpf => "mem_v3",
            Project::Rbpf => "pfx_v3",
            // Its 32-bit operations are not eBPF's.
            Project::Solana => "pfx_v2",
        };
        Column { name: engine.name, source: Source::Engine(engine, variant) }
    });
    let first = [function("native", "_novec"), function("vectorised", ""), xdp(&XDP), xdp(&XDP_BYTES)];
    first.into_iter().chain(rest).collect()
}

impl Column {
    fn prepare(&self, collection: &Collection, case: &Case) -> Prepared {
        match self.source {
            Source::Function(suffix) => {
                let function = collection
                    .library
                    .and_then(|library| library.function(&format!("nat_{}{suffix}", case.name)));
                let function = function.ok_or("the library has no such function")?;
                Ok(Box::new(Foreign::new(function, case.memory.clone())))
            }
            Source::Engine(engine, variant) => {
                let program = case.program(variant).ok_or("there is no such program")?;
                quietly(|| (engine.prepare)(&program, self.memory(case)))
            }
        }
    }

    fn memory(&self, case: &Case) -> Vec<u8> {
        match self.source {
            Source::Engine(_, variant) if variant.starts_with("pfx") => input::prefixed(&case.memory),
            _ => case.memory.clone(),
        }
    }

    /// What the column's answer must be.
    fn expected(&self, case: &Case) -> u64 {
        match self.source {
            Source::Engine(_, variant) if variant.starts_with("xdp") => case.expected & 0xffff_ffff,
            _ => case.expected,
        }
    }

    fn is(&self, how: How) -> bool {
        matches!(self.source, Source::Engine(engine, _) if engine.how == how)
    }

    /// How many instructions a run executes.
    fn executed(&self, case: &Case) -> Option<u64> {
        #[derive(Default)]
        struct Count(u64);
        impl Observer for Count {
            fn step(&mut self, _pc: Pc, _registers: &Registers) {
                self.0 += 1;
            }
        }
        let Source::Engine(_, variant) = self.source else { return None };
        let program = case.program(variant)?;
        let loader = Loader::new().helpers(helpers());
        let program = loader.load_any(KindName::Buffer, program.as_slice()).ok()?;
        let (mut count, mut memory) = (Count::default(), self.memory(case));
        program.run_observed(AnyInput::Buffer(memory.as_mut_slice().into()), &mut count).ok()?;
        Some(count.0)
    }
}

/// A workload's times, by column.
struct Row {
    name: String,
    times: Vec<Option<Time>>,
    /// Executed instructions, for interpreters.
    executed: Vec<Option<u64>>,
    /// Why a column has no time.
    refusals: Vec<Option<String>>,
}

fn measure(collection: &Collection, options: &Options) -> Result<(), Failure> {
    let columns = columns();
    let pinned = if pin() { "pinned to one processor" } else { "not pinned to a processor" };
    println!("{} rounds, {pinned}; {}.\n", options.plan.rounds, collection.folder.display());
    let mut rows = Vec::new();
    for case in collection.cases.iter().filter(|case| options.wants(&case.name)) {
        rows.push(row(collection, case, &columns, options)?);
    }
    let text = report(&columns, &rows);
    println!("{text}");
    if let Some(path) = &options.json {
        let rows: Vec<Value> = rows.iter().map(|row| row.to_json(&columns)).collect();
        std::fs::write(path, format!("{:#}\n", json!({ "rounds": options.plan.rounds, "workloads": rows })))?;
    }
    Ok(())
}

fn row(collection: &Collection, case: &Case, columns: &[Column], options: &Options) -> Result<Row, Failure> {
    let (mut subjects, mut refusals): (Vec<Entry>, Vec<Option<String>>) = (Vec::new(), Vec::new());
    for column in columns {
        let (mut subject, mut refusal) = match column.prepare(collection, case) {
            Ok(subject) => (Some(subject), None),
            Err(refusal) => (None, Some(refusal)),
        };
        for count in [1, 2] {
            let answer = subject.as_mut().map(|subject| subject.batch(count));
            let right = column.expected(case);
            if let Some(answer) = answer.filter(|&answer| answer != right) {
                let wrong =
                    format!("{} answers {answer:#x} to {}; right is {right:#x}", column.name, case.name);
                if matches!(column.source, Source::Engine(engine, _) if engine.project != Project::Sandbpf) {
                    // Wrong code is not timed.
                    (subject, refusal) = (None, Some(wrong));
                } else {
                    return Err(wrong.into());
                }
            }
        }
        subjects.push(subject);
        refusals.push(refusal);
    }
    let executed = columns
        .iter()
        .map(|column| column.is(How::Interpreter).then(|| column.executed(case)).flatten())
        .collect();
    Ok(Row { name: case.name.clone(), times: options.plan.measure(&mut subjects), executed, refusals })
}

impl Row {
    fn to_json(&self, columns: &[Column]) -> Value {
        let times: serde_json::Map<String, Value> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let time = self.times[at].map_or(
                    json!({ "refusal": self.refusals[at] }),
                    |time| json!({ "min_ns": time.min, "median_ns": time.median, "executed": self.executed[at] }),
                );
                (column.name.to_string(), time)
            })
            .collect();
        json!({ "workload": self.name, "times": times })
    }
}

/// How a time is read: as the median round, or as the fastest.
type Of = fn(Time) -> f64;

/// Readings with their names.
const READINGS: [(&str, Of); 2] =
    [("median rounds", |time| time.median), ("fastest rounds", |time| time.min)];

/// The JIT on a workload: as XDP where Linux would load it, over plain memory where not.
fn ours(columns: &[Column], row: &Row) -> Option<Time> {
    let at = |name| row.times[position(columns, name)];
    at(XDP.name).or(at("sandbpf jit"))
}

fn position(columns: &[Column], name: &str) -> usize {
    columns.iter().position(|column| column.name == name).expect("the column is there")
}

fn report(columns: &[Column], rows: &[Row]) -> String {
    let mut text = String::from(
        "Machine code, median rounds: native in nanoseconds, the others as multiples of it.\n\n",
    );
    let shown: Vec<usize> =
        (0..columns.len()).filter(|&at| at > 0 && !columns[at].is(How::Interpreter)).collect();
    let mut table =
        Table::new(["workload", "native ns"].into_iter().chain(shown.iter().map(|&at| columns[at].name)));
    let to_native = |row: &Row, at: usize, of: Of| Some(of(row.times[at]?) / of(row.times[0]?));
    for row in rows {
        let cells = shown.iter().map(|&at| number(to_native(row, at, READINGS[0].1)));
        table.row([row.name.clone(), number(row.times[0].map(READINGS[0].1))].into_iter().chain(cells));
    }
    for (name, of) in READINGS {
        let mean = |&at: &usize| number(geometric_mean(rows.iter().map(|row| to_native(row, at, of))));
        table.row(
            [format!("geometric mean, {name}"), String::new()].into_iter().chain(shown.iter().map(mean)),
        );
    }
    text += &format!("{table}\n");
    for (name, of) in READINGS {
        text += &summary(columns, rows, name, of);
    }
    text + "\n" + &interpreters(columns, rows)
}

/// The JIT's bars in words.
fn summary(columns: &[Column], rows: &[Row], name: &str, of: Of) -> String {
    let to = |column: &str| -> Vec<(&str, f64)> {
        let at = position(columns, column);
        let ratio = |row: &Row| Some(of(ours(columns, row)?) / of(row.times[at]?));
        rows.iter().filter_map(|row| Some((row.name.as_str(), ratio(row)?))).collect()
    };
    let mean = |ratios: &[(&str, f64)]| number(geometric_mean(ratios.iter().map(|&(_, ratio)| Some(ratio))));
    let native = to("native");
    let mut text = format!(
        "{name}: sandbpf jit (xdp, else plain memory) / native {} over {}",
        mean(&native),
        native.len()
    );
    let mut above: Vec<_> = native.iter().filter(|(_, ratio)| *ratio > 1.5).collect();
    above.sort_by(|a, b| b.1.total_cmp(&a.1));
    let above: Vec<String> = above.into_iter().map(|(name, ratio)| format!("{name} {ratio:.2}")).collect();
    text += &format!("; {} above 1.5: {}\n", above.len(), above.join(", "));
    let peer = to("rbpf jit");
    let faster = peer.iter().filter(|(_, ratio)| *ratio < 1.0).count();
    let slower: Vec<&str> = peer.iter().filter(|(_, ratio)| *ratio >= 1.0).map(|&(name, _)| name).collect();
    let mean = geometric_mean(peer.iter().map(|&(_, ratio)| Some(1.0 / ratio)));
    text += &format!(
        "{name}: rbpf jit / sandbpf jit {}, faster on {faster} of {}; not on: {}\n",
        number(mean),
        peer.len(),
        slower.join(", ")
    );
    text
}

/// Programs that execute fewer say more about calls than about instructions.
const LONG: u64 = 30;

fn interpreters(columns: &[Column], rows: &[Row]) -> String {
    let shown: Vec<usize> = (0..columns.len()).filter(|&at| columns[at].is(How::Interpreter)).collect();
    let names = shown.iter().map(|&at| columns[at].name);
    let mut table = Table::new(["workload", "executed"].into_iter().chain(names));
    let each = |row: &Row, at: usize, of: Of| Some(of(row.times[at]?) / row.executed[at]? as f64);
    for row in rows {
        let executed = row.executed[shown[0]].map_or("–".to_string(), |count| count.to_string());
        let cells = shown.iter().map(|&at| number(each(row, at, READINGS[0].1)));
        table.row([row.name.clone(), executed].into_iter().chain(cells));
    }
    for (name, of) in READINGS {
        let long =
            |at: usize| rows.iter().filter(move |row| row.executed[at].is_some_and(|count| count > LONG));
        let mean = |&at: &usize| number(geometric_mean(long(at).map(|row| each(row, at, of))));
        table.row(
            [format!("geometric mean, {name}"), format!("> {LONG}")]
                .into_iter()
                .chain(shown.iter().map(mean)),
        );
    }
    format!("Interpreters, nanoseconds an executed instruction, median rounds.\n\n{table}")
}
