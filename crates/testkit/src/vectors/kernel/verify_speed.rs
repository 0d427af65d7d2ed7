//! How much work large programs are: the record has the figures, its companion in another set the program.

use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};
use crate::vectors::{Context, maps, verifier};

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    let program = context.library.recorded(record.str("corpus")?, record.str("name")?)?;
    if verifier::lacks_object(&program, context.library) && super::verdict::needs_types(&program) {
        judged.leave_out("the verdict depends on an object file that is not at hand");
        return Ok(());
    }
    let mut code = maps::code(&program)?;
    verifier::complete(&program, context.library, &mut code);
    let found = verifier::of(&program, context.library)?.verify_bytes(&code);
    let (accepted, figures) = match &found {
        Ok(proof) => (true, proof.statistics()),
        Err(error) => (false, error.statistics()),
    };
    judged.answer(record.str("verdict")? == "accept", accepted, || match &found {
        Ok(_) => String::from("the kernel rejects it"),
        Err(error) => error.to_string(),
    });
    let (theirs, ours) = (record.u64("processed")?, u64::from(figures.processed));
    if ours > theirs * 2 || theirs > ours * 2 {
        judged.fail(|| format!("{ours} instructions processed; the kernel: {theirs}"));
    }
    Ok(())
}
