//! Programs of libpcap that the kernel refuses, or answers differently.

use sandbpf::{AnyInput, Code, Dialect, KindName, Packet};
use sandbpf_classic::{Filter, Form, print};
use serde_json::Value;

use super::filter;
use crate::vectors::Context;
use crate::vectors::engines::{Settings, clip};
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    let insns = match filter::program(context.library.filter(record.str("id")?)?, record.str("prog")?) {
        Ok(insns) => insns,
        Err(reason) => {
            judged.leave_out(reason);
            return Ok(());
        }
    };
    let verdict = Filter::check(&insns, Dialect::Linux);
    match record.value()["attach_errno"].as_i64() {
        Some(22) => {
            judged.equal(false, verdict.is_ok(), || clip(&print(&insns, Form::TcpdumpD)));
            return Ok(());
        }
        Some(_) => {
            judged.leave_out("the kernel had no memory for the filter");
            return Ok(());
        }
        None => {}
    }
    let examples = record.value().as_object().into_iter().flatten();
    let examples = examples.filter(|(field, _)| field.starts_with("examples"));
    let examples: Vec<&Value> = examples.filter_map(|(_, rows)| rows.as_array()).flatten().collect();
    let packets = context.library.capture(record.str("pcap")?)?;
    for dialect in [Dialect::Libpcap, Dialect::Linux] {
        let loaded = context.engines.load(
            KindName::SocketFilter,
            || Code::Classic(&insns),
            Settings::dialect(dialect),
        );
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                judged.fail(|| format!("not loaded: {error}"));
                continue;
            }
        };
        for row in &examples {
            let field = |at: usize| row.get(at).and_then(Value::as_u64);
            let at = field(0).and_then(|at| usize::try_from(at).ok()).ok_or(Malformed::field("examples"))?;
            let (bytes, _) = packets.get(at).ok_or(Malformed::field("examples"))?;
            for loaded in &loaded {
                let found = loaded.run(AnyInput::Packet(Packet::from(bytes))).map(|r0| r0 as u32 as u64);
                let (expected, found) = match dialect {
                    Dialect::Linux => (field(3).unwrap_or(0), found.map(|kept| kept.min(bytes.len() as u64))),
                    _ => (field(2).unwrap_or(0), found),
                };
                judged.equal(Ok(expected), found, || {
                    let listing = clip(&print(&insns, Form::TcpdumpD));
                    format!("packet {at}, {dialect:?}, on {}\n{listing}", loaded.engine)
                });
            }
        }
    }
    Ok(())
}
