//! Bytes to read from: memory as it lies, or a stream through a buffer.
//!
//! The readers of formats see one window that they may ask to be longer. In memory it is the rest of the file and
//! asking costs a comparison; from a stream it is filled on demand, and the buffer grows only after bytes have filled
//! it: a length field alone makes nothing grow.

use std::io::{self, ErrorKind, Read};

/// The smallest buffer of a stream, and what it is filled by.
const CHUNK: usize = 64 * 1024;

pub(crate) struct Input<'a> {
    held: Held<'a>,
    /// The window lies at `start..end` of what is held.
    start: usize,
    end: usize,
    /// Where in the file the held bytes begin.
    base: u64,
}

enum Held<'a> {
    Memory(&'a [u8]),
    Stream { reader: Box<dyn Read + Send + 'a>, buffer: Vec<u8> },
}

impl<'a> Input<'a> {
    pub(crate) fn memory(bytes: &'a [u8]) -> Input<'a> {
        Input { held: Held::Memory(bytes), start: 0, end: bytes.len(), base: 0 }
    }

    /// Bytes from the middle of a file: so far from its start.
    pub(crate) fn part(bytes: &'a [u8], base: u64) -> Input<'a> {
        Input { base, ..Input::memory(bytes) }
    }

    pub(crate) fn stream(reader: impl Read + Send + 'a) -> Input<'a> {
        Input {
            held: Held::Stream { reader: Box::new(reader), buffer: Vec::new() },
            start: 0,
            end: 0,
            base: 0,
        }
    }

    /// Where in the file the window begins.
    #[inline]
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// How long the window is.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    #[inline]
    pub(crate) fn window(&self) -> &[u8] {
        match &self.held {
            Held::Memory(bytes) => &bytes[self.start..self.end],
            Held::Stream { buffer, .. } => &buffer[self.start..self.end],
        }
    }

    /// Asks for a window of at least `want` bytes; false when the file ends before.
    #[inline]
    pub(crate) fn request(&mut self, want: usize) -> io::Result<bool> {
        if self.len() >= want { Ok(true) } else { self.refill(want) }
    }

    /// The first `count` bytes of the window, which then begins behind them.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> &[u8] {
        let from = self.start;
        self.start += count;
        assert!(self.start <= self.end, "only bytes that were requested are taken");
        match &self.held {
            Held::Memory(bytes) => &bytes[from..self.start],
            Held::Stream { buffer, .. } => &buffer[from..self.start],
        }
    }

    #[cold]
    fn refill(&mut self, want: usize) -> io::Result<bool> {
        let Held::Stream { reader, buffer } = &mut self.held else { return Ok(false) };
        buffer.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        (self.start, self.end) = (0, self.end - self.start);
        while self.end < want {
            if self.end == buffer.len() {
                // Full of bytes that are wanted: room for as many again, but for no more than were asked for.
                let room = (buffer.len() * 2).min(want).max(CHUNK);
                buffer.reserve_exact(room - buffer.len());
                buffer.resize(room, 0);
            }
            let room = &mut buffer[self.end..];
            match reader.read(room) {
                Ok(0) => return Ok(false),
                Ok(count) => self.end += count.min(room.len()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Bytes of memory that the buffer takes.
    #[cfg(test)]
    pub(crate) fn buffered(&self) -> usize {
        match &self.held {
            Held::Memory(_) => 0,
            Held::Stream { buffer, .. } => buffer.capacity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives one byte at a time, and is interrupted before each.
    struct Drip(u8, bool);

    impl Read for Drip {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::Interrupted.into());
            }
            if self.0 == 100 {
                return Ok(0);
            }
            room[0] = self.0;
            self.0 += 1;
            Ok(1)
        }
    }

    #[test]
    fn a_stream_is_the_same_window_as_memory() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut inputs = [Input::memory(&bytes), Input::stream(Drip(0, false)), Input::stream(&bytes[..])];
        for input in &mut inputs {
            assert!(input.request(10).unwrap());
            assert_eq!(input.take(10), &bytes[..10]);
            assert!(input.request(90).unwrap());
            assert_eq!((input.offset(), &input.window()[..90]), (10, &bytes[10..]));
            assert!(!input.request(91).unwrap());
            assert_eq!(input.window(), &bytes[10..]);
            assert_eq!(input.take(90).len(), 90);
            assert_eq!((input.offset(), input.len()), (100, 0));
        }
    }

    #[test]
    fn a_request_alone_allocates_a_chunk() {
        let mut input = Input::stream(&[1, 2, 3][..]);
        assert!(!input.request(usize::MAX).unwrap());
        assert_eq!(input.buffered(), CHUNK);
    }

    #[test]
    fn a_long_packet_grows_the_buffer_to_its_length() {
        let mut input = Input::stream(io::repeat(7));
        assert!(input.request(1_000_000).unwrap());
        assert_eq!(input.buffered(), 1_000_000);
        input.take(1_000_000);
        assert!(input.request(10).unwrap());
        assert_eq!((input.offset(), input.buffered()), (1_000_000, 1_000_000));
    }
}
