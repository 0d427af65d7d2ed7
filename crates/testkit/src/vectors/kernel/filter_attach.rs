//! Which filters a socket accepts.

use sandbpf_classic::{Dialect, Filter, Form, print};

use crate::vectors::engines::clip;
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

pub(crate) fn judge(record: &Record, judged: &mut Judged) -> Result<(), Malformed> {
    let insns = record.classic_code()?;
    if record.value()["errno"] == "ENOMEM" {
        judged.leave_out("the kernel had no memory for the filter");
        return Ok(());
    }
    let verdict = Filter::check(&insns, Dialect::Linux);
    judged.equal(record.str("verdict")? == "accept", verdict.is_ok(), || {
        format!(
            "accepted; we say {:?}\n{}",
            verdict.err().map(|e| e.to_string()),
            clip(&print(&insns, Form::TcpdumpD))
        )
    });
    Ok(())
}
