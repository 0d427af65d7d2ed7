//! One encoding in a small program that the kernel accepts or refuses.
//!
//! What it accepts must decode and be encoded to the same again; the verdict is the verifier's.

use sandbpf_isa::{Reserved, decode_with};

use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};
use crate::vectors::{Context, verifier};

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    let code = record.code()?;
    if record.str("verdict")? == "accept"
        && let Ok(program) = decode_with(&code, Reserved::Linux)
    {
        let again = decode_with(&program.to_bytes(), Reserved::Linux);
        judged.equal(Ok(program), again, || "encoded and decoded again");
    }
    let by = verifier::of(record, context.library)?;
    super::verdict::compare(record, record.value(), &by, &code, judged);
    Ok(())
}
