//! Headers that a kernel put before packets in its own byte order.
//!
//! Most of what a packet begins with is big-endian everywhere. The headers of six link types have fields in the order
//! of the capturing machine, which is the order of the file. libpcap gives them in the order of the reading machine
//! (`pcap-util.c`), so that a filter finds them the same in either file; here that order is little-endian on every
//! machine, which is also the order in which captures are written.
//!
//! A field that is not wholly captured stays as it is, and so does everything behind it.

use crate::{LinkType, order::Order};

/// A header with fields in host order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PseudoHeader {
    /// OpenBSD's packet filter: user and process numbers.
    Pflog,
    /// Linux cooked capture, when a CAN frame is what was captured.
    LinuxSll,
    /// Its second version.
    LinuxSll2,
    /// Linux USB, from `read`.
    LinuxUsb,
    /// Linux USB, from shared memory: 16 bytes more, and descriptors of isochronous transfers.
    LinuxUsbMmapped,
    /// Linux netfilter log: type and length of each attribute.
    Nflog,
}

impl PseudoHeader {
    pub(crate) fn of(link_type: LinkType) -> Option<PseudoHeader> {
        match link_type {
            LinkType::PFLOG => Some(PseudoHeader::Pflog),
            LinkType::LINUX_SLL => Some(PseudoHeader::LinuxSll),
            LinkType::LINUX_SLL2 => Some(PseudoHeader::LinuxSll2),
            LinkType::USB_LINUX => Some(PseudoHeader::LinuxUsb),
            LinkType::USB_LINUX_MMAPPED => Some(PseudoHeader::LinuxUsbMmapped),
            LinkType::NFLOG => Some(PseudoHeader::Nflog),
            _ => None,
        }
    }

    /// Exchanges the byte order of the fields.
    #[cold]
    pub(crate) fn swap(self, packet: &mut [u8], wire_len: u32) {
        // What lies beyond the length on the wire, in a damaged file, is not part of a header.
        let on_wire = packet.len().min(wire_len as usize);
        match self {
            PseudoHeader::Pflog => swap_pflog(&mut packet[..on_wire]),
            PseudoHeader::LinuxSll => swap_cooked(&mut packet[..on_wire], 14, 16),
            PseudoHeader::LinuxSll2 => swap_cooked(&mut packet[..on_wire], 0, 20),
            PseudoHeader::LinuxUsb => _ = swap_usb(packet),
            PseudoHeader::LinuxUsbMmapped => _ = swap_usb_mmapped(packet),
            PseudoHeader::Nflog => _ = swap_nflog(packet, on_wire),
        }
    }

    /// The length on the wire, corrected where libpcap once computed it wrongly: it took the length of the USB
    /// request for that of its answer, which for isochronous transfers is spread over descriptors.
    #[inline]
    pub(crate) fn wire_len(self, packet: &[u8], wire_len: u32) -> u32 {
        match self {
            PseudoHeader::LinuxUsbMmapped => isochronous_len(packet, wire_len).unwrap_or(wire_len),
            _ => wire_len,
        }
    }
}

/// Exchanges the bytes of a field; `None` when it is not wholly there.
fn swap_field(packet: &mut [u8], at: usize, size: usize) -> Option<()> {
    packet.get_mut(at..at.checked_add(size)?)?.reverse();
    Some(())
}

/// The numbers of user and process, of the packet and of the rule, if the header (its first byte is its length) is
/// long enough to have them.
fn swap_pflog(packet: &mut [u8]) {
    let Some(&length) = packet.first() else { return };
    let header = packet.len().min(usize::from(length));
    for at in [44, 48, 52, 56] {
        if swap_field(&mut packet[..header], at, 4).is_none() {
            return;
        }
    }
}

/// A CAN frame behind a cooked header of this length; the protocol, at `protocol`, tells.
fn swap_cooked(packet: &mut [u8], protocol: usize, header: usize) {
    const CAN: u16 = 0x000c;
    const CAN_FD: u16 = 0x000d;
    const CAN_XL: u16 = 0x000e;
    let Some((header, frame)) = packet.split_at_mut_checked(header) else { return };
    let fields: &[(usize, usize)] = match Order::Big.u16(header, protocol) {
        CAN | CAN_FD => &[(0, 4)],
        CAN_XL => &[(0, 4), (6, 2), (8, 4)],
        _ => &[],
    };
    for &(at, size) in fields {
        if swap_field(frame, at, size).is_none() {
            return;
        }
    }
}

