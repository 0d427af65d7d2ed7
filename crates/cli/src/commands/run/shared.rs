//! A capture read by several threads, each a part of it at a time.
//!
//! That is for programs that remember nothing from packet to packet, and for pcap files, not pipes. A thread reads a part,
//! guesses where its first record starts, and runs the program over the packets that start in it. The parts come back in their
//! order: what was counted is added up, what matched is written. A part that was guessed wrongly, or in which
//! anything out of the ordinary happened, is read again from where the one before ended, as one thread reads; so that
//! the result is the same, byte by byte.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use sandbpf_capture::{Capture, CaptureError, CaptureHeader, CaptureWriter, Packet, Split};

use super::door::Door;
use super::packets::{Detail, Filtering, Stop};
use super::tally::{Histogram, Tally};
use super::{captures, keep};
use crate::failure::{Failure, is_dash};

/// How much of a file is a part: what the cache next to a processor holds.
const PART: u64 = 1 << 20;
/// How much more is read at once, for the record that the part ends in.
const MORE: u64 = 64 * 1024;
/// How many parts of a thread may wait to be added up.
const WAITING: usize = 2;

/// A file that is read in parts.
pub(super) struct Shared {
    file: File,
    len: u64,
    split: Split,
    jobs: NonZeroUsize,
}

/// What a thread needs to know of what is done with packets.
struct Wanted {
    detail: Detail,
    /// What is written has this header.
    keep: Option<CaptureHeader>,
}

/// What came of a part.
struct Done {
    /// Where its first record started, as far as the thread knew.
    start: u64,
    /// Where the first record starts behind it.
    end: u64,
    tally: Tally,
    returned: Histogram,
    kept: Option<CaptureWriter<Vec<u8>>>,
}

impl Shared {
    /// The file behind a capture, if it can be shared and is worth it.
    pub(super) fn open(path: &Path, capture: &Capture<'_>, jobs: NonZeroUsize) -> Option<Shared> {
        if jobs.get() == 1 || is_dash(path) {
            return None;
        }
        let split = Split::of(capture)?;
        let file = File::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        let len = metadata.len();
        (metadata.is_file() && len > 2 * PART).then_some(Shared { file, len, split, jobs })
    }

    /// Runs over all packets.
    pub(super) fn run(
        &self,
        path: &Path,
        filtering: &mut Filtering<'_>,
        tally: &mut Tally,
    ) -> Result<(), Stop> {
        let parts = self.len.div_ceil(PART);
        let wanted =
            &Wanted { detail: filtering.detail, keep: filtering.keep.as_ref().map(keep::Keep::header) };
        thread::scope(|scope| {
            // Each thread has its own queue, so that parts come in order whoever is faster.
            let mut queues: Vec<Receiver<Option<Done>>> = Vec::new();
            for number in 0..self.jobs.get() as u64 {
                let (queue, received) = sync_channel(WAITING);
                let Some(door) = filtering.door.another() else { break };
                queues.push(received);
                scope.spawn(move || self.work(wanted, door, number, &queue));
            }
            let mut at = self.split.first();
            for number in 0..parts {
                let until = ((number + 1) * PART).min(self.len);
                let queue = queues.get((number % self.jobs.get() as u64) as usize);
                let done = queue.and_then(|queue| queue.recv().ok()).flatten();
                // A packet may be longer than a part.
                if at >= until {
                    continue;
                }
                at = match done {
                    Some(done) if done.start == at => {
                        let end = done.end;
                        filtering
                            .add(tally, done.tally, done.returned, done.kept.as_ref())
                            .map_err(Stop::Unwritten)?;
                        end
                    }
                    _ => self.alone(path, filtering, tally, at..until)?,
                };
            }
            Ok(())
        })
    }

    /// Does every so many'th part, until nobody wants them any more.
    fn work(&self, wanted: &Wanted, mut door: Door, first: u64, queue: &SyncSender<Option<Done>>) {
        let parts = self.len.div_ceil(PART);
        let mut reader = Reader::new(self);
        for number in (first..parts).step_by(self.jobs.get()) {
            let done = reader.part(wanted, &mut door, number);
            if queue.send(done).is_err() {
                break;
            }
        }
    }

