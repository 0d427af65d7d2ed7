//! Running a filter over packets: those of captures, then those in hexadecimal.
//!
//! A capture that breaks off does not end the run: the packets before the damage count, the captures after it are
//! read, the result is shown, and then a line for each that is broken says where.

use std::io::Write;
use std::num::NonZeroUsize;
use std::time::Instant;

use sandbpf::KindName;
use sandbpf_capture::{Capture, CaptureHeader, CaptureWriter, LinkType, Packet, Timestamp};

use super::door::{Answer, Door};
use super::keep::Keep;
use super::report::Report;
#[cfg(unix)]
use super::shared::Shared;
use super::tally::{Histogram, Tally, Totals};
use super::{Job, captures};
use crate::args::{Format, Run};
use crate::bytes;
use crate::events::Readers;
use crate::failure::{Failure, is_dash, shown};
use crate::source::{Source, read_file};

pub(super) fn run<'a>(
    job: &'a Job<'a>,
    kind: KindName,
    out: &mut impl Write,
) -> Result<crate::Answer, Failure> {
    let args = job.args;
    let hex = hex_packets(args)?;
    let door = Door::load(job, kind)?;
    let (engine, instructions) = (door.engine(), door.instructions());
    let since = Instant::now();
    let mut opened = job.captures.iter().map(|&path| (path, captures::open(path)));
    let mut filtering = Filtering::new(job, door)?;
    let mut failures = Vec::new();
    let mut finish = |filtering: &mut Filtering<'a>, path, capture: Result<Capture<'_>, Failure>| {
        filtering.begin(shown(path).into(), capture.as_ref().ok().map(Capture::link_type));
        let read = match capture {
            Ok(mut capture) => filtering.capture(path, &mut capture),
            Err(failure) => Err(Stop::Broken(failure)),
        };
        match read {
            Ok(()) => Ok(()),
            Err(Stop::Broken(failure)) => {
                failures.push(failure);
                Ok(())
            }
            Err(Stop::Unwritten(failure)) => Err(failure),
        }
    };
    if let Some(path) = &args.write {
        // All headers first: what is written must hold packets of each.
        let opened: Vec<_> = opened.collect();
        let headers = opened.iter().filter_map(|(_, capture)| capture.as_ref().ok().map(Capture::header));
        let given = (!hex.is_empty()).then(|| CaptureHeader::new(args.link_type));
        filtering.keep = Some(Keep::create(path, &headers.chain(given).collect::<Vec<_>>())?);
        for (path, capture) in opened {
            finish(&mut filtering, path, capture)?;
        }
    } else {
        opened.try_for_each(|(path, capture)| finish(&mut filtering, path, capture))?;
    }
    if !hex.is_empty() {
        filtering.hex(&hex, args)?;
    }
    for callback in args.until.into_iter().flat_map(|until| job.advance_time(until)) {
        filtering.totals.fired(callback);
    }
    let elapsed = since.elapsed();
    if let (Some(keep), Some(path)) = (filtering.keep.take(), &args.write) {
        match failures.first_mut() {
            None => keep.complete()?,
            Some(Failure::Input { what, .. }) if !is_dash(path) => {
                what.push_str(&format!("; {} is not written", path.display()));
            }
            Some(_) => {}
        }
    }
    let mut totals = filtering.totals;
    let answer = totals.sum(|tally| tally.trapped) == 0
        && totals.callbacks_trapped == 0
        && !(args.exit_match && totals.sum(|tally| tally.matched) == 0);
    let about = job.about(kind, instructions);
    let report = Report::new(about, kind, engine, &mut totals, elapsed);
    // The standard output is the capture's if it is asked for.
    match args.write.as_deref().is_some_and(is_dash) {
        true => report.show(args, &mut std::io::stderr())?,
        false => report.show(args, out)?,
    }
    match failures.pop() {
        None => Ok(answer.into()),
        Some(failure) if failures.is_empty() => Err(failure),
        Some(failure) => {
            failures.push(failure);
            Err(Failure::Several(failures))
        }
    }
}

/// Why a capture was not read to its end.
pub(super) enum Stop {
    /// It is broken; others may be sound.
    Broken(Failure),
    /// What matches cannot be written.
    Unwritten(Failure),
}

/// A filter at work.
pub(super) struct Filtering<'a> {
    pub(super) door: Door,
    readers: Option<Readers<'a>>,
    totals: Totals,
    pub(super) keep: Option<Keep<'a>>,
    /// How many packets may still match.
    left: u64,
    pub(super) detail: Detail,
    /// How many threads may share a capture.
    jobs: NonZeroUsize,
    /// Of objects, whose programs may start timers.
    timed: Option<&'a Job<'a>>,
}

/// What is worth counting because it will be shown.
#[derive(Clone, Copy)]
pub(super) struct Detail {
    pub(super) matching: bool,
    pub(super) returned: bool,
}

