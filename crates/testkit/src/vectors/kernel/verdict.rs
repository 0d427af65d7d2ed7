//! Whether Linux loaded a program, and if not why: the verifier's verdict beside the recorded one.
//!
//! The verdict decides. That errno, message, instruction and work are the same is counted for information.

use sandbpf::{Proof, Rights, Verifier, VerifyError};
use serde_json::{Value, json};

use crate::vectors::judge::{Agreement, Judged};
use crate::vectors::record::{Malformed, Record};
use crate::vectors::{Context, maps, verifier};

/// Judges the verdicts of a record: of a loader with all rights and, where there are any, of a loader with `CAP_BPF` and
/// on the program without its types.
pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    let value = record.value();
    let kernel = &value["kernel"];
    let mut code = maps::code(record)?;
    verifier::complete(record, context.library, &mut code);
    let by = verifier::of(record, context.library)?;
    let untyped = &value["kernel_no_btf"];
    if untyped.is_object() && !calls_kernel(record) {
        compare(record, untyped, &verifier::untyped(record, context.library)?, &code, judged);
    }
    if verifier::lacks_object(record, context.library) && needs_types(record) {
        if !untyped.is_object() {
            judged.leave_out("the verdict depends on an object file that is not at hand");
        }
        return Ok(());
    }
    if context.library.kernel().is_none() && needs_types(record) {
        judged.leave_out("the verdict depends on the types of the kernel, which are not at hand");
        return Ok(());
    }
    compare(record, kernel, &by, &code, judged);
    let limited = &value["kernel_capbpf"];
    if limited.is_object() {
        compare(record, limited, &by.rights(Rights::Bpf), &code, judged);
    }
    Ok(())
}

/// Compares the verdict on these bytes with a recorded one.
pub(crate) fn compare(record: &Record, kernel: &Value, by: &Verifier, code: &[u8], judged: &mut Judged) {
    let accepted = match kernel["verdict"].as_str() {
        Some("accept") => true,
        Some("reject") => false,
        _ => {
            judged.leave_out("the kernel could not make what the program needs");
            return;
        }
    };
    if kernel["comparable"] == false {
        judged.leave_out("the recorded verdict is about the kernel's configuration");
        return;
    }
    let ours = by.verify_bytes(code);
    let mut agreement = agreement(kernel, &ours);
    if let Some((equal, lines)) = log(kernel, by, code, &ours) {
        agreement.log = (equal, lines.len() as u64);
        judged.detail(|| json!({"name": record.name(), "log": lines, "kernel_log": kernel["log_tail"]}));
    }
    judged.agreement(agreement);
    judged.detail(|| detail(record, kernel, &ours));
    judged.answer(accepted, ours.is_ok(), || match &ours {
        Ok(_) => format!("the kernel says: {}", kernel["error_line"].as_str().unwrap_or("nothing")),
        Err(error) => error.to_string(),
    });
}

/// What verdicts have in common besides being equal.
fn agreement(kernel: &Value, ours: &Result<Proof, VerifyError>) -> Agreement {
    let mut agreement = Agreement::default();
    let count = |pair: &mut (u64, u64), equal: bool| {
        pair.0 += u64::from(equal);
        pair.1 += 1;
    };
    match (kernel["verdict"].as_str(), ours) {
        (Some("reject"), Err(error)) => {
            count(&mut agreement.errno, kernel["errno"] == error.errno());
            if let Some(at) = kernel["last_insn"].as_u64() {
                count(&mut agreement.insn, error.instruction().map(u64::from) == Some(at));
            }
            if let Some(line) = kernel["error_line"].as_str() {
                count(&mut agreement.message, class(line) == class(error.line()));
            }
        }
        (Some("accept"), Ok(_)) => {}
        _ => return agreement,
    }
    if let Some(processed) = kernel["processed"].as_u64() {
        let found = match ours {
            Ok(proof) => proof.statistics(),
            Err(error) => error.statistics(),
        };
        count(&mut agreement.processed, u64::from(found.processed) == processed);
    }
    agreement
}

