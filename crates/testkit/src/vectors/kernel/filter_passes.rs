//! Compiled expressions, and the packets that a socket with the filter lets through.

use sandbpf::{AnyInput, Code, Dialect, KindName, Packet};
use sandbpf_classic::{Filter, Form, print};

use crate::vectors::Context;
use crate::vectors::engines::{Settings, clip};
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    if record.has("pcap_error") {
        judged.leave_out("libpcap compiled no program");
        return Ok(());
    }
    if record.value()["errno"] == "ENOMEM" {
        judged.leave_out("the kernel had no memory for the filter");
        return Ok(());
    }
    let insns = record.classic_code()?;
    let listing = || clip(&print(&insns, Form::TcpdumpD));
    let accepted = record.str("attach")? == "accept";
    let verdict = Filter::check(&insns, Dialect::Linux);
    if !judged.equal(accepted, verdict.is_ok(), || format!("attached\n{}", listing())) || !accepted {
        return Ok(());
    }
    let passes = record.array("passes")?;
    let packets = context.library.packets()?;
    let loaded = context.engines.load(
        KindName::SocketFilter,
        || Code::Classic(&insns),
        Settings::dialect(Dialect::Linux),
    );
    let Some(loaded) = judged.loaded(loaded) else { return Ok(()) };
    for (name, bytes) in packets {
        let expected = passes.iter().any(|pass| pass == name.as_str());
        for loaded in &loaded {
            let found = loaded.run(AnyInput::Packet(Packet::from(bytes)));
            judged.equal(Ok(expected), found.map(|kept| kept as u32 != 0), || {
                format!("`{name}` passes on {}\n{}", loaded.engine, listing())
            });
        }
    }
    Ok(())
}
