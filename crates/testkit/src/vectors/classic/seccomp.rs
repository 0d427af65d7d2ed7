//! Seccomp filters: which the kernel installs, and what they return.

use sandbpf::{AnyInput, Code, Dialect, KindName, SyscallData};
use sandbpf_classic::{ClassicInsn, Filter, Form, print};
use serde_json::Value;

use crate::vectors::Context;
use crate::vectors::engines::{Settings, clip};
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    let insns = record.classic("prog")?;
    let listing = || clip(&print(&insns, Form::TcpdumpD));
    checked(&insns, Dialect::Linux, &record.value()["socket_attach"], judged);
    let installed = checked(&insns, Dialect::Seccomp, &record.value()["seccomp_install"], judged);
    if !installed || !record.has("inputs") {
        return Ok(());
    }
    let loaded = context.engines.load(KindName::Seccomp, || Code::Classic(&insns), Settings::default());
    let Some(loaded) = judged.loaded(loaded) else { return Ok(()) };
    for input in record.array("inputs")? {
        let (call, expected) = call(input).ok_or(Malformed::field("inputs"))?;
        for loaded in &loaded {
            let found = loaded.run(AnyInput::Syscall(&call)).map(|r0| r0 as u32);
            judged.equal(Ok(expected), found, || format!("{call:x?} on {}\n{}", loaded.engine, listing()));
        }
    }
    Ok(())
}

/// Compares the answer of a dialect's check with the recorded one; says whether it is accepted.
fn checked(insns: &[ClassicInsn], dialect: Dialect, recorded: &Value, judged: &mut Judged) -> bool {
    if recorded.is_null() || recorded == "ENOMEM" {
        return false;
    }
    let verdict = Filter::check(insns, dialect);
    let equal = judged.equal(recorded == 0, verdict.is_ok(), || {
        format!("accepted as {dialect:?}; we say {verdict:?}\n{}", clip(&print(insns, Form::TcpdumpD)))
    });
    equal && recorded == 0
}

fn call(input: &Value) -> Option<(SyscallData, u32)> {
    let number = |field: &str| input[field].as_u64();
    let args: Option<Vec<u64>> = input["args"].as_array()?.iter().map(Value::as_u64).collect();
    let call = SyscallData {
        nr: number("nr")? as u32 as i32,
        arch: number("arch")? as u32,
        instruction_pointer: number("ip")?,
        args: args?.try_into().ok()?,
    };
    Some((call, number("ret")? as u32))
}
