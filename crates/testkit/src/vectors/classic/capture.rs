//! Capture files, and the digest of what libpcap reads from them.

use sandbpf_capture::Capture;
use sha2::{Digest, Sha256};

use crate::vectors::Context;
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    let bytes = context.library.capture_file(record.str("pcap")?)?;
    let opened = Capture::from_slice(&bytes);
    if let Some(reason) = record.value()["open_error"].as_str() {
        judged.equal(false, opened.is_ok(), || format!("opened; libpcap says: {reason}"));
        return Ok(());
    }
    let mut capture = match opened {
        Ok(capture) => capture,
        Err(error) => {
            judged.fail(|| format!("not opened: {error}"));
            return Ok(());
        }
    };
    let dlt = u64::from(capture.link_type().dlt());
    judged.equal(record.u64("dlt")?, dlt, || "link type");
    judged.equal(record.u64("snaplen")?, u64::from(capture.snaplen()), || "snapshot length");
    let limit = record.u64("packets")?;
    let broken = record.has("read_error");
    let mut digest = Sha256::new();
    let (mut packets, mut bytes, mut truncated) = (0, 0, 0);
    let ended = loop {
        // Where libpcap gives up, what stands before that must be the same; more is welcome.
        if broken && packets == limit {
            break Ok(());
        }
        match capture.next_packet() {
            Ok(Some(packet)) => {
                digest.update(packet.timestamp.seconds.to_le_bytes());
                digest.update(packet.timestamp.nanos.to_le_bytes());
                digest.update((packet.data.len() as u32).to_le_bytes());
                digest.update(packet.wire_len.to_le_bytes());
                digest.update(packet.data);
                packets += 1;
                bytes += packet.data.len() as u64;
                truncated += u64::from(packet.data.len() < packet.wire_len as usize);
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.to_string()),
        }
    };
    judged.equal(Ok(()), ended, || "the end of the capture");
    judged.equal(limit, packets, || "packets");
    judged.equal(record.u64("cap_bytes")?, bytes, || "captured bytes");
    judged.equal(record.u64("truncated")?, truncated, || "truncated packets");
    judged.equal(record.str("digest")?, &*hex::encode(digest.finalize()), || "digest");
    Ok(())
}
