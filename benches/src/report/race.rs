//! Programs in every engine, by turns, as multiples of what a compiler makes of the same.

use sandbpf::{AnyInput, KindName, Loader, Observer, Pc, Registers};
use serde_json::{Value, json};

use super::{FASTEST, Failure, MEDIAN, Of, Section, headline, ratio, time_json};
use crate::case::{Case, Yardstick};
use crate::cli::Options;
use crate::engines::{ENGINES, Engine, How, Project, helpers};
use crate::picture::{Picture, Scale};
use crate::rounds::{Entry, Time};
use crate::table::{Table, geometric_mean, number};

/// What stands in a column.
#[derive(Clone, Copy)]
enum Column {
    Native(Yardstick),
    Engine(&'static Engine),
}

/// The yardstick of all ratios.
const NATIVE: &str = "native";

impl Column {
    /// Native first, then the engines in their order, without the interpreter that is made to be read.
    fn all() -> Vec<Column> {
        let engines = ENGINES.iter().filter(|engine| engine.how != How::Step).map(Column::Engine);
        let natives = [Yardstick::Scalar, Yardstick::Vectorised].map(Column::Native);
        natives.into_iter().chain(engines).collect()
    }

    fn name(&self) -> &'static str {
        match self {
            Column::Native(Yardstick::Scalar) => NATIVE,
            Column::Native(Yardstick::Vectorised) => "vectorised",
            Column::Engine(engine) => engine.name,
        }
    }

    fn is(&self, how: How) -> bool {
        matches!(self, Column::Engine(engine) if engine.how == how)
    }

    fn is_ours(&self) -> bool {
        matches!(self, Column::Engine(engine) if engine.project == Project::Sandbpf)
    }

    fn is_kernel(&self) -> bool {
        matches!(self, Column::Engine(engine) if engine.project == Project::Kernel)
    }

    fn prepare(&self, case: &dyn Case) -> Result<Entry, String> {
        match self {
            Column::Native(yardstick) => Ok(case.native(*yardstick)),
            Column::Engine(engine) => engine.prepare_case(case).map(Some),
        }
    }

    fn expected(&self, case: &dyn Case) -> u64 {
        match self {
            Column::Native(_) => case.expected(),
            Column::Engine(engine) => engine.expected(case),
        }
    }
}

/// How many instructions a run of the engine's program executes.
fn executed(engine: &Engine, case: &dyn Case) -> Option<u64> {
    #[derive(Default)]
    struct Count(u64);
    impl Observer for Count {
        fn step(&mut self, _pc: Pc, _registers: &Registers) {
            self.0 += 1;
        }
    }
    let program = case.program(engine.form, engine.isa)?;
    let program = Loader::new().helpers(helpers()).load_any(KindName::Buffer, program.as_slice()).ok()?;
    let (mut count, mut memory) = (Count::default(), engine.memory(case));
    program.run_observed(AnyInput::Buffer(memory.as_mut_slice().into()), &mut count).ok()?;
    Some(count.0)
}

/// A program's times, by column.
struct Row {
    name: String,
    times: Vec<Option<Time>>,
    /// Why a column has no time.
    refusals: Vec<Option<String>>,
    /// Executed instructions, for interpreters.
    executed: Vec<Option<u64>>,
}

/// What a row of the kernel's runs costs besides the program; `None` where the kernel cannot be asked.
fn kernel_empty() -> Entry {
    #[cfg(feature = "kernel")]
    if let Ok(empty) = crate::engines::KernelEmpty::new() {
        return Some(Box::new(empty));
    }
    None
}

/// Less of the kernel's own time than this is lost in what a system call costs.
const KERNEL_LEAST: f64 = 8.0;