impl<'a> Filtering<'a> {
    fn new(job: &'a Job<'a>, door: Door) -> Result<Filtering<'a>, Failure> {
        let args = job.args;
        let json = args.format == Format::Json;
        let is_hook = !matches!(door, Door::Filter { .. });
        // Without maps there is nothing to read.
        let readers = if job.held.is_empty() { None } else { Some(job.readers()?) };
        // Who counts matches to stop must see one after the other, and so must who remembers.
        let alone = readers.is_some() || args.count.is_some() || !door.forgets();
        Ok(Filtering {
            jobs: args.jobs.filter(|_| !alone).unwrap_or(NonZeroUsize::MIN),
            door,
            readers,
            totals: Totals::default(),
            keep: None,
            left: args.count.unwrap_or(u64::MAX),
            timed: job.loaded.is_some().then_some(job),
            detail: Detail { matching: args.list || json, returned: args.verbose || json || is_hook },
        })
    }

    /// What follows is counted under this name.
    fn begin(&mut self, name: String, link_type: Option<LinkType>) {
        let link_type = link_type.map(|link_type| link_type.to_string()).unwrap_or_default();
        self.totals.tallies.push(Tally { name, link_type, ..Tally::default() });
    }

    fn capture(&mut self, path: &std::path::Path, capture: &mut Capture<'_>) -> Result<(), Stop> {
        let mut tally = self.totals.tallies.pop().unwrap_or_default();
        #[cfg(unix)]
        if let Some(shared) = Shared::open(path, capture, self.jobs) {
            let read = shared.run(path, self, &mut tally);
            self.totals.tallies.push(tally);
            return read;
        }
        let mut read = Ok(());
        while self.left > 0 {
            match capture.next_packet() {
                Ok(Some(packet)) => {
                    if let Err(failure) = self.packet(&mut tally, &packet) {
                        read = Err(Stop::Unwritten(failure));
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    read = Err(Stop::Broken(captures::broken(path, &error)));
                    break;
                }
            }
        }
        self.totals.tallies.push(tally);
        read
    }

    /// Runs over packets in hexadecimal; packets are whole, or as long on the wire as the options say.
    fn hex(&mut self, sources: &[HexPackets], args: &Run) -> Result<(), Failure> {
        for HexPackets { name, packets } in sources {
            self.begin(name.clone(), Some(args.link_type));
            let mut tally = self.totals.tallies.pop().unwrap_or_default();
            for (index, data) in (0..).zip(packets) {
                if self.left == 0 {
                    break;
                }
                let packet = Packet {
                    data,
                    wire_len: args.wire_len.unwrap_or(data.len() as u32),
                    timestamp: Timestamp::default(),
                    link_type: args.link_type,
                    interface: 0,
                    index,
                };
                self.packet(&mut tally, &packet)?;
            }
            self.totals.tallies.push(tally);
        }
        Ok(())
    }

    /// Adds up what another thread has counted and kept of the packets that come next.
    #[cfg(unix)]
    pub(super) fn add(
        &mut self,
        tally: &mut Tally,
        more: Tally,
        returned: Histogram,
        kept: Option<&CaptureWriter<Vec<u8>>>,
    ) -> Result<(), Failure> {
        tally.add(more);
        self.totals.returned.merge(returned);
        match (&mut self.keep, kept) {
            (Some(keep), Some(kept)) => keep.append(kept),
            _ => Ok(()),
        }
    }

    #[inline]
    pub(super) fn packet(&mut self, tally: &mut Tally, packet: &Packet<'_>) -> Result<(), Failure> {
        tally.saw(packet);
        if let Some(job) = self.timed {
            let now = job.clock.set(packet.timestamp);
            for callback in job.advance_time(now) {
                self.totals.fired(callback);
            }
        }
        let Answer { value, passes, data } = match self.door.run(packet) {
            Ok(answer) => answer,
            Err(trap) => {
                tally.trapped += 1;
                self.totals.trapped(tally.packets, trap);
                return Ok(());
            }
        };
        if let Some(readers) = &self.readers {
            readers.read();
        }
        let changed = data.is_some_and(|data| data != packet.data);
        tally.changed += u64::from(changed);
        if self.detail.returned {
            self.totals.returned.add(value);
        }
        if !passes {
            return Ok(());
        }
        tally.matches(packet, self.detail.matching);
        self.left -= 1;
        match &mut self.keep {
            Some(keep) => match data.filter(|_| changed) {
                // What was not captured of it stays so.
                Some(data) => {
                    let missing = packet.wire_len.saturating_sub(packet.data.len() as u32);
                    keep.packet(&Packet { data, wire_len: data.len() as u32 + missing, ..*packet })
                }
                None => keep.packet(packet),
            },
            None => Ok(()),
        }
    }
}

/// Packets in hexadecimal from one place.
struct HexPackets {
    name: String,
    packets: Vec<Vec<u8>>,
}

/// The packets of `--hex`, then those of each `--hex-file`.
fn hex_packets(args: &Run) -> Result<Vec<HexPackets>, Failure> {
    let mut sources = Vec::new();
    if !args.hex.is_empty() {
        let parse = |(index, text): (usize, &String)| {
            bytes::parse(text)
                .map_err(|error| Failure::input(format!("--hex {}:{}", index + 1, error.column), error))
        };
        let packets = args.hex.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
        sources.push(HexPackets { name: "--hex".into(), packets });
    }
    for path in &args.hex_file {
        let source = Source { place: shown(path).into(), bytes: read_file(path)? };
        let mut packets = Vec::new();
        for (index, line) in source.text()?.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let packet = bytes::parse(line)
                .map_err(|error| source.failure_at(index + 1, error.column, error.to_string()))?;
            if !packet.is_empty() {
                packets.push(packet);
            }
        }
        sources.push(HexPackets { name: source.place, packets });
    }
    Ok(sources)
}
