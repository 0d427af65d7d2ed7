//! Seccomp: a container's profile on system calls, beside libpcap's interpreter on the same filter.
//!
//! `bpf_filter` reads words in network order, so it is given the system call with each word turned around: the same
//! instructions, the same numbers.

use std::hint::black_box;

use sandbpf::classic::{self, ClassicInsn};
use sandbpf::{Engine, Loader, Runner, Seccomp, SeccompAction, SyscallData};
use serde_json::{Value, json};

use super::{Failure, MEDIAN, Section, corpus, filters, headline, how, ratio, time_json};
use crate::cli::Options;
use crate::picture::{Picture, Scale};
use crate::rounds::{Entry, Plan, Subject, Time};
use crate::table::{Table, geometric_mean, number};

/// `AUDIT_ARCH_X86_64`.
const ARCH: u32 = 0xc000_003e;

/// System calls that programs make often, and some that a container may not make: name, number, first argument.
const CALLS: &[(&str, u32, u64)] = &[
    ("read", 0, 3),
    ("write", 1, 1),
    ("close", 3, 3),
    ("mmap", 9, 0),
    ("ioctl", 16, 0),
    ("socket, AF_INET", 41, 2),
    ("socket, AF_VSOCK", 41, 40),
    ("clone, a thread", 56, 0x003d_0f00),
    ("clone, a namespace", 56, 0x1000_0000),
    ("personality", 135, 8),
    ("mount", 165, 0),
    ("futex", 202, 0),
    ("epoll_wait", 232, 4),
    ("openat", 257, 0xffff_ff9c),
    ("accept4", 288, 5),
    ("statx", 332, 0xffff_ff9c),
    ("io_uring_setup", 425, 64),
    ("clone3", 435, 0),
    ("unknown", 9999, 0),
];

/// A profile: where it comes from, and what it was made.
struct Profile {
    name: String,
    insns: Vec<ClassicInsn>,
}

/// The columns, ours last.
const COLUMNS: [&str; 3] = ["libpcap", "sandbpf interp", "sandbpf jit"];

pub(super) fn measure(options: &Options) -> Result<Option<Section>, Failure> {
    let own = Profile {
        name: "a container's".into(),
        insns: classic::parse(include_str!("../../programs/container.ddd"))?,
    };
    let mut table =
        Table::new(["system call", "libpcap ns", "interp ns", "jit ns", "libpcap / interp", "libpcap / jit"]);
    let mut numbers = Vec::new();
    let (mut means, mut headlines) = (Vec::new(), Vec::new());
    let mut profiles = vec![own];
    profiles.extend(recorded()?);
    for (at, profile) in profiles.iter().enumerate() {
        let times = race(profile, options.plan)?;
        let mean = |to: usize| geometric_mean(times.iter().map(|times| ratio(times[0], times[to], MEDIAN)));
        means.push((profile.name.clone(), profile.insns.len(), mean(1), mean(2)));
        for ((name, ..), times) in CALLS.iter().zip(&times) {
            if at == 0 {
                let [libpcap, interpreter, jit] = [0, 1, 2].map(|at| times[at].map(MEDIAN));
                let ratios = [1, 2].map(|at| ratio(times[0], times[at], MEDIAN));
                let cells = [libpcap, interpreter, jit, ratios[0], ratios[1]].map(number);
                table.row([name.to_string()].into_iter().chain(cells));
            }
            let times: serde_json::Map<String, Value> = COLUMNS
                .iter()
                .zip(times)
                .map(|(column, time)| (column.to_string(), time_json(*time)))
                .collect();
            numbers.push(json!({ "profile": profile.name, "call": name, "times": times }));
        }
    }
    let mut profile_table = Table::new(["profile", "instructions", "libpcap / interp", "libpcap / jit"]);
    let mut picture = Picture::new(
        "Seccomp: how many times faster than libpcap's interpreter, more is better",
        Scale::Logarithmic,
        ["jit", "interpreter"],
    );
    for (name, length, interpreter, jit) in &means {
        profile_table.row([name.clone(), length.to_string(), number(*interpreter), number(*jit)]);
        picture.group(name, [*jit, *interpreter]);
        headlines.extend(headline(format!("seccomp, {name}: libpcap's time / our machine code's"), *jit, ""));
    }
    let absent = if cfg!(feature = "libpcap") { "" } else { filters::ABSENT };
    let text = format!(
        "### Seccomp\n\n\
         `benches/programs/container.json`, a profile as Docker has it, as a classic filter of {} instructions: nanoseconds \
         a system call, and libpcap's `bpf_filter` on the same filter as a multiple of ours; {}, medians.\n\n{absent}{table}\n\
         Geometric means over these calls, other profiles as they are recorded:\n\n{profile_table}",
        profiles[0].insns.len(),
        how(options.plan)
    );
    Ok(Some(Section { text, headlines, numbers: numbers.into(), pictures: vec![("seccomp", picture)] }))
}

