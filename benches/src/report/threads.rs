//! Threads: the same program on every processor at once, with nothing to share, and with a map.
//!
//! Two times tell different things: how much of a processor's time a run costs while others run too, which grows where
//! threads wait for each other's cache lines; and how many runs all of them do in a second, which is less where they sleep.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use sandbpf::maps::{MapSpec, MapType, typed};
use sandbpf::{Loader, Maps, Program, Runner, Xdp};
use serde_json::{Value, json};

use super::{Failure, Section};
use crate::case::{Case, Form};
use crate::cli::Options;
use crate::rounds::{Plan, clock, processors};
use crate::table::{Table, number};
use crate::workload::WORKLOADS;

/// A program that all threads run, each on its own packets.
struct Task {
    name: &'static str,
    program: Program<Xdp>,
    /// A thread's packets.
    packets: fn(usize) -> Vec<Vec<u8>>,
}

/// What all threads did together.
#[derive(Clone, Copy)]
struct Pace {
    threads: usize,
    /// A thread's time for a run, in nanoseconds.
    each: f64,
    /// Runs in a microsecond, by the clock.
    rate: f64,
}

const ENTRIES: u32 = 10_000;

pub(super) fn measure(options: &Options) -> Result<Option<Section>, Failure> {
    let processors = processors();
    let counts: Vec<usize> =
        (0..).map(|power| 1 << power).take_while(|&count| count <= processors.len()).collect();
    let head = counts.iter().map(|count| format!("ns a run, {count} threads"));
    let head = ["program".to_string()].into_iter().chain(head);
    let mut table = Table::new(head.chain(["by their time".into(), "by the clock".into()]));
    let mut numbers = Vec::new();
    let (rounds, window) = if options.plan.rounds > Plan::QUICK.rounds { (9, 20) } else { (2, 5) };
    for task in tasks()? {
        let mut paces: Vec<Vec<Pace>> = counts.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (paces, &count) in paces.iter_mut().zip(&counts) {
                paces.push(pace(&task, &processors[..count], Duration::from_millis(window)));
            }
        }
        let medians: Vec<Pace> = paces.iter().map(|paces| median(paces)).collect();
        let cells = medians.iter().map(|pace| number(Some(pace.each)));
        let (Some(one), Some(all)) = (medians.first(), medians.last()) else { continue };
        let by_their_time = all.threads as f64 * one.each / all.each;
        let gains = [by_their_time, all.rate / one.rate].map(|gain| number(Some(gain)));
        table.row([task.name.to_string()].into_iter().chain(cells).chain(gains));
        let all: Value = counts
            .iter()
            .zip(&medians)
            .map(|(count, pace)| json!({ "threads": count, "ns": pace.each, "rate": pace.rate }))
            .collect();
        numbers.push(json!({ "program": task.name, "paces": all }));
    }
    let text = format!(
        "### Threads\n\n\
         A program in {} threads at once, each on a processor of its own and with a runner of its own; {rounds} rounds of \
         {window} ms, medians. Programs on maps share a hash of {ENTRIES} entries, and do 32 operations a run on keys that \
         no other thread uses, or that all use. A run costs so much of a thread's own time; more runs are done in the same time than \
         by one thread by those costs, and by the clock, which also says where threads sleep and whether the machine had the \
         processors to give.\n\n{table}",
        counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    );
    Ok(Some(Section { text, headlines: Vec::new(), numbers: numbers.into(), pictures: Vec::new() }))
}

