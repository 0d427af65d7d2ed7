//! The program that a record of a table is about: its type, where it is attached, its license. The table is asked, and
//! the verifier, who must come to the same about a program that does nothing else.

use sandbpf::{Proof, Verifier, VerifyError};
use sandbpf_abi::{Program, ProgramType, Returns};

use crate::vectors::record::{Malformed, Record};

pub(super) fn program(record: &Record) -> Result<Program<'static>, Malformed> {
    let name = record.str("prog_type")?;
    let program_type = ProgramType::from_name(name).ok_or(Malformed::field("prog_type"))?;
    let attach = u32::try_from(record.u64("attach_type")?).map_err(|_| Malformed::field("attach_type"))?;
    let gpl = record.value()["gpl"].as_bool().unwrap_or(true);
    Ok(Program::new(program_type).attached(sandbpf_abi::AttachType(attach)).licensed(gpl))
}

/// A list of whole numbers.
pub(super) fn numbers(record: &Record, field: &'static str) -> Result<Vec<i64>, Malformed> {
    record.array(field)?.iter().map(|value| value.as_i64().ok_or(Malformed::field(field))).collect()
}

/// What the verifier says of this text as such a program.
pub(super) fn verify(program: &Program<'_>, text: &str) -> Result<Proof, VerifyError> {
    let program_type = program.program_type;
    let by = Verifier::new(program_type).attached(program.attach_type);
    let by = by.license(if program.gpl { "GPL" } else { "" });
    by.verify(&sandbpf::isa::parse(text).expect("the judges write what parses"))
}

/// A number that such a program may return.
pub(super) fn returned(program: &Program<'_>) -> i64 {
    match program.returns() {
        Returns::Range(low, _) => low,
        Returns::Any | Returns::Target => 0,
    }
}
