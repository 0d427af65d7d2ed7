//! A packet whose ends may move.
//!
//! ```text
//!   bytes    0 ......... meta ....... data ............. end ........... limit
//!              headroom       metadata       packet           tailroom
//!                        ^ visible to programs ^
//! ```
//!
//! Programs see the bytes from `meta` to `end`. Helpers that move an end (`bpf_xdp_adjust_head`, `bpf_skb_change_tail`)
//! move it here; the first visible byte always has the same guest address, so what a program knew of the packet
//! before is void, as on Linux.

use std::ops::Range;

/// A packet with room before and behind it.
///
/// ```
/// use sandbpf_runtime::memory::frame::Frame;
/// let mut frame = Frame::new(&[1, 2, 3], 256, 64);
/// assert!(frame.move_data(-2));
/// assert_eq!(frame.data(), [0, 0, 1, 2, 3]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Frame {
    bytes: Vec<u8>,
    meta: usize,
    data: usize,
    end: usize,
    /// What was visible at any time since the last [`Frame::reset`]: all other bytes are zero.
    seen: Range<usize>,
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        let all = |frame: &Frame| (frame.meta, frame.data, frame.end);
        all(self) == all(other) && self.bytes == other.bytes
    }
}

impl Eq for Frame {}

impl Frame {
    /// A copy of a packet, with this much room before and behind it.
    pub fn new(packet: &[u8], headroom: usize, tailroom: usize) -> Frame {
        let mut frame = Frame::default();
        frame.reset(packet, headroom, tailroom);
        frame
    }

    /// Becomes [`Frame::new`] without new memory where the old is enough. Room that nobody saw is zero as it is.
    pub fn reset(&mut self, packet: &[u8], headroom: usize, tailroom: usize) {
        let end = headroom + packet.len();
        let len = end + tailroom;
        self.bytes.resize(len, 0);
        let Range { start, end: last } = self.seen;
        let (start, last) = (start.min(len), last.min(len));
        if start < headroom {
            self.bytes[start..last.min(headroom)].fill(0);
        }
        if end < last {
            self.bytes[start.max(end)..last].fill(0);
        }
        self.bytes[headroom..end].copy_from_slice(packet);
        (self.meta, self.data, self.end) = (headroom, headroom, end);
        self.seen = headroom..end;
    }

