//! What a packet begins with: Ethernet, raw IP, 802.11, and two hundred more.

use std::fmt;

use crate::link_types::ROWS;

/// A link type, by the number it has in capture files (`LINKTYPE_…`).
///
/// ```
/// use sandbpf_capture::LinkType;
/// assert_eq!(LinkType::RAW.number(), 101);
/// assert_eq!(LinkType::RAW.dlt(), 12);
/// assert_eq!(LinkType::from_name("en10mb"), Some(LinkType::EN10MB));
/// assert_eq!(LinkType::new(5000).to_string(), "link type 5000");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub(crate) u32);

impl LinkType {
    /// The link type with this number in files, known or not.
    pub const fn new(number: u32) -> LinkType {
        LinkType(number)
    }

    /// The link type that libpcap calls `DLT_…` of this number.
    pub fn from_dlt(dlt: u32) -> LinkType {
        ROWS.iter().find(|row| row.dlt == dlt).map_or(LinkType(dlt), |row| row.link_type)
    }

    /// The link type with this name, as `tcpdump -y` takes it: `EN10MB`, in capitals or not.
    pub fn from_name(name: &str) -> Option<LinkType> {
        ROWS.iter().find(|row| row.name.eq_ignore_ascii_case(name)).map(|row| row.link_type)
    }

    /// The number in files.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The number that libpcap gives its users and its filters (`pcap_datalink`). One that is in no table stands for
    /// itself.
    pub fn dlt(self) -> u32 {
        match ROWS.binary_search_by_key(&self, |row| row.link_type) {
            Ok(found) => ROWS[found].dlt,
            Err(_) => self.0,
        }
    }

    /// The name of its DLT, without the prefix.
    pub fn name(self) -> Option<&'static str> {
        let dlt = self.dlt();
        ROWS.iter().find(|row| row.dlt == dlt).map(|row| row.name)
    }

    /// The longest packet that is believed (`max_snaplen_for_dlt`).
    pub fn max_capture_len(self) -> u32 {
        match self {
            LinkType::DBUS => 128 << 20,
            LinkType::EBHSCR => 8 << 20,
            LinkType::USBPCAP => 1 << 20,
            _ => 262_144,
        }
    }

    /// What a file's snapshot length means: 0 and what libpcap cannot hold in an `int` are no limit of their own.
    pub(crate) fn adjust_snaplen(self, snaplen: u32) -> u32 {
        if snaplen == 0 || snaplen > i32::MAX as u32 { self.max_capture_len() } else { snaplen }
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "link type {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_table_is_sorted_and_a_bijection() {
        assert!(ROWS.is_sorted_by(|a, b| a.link_type < b.link_type));
        let names: HashSet<_> = ROWS.iter().map(|row| row.name).collect();
        let dlts: HashSet<_> = ROWS.iter().map(|row| row.dlt).collect();
        assert_eq!((names.len(), dlts.len()), (ROWS.len(), ROWS.len()));
        for row in ROWS {
            assert_eq!(LinkType::from_dlt(row.dlt), row.link_type);
            assert_eq!(LinkType::from_name(row.name), Some(row.link_type));
            assert_eq!((row.link_type.dlt(), row.link_type.name()), (row.dlt, Some(row.name)));
        }
    }

    #[test]
    fn five_numbers_differ_between_file_and_memory() {
        let differ: Vec<_> =
            ROWS.iter().filter(|row| row.link_type.0 != row.dlt).map(|row| row.name).collect();
        assert_eq!(differ, ["ATM_RFC1483", "RAW", "SLIP_BSDOS", "PPP_BSDOS", "ATM_CLIP"]);
    }

    #[test]
    fn a_dlt_in_a_file_is_taken_for_itself() {
        assert_eq!((LinkType::new(12).dlt(), LinkType::new(12).name()), (12, Some("RAW")));
        assert_eq!((LinkType::new(5000).dlt(), LinkType::new(5000).name()), (5000, None));
    }

    #[test]
    fn a_snapshot_length_that_cannot_be_is_the_maximum() {
        assert_eq!(LinkType::EN10MB.adjust_snaplen(0), 262_144);
        assert_eq!(LinkType::DBUS.adjust_snaplen(u32::MAX), 128 << 20);
        assert_eq!(LinkType::EN10MB.adjust_snaplen(i32::MAX as u32), i32::MAX as u32);
    }
}
