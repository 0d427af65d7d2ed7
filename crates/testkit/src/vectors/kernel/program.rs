//! The program that a record of a table is about: its type, where it is attached, its license.

use sandbpf_abi::{AttachType, Program, ProgramType};

use crate::vectors::record::{Malformed, Record};

pub(super) fn program(record: &Record) -> Result<Program<'static>, Malformed> {
    let name = record.str("prog_type")?;
    let program_type = ProgramType::from_name(name).ok_or(Malformed::field("prog_type"))?;
    let attach = u32::try_from(record.u64("attach_type")?).map_err(|_| Malformed::field("attach_type"))?;
    let gpl = record.value()["gpl"].as_bool().unwrap_or(true);
    Ok(Program::new(program_type).attached(AttachType(attach)).licensed(gpl))
}

/// A list of whole numbers.
pub(super) fn numbers(record: &Record, field: &'static str) -> Result<Vec<i64>, Malformed> {
    record.array(field)?.iter().map(|value| value.as_i64().ok_or(Malformed::field(field))).collect()
}
