//! The programs of the kernel's `test_bpf` module, with the socket buffer that the module makes.

use sandbpf::abi::ProgramType;
use sandbpf::{
    AnyInput, ClassicInsn, Code, Dialect, KindName, Packet, PacketMeta, Reserved, Verifier, VlanTag,
};
use sandbpf_classic::{Filter, Form, print};
use serde_json::Value;

use crate::vectors::Context;
use crate::vectors::engines::{LONG, Settings, clip};
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

/// What the module's socket buffer says (`populate_skb`).
fn meta(len: usize) -> PacketMeta {
    PacketMeta {
        protocol: 0x0800,
        packet_type: 3,
        ifindex: 577,
        hatype: 588,
        mark: 0x1234_aaaa,
        queue: 123,
        hash: 0x1234_aaab,
        vlan: Some(VlanTag { tci: 0xffff, tpid: 0x0800 }),
        network: len.min(14) as u32,
        link: Some(0),
        ..PacketMeta::default()
    }
}

/// One run of a record.
struct Run {
    bytes: Vec<u8>,
    /// How many of the bytes are not in a fragment.
    linear: usize,
    result: u32,
}

fn runs(record: &Record) -> Result<Vec<Run>, Malformed> {
    let (data, fragment) = (record.bytes("data")?, record.bytes("frag_data")?);
    let run = |test: &Value| {
        let linear = usize::try_from(test["data_size"].as_u64()?).ok()?;
        let mut bytes = data.clone();
        bytes.resize(linear, 0);
        bytes.extend_from_slice(&fragment);
        Some(Run { bytes, linear, result: test["result"].as_u64()? as u32 })
    };
    record.array("tests")?.iter().map(|test| run(test).ok_or(Malformed::field("tests"))).collect()
}

fn has_flag(record: &Record, flag: &str) -> bool {
    record.value()["flags"].as_array().is_some_and(|flags| flags.iter().any(|found| found == flag))
}

/// An extended program. The module has no verifier, so fields that nobody uses are not looked at.
pub(crate) fn internal(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    let code = record.code()?;
    let by = Verifier::new(ProgramType::SocketFilter);
    super::verdict::compare(record, &record.value()["kernel"], &by, &code, judged);
    let memory = has_flag(record, "large_mem");
    let kind = if memory { KindName::Buffer } else { KindName::SocketFilter };
    let settings = Settings { reserved: Reserved::Ignored, budget: LONG, ..Settings::default() };
    let loaded = match context.engines.load(kind, || Code::Bytes(&code), settings) {
        Ok(loaded) => loaded,
        Err(error) => {
            judged.fail(|| format!("not loaded: {error}"));
            return Ok(());
        }
    };
    for mut run in runs(record)? {
        let meta = meta(run.linear);
        for loaded in &loaded {
            let found = if memory {
                run.bytes.fill(0);
                loaded.run(AnyInput::Buffer((&mut run.bytes).into()))
            } else {
                loaded.run(AnyInput::Packet(Packet::from(&run.bytes).with_meta(&meta)))
            };
            let found = found.map(|r0| r0 as u32);
            judged.equal(Ok(run.result), found, || format!("on {}\n{}", loaded.engine, loaded.listing()));
        }
    }
    Ok(())
}

/// A classic program: whether it is accepted, its results on the module's buffer, and where the kernel
/// ran it, on a UNIX socket.
pub(crate) fn classic(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    let insns = record.classic_code()?;
    let listing = || clip(&print(&insns, Form::TcpdumpD));
    let kernel = &record.value()["kernel"];
    let no_memory = kernel["errno"] == "ENOMEM";
    let accepted = if no_memory { !has_flag(record, "expected_fail") } else { kernel["attach"] == "accept" };
    let verdict = Filter::check(&insns, Dialect::Linux);
    if !judged.equal(accepted, verdict.is_ok(), || format!("attached\n{}", listing())) || !accepted {
        return Ok(());
    }
    let loaded = context.engines.load(
        KindName::SocketFilter,
        || Code::Classic(&insns),
        Settings::dialect(Dialect::Linux),
    );
    let Some(loaded) = judged.loaded(loaded) else { return Ok(()) };
    // Where the buffer's metadata matter, the record says that the two sockets differ.
    let observed = if kernel["comparable"] == false { &Value::Null } else { &kernel["runs"] };
    let observed = observed.as_array().map(Vec::as_slice).unwrap_or_default();
    for (at, run) in runs(record)?.iter().enumerate() {
        let meta = meta(run.linear);
        for loaded in &loaded {
            let answer = |packet| loaded.run(AnyInput::Packet(packet)).map(|r0| r0 as u32);
            let about = |what| format!("run {at}, {what}, on {}\n{}", loaded.engine, listing());
            let found = answer(Packet::from(&run.bytes).with_meta(&meta));
            judged.equal(Ok(run.result), found, || about("the module's buffer"));
            let Some(retval) = observed.get(at).and_then(|run| run["retval"].as_u64()) else { continue };
            if nondeterministic(&insns) {
                judged.leave_out("processor or random numbers");
                continue;
            }
            let found = answer(Packet::from(&run.bytes[..run.linear]));
            judged.equal(Ok(retval as u32), found, || about("a UNIX socket"));
        }
    }
    Ok(())
}

/// Whether it loads the processor's number or a random one.
pub(crate) fn nondeterministic(insns: &[ClassicInsn]) -> bool {
    insns
        .iter()
        .any(|insn| matches!(insn.code, 0x20 | 0x28 | 0x30) && matches!(insn.k, 0xffff_f024 | 0xffff_f038))
}