/// A message with its numbers masked.
fn class(line: &str) -> String {
    let mut class = String::new();
    let mut in_number = false;
    for c in line.chars() {
        let is_number = c.is_ascii_digit() || (in_number && (c.is_ascii_hexdigit() || c == 'x'));
        if is_number && !in_number {
            class.push('N');
        } else if !is_number {
            class.push(c);
        }
        in_number = is_number;
    }
    class
}

/// A log of more work than this is not compared.
const LONG_LOG: u32 = 20_000;

/// How many lines at the end of the log of a rejection are the recorded ones, and ours.
fn log(
    kernel: &Value,
    by: &Verifier,
    code: &[u8],
    ours: &Result<Proof, VerifyError>,
) -> Option<(u64, Vec<String>)> {
    let tail: Vec<&str> = kernel["log_tail"].as_array()?.iter().filter_map(Value::as_str).collect();
    let short = ours.as_ref().err().is_some_and(|error| error.statistics().processed <= LONG_LOG);
    if tail.is_empty() || !short {
        return None;
    }
    let error = by.clone().log_level(1).verify_bytes(code).err()?;
    let mut lines: Vec<&str> = error.log().lines().filter(|line| !line.starts_with("processed ")).collect();
    lines.drain(..lines.len().saturating_sub(tail.len()));
    let equal = tail.iter().rev().zip(lines.iter().rev()).filter(|(a, b)| shown(a) == shown(b)).count();
    let mut lines: Vec<String> = lines.into_iter().map(String::from).collect();
    lines.resize(tail.len(), String::new());
    Some((equal as u64, lines))
}

/// A line of a log without what differs from machine to machine: addresses of maps, numbers of kernel functions.
fn shown(line: &str) -> String {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    if words.get(1) == Some(&"(18)") && words.len() > 4 {
        words[4] = "…";
    }
    if words.get(1) == Some(&"(85)")
        && let Some(called) = words.get_mut(3)
    {
        *called = called.split('#').next().unwrap_or_default();
    }
    words.join(" ")
}

/// Both answers, for those who look at differences.
fn detail(record: &Record, kernel: &Value, ours: &Result<Proof, VerifyError>) -> Value {
    let found = match ours {
        Ok(proof) => json!({"verdict": "accept", "processed": proof.statistics().processed,
            "total": proof.statistics().total_states, "peak": proof.statistics().peak_states}),
        Err(error) => json!({"verdict": "reject", "errno": error.errno(), "line": error.line(),
            "insn": error.instruction(), "processed": error.statistics().processed}),
    };
    let recorded = json!({"verdict": kernel["verdict"], "errno": kernel["errno"], "line": kernel["error_line"],
        "insn": kernel["last_insn"], "processed": kernel["processed"], "class": kernel["error_class"],
        "total": kernel["total_states"], "peak": kernel["peak_states"]});
    json!({"name": record.name(), "file": record.value()["file"], "type": record.value()["prog_type"],
        "ours": found, "kernel": recorded, "features": record.value()["features"]})
}

/// Whether the program names functions or variables of the kernel.
fn calls_kernel(record: &Record) -> bool {
    let value = record.value();
    let kfuncs = value["kfuncs"].as_object().is_some_and(|kfuncs| !kfuncs.is_empty());
    kfuncs || value["fixups"].as_array().into_iter().flatten().any(|fixup| fixup["kind"] != "map")
}

/// Whether the verdict depends on more than instructions and maps.
pub(in crate::vectors) fn needs_types(record: &Record) -> bool {
    let value = record.value();
    let other = calls_kernel(record);
    let by_type = matches!(value["prog_type"].as_str(), Some("tracing" | "lsm" | "struct_ops" | "ext"));
    let differs = value["kernel_no_btf"].is_object() && value["kernel_no_btf"]["same"] == false;
    other || by_type || differs
}

#[cfg(test)]
mod tests {
    #[test]
    fn messages_are_compared_without_their_numbers() {
        assert_eq!(super::class("R12 off=-8 size=0x1f"), "RN off=-N size=N");
        assert_ne!(super::class("R1 !read_ok"), super::class("R1 leaks"));
    }
}
