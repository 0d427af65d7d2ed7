//! Return values: which constants the kernel lets a type of program return, and whether it may return
//! its context.

use sandbpf::VerifyError;
use sandbpf_abi::Returns;

use super::program::{numbers, program, verify};
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

pub(crate) fn judge(record: &Record, judged: &mut Judged) -> Result<(), Malformed> {
    let program = program(record)?;
    let returns = program.returns();
    let told = |verdict: Result<_, VerifyError>| verdict.err().map(|error| error.line().to_owned());
    let accepted = numbers(record, "accepted")?;
    for value in numbers(record, "tried")? {
        judged.answer(accepted.contains(&value), returns.takes(value), || format!("to return {value}"));
        let line = told(verify(&program, &format!("r0 = {value}\nexit")));
        judged.answer(accepted.contains(&value), line.is_none(), || {
            format!("to return {value}, as the verifier has it: {line:?}")
        });
        if let (Some(line), Some(words)) = (line, record.value()["messages"][value.to_string()].as_str()) {
            judged.equal(words, &line, || format!("why {value} is refused"));
        }
    }
    if let Some(answer) = record.value().get("return_ctx_pointer") {
        let pointers = matches!(returns, Returns::Any | Returns::Target);
        judged.answer(answer.is_null(), pointers, || "to return the context");
        let line = told(verify(&program, "r0 = r1\nexit"));
        judged.equal(answer.as_str(), line.as_deref(), || "what the verifier says to that");
    }
    if let Some(answer) = record.value().get("uninitialised_r0") {
        let line = told(verify(&program, "exit"));
        judged.equal(
            answer.as_str(),
            line.as_deref(),
            || "what the verifier says to an r0 that nobody wrote",
        );
    }
    Ok(())
}
