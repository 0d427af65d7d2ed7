//! Accesses to a context: for one type of program, reading or writing, and one size, every offset of a
//! range is accepted or refused.

use sandbpf_abi::Direction;

use super::program::{numbers, program, returned, verify};
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

/// Offsets are counted by an instruction's 16 bits.
const OFFSETS: std::ops::RangeInclusive<i64> = i16::MIN as i64..=i16::MAX as i64;

pub(crate) fn judge(record: &Record, judged: &mut Judged) -> Result<(), Malformed> {
    let program = program(record)?;
    let direction = match record.str("access")? {
        "read" => Direction::Read,
        "write" => Direction::Write,
        _ => return Err(Malformed::field("access")),
    };
    let size = u32::try_from(record.u64("size")?).map_err(|_| Malformed::field("size"))?;
    let accepted = numbers(record, "accepted_offsets")?;
    let [first, last] = numbers(record, "range")?[..] else { return Err(Malformed::field("range")) };
    if !OFFSETS.contains(&first) || !OFFSETS.contains(&last) {
        return Err(Malformed::field("range"));
    }
    let end = returned(&program);
    for offset in first..=last {
        let place = format!("*(u{} *)(r1 {offset:+})", size * 8);
        let text = match direction {
            Direction::Read => format!("r0 = {place}\nr0 = {end}\nexit"),
            Direction::Write => format!("r0 = 0\n{place} = r0\nr0 = {end}\nexit"),
        };
        let verdict = verify(&program, &text);
        judged.answer(accepted.contains(&offset), verdict.is_ok(), || match &verdict {
            Ok(_) => format!("offset {offset}, as the verifier has it"),
            Err(error) => format!("offset {offset}, as the verifier has it: {error}"),
        });
        if let Err(error) = &verdict {
            let told = record.value()["errors"].as_object();
            let told = told.is_some_and(|errors| errors.keys().any(|begin| error.line().starts_with(begin)));
            judged.equal(true, told, || format!("offset {offset}: the message is {}", error.line()));
        }
        let ours = program.access(offset as i32, size, direction);
        judged.answer(accepted.contains(&offset), ours.is_ok(), || match ours {
            Ok(_) => format!("offset {offset}"),
            Err(error) => format!("offset {offset}: {error}"),
        });
    }
    Ok(())
}
