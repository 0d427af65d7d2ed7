//! Loading: how long it takes, step by step, beside peers, and how much code comes of it.

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sandbpf::{Buffer, KindName, Loader, SocketFilter, Verifier, Xdp, classic, isa};
use serde_json::{Value, json};

use super::{Failure, MEDIAN, Section, headline, how, time_json};
use crate::case::Form;
use crate::classic::FILTERS;
use crate::cli::Options;
use crate::engines::{ENGINES, Engine, Project, quietly};
use crate::generated::{self, Shape};
use crate::input;
use crate::picture::{Picture, Scale};
use crate::rounds::{Entry, Plan, Subject, Time};
use crate::table::{Table, number};

pub(super) fn measure(options: &Options) -> Result<Option<Section>, Failure> {
    let (peers, peer_numbers, picture) = peers(options.plan)?;
    let (steps, step_numbers, mut headlines) = steps(options.plan)?;
    let (filters, filter_numbers, filter_headline) = filters(options.plan);
    headlines.extend(filter_headline);
    let text = format!(
        "### Loading\n\n\
         Nanoseconds an instruction, medians; {}, fewer for the longest programs.\n\n\
         From the encoded program to what can run and back to nothing, programs made by rule with branches, and the machine \
         code of the longest program in bytes an instruction. A dash: the engine cannot, or does not tell.\n\n{peers}\n\
         The steps of ours, one by one. *Compile* starts from decoded instructions and ends with code that can run; *with \
         facts* is the same for a verified program, as the difference of loading it and of verifying it. Programs without \
         branches, that the verifier walks once, have those two.\n\n{steps}\n\
         Classic filters, microseconds for a whole filter; *load* is all of it, from instructions to machine code.\n\n{filters}",
        how(options.plan)
    );
    let numbers = json!({ "peers": peer_numbers, "steps": step_numbers, "filters": filter_numbers });
    Ok(Some(Section { text, headlines, numbers, pictures: vec![("loading", picture)] }))
}

/// What was compared, and the figure.
type Headline = (String, String);

/// A step as something to time.
struct Step<F>(F);

impl<F: FnMut()> Subject for Step<F> {
    fn batch(&mut self, count: u32) -> u64 {
        for _ in 0..count {
            (self.0)();
        }
        0
    }
}

fn step(step: impl FnMut() + 'static) -> Entry {
    Some(Box::new(Step(step)))
}

/// Less often where once takes long.
fn plan_for(plan: Plan, length: usize) -> Plan {
    let rounds = match length {
        0..20_000 => plan.rounds,
        20_000..200_000 => plan.rounds.min(7),
        _ => plan.rounds.min(3),
    };
    Plan { rounds, ..plan }
}

/// Lengths of the programs that all engines load: one that every compiler takes, and long ones.
const LENGTHS: [usize; 4] = [400, 4_000, 16_000, 60_000];

fn peers(plan: Plan) -> Result<(Table, Value, Picture), Failure> {
    let engines: Vec<&Engine> = ENGINES.iter().filter(|engine| engine.form != Form::Frame).collect();
    let head = ["engine".to_string()].into_iter().chain(LENGTHS.map(|length| format!("{length}")));
    let mut table = Table::new(head.chain(["bytes of code".to_string()]));
    let mut times: Vec<Vec<Option<Time>>> = Vec::new();
    let mut longest = Vec::new();
    for length in LENGTHS {
        longest = generated::program(length, Shape::Branching).to_bytes();
        let right = right(&engines, &longest)?;
        let loading = |engine: &&Engine| quietly(|| engine.loading(&longest)).ok();
        let mut subjects: Vec<Entry> =
            engines.iter().zip(right).map(|(engine, right)| loading(engine).filter(|_| right)).collect();
        times.push(plan_for(plan, length).measure(&mut subjects));
    }
    let mut all = Vec::new();
    let mut picture =
        Picture::new("Loading 4000 instructions: nanoseconds each, less is better", Scale::Linear, [""]);
    for (at, engine) in engines.iter().enumerate() {
        let each = |which: usize| times[which][at].map(|time| MEDIAN(time) / LENGTHS[which] as f64);
        let size = quietly(|| (engine.code_size)(&longest)).map(|bytes| bytes as f64 / LENGTHS[3] as f64);
        let cells = (0..LENGTHS.len()).map(|which| number(each(which)));
        table.row([engine.name.to_string()].into_iter().chain(cells).chain([number(size)]));
        picture.group(engine.name, [each(1)]);
        all.push(json!({
            "engine": engine.name, "lengths": LENGTHS, "code_bytes_an_instruction": size,
            "times": times.iter().map(|times| time_json(times[at])).collect::<Value>(),
        }));
    }
    Ok((table, all.into(), picture))
}

