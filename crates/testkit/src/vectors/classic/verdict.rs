//! What libpcap makes of a capture with a filter: the digest of all return values.

use std::collections::HashMap;

use sandbpf::{Packet, Program, Runner, SocketFilter, Trap};
use sandbpf_classic::{ClassicInsn, Dialect, Filter, Form, print, reference};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::vectors::engines::clip;
use crate::vectors::judge::Judged;
use crate::vectors::library::Packets;
use crate::vectors::record::{Malformed, Record, classic};
use crate::vectors::{Context, classic::filter};

/// A program of a filter, ready to run.
struct Prepared {
    insns: Vec<ClassicInsn>,
    runners: Vec<(&'static str, Runner<SocketFilter>)>,
}

impl Prepared {
    fn new(insns: Vec<ClassicInsn>, context: &Context<'_>) -> Result<Prepared, String> {
        let loaded = context.engines.load_filter(&insns).map_err(|error| error.to_string())?;
        let runners = loaded.into_iter().map(|(engine, program)| (engine, Program::runner(&program)));
        Ok(Prepared { runners: runners.collect(), insns })
    }
}

/// A program by name, prepared once for all captures.
type Cache = HashMap<String, Result<Prepared, Why>>;

/// Why a program cannot be run.
#[derive(Clone)]
enum Why {
    /// It is not there.
    LeftOut(String),
    /// It should load and does not.
    Failed(String),
}

/// Verdicts of one filter over many captures.
pub(crate) fn judge_batch(records: &[Record], context: &Context<'_>) -> Vec<Judged> {
    let mut cache = Cache::new();
    let judge = |record: &Record| {
        let mut judged = Judged::default();
        if let Err(malformed) = judge_one(record, context, &mut cache, &mut judged) {
            judged.leave_out(malformed.to_string());
        }
        judged
    };
    records.iter().map(judge).collect()
}

/// Verdicts of one filter over one capture.
pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    judge_one(record, context, &mut Cache::new(), judged)
}

fn judge_one(
    record: &Record,
    context: &Context<'_>,
    cache: &mut Cache,
    judged: &mut Judged,
) -> Result<(), Malformed> {
    let names = record.array("progs")?;
    let expected = Expected::of(record)?;
    let filter = context.library.filter(record.str("id")?)?;
    let packets = context.library.capture(record.str("pcap")?)?;
    for name in names {
        let name = name.as_str().ok_or(Malformed::field("progs"))?;
        let prepare = || match filter::program(filter, name) {
            Ok(insns) => Prepared::new(insns, context).map_err(Why::Failed),
            Err(reason) => Err(Why::LeftOut(reason)),
        };
        match cache.entry(name.into()).or_insert_with(prepare) {
            Ok(prepared) => expected.compare(name, prepared, &packets, judged),
            Err(Why::LeftOut(reason)) => judged.leave_out(reason.clone()),
            Err(Why::Failed(error)) => judged.fail(|| format!("{name}: not loaded: {error}")),
        }
    }
    Ok(())
}

/// The same with the program in the record.
pub(crate) fn judge_compiled(
    record: &Record,
    context: &Context<'_>,
    judged: &mut Judged,
) -> Result<(), Malformed> {
    if !record.has("opt") {
        judged.leave_out("the program was not kept, it is too long");
        return Ok(());
    }
    let expected = Expected::of(record)?;
    let packets = context.library.capture(record.str("pcap")?)?;
    match Prepared::new(record.classic("opt")?, context) {
        Ok(mut prepared) => expected.compare("opt", &mut prepared, &packets, judged),
        Err(error) => judged.fail(|| format!("not loaded: {error}")),
    }
    Ok(())
}

/// What was recorded.
struct Expected<'r> {
    packets: usize,
    matches: u64,
    digest: &'r str,
    /// Which packets match, where it was short enough to be kept.
    which: Option<Which>,
}

/// Packets by number.
struct Which {
    ranges: Vec<(usize, usize)>,
    complement: bool,
}

impl Which {
    fn of(record: &Record) -> Option<Which> {
        let value = record.value();
        let (field, complement) = if value["idx"].is_string() { ("idx", false) } else { ("not_idx", true) };
        let ranges = value[field].as_str()?.split(',').filter(|range| !range.is_empty()).map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        Some(Which { ranges: ranges.collect::<Option<_>>()?, complement })
    }

