//! One table: every program in every engine, ours and others'.
//!
//! `docs/performance.md` says what the numbers mean.

use std::process::ExitCode;

use sandbpf::{AnyInput, KindName, Loader, Observer, Pc, Registers, classic};
use sandbpf_benches::classic::{COLUMNS, FILTERS};
use sandbpf_benches::cli::{Options, USAGE};
use sandbpf_benches::engines::{ENGINES, Engine, How, Native, Project, quietly};
use sandbpf_benches::rounds::{Entry, Plan, Time, pin};
use sandbpf_benches::table::{Table, geometric_mean, number};
use sandbpf_benches::workload::{WORKLOADS, Workload};
use sandbpf_benches::{generated, input, packets, page};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
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

/// A part of the report: as text, and every number of it.
struct Section {
    text: String,
    numbers: Value,
}

fn measure(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let plan = options.plan;
    let pinned = if pin() { "pinned to one processor" } else { "not pinned to a processor" };
    let mut text = format!("{} rounds, {pinned}.\n", plan.rounds);
    println!("{text}");
    let mut numbers = serde_json::Map::from_iter([("rounds".to_string(), json!(plan.rounds))]);
    for (name, section) in
        [("programs", programs as fn(Plan) -> Section), ("loading", loading), ("filters", filters)]
    {
        let section = section(plan);
        println!("{}", section.text);
        text += &format!("\n{}", section.text);
        numbers.insert(name.to_string(), section.numbers);
    }
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{:#}\n", Value::Object(numbers)))?;
    }
    if let Some(path) = &options.page {
        let page = std::fs::read_to_string(path)?;
        std::fs::write(path, page::replace_measured(&page, &text)?)?;
    }
    Ok(())
}

/// A program's times: native first, then the engines in their order.
struct Row {
    name: &'static str,
    executed: u64,
    times: Vec<Option<Time>>,
}

fn programs(plan: Plan) -> Section {
    let rows: Vec<Row> = WORKLOADS.iter().map(|workload| row(workload, plan)).collect();
    let text = format!(
        "### Programs\n\n\
         One run, the fastest round: native in nanoseconds, engines as multiples of it.\n\n{}\n\
         The same, the median round.\n\n{}\n\
         Peers as multiples of sandbpf, machine code with machine code, interpreter with interpreter.\n\n{}\n\
         Interpreters, nanoseconds an executed instruction.\n\n{}",
        against_native(&rows, |time| time.min),
        against_native(&rows, |time| time.median),
        against_sandbpf(&rows),
        per_instruction(&rows),
    );
    Section { text, numbers: rows.iter().map(Row::to_json).collect() }
}

fn row(workload: &Workload, plan: Plan) -> Row {
    let program = workload.program().to_bytes();
    let native = Native::new(workload.native, workload.memory());
    let mut subjects: Vec<Entry> = vec![Some(Box::new(native))];
    let engines = ENGINES.iter().map(|engine| quietly(|| (engine.prepare)(&program, workload.memory())).ok());
    subjects.extend(engines);
    check(workload, &mut subjects);
    Row { name: workload.name, executed: executed(workload), times: plan.measure(&mut subjects) }
}

/// Every engine must answer as the native function does, again and again.
fn check(workload: &Workload, subjects: &mut [Entry]) {
    let expected = workload.expected();
    for (at, subject) in subjects.iter_mut().enumerate() {
        let name = if at == 0 { "native" } else { ENGINES[at - 1].name };
        for count in [1, 2] {
            let answer = subject.as_mut().map(|subject| subject.batch(count));
            assert!(
                answer.is_none_or(|answer| answer == expected),
                "{name} answers {answer:?} to {}; right is {expected}",
                workload.name
            );
        }
    }
}

/// How many instructions a run executes.
fn executed(workload: &Workload) -> u64 {
    #[derive(Default)]
    struct Count(u64);
    impl Observer for Count {
        fn step(&mut self, _pc: Pc, _registers: &Registers) {
            self.0 += 1;
        }
    }
    let mut count = Count::default();
    let program = Loader::new().load_any(KindName::Buffer, workload.program()).expect("the program loads");
    let mut memory = workload.memory();
    let run = program.run_observed(AnyInput::Buffer(memory.as_mut_slice().into()), &mut count);
    assert_eq!(run, Ok(workload.expected()), "{}", workload.name);
    count.0
}