const USB_HEADER: usize = 64;
const USB_DESCRIPTOR: usize = 16;
/// What Linux gives at most.
const USB_MAX_DESCRIPTORS: u32 = 128;
const ISOCHRONOUS: u8 = 0;
const COMPLETE: u8 = b'C';
const TRANSFER_IN: u8 = 0x80;

/// The fields of both USB headers; those of the setup packet are in the order of USB already.
fn swap_usb(packet: &mut [u8]) -> Option<()> {
    for (at, size) in [(0, 8), (12, 2), (16, 8), (24, 4), (28, 4), (32, 4), (36, 4)] {
        swap_field(packet, at, size)?;
    }
    if packet[9] == ISOCHRONOUS {
        swap_field(packet, 40, 4)?;
        swap_field(packet, 44, 4)?;
    }
    Some(())
}

fn swap_usb_mmapped(packet: &mut [u8]) -> Option<()> {
    swap_usb(packet)?;
    for at in [48, 52, 56, 60] {
        swap_field(packet, at, 4)?;
    }
    if packet[9] == ISOCHRONOUS {
        let descriptors = Order::Little.u32(packet, 60) as usize;
        // The walk ends with the packet, whatever the number says.
        for descriptor in packet[USB_HEADER..].chunks_mut(USB_DESCRIPTOR).take(descriptors) {
            for at in [0, 4, 8] {
                swap_field(descriptor, at, 4)?;
            }
        }
    }
    Some(())
}

/// Type and length of each attribute behind the header; the values have their own orders.
fn swap_nflog(packet: &mut [u8], on_wire: usize) -> Option<()> {
    const HEADER: usize = 4;
    const ATTRIBUTE: usize = 4;
    if on_wire < HEADER || packet[1] != 0 {
        return None;
    }
    let mut at = HEADER;
    loop {
        swap_field(packet, at + 2, 2)?;
        swap_field(packet, at, 2)?;
        let length = usize::from(Order::Little.u16(packet, at)).next_multiple_of(4);
        if length < ATTRIBUTE || length > on_wire.checked_sub(at)? {
            return None;
        }
        at += length;
    }
}

