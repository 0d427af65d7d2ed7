//! One encoding that the kernel accepts or refuses.
//!
//! What it accepts must decode. What it refuses may decode: most refusals are about values, and the
//! verifier's.

use sandbpf_isa::{Reserved, decode_with};

use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

pub(crate) fn judge(record: &Record, judged: &mut Judged) -> Result<(), Malformed> {
    let code = record.code()?;
    match (record.str("verdict")?, decode_with(&code, Reserved::Linux)) {
        ("accept", Ok(program)) => {
            let again = decode_with(&program.to_bytes(), Reserved::Linux);
            judged.equal(Ok(program), again, || "encoded and decoded again");
        }
        ("accept", Err(error)) => {
            judged.fail(|| format!("the kernel accepts it: {error}\n{}", hex::encode(&code)))
        }
        (_, Err(_)) => judged.agree(),
        (_, Ok(_)) => judged.leave_out("needs the verifier"),
    }
    Ok(())
}
