//! Helpers that hand records to the embedder: perf event arrays and ring buffers.

use sandbpf_maps::{Map, RingQuery};

use super::dynptr::{Dynptr, Target};
use super::errno::{EFAULT, EINVAL, fail};
use super::map::answer;
use super::{Bytes, Context, Scalar};
use crate::net::PacketKind;
use crate::{Fault, HelperResult, Machine, address};

/// The processor whose buffer is meant; all bits are this one.
const INDEX: u64 = 0xffff_ffff;
/// How many bytes of the packet follow.
const CONTEXT_LEN: u64 = 0xf_ffff << 32;

crate::helpers! {
    pub(super) static HELPERS;

    /// Hands a record to whoever reads a processor's buffer, perhaps with the packet's first bytes.
    25 fn perf_event_output(machine, _ctx: Context, map: Scalar, flags: Scalar, data: Bytes) {
        perf(machine, map.0, flags.0, data)
    }

    /// The same from a function that has a packet.
    111 fn skb_output(machine, _ctx: Scalar, map: Scalar, flags: Scalar, data: Bytes) {
        perf(machine, map.0, flags.0 & INDEX, data)
    }

    /// The same from a function that has a frame.
    121 fn xdp_output(machine, _ctx: Scalar, map: Scalar, flags: Scalar, data: Bytes) {
        perf(machine, map.0, flags.0 & INDEX, data)
    }

    /// Puts a record into a ring buffer.
    130 fn ringbuf_output(machine, map: Scalar, data: Bytes, flags: Scalar) {
        let (_, map) = machine.map(map.0)?;
        let data = machine.bytes(data.address, data.len)?;
        answer(map.ring_output(&data, flags.0))
    }

    /// Room for a record in a ring buffer, or null.
    131 fn ringbuf_reserve(machine, map: Scalar, size: Scalar, flags: Scalar) {
        let (number, map) = machine.map(map.0)?;
        Ok(map.ring_reserve(size.0, flags.0).map_or(0, |place| address::map_value(number, place)))
    }

    /// The record is complete.
    132 fn ringbuf_submit(machine, record: Scalar, flags: Scalar) {
        let (map, place) = record_of(machine, record.0)?;
        let _ = map.ring_submit(place, flags.0);
        Ok(0)
    }

    /// The record is not wanted.
    133 fn ringbuf_discard(machine, record: Scalar, flags: Scalar) {
        let (map, place) = record_of(machine, record.0)?;
        let _ = map.ring_discard(place, flags.0);
        Ok(0)
    }

    /// How full a ring buffer is, how large, and where its ends are.
    134 fn ringbuf_query(machine, map: Scalar, what: Scalar) {
        let (_, map) = machine.map(map.0)?;
        let answer = RingQuery::from_number(what.0).and_then(|what| map.ring_query(what).ok());
        Ok(answer.unwrap_or(0))
    }

    /// Room for a record in a ring buffer, as a dynamic pointer.
    198 fn ringbuf_reserve_dynptr(machine, map: Scalar, size: Scalar, flags: Scalar, to: Scalar) {
        let (number, map) = machine.map(map.0)?;
        let size = u64::from(size.0 as u32);
        let refused = if flags.0 != 0 { Some(EINVAL) } else { None };
        let room = match refused {
            None if Dynptr::new(1, size, Target::Ring).is_some() => map.ring_reserve(size, 0),
            _ => None,
        };
        let made = room.and_then(|place| Dynptr::new(address::map_value(number, place), size, Target::Ring));
        made.unwrap_or(Dynptr::NULL).store(machine, to.0)?;
        match (made, refused) {
            (Some(_), _) => Ok(0),
            (None, Some(errno)) => fail(errno),
            (None, None) if size > (1 << 24) - 1 => fail(super::errno::E2BIG),
            (None, None) => fail(EINVAL),
        }
    }

    /// The record is complete.
    199 fn ringbuf_submit_dynptr(machine, record: Scalar, flags: Scalar) {
        end(machine, record.0, |map, place| {
            let _ = map.ring_submit(place, flags.0);
        })
    }

    /// The record is not wanted.
    200 fn ringbuf_discard_dynptr(machine, record: Scalar, flags: Scalar) {
        end(machine, record.0, |map, place| {
            let _ = map.ring_discard(place, flags.0);
        })
    }

    /// Takes samples out of a ring buffer that the embedder fills, and calls a function with each.
    209 fn user_ringbuf_drain(machine, map: Scalar, function: Scalar, context: Scalar, flags: Scalar) {
        drain(machine, map.0, function.0, context.0, flags.0)
    }
}

fn perf(machine: &mut Machine<'_>, map: u64, flags: u64, data: Bytes) -> HelperResult {
    let (_, map) = machine.map(map)?;
    let with_packet = matches!(machine.packet_kind(), PacketKind::Xdp | PacketKind::Skb);
    if flags & !(INDEX | if with_packet { CONTEXT_LEN } else { 0 }) != 0 {
        return fail(EINVAL);
    }
    let mut record = machine.bytes(data.address, data.len)?;
    let start = machine.packet.data as usize;
    let packet = machine.memory.packet_bytes().get(start..).unwrap_or_default();
    match packet.get(..((flags & CONTEXT_LEN) >> 32) as usize) {
        Some(head) => record.extend_from_slice(head),
        None => return fail(EFAULT),
    }
    answer(map.perf_output((flags & INDEX) as u32, machine.cpu(), &record))
}

/// The ring buffer that a record lies in, and where.
fn record_of<'run>(machine: &Machine<'run>, record: u64) -> Result<(&'run Map, u64), Fault> {
    let found = || {
        let (number, place) = address::as_map_value(record)?;
        Some((&**machine.world()?.map(number)?, place))
    };
    found().ok_or(Fault { address: record, size: 1, write: true })
}

fn end(machine: &mut Machine<'_>, dynptr: u64, end: impl FnOnce(&Map, u64)) -> HelperResult {
    let record = Dynptr::load(machine, dynptr)?;
    if record.data != 0 {
        let (map, place) = record_of(machine, record.data)?;
        end(map, place);
    }
    Dynptr::NULL.store(machine, dynptr)?;
    Ok(0)
}

fn drain(machine: &mut Machine<'_>, map: u64, function: u64, context: u64, flags: u64) -> HelperResult {
    const KNOWN: u64 = 3;
    let (number, map) = machine.map(map)?;
    if flags & !KNOWN != 0 {
        return fail(EINVAL);
    }
    let drain = match map.user_ring_drain() {
        Ok(drain) => drain,
        Err(errno) => return Ok(errno.to_r0()),
    };
    let (mut count, mut looked_at) = (0, 0);
    while looked_at < sandbpf_maps::MAX_USER_SAMPLES {
        let (place, size) = match drain.peek() {
            Ok(sample) => sample,
            Err(sandbpf_maps::Errno::ENODATA) => break,
            Err(sandbpf_maps::Errno::EAGAIN) => {
                looked_at += 1;
                continue;
            }
            Err(errno) => {
                drain.finish(flags, looked_at);
                return Ok(errno.to_r0());
            }
        };
        let sample = Dynptr::new(address::map_value(number, place), size.into(), Target::Local);
        let at = sample.and_then(|sample| machine.memory.add_object(&sample.to_bytes()));
        let Some(at) = at else { return fail(EFAULT) };
        let result = machine.call_back(function, [at, context, 0, 0, 0]);
        machine.memory.drop_object(at);
        drain.release(size);
        (count, looked_at) = (count + 1, looked_at + 1);
        if result? != 0 {
            break;
        }
    }
    drain.finish(flags, looked_at);
    Ok(count)
}