fn median(paces: &[Pace]) -> Pace {
    let middle = |of: fn(&Pace) -> f64| {
        let mut values: Vec<f64> = paces.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Pace { threads: paces[0].threads, each: middle(|pace| pace.each), rate: middle(|pace| pace.rate) }
}

fn tasks() -> Result<Vec<Task>, Failure> {
    let maps = Maps::new();
    maps.create(MapSpec::new(MapType::Hash, 8, 8, ENTRIES).with_name("shared"))?;
    let view = maps.get::<typed::HashMap<u64, u64>>("shared")?;
    for key in 0..u64::from(ENTRIES) {
        view.insert(key, key)?;
    }
    let loader = Loader::new().verified(true).maps(&maps);
    let port = WORKLOADS.iter().find(|workload| workload.name == "tcp-port").expect("it is in the table");
    let port = port.assembled(Form::Frame).to_bytes();
    Ok(vec![
        Task {
            name: "tcp-port",
            program: Loader::new().verified(true).load(port.as_slice())?,
            packets: |_| frames(),
        },
        Task { name: "look up, own keys", program: loader.load(LOOK_UP)?, packets: own_keys },
        Task { name: "look up, all the same", program: loader.load(LOOK_UP)?, packets: |_| own_keys(0) },
        Task { name: "update, own keys", program: loader.load(UPDATE)?, packets: own_keys },
        Task { name: "update, all the same", program: loader.load(UPDATE)?, packets: |_| own_keys(0) },
        Task { name: "count in the value, own keys", program: loader.load(COUNT)?, packets: own_keys },
    ])
}

fn frames() -> Vec<Vec<u8>> {
    let port = WORKLOADS.iter().find(|workload| workload.name == "tcp-port").expect("it is in the table");
    vec![port.memory()]
}

/// 16 packets of 32 keys of eight bytes; a thread's are apart from another's.
fn own_keys(thread: usize) -> Vec<Vec<u8>> {
    let packet = |packet: usize| {
        (0..32).flat_map(|key| ((512 * (thread % 16) + 32 * packet + key) as u64).to_ne_bytes()).collect()
    };
    (0..16).map(packet).collect()
}

/// 32 keys, one after the other, with what is done to each in the middle.
macro_rules! each_key {
    ($middle:literal) => {
        concat!(
            "r6 = *(u32 *)(r1 + 0)
             r7 = *(u32 *)(r1 + 4)
             r0 = 1
             r1 = r6
             r1 += 256
             if r1 > r7 goto end
             r8 = 32
             *(u64 *)(r10 - 8) = r8
             next:
             r1 = map[fd:0]
             r2 = r6
             ",
            $middle,
            "
             done:
             r6 += 8
             r8 -= 1
             if r8 != 0 goto next
             r0 = 2
             end: exit"
        )
    };
}

const LOOK_UP: &str = each_key!("call 1");
const UPDATE: &str = each_key!("r3 = r10\nr3 += -8\nr4 = 0\ncall 2");
const COUNT: &str = each_key!("call 1\nif r0 == 0 goto done\nr1 = 1\nlock *(u64 *)(r0 + 0) += r1");

/// Lets as many threads as processors run a task for some time.
fn pace(task: &Task, processors: &[core_affinity::CoreId], window: Duration) -> Pace {
    let barrier = Barrier::new(processors.len());
    let (barrier, program, packets) = (&barrier, &task.program, task.packets);
    let results: Vec<(f64, f64)> = thread::scope(|scope| {
        let run = |(number, &processor): (usize, &core_affinity::CoreId)| {
            scope.spawn(move || {
                core_affinity::set_for_current(processor);
                let (mut runner, packets) = (program.runner(), packets(number));
                runs(&mut runner, &packets, window / 10);
                barrier.wait();
                runs(&mut runner, &packets, window)
            })
        };
        let threads: Vec<_> = processors.iter().enumerate().map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("the programs end")).collect()
    });
    let each = results.iter().map(|(each, _)| each).sum::<f64>() / results.len() as f64;
    Pace { threads: results.len(), each, rate: results.iter().map(|(_, rate)| rate).sum() }
}

/// Runs between two looks at the clock.
const BETWEEN_LOOKS: usize = 256;

/// Runs for some time: this thread's time for a run, and runs in a microsecond.
fn runs(runner: &mut Runner<Xdp>, packets: &[Vec<u8>], window: Duration) -> (f64, f64) {
    let (own, start) = (clock::now(), Instant::now());
    let mut count = 0u64;
    while start.elapsed() < window {
        for packet in packets.iter().cycle().take(BETWEEN_LOOKS) {
            runner.run(packet).expect("the program ends");
        }
        count += BETWEEN_LOOKS as u64;
    }
    let (own, all) = (clock::since(own), start.elapsed());
    (own.as_nanos() as f64 / count as f64, count as f64 / all.as_nanos() as f64 * 1000.0)
}
