//! A pcap file read in parts, each by itself: by several threads, say.
//!
//! A record says how long it is, and nothing says where one starts. So who begins in the middle of a file guesses: at the
//! first byte from which on records follow each other. Whether the guess was right is known when the part before has been
//! read, which ends where the next one must start.

use crate::input::Input;
use crate::pcap::Pcap;
use crate::{Capture, LinkType};

/// How the parts of a pcap file are read. What pcapng blocks mean, blocks before them say: those files have no parts.
///
/// ```
/// use sandbpf_capture::{Capture, Split};
/// # let file = include_bytes!("../../../tests/data/http.pcap");
/// let split = Split::of(&Capture::from_slice(file)?).expect("it is a pcap file");
/// // The second half of it.
/// let middle = file.len() / 2;
/// let start = middle + split.guess(&file[middle..]).expect("there is a record in it");
/// let mut half = split.part(&file[start..], start as u64, 0);
/// let mut packets = 0;
/// while half.next_packet()?.is_some() {
///     packets += 1;
/// }
/// assert!(packets > 0);
/// # Ok::<(), sandbpf_capture::CaptureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Split {
    pcap: Pcap,
}

/// So many records must follow each other where one is thought to start.
const ENOUGH: usize = 6;

impl Split {
    /// How to read parts of this file; `None` if it has none.
    pub fn of(capture: &Capture<'_>) -> Option<Split> {
        Some(Split { pcap: capture.pcap()?.clone() })
    }

    /// Where the file's first record starts.
    pub fn first(&self) -> u64 {
        crate::pcap::FILE_HEADER as u64
    }

    /// What the packets begin with.
    pub fn link_type(&self) -> LinkType {
        self.pcap.header.link_type
    }

    /// The packets of these bytes, which begin with a record `at` bytes from the start of the file, the packet of which has
    /// this number.
    pub fn part<'b>(&self, bytes: &'b [u8], at: u64, index: u64) -> Capture<'b> {
        Capture::part(self.pcap.clone(), Input::part(bytes, at), index)
    }

    /// Where the first record starts in these bytes, as far as one can tell: from where on some records follow each other,
    /// or lead to the very end. `None` if none seems to.
    pub fn guess(&self, bytes: &[u8]) -> Option<usize> {
        (0..bytes.len()).find(|&start| {
            let (mut at, mut records) = (start, 0);
            while records < ENOUGH && at < bytes.len() {
                match self.pcap.plausible(&bytes[at..]) {
                    Some(length) => at += length,
                    None => return false,
                }
                records += 1;
            }
            // What leads out of sight proves little.
            records == ENOUGH || at == bytes.len()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CaptureHeader, CaptureWriter, Packet, Timestamp};

    /// A file of packets of various lengths, and where each record starts.
    fn file() -> (Vec<u8>, Vec<usize>) {
        let mut writer = CaptureWriter::new(Vec::new(), CaptureHeader::new(LinkType::EN10MB)).unwrap();
        let mut starts = Vec::new();
        let mut at = 24;
        for index in 0..200u64 {
            let data = vec![(index % 7) as u8; 20 + (index * 37 % 300) as usize];
            let timestamp = Timestamp { seconds: 1_700_000_000 + index as i64, nanos: 1000 * index as i64 };
            let (wire_len, link_type) = (data.len() as u32 + 4, LinkType::EN10MB);
            writer
                .write(&Packet { data: &data, wire_len, timestamp, link_type, interface: 0, index })
                .unwrap();
            starts.push(at);
            at += 16 + data.len();
        }
        (writer.finish().unwrap(), starts)
    }

    #[test]
    fn records_are_found_from_anywhere() {
        let (file, starts) = file();
        let split = Split::of(&Capture::from_slice(&file).unwrap()).unwrap();
        for from in (24..starts[150]).step_by(13) {
            let next = starts.iter().copied().find(|&start| start >= from);
            assert_eq!(split.guess(&file[from..]).map(|at| from + at), next, "from {from}");
        }
        assert_eq!(split.guess(&[]), None);
        assert_eq!(split.guess(&[0xff; 100]), None);
    }

    #[test]
    fn parts_know_where_they_are() {
        let (file, starts) = file();
        let split = Split::of(&Capture::from_slice(&file).unwrap()).unwrap();
        let mut part = split.part(&file[starts[50]..starts[52] + 3], starts[50] as u64, 50);
        for (index, &start) in (50..).zip(&starts[50..52]) {
            assert_eq!(part.offset(), start as u64);
            assert_eq!(part.next_packet().unwrap().unwrap().index, index);
        }
        let error = part.next_packet().unwrap_err();
        let place = format!("at byte {}, after 52 packets: ", starts[52]);
        assert!(error.to_string().starts_with(&place), "{error}");
        assert_eq!(part.offset(), starts[52] as u64);
    }
}
