//! One operation on many operands: `r2 = a; r3 = b; <body>; r0 = r2`.

use sandbpf::{AnyInput, Code, KindName};
use serde_json::Value;

use crate::vectors::Context;
use crate::vectors::engines::Settings;
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record, bytes, hex64};

/// The operands come from memory, so that one program serves all rows.
const HEAD: &str = "r3 = *(u64 *)(r1 + 8)\nr2 = *(u64 *)(r1 + 0)";
const TAIL: &str = "r0 = r2\nexit";

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    if record.value()["verdict"] == "reject" {
        judged.leave_out("the kernel does not accept the operation, so there are no results");
        return Ok(());
    }
    let body = bytes(&record.value()["body"]).ok_or(Malformed::field("body"))?;
    let assemble = |text| sandbpf_isa::parse(text).expect("it is assembly").to_bytes();
    let code = [assemble(HEAD), body, assemble(TAIL)].concat();
    let loaded = context.engines.load(KindName::Buffer, || Code::Bytes(&code), Settings::default());
    let Some(loaded) = judged.loaded(loaded) else { return Ok(()) };
    for row in record.array("rows")? {
        let (operands, result) = numbers(row).ok_or(Malformed::field("rows"))?;
        let memory = operands.map(u64::to_le_bytes).concat();
        for loaded in &loaded {
            let found = loaded.run(AnyInput::Buffer((&memory).into()));
            judged.equal(Ok(result), found, || {
                format!(
                    "a = {:#x}, b = {:#x} on {}\n{}",
                    operands[0],
                    operands[1],
                    loaded.engine,
                    loaded.listing()
                )
            });
        }
    }
    Ok(())
}

/// `[a, b, result]`, or `[a, result]`.
fn numbers(row: &Value) -> Option<([u64; 2], u64)> {
    let numbers: Option<Vec<u64>> = row.as_array()?.iter().map(hex64).collect();
    match numbers?[..] {
        [a, result] => Some(([a, 0], result)),
        [a, b, result] => Some(([a, b], result)),
        _ => None,
    }
}