fn ratio(over: Option<f64>, under: Option<f64>) -> Option<f64> {
    Some(over? / under?)
}

fn against_native(rows: &[Row], of: fn(Time) -> f64) -> Table {
    let mut table =
        Table::new(["program", "native ns"].into_iter().chain(ENGINES.iter().map(|engine| engine.name)));
    let ratios = |row: &Row| -> Vec<Option<f64>> {
        let native = row.times[0].map(of);
        row.times[1..].iter().map(|time| ratio(time.map(of), native)).collect()
    };
    for row in rows {
        let native = number(row.times[0].map(of));
        let engines = ratios(row).into_iter().map(number);
        table.row([row.name.to_string(), native].into_iter().chain(engines));
    }
    let means = (0..ENGINES.len()).map(|at| number(geometric_mean(rows.iter().map(|row| ratios(row)[at]))));
    table.row(["geometric mean".to_string(), String::new()].into_iter().chain(means));
    table
}

/// Each peer with ours of its kind, where both are in the table.
fn pairs() -> Vec<(&'static Engine, &'static Engine)> {
    let peers = ENGINES.iter().filter(|engine| engine.project != Project::Sandbpf);
    peers.filter_map(|peer| Some((peer, Engine::of(Project::Sandbpf, peer.how)?))).collect()
}

fn column(engine: &Engine) -> usize {
    1 + ENGINES.iter().position(|other| other.name == engine.name).expect("it is one of them")
}

fn against_sandbpf(rows: &[Row]) -> Table {
    let pairs = pairs();
    let mut table = Table::new(["program"].into_iter().chain(pairs.iter().map(|(peer, _)| peer.name)));
    let time = |row: &Row, engine: &Engine| row.times[column(engine)].map(|time| time.min);
    let ratios = |row: &Row| -> Vec<Option<f64>> {
        pairs.iter().map(|(peer, ours)| ratio(time(row, peer), time(row, ours))).collect()
    };
    for row in rows {
        table.row([row.name.to_string()].into_iter().chain(ratios(row).into_iter().map(number)));
    }
    let means = (0..pairs.len()).map(|at| number(geometric_mean(rows.iter().map(|row| ratios(row)[at]))));
    table.row(["geometric mean".to_string()].into_iter().chain(means));
    table
}

fn per_instruction(rows: &[Row]) -> Table {
    let engines = ENGINES.iter().filter(|engine| engine.how != How::Jit);
    let engines: Vec<&Engine> = engines.collect();
    let mut table =
        Table::new(["program", "executed"].into_iter().chain(engines.iter().map(|engine| engine.name)));
    for row in rows {
        let each =
            |engine: &&Engine| number(row.times[column(engine)].map(|time| time.min / row.executed as f64));
        table.row(
            [row.name.to_string(), row.executed.to_string()].into_iter().chain(engines.iter().map(each)),
        );
    }
    table
}

impl Row {
    fn to_json(&self) -> Value {
        let names = ["native"].into_iter().chain(ENGINES.iter().map(|engine| engine.name));
        let times: serde_json::Map<String, Value> =
            names.zip(&self.times).map(|(name, time)| (name.to_string(), time_json(*time))).collect();
        json!({ "program": self.name, "executed": self.executed, "times": times })
    }
}

fn time_json(time: Option<Time>) -> Value {
    time.map_or(Value::Null, |time| json!({ "min_ns": time.min, "median_ns": time.median }))
}

/// Lengths of the programs to load: one that every compiler takes, and a long one.
const LENGTHS: [usize; 2] = [400, 4000];