    fn contains(&self, packet: usize) -> bool {
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&packet)) != self.complement
    }
}

/// What one engine made of a capture.
struct Found {
    values: Vec<u32>,
    trap: Option<(usize, Trap)>,
}

impl Expected<'_> {
    fn of(record: &Record) -> Result<Expected<'_>, Malformed> {
        Ok(Expected {
            packets: usize::try_from(record.u64("n")?).map_err(|_| Malformed::field("n"))?,
            matches: record.u64("match")?,
            digest: record.str("sha256")?,
            which: Which::of(record),
        })
    }

    fn compare(&self, name: &str, prepared: &mut Prepared, packets: &Packets, judged: &mut Judged) {
        for (engine, runner) in &mut prepared.runners {
            let Some(first) = packets.first(self.packets) else {
                judged.equal(self.packets, packets.len(), || "packets in the capture");
                return;
            };
            let found = run(runner, first);
            if let Some((at, trap)) = found.trap {
                judged.fail(|| format!("{name} on {engine}, packet {at}: {trap}"));
                continue;
            }
            let matches = found.values.iter().filter(|&&value| value != 0).count() as u64;
            if digest(&found.values) == self.digest && matches == self.matches {
                judged.agree();
            } else {
                judged.fail(|| self.explain(name, engine, &found.values, &prepared.insns, packets));
            }
        }
    }

    /// The first packet that shows the difference, as far as the record tells.
    fn explain(
        &self,
        name: &str,
        engine: &str,
        values: &[u32],
        insns: &[ClassicInsn],
        packets: &Packets,
    ) -> String {
        let matches = values.iter().filter(|&&value| value != 0).count();
        let mut text = format!("{name} on {engine}: expected {} matches, found {matches}", self.matches);
        let filter = Filter::check(insns, Dialect::Libpcap).ok();
        let suspect = |&(at, &value): &(usize, &u32)| {
            let expected = self.which.as_ref().map(|which| which.contains(at));
            expected.is_some_and(|expected| expected != (value != 0)) || {
                let reference =
                    filter.as_ref().zip(packets.get(at)).map(|(filter, packet)| by_reference(filter, packet));
                reference.is_some_and(|reference| reference != Ok(value))
            }
        };
        match values.iter().enumerate().find(suspect) {
            Some((at, value)) => {
                let (bytes, wire_len) = packets.get(at).unwrap_or_default();
                text += &format!(
                    "\nfirst at packet {at}: found {value:#x}, the reference says {:?}; {} bytes of {wire_len}: {}",
                    filter.as_ref().map(|filter| by_reference(filter, (bytes, wire_len))),
                    bytes.len(),
                    hex::encode(bytes)
                );
            }
            None => text += "; matches are where they should be, values differ",
        }
        format!("{text}\n{}", clip(&print(insns, Form::TcpdumpD)))
    }
}

fn by_reference(filter: &Filter, (bytes, wire_len): (&[u8], u32)) -> Result<u32, reference::Stopped> {
    reference::run(filter, &reference::Packet { wire_len, ..reference::Packet::new(bytes) })
}

fn run<'p>(
    runner: &mut Runner<SocketFilter>,
    packets: impl ExactSizeIterator<Item = (&'p [u8], u32)>,
) -> Found {
    let mut found = Found { values: Vec::with_capacity(packets.len()), trap: None };
    let inputs = packets.map(|(bytes, wire_len)| Packet::from(bytes).with_wire_len(wire_len));
    runner.run_batch(inputs, |at, verdict| match verdict {
        Ok(accept) => found.values.push(accept.0),
        Err(trap) => found.trap = found.trap.or(Some((at, trap))),
    });
    found
}

/// The first half of the SHA-256 of the values, little-endian.
fn digest(values: &[u32]) -> String {
    let mut digest = Sha256::new();
    values.iter().for_each(|value| digest.update(value.to_le_bytes()));
    hex::encode(&digest.finalize()[..16])
}

/// The program of this name in a version's object, for [`filter::program`].
pub(crate) fn stored(version: &Value, kind: &str) -> Option<Vec<ClassicInsn>> {
    classic(version.get(kind)?)
}
