//! A capture that is being written.

use std::io::Write;

use crate::{CaptureHeader, Packet, Resolution, WriteError};

/// Writes packets as pcap 2.4, little-endian, as `tcpdump -w` does.
///
/// ```
/// use sandbpf_capture::{Capture, CaptureHeader, CaptureWriter, LinkType, Packet, Timestamp};
/// let mut writer = CaptureWriter::new(Vec::new(), CaptureHeader::new(LinkType::RAW))?;
/// let packet = Packet {
///     data: &[0x45],
///     wire_len: 60,
///     timestamp: Timestamp { seconds: 1, nanos: 0 },
///     link_type: LinkType::RAW,
///     interface: 0,
///     index: 0,
/// };
/// writer.write(&packet)?;
/// let file = writer.finish()?;
/// assert_eq!(Capture::from_slice(&file)?.next_packet()?, Some(packet));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CaptureWriter<W> {
    out: W,
    header: CaptureHeader,
    packets: u64,
}

impl<W: Write> CaptureWriter<W> {
    /// Writes the file header. `out` is written to in small pieces: give a `BufWriter` for a file.
    pub fn new(mut out: W, header: CaptureHeader) -> Result<CaptureWriter<W>, WriteError> {
        let magic: u32 = match header.resolution {
            Resolution::Micro => 0xa1b2_c3d4,
            Resolution::Nano => 0xa1b2_3c4d,
        };
        let link_type = header.link_type.number() | header.extension;
        // Version 2.4; two fields that have always been 0.
        let fields = [magic, 2 | 4 << 16, 0, 0, header.snaplen, link_type];
        out.write_all(fields.map(u32::to_le_bytes).as_flattened())?;
        Ok(CaptureWriter { out, header, packets: 0 })
    }

    /// Goes on with a file whose header stands elsewhere: for records that are brought there by [`CaptureWriter::append`].
    pub fn records(out: W, header: CaptureHeader) -> CaptureWriter<W> {
        CaptureWriter { out, header, packets: 0 }
    }

    /// Writes what another writer has written, of records alone and with the same header.
    pub fn append(&mut self, records: &CaptureWriter<Vec<u8>>) -> Result<(), WriteError> {
        self.out.write_all(&records.out)?;
        self.packets += records.packets;
        Ok(())
    }

    /// What the file's header says.
    pub fn header(&self) -> CaptureHeader {
        self.header
    }

    /// Writes a packet, with its time and its length on the wire.
    ///
    /// Nothing is written of a packet that the file cannot hold: one of another link type, longer than the snapshot
    /// length, or captured at a time that 32 bits cannot say. Digits of the time below the file's resolution are cut.
    pub fn write(&mut self, packet: &Packet<'_>) -> Result<(), WriteError> {
        let CaptureHeader { link_type, snaplen, resolution, .. } = self.header;
        let index = packet.index;
        if packet.link_type != link_type {
            return Err(WriteError::LinkType { index, packet: packet.link_type, file: link_type });
        }
        let captured = match u32::try_from(packet.data.len()) {
            Ok(captured) if captured <= snaplen => captured,
            _ => return Err(WriteError::Length { index, length: packet.data.len(), snaplen }),
        };
        let seconds = packet.timestamp.seconds;
        let fraction = packet.timestamp.nanos / resolution.nanos();
        let (Some(seconds_field), Some(fraction_field)) = (time_field(seconds), time_field(fraction)) else {
            return Err(WriteError::Time { index, seconds });
        };
        let fields = [seconds_field, fraction_field, captured, packet.wire_len];
        self.out.write_all(fields.map(u32::to_le_bytes).as_flattened())?;
        self.out.write_all(packet.data)?;
        self.packets += 1;
        Ok(())
    }

    /// How many packets were written.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Writes what is still buffered, and gives the file back.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The 32 bits that say this number, with a sign as they were read or without as the format has it.
fn time_field(number: i64) -> Option<u32> {
    u32::try_from(number).ok().or_else(|| i32::try_from(number).ok().map(|number| number as u32))
}