impl Row {
    /// Every engine must answer as the case says, again and again, or ours stops here and a peer's wrong code is not timed.
    fn measure(case: &dyn Case, columns: &[Column], options: &Options) -> Result<Row, Failure> {
        let (mut subjects, mut refusals): (Vec<Entry>, Vec<Option<String>>) = (Vec::new(), Vec::new());
        for column in columns {
            let (mut subject, mut refusal) = match column.prepare(case) {
                Ok(subject) => (subject, None),
                Err(refusal) => (None, Some(refusal)),
            };
            let right = column.expected(case);
            for count in [1, 2] {
                let answer = subject.as_mut().map(|subject| subject.batch(count));
                let Some(answer) = answer.filter(|&answer| answer != right) else { continue };
                let (name, wrong) = (column.name(), case.name());
                let wrong = format!("{name} answers {answer:#x} to {wrong}; right is {right:#x}");
                match column {
                    Column::Engine(engine) if engine.project != Project::Sandbpf => {
                        (subject, refusal) = (None, Some(wrong));
                    }
                    _ => return Err(wrong.into()),
                }
            }
            subjects.push(subject);
            refusals.push(refusal);
        }
        subjects.push(kernel_empty());
        let mut times = options.plan.measure(&mut subjects);
        let empty = times.pop().flatten();
        for (column, time) in columns.iter().zip(&mut times).filter(|(column, _)| column.is_kernel()) {
            *time = net(*time, empty);
            debug_assert!(column.is(How::Jit));
        }
        let executed = columns.iter().map(|column| match column {
            Column::Engine(engine) if engine.how == How::Interpreter => executed(engine, case),
            _ => None,
        });
        Ok(Row { name: case.name().to_string(), times, refusals, executed: executed.collect() })
    }

    fn time(&self, columns: &[Column], name: &str) -> Option<Time> {
        self.times[columns.iter().position(|column| column.name() == name)?]
    }

    /// Our machine code: of a verified XDP program, or on plain memory where Linux would not load it.
    fn ours(&self, columns: &[Column]) -> Option<Time> {
        self.time(columns, "sandbpf xdp").or_else(|| self.time(columns, "sandbpf jit"))
    }

    fn to_json(&self, columns: &[Column]) -> Value {
        let times = columns.iter().enumerate().map(|(at, column)| {
            let mut time = time_json(self.times[at]);
            if let Some(refusal) = &self.refusals[at] {
                time = json!({ "refusal": refusal });
            } else if let (Some(executed), Value::Object(fields)) = (self.executed[at], &mut time) {
                fields.insert("executed".into(), executed.into());
            }
            (column.name().to_string(), time)
        });
        json!({ "program": self.name, "times": times.collect::<serde_json::Map<_, _>>() })
    }
}

fn net(time: Option<Time>, empty: Option<Time>) -> Option<Time> {
    let (time, empty) = (time?, empty?);
    let net = Time { min: time.min - empty.min, median: time.median - empty.median };
    (net.min >= KERNEL_LEAST && net.median >= KERNEL_LEAST).then_some(net)
}