    /// Reads the packets that start in a part as one thread does; where the next one starts.
    fn alone(
        &self,
        path: &Path,
        filtering: &mut Filtering<'_>,
        tally: &mut Tally,
        range: Range<u64>,
    ) -> Result<u64, Stop> {
        let mut reader = Reader::new(self);
        reader.fill(range.start, range.end + MORE).map_err(|error| unreadable(path, error))?;
        let read = reader.each(range, tally.packets, |packet| filtering.packet(tally, packet));
        read.map_err(|error| match error {
            Broken::Capture(error) => Stop::Broken(captures::broken(path, &error)),
            Broken::File(error) => unreadable(path, error),
            Broken::Look(failure) => Stop::Unwritten(failure),
        })
    }
}

fn unreadable(path: &Path, error: io::Error) -> Stop {
    Stop::Broken(Failure::Read { path: path.into(), error })
}

/// Why a part was not read to its end.
enum Broken<E> {
    Capture(CaptureError),
    File(io::Error),
    Look(E),
}

/// A thread's view of the file.
struct Reader<'s> {
    shared: &'s Shared,
    bytes: Vec<u8>,
    /// Where in the file they start.
    base: u64,
}

impl<'s> Reader<'s> {
    fn new(shared: &'s Shared) -> Reader<'s> {
        Reader { shared, bytes: Vec::new(), base: 0 }
    }

    /// Reads these bytes of the file, as far as it goes.
    fn fill(&mut self, from: u64, until: u64) -> io::Result<()> {
        self.base = from;
        self.bytes.clear();
        self.extend(until)
    }

    /// Reads on, up to there.
    fn extend(&mut self, until: u64) -> io::Result<()> {
        let mut at = self.bytes.len();
        self.bytes.resize((until.min(self.shared.len) - self.base) as usize, 0);
        while at < self.bytes.len() {
            match self.shared.file.read_at(&mut self.bytes[at..], self.base + at as u64) {
                // It was longer.
                Ok(0) => self.bytes.truncate(at),
                Ok(count) => at += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Runs a program over the packets that start in a part; `None` where others must look at it.
    fn part(&mut self, wanted: &Wanted, door: &mut Door, number: u64) -> Option<Done> {
        let from = number * PART;
        let until = (from + PART).min(self.shared.len);
        self.fill(from, until + MORE).ok()?;
        let start = match number {
            0 => self.shared.split.first(),
            _ => from + self.shared.split.guess(&self.bytes)? as u64,
        };
        let (mut tally, mut returned) = (Tally::default(), Histogram::default());
        let mut kept = wanted.keep.map(|header| CaptureWriter::records(Vec::new(), header));
        let end = self.each(start..until, 0, |packet| {
            let answer = door.run(packet).map_err(drop)?;
            tally.saw(packet);
            if wanted.detail.returned {
                returned.add(answer.value);
            }
            if answer.passes {
                tally.matches(packet, wanted.detail.matching);
                if let Some(kept) = &mut kept {
                    kept.write(packet).map_err(drop)?;
                }
            }
            Ok::<(), ()>(())
        });
        Some(Done { start, end: end.ok()?, tally, returned, kept })
    }

    /// Looks at the packets that start in a range, the first of which has this number; where the next one starts.
    fn each<E>(
        &mut self,
        range: Range<u64>,
        mut index: u64,
        mut look: impl FnMut(&Packet<'_>) -> Result<(), E>,
    ) -> Result<u64, Broken<E>> {
        let mut at = range.start;
        loop {
            let bytes = self.bytes.get((at - self.base) as usize..).unwrap_or_default();
            let mut capture = self.shared.split.part(bytes, at, index);
            let error = loop {
                if capture.offset() >= range.end {
                    return Ok(capture.offset());
                }
                match capture.next_packet() {
                    Ok(Some(packet)) => look(&packet).map_err(Broken::Look)?,
                    // The bytes end with a record.
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            (at, index) = (capture.offset(), capture.packets());
            drop(capture);
            let end = self.base + self.bytes.len() as u64;
            match error {
                // The record may go on behind what was read.
                _ if end < self.shared.len => {
                    let more = (end - at).max(MORE);
                    self.extend(end + more).map_err(Broken::File)?;
                    if self.base + self.bytes.len() as u64 == end {
                        return error.map_or(Ok(end), |error| Err(Broken::Capture(error)));
                    }
                }
                None => return Ok(end),
                Some(error) => return Err(Broken::Capture(error)),
            }
        }
    }
}
