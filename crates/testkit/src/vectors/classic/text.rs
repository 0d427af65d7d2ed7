//! Text: the forms that tools print, and the sources that `bpf_asm` takes.

use sandbpf_classic::{Form, parse, parse_as, print};

use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

/// The forms that tools print, and the fields that hold them.
const FORMS: [(&str, Form); 4] = [
    ("tcpdump_d", Form::TcpdumpD),
    ("tcpdump_dd", Form::TcpdumpDd),
    ("tcpdump_ddd", Form::TcpdumpDdd),
    ("bytecode", Form::Bytecode),
];

/// Prints as recorded, and reads back.
pub(crate) fn forms(record: &Record, judged: &mut Judged) -> Result<(), Malformed> {
    let insns = record.classic("prog")?;
    for (field, form) in FORMS {
        let Some(expected) = record.value()[field].as_str() else { continue };
        let printed = print(&insns, form);
        judged.equal(expected.trim_end_matches('\n'), printed.trim_end_matches('\n'), || field);
        let parsed = parse(expected);
        // A listing does not show what an instruction does not use.
        let equal = match (&parsed, form) {
            (Ok(parsed), Form::TcpdumpD) => print(parsed, form) == printed,
            (Ok(parsed), _) => *parsed == insns,
            (Err(_), _) => false,
        };
        judged.equal(true, equal, || format!("{field} reads as {parsed:?}\n{expected}"));
    }
    if let Some(newer) = record.value()["tcpdump_d_git"].as_str() {
        let parsed = parse(newer).map(|parsed| print(&parsed, Form::TcpdumpD));
        judged.equal(Ok(print(&insns, Form::TcpdumpD)), parsed, || newer.to_owned());
    }
    Ok(())
}

/// Assembles to the recorded program, or is refused as recorded.
pub(crate) fn assembler(record: &Record, judged: &mut Judged) -> Result<(), Malformed> {
    let source = record.str("src")?;
    let expected = if record.value()["rc"] == 0 { Some(record.classic("prog")?) } else { None };
    let assembled = parse_as(source, Form::BpfAsm);
    let error = assembled.as_ref().err().map(ToString::to_string);
    judged.equal(expected, assembled.ok(), || {
        format!("{source:?}; we say {error:?}, bpf_asm {}", record.value()["stderr"])
    });
    Ok(())
}