/// Profiles of Docker's among the recorded filters, as libseccomp makes them.
fn recorded() -> Result<Vec<Profile>, Failure> {
    let folder = corpus::folder();
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut profiles = Vec::new();
    for record in corpus::records(&folder, "seccomp.")? {
        let name = record["name"].as_str().unwrap_or_default();
        if let Some(insns) = corpus::insns(&record["prog"]).filter(|_| name.starts_with("docker")) {
            profiles.push(Profile { name: name.to_string(), insns });
        }
    }
    Ok(profiles)
}

/// Times of all calls, by column.
fn race(profile: &Profile, plan: Plan) -> Result<Vec<[Option<Time>; 3]>, Failure> {
    let mut all = Vec::new();
    for &(name, number, argument) in CALLS {
        let call = SyscallData {
            nr: number as i32,
            arch: ARCH,
            args: [argument, 0, 0, 0, 0, 0],
            ..Default::default()
        };
        let right = answer(&profile.insns, &call)?;
        let mut subjects = [
            libpcap(&profile.insns, &call),
            ours(Engine::Interpreter, &profile.insns, call)?,
            ours(Engine::Jit, &profile.insns, call).unwrap_or(None),
        ];
        for (column, subject) in COLUMNS.iter().zip(&mut subjects) {
            let answer = subject.as_mut().map(|subject| subject.batch(1));
            // Ours says what the kernel does with the number.
            if answer.is_some_and(|answer| SeccompAction::from(answer as u32) != SeccompAction::from(right)) {
                return Err(format!("{column} answers {answer:?} to {name}; right is {right:#x}").into());
            }
        }
        let times = plan.measure(&mut subjects);
        all.push([times[0], times[1], times[2]]);
    }
    Ok(all)
}

/// The verdict of the executable reference, which is none of the engines.
fn answer(insns: &[ClassicInsn], call: &SyscallData) -> Result<u32, Failure> {
    let filter = classic::Filter::check(insns, classic::Dialect::Seccomp)?;
    let bytes = call.to_bytes();
    let packet = classic::reference::Packet::new(&bytes);
    classic::reference::run(&filter, &packet).map_err(|error| format!("{error:?}").into())
}

struct Policy {
    runner: Runner<Seccomp>,
    call: SyscallData,
}

fn ours(engine: Engine, insns: &[ClassicInsn], call: SyscallData) -> Result<Entry, Failure> {
    let policy = Loader::new().engine(engine).load::<Seccomp>(insns)?;
    Ok(Some(Box::new(Policy { runner: policy.runner(), call })))
}

impl Subject for Policy {
    fn batch(&mut self, count: u32) -> u64 {
        let mut result = SeccompAction::Allow;
        for _ in 0..count {
            result = black_box(self.runner.run(black_box(&self.call)).expect("a checked filter ends"));
        }
        number_of(result).into()
    }
}

/// A number that stands for an action.
fn number_of(action: SeccompAction) -> u32 {
    match action {
        SeccompAction::KillProcess => 0x8000_0000,
        SeccompAction::KillThread => 0,
        SeccompAction::Trap(data) => 0x0003_0000 | u32::from(data),
        SeccompAction::Errno(data) => 0x0005_0000 | u32::from(data),
        SeccompAction::UserNotify => 0x7fc0_0000,
        SeccompAction::Trace(data) => 0x7ff0_0000 | u32::from(data),
        SeccompAction::Log => 0x7ffc_0000,
        SeccompAction::Allow => 0x7fff_0000,
        // Others would be new to this table.
        _ => u32::MAX,
    }
}

#[cfg(feature = "libpcap")]
fn libpcap(insns: &[ClassicInsn], call: &SyscallData) -> Entry {
    let mut bytes = call.to_bytes();
    bytes.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
    Some(Box::new(crate::libpcap::Libpcap::new(insns, &[bytes.to_vec()])?))
}

#[cfg(not(feature = "libpcap"))]
fn libpcap(_insns: &[ClassicInsn], _call: &SyscallData) -> Entry {
    None
}
