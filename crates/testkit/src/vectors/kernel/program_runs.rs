//! Programs that the kernel's verifier accepted, and what they returned when the kernel ran them once.

use serde_json::Value;

use super::packet_runs::{depends_on_memory, judge_audits, kind, load, run};
use crate::vectors::Context;
use crate::vectors::judge::Judged;
use crate::vectors::objects;
use crate::vectors::record::{Malformed, Record, bytes};

/// What a test that says nothing of its packet is run on.
const PACKET: [u8; 64] = [0; 64];

/// Helpers whose answers change from run to run.
const CHANGING: &[&str] = &["ktime_get_ns", "get_prandom_u32", "get_smp_processor_id", "jiffies64"];

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    super::verdict::judge(record, context, judged)?;
    let runs = runs(record);
    if record.value()["kernel"]["verdict"] != "accept" || runs.is_empty() {
        return Ok(());
    }
    let name = record.value()["prog_type"].as_str().unwrap_or("socket_filter");
    let Some(kind) = kind(name) else {
        judged.leave_out(format!("programs of type {name} are not run here"));
        return Ok(());
    };
    let from_object = objects::load(record, kind, context);
    if let Some(why) = left_out(record, from_object.is_some()) {
        judged.leave_out(why);
        return Ok(());
    }
    let loaded = match from_object {
        Some(loaded) => judged.loaded(loaded),
        None => load(record, kind, context, judged)?,
    };
    let Some(loaded) = loaded else { return Ok(()) };
    for (packet, retval) in runs {
        let found: Vec<_> =
            loaded.iter().map(|loaded| run(loaded, kind, &packet).map(|(r0, _)| r0)).collect();
        if found.iter().any(|found| *found != Ok(retval)) && depends_on_memory(&loaded[0], kind, &packet) {
            judged.leave_out("depends on addresses, or on what the stack held before");
            return Ok(());
        }
        let agree = found.iter().all(|result| *result == found[0]);
        if agree && found[0] != Ok(retval) && was_filled(record) {
            judged.leave_out("depends on what its loader put into maps, which the record does not hold");
            return Ok(());
        }
        for (loaded, found) in loaded.iter().zip(found) {
            let show = |result: Result<u32, sandbpf::Trap>| match result {
                Ok(r0) => r0.to_string(),
                Err(trap) => format!("trapped: {trap}"),
            };
            judged.equal(retval.to_string(), show(found), || {
                format!("on {}\n{}", loaded.engine, loaded.listing())
            });
        }
    }
    judge_audits(&loaded, judged);
    Ok(())
}

/// What each run was given and returned.
fn runs(record: &Record) -> Vec<(Vec<u8>, u32)> {
    let kernel = &record.value()["kernel"];
    let retval = |run: &Value| run["retval"].as_u64().and_then(|value| u32::try_from(value).ok());
    if let Some(retval) = retval(&kernel["run"]) {
        return vec![(PACKET.to_vec(), retval)];
    }
    let asked = record.value()["runs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let answered = kernel["runs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let pair = |(asked, answered): (&Value, &Value)| Some((bytes(&asked["data"])?, retval(answered)?));
    // A test that names no result does not look at it: it is a pointer.
    let looked_at = |asked: &&Value| !asked["retval"].is_null();
    asked.iter().filter(looked_at).zip(answered).filter_map(pair).collect()
}

/// Whether the program is of an object with arrays that a loader fills, and no word of what it put there.
fn was_filled(record: &Record) -> bool {
    let is_filled = |map: &Value| {
        let is_array = map["type"] == "array" || map["type"] == "prog_array";
        is_array && map["internal"] == false && map["init"].is_null() && map["init_value"].is_null()
    };
    record.has("object") && record.value()["maps"].as_array().is_some_and(|maps| maps.iter().any(is_filled))
}

/// Why a program cannot be compared.
fn left_out(record: &Record, from_object: bool) -> Option<String> {
    if !from_object && record.value()["kfuncs"].as_object().is_some_and(|kfuncs| !kfuncs.is_empty()) {
        return Some("calls kernel functions".into());
    }
    let fixups = record.value()["fixups"].as_array()?;
    if !from_object && fixups.iter().any(|fixup| fixup["kind"] != "map") {
        return Some("names kernel functions or variables".into());
    }
    let code = record.code().ok()?;
    let program = sandbpf::isa::decode(&code).ok()?;
    use sandbpf::isa::{Callee, Imm64, Insn};
    for insn in program.insns() {
        match *insn {
            Insn::Call { callee: Callee::Kfunc { .. } } if !from_object => {
                return Some("calls kernel functions".into());
            }
            Insn::LoadImm { value: Imm64::Variable { .. }, .. } => {
                return Some("names kernel variables".into());
            }
            Insn::Call { callee: Callee::Helper(id) } => {
                let name = name_of(id);
                if CHANGING.contains(&name) {
                    return Some(format!("depends on {name}"));
                }
            }
            _ => {}
        }
    }
    None
}

fn name_of(id: i32) -> &'static str {
    sandbpf::abi::helpers::numbered(id).next().map_or("", |spec| spec.name)
}
