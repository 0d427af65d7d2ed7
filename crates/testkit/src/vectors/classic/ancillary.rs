//! What sockets know of a packet besides its bytes, asked by one small program each.

use sandbpf::{AnyInput, ClassicInsn, Code, Dialect, KindName, Packet, PacketMeta, VlanTag};
use sandbpf_classic::{Form, print};
use serde_json::Value;

use super::frame::Frame;
use crate::vectors::Context;
use crate::vectors::engines::{Settings, clip};
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

/// A packet as its socket has it.
struct Seen {
    bytes: Vec<u8>,
    meta: PacketMeta,
}

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    let chance = record.array("nondeterministic")?;
    let results = record.value()["results"].as_object().ok_or(Malformed::field("results"))?;
    // Two packets that differ where nothing was recorded; often there is no such place.
    let packets = packets(record)?;
    for (name, expected) in results {
        if chance.iter().any(|chance| chance == name.as_str()) {
            judged.leave_out("processor, random numbers and receive hash");
            continue;
        }
        let insns = context.library.program(name)?;
        let loaded = context.engines.load(
            KindName::SocketFilter,
            || Code::Classic(insns),
            Settings::dialect(Dialect::Linux),
        );
        let attached = expected.get("attach").is_none();
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                judged.equal(attached, false, || format!("{name} attached: {error}"));
                continue;
            }
        };
        if !attached {
            judged.fail(|| format!("{name} must be refused: {expected}"));
            continue;
        }
        let expected = match expected.as_u64() {
            Some(value) => value as u32,
            None if expected == "abort" => 0,
            None => return Err(Malformed::field("results")),
        };
        for loaded in &loaded {
            let [one, other] = packets.each_ref().map(|Seen { bytes, meta }| {
                loaded.run(AnyInput::Packet(Packet::from(bytes).with_meta(meta))).map(|r0| r0 as u32)
            });
            if one != other {
                judged.leave_out("depends on header bytes that were not recorded");
                continue;
            }
            if packets[0].plain(insns).is_some_and(|value| value != expected) {
                // Every program had a packet of its own, and not all of them were alike.
                judged.leave_out("recorded on another packet than the one that was kept");
                continue;
            }
            judged.equal(Ok(expected), one, || {
                let packet = hex::encode(&packets[0].bytes);
                format!(
                    "{name} on {}, packet {packet}\n{}",
                    loaded.engine,
                    clip(&print(insns, Form::TcpdumpD))
                )
            });
        }
    }
    Ok(())
}

impl Seen {
    /// What a program that only loads bytes must find, read off the packet; `None` for others, and for
    /// bytes that are not there.
    fn plain(&self, insns: &[ClassicInsn]) -> Option<u32> {
        let [load, ClassicInsn { code: 0x16, .. }] = insns else { return None };
        let size = match load.code {
            0x20 => 4,
            0x28 => 2,
            0x30 => 1,
            _ => return None,
        };
        let start = match load.k {
            k @ 0..0x8000_0000 => self.meta.data + k,
            k @ 0xffe0_0000..0xfff0_0000 => self.meta.link? + (k - 0xffe0_0000),
            k @ 0xfff0_0000..0xffff_f000 => self.meta.network + (k - 0xfff0_0000),
            _ => return None,
        };
        let bytes = self.bytes.get(start as usize..)?.get(..size)?;
        Some(bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)))
    }
}

fn packets(record: &Record) -> Result<[Seen; 2], Malformed> {
    let (seen, sent) = (record.bytes("socket_sees_hex")?, record.bytes("sent_frame")?);
    let known = |meta: PacketMeta| described(record, meta);
    let whole = |bytes: Vec<u8>, data: usize| {
        let meta = PacketMeta { data: data as u32, ..PacketMeta::ethernet(&bytes) };
        let meta = known(PacketMeta { vlan: tag(&sent), ..meta });
        [Seen { bytes: bytes.clone(), meta: meta.clone() }, Seen { bytes, meta }]
    };
    let context = record.str("ctx")?;
    if context.starts_with("packet-dgram") {
        // The socket does not see the link header; filters reach it with negative offsets.
        let header = untagged_header(&sent).ok_or(Malformed::field("sent_frame"))?;
        return Ok(whole([header, seen].concat(), LINK));
    }
    if context.starts_with("packet") {
        return Ok(whole(seen, 0));
    }
    let frames = match record.value()["hatype"].as_u64() {
        Some(LOOPBACK) => Frame::loopback(&seen),
        _ => Frame::ethernet(&seen),
    };
    Ok(frames.map(|frame| {
        let meta = known(PacketMeta { protocol: 0x0800, ..frame.udp_socket() });
        Seen { bytes: frame.bytes, meta }
    }))
}

/// Bytes of an Ethernet header.
const LINK: usize = 14;

/// `ARPHRD_LOOPBACK`.
const LOOPBACK: u64 = 772;

/// What the record says of the device and the socket. The packet type depends on the device's address
/// and the queue on its driver: they are input here, and prove only that they arrive.
fn described(record: &Record, meta: PacketMeta) -> PacketMeta {
    let number = |field: &str| record.value()[field].as_u64();
    let result = |name: &str| record.value()["results"].get(name).and_then(Value::as_u64);
    PacketMeta {
        ifindex: number("ifindex").unwrap_or(0) as u32,
        hatype: number("hatype").unwrap_or(0) as u16,
        mark: number("mark").unwrap_or(0) as u32,
        packet_type: result("ad_pkttype").map_or(meta.packet_type, |kind| kind as u8),
        queue: result("ad_queue").unwrap_or(0) as u32,
        ..meta
    }
}

/// The tag that the device took off.
fn tag(sent: &[u8]) -> Option<VlanTag> {
    let at = |at: usize| Some(u16::from_be_bytes(*sent.get(at..)?.first_chunk()?));
    let tpid = at(12)?;
    matches!(tpid, 0x8100 | 0x88a8).then_some(())?;
    Some(VlanTag { tci: at(14)?, tpid })
}

/// The link header without that tag.
fn untagged_header(sent: &[u8]) -> Option<Vec<u8>> {
    let kind = if tag(sent).is_some() { 16..18 } else { 12..14 };
    Some([sent.get(..12)?, sent.get(kind)?].concat())
}
