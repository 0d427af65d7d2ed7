//! Programs of bpf_conformance: RFC 9669 mode, plain memory, the whole of `r0`.

use sandbpf::abi::ProgramType;
use sandbpf::{AnyInput, Code, KindName, Reserved, Trap, Verifier};

use crate::vectors::engines::Settings;
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record, bytes, hex64};
use crate::vectors::{Context, engines::Loaded};

/// What must come out.
struct Expected {
    /// This value …
    r0: Option<u64>,
    /// … and not this one.
    not: Option<u64>,
    memory: Option<Vec<u8>>,
}

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    if record.has("asm_error") {
        judged.leave_out("the source cannot be assembled");
        return Ok(());
    }
    let code = record.code()?;
    let alone = &record.value()["kernel"]["alone"];
    if alone.is_object() {
        let by = Verifier::new(ProgramType::SocketFilter);
        super::verdict::compare(record, alone, &by, &code, judged);
    }
    let negative = record.str("group")? == "negative";
    let settings = Settings { reserved: Reserved::Rfc9669, ..Settings::default() };
    let loaded = context.engines.load(KindName::Buffer, || Code::Bytes(&code), settings);
    let expected_r0 = hex64(&record.value()["expected_r0"]);
    let recorded = &record.value()["kernel"]["wrapped"];
    if negative && expected_r0.is_none() {
        match loaded {
            Err(_) => judged.agree(),
            Ok(_) if record.value()["form"] == "raw" => {
                judged.fail(|| "the program must be refused, and is not");
            }
            Ok(_) => judged.leave_out("memory and calls are for the verifier to refuse"),
        }
        return Ok(());
    }
    let Some(expected_r0) = expected_r0 else { return Err(Malformed::field("expected_r0")) };
    let expected = Expected {
        r0: if negative { hex64(&recorded["r0"]) } else { Some(expected_r0) },
        not: negative.then_some(expected_r0),
        memory: bytes(&recorded["mem_after"]),
    };
    match loaded {
        Ok(loaded) => {
            for loaded in loaded {
                run(&loaded, record, &expected, judged)?;
            }
        }
        Err(error) => judged.fail(|| format!("not loaded: {error}")),
    }
    Ok(())
}

fn run(loaded: &Loaded, record: &Record, expected: &Expected, judged: &mut Judged) -> Result<(), Malformed> {
    let mut memory = record.bytes("mem")?;
    let result = loaded.run(AnyInput::Buffer((&mut memory).into()));
    let about = || format!("r0 on {}\n{}", loaded.engine, loaded.listing());
    match (result, expected.r0) {
        (Err(Trap::BadCallTarget { address, .. }), _) if address < 1 << 16 => {
            judged.leave_out("calls a helper through a register, which RFC 9669 does not define");
            return Ok(());
        }
        (result, Some(r0)) => {
            judged.equal(Ok(r0), result, about);
        }
        (result, None) => {
            if result.is_ok_and(|r0| Some(r0) == expected.not) {
                judged.fail(|| format!("any r0 but {result:?}, on {}", loaded.engine));
            } else {
                judged.agree();
            }
        }
    }
    if let Some(after) = &expected.memory {
        judged.equal(hex::encode(after), hex::encode(&memory), || {
            format!("memory afterwards, on {}", loaded.engine)
        });
    }
    Ok(())
}