/// What is said of a set of programs.
pub(super) struct About {
    /// The heading and where the programs come from.
    pub(super) head: String,
    /// What they are called in short.
    pub(super) programs: &'static str,
    /// Names of the pictures of machine code and of interpreters.
    pub(super) pictures: [&'static str; 2],
}

/// Measures all cases that are asked for; nothing if none is.
pub(super) fn measure(
    cases: &[&dyn Case],
    options: &Options,
    about: About,
) -> Result<Option<Section>, Failure> {
    let columns = Column::all();
    let wanted = cases.iter().filter(|case| options.wants(case.name()));
    let rows: Result<Vec<Row>, Failure> = wanted.map(|case| Row::measure(*case, &columns, options)).collect();
    let rows = rows?;
    if rows.is_empty() {
        return Ok(None);
    }
    let text = format!(
        "{}\n\
         Machine code: native in nanoseconds, the others as multiples of it, median rounds.\n\n{}\n{}\n\
         Interpreters: nanoseconds an executed instruction, median rounds. The mean is of programs that execute more than \
         {LONG}; the others tell what a call costs.\n\n{}",
        about.head,
        machine_code(&columns, &rows),
        summary(&columns, &rows),
        interpreters(&columns, &rows),
    );
    let numbers = rows.iter().map(|row| row.to_json(&columns)).collect();
    let headlines = headlines(&columns, &rows, about.programs);
    let [code, interpreted] = about.pictures;
    let pictures =
        vec![(code, code_picture(&columns, &rows)), (interpreted, interpreter_picture(&columns, &rows))];
    Ok(Some(Section { text, headlines, numbers, pictures }))
}

fn headlines(columns: &[Column], rows: &[Row], programs: &str) -> Vec<(String, String)> {
    let ours = |row: &Row| row.ours(columns);
    let against = |over: &dyn Fn(&Row) -> Option<Time>, under: &dyn Fn(&Row) -> Option<Time>| {
        geometric_mean(rows.iter().map(|row| ratio(over(row), under(row), MEDIAN)))
    };
    let native = against(&ours, &|row| row.times[0]);
    let mut all = vec![headline(format!("machine code, {programs}: our time / native's"), native, "")];
    for column in columns.iter().filter(|column| column.is(How::Jit) && !column.is_ours()) {
        let at = position(columns, column);
        let mean = against(&|row| row.times[at], &ours);
        all.push(headline(format!("machine code, {programs}: {}'s time / ours", column.name()), mean, ""));
    }
    for at in interpreted(columns) {
        let mean = interpreter_mean(rows, at, MEDIAN);
        all.push(headline(format!("an instruction, {programs}: {}", columns[at].name()), mean, "ns"));
    }
    all.into_iter().flatten().collect()
}

/// The columns of machine code, without the yardstick itself.
fn compiled(columns: &[Column]) -> impl Iterator<Item = usize> {
    (1..columns.len()).filter(|&at| !columns[at].is(How::Interpreter))
}

fn machine_code(columns: &[Column], rows: &[Row]) -> Table {
    let shown: Vec<usize> = compiled(columns).collect();
    let mut table =
        Table::new(["program", "native ns"].into_iter().chain(shown.iter().map(|&at| columns[at].name())));
    let to_native = |row: &Row, at: usize, of: Of| ratio(row.times[at], row.times[0], of);
    for row in rows {
        let cells = shown.iter().map(|&at| number(to_native(row, at, MEDIAN)));
        table.row([row.name.clone(), number(row.times[0].map(MEDIAN))].into_iter().chain(cells));
    }
    for (name, of) in [("geometric mean", MEDIAN), ("of the fastest rounds", FASTEST)] {
        let mean = |&at: &usize| number(geometric_mean(rows.iter().map(|row| to_native(row, at, of))));
        table.row([name.to_string(), String::new()].into_iter().chain(shown.iter().map(mean)));
    }
    table
}

/// A ratio for each program that has both times.
fn ratios(rows: &[Row], each: impl Fn(&Row) -> Option<f64>) -> Vec<(&str, f64)> {
    let mut ratios: Vec<(&str, f64)> =
        rows.iter().filter_map(|row| Some((row.name.as_str(), each(row)?))).collect();
    ratios.sort_by(|a, b| b.1.total_cmp(&a.1));
    ratios
}

fn mean(ratios: &[(&str, f64)]) -> String {
    number(geometric_mean(ratios.iter().map(|&(_, ratio)| Some(ratio))))
}

/// Slower than native by this is called out.
const SLOW: f64 = 1.5;

/// Our machine code beside each yardstick, in words.
fn summary(columns: &[Column], rows: &[Row]) -> String {
    let list = |ratios: &[(&str, f64)], which: fn(f64) -> bool| -> String {
        let named = ratios.iter().filter(|(_, ratio)| which(*ratio));
        let named: Vec<String> = named.map(|(name, ratio)| format!("{name} {ratio:.2}")).collect();
        if named.is_empty() { "none".into() } else { named.join(", ") }
    };
    let mut text = String::from(
        "Our machine code is that of the verified XDP program, or that on plain memory where Linux would not load it:\n\n",
    );
    for name in [NATIVE, "vectorised"] {
        let to = ratios(rows, |row| ratio(row.ours(columns), row.time(columns, name), MEDIAN));
        text += &format!(
            "* {} of {name} in the geometric mean of {}; above {SLOW}: {}.\n",
            mean(&to),
            to.len(),
            list(&to, |ratio| ratio > SLOW)
        );
    }
    for column in columns.iter().filter(|column| column.is(How::Jit) && !column.is_ours()) {
        let to = ratios(rows, |row| ratio(row.times[position(columns, column)], row.ours(columns), MEDIAN));
        let faster = to.iter().filter(|(_, ratio)| *ratio > 1.0).count();
        text += &format!(
            "* {} takes {} of our time in the geometric mean; ours is faster on {faster} of {}; not on: {}.\n",
            column.name(),
            mean(&to),
            to.len(),
            list(&to, |ratio| ratio <= 1.0)
        );
    }
    text
}

fn position(columns: &[Column], column: &Column) -> usize {
    columns.iter().position(|other| other.name() == column.name()).expect("it is one of them")
}

/// Programs that execute fewer instructions say more about calls.
const LONG: u64 = 30;

fn per_instruction(row: &Row, at: usize, of: Of) -> Option<f64> {
    Some(of(row.times[at]?) / row.executed[at]? as f64)
}

fn interpreter_mean(rows: &[Row], at: usize, of: Of) -> Option<f64> {
    let long = rows.iter().filter(|row| row.executed[at].is_some_and(|count| count > LONG));
    geometric_mean(long.map(|row| per_instruction(row, at, of)))
}

fn interpreted(columns: &[Column]) -> Vec<usize> {
    (0..columns.len()).filter(|&at| columns[at].is(How::Interpreter)).collect()
}

fn interpreters(columns: &[Column], rows: &[Row]) -> Table {
    let shown = interpreted(columns);
    let names = shown.iter().map(|&at| columns[at].name());
    let mut table = Table::new(["program", "executed"].into_iter().chain(names));
    for row in rows {
        let executed = row.executed[shown[0]].map_or("–".to_string(), |count| count.to_string());
        let cells = shown.iter().map(|&at| number(per_instruction(row, at, MEDIAN)));
        table.row([row.name.clone(), executed].into_iter().chain(cells));
    }
    for (name, of) in [("geometric mean", MEDIAN), ("of the fastest rounds", FASTEST)] {
        let mean = |&at: &usize| number(interpreter_mean(rows, at, of));
        table.row([name.to_string(), String::new()].into_iter().chain(shown.iter().map(mean)));
    }
    table
}

/// Programs side by side, ours and the fastest peers.
fn code_picture(columns: &[Column], rows: &[Row]) -> Picture {
    let peers: Vec<usize> =
        compiled(columns).filter(|&at| columns[at].is(How::Jit) && !columns[at].is_ours()).collect();
    let series = ["sandbpf"].into_iter().chain(peers.iter().map(|&at| columns[at].name()));
    let mut picture =
        Picture::new("Machine code: times of native, less is better", Scale::Logarithmic, series);
    let bars = |row: &Row| -> Vec<Option<f64>> {
        let of = |time| ratio(time, row.times[0], MEDIAN);
        [of(row.ours(columns))].into_iter().chain(peers.iter().map(|&at| of(row.times[at]))).collect()
    };
    let all: Vec<Vec<Option<f64>>> = rows.iter().map(bars).collect();
    let means = (0..=peers.len()).map(|at| geometric_mean(all.iter().map(|bars| bars[at])));
    picture.group("geometric mean", means);
    for (row, bars) in rows.iter().zip(&all) {
        picture.group(&row.name, bars.iter().copied());
    }
    picture
}

fn interpreter_picture(columns: &[Column], rows: &[Row]) -> Picture {
    let mut picture =
        Picture::new("Interpreters: nanoseconds an instruction, less is better", Scale::Linear, [""]);
    for at in interpreted(columns) {
        picture.group(columns[at].name(), [interpreter_mean(rows, at, MEDIAN)]);
    }
    picture
}
