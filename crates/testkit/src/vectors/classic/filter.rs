//! An expression, the programs that versions of libpcap made of it, and their listings.

use sandbpf_classic::{ClassicInsn, Dialect, Filter, Form, parse, print};
use serde_json::Value;

use super::verdict::stored;
use crate::vectors::Context;
use crate::vectors::engines::clip;
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

/// The program that a verdict calls `1.10.3:opt`, or why it is not there.
///
/// A version that made the same code as the older one says so instead of repeating it, and so does an
/// optimizer that changed nothing.
pub(crate) fn program(filter: &Value, name: &str) -> Result<Vec<ClassicInsn>, String> {
    const FIRST: &str = "1.10.3";
    let (version, kind) = name.split_once(':').ok_or_else(|| format!("no program is called `{name}`"))?;
    let version = if filter["git_same"] == true { FIRST } else { version };
    let object = &filter[format!("v{version}")];
    if let Some(insns) = stored(object, kind) {
        return Ok(insns);
    }
    let flag = |name: String| object[name] == true;
    if flag(format!("{kind}_same_as_{FIRST}")) && version != FIRST {
        return program(filter, &format!("{FIRST}:{kind}"));
    }
    if kind == "noopt" && flag("noopt_same".into()) {
        return program(filter, &format!("{version}:opt"));
    }
    if object.get(format!("{kind}_len")).is_some() {
        return Err("the program was not kept, it is too long".into());
    }
    Err(format!("filter {} has no program {name}", filter["id"]))
}

/// Its programs pass libpcap's check, load on every engine, and print as recorded.
pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    for version in ["1.10.3", "1.11-git"] {
        let object = &record.value()[format!("v{version}")];
        for kind in ["opt", "noopt"] {
            let Some(insns) = stored(object, kind) else { continue };
            let name = format!("{version}:{kind}");
            if let Err(error) = context.engines.load_filter(&insns) {
                judged.fail(|| format!("{name}: not loaded: {error}"));
            }
            listing(&name, &insns, object[format!("{kind}_d")].as_str(), judged);
        }
    }
    if !record.value()["v1.10.3"]["opt"].is_array() && !record.value()["v1.10.3"]["noopt"].is_array() {
        judged.leave_out("libpcap compiled no program");
    }
    Ok(())
}

/// What `tcpdump -i` attaches: the kernel's answer, and the listing.
pub(crate) fn judge_attached(record: &Record, judged: &mut Judged) -> Result<(), Malformed> {
    for kind in ["opt", "noopt"] {
        let Some(insns) = stored(record.value(), kind) else {
            judged.leave_out("libpcap compiled no program");
            continue;
        };
        listing(kind, &insns, record.value()[format!("{kind}_d")].as_str(), judged);
        match record.value()[format!("{kind}_kernel_attach")].as_i64() {
            Some(rc @ (0 | -22)) => {
                let verdict = Filter::check(&insns, Dialect::Linux);
                judged.equal(rc == 0, verdict.is_ok(), || {
                    format!("{kind}: attached; we say {:?}", verdict.err().map(|error| error.to_string()))
                });
            }
            Some(_) => judged.leave_out("the kernel had no memory for the filter"),
            None => judged.leave_out("the kernel was not asked"),
        }
    }
    Ok(())
}

/// Prints as `tcpdump -d`, and survives every form that says all.
fn listing(name: &str, insns: &[ClassicInsn], recorded: Option<&str>, judged: &mut Judged) {
    for form in [Form::TcpdumpDd, Form::TcpdumpDdd, Form::Bytecode] {
        let parsed = parse(&print(insns, form));
        if parsed.as_deref() == Ok(insns) {
            judged.agree();
        } else {
            judged.fail(|| format!("{name}: {form:?} reads back as {parsed:?}"));
        }
    }
    let Some(recorded) = recorded else { return };
    let printed = print(insns, Form::TcpdumpD);
    // Newer versions pad no operand that is not there.
    let same = printed.lines().map(str::trim_end).eq(recorded.lines().map(str::trim_end));
    let parsed = parse(recorded);
    if !same {
        judged.fail(|| format!("{name}: expected\n{}\nfound\n{}", clip(recorded), clip(&printed)));
    } else if parsed.as_ref().map(|parsed| print(parsed, Form::TcpdumpD)) != Ok(printed) {
        judged.fail(|| format!("{name}: the listing reads as {parsed:?}\n{}", clip(recorded)));
    } else {
        judged.agree();
    }
}
