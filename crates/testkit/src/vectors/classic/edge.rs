//! Classic programs at the edges: what libpcap and the kernel accept, and what they answer.

use sandbpf::{AnyInput, ClassicInsn, Code, Dialect, KindName, Packet, Trap};
use sandbpf_classic::{Filter, Form, print};
use serde_json::Value;

use crate::vectors::Context;
use crate::vectors::engines::{Loaded, Settings, clip};
use crate::vectors::judge::Judged;
use crate::vectors::kernel::test_bpf::nondeterministic;
use crate::vectors::record::{Malformed, Record, bytes};

/// One run of a record.
struct Run<'r> {
    packet: Vec<u8>,
    wire_len: u32,
    value: &'r Value,
}

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    let insns = record.classic("prog")?;
    let runs: Vec<Run<'_>> = record.array("runs")?.iter().map(run).collect::<Result<_, _>>()?;
    if accepted(record, &insns, Dialect::Libpcap, &record.value()["libpcap_validate"]["1.10.3"], judged) {
        if insns.iter().any(undefined_shift) {
            judged.leave_out("a constant shift of 32 bits or more is undefined in C");
        } else {
            for loaded in load(context, &insns, Dialect::Libpcap, judged) {
                runs.iter().for_each(|run| libpcap(run, &loaded, &insns, judged));
            }
        }
    }
    if accepted(record, &insns, Dialect::Linux, &record.value()["kernel_attach"], judged) {
        if nondeterministic(&insns) {
            judged.leave_out("processor or random numbers");
        } else {
            for loaded in load(context, &insns, Dialect::Linux, judged) {
                runs.iter().for_each(|run| linux(run, &loaded, &insns, judged));
            }
        }
    }
    Ok(())
}

/// Compares the answer of a dialect's check with the recorded one; says whether to go on.
fn accepted(
    record: &Record,
    insns: &[ClassicInsn],
    dialect: Dialect,
    recorded: &Value,
    judged: &mut Judged,
) -> bool {
    let expected = match (dialect, recorded) {
        (Dialect::Libpcap, recorded) if recorded.is_u64() => recorded == 1,
        (_, recorded) if recorded == "ENOMEM" => {
            judged.leave_out("the kernel had no memory for the filter");
            return false;
        }
        (_, recorded) if recorded.is_string() || recorded.is_i64() => recorded == 0,
        _ => {
            judged.leave_out(format!("{dialect:?} was not asked"));
            return false;
        }
    };
    let verdict = Filter::check(insns, dialect);
    let equal = judged.equal(expected, verdict.is_ok(), || {
        format!(
            "{} accepted as {dialect:?}; we say {verdict:?}\n{}",
            record.name(),
            clip(&print(insns, Form::TcpdumpD))
        )
    });
    equal && expected
}

fn load(context: &Context<'_>, insns: &[ClassicInsn], dialect: Dialect, judged: &mut Judged) -> Vec<Loaded> {
    let loaded =
        context.engines.load(KindName::SocketFilter, || Code::Classic(insns), Settings::dialect(dialect));
    loaded.unwrap_or_else(|error| {
        judged.fail(|| format!("{dialect:?}: not loaded: {error}"));
        Vec::new()
    })
}

/// `value` is `bpf_filter`'s; a signal is the end of the process that asked.
fn libpcap(run: &Run<'_>, loaded: &Loaded, insns: &[ClassicInsn], judged: &mut Judged) {
    // The newer one zeroes what is read before it is written; the older one finds garbage.
    let recorded = if run.value["pcap_git"].is_null() { &run.value["pcap"] } else { &run.value["pcap_git"] };
    let found = answer(run, loaded);
    let about = || about("libpcap", run, loaded, insns);
    match recorded.as_str() {
        Some("sig6") if matches!(found, Err(Trap::UnknownHelper { .. })) => judged.agree(),
        Some("sig14") if matches!(found, Err(Trap::OutOfInstructions { .. })) => judged.agree(),
        Some(signal) => judged.fail(|| format!("expected {signal}, found {found:?}: {}", about())),
        None => match recorded.as_u64() {
            Some(value) => {
                judged.equal(Ok(value as u32), found, about);
            }
            None => judged.leave_out("libpcap was not asked"),
        },
    }
}

/// `kret` is the whole value, `klen` what arrived.
fn linux(run: &Run<'_>, loaded: &Loaded, insns: &[ClassicInsn], judged: &mut Judged) {
    let found = answer(run, loaded);
    let about = || about("Linux", run, loaded, insns);
    if run.value["kabort"] == true {
        judged.equal(Ok(0), found, about);
        return;
    }
    match (run.value["kret"].as_u64(), &run.value["klen"]) {
        (Some(value), _) => {
            judged.equal(Ok(value as u32), found, about);
        }
        (None, length) => {
            let kept = found.map(|kept| (kept != 0).then(|| u64::from(kept).min(run.packet.len() as u64)));
            judged.equal(Ok(length.as_u64()), kept, about);
        }
    }
}

fn answer(run: &Run<'_>, loaded: &Loaded) -> Result<u32, Trap> {
    let packet = Packet::from(&run.packet).with_wire_len(run.wire_len);
    loaded.run(AnyInput::Packet(packet)).map(|r0| r0 as u32)
}

fn about(who: &str, run: &Run<'_>, loaded: &Loaded, insns: &[ClassicInsn]) -> String {
    let packet =
        if run.packet.len() > 256 { format!("{} bytes", run.packet.len()) } else { hex::encode(&run.packet) };
    format!("{who}, on {}, packet {packet}\n{}", loaded.engine, clip(&print(insns, Form::TcpdumpD)))
}

fn undefined_shift(insn: &ClassicInsn) -> bool {
    matches!(insn.code, 0x64 | 0x74) && insn.k >= 32
}

fn run(value: &Value) -> Result<Run<'_>, Malformed> {
    let packet = match &value["pkt"] {
        Value::Object(generated) => {
            // The one formula that records use.
            let len = generated.get("len").and_then(Value::as_u64).filter(|&len| len <= 1 << 20);
            match (generated.get("gen").and_then(Value::as_str), len) {
                (Some("(i*37+0x81)&255"), Some(len)) => (0..len).map(|i| (i * 37 + 0x81) as u8).collect(),
                _ => return Err(Malformed::field("pkt")),
            }
        }
        value => bytes(value).ok_or(Malformed::field("pkt"))?,
    };
    let wire_len = value["wirelen"].as_u64().map_or(packet.len() as u32, |wire_len| wire_len as u32);
    Ok(Run { packet, wire_len, value })
}
