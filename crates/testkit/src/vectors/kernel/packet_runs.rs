//! Packet programs and what `BPF_PROG_TEST_RUN` says of each on many packets, one after the other.
//!
//! The kernel's test run makes its own packet around the given bytes: a frame of the loopback device, whose address is
//! all zero, with a socket of the frame's addresses (`net/bpf/test_run.c`).

use sandbpf::{AnyInput, Code, Flow, KindName, Packet, PacketMeta, Pc, Skb, Trap, XdpFrame};
use sandbpf_interp::Step;
use sandbpf_runtime::{Execute, address};
use serde_json::Value;

use crate::vectors::Context;
use crate::vectors::engines::{LONG, Loaded, Proved, Settings};
use crate::vectors::judge::Judged;
use crate::vectors::maps::{self, NoMaps};
use crate::vectors::record::{Malformed, Record, bytes};
use crate::vectors::verifier;

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    if let Some(helper) = record.value()["clock_or_random"].as_array().and_then(|names| names.first()) {
        judged.leave_out(format!("depends on {helper}").replace('"', ""));
        return Ok(());
    }
    if record.value()["unstable"] == true {
        judged.leave_out("a second run differed");
        return Ok(());
    }
    let name = record.str("prog_type")?;
    let Some(kind) = kind(name) else {
        judged.leave_out(format!("programs of type {name}"));
        return Ok(());
    };
    let Some(loaded) = load(record, kind, context, judged)? else { return Ok(()) };
    let packets = context.library.packets()?;
    for result in record.array("results")? {
        let name = result["packet"].as_str().ok_or(Malformed::field("results"))?;
        let packet = packets.get(name).ok_or(Malformed::Companion("packet"))?;
        if result["unstable"] == true {
            judged.leave_out("a second run differed");
            continue;
        }
        let Some(retval) = result["retval"].as_u64() else {
            judged.leave_out("the test run itself was refused");
            continue;
        };
        let expected_out = match &result["data_out"] {
            Value::Null => packet.clone(),
            out => bytes(out).ok_or(Malformed::field("results"))?,
        };
        // Maps keep what a run leaves, so each engine runs once.
        let found: Vec<_> = loaded.iter().map(|loaded| run(loaded, kind, packet)).collect();
        let expected = Ok((retval as u32, expected_out));
        if found.iter().any(|found| *found != expected) && depends_on_memory(&loaded[0], kind, packet) {
            judged.leave_out("depends on addresses, or on what the stack held before");
            // What that run left in maps is not what the kernel's left.
            return Ok(());
        }
        let asks_routes = !record.value()["helpers"]["fib_lookup"].is_null();
        if asks_routes && found.iter().all(|outcome| *outcome == found[0] && *outcome != expected) {
            judged.leave_out("depends on the routes of the machine that was asked");
            return Ok(());
        }
        for (loaded, found) in loaded.iter().zip(found) {
            let about = || format!("`{name}` on {}\n{}", loaded.engine, loaded.listing());
            let show = |outcome: Result<(u32, Vec<u8>), Trap>| match outcome {
                Ok((r0, out)) => format!("{r0}, {}", hex::encode(out)),
                Err(trap) => format!("trapped: {trap}"),
            };
            judged.equal(show(expected.clone()), show(found), about);
        }
    }
    judge_audits(&loaded, judged);
    Ok(())
}

/// What sandbpf calls a type of packet programs.
pub(crate) fn kind(prog_type: &str) -> Option<KindName> {
    Some(match prog_type {
        "socket_filter" => KindName::SocketFilter,
        "xdp" => KindName::Xdp,
        "sched_cls" => KindName::SchedCls,
        "sched_act" => KindName::SchedAct,
        "cgroup_skb" => KindName::CgroupSkb,
        "flow_dissector" => KindName::FlowDissector,
        "lwt_in" => KindName::LwtIn,
        "lwt_out" => KindName::LwtOut,
        "lwt_xmit" => KindName::LwtXmit,
        _ => return None,
    })
}

/// Loads the record's program on every engine, each with maps of its own.
pub(crate) fn load(
    record: &Record,
    kind: KindName,
    context: &Context<'_>,
    judged: &mut Judged,
) -> Result<Option<Vec<Loaded>>, Malformed> {
    let code = maps::code(record)?;
    let settings = Settings { budget: LONG, ..Settings::default() };
    let make = |_| maps::of(record, kind);
    match context.engines.load_with(kind, || Code::Bytes(&code), settings, make) {
        Ok(mut loaded) => {
            loaded.extend(load_proved(record, kind, &code, context, settings));
            Ok(Some(loaded))
        }
        Err(NoMaps::Malformed(malformed)) => Err(malformed),
        Err(NoMaps::Refused(why)) => {
            judged.fail(|| why);
            Ok(None)
        }
    }
}

/// The same on the strength of its proof, where it has one.
fn load_proved(
    record: &Record,
    kind: KindName,
    code: &[u8],
    context: &Context<'_>,
    settings: Settings,
) -> Vec<Loaded> {
    let Ok(verifier) = verifier::of(record, context.library) else { return Vec::new() };
    context.engines.load_proved(settings, |loader, proved| {
        let maps = maps::of(record, kind)?;
        let verifier = verifier.clone().keeping_states(proved == Proved::Audited);
        let loaded = loader.maps(&maps).verified_by(verifier).load_any(kind, Code::Bytes(code));
        loaded.map_err(|error| NoMaps::Refused(error.to_string()))
    })
}

/// Tells what audits of the program's runs found.
pub(crate) fn judge_audits(loaded: &[Loaded], judged: &mut Judged) {
    for loaded in loaded {
        let Some((steps, violations)) = loaded.audited() else { continue };
        judged.audited(steps);
        for violation in violations {
            judged.fail(|| format!("the proof does not hold: {violation}\n{}", loaded.listing()));
        }
    }
}

