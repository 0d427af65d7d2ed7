//! Many recorded filters over captures of their kind: how libpcap's interpreter and ours compare on each of them.
//!
//! ```console
//! $ cargo bench -p sandbpf-benches --features libpcap --bench filters -- FILTERS.ndjson CAPTURES
//! ```
//!
//! A line of the first file has `expr`, `dlt_name` and, under a version of libpcap, `opt`: the instructions as
//! `[code, jt, jf, k]`. The folder has captures whose names start with the link type's, `EN10MB-1.pcap`.

use std::path::Path;
use std::process::ExitCode;

use sandbpf::classic::ClassicInsn;
use sandbpf_benches::classic::subjects;
use sandbpf_benches::rounds::{Plan, pin};
use sandbpf_benches::table::geometric_mean;
use sandbpf_capture::Capture;
use serde_json::Value;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let result = match &arguments[..] {
        [filters, captures] => measure(Path::new(filters), Path::new(captures)),
        _ => {
            println!("nothing measured: the arguments are a file of filters and a folder of captures");
            return ExitCode::SUCCESS;
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// How often libpcap's time is ours, on one filter.
struct Ratio {
    expression: String,
    instructions: usize,
    interpreter: Option<f64>,
    jit: Option<f64>,
}

/// Packets of one link type are enough for a filter when there are so many.
const PACKETS: usize = 60;

fn measure(filters: &Path, captures: &Path) -> Result<(), Failure> {
    let pinned = if pin() { "pinned to one processor" } else { "not pinned to a processor" };
    let plan = Plan { rounds: 9, ..Plan::QUICK };
    let (mut ratios, mut skipped) = (Vec::new(), 0);
    for line in std::fs::read_to_string(filters)?.lines() {
        let record: Value = serde_json::from_str(line)?;
        let link_type = record["dlt_name"].as_str().unwrap_or_default();
        let Some(insns) = insns(&record) else {
            skipped += 1;
            continue;
        };
        let packets = packets(captures, link_type)?;
        let mut subjects = subjects(&insns, &packets);
        let answers = subjects.each_mut().map(|subject| subject.as_mut().map(|subject| subject.batch(1)));
        let [Some(theirs), Some(ours), Some(code)] = answers else {
            skipped += 1;
            continue;
        };
        let expression = record["expr"].as_str().unwrap_or_default().to_string();
        if packets.is_empty() || ours != theirs || code != theirs {
            // Where words of memory are read that nobody wrote, libpcap has no answer of its own.
            skipped += 1;
            continue;
        }
        let times = plan.measure(&mut subjects);
        let to = |at: usize| Some(times[0]?.min / times[at]?.min);
        ratios.push(Ratio { expression, instructions: insns.len(), interpreter: to(1), jit: to(2) });
    }
    println!("{} filters, {skipped} without packets or instructions; {pinned}", ratios.len());
    distribution("libpcap / interpreter", &mut ratios, |ratio| ratio.interpreter);
    distribution("libpcap / jit", &mut ratios, |ratio| ratio.jit);
    Ok(())
}

fn distribution(name: &str, ratios: &mut [Ratio], of: fn(&Ratio) -> Option<f64>) {
    let value = |ratio: &Ratio| of(ratio).unwrap_or_default();
    ratios.sort_by(|a, b| value(a).total_cmp(&value(b)));
    let at = |part: f64| ratios.get(((ratios.len().max(1) - 1) as f64 * part) as usize).map_or(0.0, value);
    let mean = geometric_mean(ratios.iter().map(of)).unwrap_or_default();
    let slower = ratios.iter().filter(|ratio| value(ratio) < 1.0).count();
    println!(
        "{name}: geometric mean {mean:.2}, least {:.2}, 1 % {:.2}, 10 % {:.2}, half {:.2}, 90 % {:.2}, most {:.2}; slower {slower}",
        at(0.0),
        at(0.01),
        at(0.1),
        at(0.5),
        at(0.9),
        at(1.0)
    );
    for ratio in ratios.iter().take(8) {
        println!("  {:.2}  {} instructions  {:.100}", value(ratio), ratio.instructions, ratio.expression);
    }
}

fn insns(record: &Value) -> Option<Vec<ClassicInsn>> {
    let version = record.as_object()?.values().find(|version| version["opt"].is_array())?;
    let number = |value: &Value| value.as_u64();
    let insn = |insn: &Value| {
        let (code, jt, jf, k) = (number(&insn[0])?, number(&insn[1])?, number(&insn[2])?, number(&insn[3])?);
        Some(ClassicInsn {
            code: u16::try_from(code).ok()?,
            jt: u8::try_from(jt).ok()?,
            jf: u8::try_from(jf).ok()?,
            k: u32::try_from(k).ok()?,
        })
    };
    version["opt"].as_array()?.iter().map(insn).collect()
}

/// Packets of a link type, taken evenly from its captures.
fn packets(folder: &Path, link_type: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let number = stem.strip_prefix(link_type).map(|rest| rest.trim_start_matches('-'));
        if !number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
            continue;
        }
        let bytes = std::fs::read(&path)?;
        let mut capture = Capture::from_slice(&bytes)?;
        while let Some(packet) = capture.next_packet()? {
            all.push(packet.data.to_vec());
        }
    }
    let step = all.len().div_ceil(PACKETS).max(1);
    Ok(all.into_iter().step_by(step).collect())
}