    /// The packet.
    #[inline]
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.data..self.end]
    }

    /// The packet, to change its bytes.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.data..self.end]
    }

    /// The metadata before the packet.
    #[inline]
    pub fn meta(&self) -> &[u8] {
        &self.bytes[self.meta..self.data]
    }

    /// Whether there is metadata before the packet.
    #[inline]
    pub fn has_meta(&self) -> bool {
        self.meta != self.data
    }

    /// What programs see: metadata and packet.
    #[inline(always)]
    pub fn visible(&self) -> &[u8] {
        &self.bytes[self.meta..self.end]
    }

    /// The same, to change its bytes.
    #[inline(always)]
    pub fn visible_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.meta..self.end]
    }

    /// How many bytes there are before the packet, metadata included.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.data
    }

    /// How many bytes there are behind it.
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.bytes.len() - self.end
    }

    /// Moves the packet's start by `by` bytes, and its metadata with it; `false`, and nothing happens, if there is no
    /// room or nothing would be left.
    pub fn move_data(&mut self, by: i64) -> bool {
        let meta_len = self.data - self.meta;
        let moved = |from: usize| i64::try_from(from).ok()?.checked_add(by);
        let Some(data) = moved(self.data).and_then(|to| usize::try_from(to).ok()) else { return false };
        if data < meta_len || data > self.end {
            return false;
        }
        self.bytes.copy_within(self.meta..self.data, data - meta_len);
        (self.meta, self.data) = (data - meta_len, data);
        self.seen.start = self.seen.start.min(self.meta);
        true
    }

    /// Moves the metadata's start by `by` bytes; `false` if it would not lie before the packet.
    pub fn move_meta(&mut self, by: i64) -> bool {
        let moved = i64::try_from(self.meta).ok().and_then(|from| from.checked_add(by));
        match moved.and_then(|to| usize::try_from(to).ok()) {
            Some(meta) if meta <= self.data => {
                self.meta = meta;
                self.seen.start = self.seen.start.min(meta);
                true
            }
            _ => false,
        }
    }

    /// Forgets the metadata.
    pub fn drop_meta(&mut self) {
        self.meta = self.data;
    }

    /// Makes the packet `len` bytes long; new bytes are zero. `false` if there is no room.
    pub fn set_len(&mut self, len: usize) -> bool {
        let Some(end) = self.data.checked_add(len).filter(|&end| end <= self.bytes.len()) else {
            return false;
        };
        if end > self.end {
            self.bytes[self.end..end].fill(0);
        }
        self.end = end;
        self.seen.end = self.seen.end.max(end);
        true
    }

    /// Makes room for `len` bytes behind the packet, where memory has to be found.
    pub fn reserve_tail(&mut self, len: usize) {
        if self.tailroom() < len {
            self.bytes.resize(self.end + len, 0);
        }
    }

    /// Makes room for `len` bytes before the packet, where memory has to be found.
    pub fn reserve_head(&mut self, len: usize) {
        let more = len.saturating_sub(self.meta);
        if more > 0 {
            self.bytes.splice(0..0, std::iter::repeat_n(0, more));
            (self.meta, self.data, self.end) = (self.meta + more, self.data + more, self.end + more);
            self.seen = self.seen.start + more..self.seen.end + more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Frame;

    #[test]
    fn ends_move_within_the_room() {
        let mut frame = Frame::new(&[1, 2, 3, 4], 4, 4);
        assert!(!frame.move_data(-5));
        assert!(!frame.move_data(5));
        assert!(!frame.move_data(i64::MIN));
        assert!(frame.move_data(-4) && frame.data() == [0, 0, 0, 0, 1, 2, 3, 4]);
        assert!(frame.move_data(6) && frame.data() == [3, 4]);
        assert!(frame.set_len(6) && frame.data() == [3, 4, 0, 0, 0, 0]);
        assert!(!frame.set_len(7));
        frame.reserve_tail(9);
        assert!(frame.set_len(7));
    }

    #[test]
    fn metadata_goes_with_the_packet() {
        let mut frame = Frame::new(&[9], 16, 0);
        assert!(frame.move_meta(-4));
        frame.visible_mut()[..4].copy_from_slice(&[1, 2, 3, 4]);
        assert!(frame.move_data(-2));
        assert_eq!((frame.meta(), frame.data()), (&[1, 2, 3, 4][..], &[3, 4, 9][..]));
        assert!(!frame.move_data(-11));
        frame.drop_meta();
        assert_eq!(frame.visible(), [3, 4, 9]);
        frame.reserve_head(32);
        assert!(frame.move_data(-32));
    }

    /// A frame that was used before is as a new one, whatever became of its ends.
    #[test]
    fn what_was_seen_is_forgotten() {
        let mut used = Frame::default();
        let mut number = 1_u64;
        let mut random = |below: i64| {
            number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (number >> 33) as i64 % below
        };
        for _ in 0..2000 {
            let packet = vec![0xee; random(40) as usize];
            let (headroom, tailroom) = (random(30) as usize, random(30) as usize);
            used.reset(&packet, headroom, tailroom);
            assert_eq!(used, Frame::new(&packet, headroom, tailroom));
            for _ in 0..random(6) {
                match random(6) {
                    0 => used.move_data(random(60) - 30),
                    1 => used.move_meta(random(60) - 30),
                    2 => used.set_len(random(80) as usize),
                    3 => {
                        used.reserve_tail(random(40) as usize);
                        true
                    }
                    4 => {
                        used.reserve_head(random(40) as usize);
                        true
                    }
                    _ => {
                        used.drop_meta();
                        true
                    }
                };
                used.visible_mut().fill(0xdd);
            }
        }
    }
}
