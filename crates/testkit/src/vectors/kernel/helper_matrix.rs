//! The helpers that a type of program has: which numbers the kernel knows, gives, and gives only to
//! programs with a license compatible with the GPL.

use sandbpf_abi::{Unavailable, helpers};

use super::program::{numbers, program, verify};
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

/// How the record names the four answers, and how we do.
type Answer = Result<(), Unavailable>;

pub(crate) fn judge(record: &Record, judged: &mut Judged) -> Result<(), Malformed> {
    let program = program(record)?;
    let answers: [(&'static str, Answer); 4] = [
        ("available", Ok(())),
        ("not_for_this_type", Err(Unavailable::NotForType)),
        ("gpl_only", Err(Unavailable::GplOnly)),
        ("unknown", Err(Unavailable::Unknown)),
    ];
    let available = numbers(record, "available")?;
    if available.iter().any(|&id| id > helpers::LAST.into()) {
        judged.leave_out("the kernel refuses the program before it looks at its helpers");
        return Ok(());
    }
    for (field, theirs) in answers {
        for id in numbers(record, field)? {
            let id = i32::try_from(id).map_err(|_| Malformed::field(field))?;
            let ours = program.helper(id);
            judged.answer(theirs.is_ok(), ours.is_ok(), || format!("helper {id}"));
            if let (Err(theirs), Err(ours)) = (theirs, ours) {
                judged.equal(theirs, ours, || format!("why helper {id} is refused"));
            }
            match verify(&program, &format!("call {id}\nr0 = 0\nexit")) {
                Err(error) if error.instruction().is_none() => {
                    judged.leave_out("the program is refused before its helpers are looked at");
                }
                verdict => {
                    let line = verdict.err().map_or(String::new(), |error| error.line().to_owned());
                    judged.equal(theirs, said(&line), || {
                        format!("what the verifier says to helper {id}: {line}")
                    });
                }
            }
        }
    }
    Ok(())
}

/// What the verifier's message says of the helper; others are about its arguments.
fn said(line: &str) -> Answer {
    if line.starts_with("program of this type cannot use helper ") {
        Err(Unavailable::NotForType)
    } else if line.starts_with("cannot call GPL-restricted function ") {
        Err(Unavailable::GplOnly)
    } else if line.starts_with("invalid func ") {
        Err(Unavailable::Unknown)
    } else {
        Ok(())
    }
}