/// Runs as the kernel's test run does: the result and the packet afterwards.
pub(crate) fn run(loaded: &Loaded, kind: KindName, packet: &[u8]) -> Result<(u32, Vec<u8>), Trap> {
    run_by(kind, packet, |input| loaded.run(input))
}

fn run_by(
    kind: KindName,
    packet: &[u8],
    run: impl FnOnce(AnyInput<'_>) -> Result<u64, Trap>,
) -> Result<(u32, Vec<u8>), Trap> {
    let out;
    let r0 = match kind {
        KindName::Xdp => {
            let mut frame = XdpFrame::new(packet);
            let r0 = run(AnyInput::Xdp((&mut frame).into()))?;
            out = [frame.metadata(), frame.bytes()].concat();
            r0
        }
        KindName::FlowDissector => {
            let mut flow = Flow::ethernet(packet);
            let r0 = run(AnyInput::Flow((&mut flow).into()))?;
            out = flow.keys.to_bytes().to_vec();
            r0
        }
        KindName::SocketFilter => {
            let meta = PacketMeta { data: 14, ..meta(packet) };
            out = [&[0; 14], &packet[14..]].concat();
            run(AnyInput::Packet(Packet::from(packet).with_meta(&meta)))?
        }
        kind => {
            let link = matches!(kind, KindName::SchedCls | KindName::SchedAct);
            let mut skb = test_skb(packet, link);
            let r0 = run(AnyInput::Skb((&mut skb).into()))?;
            out = if link { skb.bytes().to_vec() } else { [&[0; 14], skb.bytes()].concat() };
            r0
        }
    };
    Ok((r0 as u32, out))
}

/// Whether the program answers otherwise when its packet and its stack lie elsewhere and the stack is not empty: what it
/// answered in the kernel is then the kernel's memory.
pub(crate) fn depends_on_memory(loaded: &Loaded, kind: KindName, packet: &[u8]) -> bool {
    let fill: String =
        (1..=64).map(|word| format!("*(u64 *)(r10 - {}) = {}\n", 8 * word, -0x5a5a_5a5a - word)).collect();
    let text = loaded.program().instructions().to_string();
    let Ok(filled) = sandbpf::isa::parse(&format!("{fill}{text}")) else { return false };
    let elsewhere = run_by(kind, packet, |input| {
        loaded.run_by(input, |machine| {
            let (ends, by): (&[u64], u32) = match kind {
                KindName::Xdp => (&[0, 4], 16),
                KindName::SocketFilter | KindName::FlowDissector => (&[], 0),
                _ => (&[76, 80, 140], 16),
            };
            for end in ends {
                let at = address::CONTEXT + end;
                let moved = machine.memory.read::<4>(at).map_err(|fault| fault.at(Pc(0)))? + u64::from(by);
                machine.memory.write::<4>(at, moved).map_err(|fault| fault.at(Pc(0)))?;
            }
            if let Some(frame) = machine.memory.frame_mut() {
                frame.move_meta(-i64::from(by));
            }
            let layout = &mut machine.packet;
            (layout.data, layout.network) = (layout.data + by, layout.network + by);
            layout.link = layout.link.map(|link| link + by);
            machine.frame = 1;
            Step::new(filled).execute(machine)
        })
    });
    // One that does not look into its context, but gives away where it is.
    let unseen = run_by(kind, packet, |input| {
        loaded.run_by(input, |machine| {
            machine.registers[1] += 0x012_3450;
            Step::new(loaded.program().instructions().clone()).execute(machine)
        })
    });
    if unseen.is_ok_and(|unseen| run(loaded, kind, packet) != Ok(unseen)) {
        return true;
    }
    let Ok((r0, out)) = elsewhere else { return false };
    // What was moved before the packet is seen behind it.
    let visible = if kind == KindName::Xdp { out.get(16..).unwrap_or_default() } else { &out };
    run(loaded, kind, packet) != Ok((r0, visible.to_vec()))
}

/// What the test run's packet says of itself.
fn meta(packet: &[u8]) -> PacketMeta {
    let mut meta = PacketMeta::ethernet(packet);
    const OTHERHOST: u8 = 3;
    if meta.packet_type == 0 && packet[..6] != [0; 6] {
        meta.packet_type = OTHERHOST;
    }
    meta
}

fn test_skb(packet: &[u8], link: bool) -> Skb {
    let meta = PacketMeta { data: if link { 0 } else { 14 }, ..meta(packet) };
    let mut skb = Skb::new(packet, &meta);
    skb.fields.ingress_ifindex = 0;
    skb.fields.wire_len = 0;
    let word = |at: usize| packet.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let words = |at: usize| [word(at), word(at + 4), word(at + 8), word(at + 12)];
    let mut socket = [0; 80];
    let mut put = |at: usize, value: u32| socket[at..at + 4].copy_from_slice(&value.to_le_bytes());
    match meta.protocol {
        0x0800 => {
            (skb.fields.family, skb.fields.local_ip4, skb.fields.remote_ip4) = (2, word(26), word(30));
            put(4, 2);
            put(24, word(26));
            put(48, word(30));
        }
        0x86dd => {
            (skb.fields.family, skb.fields.local_ip6, skb.fields.remote_ip6) = (10, words(22), words(38));
            put(4, 10);
            (0..4).for_each(|i| put(28 + 4 * i, word(22 + 4 * i)));
            (0..4).for_each(|i| put(52 + 4 * i, word(38 + 4 * i)));
        }
        _ => {}
    }
    skb.socket = Some(Box::new(socket));
    skb
}