/// Whether each engine runs what it loads, and answers as ours do; a peer that does not is not timed.
fn right(engines: &[&'static Engine], program: &[u8]) -> Result<Vec<bool>, Failure> {
    let memory = input::prefixed(&(0..64).collect::<Vec<u8>>());
    let answer = |engine: &Engine| {
        let mut subject = quietly(|| (engine.prepare)(program, memory.clone())).ok()?;
        quietly(|| catch_unwind(AssertUnwindSafe(|| subject.batch(1)))).ok()
    };
    let answers: Vec<Option<u64>> = engines.iter().map(|engine| answer(engine)).collect();
    let ours = engines.iter().zip(&answers).filter(|(engine, _)| engine.project == Project::Sandbpf);
    let ours: Vec<u64> = ours.filter_map(|(_, answer)| *answer).collect();
    match ours.iter().find(|&&answer| answer != ours[0]) {
        Some(other) => Err(format!("our engines answer {} and {other} to a program to load", ours[0]).into()),
        None => Ok(answers.iter().map(|answer| *answer == ours.first().copied()).collect()),
    }
}

/// Programs that are loaded step by step, with names.
fn programs(most: usize) -> Vec<(String, isa::Program, Shape)> {
    let lengths = [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|&length| length <= most);
    let made = lengths.flat_map(|length| {
        [Shape::Branching, Shape::Straight].map(|shape| {
            let name =
                format!("{length}, {}", if shape == Shape::Straight { "straight" } else { "branching" });
            (name, generated::program(length, shape), shape)
        })
    });
    made.chain(recorded()).collect()
}

/// Those of the folder of workloads.
fn recorded() -> Vec<(String, isa::Program, Shape)> {
    let mut found = Vec::new();
    #[cfg(unix)]
    for length in ["4k", "16k", "60k"] {
        for (kind, shape) in [("v2", Shape::Branching), ("straight", Shape::Straight)] {
            let name = format!("big{length}.{kind}");
            let path = crate::collection::Collection::usual_folder().join(format!("bin/{name}.bin"));
            let program = std::fs::read(path).ok().and_then(|bytes| isa::decode(&bytes).ok());
            found.extend(program.map(|program| (name, program, shape)));
        }
    }
    found
}

fn steps(plan: Plan) -> Result<(Table, Value, Vec<Headline>), Failure> {
    let mut table = Table::new([
        "program",
        "decode",
        "for the interpreter",
        "compile",
        "bytes of code",
        "verify",
        "compile with facts",
        "bytes with facts",
    ]);
    let (mut all, mut headlines) = (Vec::new(), Vec::new());
    let most = if plan.rounds > Plan::QUICK.rounds { 1_000_000 } else { 10_000 };
    for (name, program, shape) in programs(most) {
        let length = program.len() as f64;
        let bytes = program.to_bytes();
        let verified = shape == Shape::Straight && verifier().verify(&program).is_ok();
        let load = |engine: sandbpf::Engine| {
            let (loader, program) = (Loader::new().engine(engine), program.clone());
            step(move || drop(black_box(loader.load::<Buffer>(black_box(program.clone())))))
        };
        let proved = Loader::new().verified(true).load::<Xdp>(program.clone()).ok();
        let mut subjects = vec![
            step(move || drop(black_box(isa::decode(black_box(&bytes))))),
            load(sandbpf::Engine::Interpreter),
            load(sandbpf::Engine::Jit),
            verified.then(|| verifying(&program)).flatten(),
            verified.then(|| loading_verified(&program)).flatten(),
        ];
        let times = plan_for(plan, program.len()).measure(&mut subjects);
        let each = |time: Option<f64>| number(time.map(|time| time / length));
        let facts = times[4].zip(times[3]).map(|(load, verify)| MEDIAN(load) - MEDIAN(verify));
        let size =
            Loader::new().load::<Buffer>(program.clone())?.machine_code().map(|code| code.len() as f64);
        let proved_size = proved.as_ref().filter(|_| verified);
        let proved_size = proved_size.and_then(|proved| proved.machine_code()).map(|code| code.len() as f64);
        let [decode, interpreter, compile, verify] = [0, 1, 2, 3].map(|at| each(times[at].map(MEDIAN)));
        all.push(json!({
            "program": name, "instructions": length, "decode": time_json(times[0]),
            "interpreter": time_json(times[1]), "compile": time_json(times[2]), "verify": time_json(times[3]),
            "load_verified": time_json(times[4]), "code_bytes": size, "code_bytes_with_facts": proved_size,
        }));
        let of_each = |value: Option<f64>| value.map(|value| value / length);
        headlines.extend(headline(
            format!("compiling, {name}: an instruction"),
            of_each(times[2].map(MEDIAN)),
            "ns",
        ));
        headlines.extend(headline(format!("machine code, {name}: an instruction"), of_each(size), "bytes"));
        let (size, facts, proved_size) = (each(size), each(facts), each(proved_size));
        table.row([name, decode, interpreter, compile, size, verify, facts, proved_size]);
    }
    // The longest tell.
    let headlines = headlines.split_off(headlines.len().saturating_sub(4));
    Ok((table, all.into(), headlines))
}

fn verifier() -> Verifier {
    Verifier::of_kind(KindName::Xdp).expect("Linux verifies XDP programs")
}

fn verifying(program: &isa::Program) -> Entry {
    let (verifier, program) = (verifier(), program.clone());
    step(move || drop(black_box(verifier.verify(black_box(&program)))))
}

fn loading_verified(program: &isa::Program) -> Entry {
    let (loader, program) = (Loader::new().verified(true), program.clone());
    step(move || drop(black_box(loader.load::<Xdp>(black_box(program.clone())))))
}

fn filters(plan: Plan) -> (Table, Value, Option<Headline>) {
    let mut table = Table::new([
        "filter",
        "instructions",
        "check",
        "lower",
        "load for the interpreter",
        "load",
        "bytes of code",
    ]);
    let (mut all, mut longest) = (Vec::new(), None);
    for filter in FILTERS {
        let insns = filter.insns();
        let check = |insns: &[classic::ClassicInsn]| {
            classic::Filter::check(insns, classic::Dialect::Libpcap).expect("tcpdump wrote it")
        };
        let (own, checked) = (insns.clone(), check(&insns));
        let load = |engine: sandbpf::Engine| {
            let (loader, insns) = (Loader::new().engine(engine), insns.clone());
            step(move || drop(black_box(loader.load::<SocketFilter>(black_box(&insns)))))
        };
        let mut subjects = vec![
            step(move || drop(black_box(check(black_box(&own))))),
            step(move || drop(black_box(classic::lower(black_box(&checked))))),
            load(sandbpf::Engine::Interpreter),
            load(sandbpf::Engine::Jit),
        ];
        let times = plan.measure(&mut subjects);
        let code = Loader::new().load::<SocketFilter>(&insns).ok();
        let code = code.and_then(|filter| Some(filter.machine_code()?.len()));
        let whole = times[3].map(|time| MEDIAN(time) / 1000.0);
        longest = headline(format!("loading a classic filter of {} instructions", insns.len()), whole, "µs");
        let micro = (0..4).map(|at| number(times[at].map(|time| MEDIAN(time) / 1000.0)));
        let head = [filter.name.to_string(), insns.len().to_string()];
        table.row(head.into_iter().chain(micro).chain([code.map_or("–".into(), |code| code.to_string())]));
        all.push(json!({
            "filter": filter.name, "instructions": insns.len(), "check": time_json(times[0]),
            "lower": time_json(times[1]), "load_interpreter": time_json(times[2]), "load": time_json(times[3]),
            "code_bytes": code,
        }));
    }
    (table, all.into(), longest)
}
