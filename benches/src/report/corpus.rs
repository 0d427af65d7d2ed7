//! Many recorded filters over captures of their kind: how libpcap's interpreter and ours compare on each of them.
//!
//! `SANDBPF_CORPUS` names a folder, or one stands beside the repository. A line of `cbpf/filters.*ndjson` has `expr`,
//! `dlt_name` and, under a version of libpcap, `opt`: the instructions as `[code, jt, jf, k]`. `cbpf/pcaps/index.ndjson`
//! has `pcap`, the path of a capture beside it, and `dlt_name`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sandbpf::classic::ClassicInsn;
use serde_json::{Value, json};

use super::{Failure, MEDIAN, Section, headline, how, ratio};
use crate::classic::subjects;
use crate::cli::Options;
use crate::rounds::{Plan, Time};
use crate::table::{Table, geometric_mean, number};

/// How often libpcap's time is ours, on one filter.
struct Row {
    expression: String,
    instructions: usize,
    interpreter: Option<f64>,
    jit: Option<f64>,
}

/// Packets of one link type are enough for a filter when there are so many.
const PACKETS: usize = 60;

/// Where recorded programs are.
pub(super) fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    std::env::var_os("SANDBPF_CORPUS").map_or_else(beside, PathBuf::from).join("cbpf")
}

/// The lines of the files whose names start so.
pub(super) fn records(folder: &Path, start: &str) -> Result<Vec<Value>, Failure> {
    let mut records = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(start) && name.ends_with(".ndjson") {
            for line in std::fs::read_to_string(&path)?.lines() {
                records.push(serde_json::from_str(line)?);
            }
        }
    }
    Ok(records)
}

/// Instructions as they are recorded.
pub(super) fn insns(recorded: &Value) -> Option<Vec<ClassicInsn>> {
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
    recorded.as_array()?.iter().map(insn).collect()
}

pub(super) fn measure(options: &Options) -> Result<Option<Section>, Failure> {
    let folder = folder();
    if !cfg!(feature = "libpcap") || !folder.exists() {
        println!("corpus: not measured, for it needs libpcap and the folder {}", folder.display());
        return Ok(None);
    }
    // Filters are many; each needs little time.
    let plan = Plan { rounds: options.plan.rounds.min(7), ..Plan::QUICK };
    let (mut rows, mut skipped) = (Vec::new(), 0);
    let captures = Capture::all(&folder)?;
    let mut packets_of: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
    let records = records(&folder, "filters.")?;
    let step = if options.plan.rounds > Plan::QUICK.rounds { 1 } else { 20 };
    for record in records.iter().step_by(step) {
        let link_type = record["dlt_name"].as_str().unwrap_or_default();
        let packets =
            packets_of.entry(link_type.to_string()).or_insert_with(|| packets(&captures, link_type));
        match row(record, packets, plan) {
            Some(row) => rows.push(row),
            None => skipped += 1,
        }
    }
    let mut table = Table::new([
        "libpcap /",
        "geometric mean",
        "least",
        "1 %",
        "10 %",
        "half",
        "90 %",
        "99 %",
        "most",
        "slower",
    ]);
    let mut slow = String::new();
    for (name, of) in [("interp", (|row| row.interpreter) as fn(&Row) -> Option<f64>), ("jit", |row| row.jit)]
    {
        let value = |row: &Row| of(row).unwrap_or_default();
        rows.sort_by(|a, b| value(a).total_cmp(&value(b)));
        let at = |part: f64| rows.get(((rows.len().max(1) - 1) as f64 * part) as usize).map(value);
        let slower = rows.iter().filter(|row| value(row) < 1.0).count();
        let cells = [0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0].map(|part| number(at(part)));
        let mean = number(geometric_mean(rows.iter().map(of)));
        table.row([name.to_string(), mean].into_iter().chain(cells).chain([slower.to_string()]));
        for row in rows.iter().take(5) {
            slow += &format!(
                "* {name} {:.2}: {} instructions, `{:.80}`\n",
                value(row),
                row.instructions,
                row.expression
            );
        }
    }
    let text = format!(
        "### Recorded filters\n\n\
         {} filters over up to {PACKETS} packets of their link type each, libpcap's time as a multiple of ours; {}, medians. \
         {skipped} more have no packets, or libpcap no answer of its own.\n\n{table}\n\
         The least:\n\n{slow}",
        rows.len(),
        how(plan)
    );
    let numbers: Value = rows
        .iter()
        .map(|row| json!({ "filter": row.expression, "instructions": row.instructions, "interp": row.interpreter, "jit": row.jit }))
        .collect();
    let mean = |of: fn(&Row) -> Option<f64>| geometric_mean(rows.iter().map(of));
    let slower = rows.iter().filter(|row| row.jit.is_some_and(|ratio| ratio < 1.0)).count();
    let headlines = [
        headline("recorded filters: libpcap's time / our machine code's", mean(|row| row.jit), ""),
        headline("recorded filters: libpcap's time / our interpreter's", mean(|row| row.interpreter), ""),
        Some((
            "recorded filters: libpcap is faster than our machine code on".into(),
            format!("{slower} of {}", rows.len()),
        )),
    ];
    let headlines = headlines.into_iter().flatten().collect();
    Ok(Some(Section { text, headlines, numbers, pictures: Vec::new() }))
}

fn row(record: &Value, packets: &[Vec<u8>], plan: Plan) -> Option<Row> {
    let version = record.as_object()?.values().find(|version| version["opt"].is_array())?;
    let insns = insns(&version["opt"])?;
    let mut subjects = subjects(&insns, packets);
    let answers = subjects.each_mut().map(|subject| subject.as_mut().map(|subject| subject.batch(1)));
    let [Some(theirs), Some(ours), Some(code)] = answers else { return None };
    // Where words of memory are read that nobody wrote, libpcap has no answer of its own.
    if packets.is_empty() || ours != theirs || code != theirs {
        return None;
    }
    let times: Vec<Option<Time>> = plan.measure(&mut subjects);
    Some(Row {
        expression: record["expr"].as_str().unwrap_or_default().to_string(),
        instructions: insns.len(),
        interpreter: ratio(times[0], times[1], MEDIAN),
        jit: ratio(times[0], times[2], MEDIAN),
    })
}

/// Packets of a link type, taken evenly from its captures.
fn packets(captures: &[Capture], link_type: &str) -> Vec<Vec<u8>> {
    let own = captures.iter().filter(|capture| capture.link_type == link_type);
    let all: Vec<Vec<u8>> = own.flat_map(|capture| capture.packets()).collect();
    let step = all.len().div_ceil(PACKETS).max(1);
    all.into_iter().step_by(step).collect()
}

/// A recorded capture.
struct Capture {
    link_type: String,
    path: PathBuf,
}

impl Capture {
    fn all(folder: &Path) -> Result<Vec<Capture>, Failure> {
        let mut captures = Vec::new();
        for record in records(&folder.join("pcaps"), "index")? {
            let (Some(link_type), Some(path)) = (record["dlt_name"].as_str(), record["pcap"].as_str()) else {
                continue;
            };
            captures.push(Capture { link_type: link_type.into(), path: folder.join("pcaps").join(path) });
        }
        Ok(captures)
    }

    /// What can be read of it; some are recorded because they are damaged.
    fn packets(&self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        if let Ok(mut capture) = sandbpf_capture::Capture::from_slice(&bytes) {
            while let Ok(Some(packet)) = capture.next_packet() {
                packets.push(packet.data.to_vec());
            }
        }
        packets
    }
}
