//! What a call costs: programs that do next to nothing, through every door.

use std::hint::black_box;
use std::iter::repeat_n;

use sandbpf::{Accept, Buffer, Kind, Loader, Program, Runner, SocketFilter, Xdp, XdpAction};
use serde_json::json;

use super::{Failure, MEDIAN, Section, headline, how, time_json};
use crate::case::{Case, Form, Yardstick};
use crate::cli::Options;
use crate::engines::{ENGINES, Project};
use crate::rounds::{Entry, Subject};
use crate::table::{Table, number};
use crate::workload::{WORKLOADS, Workload};

/// The programs: the least that can be done, and the least that looks at a packet. The same as classic filters.
const PROGRAMS: [(&str, &str); 2] =
    [("return", "ret #1"), ("ethertype", "ldh [12]\njeq #0x800, yes, no\nyes: ret #1\nno: ret #0")];

/// What runs a program, by turns with the others.
struct Door {
    name: String,
    subjects: [Entry; 2],
}

pub(super) fn measure(options: &Options) -> Result<Option<Section>, Failure> {
    let programs = PROGRAMS.map(|(name, classic)| {
        (WORKLOADS.iter().find(|workload| workload.name == name).expect("it is in the table"), classic)
    });
    let mut doors = Vec::new();
    let mut door = |name: &str, of: &dyn Fn(&'static Workload, &'static str) -> Entry| {
        let name = name.to_string();
        doors.push(Door { name, subjects: programs.map(|(workload, classic)| of(workload, classic)) });
    };
    door("native, through a pointer", &|workload, _| workload.native(Yardstick::Scalar));
    door("sandbpf: Runner::run, XDP, frame", &|workload, _| engine("sandbpf xdp", workload));
    door("sandbpf: Runner::run, XDP, bytes", &|workload, _| engine("sandbpf xdp bytes", workload));
    door("sandbpf: Runner::run_batch, XDP, bytes", &|workload, _| {
        batched::<Xdp>(
            &loader().load(encoded(workload, Form::Frame).as_slice()).ok()?,
            workload,
            XdpAction::to_u32,
        )
    });
    door("sandbpf: Runner::run, memory", &|workload, _| engine("sandbpf jit", workload));
    door("sandbpf: Runner::run_batch, memory", &|workload, _| {
        let program = Loader::new().load::<Buffer>(encoded(workload, Form::Memory).as_slice());
        batched::<Buffer>(&program.ok()?, workload, |answer| answer as u32)
    });
    door("sandbpf: Runner::run, classic filter", &|workload, classic| {
        Some(Box::new(Single {
            runner: Loader::new().load(classic).ok()?.runner(),
            frame: workload.memory(),
        }))
    });
    door("sandbpf: Runner::run_batch, classic filter", &|workload, classic| {
        batched::<SocketFilter>(&Loader::new().load(classic).ok()?, workload, |Accept(length)| length)
    });
    door("sandbpf: interpreter, memory", &|workload, _| engine("sandbpf interp", workload));
    // What a call of the kernel costs is its own row of runs.
    let peers = ENGINES.iter().filter(|engine| matches!(engine.project, Project::Rbpf | Project::Solana));
    for peer in peers {
        door(peer.name, &|workload, _| peer.prepare_case(workload).ok());
    }
    door("libpcap, classic filter", &libpcap);

    let mut times: Vec<[_; 2]> = doors.iter().map(|_| [None; 2]).collect();
    for at in 0..2 {
        let mut subjects: Vec<Entry> = doors.iter_mut().map(|door| door.subjects[at].take()).collect();
        for (subject, door) in subjects.iter_mut().zip(&doors) {
            let answer = subject.as_mut().map(|subject| subject.batch(2));
            if answer.is_some_and(|answer| answer != 1) {
                return Err(format!("{} answers {answer:?} to {}", door.name, PROGRAMS[at].0).into());
            }
        }
        for (times, time) in times.iter_mut().zip(options.plan.measure(&mut subjects)) {
            times[at] = time;
        }
    }

    let mut table = Table::new(["call", "return, ns", "above native", "ethertype, ns", "above native"]);
    let mut all = Vec::new();
    for (door, own) in doors.iter().zip(&times) {
        let cells = (0..2).flat_map(|at| {
            let (time, native) = (own[at].map(MEDIAN), times[0][at].map(MEDIAN));
            [number(time), difference(time, native)]
        });
        table.row([door.name.clone()].into_iter().chain(cells));
        all.push(json!({ "call": door.name, "return": time_json(own[0]), "ethertype": time_json(own[1]) }));
    }
    let text = format!(
        "### Calls\n\n\
         What it costs to run a program that does next to nothing, in nanoseconds, beside a call of a native function with \
         the same arguments through a pointer; {}, medians. XDP programs are verified.\n\n{table}",
        how(options.plan)
    );
    let headlines = ["Runner::run, XDP, frame", "Runner::run, XDP, bytes", "Runner::run_batch, XDP, bytes"]
        .map(|what| {
            let at = doors.iter().position(|door| door.name.ends_with(what))?;
            let above = MEDIAN(times[at][0]?) - MEDIAN(times[0][0]?);
            headline(format!("a call above a native one: {what}"), Some(above), "ns")
        });
    let headlines = headlines.into_iter().flatten().collect();
    Ok(Some(Section { text, headlines, numbers: all.into(), pictures: Vec::new() }))
}

