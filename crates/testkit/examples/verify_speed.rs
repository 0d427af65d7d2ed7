//! How long verification takes here and in the running kernel, program by program, side by side:
//! `cargo run --release -p sandbpf-testkit --features kernel --example verify_speed -- [--filter F] [--runs N] [--alone] FILE…`.
//!
//! Each program is verified by turns: once by the kernel, once here, and again. The medians are compared. Where the
//! kernel does not answer here as it did when the program was recorded (its types are not in the record, say), the
//! recorded time stands for it, marked with `*`, as it does for all with `--alone`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use sandbpf_testkit::kernel_maps::{stay_on_first_cpu, unavailable};
use sandbpf_testkit::vectors::{SpeedProgram, speed_programs};

/// What was measured of one program.
struct Measured {
    name: String,
    kernel: f64,
    ours: f64,
    fault: Option<String>,
    memory: u64,
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let (mut filter, mut runs, mut alone, mut files) = (None, 5, false, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--filter" => filter = Some(value()?),
            "--runs" => runs = value()?.parse()?,
            "--alone" => alone = true,
            _ => files.push(PathBuf::from(arg)),
        }
    }
    if let Some(reason) = unavailable() {
        println!("the kernel is not asked, recorded times stand for it: {reason}");
    }
    stay_on_first_cpu();
    println!(
        "{:>9} {:>9} {:>6} {:>9} {:>9} {:>7}  program",
        "kernel", "ours", "ratio", "processed", "recorded", "MiB"
    );
    let mut all = Vec::new();
    speed_programs(&files, |program| match program {
        Ok(program) if filter.as_ref().is_some_and(|filter| !program.name.contains(filter)) => {}
        Ok(program) => all.push(measure(&program, runs, alone)),
        Err(error) => println!("left out: {error}"),
    })?;
    let count = all.len().max(1) as f64;
    let mean = (all.iter().map(|one| (one.ours / one.kernel).ln()).sum::<f64>() / count).exp();
    let slow: Vec<_> = all.iter().filter(|one| one.ours > one.kernel).collect();
    let faults: Vec<_> = all.iter().filter(|one| one.fault.is_some()).collect();
    let memory = all.iter().max_by_key(|one| one.memory);
    println!("{} programs: {mean:.3} of the kernel's time in the geometric mean", all.len());
    if let Some(most) = memory {
        println!("most memory: {} MiB for {}", most.memory >> 10, most.name);
    }
    slow.iter()
        .for_each(|one| println!("slower than the kernel: {} ({:.2})", one.name, one.ours / one.kernel));
    faults.iter().for_each(|one| println!("{}: {}", one.name, one.fault.as_deref().unwrap_or_default()));
    let good = mean <= 0.5 && slow.is_empty() && faults.is_empty();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(program: &SpeedProgram, runs: usize, alone: bool) -> Measured {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    let (mut fault, mut processed, mut live) = (None, 0, !alone);
    let before = reset_peak();
    for _ in 0..runs {
        if let Some(load) = program.load().filter(|_| live) {
            let verdict = load.verdict(4, 1 << 16);
            // Otherwise it is another program that is verified.
            live = verdict.accepted() == program.accepted && verdict.processed == program.processed;
            theirs.push(verdict.usec as f64);
        }
        let start = Instant::now();
        let found = program.verifier.verify_bytes(&program.code);
        ours.push(start.elapsed().as_secs_f64() * 1e6);
        let (accepted, figures) = match &found {
            Ok(proof) => (true, proof.statistics()),
            Err(error) => (false, error.statistics()),
        };
        processed = figures.processed;
        if accepted != program.accepted {
            fault = Some("another verdict".to_string());
        } else if processed > program.processed * 2 || program.processed > processed * 2 {
            fault = Some(format!("{processed} instructions processed, not {}", program.processed));
        }
    }
    let memory = peak().saturating_sub(before);
    live &= !theirs.is_empty();
    if let Err(reason) = &program.kernel_code {
        println!("the kernel is not asked: {reason}");
    }
    let kernel = if live { median(&mut theirs) } else { program.usec as f64 };
    let ours = median(&mut ours);
    println!(
        "{kernel:>8.0}{} {ours:>9.0} {:>6.2} {processed:>9} {:>9} {:>7}  {}",
        if live { ' ' } else { '*' },
        ours / kernel,
        program.usec,
        memory >> 10,
        program.name
    );
    Measured { name: program.name.clone(), kernel, ours, fault, memory }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A line of the process's status, in KiB.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().nth(1)?.parse().ok());
    line.unwrap_or(0)
}

/// Forgets the peak so far; what is in use now.
fn reset_peak() -> u64 {
    // Without the right to it, the peak is that of the whole run.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    status("VmRSS")
}

fn peak() -> u64 {
    status("VmHWM")
}
