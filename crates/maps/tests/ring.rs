//! Ring buffers: the kernel's layout, what stops whom, and where sizes end.

use std::sync::Arc;

use sandbpf_maps::{BUSY_BIT, DISCARD_BIT, Environment, Errno, Map, MapSpec, MapType, RingQuery, flags};

fn ring(map_type: MapType, size: u32) -> Arc<Map> {
    Map::create(MapSpec::new(map_type, 0, 0, size), &Environment::default()).expect("a ring")
}

/// What Linux 6.18 has in the data pages after records of 5, 8 and 16 bytes.
const RECORDED: &str = "0500000003000000414200000000000008000000030000004142000000000000\
                        10000000030000004142000000000000414200000000000000000000";

#[test]
fn records_lie_as_in_the_kernel() {
    let ring = ring(MapType::Ringbuf, 4096);
    for size in [5, 8, 16] {
        let sample = [0x41, 0x42, 0, 0, 0, 0, 0, 0, 0x41, 0x42, 0, 0, 0, 0, 0, 0];
        ring.ring_output(&sample[..size], 0).expect("there is room");
    }
    let bytes = (0..60).map(|at| format!("{:02x}", ring.load(at, 1).expect("a byte of the ring")));
    assert_eq!(bytes.collect::<String>(), RECORDED);
    assert_eq!(ring.ring_query(RingQuery::Producer), Ok(56));
}

#[test]
fn a_record_that_is_being_written_holds_up_the_rest() {
    let ring = ring(MapType::Ringbuf, 4096);
    let first = ring.ring_reserve(8, 0).expect("there is room");
    let second = ring.ring_reserve(8, 0).expect("there is room");
    assert_eq!(ring.load(first - 8, 4), Some(u64::from(BUSY_BIT | 8)));
    ring.ring_submit(second, 0).expect("it was reserved");
    assert_eq!(ring.ring_consume(|_| ()), Ok(0));
    ring.ring_discard(first, 0).expect("it was reserved");
    assert_eq!(ring.load(first - 8, 4), Some(u64::from(DISCARD_BIT | 8)));
    assert_eq!(ring.ring_consume(|_| ()), Ok(1), "what was discarded is not seen");
    assert_eq!(ring.ring_query(RingQuery::Available), Ok(0));
    assert_eq!(ring.ring_submit(first, 0), Err(Errno::EINVAL), "it is no longer being written");
}

#[test]
fn sizes_have_ends() {
    let ring = ring(MapType::Ringbuf, 4096);
    assert_eq!(ring.ring_reserve(4096 - 8, 0), None, "one byte of the ring stays free");
    assert_eq!(ring.ring_reserve(u64::MAX, 0), None);
    assert_eq!(ring.ring_reserve(8, 1), None, "there are no flags");
    assert_eq!(ring.ring_output(&[0; 5000], 0), Err(Errno::EAGAIN));
    assert_eq!(ring.ring_output(&[], 4), Err(Errno::EINVAL));
    let all = ring.ring_reserve(4096 - 16, 0).expect("the largest record");
    assert_eq!(ring.ring_output(&[], 0), Err(Errno::EAGAIN));
    ring.ring_submit(all, 0).expect("it was reserved");
    assert_eq!(ring.ring_consume(|record| assert_eq!(record.len(), 4080)), Ok(1));
    // The next one wraps around the end, and its offsets go on.
    let record = ring.ring_reserve(64, 0).expect("there is room again");
    assert_eq!(record, 4096, "the header is the last word of the buffer");
    for at in 0..8 {
        ring.store(record - 5 + at * 8, 8, u64::MAX).expect("also across the end");
    }
}

#[test]
fn a_waiting_consumer_is_woken() {
    let ring = ring(MapType::Ringbuf, 4096);
    ring.ring_output(&[1], 0).expect("there is room");
    assert_eq!(ring.ring_wakeups(), Ok(1), "it had caught up");
    ring.ring_output(&[2], 0).expect("there is room");
    assert_eq!(ring.ring_wakeups(), Ok(1), "it has not consumed the first");
    ring.ring_output(&[3], flags::RB_FORCE_WAKEUP).expect("there is room");
    assert_eq!(ring.ring_wakeups(), Ok(2));
    ring.ring_consume(|_| ()).expect("nobody else consumes");
    ring.ring_output(&[4], flags::RB_NO_WAKEUP).expect("there is room");
    assert_eq!(ring.ring_wakeups(), Ok(2));
}

#[test]
fn users_write_samples_for_programs() {
    let ring = ring(MapType::UserRingbuf, 4096);
    assert_eq!(ring.user_ring_reserve(5000), Err(Errno::E2BIG));
    assert_eq!(ring.user_ring_output(&[7; 4088]), Ok(()), "the whole ring");
    assert_eq!(ring.user_ring_output(&[]), Err(Errno::ENOSPC));
    let drain = ring.user_ring_drain().expect("nobody else drains");
    assert!(ring.user_ring_drain().is_err_and(|errno| errno == Errno::EBUSY));
    let (_, size) = drain.peek().expect("a sample");
    assert_eq!(size, 4088);
    drain.release(size);
    let first = ring.user_ring_reserve(3).expect("there is room again");
    assert_eq!(drain.peek(), Err(Errno::ENODATA), "it is being written");
    ring.user_ring_commit(first, true).expect("it was reserved");
    assert_eq!(drain.peek(), Err(Errno::EAGAIN), "it was discarded");
    assert_eq!(drain.peek(), Err(Errno::ENODATA));
    // A length that no sample can have.
    let second = ring.user_ring_reserve(8).expect("there is room");
    ring.store(second - 8, 4, 100).expect("a byte of the ring");
    assert_eq!(drain.peek(), Err(Errno::EINVAL));
}