fn difference(time: Option<f64>, native: Option<f64>) -> String {
    match (time, native) {
        (Some(time), Some(native)) => format!("{:+.2}", time - native),
        _ => "–".into(),
    }
}

fn loader() -> Loader {
    Loader::new().verified(true)
}

fn encoded(workload: &Workload, form: Form) -> Vec<u8> {
    workload.assembled(form).to_bytes()
}

fn engine(name: &str, workload: &Workload) -> Entry {
    ENGINES.iter().find(|engine| engine.name == name)?.prepare_case(workload).ok()
}

#[cfg(feature = "libpcap")]
fn libpcap(workload: &'static Workload, classic: &'static str) -> Entry {
    let insns = sandbpf::classic::parse(classic).ok()?;
    Some(Box::new(crate::libpcap::Libpcap::new(&insns, &[workload.memory()])?))
}

#[cfg(not(feature = "libpcap"))]
fn libpcap(_workload: &'static Workload, _classic: &'static str) -> Entry {
    None
}

struct Single {
    runner: Runner<SocketFilter>,
    frame: Vec<u8>,
}

impl Subject for Single {
    fn batch(&mut self, count: u32) -> u64 {
        let mut result = 0;
        for _ in 0..count {
            let Accept(length) = self.runner.run(black_box(&self.frame)).expect("a checked filter ends");
            result = black_box(length);
        }
        result.into()
    }
}

/// Runs of one call.
struct Batched<K: Kind, F> {
    runner: Runner<K>,
    frame: Vec<u8>,
    number: F,
}

fn batched<K: Kind + 'static>(
    program: &Program<K>,
    workload: &Workload,
    number: impl Fn(K::Verdict) -> u32 + 'static,
) -> Entry
where
    for<'i> &'i Vec<u8>: Into<K::Input<'i>>,
{
    Some(Box::new(Batched { runner: program.runner(), frame: workload.memory(), number }))
}

impl<K: Kind, F: Fn(K::Verdict) -> u32> Subject for Batched<K, F>
where
    for<'i> &'i Vec<u8>: Into<K::Input<'i>>,
{
    fn batch(&mut self, count: u32) -> u64 {
        let mut result = 0;
        let frames = repeat_n(black_box(&self.frame), count as usize);
        self.runner.run_batch(frames, |_, verdict| {
            result = black_box((self.number)(verdict.expect("the program ends")));
        });
        result.into()
    }
}