fn loading(plan: Plan) -> Section {
    let mut table = Table::new(
        ["engine".to_string()]
            .into_iter()
            .chain(LENGTHS.map(|length| format!("{length} instructions")))
            .chain(["bytes of code".to_string()]),
    );
    let programs = LENGTHS.map(|length| generated::program(length).to_bytes());
    let times = programs.each_ref().map(|program| {
        agree(program);
        let mut subjects: Vec<Entry> =
            ENGINES.iter().map(|engine| quietly(|| engine.loading(program)).ok()).collect();
        plan.measure(&mut subjects)
    });
    let mut all = Vec::new();
    for (at, engine) in ENGINES.iter().enumerate() {
        let each = |which: usize| times[which][at].map(|time| time.min / LENGTHS[which] as f64);
        let size = (engine.code_size)(&programs[1]).map(|bytes| bytes as f64 / LENGTHS[1] as f64);
        table.row([engine.name.to_string(), number(each(0)), number(each(1)), number(size)]);
        all.push(json!({
            "engine": engine.name, "lengths": LENGTHS, "ns_an_instruction": [each(0), each(1)],
            "code_bytes_an_instruction": size,
        }));
    }
    let text = format!(
        "### Loading\n\n\
         Decoding, checking, compiling in nanoseconds an instruction, and the machine code of the longer program in\n\
         bytes an instruction. A dash: the engine cannot, or does not tell.\n\n{table}"
    );
    Section { text, numbers: Value::Array(all) }
}

/// The engines that load a generated program answer alike.
fn agree(program: &[u8]) {
    let memory = input::prefixed(&(0..64).collect::<Vec<u8>>());
    let mut first = None;
    for engine in ENGINES {
        let Ok(mut subject) = quietly(|| (engine.prepare)(program, memory.clone())) else { continue };
        let answer = subject.batch(1);
        let (name, right) = *first.get_or_insert((engine.name, answer));
        assert_eq!(answer, right, "{} and {name} differ", engine.name);
    }
}

fn filters(plan: Plan) -> Section {
    let built_in = cfg!(feature = "libpcap");
    let mut table = Table::new([
        "filter, packet",
        "libpcap ns",
        "interp ns",
        "jit ns",
        "libpcap / interp",
        "libpcap / jit",
    ]);
    let mut all = Vec::new();
    let mut ratios = [Vec::new(), Vec::new()];
    for filter in FILTERS {
        for (packet_name, packet) in packets::all() {
            let mut subjects = filter.subjects(&packet);
            let answers = subjects.each_mut().map(|entry| entry.as_mut().map(|subject| subject.batch(1)));
            let right = u64::from(classic_answer(&filter.insns(), &packet));
            for (column, answer) in COLUMNS.iter().zip(answers) {
                let (name, packet) = (filter.name, packet_name);
                assert!(
                    answer.is_none_or(|answer| answer == right),
                    "{column}: {name} on {packet}: {answer:?}"
                );
            }
            let times = plan.measure(&mut subjects);
            let min = |at: usize| times[at].map(|time| time.min);
            let (to_interp, to_jit) = (ratio(min(0), min(1)), ratio(min(0), min(2)));
            ratios[0].push(to_interp);
            ratios[1].push(to_jit);
            let libpcap = if built_in { number(min(0)) } else { "not built in".into() };
            let rest = [min(1), min(2), to_interp, to_jit].map(number);
            table.row([format!("{}, {packet_name}", filter.name), libpcap].into_iter().chain(rest));
            let named: serde_json::Map<String, Value> =
                COLUMNS.iter().zip(&times).map(|(name, time)| (name.to_string(), time_json(*time))).collect();
            all.push(
                json!({ "filter": filter.name, "packet": packet_name, "answer": right, "times": named }),
            );
        }
    }
    let means = ratios.map(|ratios| number(geometric_mean(ratios)));
    table.row(
        ["geometric mean".to_string(), String::new(), String::new(), String::new()].into_iter().chain(means),
    );
    let hint = if built_in {
        ""
    } else {
        "\nlibpcap: not built in; `--features libpcap` compares with the system's."
    };
    let text = format!(
        "### Classic filters\n\nNanoseconds a packet, and libpcap as a multiple of sandbpf.{hint}\n\n{table}"
    );
    Section { text, numbers: Value::Array(all) }
}

/// The verdict of the executable reference, which is neither of the engines.
fn classic_answer(insns: &[classic::ClassicInsn], packet: &[u8]) -> u32 {
    let filter = classic::Filter::check(insns, classic::Dialect::Libpcap).expect("tcpdump wrote it");
    classic::reference::run(&filter, &classic::reference::Packet::new(packet))
        .expect("a filter of tcpdump ends")
}
