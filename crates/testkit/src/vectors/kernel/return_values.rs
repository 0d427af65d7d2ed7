//! Return values: which constants the kernel lets a type of program return, and whether it may return
//! its context.

use sandbpf_abi::Returns;

use super::program::{numbers, program};
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

pub(crate) fn judge(record: &Record, judged: &mut Judged) -> Result<(), Malformed> {
    let returns = program(record)?.returns();
    let accepted = numbers(record, "accepted")?;
    for value in numbers(record, "tried")? {
        judged.answer(accepted.contains(&value), returns.takes(value), || format!("to return {value}"));
    }
    if let Some(answer) = record.value().get("return_ctx_pointer") {
        let pointers = matches!(returns, Returns::Any | Returns::Target);
        judged.answer(answer.is_null(), pointers, || "to return the context");
    }
    Ok(())
}
