//! Exact results of socket filters: on a UNIX datagram socket, and on a UDP socket over loopback.

use sandbpf::{AnyInput, Code, Dialect, KindName, Packet, PacketMeta};
use sandbpf_classic::{Form, print};

use crate::vectors::Context;
use crate::vectors::classic::frame::Frame;
use crate::vectors::engines::{Loaded, Settings, clip};
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    if record.value()["unstable"] == true {
        judged.leave_out("two runs in the kernel differed");
        return Ok(());
    }
    let (insns, data) = (record.classic_code()?, record.bytes("data")?);
    let retval = record.u64("retval")? as u32;
    let loaded = context.engines.load(
        KindName::SocketFilter,
        || Code::Classic(&insns),
        Settings::dialect(Dialect::Linux),
    );
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            judged.fail(|| format!("not loaded: {error}\n{}", clip(&print(&insns, Form::TcpdumpD))));
            return Ok(());
        }
    };
    for loaded in &loaded {
        let found = loaded.run(AnyInput::Packet(Packet::from(&data))).map(|r0| r0 as u32);
        judged.equal(Ok(retval), found, || about("a UNIX socket", &data, loaded, &insns));
        if let Some(received) = record.value()["received"].as_u64() {
            let kept = found.map(|kept| u64::from(kept).min(data.len() as u64));
            judged.equal(Ok(received), kept, || about("bytes received", &data, loaded, &insns));
        }
        if let Some(udp) = record.value()["retval_udp_loopback"].as_u64() {
            loopback(&data, udp as u32, loaded, &insns, judged);
        }
    }
    Ok(())
}

/// The same datagram over UDP. Ports, identification and checksums are not recorded: a result that
/// depends on them cannot be compared.
fn loopback(
    data: &[u8],
    expected: u32,
    loaded: &Loaded,
    insns: &[sandbpf::ClassicInsn],
    judged: &mut Judged,
) {
    let run = |frame: &Frame| {
        let meta = PacketMeta { protocol: 0x0800, ifindex: 1, hatype: 772, ..frame.udp_socket() };
        loaded.run(AnyInput::Packet(Packet::from(&frame.bytes).with_meta(&meta))).map(|r0| r0 as u32)
    };
    let [one, other] = Frame::loopback(data).map(|frame| run(&frame));
    if one != other {
        judged.leave_out("depends on header bytes that were not recorded");
    } else {
        judged.equal(Ok(expected), one, || about("a UDP socket", data, loaded, insns));
    }
}

fn about(what: &str, data: &[u8], loaded: &Loaded, insns: &[sandbpf::ClassicInsn]) -> String {
    let listing = clip(&print(insns, Form::TcpdumpD));
    format!("{what}, on {}, packet {}\n{listing}", loaded.engine, hex::encode(data))
}