/// The length that the completion of an incoming isochronous transfer had, if it was computed from the request.
fn isochronous_len(packet: &[u8], wire_len: u32) -> Option<u32> {
    let header = packet.get(..USB_HEADER)?;
    let (event, transfer, endpoint, no_data) = (header[8], header[9], header[10], header[15]);
    let (request, descriptors) = (Order::Little.u32(header, 32), Order::Little.u32(header, 60));
    if descriptors > USB_MAX_DESCRIPTORS
        || no_data != 0
        || (event, transfer) != (COMPLETE, ISOCHRONOUS)
        || endpoint & TRANSFER_IN == 0
    {
        return None;
    }
    let headers = USB_HEADER + descriptors as usize * USB_DESCRIPTOR;
    if wire_len != (headers as u32).wrapping_add(request) {
        return None;
    }
    let data = packet
        .get(USB_HEADER..headers)?
        .chunks(USB_DESCRIPTOR)
        .map(|descriptor| (Order::Little.u32(descriptor, 4), Order::Little.u32(descriptor, 8)))
        .filter(|&(_, length)| length != 0)
        .map(|(offset, length)| offset.saturating_add(length))
        .max()
        .unwrap_or(0);
    let captured = packet.len() as u32;
    let corrected = data.saturating_add(headers as u32);
    Some(if corrected >= captured { corrected } else { wire_len.max(captured) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which bytes of a packet of this length move.
    fn moved(pseudo_header: PseudoHeader, packet: &[u8], wire_len: u32) -> Vec<usize> {
        // Bytes that all differ tell a swap; those that a header interprets are the caller's.
        let mut swapped = packet.to_vec();
        pseudo_header.swap(&mut swapped, wire_len);
        (0..packet.len()).filter(|&at| packet[at] != swapped[at]).collect()
    }

    /// Bytes `1, 2, 3, …` with some set.
    fn packet(length: u8, set: &[(usize, u8)]) -> Vec<u8> {
        let mut packet: Vec<u8> = (1..=length).collect();
        for &(at, byte) in set {
            packet[at] = byte;
        }
        packet
    }

    fn fields(fields: &[(usize, usize)]) -> Vec<usize> {
        fields.iter().flat_map(|&(at, size)| at..at + size).collect()
    }

    #[test]
    fn pflog_numbers_that_the_header_has() {
        let swap = |header, captured, wire_len| {
            moved(PseudoHeader::Pflog, &packet(captured, &[(0, header)]), wire_len)
        };
        assert_eq!(swap(61, 80, 80), fields(&[(44, 16)]));
        assert_eq!(swap(48, 80, 80), fields(&[(44, 4)]));
        assert_eq!(swap(61, 55, 80), fields(&[(44, 8)]));
        assert_eq!(swap(61, 80, 47), []);
        assert_eq!(moved(PseudoHeader::Pflog, &[], 0), []);
    }

    #[test]
    fn can_frames_behind_cooked_headers() {
        let sll = |protocol| packet(40, &[(14, 0), (15, protocol)]);
        assert_eq!(moved(PseudoHeader::LinuxSll, &sll(0x0c), 40), fields(&[(16, 4)]));
        assert_eq!(moved(PseudoHeader::LinuxSll, &sll(0x0e), 40), fields(&[(16, 4), (22, 2), (24, 4)]));
        assert_eq!(moved(PseudoHeader::LinuxSll, &sll(0x08), 40), []);
        assert_eq!(moved(PseudoHeader::LinuxSll, &sll(0x0c), 19), []);
        assert_eq!(moved(PseudoHeader::LinuxSll, &sll(0x0c)[..15], 40), []);
        let sll2 = packet(40, &[(0, 0), (1, 0x0d)]);
        assert_eq!(moved(PseudoHeader::LinuxSll2, &sll2, 40), fields(&[(20, 4)]));
    }

    #[test]
    fn usb_fields_and_descriptors() {
        const FIXED: [(usize, usize); 7] = [(0, 8), (12, 2), (16, 8), (24, 4), (28, 4), (32, 4), (36, 4)];
        let bulk = packet(100, &[(9, 3)]);
        assert_eq!(moved(PseudoHeader::LinuxUsb, &bulk, 100), fields(&FIXED));
        assert_eq!(moved(PseudoHeader::LinuxUsb, &bulk[..13], 100), fields(&FIXED[..1]));
        let mapped = [&FIXED[..], &[(48, 16)]].concat();
        assert_eq!(moved(PseudoHeader::LinuxUsbMmapped, &bulk, 100), fields(&mapped));
        // Two descriptors, of which the second is cut within its length.
        let isochronous = packet(90, &[(9, 0), (60, 0), (61, 0), (62, 0), (63, 2)]);
        let swapped = [&FIXED[..], &[(40, 8), (48, 12), (60, 1), (63, 1), (64, 12), (80, 8)]].concat();
        assert_eq!(moved(PseudoHeader::LinuxUsbMmapped, &isochronous, 90), fields(&swapped));
    }

    #[test]
    fn netfilter_attributes_one_by_one() {
        // An attribute of 6 bytes, padded to 8; one of 4; one that goes beyond the end.
        let attributes = [0, 6, 1, 2, 9, 9, 0, 0, 0, 4, 1, 2, 0, 200, 1, 2, 9, 9];
        let packet = [&[2, 0, 0, 0], &attributes[..]].concat();
        let swapped = fields(&[(4, 4), (12, 4), (16, 4)]);
        assert_eq!(moved(PseudoHeader::Nflog, &packet, 22), swapped);
        let unknown_version = [&[2, 1, 0, 0], &attributes[..]].concat();
        assert_eq!(moved(PseudoHeader::Nflog, &unknown_version, 22), []);
        assert_eq!(moved(PseudoHeader::Nflog, &packet, 3), []);
    }

    #[test]
    fn the_length_of_an_isochronous_answer_comes_from_its_descriptors() {
        let wire_len = |set: &[(usize, u8)], wire_len| {
            let mut packet = vec![0; 96];
            // Completion, isochronous, in; a request of 200; two descriptors, of 0 and of 50 bytes at 100.
            let answer = [(8, b'C'), (10, 0x81), (32, 200), (60, 2), (84, 100), (88, 50)];
            for &(at, byte) in answer.iter().chain(set) {
                packet[at] = byte;
            }
            PseudoHeader::LinuxUsbMmapped.wire_len(&packet, wire_len)
        };
        assert_eq!(wire_len(&[], 296), 96 + 150);
        assert_eq!(wire_len(&[], 297), 297, "it was not computed from the request");
        assert_eq!(wire_len(&[(8, b'S')], 296), 296, "a submission has no answer");
        assert_eq!(wire_len(&[(10, 1)], 296), 296, "nothing comes in");
        assert_eq!(wire_len(&[(9, 3)], 296), 296, "bulk has no descriptors");
        assert_eq!(wire_len(&[(60, 3)], 312), 312, "a descriptor is missing");
        assert_eq!(wire_len(&[(61, 1)], 296), 296, "no kernel gives that many descriptors");
    }
}
